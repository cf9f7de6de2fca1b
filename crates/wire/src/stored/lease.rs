//! What the KV bucket GANDER_LEASES holds: under `gateway.` and the id of a gateway the number of the last
//! change that it acts on, nothing once it has stopped in order; under `mark` that of the last change that
//! calls wait for. Numbers are decimal digits.
//!
//! Must not know who waits.

use bytes::Bytes;
use domain::id::InstanceId;

use crate::subject;

/// An entry of the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The mark, with the number of the change.
    Mark(u64),
    /// The lease of a gateway, with the number of the change.
    Lease(InstanceId, u64),
    /// The gateway has stopped.
    Left(InstanceId),
}

/// The value for this number.
#[must_use]
pub fn encode(sequence: u64) -> Bytes {
    sequence.to_string().into()
}

/// Reads an entry; none where it is neither a lease nor the mark. A lease whose number cannot be read
/// is one that acts on no change: it is waited for.
#[must_use]
pub fn decode(subject: &str, value: &[u8]) -> Option<Entry> {
    let number = || std::str::from_utf8(value).ok()?.parse().ok();
    if subject == subject::LEASES_MARK {
        return Some(Entry::Mark(number()?));
    }
    let gateway = InstanceId::parse(subject.rsplit('.').next()?).ok()?;
    Some(match value {
        [] => Entry::Left(gateway),
        [..] => Entry::Lease(gateway, number().unwrap_or(0)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_back() {
        let gateway = InstanceId::from_bytes([1; 16]);
        let lease = subject::lease(gateway);
        assert_eq!(encode(12), "12");
        assert_eq!(decode(&lease, &encode(12)), Some(Entry::Lease(gateway, 12)));
        assert_eq!(decode(&lease, b""), Some(Entry::Left(gateway)));
        assert_eq!(decode(&lease, b"v2"), Some(Entry::Lease(gateway, 0)));
        assert_eq!(decode(subject::LEASES_MARK, b"7"), Some(Entry::Mark(7)));
        for (subject, value) in
            [(subject::LEASES_MARK, "x"), ("$KV.GANDER_LEASES.gateway.x", "1"), ("", "")]
        {
            assert_eq!(decode(subject, value.as_bytes()), None);
        }
    }
}
