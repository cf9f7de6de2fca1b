//! One incident: from its state as long as that is kept, else from its last event.
//!
//! Its id begins with the time of its first alert, so its events are looked for from there on, by
//! a header, without their content. Must not know who asks.

use std::time::Duration;

use domain::filter::MappedValue;
use domain::id::{IncidentId, ServiceId, TeamId};
use domain::incident::{Incident, Kind, StateKey, begun};
use domain::time::Timestamp;
use runtime::nats::Since;
use tonic::Status;
use wire::event::incident_to;
use wire::proto::gander::events::v1 as events;
use wire::stored::worker::decode_state;
use wire::{header, subject};

use super::{Incidents, incident_of, too_slow, unreadable};
use crate::grpc::error;

/// Calls have 30 s.
const DEADLINE: Duration = Duration::from_secs(20);
/// Ids are made by the clocks of gateways, events are found by that of nats-server. They differ by
/// less than this.
const SKEW_MICROS: i64 = 300 * 1_000_000;

/// Which incident; where the team is not known, it may be any.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Its team.
    pub team: Option<TeamId>,
    /// Its service.
    pub service: Option<ServiceId>,
    /// Its id.
    pub incident: IncidentId,
}

impl Wanted {
    fn is(&self, found: &Incident) -> bool {
        found.opening.id == self.incident
            && self.team.is_none_or(|team| found.opening.team == team)
            && self.service.is_none_or(|service| found.opening.service == service)
    }

    /// Before any of its events was stored.
    fn since(&self) -> Timestamp {
        Timestamp::from_micros(begun(self.incident).as_micros() - SKEW_MICROS)
    }
}

impl Incidents {
    /// The incident, open or closed, that was asked for by this name.
    pub async fn find(&self, wanted: Wanted, name: &str) -> Result<events::Incident, Status> {
        let found = tokio::time::timeout(DEADLINE, self.search(wanted)).await;
        let found = found.map_err(|_| too_slow())??;
        found.ok_or_else(|| error::not_found(name))
    }

    async fn search(&self, wanted: Wanted) -> Result<Option<events::Incident>, Status> {
        if let Some(created) = self.event(Kind::Created, &wanted).await?
            && let Some(found) = self.state(&created, &wanted).await?
        {
            return Ok(Some(found));
        }
        if let Some(resolved) = self.event(Kind::Resolved, &wanted).await? {
            return Ok(Some(resolved));
        }
        // It was opened longer ago than events are kept, or its value is known as a digest.
        let states = self.states(&self.states_of(wanted.team)).await?;
        let found = states.iter().find(|incident| wanted.is(incident));
        Ok(found.map(incident_to))
    }

    /// What the event of this kind tells of the incident, if it is kept.
    async fn event(&self, kind: Kind, wanted: &Wanted) -> Result<Option<events::Incident>, Status> {
        let filter = subject::events_of_kind(kind, wanted.team, wanted.service);
        let since = Since::Time(wanted.since());
        let mut past = self.nats.past(subject::INCIDENTS_STREAM, &filter, since).headers_only();
        let id = wanted.incident.to_string();
        while let Some(found) = past.next().await.map_err(unreadable)? {
            if found.header(header::INCIDENT) == Some(&id) {
                let event = self.nats.get(subject::INCIDENTS_STREAM, found.sequence).await;
                // It may have expired just now.
                let event = event.map_err(unreadable)?;
                return event.map(|event| incident_of(&event.payload)).transpose();
            }
        }
        Ok(None)
    }

    /// The incident as it is, unless the next episode has taken its place or it was closed so long
    /// ago that its state is gone.
    async fn state(
        &self,
        created: &events::Incident,
        wanted: &Wanted,
    ) -> Result<Option<events::Incident>, Status> {
        let ids = (TeamId::parse(&created.team), ServiceId::parse(&created.service));
        let (Ok(team), Ok(service)) = ids else {
            return Err(error::internal("an event cannot be read"));
        };
        let mapped = MappedValue::new(&created.mapped_value);
        let key = StateKey::of(wanted.incident, service, mapped.as_ref());
        let subject = subject::state(self.handover.partitions.of(team), key);
        let found = self.nats.last_of(subject::INCIDENTS_STREAM, &subject).await;
        let Some(found) = found.map_err(unreadable)? else {
            return Ok(None);
        };
        let state = decode_state(&found.payload)
            .map_err(|_| error::internal("the state of an incident cannot be read"))?;
        Ok(wanted.is(&state).then(|| incident_to(&state)))
    }
}
