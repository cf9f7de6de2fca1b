//! The answers to an alert that is stored.
//!
//! Must not know how long was waited for the outcome.

use bytes::Bytes;
use domain::id::AlertId;
use domain::incident::Flags;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use crate::prefer::Prefer;

#[derive(Serialize)]
struct Known {
    id: String,
    triggered: Triggered,
    resolved: Resolved,
}

#[derive(Serialize)]
struct Triggered {
    created: bool,
    duplicate: bool,
}

#[derive(Serialize)]
struct Resolved {
    resolved: bool,
    duplicate: bool,
}

#[derive(Serialize)]
struct Accepted {
    id: String,
    status: &'static str,
}

/// The answer: with the outcome, or, where it is not known, without.
#[must_use]
pub fn stored(id: AlertId, outcome: Option<Flags>, prefer: Prefer) -> Response<Full<Bytes>> {
    let id = id.to_string();
    let body = match outcome {
        Some(flags) => serde_json::to_vec(&Known {
            id,
            triggered: Triggered { created: flags.created, duplicate: flags.trigger_duplicate },
            resolved: Resolved { resolved: flags.resolved, duplicate: flags.resolve_duplicate },
        }),
        None => serde_json::to_vec(&Accepted { id, status: "accepted" }),
    };
    let body = body.expect("texts and booleans are JSON");
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = outcome.map_or(StatusCode::ACCEPTED, status);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(applied) = prefer.applied(outcome.is_none()) {
        let applied = HeaderValue::from_str(&applied).expect("digits and ASCII letters");
        headers.insert("preference-applied", applied);
    }
    response
}

/// 201 for a new incident, 200 for one resolved or a repeat, 202 where nothing happened.
fn status(flags: Flags) -> StatusCode {
    if flags.created {
        StatusCode::CREATED
    } else if flags.resolved || flags.trigger_duplicate || flags.resolve_duplicate {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_follows_the_union_of_flags() {
        let none = Flags::default();
        for (flags, expected) in [
            (none, 202),
            (Flags { suppressed: true, ..none }, 202),
            (Flags { failed: true, ..none }, 202),
            (Flags { resolve_duplicate: true, ..none }, 200),
            (Flags { trigger_duplicate: true, ..none }, 200),
            (Flags { resolved: true, ..none }, 200),
            (Flags { created: true, resolved: true, ..none }, 201),
        ] {
            assert_eq!(status(flags).as_u16(), expected, "{flags:?}");
        }
    }
}
