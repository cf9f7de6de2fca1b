//! `Prefer` (RFC 7240): whether and how long the sender waits for the outcome.
//!
//! Must not know Gander's own deadline: it can only be lowered by what is read here.

use std::fmt::Write as _;

use http::HeaderMap;

use crate::media::quoted_string;

/// What the sender prefers. What cannot be read is not preferred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefer {
    /// An answer as soon as the alert is stored.
    pub respond_async: bool,
    /// The longest that the sender wants to wait, in seconds.
    pub wait: Option<u32>,
}

impl Prefer {
    /// Reads all `Prefer` lines; of a repeated preference the first counts.
    #[must_use]
    pub fn parse(headers: &HeaderMap) -> Self {
        let mut prefer = Self::default();
        for line in headers.get_all("prefer") {
            let line = String::from_utf8_lossy(line.as_bytes());
            for (name, value) in preferences(&line) {
                if name.eq_ignore_ascii_case("respond-async") {
                    prefer.respond_async = true;
                } else if name.eq_ignore_ascii_case("wait") && prefer.wait.is_none() {
                    prefer.wait = value.parse().ok();
                }
            }
        }
        prefer
    }

    /// Whether the answer waits for the outcome at all.
    #[must_use]
    pub fn waits(self) -> bool {
        self.wait.map_or(!self.respond_async, |seconds| seconds > 0)
    }

    /// The `Preference-Applied` of the answer; `deferred` where it was given before the outcome.
    #[must_use]
    pub fn applied(self, deferred: bool) -> Option<String> {
        let mut applied = String::new();
        if self.respond_async && deferred {
            applied.push_str("respond-async");
        }
        if let Some(seconds) = self.wait {
            let separator = if applied.is_empty() { "" } else { ", " };
            write!(applied, "{separator}wait={seconds}").expect("a String takes every text");
        }
        (!applied.is_empty()).then_some(applied)
    }
}

/// The preferences of a line, in order, with their values; their parameters are passed over.
fn preferences(line: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        if rest.is_empty() {
            return found;
        }
        let end = rest.find(['=', ',', ';']).unwrap_or(rest.len());
        let name = rest[..end].trim();
        let (value, after) = value(&rest[end..]);
        found.push((name, value));
        rest = skip_parameters(after);
    }
}

fn value(text: &str) -> (String, &str) {
    let Some(text) = text.strip_prefix('=') else { return (String::new(), text) };
    let text = text.trim_start();
    if let Some(quoted) = text.strip_prefix('"') {
        return quoted_string(quoted);
    }
    let end = text.find([',', ';']).unwrap_or(text.len());
    (text[..end].trim().to_owned(), &text[end..])
}

/// What follows the next comma that is outside quotes.
fn skip_parameters(text: &str) -> &str {
    let mut rest = text;
    while let Some(at) = rest.find([',', '"']) {
        let (found, after) = rest[at..].split_at(1);
        if found == "," {
            return after;
        }
        rest = quoted_string(after).1;
    }
    ""
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn check(lines: &[&'static str], respond_async: bool, wait: Option<u32>) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("prefer", HeaderValue::from_static(line));
        }
        assert_eq!(Prefer::parse(&headers), Prefer { respond_async, wait }, "{lines:?}");
    }

    #[test]
    fn preferences_are_read() {
        check(&[], false, None);
        check(&["respond-async"], true, None);
        check(&["Respond-Async, WAIT=5"], true, Some(5));
        check(&["respond-async; x=\"a,b\", wait=\"2\""], true, Some(2));
        check(&["return=minimal", "wait = 0"], false, Some(0));
        check(&["wait=1, wait=2", "wait=3"], false, Some(1));
        check(&["foo=\"respond-async, wait=9\""], false, None);
        check(&["wait", "wait=", "wait=-1", "wait=soon", "wait=99999999999"], false, None);
        check(&[",,;=\"", "=,="], false, None);
    }

    #[test]
    fn what_was_applied_is_said() {
        let both = Prefer { respond_async: true, wait: Some(3) };
        assert_eq!(both.applied(true).as_deref(), Some("respond-async, wait=3"));
        assert_eq!(both.applied(false).as_deref(), Some("wait=3"));
        assert_eq!(Prefer::default().applied(true), None);
        let at_once = Prefer { respond_async: true, wait: None };
        assert_eq!(at_once.applied(true).as_deref(), Some("respond-async"));
    }

    #[test]
    fn only_who_wants_an_outcome_waits() {
        for (respond_async, wait, waits) in [
            (false, None, true),
            (false, Some(0), false),
            (false, Some(1), true),
            (true, None, false),
            (true, Some(0), false),
            (true, Some(1), true),
        ] {
            assert_eq!(Prefer { respond_async, wait }.waits(), waits, "{respond_async} {wait:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(line in "[ -~]{0,60}") {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_str(&line) {
                headers.append("prefer", value);
            }
            let _ = Prefer::parse(&headers);
        }
    }
}
