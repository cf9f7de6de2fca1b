//! The token that came with a request: in `Authorization: Bearer` or in the URL, in one place.
//!
//! Must not know which tokens there are. Nothing here can print what it read.

use domain::secret::{Digest, Kind, Secret};
use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::query::Query;

/// Where a credential was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the `Authorization` header.
    Header,
    /// In the `token` parameter of the URL.
    Url,
}

/// A credential of the right shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The digest of the secret.
    pub digest: Digest,
    /// Where it was.
    pub place: Place,
}

/// Why there is no credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// None was sent.
    #[error("no credential was sent")]
    Missing,
    /// It has not the shape of a token.
    #[error("the credential has not the shape of a token")]
    Shape,
    /// More than one was sent.
    #[error("more than one credential was sent")]
    Ambiguous,
    /// The `Authorization` header cannot be read, or is not `Bearer` and one word.
    #[error("the authorization header is not a bearer credential")]
    Malformed,
}

/// Reads the credential of a request.
///
/// # Errors
/// There is none, more than one, or it cannot be one.
pub fn read(headers: &HeaderMap, query: &Query) -> Result<Credential, Error> {
    let mut authorizations = headers.get_all(AUTHORIZATION).iter();
    let header = authorizations.next();
    let several = authorizations.next().is_some() || query.tokens.len() > 1;
    if several || (header.is_some() && !query.tokens.is_empty()) {
        return Err(Error::Ambiguous);
    }
    let (text, place) = match (header, query.tokens.first()) {
        (Some(header), _) => (bearer(header.as_bytes())?, Place::Header),
        (None, Some(token)) => (token.as_str(), Place::Url),
        (None, None) => return Err(Error::Missing),
    };
    let secret = Secret::parse(Kind::Token, text).map_err(|_| Error::Shape)?;
    Ok(Credential { digest: secret.digest(), place })
}

/// The one word after `Bearer`, of visible ASCII characters.
fn bearer(header: &[u8]) -> Result<&str, Error> {
    let text = std::str::from_utf8(header).map_err(|_| Error::Malformed)?;
    let (scheme, word) = text.trim().split_once([' ', '\t']).ok_or(Error::Malformed)?;
    let word = word.trim();
    let one_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic());
    if scheme.eq_ignore_ascii_case("bearer") && one_word { Ok(word) } else { Err(Error::Malformed) }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn secret() -> String {
        Secret::from_random(Kind::Token, &[5; 32]).reveal().to_owned()
    }

    fn check(authorizations: &[&str], query: &str, expected: Result<Place, Error>) {
        let fill = |text: &str| text.replace("{good}", &secret());
        let mut headers = HeaderMap::new();
        for value in authorizations {
            let value = HeaderValue::from_bytes(fill(value).as_bytes()).unwrap();
            headers.append(AUTHORIZATION, value);
        }
        let read = read(&headers, &Query::parse(Some(&fill(query))));
        assert_eq!(read.map(|found| found.place), expected, "{authorizations:?} {query}");
        if let Ok(found) = read {
            assert_eq!(found.digest, Secret::parse(Kind::Token, &secret()).unwrap().digest());
        }
    }

    #[test]
    fn one_credential_in_one_place_is_read() {
        check(&["Bearer {good}"], "", Ok(Place::Header));
        check(&["bEARER   {good} "], "from=x", Ok(Place::Header));
        check(&[], "from=x&token={good}", Ok(Place::Url));
    }

    #[test]
    fn none_several_and_unreadable_ones_are_told_apart() {
        check(&[], "", Err(Error::Missing));
        check(&[], "token=", Err(Error::Shape));
        check(&[], "token=%ff", Err(Error::Shape));
        check(&["Bearer x"], "", Err(Error::Shape));
        check(&["Bearer {good}0"], "", Err(Error::Shape));
        check(&["Bearer {good}"], "token={good}", Err(Error::Ambiguous));
        check(&["Basic x"], "token=", Err(Error::Ambiguous));
        check(&["Bearer {good}", "Bearer {good}"], "", Err(Error::Ambiguous));
        check(&[], "token={good}&token={good}", Err(Error::Ambiguous));
        for malformed in ["", "Bearer", "Bearer ", "{good}", "Basic {good}", "Bearer {good} x", "Bearer ü"] {
            check(&[malformed], "", Err(Error::Malformed));
        }
    }

    #[test]
    fn a_principals_credential_is_no_token() {
        let other = Secret::from_random(Kind::Credential, &[5; 32]);
        check(&[&format!("Bearer {}", other.reveal())], "", Err(Error::Shape));
    }

    proptest! {
        #[test]
        fn no_request_makes_it_panic(header: Vec<u8>, text in "[Bb]earer[ -~]{0,60}", query: String) {
            for header in [header, text.into_bytes()] {
                let mut headers = HeaderMap::new();
                if let Ok(value) = HeaderValue::from_bytes(&header) {
                    headers.append(AUTHORIZATION, value);
                }
                let _ = read(&headers, &Query::parse(Some(&query)));
            }
        }
    }
}
