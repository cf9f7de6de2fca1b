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

/// What an alert leads to in a service whose filters found this: first what it resolves, then
/// what it triggers. In maintenance nothing is triggered.
#[must_use]
pub fn decide(state: &Incidents, on: &Deciding<'_>, found: &Match) -> (Vec<Event>, Verdict) {
    let (resolved, resolve) = resolve(state, on, &found.resolves);
    let closing = resolved.as_ref().map(Event::incident);
    let (triggered, trigger) = match &found.trigger {
        Some(_) if on.in_maintenance => (None, TriggerVerdict::Suppressed),
        Some(triggered) => decide_trigger(state, on, triggered, closing),
        None => (None, TriggerVerdict::None),
    };
    let events = resolved.into_iter().chain(triggered).collect();
    (events, Verdict::Evaluated(trigger, resolve))
}

/// The first candidate that names an open incident resolves it. If none does, but one names an
/// incident closed not long ago, the resolve is a duplicate.
fn resolve(
    state: &Incidents,
    on: &Deciding<'_>,
    candidates: &[ResolveCandidate],
) -> (Option<Event>, ResolveVerdict) {
    let mut named = candidates.iter().filter_map(|found| state.mapped(on.service, &found.value));
    let mut duplicate = false;
    let open = named.find(|incident| {
        duplicate = duplicate || closed_lately(incident, on.alert.received_at);
        incident.is_open()
    });
    match open {
        Some(incident) => {
            let event = Event::Resolved {
                incident: incident.opening.id,
                at: on.alert.received_at,
                reason: ResolveReason::Alert,
            };
            (Some(event), ResolveVerdict::Resolved)
        }
        None if duplicate => (None, ResolveVerdict::Duplicate),
        None => (None, ResolveVerdict::None),
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
) -> (Option<Event>, TriggerVerdict) {
    let at = on.alert.received_at;
    let earlier = match &found.mapped {
        Some(value) => state.mapped(on.service, value),
        None => state
            .identical(on.service, found.filter, &on.alert.payload_digest)
            .filter(|first| at.since(first.opening.cause.received_at) <= on.identical_window),
    };
    // An alert comes a second time only where what was parked is evaluated twice, by a principal
    // who did not learn of the first time.
    if state.get(incident_id(on.alert.id, on.service)).is_some() {
        return (None, TriggerVerdict::Duplicate);
    }
    let open = earlier.filter(|found| found.is_open() && closing != Some(found.opening.id));
    match open {
        Some(open) => {
            let event = Event::Repeated { incident: open.opening.id, at };
            (Some(event), TriggerVerdict::Duplicate)
        }
        None => (Some(Event::Created(Arc::new(opening(on, found)))), TriggerVerdict::Created),
    }
}

fn opening(on: &Deciding<'_>, found: &Triggered) -> Opening {
    let payload_omitted = on.alert.payload.len() > MAX_SOURCE_PAYLOAD;
    Opening {
        id: incident_id(on.alert.id, on.service),
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
#[must_use]
pub fn decide_deleted(state: &Incidents, lives: impl Fn(ServiceId) -> bool) -> Vec<Event> {
    state
        .open()
        .filter(|incident| !lives(incident.opening.service))
        .map(|incident| Event::Resolved {
            incident: incident.opening.id,
            at: incident.last_at,
            reason: ResolveReason::ServiceDeleted,
        })
        .collect()
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
