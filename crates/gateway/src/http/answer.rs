//! Answers to accepted alerts.
//!
//! Must not know how it is known what became of them.

use bytes::Bytes;
use domain::id::AlertId;
use domain::incident::Flags;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;
use utoipa::ToSchema;

/// What became of a stored alert. Each flag is true if it is true in any service that the token
/// reaches.
#[derive(Serialize, ToSchema)]
pub struct Outcome {
    /// The id of the alert.
    #[schema(format = "uuid")]
    id: String,
    #[schema(inline)]
    triggered: Triggered,
    #[schema(inline)]
    resolved: Resolved,
    /// The ids of the maintenance windows that suppressed a trigger, at most 10; not there where
    /// there are none.
    #[schema(required = false, min_items = 1, max_items = 10)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suppressed: Vec<String>,
}

/// What triggers led to.
#[derive(Serialize, ToSchema)]
struct Triggered {
    /// An incident was created.
    created: bool,
    /// A trigger named an incident that is open.
    duplicate: bool,
}

/// What resolve parts led to.
#[derive(Serialize, ToSchema)]
struct Resolved {
    /// An incident was resolved.
    resolved: bool,
    /// A resolve named an incident that was closed before.
    duplicate: bool,
}

/// The alert is stored; what becomes of it is told by incident events.
#[derive(Serialize, ToSchema)]
pub struct Accepted {
    /// The id of the alert.
    #[schema(format = "uuid")]
    id: String,
    #[schema(inline)]
    status: Status,
}

/// What is known of an alert.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// It is stored.
    Accepted,
}

/// The alert is stored and this is what became of it: 201 if any incident was created, else 200
/// if any was resolved or the call was a duplicate, else 202. Maintenance windows that suppressed
/// something are named.
pub fn outcome(id: AlertId, flags: Flags) -> Response<Full<Bytes>> {
    let status = if flags.created {
        StatusCode::CREATED
    } else if flags.resolved || flags.trigger_duplicate || flags.resolve_duplicate {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let outcome = Outcome {
        id: id.to_string(),
        triggered: Triggered { created: flags.created, duplicate: flags.trigger_duplicate },
        resolved: Resolved { resolved: flags.resolved, duplicate: flags.resolve_duplicate },
        suppressed: flags.suppressed_by.iter().map(|window| window.to_string()).collect(),
    };
    json_answer(status, &outcome)
}

/// The alert is stored; what becomes of it is not known yet.
pub fn accepted(id: AlertId) -> Response<Full<Bytes>> {
    json_answer(StatusCode::ACCEPTED, &Accepted { id: id.to_string(), status: Status::Accepted })
}

/// A document that is JSON already.
pub fn document(json: Bytes) -> Response<Full<Bytes>> {
    with_type(StatusCode::OK, json, "application/json")
}

/// Plain text, for probes.
pub fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    with_type(status, text.into(), "text/plain; charset=utf-8")
}

fn json_answer(status: StatusCode, body: &impl Serialize) -> Response<Full<Bytes>> {
    let body = serde_json::to_vec(body).expect("these types are plain JSON");
    with_type(status, body.into(), "application/json")
}

fn with_type(status: StatusCode, body: Bytes, kind: &'static str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}
