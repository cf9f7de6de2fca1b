//! `google.protobuf.Timestamp`, with the JSON form that proto3 prescribes: UTC written as `Z`,
//! and no, 3, 6 or 9 digits of a second.
//!
//! A type of our own because the usual one writes `+00:00`. Must not know a clock.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time: years 1 to 9999 are valid.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Timestamp {
    /// Seconds since the Unix epoch.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds after that, 0 to 999,999,999.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl Timestamp {
    /// RFC 3339; none if it is out of range.
    #[must_use]
    pub fn to_rfc3339(&self) -> Option<String> {
        let nanos = u32::try_from(self.nanos).ok()?;
        let at = DateTime::<Utc>::from_timestamp(self.seconds, nanos)?;
        Some(at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.to_rfc3339();
        let out_of_range = || serde::ser::Error::custom("a time out of range");
        serializer.serialize_str(&text.ok_or_else(out_of_range)?)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at = DateTime::parse_from_rfc3339(&text).map_err(D::Error::custom)?;
        // A leap second has more nanoseconds than the message may have.
        let nanos = at.timestamp_subsec_nanos().min(999_999_999);
        let nanos = i32::try_from(nanos).map_err(D::Error::custom)?;
        Ok(Self { seconds: at.timestamp(), nanos })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_json_form_is_the_canonical_one() {
        for (seconds, nanos, text) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (1_795_800_411, 239_680_000, "2026-11-27T17:26:51.239680Z"),
            (-62_135_596_800, 0, "0001-01-01T00:00:00Z"),
            (0, 1, "1970-01-01T00:00:00.000000001Z"),
        ] {
            let json = serde_json::to_string(&Timestamp { seconds, nanos });
            assert_eq!(json.ok(), Some(format!("\"{text}\"")));
        }
        assert!(serde_json::to_string(&Timestamp { seconds: 0, nanos: -1 }).is_err());
        assert!(serde_json::to_string(&Timestamp { seconds: i64::MAX, nanos: 0 }).is_err());
    }

    proptest! {
        #[test]
        fn a_time_comes_back_the_same(
            seconds in -62_135_596_800_i64..253_402_300_800,
            nanos in 0..1_000_000_000,
        ) {
            let at = Timestamp { seconds, nanos };
            let json = serde_json::to_string(&at).expect("in range");
            prop_assert_eq!(serde_json::from_str::<Timestamp>(&json).ok(), Some(at));
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = serde_json::from_value::<Timestamp>(text.into());
        }
    }
}
