//! Answers to accepted alerts.
//!
//! Must not know how it is known what became of them.

use bytes::Bytes;
use domain::id::AlertId;
use domain::incident::Flags;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::json;

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
    let body = json!({
        "id": id.to_string(),
        "triggered": {"created": flags.created, "duplicate": flags.trigger_duplicate},
        "resolved": {"resolved": flags.resolved, "duplicate": flags.resolve_duplicate},
    });
    json_answer(status, body.to_string())
}

/// The alert is stored; what becomes of it is not known yet.
pub fn accepted(id: AlertId) -> Response<Full<Bytes>> {
    let body = json!({"id": id.to_string(), "status": "accepted"});
    json_answer(StatusCode::ACCEPTED, body.to_string())
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
