//! CloudEvents 1.0 in the binary mode of the NATS binding: attributes are headers.
//!
//! Must not know what an event is about, only its attributes.

use std::fmt::Write as _;

/// Percent-encodes a header value as the binding says: space, `"`, `%` and everything outside
/// printable ASCII, in upper-case hex.
#[must_use]
pub fn encode_value(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'!' | b'#' | b'$' | b'&'..=b'~' => encoded.push(char::from(byte)),
            other => {
                let _ = write!(encoded, "%{other:02X}");
            }
        }
    }
    encoded
}

/// Reads a value that `encode_value` or another sender wrote.
///
/// Gives none where a `%` is not followed by two hex digits, or where the bytes are not UTF-8.
#[must_use]
pub fn decode_value(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_value_comes_back_the_same(value: String) {
            let encoded = encode_value(&value);
            prop_assert!(encoded.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b'"'));
            prop_assert_eq!(decode_value(&encoded), Some(value));
        }

        #[test]
        fn no_value_makes_it_panic(value: String) {
            let _ = decode_value(&value);
        }
    }

    #[test]
    fn what_must_be_encoded_is_encoded() {
        assert_eq!(encode_value("a \"b\" 100% é/~"), "a%20%22b%22%20100%25%20%C3%A9/~");
        assert_eq!(decode_value("%4"), None);
        assert_eq!(decode_value("%+4"), None);
        assert_eq!(decode_value("%ff"), None);
    }
}
