//! A payload as filters see it: its text and, if it is JSON, its value.
//!
//! Must not know how it was sent: encodings and forms are taken off before.

use std::borrow::Cow;

use crate::json::Json;

/// A payload.
#[derive(Clone, Debug)]
pub struct Payload<'a> {
    /// The whole text; bytes that are not UTF-8 are replaced.
    pub text: Cow<'a, str>,
}

impl<'a> Payload<'a> {
    /// The payload with these bytes; a byte order mark at the start is dropped.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        Self { text: String::from_utf8_lossy(bytes) }
    }

    /// Its value, if it is JSON of a depth that is looked into.
    #[must_use]
    pub fn json(&self) -> Option<Json<'_>> {
        Json::parse(&self.text).ok()
    }
}
