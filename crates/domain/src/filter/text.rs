//! Searching without regard to case.
//!
//! Each character counts as its Unicode lower case; no normalisation, no locale. Must not know
//! where the texts come from.

use super::Item;

/// Whether all the items occur in the text, without regard to case.
#[must_use]
pub fn contains_all(text: &str, items: &[Item]) -> bool {
    let text = lower(text);
    items.iter().all(|item| text.contains(&lower(item.as_str())))
}

/// The text with each character in its Unicode lower case. Not `str::to_lowercase`, which looks
/// at neighbours (a final sigma), so that an item could miss inside a longer text.
fn lower(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, items: &[&str], expected: bool) {
        let items: Vec<_> = items.iter().map(|item| Item::parse(item).unwrap()).collect();
        assert_eq!(contains_all(text, &items), expected, "{text}");
    }

    #[test]
    fn all_items_must_occur_without_regard_to_case() {
        check("This is CONTENT", &["this is content", "IS"], true);
        check("This is content", &["this", "that"], false);
        check("ΣΊΣΥΦΟΣ", &["σίσυφοσ"], true);
        check("STRASSE", &["straße"], false);
        check("İstanbul", &["i\u{307}stanbul"], true);
        check("", &["a"], false);
    }
}
