//! Points in time on the command line: `never`, a span such as `30d`, or an RFC 3339 time.
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
        if let Ok(span) = humantime::parse_duration(text) {
            return Ok(Self::In(span));
        }
        let at = humantime::parse_rfc3339_weak(text).ok();
        at.and_then(|at| at.duration_since(UNIX_EPOCH).ok())
            .map(|since| Self::At(Timestamp::default().plus(since)))
            .ok_or("is `never`, a span such as 30d or 12h, or a time such as 2027-01-31T12:00:00Z")
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

/// A time that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// So long ago.
    Ago(Duration),
    /// At this time.
    At(Timestamp),
}

impl FromStr for Past {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(When::In(span)) => Ok(Self::Ago(span)),
            Ok(When::At(at)) => Ok(Self::At(at)),
            Ok(When::Never) | Err(_) => Err(
                "is a span such as 12h, which means so long ago, or a time such as 2027-01-31T12:00:00Z",
            ),
        }
    }
}

impl Past {
    /// As the server takes it.
    pub fn to_proto(self, clock: &dyn Clock) -> ProtoTime {
        wire::event::time(match self {
            Self::Ago(span) => {
                let span = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
                Timestamp::from_micros(clock.now().as_micros().saturating_sub(span).max(0))
            }
            Self::At(at) => at,
        })
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

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = text.parse::<When>();
            let _ = text.parse::<Past>();
        }
    }
}
