//! What goes wrong with a request, and how it is told: RFC 9457, with a stable code.
//!
//! The table of `docs/http-status.md` in code. Never repeats what the client sent.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;
use utoipa::ToSchema;
use wire::Traceparent;

use super::REFUSED_OFTEN;
use super::credential::{MALFORMED, SEVERAL};
use super::process::{FROM_OFTEN, SENT_OFTEN};

/// Why a request is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// More than one credential, or an `Authorization` that is neither Bearer nor Basic.
    InvalidRequest(&'static str),
    /// No credential.
    NoToken,
    /// A credential that opens nothing.
    InvalidToken,
    /// An unknown path.
    NotFound,
    /// A method that the path does not have; with those that it has.
    MethodNotAllowed(&'static str),
    /// The body did not arrive in time.
    BodyTimeout,
    /// The body is longer than this many bytes.
    BodyTooLarge(u64),
    /// The connection broke off inside the body, or the body is not framed right.
    BodyBroken,
    /// Path and query are too long.
    UriTooLong,
    /// An encoding that is not gzip or deflate, or more than one.
    UnsupportedEncoding,
    /// The body is not what its encoding says.
    EncodingBroken,
    /// An `Expect` other than `100-continue`.
    ExpectationFailed,
    /// The token, or an address without one, asks too often.
    RateLimited {
        /// After how many seconds it may ask again.
        seconds: u64,
        /// Who asks too often.
        detail: &'static str,
        /// Whether its token wants to be told 503.
        unavailable: bool,
    },
    /// Too many alerts wait.
    Overloaded,
    /// The broker did not store it in time, or cannot be reached.
    BrokerUnavailable,
    /// The stream of alerts is full.
    StreamFull,
    /// What is known of tokens may be out of date.
    TokensStale,
    /// The process stops.
    Draining,
}

/// What went wrong (RFC 9457). `title` and `detail` are for people and may change.
#[derive(Serialize, ToSchema)]
pub struct Details {
    /// Always `about:blank`: `code` says what kind of problem it is.
    r#type: &'static str,
    /// The name of the status.
    title: &'static str,
    /// The status.
    status: u16,
    /// What went wrong, for programs: stable.
    code: &'static str,
    /// What to do.
    detail: &'static str,
    /// The largest body in bytes; with `BODY_TOO_LARGE` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    limit_bytes: Option<u64>,
    /// The id of the trace of the request, 32 hex digits; where traces are on, not with 401.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^[0-9a-f]{32}$")]
    trace_id: Option<String>,
}

impl Problem {
    /// One of each kind and detail, for a gateway with this limit of a body.
    pub const fn each(body_limit: u64) -> [Self; 23] {
        [
            Self::UriTooLong,
            Self::NotFound,
            Self::MethodNotAllowed("POST, PUT"),
            Self::InvalidRequest(SEVERAL),
            Self::InvalidRequest(MALFORMED),
            Self::NoToken,
            Self::InvalidToken,
            Self::TokensStale,
            Self::RateLimited { seconds: 1, detail: REFUSED_OFTEN, unavailable: false },
            Self::RateLimited { seconds: 1, detail: FROM_OFTEN, unavailable: false },
            Self::RateLimited { seconds: 1, detail: FROM_OFTEN, unavailable: true },
            Self::RateLimited { seconds: 1, detail: SENT_OFTEN, unavailable: false },
            Self::RateLimited { seconds: 1, detail: SENT_OFTEN, unavailable: true },
            Self::ExpectationFailed,
            Self::UnsupportedEncoding,
            Self::Draining,
            Self::BodyTooLarge(body_limit),
            Self::BodyTimeout,
            Self::BodyBroken,
            Self::EncodingBroken,
            Self::Overloaded,
            Self::StreamFull,
            Self::BrokerUnavailable,
        ]
    }

    /// Counts refused requests from 0, so that the first of each code is seen as an increase.
    pub fn register_metrics() {
        for problem in Self::each(0) {
            metrics::counter!("gander_gateway_refused_total", "code" => problem.code())
                .increment(0);
        }
    }

    /// The stable code.
    pub const fn code(self) -> &'static str {
        self.row().1
    }

    /// Status, code, and what to do.
    #[expect(clippy::too_many_lines, reason = "one row for each problem")]
    pub const fn row(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::InvalidRequest(detail) => (StatusCode::BAD_REQUEST, "INVALID_REQUEST", detail),
            Self::NoToken | Self::InvalidToken => (
                StatusCode::UNAUTHORIZED,
                "INVALID_TOKEN",
                "send a valid token as `Authorization: Bearer …` or as the URL parameter `token`",
            ),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "NOT_FOUND",
                "send alerts to /v1/process, below the path prefix of this gateway where it has one",
            ),
            Self::MethodNotAllowed(_) => (
                StatusCode::METHOD_NOT_ALLOWED,
                "METHOD_NOT_ALLOWED",
                "use a method that `Allow` names",
            ),
            Self::BodyTimeout => (
                StatusCode::REQUEST_TIMEOUT,
                "BODY_TIMEOUT",
                "the body did not arrive within 10 seconds: send it again, all of it within that time",
            ),
            Self::BodyTooLarge(_) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "BODY_TOO_LARGE",
                "send a body of at most `limit_bytes` bytes, also after decoding",
            ),
            Self::BodyBroken => (
                StatusCode::BAD_REQUEST,
                "BODY_BROKEN",
                "the body broke off or is framed wrong: send it again, as long as Content-Length says or in whole chunks",
            ),
            Self::UriTooLong => (
                StatusCode::URI_TOO_LONG,
                "URI_TOO_LONG",
                "shorten path and query to at most 8192 bytes together",
            ),
            Self::UnsupportedEncoding => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UNSUPPORTED_ENCODING",
                "encode the body once, with gzip or deflate, or not at all",
            ),
            Self::EncodingBroken => (
                StatusCode::BAD_REQUEST,
                "ENCODING_BROKEN",
                "the body is not what Content-Encoding says: encode it so, or leave the header out",
            ),
            Self::ExpectationFailed => (
                StatusCode::EXPECTATION_FAILED,
                "EXPECTATION_FAILED",
                "send `Expect: 100-continue` or no Expect at all",
            ),
            Self::RateLimited { detail, unavailable: true, .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "RATE_LIMITED", detail)
            }
            Self::RateLimited { detail, unavailable: false, .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", detail)
            }
            Self::Overloaded => (
                StatusCode::SERVICE_UNAVAILABLE,
                "OVERLOADED",
                "too many alerts wait to be stored: send it again",
            ),
            Self::BrokerUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "BROKER_UNAVAILABLE",
                "the alert is not known to be stored: send it again",
            ),
            Self::StreamFull => (
                StatusCode::SERVICE_UNAVAILABLE,
                "STREAM_FULL",
                "there is no room to store the alert: send it again",
            ),
            Self::TokensStale => (
                StatusCode::SERVICE_UNAVAILABLE,
                "TOKENS_STALE",
                "this gateway cannot tell which tokens are valid: send it again",
            ),
            Self::Draining => (
                StatusCode::SERVICE_UNAVAILABLE,
                "DRAINING",
                "this gateway is stopping: send it again",
            ),
        }
    }

    /// The answer, with the id of the trace for those who look at it. Not where the token is
    /// refused: there all answers are the same.
    pub fn answer(self, trace: Option<Traceparent>) -> Response<Full<Bytes>> {
        let (status, code, detail) = self.row();
        let limit_bytes = if let Self::BodyTooLarge(limit) = self { Some(limit) } else { None };
        let trace = trace.filter(|_| status != StatusCode::UNAUTHORIZED);
        let details = Details {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            code,
            detail,
            limit_bytes,
            trace_id: trace.map(|trace| trace.trace_id().to_string()),
        };
        let body = serde_json::to_vec(&details).expect("these types are plain JSON");
        let mut answer = Response::new(Full::new(Bytes::from(body)));
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        let plain = HeaderValue::from_static;
        headers.insert(header::CONTENT_TYPE, plain("application/problem+json"));
        match self {
            Self::NoToken => {
                headers.insert(header::WWW_AUTHENTICATE, plain("Bearer"));
            }
            Self::InvalidToken => {
                headers.insert(header::WWW_AUTHENTICATE, plain("Bearer error=\"invalid_token\""));
            }
            Self::MethodNotAllowed(allowed) => {
                headers.insert(header::ALLOW, plain(allowed));
            }
            Self::UnsupportedEncoding => {
                headers.insert(header::ACCEPT_ENCODING, plain("gzip, deflate"));
            }
            Self::BodyTimeout | Self::BodyTooLarge(_) | Self::BodyBroken | Self::UriTooLong => {
                headers.insert(header::CONNECTION, plain("close"));
            }
            Self::RateLimited { seconds, .. } => {
                headers.insert(header::RETRY_AFTER, seconds.into());
            }
            Self::Overloaded
            | Self::BrokerUnavailable
            | Self::StreamFull
            | Self::TokensStale
            | Self::Draining => {
                headers.insert(header::RETRY_AFTER, plain("5"));
            }
            Self::InvalidRequest(_)
            | Self::NotFound
            | Self::EncodingBroken
            | Self::ExpectationFailed => {}
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_kind_is_listed() {
        let place = |problem| match problem {
            Problem::InvalidRequest(_) => 0,
            Problem::NoToken => 1,
            Problem::InvalidToken => 2,
            Problem::NotFound => 3,
            Problem::MethodNotAllowed(_) => 4,
            Problem::BodyTimeout => 5,
            Problem::BodyTooLarge(_) => 6,
            Problem::BodyBroken => 7,
            Problem::UriTooLong => 8,
            Problem::UnsupportedEncoding => 9,
            Problem::EncodingBroken => 10,
            Problem::ExpectationFailed => 11,
            Problem::Overloaded => 12,
            Problem::BrokerUnavailable => 13,
            Problem::StreamFull => 14,
            Problem::TokensStale => 15,
            Problem::Draining => 16,
            Problem::RateLimited { .. } => 17,
        };
        let places: BTreeSet<_> = Problem::each(1).map(place).into();
        assert!(places.iter().copied().eq(0..18), "{places:?}");
    }
}
