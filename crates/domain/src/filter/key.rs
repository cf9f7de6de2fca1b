//! Keys: paths into a JSON payload, a subset of RFC 9535.
//!
//! Must not know what is done with the values found.

use std::fmt;

use super::{Error, MAX_KEY_CHARACTERS, MAX_KEY_STEPS};
use crate::json::Json;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The member of an object with this name.
    Name(String),
    /// The element of an array with this number, from 0.
    Element(usize),
    /// Any element of an array.
    AnyElement,
}

/// A key: names joined by dots, `[n]` for an element, `[*]` for any element, `["odd.name"]`, an
/// optional leading `$`. Names are case-sensitive. A member of the top level whose name is the
/// whole text of the key wins over the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    text: String,
    steps: Vec<Step>,
}

impl Key {
    /// Reads a key.
    ///
    /// # Errors
    /// It is empty, too long or no path.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let characters = text.chars().count();
        if characters == 0 || characters > MAX_KEY_CHARACTERS {
            return Err(Error::KeyLength);
        }
        let steps = Reader { text, rest: text }.steps()?;
        if steps.len() > MAX_KEY_STEPS {
            return Err(Error::KeyLength);
        }
        Ok(Self { text: text.to_owned(), steps })
    }

    /// Its text, as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path that it is.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether it may find more than one value.
    #[must_use]
    pub fn finds_many(&self) -> bool {
        self.steps.contains(&Step::AnyElement)
    }

    /// The values at this key, in the order sent; more than one only with `[*]`.
    #[must_use]
    pub fn find<'v, 'a>(&self, root: &'v Json<'a>) -> Vec<&'v Json<'a>> {
        if let Some(value) = root.member(&self.text) {
            return vec![value];
        }
        self.steps.iter().fold(vec![root], |found, step| {
            found.into_iter().flat_map(|value| step.follow(value)).collect()
        })
    }

    /// Puts a value in the place of each value at this key. Both readings of the key count, the path
    /// and the member of the top level whose name is its whole text.
    pub fn replace<'a>(&self, root: &mut Json<'a>, value: &Json<'a>) {
        if let Some(found) = root.member_mut(&self.text) {
            found.clone_from(value);
        }
        let found = self.steps.iter().fold(vec![root], |found, step| {
            found.into_iter().flat_map(|value| step.follow_mut(value)).collect()
        });
        for place in found {
            place.clone_from(value);
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Step {
    fn follow<'v, 'a>(&self, value: &'v Json<'a>) -> &'v [Json<'a>] {
        match self {
            Self::Name(name) => value.member(name).map_or(&[], std::slice::from_ref),
            Self::Element(n) => {
                value.elements().and_then(|all| all.get(*n)).map_or(&[], std::slice::from_ref)
            }
            Self::AnyElement => value.elements().unwrap_or(&[]),
        }
    }

    fn follow_mut<'v, 'a>(&self, value: &'v mut Json<'a>) -> &'v mut [Json<'a>] {
        match self {
            Self::Name(name) => value.member_mut(name).map_or(&mut [], std::slice::from_mut),
            Self::Element(n) => value
                .elements_mut()
                .and_then(|all| all.get_mut(*n))
                .map_or(&mut [], std::slice::from_mut),
            Self::AnyElement => value.elements_mut().unwrap_or(&mut []),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn wrong(&self) -> Error {
        let read = &self.text[..self.text.len() - self.rest.len()];
        Error::Key(read.chars().count() + 1)
    }

    fn steps(mut self) -> Result<Vec<Step>, Error> {
        let mut steps = Vec::new();
        match self.rest.strip_prefix('$') {
            Some(rest) if rest.starts_with(['.', '[']) => self.rest = rest,
            Some(_) | None if self.rest.starts_with('[') => {}
            Some(_) | None => steps.push(self.name()?),
        }
        while !self.rest.is_empty() {
            let step = if let Some(rest) = self.rest.strip_prefix('.') {
                self.rest = rest;
                self.name()?
            } else if let Some(rest) = self.rest.strip_prefix('[') {
                self.rest = rest;
                self.bracket()?
            } else {
                return Err(self.wrong());
            };
            steps.push(step);
        }
        Ok(steps)
    }

    fn name(&mut self) -> Result<Step, Error> {
        let end = self.rest.find(['.', '[', ']']).unwrap_or(self.rest.len());
        if end == 0 {
            return Err(self.wrong());
        }
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(Step::Name(name.to_owned()))
    }

    fn bracket(&mut self) -> Result<Step, Error> {
        let (step, rest) = if let Some(rest) = self.rest.strip_prefix('*') {
            (Step::AnyElement, rest)
        } else if self.rest.starts_with(['"', '\'']) {
            self.quoted()?
        } else {
            let end = self.rest.find(']').ok_or(self.wrong())?;
            let (digits, rest) = self.rest.split_at(end);
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let number = digits.parse().ok().filter(|_| plain).ok_or(self.wrong())?;
            (Step::Element(number), rest)
        };
        self.rest = rest.strip_prefix(']').ok_or(self.wrong())?;
        Ok(step)
    }

    /// A quoted name; a backslash takes the next character as it is.
    fn quoted(&self) -> Result<(Step, &'a str), Error> {
        let mut characters = self.rest.char_indices();
        let quote = characters.next().map(|(_, quote)| quote);
        let mut name = String::new();
        while let Some((at, character)) = characters.next() {
            if Some(character) == quote {
                return Ok((Step::Name(name), &self.rest[at + character.len_utf8()..]));
            }
            let plain =
                if character == '\\' { characters.next().map(|(_, c)| c) } else { Some(character) };
            name.push(plain.ok_or(self.wrong())?);
        }
        Err(self.wrong())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(key: &str, payload: &str, expected: &[&str]) {
        let root = Json::parse(payload).unwrap();
        let found: Vec<_> =
            Key::parse(key).unwrap().find(&root).iter().map(|v| v.text().into_owned()).collect();
        assert_eq!(found, expected, "{key}");
    }

    #[test]
    fn a_key_finds_what_it_names() {
        let payload = r#"{"a": {"b": [1, {"c": "x"}, {"c": "y"}], "d.e": true}, "a.b": "top", "$": 5, "": 6}"#;
        check("a.b", payload, &["top"]);
        check("$.a.b", payload, &[r#"[1,{"c":"x"},{"c":"y"}]"#]);
        check("$.a.b[1].c", payload, &["x"]);
        check("$.a.b[*].c", payload, &["x", "y"]);
        check(r#"a["d.e"]"#, payload, &["true"]);
        check(r#"["a"]['d.e']"#, payload, &["true"]);
        check("$", payload, &["5"]);
        check(r#"[""]"#, payload, &["6"]);
        check("A", payload, &[]);
        check("a.b[0].c", payload, &[]);
        check("a[0]", payload, &[]);
        check("[0]", r#"["x"]"#, &["x"]);
        check("$[*]", r#"["x", "y"]"#, &["x", "y"]);
    }

    #[test]
    fn a_key_replaces_what_it_names_in_either_reading() {
        let check = |key: &str, expected: &str| {
            let text = r#"{"a": {"b": [{"c": 1}, {"c": {"d": 2}}]}, "a.b": 3, "e": 4, "e": 5}"#;
            let mut root = Json::parse(text).unwrap();
            Key::parse(key).unwrap().replace(&mut root, &Json::String("X".into()));
            assert_eq!(root.compact(), expected, "{key}");
        };
        check("a.b", r#"{"a":{"b":"X"},"a.b":"X","e":5}"#);
        check("a.b[*].c", r#"{"a":{"b":[{"c":"X"},{"c":"X"}]},"a.b":3,"e":5}"#);
        check("$.a.b[1].c.d", r#"{"a":{"b":[{"c":1},{"c":{"d":"X"}}]},"a.b":3,"e":5}"#);
        check("e", r#"{"a":{"b":[{"c":1},{"c":{"d":2}}]},"a.b":3,"e":"X"}"#);
        check("f", r#"{"a":{"b":[{"c":1},{"c":{"d":2}}]},"a.b":3,"e":5}"#);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in [
            "a.",
            ".a",
            "a..b",
            "a[",
            "a[]",
            "a[-1]",
            "a[+1]",
            "a[1",
            "a[1]b",
            "a]",
            "a['b",
            "a['b\\",
            "$.",
            "a[99999999999999999999999]",
        ] {
            assert!(matches!(Key::parse(text), Err(Error::Key(_))), "{text}");
        }
        assert_eq!(Key::parse(""), Err(Error::KeyLength));
        assert_eq!(Key::parse(&"a".repeat(513)), Err(Error::KeyLength));
        assert_eq!(Key::parse(&["a"; 33].join(".")), Err(Error::KeyLength));
        assert!(Key::parse(&["a"; 32].join(".")).is_ok());
    }

    fn model<'v>(
        root: &'v serde_json::Value,
        steps: &[(bool, usize)],
    ) -> Vec<&'v serde_json::Value> {
        steps.iter().fold(vec![root], |found, (any, n)| {
            let mut next = Vec::new();
            for value in found {
                if *any {
                    next.extend(value.as_array().into_iter().flatten());
                } else {
                    next.extend(value.get(format!("k{n}")));
                }
            }
            next
        })
    }

    fn payloads() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            "[a-c]{0,3}".prop_map(Into::into)
        ];
        leaf.prop_recursive(4, 40, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map("k[0-3]", inner, 0..4)
                    .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_key_finds_what_a_plain_walk_finds(payload in payloads(), steps in prop::collection::vec((any::<bool>(), 0..4usize), 1..5)) {
            let text: String = steps.iter().map(|(any, n)| if *any { "[*]".to_owned() } else { format!(".k{n}") }).collect();
            let json = payload.to_string();
            let root = Json::parse(&json).unwrap();
            let found: Vec<_> = Key::parse(&format!("${text}")).unwrap().find(&root).into_iter().cloned().collect();
            let expected: Vec<_> = model(&payload, &steps).into_iter().map(ToString::to_string).collect();
            let expected: Vec<_> = expected.iter().map(|text| Json::parse(text).unwrap()).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn no_text_makes_it_panic(text: String, path in r#"[$.a\[\]*"'\\0-9]{0,20}"#) {
            let _ = Key::parse(&text);
            let _ = Key::parse(&path);
        }
    }
}
