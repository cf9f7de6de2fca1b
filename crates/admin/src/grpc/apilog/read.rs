//! Parts of entries where they are stored: found by their headers, read one by one.
//!
//! Must not know what is asked of entries.

use std::collections::HashMap;
use std::time::Duration;

use domain::id::{AlertId, TokenId};
use domain::time::Timestamp;
use futures::future::try_join_all;
use runtime::nats::{Past, Since, Stored};
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use wire::stored::apilog::LogPart;
use wire::{header, subject};

use super::entry::{Entry, begun};
use super::join::Open;
use super::{ApiLog, unreadable};

/// The parts of an entry are stored within so many messages of each other, but where a worker is
/// behind or a part was written again.
pub const NEAR: u64 = 4_096;
/// Ids are made by the clocks of gateways, parts are stored by that of nats-server. They differ by
/// less than this.
pub const SKEW_MICROS: i64 = 300 * 1_000_000;
/// A call that was stored so long after its id was made may have been sent again.
const LATE_MICROS: i64 = 2 * 1_000_000;
/// Parts that are read at the same time.
const AT_ONCE: usize = 8;

/// A message that has a part, by its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Met {
    /// Its sequence.
    pub sequence: u64,
    /// The entry.
    pub alert: AlertId,
    /// The token.
    pub token: TokenId,
    /// Whether it is what was asked and answered.
    pub is_call: bool,
    /// Whether it was stored long after its id was made.
    is_late: bool,
}

impl Met {
    /// What the message has, by its subject and headers; none where it is no part.
    pub fn new(
        sequence: u64,
        stored_at: Timestamp,
        subject: &str,
        header: impl Fn(&str) -> Option<String>,
    ) -> Option<Self> {
        let token = TokenId::parse(subject.rsplit('.').next()?).ok()?;
        let alert = AlertId::parse(&header(header::ALERT)?).ok()?;
        let is_call = header(header::PART)? == "call";
        let age = stored_at.as_micros().saturating_sub(begun(alert).as_micros());
        Some(Self { sequence, alert, token, is_call, is_late: age > LATE_MICROS })
    }

    /// The same of a message that was read.
    pub fn of(stored: &Stored) -> Option<Self> {
        let header = |name: &str| stored.header(name).map(str::to_owned);
        Self::new(stored.sequence, stored.stored_at, &stored.subject, header)
    }
}

/// Where the parts of an entry are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The token.
    pub token: TokenId,
    /// The sequence of the call; of several the first.
    pub call: Option<u64>,
    /// Whether it was stored so late that an earlier one may be far away.
    pub late: bool,
    /// The sequences of all parts, in no order.
    pub all: Vec<u64>,
}

impl Places {
    /// Nowhere yet.
    pub const fn of(token: TokenId) -> Self {
        Self { token, call: None, late: false, all: Vec::new() }
    }

    /// Adds a part, unless it is known.
    pub fn add(&mut self, met: Met) {
        if met.is_call {
            self.call = Some(self.call.map_or(met.sequence, |call| call.min(met.sequence)));
            self.late |= met.is_late;
        }
        if !self.all.contains(&met.sequence) {
            self.all.push(met.sequence);
        }
    }
}

/// Before any part of this entry was stored.
pub fn before(alert: AlertId) -> Timestamp {
    Timestamp::from_micros(begun(alert).as_micros().saturating_sub(SKEW_MICROS))
}

/// After the first part of this entry was stored, as far as clocks differ.
pub fn after(alert: AlertId) -> Timestamp {
    Timestamp::from_micros(begun(alert).as_micros().saturating_add(2 * SKEW_MICROS))
}

/// The subject with the entries of a token, or of all.
pub fn subject_of(token: Option<TokenId>) -> String {
    token.map_or(subject::APILOG_ALL.to_owned(), subject::apilog)
}

impl ApiLog {
    /// The headers of what is stored from here on.
    pub fn headers(&self, subject: &str, since: Since) -> Past {
        self.nats.past(subject::APILOG_STREAM, subject, since).headers_only()
    }

    /// The part with this sequence, and its bytes. None where it is gone or cannot be read.
    pub async fn part(&self, sequence: u64) -> Result<Option<(u64, LogPart, usize)>, Status> {
        let found = self.nats.get(subject::APILOG_STREAM, sequence).await.map_err(unreadable)?;
        let Some(found) = found else { return Ok(None) };
        match LogPart::decode(&found.payload) {
            Ok(part) => Ok(Some((sequence, part, found.payload.len()))),
            Err(error) => {
                tracing::warn!(sequence, %error, "a part of the API log cannot be read");
                Ok(None)
            }
        }
    }

    /// The parts with these sequences, in this order, each with its bytes.
    pub async fn sized_parts(
        &self,
        sequences: impl IntoIterator<Item = u64>,
    ) -> Result<Vec<(u64, LogPart, usize)>, Status> {
        let sequences: Vec<u64> = sequences.into_iter().collect();
        let mut found = Vec::with_capacity(sequences.len());
        for some in sequences.chunks(AT_ONCE) {
            let read = try_join_all(some.iter().map(|sequence| self.part(*sequence))).await?;
            found.extend(read.into_iter().flatten());
        }
        Ok(found)
    }

    /// The entry whose parts are there.
    pub async fn entry(&self, alert: AlertId, places: &Places) -> Result<Entry, Status> {
        let mut entry = Entry::new(alert, places.token);
        let mut sequences = places.all.clone();
        sequences.sort_unstable();
        for sequence in sequences {
            if let Some((_, part, _)) = self.part(sequence).await? {
                entry.add(part);
            }
        }
        Ok(entry)
    }

    /// The entry whose parts have come; those that were not kept are read again.
    pub async fn joined(&self, open: Open) -> Result<Entry, Status> {
        let mut entry = Entry::new(open.alert, open.token);
        for (sequence, part) in open.parts {
            let part = match part {
                Some(part) => Some(part),
                None => self.part(sequence).await?.map(|(_, part, _)| part),
            };
            part.into_iter().for_each(|part| entry.add(part));
        }
        Ok(entry)
    }

    /// Looks for more parts of these entries, from here on and below that sequence, until then.
    pub async fn gather(
        &self,
        wanted: &mut HashMap<AlertId, Places>,
        since: Since,
        below: u64,
        until: Instant,
    ) -> Result<(), Status> {
        let mut tokens = wanted.values().map(|places| places.token);
        let first = tokens.next();
        let only = first.filter(|first| tokens.all(|token| token == *first));
        let mut past = self.headers(&subject_of(only), since);
        while let Ok(next) = timeout_at(until, past.next()).await {
            let Some(stored) = next.map_err(unreadable)?.filter(|s| s.sequence < below) else {
                break;
            };
            if let Some(met) = Met::of(&stored)
                && let Some(places) = wanted.get_mut(&met.alert)
            {
                places.add(met);
            }
        }
        Ok(())
    }

    /// The sequence of the first message that was stored at this time or later; past all of them
    /// where there is none yet.
    pub async fn sequence_at(&self, at: Timestamp) -> Result<u64, Status> {
        let mut past = self.headers(subject::APILOG_ALL, Since::Time(at));
        let found = tokio::time::timeout(Duration::from_secs(5), past.next()).await;
        let found = found.map_err(|_| super::too_slow())?.map_err(unreadable)?;
        Ok(found.map_or(u64::MAX, |stored| stored.sequence))
    }
}
