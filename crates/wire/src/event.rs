//! Incidents and their events as subscribers see them.
//!
//! Must not know streams or states; the stored state of an incident carries this form.

use bytes::Bytes;
use domain::filter::{MappedValue, Urgency};
use domain::id::{AlertId, EventId, FilterId, IncidentId, PrincipalId, ServiceId, TeamId, TokenId};
use domain::incident::{Acknowledgement, Cause, Incident, Kind, Opening, ResolveReason, Status};
use domain::time::Timestamp;

use crate::cloudevent::encode_value;
use crate::header;
use crate::proto::gander::events::v1 as events;
use crate::stored::{Error, field};
use crate::timestamp::Timestamp as ProtoTime;
use crate::traceparent::Traceparent;

/// An incident event before it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentEvent {
    /// Its id, the same at every fold.
    pub id: EventId,
    /// What happened.
    pub kind: Kind,
    /// The incident after it.
    pub incident: Incident,
    /// The alert that caused it, the last where it stands for several.
    pub cause: Option<Cause>,
    /// How many alerts it stands for.
    pub alert_count: u64,
    /// When it happened, by the rules' clock.
    pub at: Timestamp,
    /// Where it stands in a trace: that of its cause.
    pub trace: Option<Traceparent>,
}

/// The CloudEvents type of this kind of event.
#[must_use]
pub fn cloudevent_type(kind: Kind) -> String {
    format!("gander.incident.{}.v1", kind.name())
}

impl IncidentEvent {
    /// The CloudEvents attributes, as headers of the binary mode; the place in a trace both as the
    /// extension "Distributed Tracing" has it and as W3C Trace Context has it.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let opening = &self.incident.opening;
        let mut headers = vec![
            ("ce-specversion", "1.0".to_owned()),
            ("ce-id", self.id.to_string()),
            (
                "ce-source",
                encode_value(&format!(
                    "/gander/teams/{}/services/{}",
                    opening.team, opening.service
                )),
            ),
            ("ce-type", cloudevent_type(self.kind)),
            ("ce-subject", encode_value(&name(opening))),
            ("ce-time", rfc3339(self.at)),
            ("ce-datacontenttype", "application/json".to_owned()),
            ("ce-partitionkey", opening.id.to_string()),
        ];
        if let Some(trace) = self.trace {
            headers.push(("ce-traceparent", trace.to_string()));
            headers.push((header::TRACEPARENT, trace.to_string()));
        }
        headers
    }

    /// The data: canonical proto3 JSON of the event message.
    #[must_use]
    pub fn data(&self) -> Bytes {
        serde_json::to_vec(&self.to_proto()).expect("the event message has only JSON types").into()
    }

    /// The event message.
    #[must_use]
    pub fn to_proto(&self) -> events::IncidentEvent {
        events::IncidentEvent {
            id: self.id.to_string(),
            r#type: cloudevent_type(self.kind),
            incident: Some(incident_to(&self.incident)),
            alert: self.cause.as_ref().map(|cause| events::Alert {
                id: cause.id.to_string(),
                token: cause.token.to_string(),
                from: cause.from.clone().unwrap_or_default(),
                receive_time: Some(time(cause.received_at)),
            }),
            alert_count: self.alert_count,
            time: Some(time(self.at)),
        }
    }
}

/// A point in time as protobuf has it.
#[must_use]
pub fn time(at: Timestamp) -> ProtoTime {
    let micros = at.as_micros();
    let nanos = i32::try_from(micros.rem_euclid(1_000_000)).expect("less than a million") * 1_000;
    ProtoTime { seconds: micros.div_euclid(1_000_000), nanos }
}

/// A point in time from protobuf, cut to microseconds; none if it is out of range.
#[must_use]
pub fn time_from(at: &ProtoTime) -> Option<Timestamp> {
    let nanos = u32::try_from(at.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    let micros = at.seconds.checked_mul(1_000_000)?.checked_add(i64::from(nanos / 1_000))?;
    // The range of a protobuf timestamp: years 1 to 9999.
    (-62_135_596_800..253_402_300_800)
        .contains(&at.seconds)
        .then_some(Timestamp::from_micros(micros))
}

fn rfc3339(at: Timestamp) -> String {
    time(at).to_rfc3339().unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
}

fn name(opening: &Opening) -> String {
    format!("teams/{}/services/{}/incidents/{}", opening.team, opening.service, opening.id)
}

/// An incident in its public form.
#[must_use]
pub fn incident_to(incident: &Incident) -> events::Incident {
    let opening = &*incident.opening;
    let urgency = match opening.urgency {
        Urgency::High => events::Urgency::High,
        Urgency::Low => events::Urgency::Low,
    };
    let (status, resolved_at, reason, resolver) = status_to(incident.status);
    events::Incident {
        name: name(opening),
        id: opening.id.to_string(),
        team: opening.team.to_string(),
        service: opening.service.to_string(),
        filter: opening.filter.to_string(),
        urgency: urgency.into(),
        title: opening.title.clone(),
        description: opening.description.clone(),
        mapped_value: opening.mapped.as_ref().map(ToString::to_string).unwrap_or_default(),
        status: status.into(),
        occurrences: incident.occurrences,
        create_time: Some(time(opening.cause.received_at)),
        last_occurrence_time: Some(time(incident.last_at)),
        resolve_time: resolved_at.map(time),
        resolve_reason: reason.into(),
        resolver,
        token: opening.cause.token.to_string(),
        alert: opening.cause.id.to_string(),
        from: opening.cause.from.clone().unwrap_or_default(),
        source_payload: opening.payload.clone(),
        source_payload_omitted: opening.payload_omitted,
        acknowledge_time: incident.acknowledged.map(|found| time(found.at)),
        acknowledger: incident.acknowledged.map(|found| principal(found.by)).unwrap_or_default(),
    }
}

fn principal(id: PrincipalId) -> String {
    format!("principals/{id}")
}

fn principal_from(name: &str) -> Option<PrincipalId> {
    name.strip_prefix("principals/").and_then(|id| PrincipalId::parse(id).ok())
}

fn status_to(
    status: Status,
) -> (events::IncidentStatus, Option<Timestamp>, events::ResolveReason, String) {
    match status {
        Status::Open => {
            (events::IncidentStatus::Open, None, events::ResolveReason::Unspecified, String::new())
        }
        Status::Resolved { at, reason } => {
            let (reason, resolver) = match reason {
                ResolveReason::Alert => (events::ResolveReason::Alert, String::new()),
                ResolveReason::Principal(id) => (events::ResolveReason::Principal, principal(id)),
                ResolveReason::ServiceDeleted => {
                    (events::ResolveReason::ServiceDeleted, String::new())
                }
            };
            (events::IncidentStatus::Resolved, Some(at), reason, resolver)
        }
    }
}

/// Reads an incident from its public form, with what that form does not have.
///
/// # Errors
/// A field is missing or broken.
pub(crate) fn incident_from(
    incident: events::Incident,
    mapped_digest: Option<[u8; 32]>,
    payload_digest: [u8; 32],
) -> Result<Incident, Error> {
    let urgency = match incident.urgency() {
        events::Urgency::High => Urgency::High,
        events::Urgency::Low => Urgency::Low,
        events::Urgency::Unspecified => return Err(field("incident.urgency")),
    };
    let status = status_from(&incident)?;
    let acknowledged = acknowledged_from(&incident)?;
    let last_at = required_time(incident.last_occurrence_time.as_ref())?;
    let mapped = match mapped_digest {
        Some(digest) => Some(MappedValue::Digest(digest)),
        None => MappedValue::new(&incident.mapped_value),
    };
    let opening = Opening {
        id: IncidentId::parse(&incident.id).map_err(|_| field("incident.id"))?,
        team: TeamId::parse(&incident.team).map_err(|_| field("incident.team"))?,
        service: ServiceId::parse(&incident.service).map_err(|_| field("incident.service"))?,
        filter: FilterId::parse(&incident.filter).map_err(|_| field("incident.filter"))?,
        urgency,
        title: incident.title,
        description: incident.description,
        mapped,
        cause: Cause {
            id: AlertId::parse(&incident.alert).map_err(|_| field("incident.alert"))?,
            token: TokenId::parse(&incident.token).map_err(|_| field("incident.token"))?,
            received_at: required_time(incident.create_time.as_ref())?,
            from: (!incident.from.is_empty()).then_some(incident.from),
        },
        payload: incident.source_payload,
        payload_omitted: incident.source_payload_omitted,
        payload_digest,
    };
    let (opening, occurrences) = (opening.into(), incident.occurrences);
    Ok(Incident { opening, occurrences, last_at, acknowledged, status })
}

fn required_time(at: Option<&ProtoTime>) -> Result<Timestamp, Error> {
    at.and_then(time_from).ok_or(field("incident.time"))
}

fn acknowledged_from(incident: &events::Incident) -> Result<Option<Acknowledgement>, Error> {
    if incident.acknowledge_time.is_none() && incident.acknowledger.is_empty() {
        return Ok(None);
    }
    let at = required_time(incident.acknowledge_time.as_ref())?;
    let by = principal_from(&incident.acknowledger).ok_or(field("incident.acknowledger"))?;
    Ok(Some(Acknowledgement { by, at }))
}

fn status_from(incident: &events::Incident) -> Result<Status, Error> {
    match incident.status() {
        events::IncidentStatus::Open => Ok(Status::Open),
        events::IncidentStatus::Resolved => {
            let at = required_time(incident.resolve_time.as_ref())?;
            let reason = match incident.resolve_reason() {
                events::ResolveReason::Alert => ResolveReason::Alert,
                events::ResolveReason::ServiceDeleted => ResolveReason::ServiceDeleted,
                events::ResolveReason::Principal => {
                    let id = principal_from(&incident.resolver);
                    ResolveReason::Principal(id.ok_or(field("incident.resolver"))?)
                }
                events::ResolveReason::Unspecified => return Err(field("incident.resolve_reason")),
            };
            Ok(Status::Resolved { at, reason })
        }
        events::IncidentStatus::Unspecified => Err(field("incident.status")),
    }
}
