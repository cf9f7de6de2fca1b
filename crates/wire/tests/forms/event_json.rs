//! What subscribers see: an event's data is the canonical JSON of its message, its headers are
//! plain. Must not know generated code but as the thing under test.

use chrono::DateTime;
use domain::filter::Urgency;
use domain::incident::{Cause, Incident, ResolveReason, Status};
use domain::time::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use wire::event::IncidentEvent;
use wire::proto::gander::events::v1 as events;

use crate::generate::{FIRST_TO_LAST, event_times, work};

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 as RFC 4648 has it, with padding.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = three.iter().fold(0, |number, byte| (number << 8) | usize::from(*byte));
        let number = number << (8 * (3 - three.len()));
        for n in 0..4 {
            let digit = (number >> (18 - 6 * n)) & 63;
            text.push(if n <= three.len() { char::from(BASE64[digit]) } else { '=' });
        }
    }
    text
}

/// The object with these members, those left out that have their defaults.
fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let is_default =
        |value: &Value| value.is_null() || *value == json!("") || *value == json!(false);
    let members = members.into_iter().filter(|(_, value)| !is_default(value));
    members.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>().into()
}

/// A 64-bit number, as a text; the default is 0.
fn number(n: u64) -> Value {
    (n != 0).then(|| n.to_string()).into()
}

/// RFC 3339 in UTC, with no, 3 or 6 digits of a second.
fn time(at: Timestamp) -> Value {
    let time = DateTime::from_timestamp_micros(at.as_micros()).unwrap().naive_utc();
    let seconds = time.format("%Y-%m-%dT%H:%M:%S");
    let micros = at.as_micros().rem_euclid(1_000_000);
    match micros {
        0 => format!("{seconds}Z").into(),
        _ if micros % 1_000 == 0 => format!("{seconds}.{:03}Z", micros / 1_000).into(),
        _ => format!("{seconds}.{micros:06}Z").into(),
    }
}

fn cause(cause: &Cause) -> Value {
    object([
        ("id", cause.id.to_string().into()),
        ("token", cause.token.to_string().into()),
        ("from", cause.from.clone().into()),
        ("receiveTime", time(cause.received_at)),
    ])
}

/// An incident as `docs` describe it.
fn incident(incident: &Incident) -> Value {
    let opening = &incident.opening;
    let (resolved_at, reason, resolver) = match incident.status {
        Status::Open => (None, None, None),
        Status::Resolved { at, reason } => match reason {
            ResolveReason::Alert => (Some(at), Some("RESOLVE_REASON_ALERT"), None),
            ResolveReason::Principal(id) => {
                (Some(at), Some("RESOLVE_REASON_PRINCIPAL"), Some(format!("principals/{id}")))
            }
            ResolveReason::ServiceDeleted => {
                (Some(at), Some("RESOLVE_REASON_SERVICE_DELETED"), None)
            }
        },
    };
    let (team, service, id) = (opening.team, opening.service, opening.id);
    object([
        ("name", format!("teams/{team}/services/{service}/incidents/{id}").into()),
        ("id", id.to_string().into()),
        ("team", team.to_string().into()),
        ("service", service.to_string().into()),
        ("filter", opening.filter.to_string().into()),
        (
            "urgency",
            match opening.urgency {
                Urgency::High => "URGENCY_HIGH".into(),
                Urgency::Low => "URGENCY_LOW".into(),
            },
        ),
        ("title", opening.title.clone().into()),
        ("description", opening.description.clone().into()),
        ("mappedValue", opening.mapped.as_ref().map(ToString::to_string).into()),
        (
            "status",
            match incident.status {
                Status::Open => "INCIDENT_STATUS_OPEN".into(),
                Status::Resolved { .. } => "INCIDENT_STATUS_RESOLVED".into(),
            },
        ),
        ("occurrences", number(incident.occurrences)),
        ("createTime", time(opening.cause.received_at)),
        ("lastOccurrenceTime", time(incident.last_at)),
        ("resolveTime", resolved_at.map_or(Value::Null, time)),
        ("resolveReason", reason.into()),
        ("resolver", resolver.into()),
        ("token", opening.cause.token.to_string().into()),
        ("alert", opening.cause.id.to_string().into()),
        ("from", opening.cause.from.clone().into()),
        ("sourcePayload", base64(&opening.payload).into()),
        ("sourcePayloadOmitted", opening.payload_omitted.into()),
        ("acknowledgeTime", incident.acknowledged.map_or(Value::Null, |found| time(found.at))),
        (
            "acknowledger",
            incident.acknowledged.map(|found| format!("principals/{}", found.by)).into(),
        ),
    ])
}

fn check(event: &IncidentEvent) -> Result<(), TestCaseError> {
    let data = event.data();
    let expected = object([
        ("id", event.id.to_string().into()),
        ("type", format!("gander.incident.{}.v1", event.kind.name()).into()),
        ("incident", incident(&event.incident)),
        ("alert", event.cause.as_ref().map_or(Value::Null, cause)),
        ("alertCount", number(event.alert_count)),
        ("time", time(event.at)),
    ]);
    prop_assert_eq!(serde_json::from_slice::<Value>(&data).unwrap(), expected);
    let message: events::IncidentEvent = serde_json::from_slice(&data).unwrap();
    prop_assert_eq!(message, event.to_proto());
    Ok(())
}

proptest! {
    #[test]
    fn data_is_the_canonical_json_of_the_message(event in work::incident_events()) {
        check(&event)?;
    }

    #[test]
    fn headers_are_printable_whatever_the_event_says(event in work::incident_events()) {
        let headers = event.headers();
        for (name, value) in &headers {
            prop_assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
            prop_assert!(!value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic()));
        }
        let found = |name| {
            let header = headers.iter().find(|(known, _)| *known == name);
            header.map(|(_, value)| value.clone()).unwrap()
        };
        let message = event.to_proto();
        prop_assert_eq!((found("ce-id"), found("ce-type")), (message.id, message.r#type));
        prop_assert_eq!(Some(found("ce-subject")), message.incident.map(|incident| incident.name));
        prop_assert_eq!(Value::from(found("ce-time")), time(event.at));
    }

    #[test]
    fn a_time_comes_back_the_same_from_its_message(at in event_times()) {
        prop_assert_eq!(wire::event::time_from(&wire::event::time(at)), Some(at));
    }
}

#[test]
fn a_time_beyond_what_an_event_can_carry_is_refused() {
    let [first, last] = FIRST_TO_LAST;
    for micros in [first - 1, last + 1, i64::MIN, i64::MAX] {
        let at = wire::event::time(Timestamp::from_micros(micros));
        assert_eq!(wire::event::time_from(&at), None, "{micros}");
    }
}

#[test]
fn base64_here_is_the_one_of_the_standard() {
    for (plain, encoded) in
        [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
    {
        assert_eq!(base64(plain.as_bytes()), encoded);
    }
}
