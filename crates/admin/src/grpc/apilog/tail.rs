//! Entries as they come, for callers who resume by cursor.
//!
//! A caller that takes nothing holds nothing up: what it does not take is passed over and counted.
//! Must not know how the entries of the past are listed.

use std::collections::HashMap;
use std::time::Duration;

use domain::id::AlertId;
use runtime::nats::{Message, Reader, Since, Start};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tonic::Status;
use wire::proto::gander::admin::v1 as api;
use wire::subject;

use super::entry::Entry;
use super::join::{Join, Open};
use super::read::{Met, NEAR, Places, before, subject_of};
use super::wanted::Wanted;
use super::{Answers, ApiLog, BUFFER, PATIENCE, answers, place, unreadable};
use crate::access::{Caller, Presented};
use crate::grpc::error;

const HEARTBEAT: Duration = Duration::from_secs(15);
const TICK: Duration = Duration::from_secs(1);
/// An entry is told this long after its first part, even if it lacks some.
const WAITING: Duration = Duration::from_secs(5);
/// A caller that takes nothing for so long misses entries.
const TAKING: Duration = Duration::from_secs(5);
/// The most entries that lack parts and are waited for.
const OPEN: usize = 10_000;
/// Entries that are looked for at the same time.
const AT_ONCE: usize = 1_000;

type Sender = mpsc::Sender<Result<api::TailApiLogEntriesResponse, Status>>;

impl ApiLog {
    /// The entries that are asked for, from the cursor on.
    pub async fn tail(
        &self,
        caller: &Caller,
        credential: Presented,
        wanted: Wanted,
        cursor: &str,
    ) -> Result<Answers<api::TailApiLogEntriesResponse>, Status> {
        let place = place(&self.tails, caller, error::too_many_tails)?;
        let bounds = self.nats.bounds(subject::APILOG_STREAM).await;
        let (first, last) = bounds.map_err(unreadable)?;
        let read = match cursor {
            "" => last,
            text => u64::from_str_radix(text, 16)
                .ok()
                .filter(|sequence| *sequence <= last)
                .ok_or_else(|| error::field("cursor", "must be one that this server has given"))?,
        };
        // Only the oldest are ever removed.
        if read + 1 < first {
            return Err(error::cursor_too_old());
        }
        let (filter, start) = (subject_of(wanted.token), Start::Sequence(read + 1));
        let reader = Reader::new(&self.nats, subject::APILOG_STREAM, &filter, start).headers_only();
        let (sender, receiver) = mpsc::channel(BUFFER);
        let (log, join) = (self.clone(), Join::default());
        let taken = Instant::now();
        let tail = Tail { log, credential, wanted, reader, sender, join, read, skipped: 0, taken };
        tokio::spawn(async move {
            let sender = tail.sender.clone();
            if let Err(ended) = tail.run().await {
                let _ = timeout(TAKING, sender.send(Err(ended))).await;
            }
        });
        Ok(answers(receiver, place))
    }
}

struct Tail {
    log: ApiLog,
    /// Looked up again for each entry: rights may be taken away while the call lasts.
    credential: Presented,
    wanted: Wanted,
    reader: Reader,
    sender: Sender,
    join: Join,
    /// The sequence that was read last.
    read: u64,
    /// Entries that the caller has not taken.
    skipped: u64,
    /// When it has taken something.
    taken: Instant,
}

impl Tail {
    async fn run(mut self) -> Result<(), Status> {
        let (stopping, gone) = (self.log.stopping.clone(), self.sender.clone());
        tokio::select! {
            ended = self.follow() => ended,
            () = gone.closed() => Ok(()),
            () = stopping.cancelled() => Ok(()),
        }
    }

    async fn follow(&mut self) -> Result<(), Status> {
        // Whoever loses the connection before the first entry knows where to resume.
        self.offer(None, self.read).await?;
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.reset();
        let mut tick = tokio::time::interval(TICK);
        // What takes long is not made up for at once.
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = self.reader.next() => self.take(message).await?,
                _ = tick.tick() => self.tell_overdue().await?,
                _ = heartbeat.tick() => {
                    self.log.calls.caller_with(self.credential)?;
                    self.offer(None, self.cursor()).await?;
                }
            }
        }
    }

    /// Where to resume, as far as is told by now.
    fn cursor(&self) -> u64 {
        self.join.first_untold().map_or(self.read, |first| first - 1)
    }

    async fn take(&mut self, message: Message) -> Result<(), Status> {
        self.read = message.sequence;
        let headers = self.reader.envelope().headers;
        let header = |wanted: &str| {
            let found = headers.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.clone())
        };
        let Some(met) = Met::new(message.sequence, message.stored_at, &message.subject, header)
        else {
            return Ok(());
        };
        let caller = self.log.calls.caller_with(self.credential)?;
        let fits = self.log.calls.store.read(|now| self.wanted.may_have(&caller, now, met.token));
        if !fits {
            return Ok(());
        }
        for (sequence, part, bytes) in self.log.sized_parts([met.sequence]).await? {
            let complete = self.join.add(sequence, part, bytes, Instant::now());
            if complete && let Some(open) = self.join.take(met.alert) {
                let entry = self.log.joined(open).await?;
                self.tell(entry, self.cursor()).await?;
            }
        }
        if self.join.len() > OPEN
            && let Some(open) = self.join.take_oldest()
            && !open.told
        {
            let entry = self.log.joined(open).await?;
            self.tell(entry, self.cursor()).await?;
        }
        Ok(())
    }

    /// Tells what has waited long enough. A part may have been stored before this tail began.
    async fn tell_overdue(&mut self) -> Result<(), Status> {
        let Some(then) = Instant::now().checked_sub(WAITING) else { return Ok(()) };
        let due = self.join.overdue(then, AT_ONCE);
        let Some(first) = due.iter().map(Open::first).min() else { return Ok(()) };
        let places = self.places(&due, first.saturating_sub(NEAR)).await?;
        let firsts: Vec<u64> = due.iter().map(Open::first).collect();
        for (n, open) in due.into_iter().enumerate() {
            let found = places.get(&open.alert).filter(|all| all.all.len() >= open.parts.len());
            let alert = open.alert;
            let entry = match found {
                Some(found) => self.log.entry(alert, found).await?,
                None => self.log.joined(open).await?,
            };
            if entry.progress().is_complete() {
                self.join.take(alert);
            }
            // Those after it are not told yet.
            let cursor = firsts.get(n + 1).map_or_else(|| self.cursor(), |first| first - 1);
            self.tell(entry, cursor).await?;
        }
        Ok(())
    }

    /// Where parts of these are: from this sequence on, and before it of those whose call is not there.
    async fn places(
        &mut self,
        due: &[Open],
        near: u64,
    ) -> Result<HashMap<AlertId, Places>, Status> {
        let mut places: HashMap<_, _> =
            due.iter().map(|open| (open.alert, Places::of(open.token))).collect();
        let until = Instant::now() + WAITING;
        let below = self.read.saturating_add(1);
        self.log.gather(&mut places, Since::Sequence(near), below, until).await?;
        let lacking = places.iter().filter(|(_, found)| found.call.is_none());
        let Some(earliest) = lacking.map(|(alert, _)| before(*alert)).min() else {
            return Ok(places);
        };
        self.log.gather(&mut places, Since::Time(earliest), near, until).await?;
        Ok(places)
    }

    /// Tells an entry if it is asked for and the caller may still read it.
    async fn tell(&mut self, entry: Entry, cursor: u64) -> Result<(), Status> {
        let caller = self.log.calls.caller_with(self.credential)?;
        let calls = &self.log.calls;
        if calls.store.read(|now| self.wanted.has(&caller, now, &entry)) {
            let entry = calls.with_token_name(entry.whole());
            self.offer(Some(entry), cursor).await?;
        }
        Ok(())
    }

    /// Gives the caller a message if it takes any. Once one had to be passed over, it is not waited
    /// for until it has taken something; when it has taken nothing for long, the tail ends.
    async fn offer(&mut self, entry: Option<api::ApiLogEntry>, cursor: u64) -> Result<(), Status> {
        let place = match self.skipped {
            0 => timeout(TAKING, self.sender.reserve()).await.ok().and_then(Result::ok),
            _ => self.sender.try_reserve().ok(),
        };
        match place {
            Some(place) => {
                let (cursor, skipped) = (format!("{cursor:x}"), self.skipped);
                place.send(Ok(api::TailApiLogEntriesResponse { entry, cursor, skipped }));
                (self.skipped, self.taken) = (0, Instant::now());
            }
            None if self.taken.elapsed() > PATIENCE => return Err(error::watch_not_read()),
            None => self.skipped += u64::from(entry.is_some()),
        }
        Ok(())
    }
}
