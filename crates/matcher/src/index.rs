//! The live services: a compiled part, and beside it what changed since that was made.
//!
//! A change is in force at once: until the compiled part is made anew, its service is looked at by
//! the reference. Must not know when that is done, nor by which thread.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use domain::filter::{Filters, Match};
use domain::id::{ServiceId, TeamId};
use domain::maintenance::Windows;
use domain::payload::Payload;
use domain::reach::Reach;

use crate::compiled::{Compiled, Scratch};

/// Teams of up to this many services are not searched: the reference looks at each.
const SMALL_TEAM: usize = 16;

/// A live service as an alert meets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its team.
    pub team: TeamId,
    /// Its id.
    pub service: ServiceId,
    /// Which of the parts into which teams are shared out it belongs to: a small number.
    pub shard: u32,
    /// While disabled: nothing is created or resolved.
    pub disabled: bool,
    /// Its filters, in the order in which they are tried.
    pub filters: Arc<Filters>,
    /// Its maintenance windows.
    pub maintenance: Arc<Windows>,
}

/// Services that an alert passes over, since nothing of them can hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Those that are not disabled.
    pub unmatched: u64,
    /// Those that are.
    pub disabled: u64,
}

/// The live services.
#[derive(Clone, Debug, Default)]
pub struct Index {
    compiled: Arc<Compiled>,
    /// What changed since, by service: with the number of the change, none where it is gone.
    fresh: BTreeMap<ServiceId, (u64, Option<Entry>)>,
    changes: u64,
}

/// Makes the compiled part anew; for any thread.
#[derive(Debug)]
pub struct Rebuild {
    compiled: Arc<Compiled>,
    fresh: BTreeMap<ServiceId, (u64, Option<Entry>)>,
    changes: u64,
}

/// A compiled part that was made anew, of the changes up to a number.
#[derive(Debug)]
pub struct Rebuilt {
    compiled: Arc<Compiled>,
    changes: u64,
}

impl Index {
    /// The index of these services.
    #[must_use]
    pub fn of(entries: impl Iterator<Item = Entry>) -> Self {
        let mut index = Self::default();
        entries.for_each(|entry| index.put(entry));
        index.adopt(index.rebuild().run());
        index
    }

    /// Takes in a service, or its change.
    pub fn put(&mut self, entry: Entry) {
        self.change(entry.service, Some(entry));
    }

    /// Takes a service out.
    pub fn remove(&mut self, service: ServiceId) {
        self.change(service, None);
    }

    /// Takes out all services of a team.
    pub fn remove_team(&mut self, team: TeamId) {
        let gone: Vec<_> = self.in_scope(Reach::Team(team), None).map(|one| one.service).collect();
        gone.into_iter().for_each(|service| self.remove(service));
    }

    fn change(&mut self, service: ServiceId, entry: Option<Entry>) {
        self.changes += 1;
        self.fresh.insert(service, (self.changes, entry));
    }

    /// How many changes are not in the compiled part: each is looked at for each alert.
    #[must_use]
    pub fn fresh(&self) -> usize {
        self.fresh.len()
    }

    /// The work of making the compiled part anew, of all that changed up to now.
    #[must_use]
    pub fn rebuild(&self) -> Rebuild {
        let (compiled, fresh) = (Arc::clone(&self.compiled), self.fresh.clone());
        Rebuild { compiled, fresh, changes: self.changes }
    }

    /// Takes a compiled part that was made anew of an earlier state of this index. Gives the one
    /// before: where it is large, dropping it takes a while.
    pub fn adopt(&mut self, rebuilt: Rebuilt) -> Arc<Compiled> {
        self.fresh.retain(|_, (change, _)| *change > rebuilt.changes);
        std::mem::replace(&mut self.compiled, rebuilt.compiled)
    }

    /// The compiled part.
    #[must_use]
    pub fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// Whether the service is live.
    #[must_use]
    pub fn contains(&self, service: ServiceId) -> bool {
        self.entry(service).is_some()
    }

    /// The live service with this id.
    #[must_use]
    pub fn entry(&self, service: ServiceId) -> Option<&Entry> {
        match self.fresh.get(&service) {
            Some((_, entry)) => entry.as_ref(),
            None => self.compiled.entry(service),
        }
    }

    /// The services in scope of an alert, of one shard, in the order of their ids, those after `done`
    /// only.
    pub fn visit(
        &self,
        reach: Reach,
        shard: u32,
        done: Option<ServiceId>,
    ) -> impl Iterator<Item = &Entry> {
        self.in_scope(reach, done).filter(move |entry| entry.shard == shard)
    }

    /// The services in scope of an alert for which a part of a filter may hold in this payload, in the
    /// order of their ids; never fewer. Disabled ones are none of them.
    pub fn find<'a>(
        &'a self,
        reach: Reach,
        payload: &Payload<'_>,
        scratch: &mut Scratch,
    ) -> Vec<&'a Entry> {
        let is_small = |team| self.compiled.team(team).nth(SMALL_TEAM).is_none();
        let all = match reach {
            Reach::Service(..) => true,
            Reach::Team(team) => is_small(team),
            Reach::Global => false,
        };
        if all {
            return self.in_scope(reach, None).filter(|entry| !entry.disabled).collect();
        }
        let asked = |entry: &Entry| {
            reach.team().is_none_or(|team| entry.team == team)
                && !self.fresh.contains_key(&entry.service)
        };
        let Some(found) = self.compiled.find(payload, asked, scratch) else {
            return self.in_scope(reach, None).filter(|entry| !entry.disabled).collect();
        };
        let fresh = self.fresh_in_scope(reach, None).filter(|entry| !entry.disabled);
        merged(found, fresh).collect()
    }

    /// How many services in scope of an alert, of one shard, have ids between these two.
    #[must_use]
    pub fn passed(
        &self,
        reach: Reach,
        shard: u32,
        after: Option<ServiceId>,
        before: Option<ServiceId>,
    ) -> Passed {
        let mut passed = Passed::default();
        // A range that ends before it begins has nothing.
        if before.is_some_and(|before| Some(before) <= after) {
            return passed;
        }
        let is_between = |entry: &&Entry| before.is_none_or(|before| entry.service < before);
        match reach {
            Reach::Global => {
                let (all, disabled) = self.compiled.count(shard, after, before);
                passed = Passed { unmatched: all - disabled, disabled };
                let replaced = self
                    .fresh_between(after, before)
                    .filter_map(|(id, _)| self.compiled.entry(*id));
                for entry in replaced.filter(|entry| entry.shard == shard) {
                    *passed.of(entry) -= 1;
                }
                let fresh =
                    self.fresh_between(after, before).filter_map(|(_, fresh)| fresh.as_ref());
                for entry in fresh.filter(|entry| entry.shard == shard) {
                    *passed.of(entry) += 1;
                }
            }
            Reach::Team(_) | Reach::Service(..) => {
                for entry in self.visit(reach, shard, after).take_while(is_between) {
                    *passed.of(entry) += 1;
                }
            }
        }
        passed
    }

    fn fresh_between(
        &self,
        after: Option<ServiceId>,
        before: Option<ServiceId>,
    ) -> impl Iterator<Item = (&ServiceId, &Option<Entry>)> {
        let bound = |at: Option<ServiceId>| at.map_or(Bound::Unbounded, Bound::Excluded);
        self.fresh.range((bound(after), bound(before))).map(|(id, (_, entry))| (id, entry))
    }

    fn fresh_in_scope(
        &self,
        reach: Reach,
        after: Option<ServiceId>,
    ) -> impl Iterator<Item = &Entry> {
        let live = self.fresh_between(after, None).filter_map(|(_, entry)| entry.as_ref());
        live.filter(move |entry| is_in_scope(entry, reach))
    }

    /// The services in scope of an alert in the order of their ids, those after `done` only.
    fn in_scope(
        &self,
        reach: Reach,
        done: Option<ServiceId>,
    ) -> Box<dyn Iterator<Item = &Entry> + '_> {
        let compiled: Box<dyn Iterator<Item = &Entry>> =
            match reach {
                Reach::Global => {
                    let all = self.compiled.entries();
                    let from = all.partition_point(|entry| Some(entry.service) <= done);
                    Box::new(all[from..].iter())
                }
                Reach::Team(team) => Box::new(
                    self.compiled.team(team).filter(move |entry| Some(entry.service) > done),
                ),
                Reach::Service(_, service) => {
                    let one = self.compiled.entry(service).into_iter();
                    Box::new(one.filter(move |entry| {
                        is_in_scope(entry, reach) && Some(entry.service) > done
                    }))
                }
            };
        let compiled = compiled.filter(|entry| !self.fresh.contains_key(&entry.service));
        Box::new(merged(compiled, self.fresh_in_scope(reach, done)))
    }
}

impl Rebuild {
    /// Does the work: about 10 µs for each filter.
    #[must_use]
    pub fn run(self) -> Rebuilt {
        let kept = self.compiled.entries().iter();
        let kept = kept.filter(|entry| !self.fresh.contains_key(&entry.service));
        let fresh = self.fresh.values().filter_map(|(_, entry)| entry.as_ref());
        let entries = merged(kept, fresh).cloned().collect();
        Rebuilt { compiled: Arc::new(Compiled::new(entries)), changes: self.changes }
    }
}

impl Passed {
    const fn of(&mut self, entry: &Entry) -> &mut u64 {
        if entry.disabled { &mut self.disabled } else { &mut self.unmatched }
    }
}

fn is_in_scope(entry: &Entry, reach: Reach) -> bool {
    match reach {
        Reach::Global => true,
        Reach::Team(team) => entry.team == team,
        Reach::Service(team, service) => entry.team == team && entry.service == service,
    }
}

/// Two that are sorted by id, as one.
fn merged<'a>(
    one: impl Iterator<Item = &'a Entry>,
    other: impl Iterator<Item = &'a Entry>,
) -> impl Iterator<Item = &'a Entry> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(a), Some(b)) if b.service < a.service => other.next(),
        (Some(_), _) => one.next(),
        (None, _) => other.next(),
    })
}

/// What the filters of this service find in the payload that came from that source.
#[must_use]
pub fn evaluate(entry: &Entry, payload: &Payload<'_>, from: Option<&str>) -> Match {
    domain::filter::evaluate(entry.filters.as_slice(), payload, from)
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
