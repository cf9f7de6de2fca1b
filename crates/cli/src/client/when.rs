//! Points in time on the command line: `now` or `never`, a span such as `30d`, or an RFC 3339 time.
//! A span is from here on, or ago.
//!
//! Must not know what happens then.

use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};

use domain::time::Timestamp;
use runtime::clock::Clock;
use wire::timestamp::Timestamp as ProtoTime;

/// When something stops working.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Never.
    Never,
    /// So long from now.
    In(Duration),
    /// At this time.
    At(Timestamp),
}

impl FromStr for When {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "never" {
            return Ok(Self::Never);
        }
        if let Ok(span) = span(text) {
            return Ok(Self::In(span));
        }
        point(text).map(Self::At).ok_or(
            "must be `never`, a span such as 30d or 12h, or a time such as 2027-01-31T12:00:00Z",
        )
    }
}

impl When {
    /// As the server takes it; none for never.
    pub fn to_proto(self, clock: &dyn Clock) -> Option<ProtoTime> {
        match self {
            Self::Never => None,
            Self::In(span) => Some(wire::event::time(clock.now().plus(span))),
            Self::At(at) => Some(wire::event::time(at)),
        }
    }
}

/// When something begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Now.
    Now,
    /// So long from now.
    In(Duration),
    /// At this time.
    At(Timestamp),
}

impl FromStr for Point {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "now" {
            return Ok(Self::Now);
        }
        if let Ok(span) = span(text) {
            return Ok(Self::In(span));
        }
        point(text).map(Self::At).ok_or(
            "must be `now`, a span such as 2h or 30m, or a time such as 2027-01-31T12:00:00Z",
        )
    }
}

impl Point {
    /// The time that is meant.
    pub fn at(self, clock: &dyn Clock) -> Timestamp {
        match self {
            Self::Now => clock.now(),
            Self::In(span) => clock.now().plus(span),
            Self::At(at) => at,
        }
    }
}

/// Reads a span such as `2h`.
pub fn span(text: &str) -> Result<Duration, &'static str> {
    humantime::parse_duration(text).map_err(|_| "must be a span such as 2h or 30m")
}

fn point(text: &str) -> Option<Timestamp> {
    let at = humantime::parse_rfc3339_weak(text).ok()?;
    at.duration_since(UNIX_EPOCH).ok().map(|since| Timestamp::default().plus(since))
}

/// A point in the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ago {
    /// So long ago.
    Span(Duration),
    /// At this time.
    At(Timestamp),
}

impl FromStr for Ago {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(span) = humantime::parse_duration(text) {
            return Ok(Self::Span(span));
        }
        point(text).map(Self::At).ok_or(
            "must be how long ago, such as 24h or 7d, or a time such as 2027-01-31T12:00:00Z",
        )
    }
}

impl Ago {
    /// As the server takes it; what is before 1970 is 1970.
    pub fn to_proto(self, clock: &dyn Clock) -> ProtoTime {
        let at = match self {
            Self::Span(span) => {
                Timestamp::default().plus(clock.now().since(Timestamp::default().plus(span)))
            }
            Self::At(at) => at,
        };
        wire::event::time(at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spans_times_and_never_are_read() {
        assert_eq!("never".parse(), Ok(When::Never));
        assert_eq!("30d".parse(), Ok(When::In(Duration::from_secs(30 * 86_400))));
        let at = When::At(Timestamp::from_micros(1_801_396_800_000_000));
        assert_eq!("2027-01-31T12:00:00Z".parse(), Ok(at));
        assert!("soon".parse::<When>().is_err());
        assert!("".parse::<When>().is_err());
        assert!("1960-01-01T00:00:00Z".parse::<When>().is_err());
    }

    /// A clock that stands still, so many seconds after 1970.
    struct Standing(i64);

    impl Clock for Standing {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.0 * 1_000_000)
        }

        fn boot(&self) -> Duration {
            Duration::ZERO
        }
    }

    #[test]
    fn a_span_ago_is_before_now_and_a_time_is_itself() {
        let check = |text: &str, seconds: i64| {
            let ago: Ago = text.parse().unwrap();
            assert_eq!(ago.to_proto(&Standing(100_000)).seconds, seconds, "{text}");
        };
        check("24h", 13_600);
        check("0s", 100_000);
        check("100y", 0);
        check("2027-01-31T12:00:00Z", 1_801_396_800);
        assert!("never".parse::<Ago>().is_err());
        assert!("yesterday".parse::<Ago>().is_err());
    }

    #[test]
    fn points_are_read() {
        assert_eq!("now".parse(), Ok(Point::Now));
        assert_eq!("90m".parse(), Ok(Point::In(Duration::from_secs(5_400))));
        let at = Timestamp::from_micros(1_801_396_800_000_000);
        assert_eq!("2027-01-31T12:00:00Z".parse(), Ok(Point::At(at)));
        for text in ["never", "", "2", "yesterday"] {
            assert!(text.parse::<Point>().is_err(), "{text}");
        }
        assert!(span("now").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = (text.parse::<When>(), text.parse::<Ago>(), text.parse::<Point>());
        }
    }
}
