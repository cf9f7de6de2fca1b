//! Many services made ready: which of them a payload may mean something to, at a cost that hardly
//! depends on how many there are.
//!
//! Each part of a filter (its trigger, its resolve) is reached through one item only, the one that the
//! fewest others want at the same place: what every filter has, costs nothing. What is found this way
//! may hold; the reference says whether it does. So this must never miss a service, and need not be
//! exact. Must not know incidents, nor what changed since it was made.

use std::collections::HashMap;
use std::ops::Range;
use std::slice;

use domain::filter::{Condition, Filter, contains_all};
use domain::id::{FilterId, ServiceId, TeamId};
use domain::json::Json;
use domain::payload::Payload;

use crate::Entry;
use crate::items::Items;
use crate::paths::{Paths, Place};

/// An item that more parts than this are reached through does not select: each payload that has it
/// costs a look at all of them.
const UNSELECTIVE: usize = 1_000;

/// A part of a filter of a service, and the condition of it that it is reached through.
#[derive(Clone, Copy, Debug)]
struct Part {
    service: u32,
    filter: u8,
    of: Of,
    condition: u8,
}

#[derive(Clone, Copy, Debug)]
enum Of {
    Trigger,
    Resolve,
}

/// The items of a place, and the parts that are reached through them.
#[derive(Debug)]
struct Here {
    items: Items,
    parts: Box<[Part]>,
}

/// The services of a shard, by their ids, with how many before are disabled.
type Shard = Box<[(u32, u32)]>;

/// Services made ready.
#[derive(Debug, Default)]
pub struct Compiled {
    /// By their ids.
    entries: Box<[Entry]>,
    /// The services of teams, by both.
    teams: Box<[(TeamId, u32)]>,
    /// By the number of the shard.
    shards: Box<[Shard]>,
    paths: Paths,
    /// By place.
    places: Box<[Option<Here>]>,
    /// What is searched in the whole text.
    text: Option<Here>,
    unselective: Box<[(ServiceId, FilterId)]>,
}

/// What a search needs beside the index; kept to be used again.
#[derive(Debug, Default)]
pub struct Scratch {
    /// By service: the number of the search that has found it last.
    services: Vec<u32>,
    search: u32,
    /// By item of a place: the number of the value in which it was found last.
    items: Vec<u32>,
    value: u32,
    found: Vec<u32>,
}

/// Where a condition looks: at a place, or at the whole text.
type At = Option<Place>;

impl Compiled {
    /// Makes services ready; they are in the order of their ids, each once.
    pub fn new(entries: Vec<Entry>) -> Self {
        debug_assert!(entries.is_sorted_by(|a, b| a.service < b.service));
        let mut teams: Vec<_> = entries.iter().zip(0..).map(|(entry, n)| (entry.team, n)).collect();
        teams.sort_unstable();
        let mut paths = Paths::default();
        let mut at = Vec::new();
        let mut wanted: HashMap<(At, &str), u32> = HashMap::new();
        for condition in parts(&entries).flat_map(|(_, conditions)| conditions) {
            let place = condition.key.as_ref().map(|key| paths.put(key));
            at.push(place);
            for item in &condition.contains {
                *wanted.entry((place, item.lower())).or_default() += 1;
            }
        }
        let mut reached = Vec::new();
        let mut at = at.into_iter();
        for (part, conditions) in parts(&entries) {
            let items =
                conditions.iter().zip(0..).zip(&mut at).flat_map(|((one, condition), at)| {
                    one.contains
                        .iter()
                        .map(move |item| (at, item.lower(), Part { condition, ..part }))
                });
            // Of those that are wanted as often, the longest.
            let often = |(at, item, _): &(At, &str, Part)| {
                (wanted.get(&(*at, *item)).copied(), usize::MAX - item.len())
            };
            reached
                .push(items.min_by_key(often).expect("a part has a condition, and that an item"));
        }
        drop(wanted);
        reached.sort_unstable_by_key(|(at, item, part)| (*at, *item, part.service));
        let (mut text, mut places) = (None, Vec::new());
        places.resize_with(paths.len() as usize, || None);
        let mut unselective = Vec::new();
        for of_one in reached.chunk_by(|(a, ..), (b, ..)| a == b) {
            let here = Here::new(of_one, &mut |part| {
                let entry = &entries[part.service as usize];
                unselective
                    .push((entry.service, entry.filters.as_slice()[part.filter as usize].id));
            });
            match of_one[0].0 {
                Some(place) => places[place as usize] = Some(here),
                None => text = Some(here),
            }
        }
        drop(reached);
        unselective.sort_unstable();
        unselective.dedup();
        Self {
            teams: teams.into(),
            shards: shards(&entries),
            paths,
            places: places.into(),
            text,
            unselective: unselective.into(),
            entries: entries.into(),
        }
    }

    /// The services, by their ids.
    pub const fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The service with this id.
    pub fn entry(&self, service: ServiceId) -> Option<&Entry> {
        let at = self.entries.binary_search_by_key(&service, |entry| entry.service).ok()?;
        self.entries.get(at)
    }

    /// The services of a team, by their ids.
    pub fn team(&self, team: TeamId) -> impl Iterator<Item = &Entry> {
        let from = self.teams.partition_point(|(of, _)| *of < team);
        let until = self.teams.partition_point(|(of, _)| *of <= team);
        self.teams[from..until].iter().map(|(_, n)| &self.entries[*n as usize])
    }

    /// The services of a shard whose ids are in a range, and how many of them are disabled.
    pub fn count(
        &self,
        shard: u32,
        after: Option<ServiceId>,
        before: Option<ServiceId>,
    ) -> (u64, u64) {
        let Some(of_shard) = self.shards.get(shard as usize) else { return (0, 0) };
        let id = |n: &u32| self.entries[*n as usize].service;
        let from = after.map_or(0, |after| of_shard.partition_point(|(n, _)| id(n) <= after));
        let until = before
            .map_or(of_shard.len(), |before| of_shard.partition_point(|(n, _)| id(n) < before));
        let Range { start, end } = from..until.max(from);
        let disabled = |at: usize| match of_shard.get(at) {
            Some((_, before)) => u64::from(*before),
            None => of_shard.last().map_or(0, |(n, before)| {
                u64::from(*before) + u64::from(self.entries[*n as usize].disabled)
            }),
        };
        ((end - start) as u64, disabled(end) - disabled(start))
    }

    /// The services of those that are `asked` for which a part of a filter may hold in this payload,
    /// by their ids; never fewer. Disabled ones are none of them.
    pub fn find<'a>(
        &'a self,
        payload: &Payload<'_>,
        asked: impl Fn(&Entry) -> bool,
        scratch: &mut Scratch,
    ) -> impl Iterator<Item = &'a Entry> {
        scratch.begin(self.entries.len());
        if let Some(here) = &self.text {
            self.look(here, payload.lower(), &asked, scratch);
        }
        if let Some(json) = payload.json().filter(|_| self.paths.len() > 0) {
            self.paths.walk(json, &mut |place, value: &Json<'_>| {
                if let Some(Some(here)) = self.places.get(place as usize) {
                    payload.in_lower(value, |lower| self.look(here, lower, &asked, scratch));
                }
            });
        }
        let mut found = std::mem::take(&mut scratch.found);
        found.sort_unstable();
        found.into_iter().map(|n| &self.entries[n as usize])
    }

    /// Looks into one value.
    fn look(
        &self,
        here: &Here,
        lower: &str,
        asked: &impl Fn(&Entry) -> bool,
        scratch: &mut Scratch,
    ) {
        scratch.next_value(here.items.len());
        here.items.search(lower, |item, parts| {
            if std::mem::replace(&mut scratch.items[item], scratch.value) == scratch.value {
                return;
            }
            for part in &here.parts[parts] {
                let stamp = &mut scratch.services[part.service as usize];
                if *stamp == scratch.search {
                    continue;
                }
                let entry = &self.entries[part.service as usize];
                if asked(entry) && contains_all(lower, &part.condition(entry).contains) {
                    *stamp = scratch.search;
                    scratch.found.push(part.service);
                }
            }
        });
    }

    /// The filters that many payloads cost a look at: what they are reached by, others want too.
    pub const fn unselective(&self) -> &[(ServiceId, FilterId)] {
        &self.unselective
    }

    /// About how many bytes it takes, the filters themselves aside.
    pub fn memory(&self) -> usize {
        let places = self.places.iter().flatten().chain(&self.text);
        let places: usize =
            places.map(|here| here.items.memory() + size_of_val(&*here.parts)).sum();
        let shards: usize = self.shards.iter().map(|shard| size_of_val(&**shard)).sum();
        let own = size_of_val(&*self.entries) + size_of_val(&*self.teams) + shards;
        own + places + size_of_val(&*self.places) + self.paths.memory()
    }
}

impl Part {
    fn condition(self, entry: &Entry) -> &Condition {
        &self.of.conditions(&entry.filters.as_slice()[usize::from(self.filter)])
            [usize::from(self.condition)]
    }
}

impl Of {
    fn conditions(self, filter: &Filter) -> &[Condition] {
        match self {
            Self::Trigger => &filter.trigger.conditions,
            Self::Resolve => {
                filter.resolve.as_ref().map_or(&[], |resolve| slice::from_ref(&resolve.condition))
            }
        }
    }
}

impl Here {
    /// Parts of one place, sorted by their items.
    fn new(parts: &[(At, &str, Part)], unselective: &mut impl FnMut(Part)) -> Self {
        let mut items = Vec::new();
        for of_one in parts.chunk_by(|(_, a, _), (_, b, _)| a == b) {
            items.push((of_one[0].1, of_one.len()));
            if of_one.len() > UNSELECTIVE {
                of_one.iter().for_each(|(.., part)| unselective(*part));
            }
        }
        Self { items: Items::new(items), parts: parts.iter().map(|(.., part)| *part).collect() }
    }
}

impl Scratch {
    /// Begins a search in so many services.
    fn begin(&mut self, services: usize) {
        if self.search == u32::MAX {
            *self = Self::default();
        }
        self.search += 1;
        if self.services.len() < services {
            self.services.resize(services, 0);
        }
        self.found.clear();
    }

    /// Begins with a value at a place of so many items.
    fn next_value(&mut self, items: usize) {
        if self.value == u32::MAX {
            (self.items, self.value) = (Vec::new(), 0);
        }
        self.value += 1;
        if self.items.len() < items {
            self.items.resize(items, 0);
        }
    }
}

/// The triggers and resolves of services that are not disabled, each with its conditions.
fn parts(entries: &[Entry]) -> impl Iterator<Item = (Part, &[Condition])> {
    let services = entries.iter().zip(0..).filter(|(entry, _)| !entry.disabled);
    let filters = services.flat_map(|(entry, service)| {
        entry.filters.iter().zip(0..).map(move |(one, filter)| (service, one, filter))
    });
    filters.flat_map(|(service, one, filter)| {
        [Of::Trigger, Of::Resolve].into_iter().filter_map(move |of| {
            let conditions = of.conditions(one);
            let part = Part { service, filter, of, condition: 0 };
            (!conditions.is_empty()).then_some((part, conditions))
        })
    })
}

/// The services of each shard, by their ids.
fn shards(entries: &[Entry]) -> Box<[Shard]> {
    let count = entries.iter().map(|entry| entry.shard as usize + 1).max().unwrap_or(0);
    let mut shards = vec![Vec::new(); count];
    let mut disabled = vec![0; count];
    for (entry, n) in entries.iter().zip(0..) {
        let shard = entry.shard as usize;
        shards[shard].push((n, disabled[shard]));
        disabled[shard] += u32::from(entry.disabled);
    }
    shards.into_iter().map(Vec::into_boxed_slice).collect()
}
