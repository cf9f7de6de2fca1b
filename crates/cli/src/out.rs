//! What people and programs read: results on standard output, the rest on standard error.
//!
//! Must not know what is said.

use std::io::Write;

use comfy_table::{ContentArrangement, Table, presets};

/// A line of a result. A reader that has gone away is no error.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// A line for the person who looks on.
pub fn complain(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
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
