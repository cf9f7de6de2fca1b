//! Secrets out of what is kept of a call: its URI, its headers, its body.
//!
//! Three rules. What is named like a secret loses its value: a header or a URL parameter in whose
//! name one of [`WORDS`] occurs, without regard to case; so does a header that begins as credentials
//! do. What has the shape of a secret of Gander is replaced wherever it stands, so the token itself
//! too. And of a body the values at the paths that the settings name. Too much rather than too
//! little: `X-Author` is such a name. Must not know what is done with the rest.

use std::borrow::Cow;

use bytes::Bytes;
use domain::filter::{Key, REDACTED};
use domain::json::Json;
use domain::name::is_unprintable;
use domain::secret;
use http::HeaderMap;
use wire::proto::gander::stored::v1::Header;

use super::credential::Query;

/// The most bytes of a body that are kept.
pub const MAX_BODY: usize = 256 * 1024;
/// What occurs in the names of secrets: `auth` in `Authorization`, `sig` in signatures, `pass` in
/// passwords, `assertion` in what proxies add for those whom they have let in.
const WORDS: [&str; 13] = [
    "token",
    "secret",
    "sig",
    "hmac",
    "key",
    "pass",
    "pwd",
    "auth",
    "jwt",
    "assertion",
    "credential",
    "session",
    "cookie",
];
/// A name that is a secret's as a whole.
const CODE: &str = "code";
/// What credentials begin with, whatever the header is called.
const SCHEMES: [&str; 2] = ["basic ", "bearer "];

/// Path and query.
pub fn uri(path: &str, query: Option<&str>) -> String {
    let path = masked(path);
    match query {
        Some(query) => format!("{path}?{}", self::query(query)),
        None => path.into_owned(),
    }
}

/// The query. A parameter is decoded to see what it is; what stays is as it was sent.
pub fn query(text: &str) -> String {
    text.split('&').map(parameter).collect::<Vec<_>>().join("&")
}

/// The source that a query names.
pub fn source(query: &Query) -> String {
    masked(query.from.as_deref().unwrap_or_default()).into_owned()
}

fn parameter(sent: &str) -> Cow<'_, str> {
    let Some((name, value)) = form_urlencoded::parse(sent.as_bytes()).next() else {
        return Cow::Borrowed(sent);
    };
    let sent_name = sent.split_once('=').map_or(sent, |(name, _)| name);
    if holds_secret(&name) {
        Cow::Borrowed(REDACTED)
    } else if is_secret(&name) || holds_secret(&value) || holds_secret(&printable(&value)) {
        Cow::Owned(format!("{sent_name}={REDACTED}"))
    } else {
        Cow::Borrowed(sent)
    }
}

/// The headers in their order, those of one name together.
pub fn headers(headers: &HeaderMap) -> Vec<Header> {
    let kept = headers.iter().map(|(name, value)| Header {
        name: masked(name.as_str()).into_owned(),
        value: if is_secret(name.as_str()) || is_credential(value.as_bytes()) {
            Bytes::from_static(REDACTED.as_bytes())
        } else {
            secret::mask(value.as_bytes(), REDACTED.as_bytes()).into_owned().into()
        },
    });
    kept.collect()
}

/// What is kept of a body.
#[derive(Debug)]
pub struct Kept {
    /// So much of it, [`MAX_BODY`] at most.
    pub bytes: Vec<u8>,
    /// Whether that is not all.
    pub cut: bool,
    /// Whether something in it was replaced.
    pub redacted: bool,
}

impl Kept {
    fn cut_at(mut bytes: Vec<u8>, end: usize, redacted: bool) -> Self {
        let cut = bytes.len() > end;
        bytes.truncate(end);
        Self { bytes, cut, redacted }
    }
}

/// A body, as it was received and, where that is possible, decoded. None where it must be left out:
/// paths are to be replaced, and it is no JSON or too large.
///
/// With paths it becomes compact JSON, of members with one name the last, because what is between
/// the lines may be a secret too; `redacted` then says that it is not what was sent, but for white
/// space. Without, it stays as received, unless only the decoded one shows that a secret of Gander is
/// in it, or is too large to be searched; one that is encoded (not `plain`) and cannot be decoded
/// cannot be searched either. The answer waits for this, so no more than [`MAX_BODY`] is looked at.
pub fn body(received: &Bytes, plain: bool, decoded: Option<&Bytes>, paths: &[Key]) -> Option<Kept> {
    if decoded.is_none() && !plain && !received.is_empty() {
        return None;
    }
    if paths.is_empty() || received.is_empty() {
        let decoded = decoded.map(|decoded| beginning(decoded));
        let telling = decoded.filter(|decoded| decoded.cut || decoded.redacted);
        return Some(telling.unwrap_or_else(|| beginning(received)));
    }
    let bytes = decoded.filter(|decoded| decoded.len() <= MAX_BODY)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let sent = std::str::from_utf8(bytes).ok()?;
    let mut json = Json::parse(sent).ok()?;
    for path in paths {
        path.replace(&mut json, &Json::String(Cow::Borrowed(REDACTED)));
    }
    let text = json.compact();
    let masked = secret::mask(text.as_bytes(), REDACTED.as_bytes());
    if masked.as_ref() == without_space(bytes) {
        return Some(Kept::cut_at(bytes.to_vec(), MAX_BODY, false));
    }
    Some(Kept::cut_at(masked.into_owned(), MAX_BODY, true))
}

/// JSON without the white space between its parts.
fn without_space(json: &[u8]) -> Vec<u8> {
    let (mut in_string, mut escaped) = (false, false);
    let stays = |byte: &u8| {
        let stays = in_string || !matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        match byte {
            b'"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = *byte == b'\\' && !escaped;
        stays
    };
    json.iter().copied().filter(stays).collect()
}

/// The beginning of what may be long. A secret that begins in it and ends behind it is seen too.
fn beginning(bytes: &[u8]) -> Kept {
    const BEYOND: usize = secret::LONGEST - 1;
    let window = &bytes[..bytes.len().min(MAX_BODY + BEYOND)];
    let masked = secret::mask(window, REDACTED.as_bytes());
    let redacted = matches!(masked, Cow::Owned(_));
    let masked = masked.into_owned();
    // The last bytes of a window may be the first ones of a secret.
    let beyond = if window.len() < bytes.len() { BEYOND } else { 0 };
    let end = masked.len().saturating_sub(beyond).min(MAX_BODY);
    Kept::cut_at(masked, end, redacted)
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == CODE || WORDS.iter().any(|word| name.contains(word))
}

fn is_credential(value: &[u8]) -> bool {
    let begins = |scheme: &&str| {
        value.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
    };
    SCHEMES.iter().any(begins)
}

/// The text as it is where what cannot be printed is left out of it.
fn printable(text: &str) -> String {
    text.chars().filter(|character| !is_unprintable(*character)).collect()
}

fn holds_secret(text: &str) -> bool {
    matches!(secret::mask(text.as_bytes(), b""), Cow::Owned(_))
}

fn masked(text: &str) -> Cow<'_, str> {
    match secret::mask(text.as_bytes(), REDACTED.as_bytes()) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use domain::secret::{Kind, Secret};
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn token() -> String {
        Secret::from_random(Kind::Token, &[7; 32]).reveal().to_owned()
    }

    #[test]
    fn parameters_that_are_secrets_lose_their_values() {
        let token = token();
        let encoded = token.replace('_', "%5f");
        for (sent, kept) in [
            ("from=a%20b&token=x", "from=a%20b&token=REDACTED"),
            ("tok%65n=x&a", "tok%65n=REDACTED&a"),
            (
                "Access_Token=x&apiKey=y&auth=z",
                "Access_Token=REDACTED&apiKey=REDACTED&auth=REDACTED",
            ),
            ("token", "token=REDACTED"),
            ("&&a=&=b", "&&a=&=b"),
            (&format!("from={token}"), "from=REDACTED"),
            (&format!("from=x{encoded}y&b=1"), "from=REDACTED&b=1"),
            (&format!("{encoded}=1"), "REDACTED"),
            // What cannot be printed is left out of the source.
            (&format!("from={}", token.replace('_', "%0A_")), "from=REDACTED"),
            (
                "sig=a&pwd=b&jwt=c&code=d&decode=e",
                "sig=REDACTED&pwd=REDACTED&jwt=REDACTED&code=REDACTED&decode=e",
            ),
        ] {
            assert_eq!(query(sent), kept);
        }
        assert_eq!(uri("/v1/process", None), "/v1/process");
        assert_eq!(uri("/v1/process", Some("token=x")), "/v1/process?token=REDACTED");
    }

    #[test]
    fn headers_that_are_secrets_lose_their_values() {
        let token = token();
        let mut sent = HeaderMap::new();
        for name in [
            "authorization",
            "proxy-authorization",
            "cookie",
            "set-cookie",
            "x-api-key",
            "x-hub-signature-256",
            "x-gitlab-token",
            "client-secret",
            "x-password",
            "x-auth",
            "x-shopify-hmac-sha256",
            "cf-access-jwt-assertion",
            "x-sig",
            "cookie2",
        ] {
            sent.insert(name, HeaderValue::from_static("hidden"));
        }
        let shown = headers(&sent);
        assert!(shown.iter().all(|header| header.value == REDACTED), "{shown:?}");
        let mut sent = HeaderMap::new();
        sent.append("content-type", HeaderValue::from_static("text/plain"));
        sent.append("referer", HeaderValue::from_str(&format!("/x?a={token}&b")).unwrap());
        sent.append("accept", HeaderValue::from_static("a"));
        sent.append("accept", HeaderValue::from_static("b"));
        sent.append("x-forwarded-header", HeaderValue::from_static("bAsic eDp5"));
        let shown = headers(&sent);
        let shown: Vec<_> = shown.iter().map(|h| (h.name.as_str(), h.value.as_ref())).collect();
        let expected: [(&str, &[u8]); 5] = [
            ("content-type", b"text/plain"),
            ("referer", b"/x?a=REDACTED&b"),
            ("accept", b"a"),
            ("accept", b"b"),
            ("x-forwarded-header", b"REDACTED"),
        ];
        assert_eq!(shown, expected);
    }

    /// What is kept where the values at these paths are hidden, and whether it is told that it is not
    /// what was sent.
    #[track_caller]
    fn changed(sent: &str, paths: &[&str], expected: &str, redacted: bool) {
        let paths: Vec<_> = paths.iter().map(|path| Key::parse(path).unwrap()).collect();
        let sent = Bytes::copy_from_slice(sent.as_bytes());
        let kept = body(&sent, true, Some(&sent), &paths).unwrap();
        assert_eq!((kept.bytes.as_slice(), kept.redacted), (expected.as_bytes(), redacted));
    }

    #[track_caller]
    fn check(received: &str, decoded: Option<&str>, paths: &[&str], expected: Option<&str>) {
        let paths: Vec<_> = paths.iter().map(|path| Key::parse(path).unwrap()).collect();
        let received = Bytes::copy_from_slice(received.as_bytes());
        let decoded = decoded.map(|text| Bytes::copy_from_slice(text.as_bytes()));
        let plain = decoded.as_ref() == Some(&received);
        let kept = body(&received, plain, decoded.as_ref(), &paths);
        let shown = kept.as_ref().map(|kept| kept.bytes.as_slice());
        assert_eq!(shown, expected.map(str::as_bytes), "{received:?}");
        let replaced = expected.is_some_and(|text| text.contains(REDACTED));
        assert_eq!(kept.is_some_and(|kept| kept.redacted), replaced, "{received:?}");
    }

    #[test]
    fn of_a_large_body_only_the_beginning_is_looked_at() {
        let (token, end) = (token(), MAX_BODY - 10);
        let large = |at: usize| {
            let mut text = vec![b'x'; 4 * MAX_BODY];
            text[at..at + token.len()].copy_from_slice(token.as_bytes());
            Bytes::from(text)
        };
        let kept = body(&large(end), true, None, &[]).unwrap();
        assert!(kept.cut && kept.redacted && kept.bytes.len() <= MAX_BODY);
        assert!(kept.bytes.iter().all(|byte| *byte == b'x'), "nothing of it is seen");
        let beyond = body(&large(MAX_BODY), true, None, &[]).unwrap();
        assert!(!beyond.bytes.contains(&b'_') && beyond.bytes.len() <= MAX_BODY);
        // Each secret makes it shorter: what is cut behind it must not move into sight.
        let many = token.repeat(2 * MAX_BODY / token.len()).into_bytes();
        let many = body(&many.into(), true, None, &[]).unwrap();
        assert!(many.cut && !many.bytes.windows(4).any(|some| some == b"gdr_"));
        // A packed one is shown unpacked where it is too large to be searched.
        let packed = body(&Bytes::from_static(b"packed"), false, Some(&large(end)), &[]).unwrap();
        assert!(packed.cut && packed.bytes == kept.bytes);
        let paths = [Key::parse("a").unwrap()];
        let text = Bytes::from(format!("{{\"b\": \"{}\"}}", "x".repeat(MAX_BODY)));
        assert!(body(&text, true, Some(&text), &paths).is_none());
    }

    #[test]
    fn a_body_without_paths_stays_as_received_but_for_secrets_of_ours() {
        let token = token();
        check("{ \"a\" : 1 }", Some("{ \"a\" : 1 }"), &[], Some("{ \"a\" : 1 }"));
        check("encoded", Some("plain"), &[], Some("encoded"));
        check("broken", None, &[], None);
        let form = format!("token={token}&a=b");
        check(&form, Some(&form), &[], Some("token=REDACTED&a=b"));
        check("encoded", Some(&form), &[], Some("token=REDACTED&a=b"));
        let escaped = format!("{{\"t\": \"{}\"}}", token.replace('_', "\\u005F"));
        check(&escaped, Some(&escaped), &[], Some("{\"t\": \"REDACTED\"}"));
        let form = form.replace('_', "%5f");
        check(&form, Some(&form), &[], Some("token=REDACTED&a=b"));
    }

    #[test]
    fn values_at_paths_are_replaced_and_what_is_no_json_is_left_out() {
        let text =
            r#"{"user": {"pin": 1, "pin": 2}, "list": [{"pw": "x"}, {"pw": [3]}], "n": 1.0}"#;
        let kept =
            r#"{"user":{"pin":"REDACTED"},"list":[{"pw":"REDACTED"},{"pw":"REDACTED"}],"n":1.0}"#;
        let paths = ["user.pin", "list[*].pw"];
        check(text, Some(text), &paths, Some(kept));
        check("encoded", Some(text), &paths, Some(kept));
        let twice = r#"{"user":{"pin":2},"list":[{"pw":"x"},{"pw":[3]}],"n":1.0}"#;
        changed(text, &["other"], twice, true);
        let once = "{ \"a b\\\"\" :\t[1, 2.50,\n\"c d\"] }";
        changed(once, &["other"], once, false);
        check("pin=1", Some("pin=1"), &paths, None);
        check("broken", None, &paths, None);
        check("", Some(""), &paths, Some(""));
        check(r#""text""#, Some(r#""text""#), &paths, Some(r#""text""#));
        // An earlier member of the same name is nothing that a path finds.
        changed(r#"{"a": {"b": "s"}, "a": 1}"#, &["a.b"], r#"{"a":1}"#, true);
    }

    proptest! {
        #[test]
        fn the_token_is_found_wherever_it_stands(before: String, after: String, random: [u8; 32]) {
            let token = Secret::from_random(Kind::Token, &random);
            let text = format!("{before}{}{after}", token.reveal());
            let body = body(&Bytes::from(text.clone()), true, None, &[]).unwrap();
            prop_assert!(!String::from_utf8_lossy(&body.bytes).contains(token.reveal()));
            prop_assert!(!uri("/", Some(&text)).contains(token.reveal()));
        }
    }
}
