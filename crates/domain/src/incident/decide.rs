//! What an alert, a command or a deletion leads to.
//!
//! Pure: reads the incidents of a partition and gives events. Must not know how filters match,
//! only what they found.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{
    AcknowledgeVerdict, Alert, CLOSED_MEMORY, Event, Incident, Incidents, MAX_SOURCE_PAYLOAD,
    Opening, ResolveReason, ResolveVerdict, Status, TriggerVerdict, Verdict, incident_id,
};
use crate::filter::{Match, ResolveCandidate, Triggered};
use crate::id::{IncidentId, PrincipalId, ServiceId, TeamId};
use crate::time::Timestamp;

/// What is decided about: an alert in a service.
#[derive(Clone, Copy, Debug)]
pub struct Deciding<'a> {
    /// The alert.
    pub alert: &'a Alert,
    /// The team of the service.
    pub team: TeamId,
    /// The service.
    pub service: ServiceId,
    /// For how long after the first, identical payloads of an unmapped incident are one.
    pub identical_window: Duration,
    /// Whether a maintenance window of the service covers the alert.
    pub in_maintenance: bool,
}

/// What an alert leads to in a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What happens.
    pub events: Vec<Event>,
    /// What the alert came to.
    pub verdict: Verdict,
    /// The incident that was created, or of which the trigger is a duplicate.
    pub triggered: Option<IncidentId>,
    /// The incident that was resolved, or of which the resolve is a duplicate.
    pub resolved: Option<IncidentId>,
}

/// What an alert leads to in a service whose filters found this: first what it resolves, then
/// what it triggers. In maintenance nothing is triggered.
#[must_use]
pub fn decide(state: &Incidents, on: &Deciding<'_>, found: &Match) -> Decision {
    let (closing, resolve, resolved) = resolve(state, on, &found.resolves);
    let closed = closing.as_ref().map(Event::incident);
    let (event, trigger, triggered) = match &found.trigger {
        Some(_) if on.in_maintenance => (None, TriggerVerdict::Suppressed, None),
        Some(found) => {
            let (event, verdict, incident) = decide_trigger(state, on, found, closed);
            (event, verdict, Some(incident))
        }
        None => (None, TriggerVerdict::None, None),
    };
    let events = closing.into_iter().chain(event).collect();
    Decision { events, verdict: Verdict::Evaluated(trigger, resolve), triggered, resolved }
}

/// The first candidate that names an open incident resolves it. If none does, but one names an
/// incident closed not long ago, the resolve is a duplicate.
fn resolve(
    state: &Incidents,
    on: &Deciding<'_>,
    candidates: &[ResolveCandidate],
) -> (Option<Event>, ResolveVerdict, Option<IncidentId>) {
    let mut named = candidates.iter().filter_map(|found| state.mapped(on.service, &found.value));
    let mut duplicate = None;
    let open = named.find(|incident| {
        if duplicate.is_none() && closed_lately(incident, on.alert.received_at) {
            duplicate = Some(incident.opening.id);
        }
        incident.is_open()
    });
    match open {
        Some(found) => {
            let incident = found.opening.id;
            let (at, reason) = (on.alert.received_at, ResolveReason::Alert);
            let event = Event::Resolved { incident, at, reason };
            (Some(event), ResolveVerdict::Resolved, Some(incident))
        }
        None if duplicate.is_some() => (None, ResolveVerdict::Duplicate, duplicate),
        None => (None, ResolveVerdict::None, None),
    }
}

fn closed_lately(incident: &Incident, now: Timestamp) -> bool {
    match incident.status {
        Status::Open => false,
        Status::Resolved { at, .. } => now.since(at) <= CLOSED_MEMORY,
    }
}

fn decide_trigger(
    state: &Incidents,
    on: &Deciding<'_>,
    found: &Triggered,
    closing: Option<IncidentId>,
) -> (Option<Event>, TriggerVerdict, IncidentId) {
    let at = on.alert.received_at;
    let earlier = match &found.mapped {
        Some(value) => state.mapped(on.service, value),
        None => {
            let (digest, window) = (&on.alert.payload_digest, on.identical_window);
            state.identical(on.service, found.filter, digest, at, window)
        }
    };
    // An alert comes a second time only where what was parked is evaluated twice, by a principal
    // who did not learn of the first time.
    let own = incident_id(on.alert.id, on.service);
    if state.get(own).is_some() {
        return (None, TriggerVerdict::Duplicate, own);
    }
    let open = earlier.filter(|found| found.is_open() && closing != Some(found.opening.id));
    match open {
        Some(open) => {
            let incident = open.opening.id;
            let event = Event::Repeated { incident, at };
            (Some(event), TriggerVerdict::Duplicate, incident)
        }
        None => {
            let event = Event::Created(Arc::new(opening(on, found, own)));
            (Some(event), TriggerVerdict::Created, own)
        }
    }
}

fn opening(on: &Deciding<'_>, found: &Triggered, id: IncidentId) -> Opening {
    let payload_omitted = on.alert.payload.len() > MAX_SOURCE_PAYLOAD;
    Opening {
        id,
        team: on.team,
        service: on.service,
        filter: found.filter,
        urgency: found.urgency,
        title: found.title.clone(),
        description: found.description.clone(),
        mapped: found.mapped.clone(),
        cause: on.alert.cause(),
        payload: if payload_omitted { Bytes::new() } else { on.alert.payload.clone() },
        payload_omitted,
        payload_digest: on.alert.payload_digest,
    }
}

/// What a principal says about an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// The incident.
    pub incident: IncidentId,
    /// The team of which the principal may handle incidents.
    pub team: TeamId,
    /// The service in which the incident is to be.
    pub service: ServiceId,
    /// Who says it.
    pub by: PrincipalId,
    /// When it was received.
    pub at: Timestamp,
}

/// The incident that a command names, if it is where the command says: whoever may handle one
/// team's incidents reaches none of another team.
fn named<'a>(state: &'a Incidents, command: &Command) -> Option<&'a Incident> {
    state.get(command.incident).filter(|found| {
        found.opening.team == command.team && found.opening.service == command.service
    })
}

/// What it leads to that a principal acknowledges an incident; nothing if somebody has already,
/// or if it is not open.
#[must_use]
pub fn decide_acknowledge(
    state: &Incidents,
    command: &Command,
) -> (Option<Event>, AcknowledgeVerdict) {
    match named(state, command) {
        Some(found) if !found.is_open() => (None, AcknowledgeVerdict::Closed),
        Some(found) if found.acknowledged.is_some() => (None, AcknowledgeVerdict::Duplicate),
        Some(_) => {
            let Command { incident, by, at, .. } = *command;
            (Some(Event::Acknowledged { incident, by, at }), AcknowledgeVerdict::Acknowledged)
        }
        None => (None, AcknowledgeVerdict::None),
    }
}

/// What it leads to that a principal resolves an incident; nothing if it is not open.
#[must_use]
pub fn decide_resolve(state: &Incidents, command: &Command) -> (Option<Event>, ResolveVerdict) {
    match named(state, command) {
        Some(found) if found.is_open() => {
            let reason = ResolveReason::Principal(command.by);
            let Command { incident, at, .. } = *command;
            (Some(Event::Resolved { incident, at, reason }), ResolveVerdict::Resolved)
        }
        Some(_) => (None, ResolveVerdict::Duplicate),
        None => (None, ResolveVerdict::None),
    }
}

/// What it leads to that services are gone: their open incidents are resolved, at the time of
/// their last alert, since a deletion has no time of arrival of its own.
pub fn decide_deleted(
    state: &Incidents,
    lives: impl Fn(ServiceId) -> bool,
) -> impl Iterator<Item = Event> {
    state.open().filter(move |incident| !lives(incident.opening.service)).map(|incident| {
        Event::Resolved {
            incident: incident.opening.id,
            at: incident.last_at,
            reason: ResolveReason::ServiceDeleted,
        }
    })
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
