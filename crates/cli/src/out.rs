//! What people and programs read: results on standard output, the rest on standard error.
//!
//! Must not know what is said.

use std::io::{IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use domain::name::is_unprintable;
use runtime::environment;

/// A line of a result. A reader that has gone away is no error.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// A line for the person who looks on.
pub fn complain(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// The mark of something that does not work, or is worth a look.
pub fn marked(broken: bool) -> String {
    if broken { painted("error  ", Colour::Red) } else { painted("warning", Colour::Yellow) }
}

/// What a word looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// As all others.
    None,
    /// Something does not work.
    Red,
    /// Something is as it is meant.
    Green,
    /// Something is worth a look.
    Yellow,
}

/// The text in colour where a person looks on and has not asked for none (<https://no-color.org>).
pub fn painted(text: &str, colour: Colour) -> String {
    let plain = environment::variable("NO_COLOR").is_some() || !std::io::stdout().is_terminal();
    let code = match colour {
        Colour::None => return text.to_owned(),
        Colour::Red => 31,
        Colour::Green => 32,
        Colour::Yellow => 33,
    };
    if plain { text.to_owned() } else { format!("\x1b[{code}m{text}\x1b[0m") }
}

/// The text with what would drive a terminal escaped, but for line breaks: payloads of alerts are
/// from anybody.
pub fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unprintable(character) && character != '\n' {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// A table. What its cells hold may come from outside.
pub fn table(head: &[&str], rows: Vec<Vec<String>>) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head.iter().copied());
    let row =
        |cells: Vec<String>| cells.into_iter().map(|cell| harmless(&cell)).collect::<Vec<_>>();
    table.add_rows(rows.into_iter().map(row));
    for line in table.to_string().lines().map(str::trim_end) {
        say(line.strip_prefix(' ').unwrap_or(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_does_not_drive_the_terminal() {
        assert_eq!(harmless("plain \u{fc}\nnext"), "plain \u{fc}\nnext");
        assert_eq!(harmless("\u{1b}[2J\r\u{202e}"), "\\u{1b}[2J\\r\\u{202e}");
    }
}
