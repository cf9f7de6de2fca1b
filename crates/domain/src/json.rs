//! JSON as Gander's rules see it: numbers keep their digits as sent, members their order.
//!
//! A strict reader of RFC 8259 with bounded depth. Must not know filters or payloads.

use std::borrow::Cow;
use std::collections::HashMap;

/// How deep arrays and objects may nest; deeper text counts as no JSON.
pub const MAX_DEPTH: usize = 128;

/// A JSON value. Borrows from the text that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, with its digits as sent.
    Number(&'a str),
    /// A string, unescaped.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Self>),
    /// An object: its members in the order sent, of duplicate names the last.
    Object(Vec<(Cow<'a, str>, Self)>),
}

/// Why a text is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It breaks the grammar at this byte.
    #[error("not JSON at byte {0}")]
    Syntax(usize),
    /// It nests deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH}")]
    TooDeep,
}

impl<'a> Json<'a> {
    /// Reads one JSON value that is the whole text, white space aside.
    ///
    /// # Errors
    /// The text is no JSON or nests too deep.
    pub fn parse(text: &'a str) -> Result<Self, Error> {
        let mut reader = Reader { text, at: 0 };
        reader.skip_space();
        let value = reader.value(0)?;
        reader.skip_space();
        if reader.at == text.len() { Ok(value) } else { Err(reader.wrong()) }
    }

    /// The member with this name.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => {
                members.iter().find(|(found, _)| found == name).map(|(_, value)| value)
            }
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) | Self::Array(_) => None,
        }
    }

    /// The elements, if it is an array.
    #[must_use]
    pub fn elements(&self) -> Option<&[Self]> {
        match self {
            Self::Array(elements) => Some(elements),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) | Self::Object(_) => {
                None
            }
        }
    }

    /// The member with this name, to be changed.
    pub fn member_mut(&mut self, name: &str) -> Option<&mut Self> {
        match self {
            Self::Object(members) => {
                members.iter_mut().find(|(found, _)| found == name).map(|(_, value)| value)
            }
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) | Self::Array(_) => None,
        }
    }

    /// The elements, if it is an array, to be changed.
    pub fn elements_mut(&mut self) -> Option<&mut [Self]> {
        match self {
            Self::Array(elements) => Some(elements),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) | Self::Object(_) => {
                None
            }
        }
    }

    /// It as compact JSON.
    #[must_use]
    pub fn compact(&self) -> String {
        let mut text = String::new();
        self.write_compact(&mut text);
        text
    }

    /// The text that conditions search: a string as it is, everything else as compact JSON.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::String(text) => Cow::Borrowed(text),
            Self::Number(digits) => Cow::Borrowed(digits),
            Self::Null => Cow::Borrowed("null"),
            Self::Bool(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
            Self::Array(_) | Self::Object(_) => Cow::Owned(self.compact()),
        }
    }

    /// Whether its text surely takes no more than so many bytes; looked at without making it.
    pub(crate) fn is_within(&self, bytes: usize) -> bool {
        self.less(bytes).is_some()
    }

    /// How many of these bytes are surely left behind its text.
    fn less(&self, bytes: usize) -> Option<usize> {
        // As compact JSON a character of a string takes up to 6 bytes.
        let of_text = |text: &str| 6 * text.len() + 2;
        match self {
            Self::Null | Self::Bool(_) => bytes.checked_sub(5),
            Self::Number(digits) => bytes.checked_sub(digits.len()),
            Self::String(text) => bytes.checked_sub(of_text(text)),
            Self::Array(elements) => elements
                .iter()
                .try_fold(bytes.checked_sub(2)?, |left, one| one.less(left)?.checked_sub(1)),
            Self::Object(members) => members.iter().try_fold(bytes.checked_sub(2)?, |left, one| {
                one.1.less(left)?.checked_sub(of_text(&one.0) + 2)
            }),
        }
    }

    fn write_compact(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(digits) => out.push_str(digits),
            Self::String(text) => write_string(text, out),
            Self::Array(elements) => {
                out.push('[');
                for (n, element) in elements.iter().enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    element.write_compact(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (n, (name, value)) in members.iter().enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    write_string(name, out);
                    out.push(':');
                    value.write_compact(out);
                }
                out.push('}');
            }
        }
    }
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            low if low < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(low))),
            other => out.push(other),
        }
    }
    out.push('"');
}

/// Reads from left to right. Its recursion is bounded by [`MAX_DEPTH`].
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    const fn wrong(&self) -> Error {
        Error::Syntax(self.at)
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn literal(&mut self, word: &str, value: Json<'a>) -> Result<Json<'a>, Error> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.wrong());
        }
        self.at += word.len();
        Ok(value)
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>, Error> {
        match self.peek() {
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'"') => self.string().map(Json::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true", Json::Bool(true)),
            Some(b'f') => self.literal("false", Json::Bool(false)),
            Some(b'n') => self.literal("null", Json::Null),
            Some(_) | None => Err(self.wrong()),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json<'a>, Error> {
        if depth > MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        self.at += 1;
        let mut elements = Vec::new();
        self.skip_space();
        if self.eat(b']') {
            return Ok(Json::Array(elements));
        }
        loop {
            self.skip_space();
            elements.push(self.value(depth)?);
            self.skip_space();
            if self.eat(b']') {
                return Ok(Json::Array(elements));
            }
            if !self.eat(b',') {
                return Err(self.wrong());
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>, Error> {
        if depth > MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        self.at += 1;
        let mut members = Vec::new();
        self.skip_space();
        if self.eat(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.wrong());
            }
            let name = self.string()?;
            self.skip_space();
            if !self.eat(b':') {
                return Err(self.wrong());
            }
            self.skip_space();
            members.push((name, self.value(depth)?));
            self.skip_space();
            if self.eat(b'}') {
                return Ok(Json::Object(last_of_each(members)));
            }
            if !self.eat(b',') {
                return Err(self.wrong());
            }
        }
    }

    fn number(&mut self) -> Result<Json<'a>, Error> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        Ok(Json::Number(&self.text[start..self.at]))
    }

    fn digits(&mut self) -> Result<(), Error> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(self.wrong()) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        self.at += 1;
        let mut owned: Option<String> = None;
        let mut start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let rest = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(match owned {
                        Some(text) => Cow::Owned(text + rest),
                        None => Cow::Borrowed(rest),
                    });
                }
                Some(b'\\') => {
                    let text = owned.get_or_insert_default();
                    text.push_str(&self.text[start..self.at]);
                    self.at += 1;
                    let character = self.escape()?;
                    owned.get_or_insert_default().push(character);
                    start = self.at;
                }
                Some(0..=0x1f) | None => return Err(self.wrong()),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<char, Error> {
        let byte = self.peek().ok_or(self.wrong())?;
        self.at += 1;
        match byte {
            b'"' | b'\\' | b'/' => Ok(char::from(byte)),
            b'b' => Ok('\u{8}'),
            b'f' => Ok('\u{c}'),
            b'n' => Ok('\n'),
            b'r' => Ok('\r'),
            b't' => Ok('\t'),
            b'u' => self.unicode(),
            _ => Err(self.wrong()),
        }
    }

    /// Half of a pair, which RFC 8259 section 8.2 allows, is read as what stands for bytes that are no
    /// UTF-8: senders cut texts in the middle of a character, and the rest of the alert counts.
    fn unicode(&mut self) -> Result<char, Error> {
        let first = self.four_hex()?;
        let mut code = first;
        if (0xd800..=0xdbff).contains(&first) {
            let before = self.at;
            let second =
                if self.eat(b'\\') && self.eat(b'u') { self.four_hex().ok() } else { None };
            match second.filter(|second| (0xdc00..=0xdfff).contains(second)) {
                Some(second) => code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                None => self.at = before,
            }
        }
        Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn four_hex(&mut self) -> Result<u32, Error> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).ok_or(self.wrong())?;
        let mut code = 0;
        for digit in digits {
            let value = char::from(*digit).to_digit(16).ok_or(self.wrong())?;
            code = code * 16 + value;
        }
        self.at += 4;
        Ok(code)
    }
}

/// Of members with the same name only the last, at its own place. Linear also for many.
fn last_of_each<'a>(members: Vec<(Cow<'a, str>, Json<'a>)>) -> Vec<(Cow<'a, str>, Json<'a>)> {
    let mut last = HashMap::with_capacity(members.len());
    for (n, (name, _)) in members.iter().enumerate() {
        last.insert(name.clone(), n);
    }
    if last.len() == members.len() {
        return members;
    }
    let members = members.into_iter().enumerate();
    members.filter(|(n, (name, _))| last.get(name) == Some(n)).map(|(_, member)| member).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same value as another well-known reader sees it, numbers aside.
    fn same(ours: &Json<'_>, theirs: &serde_json::Value) -> bool {
        match (ours, theirs) {
            (Json::Null, serde_json::Value::Null) => true,
            (Json::Bool(a), serde_json::Value::Bool(b)) => a == b,
            (Json::Number(a), serde_json::Value::Number(b)) => a.parse::<f64>().ok() == b.as_f64(),
            (Json::String(a), serde_json::Value::String(b)) => a == b,
            (Json::Array(a), serde_json::Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
            }
            (Json::Object(a), serde_json::Value::Object(b)) => {
                a.len() == b.len()
                    && a.iter().all(|(name, a)| b.get(&**name).is_some_and(|b| same(a, b)))
            }
            _ => false,
        }
    }

    fn check(text: &str) -> Result<(), TestCaseError> {
        let theirs = serde_json::from_str::<serde_json::Value>(text);
        match (Json::parse(text), theirs) {
            (Ok(ours), Ok(theirs)) => prop_assert!(same(&ours, &theirs), "{text}"),
            (Err(_), Err(_)) => {}
            // That reader refuses numbers beyond its range, which this one keeps as digits.
            (Ok(_), Err(error)) => prop_assert!(error.to_string().contains("range"), "{text}"),
            (Err(error), Ok(_)) => prop_assert!(error == Error::TooDeep, "{text}: {error}"),
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_another_reader_does(text in r#"[\[\]{}:,"\\ntrue0-9.eE+ua-f -]{0,40}"#) {
            check(&text)?;
        }

        #[test]
        fn any_unicode_text_is_read_as_another_reader_does(text: String) {
            check(&text)?;
            check(&serde_json::to_string(&text).unwrap_or_default())?;
        }

        #[test]
        fn compact_text_is_read_back_the_same(text in r#"(\{"a": ?\[1\.0, ?"x\\n", null\], ?"b": ?\{\}\}|\[true, ?-0, ?1e5\])"#) {
            let value = Json::parse(&text).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let compact = value.text().into_owned();
            prop_assert!(!compact.contains(' '));
            prop_assert_eq!(Json::parse(&compact), Ok(value.clone()));
        }
    }

    #[test]
    fn numbers_keep_their_digits_and_members_their_order() {
        let value = Json::parse(
            r#" {"b": 1.0, "a": [1e5, -0, 12345678901234567890123], "é": "\u00e9\ud83d\ude00"} "#,
        );
        assert_eq!(
            value.map(|value| value.text().into_owned()),
            Ok(r#"{"b":1.0,"a":[1e5,-0,12345678901234567890123],"é":"é😀"}"#.to_owned())
        );
    }

    #[test]
    fn half_a_pair_is_replaced_and_the_rest_is_read() {
        for (text, expected) in [
            (r#""a\ud83d""#, "a\u{fffd}"),
            (r#""\ud83dx""#, "\u{fffd}x"),
            (r#""\ud83d\n""#, "\u{fffd}\n"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\ude00""#, "\u{fffd}"),
            (r#""\ud83d\u0041""#, "\u{fffd}A"),
        ] {
            assert_eq!(
                Json::parse(text).map(|value| value.text().into_owned()),
                Ok(expected.into())
            );
        }
        for text in [r#""\ud83d\u00""#, r#""\ud8""#, r#""\ud83d\x""#] {
            assert!(Json::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn of_duplicate_names_the_last_counts() {
        let value = Json::parse(r#"{"a": 1, "b": 2, "a": 3}"#);
        assert_eq!(value.map(|value| value.text().into_owned()), Ok(r#"{"b":2,"a":3}"#.to_owned()));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Json::parse(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(Json::parse(&nested(MAX_DEPTH + 1)), Err(Error::TooDeep));
        assert_eq!(Json::parse(&"[".repeat(1_000_000)), Err(Error::TooDeep));
    }
}
