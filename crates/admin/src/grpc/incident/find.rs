//! One incident: from its state as long as that is kept, else from its last event.
//!
//! Its id begins with the time of its first alert, so its events are looked for from there on, by
//! a header, without their content. Must not know who asks.

use std::ops::ControlFlow;
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
/// How long events are kept.
const KEPT_MICROS: i64 = 90 * 24 * 3_600 * 1_000_000;

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

    /// Which of its events may be there now.
    fn events(&self, now: Timestamp) -> Events {
        let age = now.as_micros() - begun(self.incident).as_micros();
        if age < -SKEW_MICROS {
            Events::None
        } else if age <= KEPT_MICROS + SKEW_MICROS {
            Events::All
        } else if self.service.is_some() {
            Events::Last
        } else {
            // Anybody can make up an id for which all that is kept would have to be looked at.
            Events::None
        }
    }

    /// Before any of its events was stored.
    fn since(&self) -> Timestamp {
        Timestamp::from_micros(begun(self.incident).as_micros() - SKEW_MICROS)
    }
}

/// Which events of an incident are worth looking for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Events {
    All,
    /// Its first one is gone, its resolution may be there.
    Last,
    None,
}

impl Incidents {
    /// The incident, open or closed, that was asked for by this name.
    pub async fn find(&self, wanted: Wanted, name: &str) -> Result<events::Incident, Status> {
        let found = tokio::time::timeout(DEADLINE, self.search(wanted)).await;
        let found = found.map_err(|_| too_slow())??;
        found.ok_or_else(|| error::not_found(name))
    }

    async fn search(&self, wanted: Wanted) -> Result<Option<events::Incident>, Status> {
        let _place = self.reading().await?;
        let events = wanted.events(self.calls.now());
        if events == Events::All
            && let Some(created) = self.event(Kind::Created, &wanted).await?
            && let Some(found) = self.state(&created, &wanted).await?
        {
            return Ok(Some(found));
        }
        if events != Events::None
            && let Some(resolved) = self.event(Kind::Resolved, &wanted).await?
        {
            return Ok(Some(resolved));
        }
        // It was opened longer ago than events are kept, or its value is known as a digest.
        let mut found = None;
        let look = |incident: Incident| {
            if !wanted.is(&incident) {
                return ControlFlow::Continue(());
            }
            found = Some(incident_to(&incident));
            ControlFlow::Break(())
        };
        self.states(&self.states_of(wanted.team), look).await?;
        Ok(found)
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000_000;
    const DAY: i64 = 24 * 3_600 * 1_000_000;

    fn events(age: i64, is_named: bool) -> Events {
        let millis = u64::try_from((NOW - age) / 1_000).unwrap();
        let mut id = [0; 16];
        id[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        let wanted = Wanted {
            team: is_named.then(|| TeamId::from_bytes([1; 16])),
            service: is_named.then(|| ServiceId::from_bytes([2; 16])),
            incident: IncidentId::from_bytes(id),
        };
        wanted.events(Timestamp::from_micros(NOW))
    }

    #[test]
    fn events_are_looked_for_only_where_they_may_be() {
        assert_eq!(events(0, false), Events::All);
        assert_eq!(events(-SKEW_MICROS, false), Events::All, "by the clock of a gateway");
        assert_eq!(events(90 * DAY, false), Events::All);
        for is_named in [false, true] {
            assert_eq!(events(-DAY, is_named), Events::None, "in the future");
        }
        assert_eq!(events(91 * DAY, false), Events::None);
        assert_eq!(events(91 * DAY, true), Events::Last, "it may have been open for long");
    }
}
