//! The time of the last use of a token, as the KV bucket GANDER_LAST_USE holds it: under the id of the
//! token the hour, as seconds since the Unix epoch in decimal digits.
//!
//! Must not know who writes or shows it.

use bytes::Bytes;
use domain::id::TokenId;
use domain::time::Timestamp;

const MICROS: i64 = 1_000_000;

/// The value for a use at this time.
#[must_use]
pub fn encode(at: Timestamp) -> Bytes {
    (at.hour().as_micros() / MICROS).to_string().into()
}

/// The token and the hour in a message; none where it is not one of these.
#[must_use]
pub fn decode(subject: &str, value: &[u8]) -> Option<(TokenId, Timestamp)> {
    let token = TokenId::parse(subject.rsplit('.').next()?).ok()?;
    let seconds: i64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    Some((token, Timestamp::from_micros(seconds.checked_mul(MICROS)?).hour()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject;

    #[test]
    fn a_use_is_read_back_to_the_hour() {
        let token = TokenId::from_bytes([1; 16]);
        let at = Timestamp::from_micros((7 * 3_600 + 1_234) * MICROS + 5);
        let hour = Timestamp::from_micros(7 * 3_600 * MICROS);
        assert_eq!(encode(at), "25200");
        assert_eq!(decode(&subject::last_use(token), &encode(at)), Some((token, hour)));
        for (subject, value) in [("x.y", "1"), (&subject::last_use(token), "x"), ("", "")] {
            assert_eq!(decode(subject, value.as_bytes()), None);
        }
        assert_eq!(decode(&subject::last_use(token), i64::MAX.to_string().as_bytes()), None);
    }
}
