//! JSON with a member a line, and nothing else changed: numbers, escapes and members of one name
//! twice stay as they were sent.
//!
//! Must not know what it says.

use domain::json::Json;

/// The text indented; none where it is no JSON.
pub fn indented(text: &str) -> Option<String> {
    Json::parse(text).ok()?;
    let mut shown = String::with_capacity(text.len() * 2);
    let (mut depth, mut rest) = (0, text.chars().peekable());
    let (mut in_string, mut escaped) = (false, false);
    while let Some(character) = rest.next() {
        if in_string {
            shown.push(character);
            in_string = escaped || character != '"';
            escaped = character == '\\' && !escaped;
            continue;
        }
        match character {
            ' ' | '\t' | '\n' | '\r' => {}
            '{' | '[' => {
                shown.push(character);
                while rest.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                if let Some(end) = rest.next_if(|next| matches!(next, '}' | ']')) {
                    shown.push(end);
                } else {
                    depth += 1;
                    begin_line(&mut shown, depth);
                }
            }
            '}' | ']' => {
                depth -= 1;
                begin_line(&mut shown, depth);
                shown.push(character);
            }
            ',' => {
                shown.push(character);
                begin_line(&mut shown, depth);
            }
            ':' => shown.push_str(": "),
            other => {
                shown.push(other);
                in_string = other == '"';
            }
        }
    }
    Some(shown)
}

fn begin_line(shown: &mut String, depth: usize) {
    shown.push('\n');
    shown.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_differs() {
        let sent =
            r#"{"id":12345678901234567890123,"z":1.10, "a":[ ],"a":{"b\\\"{":"\u00e9, [x]:"}}"#;
        let shown = r#"{
  "id": 12345678901234567890123,
  "z": 1.10,
  "a": [],
  "a": {
    "b\\\"{": "\u00e9, [x]:"
  }
}"#;
        assert_eq!(indented(sent).as_deref(), Some(shown));
        assert_eq!(indented(shown).as_deref(), Some(shown));
        assert_eq!(indented("[1,").as_deref(), None);
        assert_eq!(indented(" 7 ").as_deref(), Some("7"));
    }
}
