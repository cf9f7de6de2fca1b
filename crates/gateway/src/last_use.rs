//! When tokens were last used, to the hour: noted in memory, written every few seconds, each token once
//! an hour.
//!
//! Never on the way of a request, kept outside the journal: it may be late or lost. Must not know what
//! a token is used for.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::id::{InstanceId, TokenId};
use domain::time::Timestamp;
use runtime::nats::batch::{MAX_MESSAGES, Message};
use runtime::nats::{Nats, publish};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use wire::stored::last_use::encode;
use wire::subject;

/// How often what was noted is written.
const EVERY: Duration = Duration::from_secs(5);
const DEADLINE: Duration = Duration::from_secs(2);
/// The most tokens of an hour that are noted; of more the use is not seen.
const MAX_TOKENS: usize = 100_000;

/// Notes uses. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct LastUse(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    hour: Timestamp,
    seen: HashSet<TokenId>,
    unwritten: Vec<(TokenId, Timestamp)>,
}

impl LastUse {
    /// The token is used at this time.
    pub fn note(&self, token: TokenId, at: Timestamp) {
        let hour = at.hour();
        let mut noted = self.noted();
        if hour != noted.hour {
            noted.hour = hour;
            noted.seen.clear();
        }
        let room = noted.seen.len() < MAX_TOKENS && noted.unwritten.len() < MAX_TOKENS;
        if room && noted.seen.insert(token) {
            noted.unwritten.push((token, hour));
        }
    }

    /// Writes what is noted until `stop`, and then a last time.
    pub async fn write(self, nats: Nats, me: InstanceId, stop: CancellationToken) {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batches = 0;
        let mut stopping = false;
        while !stopping {
            tokio::select! {
                _ = tick.tick() => {}
                () = stop.cancelled() => stopping = true,
            }
            if let Err(error) = self.write_noted(&nats, me, &mut batches).await {
                tracing::debug!(%error, "times of last use are not written yet");
            }
        }
    }

    async fn write_noted(
        &self,
        nats: &Nats,
        me: InstanceId,
        batches: &mut u64,
    ) -> Result<(), publish::Error> {
        loop {
            let taken = self.take();
            if taken.is_empty() {
                return Ok(());
            }
            let messages: Vec<_> =
                taken.iter().map(|(token, hour)| message(*token, *hour)).collect();
            *batches += 1;
            let id = format!("{me}.use.{batches}");
            if let Err(error) = nats.publish_batch(&id, &messages, DEADLINE).await {
                self.noted().unwritten.extend(taken);
                return Err(error);
            }
        }
    }

    fn take(&self) -> Vec<(TokenId, Timestamp)> {
        let unwritten = &mut self.noted().unwritten;
        let count = unwritten.len().min(MAX_MESSAGES);
        unwritten.drain(..count).collect()
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn message(token: TokenId, hour: Timestamp) -> Message {
    let (subject, payload) = (subject::last_use(token), encode(hour));
    Message { subject, headers: vec![], payload, expect: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_noted_once_an_hour() {
        let noted = LastUse::default();
        let [one, two] = [1, 2].map(|n| TokenId::from_bytes([n; 16]));
        let at = |minutes: i64| Timestamp::from_micros(minutes * 60_000_000);
        for (token, minutes) in [(one, 0), (one, 59), (two, 59), (one, 60), (one, 61)] {
            noted.note(token, at(minutes));
        }
        assert_eq!(noted.take(), [(one, at(0)), (two, at(0)), (one, at(60))]);
        noted.note(one, at(119));
        assert_eq!(noted.take(), []);
    }
}
