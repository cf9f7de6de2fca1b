//! Lists of entries, newest first, over a stream that is read forwards.
//!
//! Windows of sequences are read from the end on, headers only; an entry is in the window that has its
//! call, of several the first, or, where there is none, the first of its parts. A call that was sent
//! again and stored far from the first is recognized where the entry lacks parts there, and on one
//! page; else the entry may be on two pages. Must not know how entries are put together.

use std::collections::HashMap;
use std::time::Duration;

use domain::id::{AlertId, TokenId};
use domain::time::Timestamp;
use futures::future::try_join_all;
use runtime::nats::Since;
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use wire::proto::gander::admin::v1 as api;
use wire::subject;

use super::entry::Entry;
use super::read::{Met, NEAR, Places, SKEW_MICROS, before, subject_of};
use super::seen::Seen;
use super::wanted::Wanted;
use super::{ApiLog, too_slow, unreadable};
use crate::access::Caller;
use crate::grpc::page::{Filling, Page};

/// How long entries are looked for; then a page ends with what was found.
const LOOKING: Duration = Duration::from_secs(10);
/// How long parts that came late are looked for.
const LATE: Duration = Duration::from_secs(2);
/// Sequences in the first window, and in the largest: so many headers are in memory at most.
const SMALLEST: u64 = 1_024;
const LARGEST: u64 = 65_536;
/// With fewer entries than this in a window the next one is larger.
const FEW: usize = 100;
/// Entries that are read before it is seen which of them fit, and at the same time. Each may have some
/// MiB until it is seen.
const CHUNK: usize = 16;
const AT_ONCE: usize = 8;

/// A window of sequences.
#[derive(Clone, Copy, Debug)]
struct Window {
    /// Its first sequence.
    lowest: u64,
    /// The sequence after its last one.
    below: u64,
    /// The last sequence of the stream when the list began.
    last: u64,
}

/// An entry by where it is.
#[derive(Clone, Debug)]
struct Candidate {
    /// Its place in the list.
    anchor: u64,
    alert: AlertId,
    places: Places,
}

impl ApiLog {
    /// A page of what is asked for.
    pub async fn list(
        &self,
        caller: &Caller,
        wanted: &Wanted,
        page: &Page,
    ) -> Result<(Vec<api::ApiLogEntry>, String), Status> {
        let deadline = Instant::now() + LOOKING;
        let _place = self.reading(caller, deadline).await?;
        let mut filling = page.filling();
        match timeout_at(deadline, self.fill(caller, wanted, page, &mut filling)).await {
            Ok(Ok(true)) => Ok(filling.last()),
            Ok(Ok(false)) => Ok(filling.more()),
            Ok(Err(failed)) => Err(failed),
            Err(_) if filling.has_moved() => Ok(filling.more()),
            Err(_) => Err(too_slow()),
        }
    }

    /// Fills a page; gives whether it is the last one.
    async fn fill(
        &self,
        caller: &Caller,
        wanted: &Wanted,
        page: &Page,
        filling: &mut Filling<'_, api::ApiLogEntry>,
    ) -> Result<bool, Status> {
        let (floor, mut window) = self.first_window(wanted, page).await?;
        let mut width = SMALLEST;
        let mut seen = Seen::default();
        while window.below > floor {
            window.lowest = window.below.saturating_sub(width).max(floor);
            let candidates = self.candidates(caller, wanted, window).await?;
            if candidates.len() < FEW {
                width = (width * 4).min(LARGEST);
            }
            for chunk in candidates.chunks(CHUNK) {
                for (anchor, entry) in self.entries(chunk, window).await? {
                    let entry = entry.filter(|entry| seen.add(entry.alert));
                    if !self.show(caller, wanted, anchor, entry, filling) {
                        return Ok(false);
                    }
                }
            }
            filling.pass(place_of(window.lowest));
            window.below = window.lowest;
        }
        Ok(true)
    }

    /// Adds an entry if it fits; false if the page is full without it.
    fn show(
        &self,
        caller: &Caller,
        wanted: &Wanted,
        anchor: u64,
        entry: Option<Entry>,
        filling: &mut Filling<'_, api::ApiLogEntry>,
    ) -> bool {
        let has = |entry: &Entry| self.calls.store.read(|now| wanted.has(caller, now, entry));
        match entry.filter(has) {
            Some(entry) => filling.add(place_of(anchor), self.calls.with_token_name(entry.short())),
            None => {
                filling.pass(place_of(anchor));
                true
            }
        }
    }

    /// Where the list ends, and an empty window where it begins.
    async fn first_window(&self, wanted: &Wanted, page: &Page) -> Result<(u64, Window), Status> {
        let skewed =
            |at: Timestamp, by: i64| Timestamp::from_micros(at.as_micros().saturating_add(by));
        let (first, last) = self.nats.bounds(subject::APILOG_STREAM).await.map_err(unreadable)?;
        let (mut floor, mut below) = (first, page.after_number().unwrap_or(u64::MAX));
        if let Some(since) = wanted.since {
            floor = floor.max(self.sequence_at(skewed(since, -SKEW_MICROS)).await?);
        }
        if let Some(until) = wanted.until {
            below = below.min(self.sequence_at(skewed(until, SKEW_MICROS)).await?);
        }
        let below = below.min(last.saturating_add(1));
        Ok((floor, Window { lowest: below, below, last }))
    }

    /// The entries of a window that may fit, newest first.
    async fn candidates(
        &self,
        caller: &Caller,
        wanted: &Wanted,
        window: Window,
    ) -> Result<Vec<Candidate>, Status> {
        let since = Since::Sequence(window.lowest.saturating_sub(NEAR));
        let mut past = self.headers(&subject_of(wanted.token), since);
        let mut tokens: HashMap<TokenId, bool> = HashMap::new();
        let mut found: HashMap<AlertId, Places> = HashMap::new();
        let end = window.below.saturating_add(NEAR);
        while let Some(stored) = past.next().await.map_err(unreadable)?.filter(|s| s.sequence < end)
        {
            let Some(met) = Met::of(&stored) else { continue };
            let fits = *tokens.entry(met.token).or_insert_with(|| {
                self.calls.store.read(|now| wanted.may_have(caller, now, met.token))
            });
            if fits {
                found.entry(met.alert).or_insert_with(|| Places::of(met.token)).add(met);
            }
        }
        let mut candidates = Vec::new();
        for (alert, places) in found {
            let anchor = places.call.or(places.all.iter().min().copied()).unwrap_or_default();
            if (window.lowest..window.below).contains(&anchor) {
                candidates.push(Candidate { anchor, alert, places });
            }
        }
        candidates.sort_unstable_by_key(|candidate| std::cmp::Reverse(candidate.anchor));
        Ok(candidates)
    }

    /// These entries with their places; none where it has another place.
    async fn entries(
        &self,
        chunk: &[Candidate],
        window: Window,
    ) -> Result<Vec<(u64, Option<Entry>)>, Status> {
        let mut entries = Vec::with_capacity(chunk.len());
        for some in chunk.chunks(AT_ONCE) {
            let built = some.iter().map(|one| self.entry(one.alert, &one.places));
            entries.extend(try_join_all(built).await?);
        }
        let lacking = chunk.iter().zip(&entries).filter(|(_, e)| !e.progress().is_complete());
        let lacking = lacking.map(|(one, _)| (one.alert, one.places.clone())).collect();
        let late = self.late(lacking, window).await?;
        let mut shown = Vec::with_capacity(chunk.len());
        for (one, entry) in chunk.iter().zip(entries) {
            let entry = match late.get(&one.alert) {
                Some(places) if places.call != one.places.call => None,
                Some(places) if *places != one.places => Some(self.entry(one.alert, places).await?),
                Some(_) | None => Some(entry),
            };
            shown.push((one.anchor, entry));
        }
        Ok(shown)
    }

    /// Where else parts of these entries are, far from the window.
    async fn late(
        &self,
        mut lacking: HashMap<AlertId, Places>,
        window: Window,
    ) -> Result<HashMap<AlertId, Places>, Status> {
        let until = Instant::now() + LATE;
        let earlier = lacking.iter().filter(|(_, places)| places.call.is_none() || places.late);
        if let Some(earliest) = earlier.map(|(alert, _)| before(*alert)).min() {
            let below = window.lowest.saturating_sub(NEAR);
            self.gather(&mut lacking, Since::Time(earliest), below, until).await?;
        }
        let above = window.below.saturating_add(NEAR);
        if !lacking.is_empty() && above <= window.last {
            self.gather(&mut lacking, Since::Sequence(above), u64::MAX, until).await?;
        }
        Ok(lacking)
    }
}

/// The place of an entry in a list: the sequence of its call.
fn place_of(sequence: u64) -> [u8; 16] {
    u128::from(sequence).to_be_bytes()
}
