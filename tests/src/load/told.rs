//! What clients were told.
//!
//! Must not know who asked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::alerts::Answer;
use crate::http_status;

/// Answers come within a second, and what this machine adds.
pub const SOON: Duration = Duration::from_millis(1_200);

/// Everything that clients were told.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Ids of alerts that were answered with 2xx.
    pub acked: BTreeSet<String>,
    /// How many commands were acknowledged.
    pub commands: usize,
    /// What must be there after commands that were acknowledged, and what must not.
    pub facts: BTreeMap<String, bool>,
    /// Requests with tokens that were deleted before their first byte was sent.
    pub revoked: usize,
    /// Those that were let in.
    pub let_in: Vec<String>,
    /// Answers that are not in `docs/http-status.md`, or not for such a request.
    pub outside: Vec<String>,
    /// Answers that came too late, or were others than 503, while nothing could be stored.
    pub late: Vec<String>,
    watch: Option<Watch>,
}

#[derive(Clone, Debug)]
struct Watch {
    begun: Instant,
    ended: Option<Instant>,
    seen: Watched,
}

/// What was answered while nothing could be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// How many answers of each kind, such as `503 BROKER_UNAVAILABLE`.
    pub answers: BTreeMap<String, usize>,
    /// How many took longer than a second.
    pub over_a_second: usize,
    /// The longest.
    pub longest: Duration,
}

impl Told {
    /// An answer to an alert with a token that is valid. Gives whether it is stored.
    pub fn answered(&mut self, asked: Instant, answer: &anyhow::Result<Answer>) -> bool {
        self.look_at(asked, answer);
        let Ok(answer) = answer else { return false };
        if answer.status.is_success() {
            self.acked.insert(answer.id().to_owned());
        }
        let unavailable = answer.status.as_u16() == 503;
        let hinted = answer.headers.contains_key("retry-after");
        let may_be = answer.status.is_success() || (unavailable && hinted);
        if !may_be || !http_status::documented(answer) {
            self.outside.push(label(answer));
        }
        answer.status.is_success()
    }

    /// An answer to an alert whose token was deleted before.
    pub fn refused(&mut self, token: &str, answer: &anyhow::Result<Answer>) {
        self.revoked += 1;
        let Ok(answer) = answer else { return };
        if answer.status.is_success() {
            self.let_in.push(format!("{token}: {}", label(answer)));
            self.acked.insert(answer.id().to_owned());
        } else if !http_status::documented(answer) {
            self.outside.push(label(answer));
        }
    }

    pub(super) fn watch(&mut self) {
        let seen = Watched::default();
        self.watch = Some(Watch { begun: Instant::now(), ended: None, seen });
    }

    pub(super) fn watched(&self) -> usize {
        self.watch.as_ref().map_or(0, |watch| watch.seen.answers.values().sum())
    }

    pub(super) fn unwatch(&mut self) -> Watched {
        self.watch.as_mut().map_or_else(Watched::default, |watch| {
            watch.ended = Some(Instant::now());
            watch.seen.clone()
        })
    }

    /// Looks at the answer to a request that was begun while nothing could be stored.
    fn look_at(&mut self, asked: Instant, answer: &anyhow::Result<Answer>) {
        let Some(watch) = &mut self.watch else { return };
        if asked < watch.begun || watch.ended.is_some_and(|ended| asked > ended) {
            return;
        }
        let took = asked.elapsed();
        let said = answer.as_ref().map_or_else(|_| "no answer".to_owned(), label);
        let stored = answer.as_ref().is_ok_and(|answer| answer.status.as_u16() != 503);
        // Answered afterwards, it may have been stored; it must not have taken longer all the same.
        if took > SOON || answer.is_err() || (stored && watch.ended.is_none()) {
            self.late.push(format!("{said} after {took:?}"));
        }
        if watch.ended.is_none() {
            *watch.seen.answers.entry(said).or_default() += 1;
            watch.seen.over_a_second += usize::from(took > Duration::from_secs(1));
            watch.seen.longest = watch.seen.longest.max(took);
        }
    }
}

fn label(answer: &Answer) -> String {
    format!("{} {}", answer.status.as_u16(), answer.code()).trim_end().to_owned()
}
