//! Senders: each takes the next alert that is due, sends it, and takes note of what came of it.
//!
//! Must not know how a run is begun, ended and shown.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderValue;

use super::episodes::{Episode, Episodes, Task};
use super::gateway::Gateway;
use super::mix::Kind;
use super::payload::Template;
use super::schedule::{Arrivals, Due};
use super::tally::Tally;

/// What all senders of a run share.
pub struct Load {
    /// The name of the run; those of its incidents begin with it.
    pub run: String,
    /// Where alerts go.
    pub gateway: Arc<Gateway>,
    /// What opens it, as headers.
    pub tokens: Vec<HeaderValue>,
    /// What is sent.
    pub payloads: Vec<Template>,
    /// What it is about.
    pub episodes: Mutex<Episodes>,
    /// What has come of it.
    pub tally: Mutex<Tally>,
}

impl Load {
    /// What has come of it, to read or to add to.
    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn episodes(&self) -> MutexGuard<'_, Episodes> {
        self.episodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends over a connection what is due, one after the other, until the end.
    pub async fn send(&self, connection: usize, arrivals: &Arrivals) {
        while let Some(due) = arrivals.next().await {
            self.one(connection, due).await;
        }
    }

    async fn one(&self, connection: usize, due: Due) {
        let task = self.episodes().next();
        let token = self.token(task.episode);
        let payload = self.payload(task.kind, task.episode);
        let late = due.awaited.then(|| due.at.elapsed());
        self.tally().sending(task.kind, token, late);
        let sent = self.gateway.send(connection, &self.tokens[token], payload, task.waits).await;
        self.episodes().done(task, sent.is_ok());
        match sent {
            Ok(accepted) => self.tally().accepted(task, token, due.at, accepted),
            Err(failed) => self.tally().failed(failed),
        }
    }

    /// Resolves over a connection what is left open, one after the other; nothing is measured.
    pub async fn tidy(&self, connection: usize) {
        loop {
            // Not held over what follows.
            let left = self.episodes().left();
            let Some(episode) = left else { return };
            let payload = self.payload(Kind::Resolve, episode);
            let token = &self.tokens[self.token(episode)];
            let sent = self.gateway.send(connection, token, payload, false).await;
            if sent.is_err() {
                self.episodes().done(Task { kind: Kind::Resolve, episode, waits: false }, false);
                return;
            }
        }
    }

    /// Whether what is left open can be resolved by its payload.
    pub fn can_tidy(&self) -> bool {
        self.payloads.iter().all(Template::can_resolve)
    }

    /// How many episodes are left that may be open.
    pub fn left_open(&self) -> usize {
        self.episodes().left_open()
    }

    fn payload(&self, kind: Kind, episode: Episode) -> Vec<u8> {
        let name = format!("{}-{}", self.run, episode.number);
        let place = nth(episode.number / self.tokens.len() as u64, self.payloads.len());
        self.payloads[place].fill(kind, &name)
    }

    /// All alerts of an episode come with one token: another one may reach other services.
    fn token(&self, episode: Episode) -> usize {
        nth(episode.number, self.tokens.len())
    }
}

/// By turns, one of so many.
fn nth(number: u64, of: usize) -> usize {
    usize::try_from(number % of as u64).unwrap_or_default()
}
