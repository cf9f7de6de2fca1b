//! What clients were told.
//!
//! Must not know who asked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;
use tokio::time::error::Elapsed;

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
    /// Requests with tokens that were deleted before their first byte was sent, as far as the gateway
    /// said whether it lets them in.
    pub revoked: usize,
    /// Those that were let in.
    pub let_in: Vec<String>,
    /// Answers that are not in `docs/http-status.md`, or not for such a request.
    pub outside: Vec<String>,
    /// Requests without an answer in time. While nothing can be stored, also answers that took longer
    /// than a second, or were others than 503.
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
        self.is_answered(answer);
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
        self.is_answered(answer);
        let Ok(answer) = answer else { return };
        self.revoked += usize::from(answer.status.is_success() || answer.status.as_u16() == 401);
        if answer.status.is_success() {
            self.let_in.push(format!("{token}: {}", label(answer)));
            self.acked.insert(answer.id().to_owned());
        } else if !http_status::documented(answer) {
            self.outside.push(label(answer));
        }
    }

    /// A connection may break, but nobody must wait in vain.
    fn is_answered(&mut self, answer: &anyhow::Result<Answer>) {
        if answer.as_ref().is_err_and(|error| error.is::<Elapsed>()) {
            self.late.push("no answer at all".to_owned());
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
            let why =
                answer.as_ref().map_or_else(|error| format!(": {error:#}"), |_| String::new());
            self.late.push(format!("{said} after {took:?}{why}"));
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

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, StatusCode};

    fn answer(status: u16, body: &str) -> anyhow::Result<Answer> {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "1".parse()?);
        let body = serde_json::from_str(body)?;
        Ok(Answer { status: StatusCode::from_u16(status)?, headers, body })
    }

    #[test]
    fn who_is_let_in_with_a_deleted_token_is_noticed_and_who_is_not_answered_proves_nothing() {
        let mut told = Told::default();
        told.refused("tokens/1", &answer(503, r#"{"code": "TOKENS_STALE"}"#));
        told.refused("tokens/1", &Err(anyhow::anyhow!("connection reset")));
        assert_eq!((told.revoked, told.let_in.len()), (0, 0));
        told.refused("tokens/1", &answer(401, r#"{"code": "INVALID_TOKEN"}"#));
        told.refused("tokens/1", &answer(202, r#"{"id": "1"}"#));
        assert_eq!((told.revoked, told.let_in.len()), (2, 1));
    }

    #[test]
    fn an_answer_that_is_not_documented_is_noticed() {
        let mut told = Told::default();
        let now = Instant::now();
        assert!(told.answered(now, &answer(201, r#"{"id": "1"}"#)));
        assert!(!told.answered(now, &answer(503, r#"{"code": "BROKER_UNAVAILABLE"}"#)));
        assert_eq!((told.acked.len(), told.outside.len()), (1, 0));
        for (status, body) in [(500, "{}"), (401, r#"{"code": "INVALID_TOKEN"}"#)] {
            assert!(!told.answered(now, &answer(status, body)));
        }
        assert_eq!(told.outside, ["500", "401 INVALID_TOKEN"]);
    }

    #[tokio::test]
    async fn who_waits_in_vain_is_noticed_and_who_is_cut_off_is_not() {
        let mut told = Told::default();
        let now = Instant::now();
        assert!(!told.answered(now, &Err(anyhow::anyhow!("connection reset"))));
        assert!(told.late.is_empty());
        let never = tokio::time::timeout(Duration::ZERO, std::future::pending::<Answer>()).await;
        let never = anyhow::Context::context(never, "no answer in 10 s");
        assert!(!told.answered(now, &never));
        assert_eq!(told.late, ["no answer at all"]);
        told.watch();
        let begun = Instant::now();
        told.answered(begun, &answer(201, r#"{"id": "1"}"#));
        told.answered(begun - SOON, &answer(503, r#"{"code": "BROKER_UNAVAILABLE"}"#));
        assert_eq!(told.late.len(), 2, "a 2xx while nothing can be stored");
        assert_eq!(told.unwatch().answers.len(), 1);
    }
}
