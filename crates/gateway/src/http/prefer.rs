//! `Prefer` (RFC 7240): how long a client wants to wait for the outcome.
//!
//! Must not know what is waited for.

use std::time::Duration;

use http::HeaderMap;

/// What a client prefers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefer {
    /// It does not want to wait.
    pub respond_async: bool,
    /// It wants to wait at most this long.
    pub wait: Option<Duration>,
}

/// Reads what the client prefers; what cannot be read is passed over, as the RFC says.
pub fn prefer(headers: &HeaderMap) -> Prefer {
    let mut prefer = Prefer::default();
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    for preference in values.flat_map(|value| value.split(',')) {
        let preference = preference.split(';').next().unwrap_or_default();
        let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
        if name.trim().eq_ignore_ascii_case("respond-async") {
            prefer.respond_async = true;
        } else if name.trim().eq_ignore_ascii_case("wait") {
            let seconds = value.trim().trim_matches('"').parse::<u32>().ok();
            prefer.wait = prefer.wait.or(seconds.map(|n| Duration::from_secs(u64::from(n))));
        }
    }
    prefer
}

impl Prefer {
    /// What to say was honoured.
    pub const fn applied(self) -> Option<&'static str> {
        if self.respond_async { Some("respond-async") } else { None }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn read(value: &str) -> Prefer {
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert("prefer", value);
        }
        prefer(&headers)
    }

    #[test]
    fn preferences_are_read_and_odd_ones_passed_over() {
        let wait = |n| Some(Duration::from_secs(n));
        assert_eq!(read("respond-async"), Prefer { respond_async: true, wait: None });
        assert_eq!(read("Respond-Async, wait=0"), Prefer { respond_async: true, wait: wait(0) });
        assert_eq!(read("wait=\"5\"; x=y, wait=7"), Prefer { respond_async: false, wait: wait(5) });
        assert_eq!(read("return=minimal, wait=-1"), Prefer::default());
    }

    proptest! {
        #[test]
        fn no_value_makes_it_panic(value: String) {
            let _ = read(&value);
        }
    }
}
