//! Many services made ready: which of them a payload may mean something to, at a cost that hardly
//! depends on how many there are.
//!
//! Each part of a filter (its trigger, its resolve) is reached through one item only, the one that the
//! fewest others want at the same place: what every filter has, costs nothing. Where the part has a
//! second item, that must occur too. What is found this way may hold; the reference says whether it
//! does. So this must never miss a service, and need not be exact. Must not know incidents, nor what
//! changed since it was made.

use std::collections::HashMap;
use std::ops::Range;
use std::slice;

use domain::filter::{Condition, Filter};
use domain::id::{FilterId, ServiceId, TeamId};
use domain::json::Json;
use domain::payload::Payload;
use foldhash::fast::RandomState;

use crate::Entry;
use crate::items::Items;
use crate::paths::{Left, Paths, Place};

/// An item that more parts than this are reached through does not select: each payload that has it
/// costs a look at all of them.
const UNSELECTIVE: usize = 1_000;

/// What the search of a payload may cost. Some 5 ns for each; a payload that is made for it leads to one
/// large value in many ways, and is more quickly asked of each service.
const MOST_SEARCHED: usize = 16 * 1024 * 1024;

/// An item of a place, by a number that no other item of any place has.
type ItemId = u32;

/// In place of a second item: there is none.
const NONE: ItemId = ItemId::MAX;

/// A part of a filter of a service.
#[derive(Clone, Copy, Debug)]
struct Part {
    service: u32,
    /// Another item that it wants, or [`NONE`].
    other: ItemId,
}

/// The items of a place; their numbers follow each other.
#[derive(Debug)]
struct Here {
    items: Items,
    first: ItemId,
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
    /// The parts by the items through which they are reached.
    parts: Box<[Part]>,
    /// By item, where its parts begin; one more is the end.
    starts: Box<[u32]>,
    unselective: Box<[(ServiceId, FilterId)]>,
}

/// What a search needs beside the index; kept to be used again.
#[derive(Debug, Default)]
pub struct Scratch {
    search: u32,
    /// By service and by item: the number of the search that has found it last.
    services: Vec<u32>,
    items: Vec<u32>,
    /// Items that occur, and through which parts are reached.
    hits: Vec<ItemId>,
    found: Vec<u32>,
}

/// Where a condition looks: at a place, or at the whole text.
type At = Option<Place>;

/// All items that are wanted, and how often.
#[derive(Default)]
struct Wanted<'a> {
    paths: Paths,
    /// For each condition of each part, in order.
    at: Vec<At>,
    /// How often; later the number of the item.
    items: HashMap<(At, &'a str), u32, RandomState>,
}

impl<'a> Wanted<'a> {
    fn of(entries: &'a [Entry]) -> Self {
        let mut wanted = Self::default();
        for condition in parts(entries).flat_map(|(.., conditions)| conditions) {
            let place = condition.key.as_ref().map(|key| wanted.paths.put(key));
            wanted.at.push(place);
            for item in &condition.contains {
                *wanted.items.entry((place, item.lower())).or_default() += 1;
            }
        }
        wanted
    }

    /// Numbers the items. Gives how often each is wanted, and what is searched at each place.
    fn numbered(&mut self) -> (Vec<u32>, Vec<Option<Here>>, Option<Here>) {
        let mut all: Vec<_> = self.items.iter_mut().collect();
        all.sort_unstable_by_key(|((at, _), _)| *at);
        let (mut often, mut text, mut places) = (Vec::with_capacity(all.len()), None, Vec::new());
        places.resize_with(self.paths.len() as usize, || None);
        for of_place in all.chunk_by_mut(|((a, _), _), ((b, _), _)| a == b) {
            let items = Items::new(of_place.iter().map(|((_, item), _)| *item));
            let here = Here { items, first: count(often.len()) };
            for (_, wanted) in of_place.iter_mut() {
                let number = count(often.len());
                often.push(std::mem::replace(*wanted, number));
            }
            match of_place[0].0.0 {
                Some(place) => places[place as usize] = Some(here),
                None => text = Some(here),
            }
        }
        (often, places, text)
    }
}

impl Compiled {
    /// Makes services ready; they are in the order of their ids, each once.
    pub fn new(entries: Vec<Entry>) -> Self {
        debug_assert!(entries.is_sorted_by(|a, b| a.service < b.service));
        let mut wanted = Wanted::of(&entries);
        let (often, places, text) = wanted.numbered();
        let mut at = wanted.at.iter();
        let mut reached = Vec::new();
        for (service, filter, conditions) in parts(&entries) {
            let items = conditions
                .iter()
                .zip(&mut at)
                .flat_map(|(one, at)| one.contains.iter().map(|item| (*at, item.lower())));
            // Of those that are wanted as often, the longest.
            let mut items: Vec<_> = items
                .map(|item| {
                    let number = wanted.items[&item];
                    (often[number as usize], usize::MAX - item.1.len(), number)
                })
                .collect();
            items.sort_unstable();
            items.dedup();
            let (.., through) = items[0];
            let other = items.get(1).map_or(NONE, |(.., number)| *number);
            reached.push((through, Part { service, other }, filter));
        }
        drop(wanted.items);
        reached.sort_by_key(|(through, ..)| *through);
        let mut unselective: Vec<_> = reached
            .chunk_by(|(a, ..), (b, ..)| a == b)
            .filter(|parts| parts.len() > UNSELECTIVE)
            .flatten()
            .map(|(_, part, filter)| (entries[part.service as usize].service, *filter))
            .collect();
        unselective.sort_unstable();
        unselective.dedup();
        let starts = (0..=count(often.len()))
            .map(|item| count(reached.partition_point(|(through, ..)| *through < item)));
        Self {
            teams: teams(&entries),
            shards: shards(&entries),
            paths: wanted.paths,
            places: places.into(),
            text,
            starts: starts.collect(),
            parts: reached.iter().map(|(_, part, _)| *part).collect(),
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
    /// by their ids; never fewer. Disabled ones are none of them. None where that would cost too much.
    pub fn find<'a>(
        &'a self,
        payload: &Payload<'_>,
        asked: impl Fn(&Entry) -> bool,
        scratch: &mut Scratch,
    ) -> Option<impl Iterator<Item = &'a Entry>> {
        scratch.begin(self.entries.len(), self.starts.len());
        let mut left = Left(MOST_SEARCHED);
        if let Some(here) = &self.text {
            self.look(here, payload.lower(), &mut left, scratch)?;
        }
        if let Some(json) = payload.json().filter(|_| self.paths.len() > 0) {
            self.paths.walk(json, &mut left, &mut |place, value: &Json<'_>, left| match self
                .places
                .get(place as usize)
            {
                Some(Some(here)) => {
                    payload.in_lower(value, |lower| self.look(here, lower, left, scratch))
                }
                Some(None) | None => Some(()),
            })?;
        }
        let Scratch { search, services, items, hits, found } = scratch;
        for part in hits.iter().flat_map(|item| &self.parts[self.reached(*item)]) {
            let occurs = part.other == NONE || items[part.other as usize] == *search;
            if occurs && std::mem::replace(&mut services[part.service as usize], *search) != *search
            {
                found.push(part.service);
            }
        }
        found.sort_unstable();
        let found = std::mem::take(found);
        let found = found.into_iter().map(|n| &self.entries[n as usize]);
        Some(found.filter(move |entry| asked(entry)))
    }

    /// The parts that are reached through an item.
    fn reached(&self, item: ItemId) -> Range<usize> {
        self.starts[item as usize] as usize..self.starts[item as usize + 1] as usize
    }

    /// Looks into one value.
    fn look(&self, here: &Here, lower: &str, left: &mut Left, scratch: &mut Scratch) -> Option<()> {
        left.spend(lower.len())?;
        here.items.search(lower, |item| {
            let item = here.first + item;
            let before = std::mem::replace(&mut scratch.items[item as usize], scratch.search);
            let is_first = before != scratch.search;
            if is_first && !self.reached(item).is_empty() {
                scratch.hits.push(item);
            }
            is_first
        });
        Some(())
    }

    /// The filters that many payloads cost a look at: what they are reached by, others want too.
    pub const fn unselective(&self) -> &[(ServiceId, FilterId)] {
        &self.unselective
    }

    /// About how many bytes it takes, the filters themselves aside.
    pub fn memory(&self) -> usize {
        let places = self.places.iter().flatten().chain(&self.text);
        let places: usize = places.map(|here| here.items.memory()).sum();
        let shards: usize = self.shards.iter().map(|shard| size_of_val(&**shard)).sum();
        let own = size_of_val(&*self.entries) + size_of_val(&*self.teams) + shards;
        let parts = size_of_val(&*self.parts) + size_of_val(&*self.starts);
        own + parts + places + size_of_val(&*self.places) + self.paths.memory()
    }
}

impl Scratch {
    /// Begins a search among so many services and items.
    fn begin(&mut self, services: usize, items: usize) {
        if self.search == u32::MAX {
            *self = Self::default();
        }
        self.search += 1;
        if self.services.len() < services {
            self.services.resize(services, 0);
        }
        if self.items.len() < items {
            self.items.resize(items, 0);
        }
        self.hits.clear();
        self.found.clear();
    }
}

/// The triggers and resolves of services that are not disabled: whose, of which filter, and their
/// conditions.
fn parts(entries: &[Entry]) -> impl Iterator<Item = (u32, FilterId, &[Condition])> {
    let services = entries.iter().zip(0..).filter(|(entry, _)| !entry.disabled);
    let filters = services
        .flat_map(|(entry, service)| entry.filters.iter().map(move |filter| (service, filter)));
    let parts = filters.flat_map(|(service, filter)| {
        [&filter.trigger.conditions, of_resolve(filter)].map(|of| (service, filter.id, of))
    });
    parts.filter(|(.., conditions)| !conditions.is_empty())
}

fn of_resolve(filter: &Filter) -> &[Condition] {
    filter.resolve.as_ref().map_or(&[], |resolve| slice::from_ref(&resolve.condition))
}

/// The services of teams, by both.
fn teams(entries: &[Entry]) -> Box<[(TeamId, u32)]> {
    let mut teams: Vec<_> = entries.iter().zip(0..).map(|(entry, n)| (entry.team, n)).collect();
    teams.sort_unstable();
    teams.into()
}

fn count(length: usize) -> u32 {
    u32::try_from(length).expect("what is in memory is fewer")
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
