//! Answers to accepted alerts.
//!
//! Must not know how it is known what became of them.

use bytes::Bytes;
use domain::id::AlertId;
use domain::incident::Flags;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

/// The alert is stored and this is what became of it: 201 if any incident was created, else 200
/// if any was resolved or the call was a duplicate, else 202.
pub fn outcome(id: AlertId, flags: Flags) -> Response<Full<Bytes>> {
    let status = if flags.created {
        StatusCode::CREATED
    } else if flags.resolved || flags.trigger_duplicate || flags.resolve_duplicate {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let Flags { created, trigger_duplicate, resolved, resolve_duplicate, .. } = flags;
    // Written by hand to keep the order of the documentation; nothing in it needs escaping.
    let body = format!(
        r#"{{"id":"{id}","triggered":{{"created":{created},"duplicate":{trigger_duplicate}}},"resolved":{{"resolved":{resolved},"duplicate":{resolve_duplicate}}}}}"#
    );
    json_answer(status, body)
}

/// The alert is stored; what becomes of it is not known yet.
pub fn accepted(id: AlertId) -> Response<Full<Bytes>> {
    json_answer(StatusCode::ACCEPTED, format!(r#"{{"id":"{id}","status":"accepted"}}"#))
}

/// Plain text, for probes.
pub fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    with_type(status, text, "text/plain; charset=utf-8")
}

fn json_answer(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    with_type(status, body, "application/json")
}

fn with_type(status: StatusCode, body: String, kind: &'static str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}
