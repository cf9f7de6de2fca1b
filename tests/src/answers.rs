//! What `docs/http-status.md` says that a gateway may answer to an alert.
//!
//! Must not know more of answers than that page says.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use crate::alerts::Answer;

const PAGE: &str = include_str!("../../docs/http-status.md");

static ERRORS: LazyLock<BTreeSet<(u16, String)>> = LazyLock::new(|| errors(PAGE));

/// Whether the page has it.
#[must_use]
pub fn documented(answer: &Answer) -> bool {
    let status = answer.status.as_u16();
    match answer.code() {
        "" => [200, 201, 202].contains(&status) && !answer.id().is_empty(),
        code => ERRORS.contains(&(status, code.to_owned())),
    }
}

/// Status and code of the rows that have both.
fn errors(page: &str) -> BTreeSet<(u16, String)> {
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let status = cells.next()?.parse().ok()?;
        let code = cells.next()?.strip_prefix('`')?.strip_suffix('`')?.to_owned();
        Some((status, code))
    };
    page.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_rows_of_errors() {
        assert!(ERRORS.contains(&(503, "BROKER_UNAVAILABLE".to_owned())), "{:?}", *ERRORS);
        assert!(ERRORS.contains(&(401, "INVALID_TOKEN".to_owned())));
        assert!(!ERRORS.contains(&(500, "INTERNAL".to_owned())));
    }
}
