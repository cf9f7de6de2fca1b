//! A payload as filters see it: its text and, if it is JSON, its value.
//!
//! Each view of it is made at most once, however many services look at it. Must not know how it
//! was sent: encodings and forms are taken off before.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::filter::{lower, lower_into};
use crate::json::Json;

/// Values up to this many bytes are made lower case each time: that costs less than to remember it.
const SMALL: usize = 256;
/// About the most bytes of values that are remembered in lower case.
const REMEMBERED: usize = 16 * 1024 * 1024;
/// About what remembering one takes beside its text.
const ENTRY: usize = 64;

/// The text of these bytes: a byte order mark at the start is dropped, bytes that are not UTF-8
/// are replaced.
#[must_use]
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))
}

/// A payload. Not to be cloned: what it remembers is by where values are.
#[derive(Debug)]
pub struct Payload<'a> {
    /// The whole text.
    pub text: &'a str,
    json: OnceCell<Option<Json<'a>>>,
    lower: OnceCell<String>,
    /// Where small values are made lower case.
    small: RefCell<String>,
    large: RefCell<Large>,
}

/// Large values in lower case, by where they are.
#[derive(Debug, Default)]
struct Large {
    values: BTreeMap<usize, Rc<str>>,
    bytes: usize,
}

impl<'a> Payload<'a> {
    /// The payload with this text.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            json: OnceCell::new(),
            lower: OnceCell::new(),
            small: RefCell::default(),
            large: RefCell::default(),
        }
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

    /// What is asked of the text of a value of this payload, each character in its lower case. However
    /// many conditions look at a large value, that is made once.
    pub fn in_lower<T>(&self, value: &Json<'_>, ask: impl FnOnce(&str) -> T) -> T {
        let small = match value {
            Json::Null | Json::Bool(_) | Json::Number(_) => true,
            Json::String(text) => text.len() <= SMALL,
            Json::Array(_) | Json::Object(_) => false,
        };
        if small {
            let mut buffer = self.small.take();
            lower_into(&value.text(), &mut buffer);
            let answer = ask(&buffer);
            self.small.replace(buffer);
            return answer;
        }
        // Values of a payload stay where they are as long as it lives.
        let place = std::ptr::from_ref(value).addr();
        let known = self.large.borrow().values.get(&place).cloned();
        if let Some(known) = known {
            return ask(&known);
        }
        let made: Rc<str> = lower(&value.text()).into();
        let mut large = self.large.borrow_mut();
        let bytes = made.len() + ENTRY;
        if large.bytes + bytes <= REMEMBERED {
            large.bytes += bytes;
            large.values.insert(place, Rc::clone(&made));
        }
        drop(large);
        ask(&made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_value_is_made_lower_case_once() {
        let text = format!(r#"{{"a": "{}", "b": ["X"], "c": "Y"}}"#, "Ä".repeat(SMALL));
        let payload = Payload::new(&text);
        let json = payload.json().unwrap();
        for (name, expected) in [("a", "ä".repeat(SMALL)), ("b", r#"["x"]"#.to_owned())] {
            let value = json.member(name).unwrap();
            let first = payload.in_lower(value, |text| (text.to_owned(), text.as_ptr()));
            assert_eq!(first.0, expected);
            assert_eq!(payload.in_lower(value, |text| (text.to_owned(), text.as_ptr())), first);
        }
        assert_eq!(payload.in_lower(json.member("c").unwrap(), str::to_owned), "y");
        assert_eq!(payload.large.borrow().values.len(), 2, "small ones are not remembered");
    }
}
