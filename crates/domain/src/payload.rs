//! A payload as filters see it: its text and, if it is JSON, its value.
//!
//! Each view of it is made at most once, however many services look at it. Must not know how it
//! was sent: encodings and forms are taken off before.

use std::borrow::Cow;
use std::cell::OnceCell;

use crate::filter::lower;
use crate::json::Json;

/// The text of these bytes: a byte order mark at the start is dropped, bytes that are not UTF-8
/// are replaced.
#[must_use]
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))
}

/// A payload.
#[derive(Clone, Debug)]
pub struct Payload<'a> {
    /// The whole text.
    pub text: &'a str,
    json: OnceCell<Option<Json<'a>>>,
    lower: OnceCell<String>,
}

impl<'a> Payload<'a> {
    /// The payload with this text.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self { text, json: OnceCell::new(), lower: OnceCell::new() }
    }

    /// Its value, if it is JSON of a depth that is looked into.
    #[must_use]
    pub fn json(&self) -> Option<&Json<'a>> {
        self.json.get_or_init(|| Json::parse(self.text).ok()).as_ref()
    }

    /// Its text as it is searched: each character in its lower case.
    #[must_use]
    pub fn lower(&self) -> &str {
        self.lower.get_or_init(|| lower(self.text))
    }
}
