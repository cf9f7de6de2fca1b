//! From a decoded body and its `Content-Type` to the payload.
//!
//! A payload is always UTF-8 without a byte order mark. JSON counts as JSON whatever the type
//! says; what is not text and not JSON counts as empty. Must not know what a payload says.

use bytes::Bytes;

use crate::media::Media;
use crate::{form, json};

/// The payload of a body with this `Content-Type`.
#[must_use]
pub fn payload(content_type: Option<&[u8]>, body: Bytes) -> Bytes {
    let media = content_type.map(Media::parse).unwrap_or_default();
    let text = to_utf8(media.charset.as_deref(), body);
    if !media.is_text() {
        return if json::is_json(&text) { text } else { Bytes::new() };
    }
    let unwrapped = if media.is_urlencoded_form() && !json::is_json(&text) {
        form::urlencoded(&text)
    } else if media.is_multipart_form() && !json::is_json(&text) {
        form::multipart(&media, &text)
    } else {
        None
    };
    unwrapped.unwrap_or(text)
}

/// The bytes as UTF-8. Valid UTF-8 is believed before the label, because JSON is UTF-8 whatever
/// its label; then the label; then what is not UTF-8 is replaced by U+FFFD.
fn to_utf8(charset: Option<&str>, bytes: Bytes) -> Bytes {
    if let Some(text) = bytes.strip_prefix(b"\xef\xbb\xbf") {
        return lossy(bytes.slice_ref(text));
    }
    if let Some(text) = bytes.strip_prefix(b"\xff\xfe") {
        return utf16(text, u16::from_le_bytes);
    }
    if let Some(text) = bytes.strip_prefix(b"\xfe\xff") {
        return utf16(text, u16::from_be_bytes);
    }
    match charset {
        Some("utf-16le") => utf16(&bytes, u16::from_le_bytes),
        Some("utf-16" | "utf-16be") => utf16(&bytes, u16::from_be_bytes),
        Some("iso-8859-1" | "iso8859-1" | "latin1" | "latin-1" | "l1" | "windows-1252" | "cp1252")
            if std::str::from_utf8(&bytes).is_err() =>
        {
            bytes.iter().map(|byte| windows_1252(*byte)).collect::<String>().into()
        }
        _ => lossy(bytes),
    }
}

fn lossy(bytes: Bytes) -> Bytes {
    match std::str::from_utf8(&bytes) {
        Ok(_) => bytes,
        Err(_) => String::from_utf8_lossy(&bytes).into_owned().into(),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Bytes {
    let units = bytes.chunks(2).map(|pair| match *pair {
        [first, second] => unit([first, second]),
        _ => 0xfffd,
    });
    char::decode_utf16(units)
        .map(|decoded| decoded.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect::<String>()
        .into()
}

/// What is called Latin-1 is Windows-1252 on the web; the two differ in 0x80 to 0x9f.
fn windows_1252(byte: u8) -> char {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž',
        '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}',
        'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => HIGH[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(content_type: Option<&str>, body: &[u8], expected: &str) {
        let got = payload(content_type.map(str::as_bytes), Bytes::copy_from_slice(body));
        assert_eq!(String::from_utf8_lossy(&got), expected, "{content_type:?}");
    }

    #[test]
    fn json_is_kept_whatever_its_type() {
        let types = [
            "application/json",
            "application/json; charset=iso-8859-1",
            "application/vnd.api+json",
            "text/plain",
            "text/html",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/octet-stream",
            "image/png",
            "audio/ogg",
            "video/mp4",
            "application/pdf",
            "nonsense",
            "",
        ];
        for content_type in types {
            check(Some(content_type), b" {\"a\": \"\xc3\xa9=&+\"}\n", " {\"a\": \"é=&+\"}\n");
        }
        check(None, b"[1]", "[1]");
    }

    #[test]
    fn text_that_is_not_json_is_kept_as_text() {
        for content_type in ["text/plain", "text/x-log", "application/xml", "application/json", ""] {
            check(Some(content_type), b"disk full {", "disk full {");
        }
        check(Some("application/x-www-form-urlencoded"), b"a=1&b=%20", "a=1&b=%20");
        check(Some("multipart/form-data"), b"--x", "--x");
        check(None, b"disk full", "disk full");
        check(None, b"", "");
    }

    #[test]
    fn what_is_not_text_counts_as_empty() {
        for content_type in ["image/png", "audio/ogg", "video/mp4", "application/octet-stream", "font/woff"] {
            check(Some(content_type), b"\x89PNG\r\n", "");
            check(Some(content_type), b"plain words", "");
        }
    }

    #[test]
    fn forms_that_hold_json_are_unwrapped() {
        check(Some("application/x-www-form-urlencoded"), b"payload=%7B%7D", "{}");
        let parts = b"--x\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\n{}\r\n--x--\r\n";
        check(Some("multipart/form-data; boundary=x"), parts, "{}");
    }

    #[test]
    fn a_payload_is_utf8() {
        check(None, b"\xef\xbb\xbf{}", "{}");
        check(Some("text/plain"), b"Ger\xe4t", "Ger\u{fffd}t");
        check(Some("text/plain; charset=ISO-8859-1"), b"Ger\xe4t \x80", "Gerät €");
        check(Some("text/plain; charset=latin1"), "Gerät".as_bytes(), "Gerät");
        check(Some("text/plain"), b"\xff\xfeG\0\xe4\0", "Gä");
        check(Some("text/plain"), b"\xfe\xff\0G\0\xe4\xd8", "Gä\u{fffd}");
        check(Some("application/json; charset=utf-16le"), b"[\x001\0]\0", "[1]");
        check(Some("text/plain; charset=utf-16"), b"\xd8\0", "\u{fffd}");
    }

    proptest! {
        #[test]
        fn every_payload_is_utf8(content_type in "(text/plain|image/png|application/x-www-form-urlencoded|multipart/form-data; boundary=x)(; charset=(latin1|utf-16|utf-16le|x))?", body: Vec<u8>) {
            let got = payload(Some(content_type.as_bytes()), Bytes::from(body));
            prop_assert!(std::str::from_utf8(&got).is_ok());
        }
    }
}
