//! What people and programs read: results on standard output, the rest on standard error.
//!
//! Must not know what is said.

use std::borrow::Cow;
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use comfy_table::{ContentArrangement, Table, presets};
use domain::name::is_unprintable;
use domain::secret;
use runtime::environment;
use serde::Serialize;

/// The reader of standard output has gone away.
static UNREAD: AtomicBool = AtomicBool::new(false);

/// A line of a result. Ends the program where it cannot be written: what is cut off must not look
/// like all there is. Where the reader has gone away it is not said, and what was begun goes on: what a
/// command does, and its exit code, do not depend on who looks on.
pub fn say(line: &str) {
    write(format!("{line}\n").as_bytes());
}

/// A result that is no text; ends the program as [`say`] does.
pub fn write(bytes: &[u8]) {
    if !is_read() {
        return;
    }
    let mut output = std::io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => UNREAD.store(true, Relaxed),
        Err(error) => {
            complain(&format!("error: the result cannot be written: {error}"));
            std::process::exit(1);
        }
    }
}

/// What somebody else has written: as it is where a program reads it, harmless where a terminal does.
pub fn write_foreign(bytes: &[u8]) {
    write(&foreign(bytes, std::io::stdout().is_terminal()));
}

fn foreign(bytes: &[u8], for_terminal: bool) -> Cow<'_, [u8]> {
    if for_terminal {
        harmless(&String::from_utf8_lossy(bytes)).into_bytes().into()
    } else {
        bytes.into()
    }
}

/// Whether results may still be read; what only shows more and more of them ends where they are not.
pub fn is_read() -> bool {
    !UNREAD.load(Relaxed)
}

/// A line of a process that serves, and goes on where nobody reads it.
pub fn greet(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// JSON in one line.
pub fn json_line(thing: &impl Serialize) -> serde_json::Result<String> {
    Ok(escaped(&serde_json::to_string(thing)?))
}

/// JSON for people who look at it, too.
pub fn json<T: Serialize + ?Sized>(thing: &T) -> serde_json::Result<String> {
    Ok(escaped(&serde_json::to_string_pretty(thing)?))
}

/// JSON with what would drive a terminal escaped, but for the line breaks between its parts.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if (is_unprintable(character) || is_unseen(character)) && character != '\n' {
            text.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            text.push(character);
        }
    }
    text
}

/// A line for the person who looks on.
pub fn complain(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Whether a person looks on at standard error.
pub fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

/// A line for the person who looks on, in place of the one before; for a terminal only.
pub fn rewrite(line: &str) {
    let mut output = std::io::stderr().lock();
    let _ = write!(output, "\r\x1b[K{line}").and_then(|()| output.flush());
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

/// What is shown where a secret was.
pub const SECRET: &[u8] = b"(a secret)";

/// A text that quotes files, answers or what was typed: harmless, and without a secret.
pub fn quoted(text: &str) -> String {
    harmless(&String::from_utf8_lossy(&secret::mask(text.as_bytes(), SECRET)))
}

/// Whether a character breaks a line for some terminals, or hides between others.
const fn is_unseen(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{2064}' | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}'
    )
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
    fn what_others_wrote_does_not_drive_a_terminal_and_is_whole_elsewhere() {
        let text = b"\x1b]0;pwn\x07\xff\nend";
        assert_eq!(&*foreign(text, false), text);
        let shown = String::from_utf8(foreign(text, true).into_owned()).unwrap();
        assert!(shown.ends_with("\nend"), "{shown}");
        assert!(shown.chars().all(|character| character == '\n' || !is_unprintable(character)));
    }

    #[test]
    fn json_does_not_drive_the_terminal_and_says_the_same() {
        let text = "\u{1b}[2J\u{9b}\u{202e}\u{7f}\n\"\\";
        for json in [json_line(&text).unwrap(), json(&[text]).unwrap()] {
            assert!(json.chars().all(|character| character == '\n' || !is_unprintable(character)));
            let read: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(read.get(0).unwrap_or(&read), text);
        }
    }

    #[test]
    fn a_cell_does_not_drive_the_terminal() {
        assert_eq!(harmless("plain \u{fc}\nnext"), "plain \u{fc}\nnext");
        assert_eq!(harmless("\u{1b}[2J\r\u{202e}"), "\\u{1b}[2J\\r\\u{202e}");
    }
}
