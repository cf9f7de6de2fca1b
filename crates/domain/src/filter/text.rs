//! Searching without regard to case.
//!
//! Each character counts as its Unicode lower case; no normalisation, no locale. Must not know
//! where the texts come from.

use super::Item;

/// Whether all the items occur in the text, which is in lower case already.
#[must_use]
pub fn contains_all(lower: &str, items: &[Item]) -> bool {
    items.iter().all(|item| lower.contains(item.lower()))
}

/// The text with each character in its Unicode lower case. Not `str::to_lowercase`, which looks
/// at neighbours (a final sigma), so that an item could miss inside a longer text.
#[must_use]
pub fn lower(text: &str) -> String {
    let mut lower = String::new();
    lower_into(text, &mut lower);
    lower
}

/// [`lower`], in the place of what is there.
pub fn lower_into(text: &str, lower: &mut String) {
    lower.clear();
    if text.is_ascii() {
        lower.push_str(text);
        lower.make_ascii_lowercase();
    } else {
        lower.extend(text.chars().flat_map(char::to_lowercase));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, items: &[&str], expected: bool) {
        let items: Vec<_> = items.iter().map(|item| Item::parse(item).unwrap()).collect();
        assert_eq!(contains_all(&lower(text), &items), expected, "{text}");
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
