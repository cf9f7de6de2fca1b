//! What people and programs read: results on standard output, the rest on standard error.
//!
//! Must not know what is said.

use std::io::{IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use runtime::environment;

/// A line of a result. A reader that has gone away is no error.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// A line for the person who looks on.
pub fn complain(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// The mark of something that does not work, or is worth a look; in colour where a person looks on
/// and has not asked for none (<https://no-color.org>).
pub fn marked(broken: bool) -> String {
    let (word, colour) = if broken { ("error  ", 31) } else { ("warning", 33) };
    let plain = environment::variable("NO_COLOR").is_some() || !std::io::stdout().is_terminal();
    if plain { word.to_owned() } else { format!("\x1b[{colour}m{word}\x1b[0m") }
}

/// A table.
pub fn table(head: &[&str], rows: Vec<Vec<String>>) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head.iter().copied());
    table.add_rows(rows);
    for line in table.to_string().lines() {
        say(line.trim_end().strip_prefix(' ').unwrap_or(line));
    }
}
