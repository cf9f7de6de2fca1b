//! One entry by its id, which begins with the time of the call.
//!
//! Must not know who asks.

use std::time::Duration;

use domain::id::{AlertId, TokenId};
use domain::time::Timestamp;
use runtime::nats::Since;
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use wire::subject;

use super::entry::{Entry, begun};
use super::read::{Met, NEAR, SKEW_MICROS, after, before, subject_of};
use super::wanted::may_read;
use super::{ApiLog, too_slow, unreadable};
use crate::access::Caller;

/// Calls have 30 s.
const DEADLINE: Duration = Duration::from_secs(20);

impl ApiLog {
    /// The entry with this id, if there is any part of it and its token is not one of which the caller may
    /// read nothing; with its token it is found faster.
    /// Where there is no time to look for all of it, what was found.
    pub async fn find(
        &self,
        caller: &Caller,
        alert: AlertId,
        token: Option<TokenId>,
    ) -> Result<Option<Entry>, Status> {
        let deadline = Instant::now() + DEADLINE;
        let _place = self.reading(caller, deadline).await?;
        if !self.may_be_stored(alert).await? {
            return Ok(None);
        }
        let mut past = self.headers(&subject_of(token), Since::Time(before(alert)));
        let mut found: Option<(Entry, u64)> = None;
        loop {
            let Ok(next) = timeout_at(deadline, past.next()).await else {
                return found.map(|(entry, _)| Some(entry)).ok_or_else(too_slow);
            };
            let Some(stored) = next.map_err(unreadable)? else { break };
            if let Some(met) = Met::of(&stored).filter(|met| met.alert == alert) {
                if !self.may_have(caller, met.token) {
                    return Ok(None);
                }
                let (entry, last) = found.get_or_insert_with(|| (Entry::new(alert, met.token), 0));
                *last = met.sequence;
                if let Some((_, part, _)) = self.part(met.sequence).await? {
                    entry.add(part);
                }
            }
            if found.is_none() && stored.stored_at > after(alert) {
                break;
            }
            // What is written again comes soon.
            let is_all = |(entry, last): &(Entry, u64)| {
                entry.progress().is_complete() && stored.sequence > last + NEAR
            };
            if found.as_ref().is_some_and(is_all) {
                break;
            }
        }
        Ok(found.map(|(entry, _)| entry))
    }

    /// Whether the caller may read entries of this token, as far as is known without reading one.
    fn may_have(&self, caller: &Caller, token: TokenId) -> bool {
        self.calls.store.read(|directory| {
            directory.reach_of(token).is_none() || may_read(caller, directory, token, None)
        })
    }

    /// Whether the call is of a time that the stream has. Anybody can make up ids of other times, for
    /// which all of it would be read.
    async fn may_be_stored(&self, alert: AlertId) -> Result<bool, Status> {
        let stream = subject::APILOG_STREAM;
        let (first, last) = self.nats.bounds(stream).await.map_err(unreadable)?;
        if first == 0 || first > last {
            return Ok(false);
        }
        let oldest = self.nats.get(stream, first).await.map_err(unreadable)?;
        // Where it was removed just now, this id is not why all of it is read.
        let oldest = oldest.map_or(Timestamp::from_micros(0), |message| message.stored_at);
        Ok(is_between(begun(alert), oldest, self.calls.now()))
    }
}

/// Whether a call at this time may be among what was stored between those two, as far as clocks
/// differ.
const fn is_between(at: Timestamp, oldest: Timestamp, now: Timestamp) -> bool {
    let at = at.as_micros();
    at >= oldest.as_micros().saturating_sub(SKEW_MICROS)
        && at <= now.as_micros().saturating_add(SKEW_MICROS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_of_times_that_are_stored_are_looked_for() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let found = |seconds| is_between(at(seconds), at(1_000), at(2_000));
        assert!(found(700) && found(1_500) && found(2_300));
        assert!(!found(699) && !found(2_301));
    }
}
