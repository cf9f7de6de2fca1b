//! Which services an alert visits, and what their filters find.
//!
//! A Team or Service token visits only its own services, without a look at others. Pure. Must
//! not know partitions' positions or incidents; the meaning of filters is the reference in
//! `domain`, and `evaluate` gives exactly its answers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use domain::filter::{Filters, Match};
use domain::id::{ServiceId, TeamId};
use domain::maintenance::Windows;
use domain::payload::Payload;
use domain::reach::Reach;

/// A live service as an alert meets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its team.
    pub team: TeamId,
    /// Its id.
    pub service: ServiceId,
    /// While disabled: nothing is created or resolved.
    pub disabled: bool,
    /// Its filters, in the order in which they are tried.
    pub filters: Arc<Filters>,
    /// Its maintenance windows.
    pub maintenance: Arc<Windows>,
}

/// The live services by team.
#[derive(Clone, Debug, Default)]
pub struct Index {
    services: BTreeMap<ServiceId, Entry>,
    by_team: BTreeMap<TeamId, BTreeSet<ServiceId>>,
}

impl Index {
    /// Takes in a service, or its change.
    pub fn put(&mut self, entry: Entry) {
        self.by_team.entry(entry.team).or_default().insert(entry.service);
        self.services.insert(entry.service, entry);
    }

    /// Takes a service out.
    pub fn remove(&mut self, service: ServiceId) {
        let Some(entry) = self.services.remove(&service) else {
            return;
        };
        if let Some(siblings) = self.by_team.get_mut(&entry.team) {
            siblings.remove(&service);
            if siblings.is_empty() {
                self.by_team.remove(&entry.team);
            }
        }
    }

    /// Takes out all services of a team.
    pub fn remove_team(&mut self, team: TeamId) {
        for service in self.by_team.remove(&team).unwrap_or_default() {
            self.services.remove(&service);
        }
    }

    /// Whether the service is live.
    #[must_use]
    pub fn contains(&self, service: ServiceId) -> bool {
        self.services.contains_key(&service)
    }

    /// The services in scope of an alert whose teams are `ours`, in the order of their ids, those
    /// after `done` only.
    #[must_use]
    pub fn visit<'a>(
        &'a self,
        reach: Reach,
        done: Option<ServiceId>,
        ours: impl Fn(TeamId) -> bool + 'a,
    ) -> Box<dyn Iterator<Item = &'a Entry> + 'a> {
        let after = (done.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        match reach {
            Reach::Global => Box::new(
                self.services.range(after).map(|(_, entry)| entry).filter(move |e| ours(e.team)),
            ),
            Reach::Team(team) => Box::new(
                self.by_team
                    .get(&team)
                    .filter(move |_| ours(team))
                    .into_iter()
                    .flat_map(move |siblings| siblings.range(after))
                    .filter_map(|service| self.services.get(service)),
            ),
            Reach::Service(team, service) => Box::new(
                self.services
                    .get(&service)
                    .filter(|entry| entry.team == team && ours(team) && done < Some(service))
                    .into_iter(),
            ),
        }
    }
}

/// What the filters of this service find in the payload that came from that source.
#[must_use]
pub fn evaluate(entry: &Entry, payload: &Payload<'_>, from: Option<&str>) -> Match {
    domain::filter::evaluate(entry.filters.as_slice(), payload, from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn team(n: u8) -> TeamId {
        TeamId::from_bytes([n; 16])
    }

    fn service(n: u8) -> ServiceId {
        ServiceId::from_bytes([n; 16])
    }

    fn reaches() -> impl Strategy<Value = Reach> {
        prop_oneof![
            Just(Reach::Global),
            (0..4u8).prop_map(|t| Reach::Team(team(t))),
            (0..4u8, 0..12u8).prop_map(|(t, s)| Reach::Service(team(t), service(s))),
        ]
    }

    fn in_scope(entry: &Entry, reach: Reach) -> bool {
        match reach {
            Reach::Global => true,
            Reach::Team(team) => entry.team == team,
            Reach::Service(team, service) => entry.team == team && entry.service == service,
        }
    }

    proptest! {
        #[test]
        fn a_visit_meets_exactly_the_services_in_scope(
            changes in prop::collection::vec((0..12u8, prop::option::of(0..4u8)), 0..40),
            gone in prop::option::of(0..4u8),
            reach in reaches(),
            done in prop::option::of(0..12u8),
            ours in prop::collection::btree_set(0..4u8, 0..4),
        ) {
            let mut index = Index::default();
            let mut model: BTreeMap<ServiceId, Entry> = BTreeMap::new();
            for (id, in_team) in changes {
                index.remove(service(id));
                model.remove(&service(id));
                if let Some(in_team) = in_team {
                    let entry = Entry { team: team(in_team), service: service(id), disabled: false, filters: Arc::default(), maintenance: Arc::default() };
                    index.put(entry.clone());
                    model.insert(entry.service, entry);
                }
            }
            if let Some(gone) = gone {
                index.remove_team(team(gone));
                model.retain(|_, entry| entry.team != team(gone));
            }
            let ours = |id: TeamId| ours.iter().any(|n| team(*n) == id);
            let done = done.map(service);
            let found: Vec<_> = index.visit(reach, done, ours).cloned().collect();
            let expected: Vec<_> = model
                .into_values()
                .filter(|entry| in_scope(entry, reach) && ours(entry.team) && Some(entry.service) > done)
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}
