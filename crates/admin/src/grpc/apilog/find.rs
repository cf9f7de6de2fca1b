//! One entry by its id, which begins with the time of the call.
//!
//! Must not know who asks.

use std::time::Duration;

use domain::id::{AlertId, TokenId};
use runtime::nats::Since;
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use super::entry::Entry;
use super::read::{Met, NEAR, before, subject_of};
use super::{ApiLog, too_slow, unreadable};

/// Calls have 30 s.
const DEADLINE: Duration = Duration::from_secs(20);

impl ApiLog {
    /// The entry with this id, if there is any part of it; with its token it is found faster.
    /// Where there is no time to look for all of it, what was found.
    pub async fn find(
        &self,
        alert: AlertId,
        token: Option<TokenId>,
    ) -> Result<Option<Entry>, Status> {
        let deadline = Instant::now() + DEADLINE;
        let place = timeout_at(deadline, self.reads.acquire()).await;
        let _place = place.map_err(|_| too_slow())?;
        let mut past = self.headers(&subject_of(token), Since::Time(before(alert)));
        let mut found: Option<(Entry, u64)> = None;
        loop {
            let Ok(next) = timeout_at(deadline, past.next()).await else {
                return found.map(|(entry, _)| Some(entry)).ok_or_else(too_slow);
            };
            let Some(stored) = next.map_err(unreadable)? else { break };
            if let Some(met) = Met::of(&stored).filter(|met| met.alert == alert) {
                let (entry, last) = found.get_or_insert_with(|| (Entry::new(alert, met.token), 0));
                *last = met.sequence;
                if let Some((_, part, _)) = self.part(met.sequence).await? {
                    entry.add(part);
                }
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
}
