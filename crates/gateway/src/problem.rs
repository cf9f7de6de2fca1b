//! Refusals: each has a stable code, one status and one fixed text (RFC 9457).
//!
//! The texts are constants, so nothing that a client sent can come back in one. Must not know
//! why a request came to be refused in this way.

use bytes::Bytes;
use domain::id::AlertId;
use http::header::{
    ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

/// How many seconds a sender waits before it tries again.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("2");

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not one `Host`.
    Host,
    /// Both `Content-Length` and `Transfer-Encoding`.
    Framing,
    /// More than one credential.
    CredentialAmbiguous,
    /// An `Authorization` that cannot be read or is not `Bearer`.
    CredentialMalformed,
    /// No credential that opens the door; whether one was `sent` is said in the challenge only.
    Unauthenticated {
        /// Whether a credential was sent.
        sent: bool,
    },
    /// A body that ends too early or breaks its framing.
    BodyBroken,
    /// A body that does not follow its `Content-Encoding`.
    BodyUndecodable,
    /// No such path.
    NotFound,
    /// A method that the path does not have.
    Method {
        /// The methods that it has.
        allow: &'static str,
    },
    /// A body that does not arrive in time.
    BodyLate,
    /// A body over the limit, as sent or decoded.
    BodyTooLarge,
    /// A request target over the limit.
    UriTooLong,
    /// An unknown `Content-Encoding`, or several.
    Encoding,
    /// An `Expect` other than `100-continue`.
    Expectation,
    /// More requests than are served at once.
    Overloaded,
    /// No room for the alert.
    StoreFull,
    /// The broker did not answer in time.
    StoreTimeout,
    /// The broker cannot be reached.
    BrokerUnavailable,
    /// The view of tokens is not known to be current.
    ViewStale,
    /// The process stops.
    Draining,
}

/// What is said of a refusal.
struct Text {
    status: StatusCode,
    code: &'static str,
    detail: &'static str,
}

impl Refusal {
    /// Its stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.text().code
    }

    /// Its status.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.text().status
    }

    const fn text(self) -> Text {
        let (status, code, detail) = match self {
            Self::Host => (400, "HOST_INVALID", "HTTP/1.1 requires exactly one Host header."),
            Self::Framing => (
                400,
                "FRAMING_AMBIGUOUS",
                "A request has Content-Length or Transfer-Encoding, not both.",
            ),
            Self::CredentialAmbiguous => (
                400,
                "CREDENTIAL_AMBIGUOUS",
                "Send the token once: in the Authorization header or as the URL parameter.",
            ),
            Self::CredentialMalformed => (
                400,
                "CREDENTIAL_MALFORMED",
                "The Authorization header must be: Bearer <token>",
            ),
            Self::Unauthenticated { .. } => {
                (401, "UNAUTHENTICATED", "A valid API token is required.")
            }
            Self::BodyBroken => {
                (400, "BODY_INCOMPLETE", "The body ended early or broke its framing.")
            }
            Self::BodyUndecodable => {
                (400, "BODY_NOT_DECODABLE", "The body does not follow its Content-Encoding.")
            }
            Self::NotFound => (404, "NOT_FOUND", "There is nothing at this path."),
            Self::Method { .. } => {
                (405, "METHOD_NOT_ALLOWED", "The Allow header lists the methods of this path.")
            }
            Self::BodyLate => (408, "BODY_TIMEOUT", "The body did not arrive in time."),
            Self::BodyTooLarge => {
                (413, "BODY_TOO_LARGE", "The body is over the size limit, as sent or decoded.")
            }
            Self::UriTooLong => (414, "URI_TOO_LONG", "The request target is too long."),
            Self::Encoding => (
                415,
                "ENCODING_UNSUPPORTED",
                "The Content-Encoding must be one of those in the Accept-Encoding header.",
            ),
            Self::Expectation => {
                (417, "EXPECTATION_UNSUPPORTED", "The only expectation served is 100-continue.")
            }
            Self::Overloaded => (503, "OVERLOADED", "Too many requests at once; try again."),
            Self::StoreFull => (503, "STORE_FULL", "There is no room for alerts; try again."),
            Self::StoreTimeout => (
                503,
                "STORE_TIMEOUT",
                "The alert is not known to be stored: no answer in time; try again.",
            ),
            Self::BrokerUnavailable => (
                503,
                "BROKER_UNAVAILABLE",
                "The alert is not known to be stored: the broker cannot be reached; try again.",
            ),
            Self::ViewStale => {
                (503, "VIEW_STALE", "Tokens cannot be checked at the moment; try again.")
            }
            Self::Draining => (503, "DRAINING", "This gateway stops; try again."),
        };
        let Ok(status) = StatusCode::from_u16(status) else { panic!("the table holds statuses") };
        Text { status, code, detail }
    }

    /// The answer.
    #[must_use]
    pub fn response(self) -> Response<Full<Bytes>> {
        self.about(None)
    }

    /// The answer, with the id that the alert has in our logs, if it got one.
    #[must_use]
    pub fn about(self, alert: Option<AlertId>) -> Response<Full<Bytes>> {
        let Text { status, code, detail } = self.text();
        let problem = Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            code,
            detail,
            instance: alert.map(|id| format!("urn:uuid:{id}")),
        };
        let body = serde_json::to_vec(&problem).expect("texts and a number are JSON");
        let mut response = Response::new(Full::new(body.into()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some((name, value)) = self.extra_header() {
            headers.insert(name, value);
        }
        if self.closes() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn extra_header(self) -> Option<(http::HeaderName, HeaderValue)> {
        match self {
            Self::Unauthenticated { sent: false } => {
                Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
            }
            Self::Unauthenticated { sent: true } => {
                let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
                Some((WWW_AUTHENTICATE, challenge))
            }
            Self::Method { allow } => Some((ALLOW, HeaderValue::from_static(allow))),
            Self::Encoding => {
                Some((ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate, identity")))
            }
            Self::Overloaded
            | Self::StoreFull
            | Self::StoreTimeout
            | Self::BrokerUnavailable
            | Self::ViewStale
            | Self::Draining => Some((RETRY_AFTER, RETRY_AFTER_SECONDS)),
            Self::Host
            | Self::Framing
            | Self::CredentialAmbiguous
            | Self::CredentialMalformed
            | Self::BodyBroken
            | Self::BodyUndecodable
            | Self::NotFound
            | Self::BodyLate
            | Self::BodyTooLarge
            | Self::UriTooLong
            | Self::Expectation => None,
        }
    }

    /// Whether the connection cannot be used again whatever became of the body.
    const fn closes(self) -> bool {
        matches!(
            self,
            Self::Host | Self::Framing | Self::BodyBroken | Self::BodyLate | Self::Draining
        )
    }
}

#[derive(Serialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
}
