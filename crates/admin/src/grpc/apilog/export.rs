//! All entries that are asked for, oldest first, however many there are.
//!
//! An entry is told when all of it has come, and a while later, since parts may be written again.
//! Those that lack parts are told at the end. Must not know how the answers reach the caller.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use domain::id::AlertId;
use domain::time::Timestamp;
use runtime::nats::{Past, Since};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tonic::Status;
use wire::proto::gander::admin::v1 as api;
use wire::subject;

use super::entry::Entry;
use super::join::{Join, Open};
use super::read::{Met, NEAR, Places, SKEW_MICROS, before, subject_of};
use super::seen::Seen;
use super::wanted::Wanted;
use super::{ApiLog, PATIENCE, unreadable};
use crate::access::{Caller, Presented};
use crate::grpc::error;

/// Parts that are read before it is seen what has become complete.
const CHUNK: usize = 32;
/// The most entries that lack parts and are waited for.
const OPEN: usize = 100_000;
/// How long an export may last: there are few places, and who reads slowly keeps one.
const LONGEST: Duration = Duration::from_secs(3_600);
/// How long it is looked for parts far away of those that lack some.
const LATE: Duration = Duration::from_secs(60);

/// An export on its way.
pub struct Export {
    log: ApiLog,
    /// Looked up again for each entry: rights may be taken away while the call lasts.
    credential: Presented,
    wanted: Wanted,
    sender: mpsc::Sender<Result<api::ExportApiLogEntriesResponse, Status>>,
    join: Join,
    /// Those that are complete, with the sequence with which they were.
    ready: VecDeque<(u64, AlertId)>,
    /// Those that were told with all their parts: of what is stored again they are not told again.
    told: Seen,
    until: Instant,
}

impl Export {
    /// An export of these entries.
    pub fn new(
        log: &ApiLog,
        credential: Presented,
        wanted: Wanted,
        sender: mpsc::Sender<Result<api::ExportApiLogEntriesResponse, Status>>,
    ) -> Self {
        let (join, ready, told) = (Join::default(), VecDeque::new(), Seen::default());
        let until = Instant::now() + LONGEST;
        Self { log: log.clone(), credential, wanted, sender, join, ready, told, until }
    }

    /// Tells all of them.
    pub async fn run(mut self) -> Result<(), Status> {
        let bounds = self.log.nats.bounds(subject::APILOG_STREAM).await;
        let (_, last) = bounds.map_err(unreadable)?;
        let by =
            |at: Timestamp, micros| Timestamp::from_micros(at.as_micros().saturating_add(micros));
        let end = match self.wanted.until {
            Some(until) => last.min(self.log.sequence_at(by(until, SKEW_MICROS)).await?),
            None => last,
        };
        let since = self.wanted.since;
        let since = since.map_or(Since::Sequence(1), |at| Since::Time(by(at, -SKEW_MICROS)));
        let mut past = self.log.headers(&subject_of(self.wanted.token), since);
        loop {
            let (chunk, goes_on) = self.chunk(&mut past, end).await?;
            for (sequence, part, bytes) in self.log.sized_parts(chunk).await? {
                let alert = part.alert;
                if self.join.add(sequence, part, bytes, Instant::now()) {
                    self.ready.push_back((sequence, alert));
                }
                self.tell_ready(sequence).await?;
            }
            if !goes_on {
                break;
            }
        }
        self.tell_ready(u64::MAX).await?;
        self.tell_rest().await
    }

    fn caller(&self) -> Result<Caller, Status> {
        self.log.calls.caller_with(self.credential)
    }

    /// Some sequences of parts that may fit, and whether there are more.
    async fn chunk(&self, past: &mut Past, end: u64) -> Result<(Vec<u64>, bool), Status> {
        let caller = self.caller()?;
        let mut chunk = Vec::with_capacity(CHUNK);
        while chunk.len() < CHUNK {
            let next = past.next().await.map_err(unreadable)?;
            let Some(stored) = next.filter(|stored| stored.sequence <= end) else {
                return Ok((chunk, false));
            };
            let fits = |met: &Met| {
                self.log.calls.store.read(|now| self.wanted.may_have(&caller, now, met.token))
            };
            chunk.extend(Met::of(&stored).filter(fits).map(|met| met.sequence));
        }
        Ok((chunk, true))
    }

    /// Tells those that were complete some time before this sequence.
    async fn tell_ready(&mut self, sequence: u64) -> Result<(), Status> {
        while let Some((complete, alert)) = self.ready.front().copied()
            && complete.saturating_add(NEAR) < sequence
        {
            self.ready.pop_front();
            // It lacks parts again where its partition was taken over meanwhile.
            if let Some(open) = self.join.take_complete(alert) {
                self.tell(self.log.joined(open).await?).await?;
            }
        }
        while self.join.len() > OPEN {
            if let Some(open) = self.join.take_oldest() {
                self.tell(self.log.joined(open).await?).await?;
            }
        }
        Ok(())
    }

    /// Tells those that lack parts, with what of them is elsewhere.
    async fn tell_rest(&mut self) -> Result<(), Status> {
        let mut rest: Vec<Open> = Vec::new();
        while let Some(mut open) = self.join.take_oldest() {
            open.parts.iter_mut().for_each(|(_, part)| *part = None);
            if !self.told.has(open.alert) {
                rest.push(open);
            }
        }
        let Some(earliest) = rest.iter().map(|open| before(open.alert)).min() else {
            return Ok(());
        };
        let mut places: HashMap<_, _> =
            rest.iter().map(|open| (open.alert, Places::of(open.token))).collect();
        let until = Instant::now() + LATE;
        self.log.gather(&mut places, Since::Time(earliest), u64::MAX, until).await?;
        for open in rest {
            let found = places.get(&open.alert);
            let elsewhere = found.is_some_and(|found| found.call.is_some());
            if elsewhere && !open.progress.has_call() {
                // It was told already, or it is older than what is asked for.
                continue;
            }
            let entry = match found.filter(|found| found.all.len() >= open.parts.len()) {
                Some(found) => self.log.entry(open.alert, found).await?,
                None => self.log.joined(open).await?,
            };
            self.tell(entry).await?;
        }
        Ok(())
    }

    async fn tell(&mut self, entry: Entry) -> Result<(), Status> {
        let is_new = if entry.progress().is_complete() {
            self.told.add(entry.alert)
        } else {
            !self.told.has(entry.alert)
        };
        if !is_new {
            return Ok(());
        }
        let caller = self.caller()?;
        let calls = &self.log.calls;
        if !calls.store.read(|now| self.wanted.has(&caller, now, &entry)) {
            return Ok(());
        }
        let entry = Some(calls.with_token_name(entry.whole()));
        let answer = api::ExportApiLogEntriesResponse { entry };
        if Instant::now() >= self.until {
            return Err(error::read_timeout(
                "an export lasts an hour at most: ask for a span of time",
            ));
        }
        let sent = timeout(PATIENCE, self.sender.send(Ok(answer))).await;
        // Where the caller is gone, the export is ended elsewhere.
        sent.map(drop).map_err(|_| error::watch_not_read())
    }
}
