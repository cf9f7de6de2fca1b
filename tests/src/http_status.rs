//! The tables of `docs/http-status.md`, read from the document.
//!
//! Must not know how a row is tested.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use anyhow::Context;

use crate::alerts::Answer;

const PAGE: &str = include_str!("../../docs/http-status.md");

static ERRORS: LazyLock<Errors> = LazyLock::new(|| Errors::read().expect("the page is readable"));

/// Whether the page has this answer to an alert.
#[must_use]
pub fn documented(answer: &Answer) -> bool {
    let status = answer.status.as_u16();
    match answer.code() {
        "" => [200, 201, 202].contains(&status) && !answer.id().is_empty(),
        code => ERRORS.gander.iter().any(|(known, name, _)| (*known, &**name) == (status, code)),
    }
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The heading that it stands under.
    pub section: String,
    /// Its cells.
    pub cells: Vec<String>,
}

impl Row {
    /// What it is called: its cells, a bar between them.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}: {}", self.section, self.cells.join(" | "))
    }
}

/// All rows of the page, in order.
#[must_use]
pub fn rows() -> Vec<Row> {
    let (mut rows, mut section, mut in_table) = (Vec::new(), String::new(), false);
    for line in PAGE.lines() {
        if let Some(heading) = line.strip_prefix('#') {
            heading.trim_start_matches('#').trim().clone_into(&mut section);
        }
        let Some(cells) = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')) else {
            in_table = false;
            continue;
        };
        // The first line of a table names its columns, the second is of dashes.
        if in_table && !cells.starts_with("---") {
            let cells = cells.split('|').map(|cell| cell.trim().to_owned()).collect();
            rows.push(Row { section: section.clone(), cells });
        }
        in_table = true;
    }
    rows
}

/// A header; with its value where the page has that.
pub type Header = (String, Option<String>);

/// A status, its code, and the headers that come with it.
pub type Problem = (u16, String, Vec<Header>);

/// The statuses of errors with their codes and further headers, as the page has them.
#[derive(Clone, Debug, Default)]
pub struct Errors {
    /// Those of Gander.
    pub gander: Vec<Problem>,
    /// The statuses that the HTTP library answers by itself.
    pub below: BTreeSet<u16>,
}

impl Errors {
    /// Reads them.
    ///
    /// # Errors
    /// A table is not as expected.
    pub fn read() -> anyhow::Result<Self> {
        let mut errors = Self::default();
        for row in rows() {
            let status = || row.cells[0].parse().with_context(|| row.name());
            match row.section.as_str() {
                "Errors" => {
                    let code = row.cells[1].trim_matches('`').to_owned();
                    errors.gander.push((status()?, code, headers(&row.cells[3])));
                }
                "Answered below Gander" => {
                    errors.below.insert(status()?);
                }
                _ => {}
            }
        }
        anyhow::ensure!(errors.gander.len() > 20 && errors.below.len() == 2, "{errors:?}");
        Ok(errors)
    }
}

/// The headers in a cell such as `` `retry-after: 5`, `connection: close` ``.
fn headers(cell: &str) -> Vec<Header> {
    let quoted = cell.split('`').skip(1).step_by(2);
    let pairs = quoted.map(|text| match text.split_once(": ") {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (text.to_owned(), None),
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_rows_of_errors() {
        let has = |status: u16, code: &str| {
            ERRORS.gander.iter().any(|(known, name, _)| (*known, &**name) == (status, code))
        };
        assert!(has(503, "BROKER_UNAVAILABLE") && has(401, "INVALID_TOKEN"), "{:?}", *ERRORS);
        assert!(!has(500, "INTERNAL"));
    }
}
