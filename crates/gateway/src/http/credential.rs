//! The token of a request: one, from the header or from the URL.
//!
//! Must not know which tokens there are. What it reads is never logged.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, header};

use super::problem::Problem;

/// Some senders leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A token as it was sent.
#[derive(PartialEq, Eq)]
pub struct Credential {
    /// The text.
    pub secret: String,
    /// Whether it came as the URL parameter.
    pub by_url: bool,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential(…)")
    }
}

/// What the query says.
#[derive(Debug, Default)]
pub struct Query {
    tokens: Vec<String>,
    /// The source.
    pub from: Option<String>,
}

/// For an `Authorization` that cannot be read.
pub const MALFORMED: &str =
    "Authorization must be `Bearer` and a token, or `Basic` with the token as password";

/// For more than one token.
pub const SEVERAL: &str = "send one token, in the header or in the URL";

/// Reads the query; of several sources the first counts.
pub fn query(text: &str) -> Query {
    let mut query = Query::default();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        match &*name {
            "token" => query.tokens.push(value.into_owned()),
            "from" if query.from.is_none() => query.from = domain::filter::source_name(&value),
            _ => {}
        }
    }
    query
}

/// The one token of the request.
///
/// # Errors
/// There is none, there are several, or the header is neither `Bearer` and a token nor `Basic` with
/// user and token.
pub fn credential(headers: &HeaderMap, query: &mut Query) -> Result<Credential, Problem> {
    let mut sent = headers.get_all(header::AUTHORIZATION).iter();
    let header = sent.next();
    let several = Problem::InvalidRequest(SEVERAL);
    if sent.next().is_some() || query.tokens.len() > 1 {
        return Err(several);
    }
    match (header, query.tokens.pop()) {
        (Some(_), Some(_)) => Err(several),
        (None, None) => Err(Problem::NoToken),
        (None, Some(secret)) => Ok(Credential { secret, by_url: true }),
        (Some(value), None) => {
            let secret = value.to_str().ok().and_then(|text| bearer(text).or_else(|| basic(text)));
            let secret = secret.ok_or(Problem::InvalidRequest(MALFORMED))?;
            Ok(Credential { secret, by_url: false })
        }
    }
}

/// The token of `Bearer <token>`: the scheme without regard to case, one or more spaces, and a
/// text without spaces.
fn bearer(value: &str) -> Option<String> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_matches(' ');
    let well_formed = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty();
    (well_formed && !token.contains([' ', '\t', ','])).then(|| token.to_owned())
}

/// The token of `Basic <user:token in base64>` (RFC 7617), whoever the user is: what senders make
/// of credentials in a URL.
fn basic(value: &str) -> Option<String> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = BASE64.decode(encoded.trim_matches(' ')).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':').map(|(_, token)| token.to_owned())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn check(authorization: &[&str], url: &str, expected: Result<(&str, bool), &str>) {
        let mut headers = HeaderMap::new();
        for value in authorization {
            headers
                .append(header::AUTHORIZATION, HeaderValue::from_str(value).expect("a test value"));
        }
        let found = credential(&headers, &mut query(url));
        let found = found.as_ref().map(|c| (c.secret.as_str(), c.by_url)).map_err(|p| p.code());
        assert_eq!(found, expected, "{authorization:?} {url}");
    }

    #[test]
    fn one_token_in_one_place() {
        check(&["Bearer abc"], "", Ok(("abc", false)));
        check(&["bearer  abc"], "from=x", Ok(("abc", false)));
        check(&[], "from=x&token=a%62c", Ok(("abc", true)));
        check(&[], "token=", Ok(("", true)));
        check(&[], "", Err("INVALID_TOKEN"));
        check(&["Bearer abc"], "token=abc", Err("INVALID_REQUEST"));
        check(&["Bearer abc", "Bearer abc"], "", Err("INVALID_REQUEST"));
        check(&[], "token=a&token=a", Err("INVALID_REQUEST"));
        check(&["Bearer"], "", Err("INVALID_REQUEST"));
        check(&["Bearer a b"], "", Err("INVALID_REQUEST"));
        check(&["Bearer a, Bearer b"], "", Err("INVALID_REQUEST"));
    }

    fn encoded(text: &str) -> String {
        format!("Basic {}", BASE64.encode(text))
    }

    #[test]
    fn the_password_of_basic_is_the_token() {
        check(&[&encoded("any:abc")], "from=x", Ok(("abc", false)));
        check(&[&encoded(":a:b")], "", Ok(("a:b", false)));
        check(&["basic  OmFiYw"], "", Ok(("abc", false)));
        check(&[&encoded("any:")], "", Ok(("", false)));
        check(&[&encoded("abc")], "", Err("INVALID_REQUEST"));
        check(&["Basic"], "", Err("INVALID_REQUEST"));
        check(&["Basic "], "", Err("INVALID_REQUEST"));
        check(&["Basic OmFi*Yw"], "", Err("INVALID_REQUEST"));
        check(&["Basic OmFi Yw"], "", Err("INVALID_REQUEST"));
        check(&["Basic Ov8="], "", Err("INVALID_REQUEST"));
        check(&["Digest OmFiYw"], "", Err("INVALID_REQUEST"));
        check(&[&encoded(":abc"), "Bearer abc"], "", Err("INVALID_REQUEST"));
        check(&[&encoded(":abc")], "token=abc", Err("INVALID_REQUEST"));
    }

    #[test]
    fn a_source_is_decoded_and_cut() {
        assert_eq!(query("from=Up%20time+Kuma").from.as_deref(), Some("Up time Kuma"));
        assert_eq!(query(&format!("from={}", "a".repeat(200))).from.map(|f| f.len()), Some(100));
        assert_eq!(query("from=").from, None);
    }

    proptest! {
        #[test]
        fn basic_gives_back_any_password(user in "[^:]*", password: String) {
            let text = encoded(&format!("{user}:{password}"));
            prop_assert_eq!(basic(&text), Some(password));
        }

        #[test]
        fn no_query_or_header_makes_it_panic(text: String, value: Vec<u8>) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.insert(header::AUTHORIZATION, value);
            }
            let _ = credential(&headers, &mut query(&text));
            let _ = basic(&format!("Basic {text}"));
        }
    }
}
