//! A payload as filters see it: its text and, if it is JSON, its value.
//!
//! Each view of it is made at most once, however many services look at it. Must not know how it
//! was sent: encodings and forms are taken off before.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::filter::{Item, Key, contains_all, lower, lower_into};
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
    /// What keys with `[*]` find, by their text.
    many: RefCell<BTreeMap<String, Rc<Many>>>,
}

/// The values that a key finds, in lower case, one after the other.
#[derive(Debug)]
struct Many {
    lower: String,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Many {
    /// Whether one value has all the items. Each place of the text is looked at once an item, however
    /// many values there are.
    fn any_has(&self, items: &[Item]) -> bool {
        let Some(longest) = items.iter().max_by_key(|item| item.lower().len()) else {
            return !self.ends.is_empty();
        };
        // Mostly one of them is nowhere.
        if !contains_all(&self.lower, items) {
            return false;
        }
        let mut from = 0;
        while let Some(at) = self.lower[from..].find(longest.lower()) {
            let value = self.ends.partition_point(|end| *end <= from + at);
            let start = value.checked_sub(1).map_or(0, |before| self.ends[before]);
            let end = self.ends[value];
            if contains_all(&self.lower[start..end], items) {
                return true;
            }
            from = end;
        }
        false
    }
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
            many: RefCell::default(),
        }
    }

    /// Whether a value that the key finds has all the items.
    #[must_use]
    pub fn any_has(&self, key: &Key, items: &[Item]) -> bool {
        let Some(json) = self.json() else { return false };
        if !key.finds_many() {
            let holds = |text: &str| contains_all(text, items);
            return key.find(json).iter().any(|value| self.in_lower(value, holds));
        }
        let known = self.many.borrow().get(key.as_str()).cloned();
        let many = known.unwrap_or_else(|| {
            let (mut lower, mut ends, mut one) = (String::new(), Vec::new(), String::new());
            for value in key.find(json) {
                lower_into(&value.text(), &mut one);
                lower.push_str(&one);
                ends.push(lower.len());
            }
            let made = Rc::new(Many { lower, ends });
            self.remember(key, &made);
            made
        });
        many.any_has(items)
    }

    fn remember(&self, key: &Key, made: &Rc<Many>) {
        let mut large = self.large.borrow_mut();
        let bytes = made.lower.len() + made.ends.len() * size_of::<usize>() + ENTRY;
        if large.bytes + bytes <= REMEMBERED {
            large.bytes += bytes;
            self.many.borrow_mut().insert(key.as_str().to_owned(), Rc::clone(made));
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
            Json::Array(_) | Json::Object(_) => value.is_within(SMALL),
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
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn many_values_are_searched_as_each_by_itself(
            values in prop::collection::vec("[abA]{0,6}", 0..8),
            items in prop::collection::vec("[ab]{1,3}", 1..4),
        ) {
            let text = serde_json::to_string(&values).unwrap();
            let items: Vec<_> = items.iter().map(|item| Item::parse(item).unwrap()).collect();
            let payload = Payload::new(&text);
            let each = values.iter().any(|value| contains_all(&lower(value), &items));
            for _ in 0..2 {
                prop_assert_eq!(payload.any_has(&Key::parse("[*]").unwrap(), &items), each);
            }
        }
    }

    #[test]
    fn a_large_value_is_made_lower_case_once() {
        let (long, array) = ("Ä".repeat(SMALL), "X".repeat(SMALL));
        let text = format!(r#"{{"a": "{long}", "b": ["{array}"], "c": "Y", "d": ["Z"]}}"#);
        let payload = Payload::new(&text);
        let json = payload.json().unwrap();
        for (name, expected) in
            [("a", "ä".repeat(SMALL)), ("b", format!(r#"["{}"]"#, "x".repeat(SMALL)))]
        {
            let value = json.member(name).unwrap();
            let first = payload.in_lower(value, |text| (text.to_owned(), text.as_ptr()));
            assert_eq!(first.0, expected);
            assert_eq!(payload.in_lower(value, |text| (text.to_owned(), text.as_ptr())), first);
        }
        assert_eq!(payload.in_lower(json.member("c").unwrap(), str::to_owned), "y");
        assert_eq!(payload.in_lower(json.member("d").unwrap(), str::to_owned), r#"["z"]"#);
        assert_eq!(payload.large.borrow().values.len(), 2, "small ones are not remembered");
    }
}
