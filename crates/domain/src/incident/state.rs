//! The incidents of one partition: the open ones, and those closed not long ago.
//!
//! Holds no rule: it applies events and answers questions.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Acknowledgement, CLOSED_MEMORY, Event, Incident, Opening, Status};
use crate::filter::MappedValue;
use crate::id::{FilterId, IncidentId, ServiceId};
use crate::time::Timestamp;

/// What payloads of one unmapped incident have in common.
type PayloadKey = (ServiceId, FilterId, [u8; 32]);

/// The incidents of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Incidents {
    by_id: BTreeMap<IncidentId, Incident>,
    by_value: BTreeMap<(ServiceId, MappedValue), IncidentId>,
    /// The open unmapped ones, oldest first whatever the order in which they were taken in.
    by_payload: BTreeMap<PayloadKey, BTreeSet<(Timestamp, IncidentId)>>,
    closed: BTreeSet<(Timestamp, IncidentId)>,
    /// Closed ones whose contents are still here.
    whole: Vec<IncidentId>,
}

impl Incidents {
    /// The incident, if it is open or was closed not long ago.
    #[must_use]
    pub fn get(&self, id: IncidentId) -> Option<&Incident> {
        self.by_id.get(&id)
    }

    /// The last incident of that episode in the service.
    #[must_use]
    pub fn mapped(&self, service: ServiceId, value: &MappedValue) -> Option<&Incident> {
        self.by_id.get(self.by_value.get(&(service, value.clone()))?)
    }

    /// The last open unmapped incident that this filter opened with that payload, at most this long
    /// before or after a time: clocks of gateways differ, and what was parked is evaluated late.
    #[must_use]
    pub fn identical(
        &self,
        service: ServiceId,
        filter: FilterId,
        payload_digest: &[u8; 32],
        at: Timestamp,
        window: Duration,
    ) -> Option<&Incident> {
        let all = self.by_payload.get(&(service, filter, *payload_digest))?;
        let until = (at.plus(window), IncidentId::from_bytes([0xff; 16]));
        let (opened, last) = all.range(..=until).next_back()?;
        self.by_id.get(last).filter(|_| at.since(*opened) <= window)
    }

    /// The open incidents, in the order of their ids.
    pub fn open(&self) -> impl Iterator<Item = &Incident> {
        self.by_id.values().filter(|incident| incident.is_open())
    }

    /// How many are open.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.by_id.len() - self.closed.len()
    }

    /// How many closed ones are remembered.
    #[must_use]
    pub fn closed_count(&self) -> usize {
        self.closed.len()
    }

    /// Applies an event.
    pub fn evolve(&mut self, event: &Event) {
        match event {
            Event::Created(opening) => self.put(Incident::opened(opening.clone())),
            Event::Repeated { incident, at } => {
                if let Some(found) = self.by_id.get_mut(incident) {
                    found.occurrences += 1;
                    // Clocks of gateways differ, and what was parked is evaluated late.
                    found.last_at = found.last_at.max(*at);
                }
            }
            Event::Acknowledged { incident, by, at } => {
                if let Some(found) = self.by_id.get_mut(incident) {
                    found.acknowledged = Some(Acknowledgement { by: *by, at: *at });
                }
            }
            Event::Resolved { incident, at, reason } => {
                if let Some(found) = self.by_id.get_mut(incident) {
                    found.status = Status::Resolved { at: *at, reason: *reason };
                    self.closed.insert((*at, *incident));
                    self.whole.push(*incident);
                    let opening = Arc::clone(&found.opening);
                    self.unlist(&opening);
                }
            }
        }
    }

    /// Takes in a stored incident, as a take-over does: in any order, since the state of an older
    /// incident may have been stored after that of a newer one.
    pub fn put(&mut self, incident: Incident) {
        let opening = &incident.opening;
        let id = opening.id;
        if let Some(value) = &opening.mapped {
            // Both have one place in the store, so the older one is not kept there either.
            let older = self.by_value.insert((opening.service, value.clone()), id);
            if let Some(older) = older.filter(|older| *older != id) {
                self.drop_incident(older);
            }
        } else if incident.is_open() {
            let listed = self.by_payload.entry(payload_key(opening)).or_default();
            listed.insert((opening.cause.received_at, id));
        }
        if let Status::Resolved { at, .. } = incident.status {
            self.closed.insert((at, id));
            self.whole.push(id);
        }
        self.by_id.insert(id, incident);
    }

    /// Forgets what closed incidents say, once it is stored: an episode that comes again needs to know
    /// which they were, and there may be very many of them in a day.
    pub fn forget_contents(&mut self) {
        for id in self.whole.drain(..) {
            if let Some(found) = self.by_id.get_mut(&id) {
                let whole = &found.opening;
                found.opening = Arc::new(Opening {
                    title: String::new(),
                    description: String::new(),
                    mapped: whole.mapped.clone(),
                    cause: whole.cause.clone(),
                    payload: Bytes::new(),
                    ..**whole
                });
            }
        }
    }

    /// Forgets what was closed longer ago than it is to be remembered.
    pub fn forget_closed(&mut self, now: Timestamp) {
        while let Some((at, id)) = self.closed.first().copied() {
            if now.since(at) <= CLOSED_MEMORY {
                break;
            }
            self.drop_incident(id);
        }
    }

    fn drop_incident(&mut self, id: IncidentId) {
        let Some(incident) = self.by_id.remove(&id) else {
            return;
        };
        let opening = &incident.opening;
        if let Status::Resolved { at, .. } = incident.status {
            self.closed.remove(&(at, id));
        }
        if let Some(value) = &opening.mapped {
            let key = (opening.service, value.clone());
            if self.by_value.get(&key) == Some(&id) {
                self.by_value.remove(&key);
            }
        } else {
            self.unlist(opening);
        }
    }

    /// Takes an unmapped incident out of those that later payloads may repeat.
    fn unlist(&mut self, opening: &Opening) {
        if let btree_map::Entry::Occupied(mut listed) = self.by_payload.entry(payload_key(opening))
        {
            listed.get_mut().remove(&(opening.cause.received_at, opening.id));
            if listed.get().is_empty() {
                listed.remove();
            }
        }
    }
}

const fn payload_key(opening: &Opening) -> PayloadKey {
    (opening.service, opening.filter, opening.payload_digest)
}
