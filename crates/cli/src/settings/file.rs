//! The configuration file: TOML, read as a whole, each value with its line.
//!
//! Must not know which settings there are: any key may come out of here.

use std::fs::File as Opened;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::{Problem, Role};

/// The most bytes of the file.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// What the file says.
#[derive(Debug, Default)]
pub struct File {
    /// Its path, as it was given.
    pub path: PathBuf,
    /// What it sets, in the order of its lines.
    pub entries: Vec<Entry>,
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The role whose table it stands in; none at the top, for all roles.
    pub role: Option<Role>,
    /// The key.
    pub key: String,
    /// Its line, from 1.
    pub line: usize,
    /// Its value.
    pub value: Value,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// One thing.
    One(Scalar),
    /// A list of things, for flags that may be repeated.
    List(Vec<Scalar>),
}

/// One thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// Text or a number, as a flag would have it.
    Text(String),
    /// True or false.
    Bool(bool),
    /// `{ file = "PATH" }`: the text that stands in a file which nobody else can read.
    From(PathBuf),
}

impl File {
    /// Where an entry stands, for people.
    pub fn place(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }
}

/// Reads a file. What cannot be read of it is a problem; the rest is there all the same.
pub fn read(path: &Path) -> (File, Vec<Problem>) {
    let file = File { path: path.to_owned(), entries: vec![] };
    match text(path) {
        Ok(text) => parse(file, &text),
        Err(text) => {
            let place = path.display().to_string();
            (file, vec![Problem { place, text }])
        }
    }
}

fn text(path: &Path) -> Result<String, String> {
    let read = || {
        let mut bytes = Vec::new();
        Opened::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|e: std::io::Error| format!("it cannot be read: {e}"))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it has more than {MAX_BYTES} bytes"));
    }
    String::from_utf8(bytes).map_err(|error| {
        format!("it is not UTF-8 at byte {}", error.utf8_error().valid_up_to() + 1)
    })
}

/// What a text says; its path is that of `file`.
pub fn parse(mut file: File, text: &str) -> (File, Vec<Problem>) {
    let line = |span: Option<Range<usize>>| {
        let before = span.map_or(0, |span| span.start.min(text.len()));
        text.as_bytes()[..before].iter().filter(|byte| **byte == b'\n').count() + 1
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut found = Found { entries: vec![], wrong: vec![] };
    for error in errors {
        found.wrong.push((line(error.span()), format!("not TOML: {}", error.message())));
    }
    // Keys that a broken line leaves behind would only be told a second time.
    if found.wrong.is_empty() {
        for (key, value) in table.get_ref() {
            let at = line(Some(key.span()));
            match (Role::named(key.get_ref()), value.get_ref()) {
                (Some(role), DeValue::Table(table)) => {
                    for (key, value) in table {
                        let at = line(Some(key.span()));
                        found.entry(Some(role), key.get_ref(), at, value.get_ref());
                    }
                }
                _ => found.entry(None, key.get_ref(), at, value.get_ref()),
            }
        }
    }
    found.entries.sort_by_key(|entry| entry.line);
    found.wrong.sort();
    let problem = |(at, text)| Problem { place: file.place(at), text };
    let problems = found.wrong.into_iter().map(problem).collect();
    file.entries = found.entries;
    (file, problems)
}

struct Found {
    entries: Vec<Entry>,
    wrong: Vec<(usize, String)>,
}

impl Found {
    fn entry(&mut self, role: Option<Role>, key: &str, line: usize, value: &DeValue<'_>) {
        let key = key.escape_debug().to_string();
        match value_of(value) {
            Ok(value) => self.entries.push(Entry { role, key, line, value }),
            Err(why) => self.wrong.push((line, format!("{key}: {why}"))),
        }
    }
}

fn value_of(value: &DeValue<'_>) -> Result<Value, String> {
    match value {
        DeValue::Array(items) => {
            let items = items.iter().map(|item| scalar(item.get_ref()));
            Ok(Value::List(items.collect::<Result<_, _>>()?))
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Table(_) => Ok(Value::One(scalar(value)?)),
    }
}

fn scalar(value: &DeValue<'_>) -> Result<Scalar, String> {
    match value {
        DeValue::String(text) => Ok(Scalar::Text(text.to_string())),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map(|number| Scalar::Text(number.to_string()))
            .map_err(|_| "the number is too large".to_owned()),
        DeValue::Float(number) => Ok(Scalar::Text(number.as_str().to_owned())),
        DeValue::Boolean(value) => Ok(Scalar::Bool(*value)),
        DeValue::Datetime(_) => Err("a time is no value: write it as a string".to_owned()),
        DeValue::Array(_) => Err("a list holds no lists".to_owned()),
        DeValue::Table(table) => from_file(table),
    }
}

fn from_file(table: &DeTable<'_>) -> Result<Scalar, String> {
    let mut entries = table.iter();
    let (Some((key, value)), None) = (entries.next(), entries.next()) else {
        return Err(NO_TABLE.to_owned());
    };
    match value.get_ref().as_str() {
        Some(path) if key.get_ref() == "file" => Ok(Scalar::From(path.into())),
        Some(_) | None => Err(NO_TABLE.to_owned()),
    }
}

const NO_TABLE: &str = "a table is named after a role: up, admin, gateway or worker; a value that stands in a file of its own is written { file = \"PATH\" }";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> (Vec<Entry>, Vec<String>) {
        let (file, problems) = parse(File { path: "f".into(), entries: vec![] }, text);
        (file.entries, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_value_has_its_role_and_its_line() {
        let (entries, problems) = parsed(
            "log = \"info\"\n\npartitions = 0x10\n[gateway]\nbody-max-bytes = 1_024\ninsecure-listen = true\n[worker]\nx = [\"a\", 2]\ny = {file = \"p\"}\n",
        );
        assert_eq!(problems, Vec::<String>::new());
        let text = |text: &str| Scalar::Text(text.to_owned());
        let found: Vec<_> = entries.into_iter().map(|e| (e.line, e.role, e.key, e.value)).collect();
        let one = Value::One;
        let expected = [
            (1, None, "log", one(text("info"))),
            (3, None, "partitions", one(text("16"))),
            (5, Some(Role::Gateway), "body-max-bytes", one(text("1024"))),
            (6, Some(Role::Gateway), "insecure-listen", one(Scalar::Bool(true))),
            (8, Some(Role::Worker), "x", Value::List(vec![text("a"), text("2")])),
            (9, Some(Role::Worker), "y", one(Scalar::From("p".into()))),
        ];
        assert_eq!(found, expected.map(|(l, r, k, v)| (l, r, k.to_owned(), v)));
    }

    #[test]
    fn what_is_no_setting_is_told_with_its_line() {
        let deep = format!("x = {}1{}", "[".repeat(5_000), "]".repeat(5_000));
        for (text, says) in [
            ("a = 1\nb = ", "f:2: not TOML"),
            ("a = 1\na = 2", "f:2: not TOML: duplicate key"),
            ("a = 99999999999999999999999999999999999999999", "f:1: a: the number is too large"),
            ("a = 2026-01-01", "f:1: a: a time is no value"),
            ("\na = [[1]]", "f:2: a: a list holds no lists"),
            ("[gatway]\nb = 1", "f:1: gatway: a table is named after a role"),
            ("a = {file = 1}", "f:1: a: a table is named after a role"),
            ("[gateway.http]\nb = 1\nc = 1", "f:1: http: a table is named after a role"),
            (&deep, "f:1: not TOML"),
        ] {
            let (_, problems) = parsed(text);
            assert!(problems.first().is_some_and(|p| p.starts_with(says)), "{problems:?}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let told = |path: &Path| {
            let (_, problems) = read(path);
            problems.iter().map(|problem| problem.text.clone()).collect::<Vec<_>>().join("; ")
        };
        assert!(told(&path).contains("cannot be read: No such file"));
        assert!(told(folder.path()).contains("cannot be read: Is a directory"));
        std::fs::write(&path, b"log = \"\xff\"").unwrap();
        assert_eq!(told(&path), "it is not UTF-8 at byte 8");
        std::fs::write(&path, vec![b'#'; 1024 * 1024]).unwrap();
        assert_eq!(told(&path), "");
        std::fs::write(&path, vec![b'#'; 1024 * 1024 + 1]).unwrap();
        assert_eq!(told(&path), "it has more than 1048576 bytes");
        assert_eq!(told(Path::new("/dev/zero")), "it has more than 1048576 bytes");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}=\"'.,#a-z0-9\n -]{0,200}") {
            parsed(&text);
        }
    }
}
