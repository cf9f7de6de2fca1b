//! Where something stands in a trace, as W3C Trace Context (level 1) writes it.
//!
//! Must not know who makes spans, nor where the text comes from.

use std::fmt;

/// Bytes of the stored form.
const BYTES: usize = 25;
/// Characters of version 00, and of the part of later versions that is read.
const TEXT: usize = 55;
/// Characters of a later version beyond which it is not looked at.
const MOST_TEXT: usize = 256;
const SAMPLED: u8 = 1;

/// The span that something belongs to: ids and whether it is sampled. Of the flags only that one
/// is kept, as level 1 asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Traceparent {
    trace: [u8; 16],
    span: [u8; 8],
    sampled: bool,
}

/// The id of a trace; 32 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId([u8; 16]);

impl Traceparent {
    /// From its parts; none if an id is all zero.
    #[must_use]
    pub fn new(trace: [u8; 16], span: [u8; 8], sampled: bool) -> Option<Self> {
        (trace != [0; 16] && span != [0; 8]).then_some(Self { trace, span, sampled })
    }

    /// Reads the header; none if it is malformed, which is to be treated as if it were not there.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() > MOST_TEXT || !bytes.is_ascii() {
            return None;
        }
        let (known, rest) = bytes.split_at_checked(TEXT)?;
        let dashes = [known[2], known[35], known[52]];
        let [version]: [u8; 1] = hex(&known[..2])?;
        let ends = rest.is_empty() || (version > 0 && rest[0] == b'-');
        if version == 0xff || dashes != [b'-'; 3] || !ends {
            return None;
        }
        let [flags]: [u8; 1] = hex(&known[53..])?;
        Self::new(hex(&known[3..35])?, hex(&known[36..52])?, flags & SAMPLED != 0)
    }

    /// Reads the stored form; none if it is empty or broken.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
        let (trace, span) = (bytes[..16].try_into().ok()?, bytes[16..24].try_into().ok()?);
        Self::new(trace, span, bytes[24] & SAMPLED != 0)
    }

    /// The stored form.
    #[must_use]
    pub fn to_bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..16].copy_from_slice(&self.trace);
        bytes[16..24].copy_from_slice(&self.span);
        bytes[24] = u8::from(self.sampled);
        bytes
    }

    /// The trace.
    #[must_use]
    pub const fn trace_id(self) -> TraceId {
        TraceId(self.trace)
    }

    /// The bytes of the trace's id.
    #[must_use]
    pub const fn trace_bytes(self) -> [u8; 16] {
        self.trace
    }

    /// The bytes of the span's id.
    #[must_use]
    pub const fn span_bytes(self) -> [u8; 8] {
        self.span
    }

    /// Whether it is recorded.
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        self.sampled
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        write_hex(&self.trace, f)?;
        f.write_str("-")?;
        write_hex(&self.span, f)?;
        write!(f, "-{:02x}", u8::from(self.sampled))
    }
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Lower case only, as the specification asks.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_example_of_the_specification_is_read() {
        let read = Traceparent::parse(GOOD).unwrap();
        assert!(read.is_sampled());
        assert_eq!(read.trace_id().to_string(), &GOOD[3..35]);
        assert_eq!(read.to_string(), GOOD);
    }

    #[test]
    fn unknown_flags_are_dropped_and_later_versions_read_as_far_as_known() {
        let parts = &GOOD[3..52];
        for (text, sampled) in [
            (format!("00-{parts}-03"), true),
            (format!("00-{parts}-fe"), false),
            (format!("cc-{parts}-01"), true),
            (format!("cc-{parts}-01-what the future brings"), true),
        ] {
            let read = Traceparent::parse(&text).unwrap();
            assert_eq!(read.to_string(), format!("00-{parts}-{:02x}", u8::from(sampled)), "{text}");
        }
    }

    #[test]
    fn what_is_malformed_is_passed_over() {
        let parts = &GOOD[3..52];
        for text in [
            String::new(),
            GOOD[..54].to_owned(),
            format!("{GOOD}-"),
            format!("{GOOD}0"),
            format!(" {GOOD}"),
            GOOD.to_uppercase(),
            GOOD.replacen('-', "_", 1),
            GOOD.replacen("00-", "+0-", 1),
            format!("ff-{parts}-01"),
            format!("cc-{parts}-01.x"),
            format!("cc-{parts}-01-{}", "x".repeat(MOST_TEXT)),
            format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            format!("00-{}-{}-01", &GOOD[3..35], "0".repeat(16)),
            format!("00-{}-0g", parts),
            format!("00-{}é-01", &parts[..47]),
        ] {
            assert_eq!(Traceparent::parse(&text), None, "{text}");
        }
    }

    #[test]
    fn broken_stored_bytes_are_passed_over() {
        for bytes in [&[][..], &[1; 24], &[1; 26], &[0; 25]] {
            assert_eq!(Traceparent::from_bytes(bytes), None);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text: String, bytes: Vec<u8>) {
            let _ = (Traceparent::parse(&text), Traceparent::from_bytes(&bytes));
        }

        #[test]
        fn it_comes_back_the_same(trace in 1..u128::MAX, span in 1..u64::MAX, sampled: bool) {
            let one = Traceparent::new(trace.to_be_bytes(), span.to_be_bytes(), sampled).unwrap();
            prop_assert_eq!(Traceparent::parse(&one.to_string()), Some(one));
            prop_assert_eq!(Traceparent::from_bytes(&one.to_bytes()), Some(one));
        }
    }
}
