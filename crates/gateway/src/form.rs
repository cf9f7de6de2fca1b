//! Forms that hold JSON: `payload=` and `data=`, in both encodings that forms have.
//!
//! Must not know where the form came from. A form that holds no JSON gives nothing: it is text.

use bytes::Bytes;

use crate::media::{Media, parameter};
use crate::json;

/// The names under which senders put JSON into a form, the first found wins.
const FIELDS: [&str; 2] = ["payload", "data"];

/// The JSON inside a URL-encoded form: the value of a field, or the whole body that a client
/// labelled, and maybe escaped, as a form.
#[must_use]
pub fn urlencoded(body: &Bytes) -> Option<Bytes> {
    let pairs = || form_urlencoded::parse(body);
    let field = |name: &str| {
        pairs().filter(|(key, _)| key == name).map(|(_, value)| value).find(|value| is_json(value))
    };
    let escaped = || pairs().next().filter(|(key, value)| value.is_empty() && is_json(key));
    FIELDS
        .into_iter()
        .find_map(field)
        .or_else(|| escaped().map(|(key, _)| key))
        .map(|json| Bytes::copy_from_slice(json.as_bytes()))
}

/// The JSON inside a form in parts.
#[must_use]
pub fn multipart(media: &Media, body: &Bytes) -> Option<Bytes> {
    let boundary = media.boundary.as_deref()?;
    let field = |name: &str| {
        let mut parts = Parts::new(body, boundary)?;
        parts.find(|part| part.name == name && json::is_document(part.value))
    };
    FIELDS.into_iter().find_map(field).map(|part| body.slice_ref(part.value))
}

fn is_json(text: &str) -> bool {
    json::is_document(text.as_bytes())
}

struct Part<'a> {
    name: String,
    value: &'a [u8],
}

/// The parts of a body, in order. Parts that cannot be read are passed over.
struct Parts<'a> {
    rest: &'a [u8],
    delimiter: Vec<u8>,
}

impl<'a> Parts<'a> {
    /// A boundary has 1 to 70 characters (RFC 2046).
    fn new(body: &'a [u8], boundary: &str) -> Option<Self> {
        if boundary.is_empty() || boundary.len() > 70 {
            return None;
        }
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        let rest = if body.starts_with(&delimiter[2..]) {
            &body[delimiter.len() - 2..]
        } else {
            after(body, &delimiter)?
        };
        Some(Self { rest, delimiter })
    }

    fn next_raw(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest;
        if rest.starts_with(b"--") {
            return None;
        }
        let end = memchr::memmem::find(rest, &self.delimiter)?;
        self.rest = &rest[end + self.delimiter.len()..];
        Some(&rest[..end])
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        loop {
            let raw = self.next_raw()?;
            // What is left of the boundary's line ends with the line break before the headers.
            let Some(value) = after(raw, b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&raw[..raw.len() - value.len()]);
            if let Some(name) = head.lines().find_map(disposition_name) {
                return Some(Part { name, value });
            }
        }
    }
}

fn after<'a>(text: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    memchr::memmem::find(text, mark).map(|at| &text[at + mark.len()..])
}

/// The field's name in a `Content-Disposition` line.
fn disposition_name(line: &str) -> Option<String> {
    let (header, value) = line.split_once(':')?;
    if !header.trim().eq_ignore_ascii_case("content-disposition") {
        return None;
    }
    let mut rest = value.split_once(';')?.1;
    while let Some((name, value, more)) = parameter(rest) {
        if name.eq_ignore_ascii_case("name") {
            return Some(value);
        }
        rest = more;
    }
    None
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(body: &str, expected: Option<&str>) {
        let got = urlencoded(&Bytes::copy_from_slice(body.as_bytes()));
        assert_eq!(got.as_deref(), expected.map(str::as_bytes), "{body}");
    }

    fn check_parts(body: &str, expected: Option<&str>) {
        let media = Media::parse(b"multipart/form-data; boundary=XX");
        let got = multipart(&media, &Bytes::from(body.replace('\n', "\r\n")));
        assert_eq!(got.as_deref(), expected.map(str::as_bytes), "{body}");
    }

    #[test]
    fn json_in_a_field_is_unwrapped() {
        check("payload=%7B%22a%22%3A1%7D", Some(r#"{"a":1}"#));
        check("data={\"a\":\"b+c\"}", Some(r#"{"a":"b c"}"#));
        check("x=1&data=[1]&payload=[2]", Some("[2]"));
        check("payload=text&data=[1]", Some("[1]"));
        check("payload=text&payload=[3]", Some("[3]"));
        check("%7B%22a%22%3A1%7D", Some(r#"{"a":1}"#));
        check("%7B%22a%22%3A1%7D=", Some(r#"{"a":1}"#));
    }

    #[test]
    fn a_form_without_json_gives_nothing() {
        for form in ["", "a=b", "payload=text", "data=5&host=web", "payload=", "other=[1]", "&&=&"] {
            check(form, None);
        }
    }

    #[test]
    fn json_in_a_part_is_unwrapped() {
        let part = |name: &str, value: &str| {
            format!("--XX\nContent-Disposition: form-data; name={name}\n\n{value}\n")
        };
        check_parts(&format!("{}--XX--\n", part("data", "{\"a\":\n1}")), Some("{\"a\":\r\n1}"));
        check_parts(&format!("{}{}--XX--", part("data", "[1]"), part("\"payload\"", "[2]")), Some("[2]"));
        check_parts(&format!("preamble\n{}--XX--", part("payload; filename=\"a;b\"", "[2]")), Some("[2]"));
        check_parts(&format!("{}--XX--", part("version", "[1]")), None);
        check_parts(&format!("{}--XX--", part("data", "text")), None);
        check_parts(&part("data", "[1]"), None);
        check_parts("--XX\nname=data\n[1]\n--XX--", None);
        check_parts("", None);
        check_parts("--XX--", None);
    }

    #[test]
    fn a_boundary_that_cannot_be_one_gives_nothing() {
        for header in ["multipart/form-data", "multipart/form-data; boundary=\"\""] {
            assert_eq!(multipart(&Media::parse(header.as_bytes()), &Bytes::from("--")), None);
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body: Vec<u8>, text in "[-X\r\n:;=\"%{}a-z]{0,60}") {
            let media = Media::parse(b"multipart/form-data; boundary=X");
            for body in [Bytes::from(body), Bytes::from(text)] {
                let _ = urlencoded(&body);
                let _ = multipart(&media, &body);
            }
        }

        #[test]
        fn what_is_put_into_a_field_comes_out(value in "\\PC{0,30}") {
            let json = serde_json::json!({ "v": value }).to_string();
            let form: String = form_urlencoded::Serializer::new(String::new())
                .append_pair("first", "1").append_pair("payload", &json).finish();
            prop_assert_eq!(urlencoded(&Bytes::from(form)).unwrap(), json.as_bytes());
            let parts = format!("--X\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\n{json}\r\n--X--");
            let media = Media::parse(b"multipart/form-data; boundary=X");
            prop_assert_eq!(multipart(&media, &Bytes::from(parts)).unwrap(), json.as_bytes());
        }
    }
}
