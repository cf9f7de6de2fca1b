//! Commits on their way to GANDER_CONTROL: each is stored at its own number, however long that takes.
//!
//! A few go one by one, many as one atomic batch, which costs one group of fsyncs. Either is fenced by the
//! number of the commit before it: so what was sent twice is stored once, at the same numbers, and
//! whatever the answer was, a look at what is stored tells. Must not know commands.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use domain::commit::Commit;
use domain::directory::Snapshot;
use runtime::nats::Nats;
use runtime::nats::batch::{MAX_MESSAGES, Message};
use runtime::nats::publish::{Error, Expect};
use tokio_util::sync::CancellationToken;
use wire::stored::control::encode_message;
use wire::subject;

use crate::start::stored_record;
use crate::store::Fatal;

/// Fewer than so many are stored sooner one by one: a batch costs as much as about ten messages.
const BATCH: usize = 8;
/// The most bytes of a batch: nats-server has them in memory until its last message.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
const DEADLINE: Duration = Duration::from_secs(2);
const BACK_OFF: Duration = Duration::from_millis(500);

/// A commit as it is sent.
#[derive(Clone, Debug)]
pub struct Sent {
    sequence: u64,
    record: Bytes,
    message: Message,
}

impl Sent {
    /// A commit, its record, and what it has left of the thing that it is about.
    #[must_use]
    pub fn new(commit: &Commit, record: Bytes, left: &Snapshot) -> Self {
        let message = Message {
            subject: subject::control(commit.changes[0].subject()),
            headers: vec![],
            payload: encode_message(record.clone(), left),
            expect: None,
        };
        Self { sequence: commit.sequence, record, message }
    }

    /// The record.
    #[must_use]
    pub fn record(&self) -> Bytes {
        self.record.clone()
    }
}

/// Stores commits in GANDER_CONTROL. One of them.
#[derive(Debug)]
pub struct Relay {
    nats: Nats,
    batches: bool,
    tag: String,
    tries: AtomicU64,
}

impl Relay {
    /// Over this connection. `batches` tells whether the stream takes them, `tag` is new for each process:
    /// the ids of batches must be.
    #[must_use]
    pub fn new(nats: Nats, batches: bool, tag: [u8; 16]) -> Self {
        if !batches {
            tracing::warn!(
                "GANDER_CONTROL takes no atomic batches, since a build before has made it: many changes at a time are slower (docs/operating.md)"
            );
        }
        let tag = tag.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { nats, batches, tag, tries: AtomicU64::new(0) }
    }

    /// The connection.
    pub const fn nats(&self) -> &Nats {
        &self.nats
    }

    /// Stores commits that follow each other. `stored` is told how far that is, as it grows.
    ///
    /// # Errors
    /// Something else is stored at one of their numbers, or the process stops.
    pub async fn store(
        &self,
        commits: &[Sent],
        stop: &CancellationToken,
        mut stored: impl FnMut(u64),
    ) -> Result<(), Fatal> {
        let mut rest = commits;
        // So many go one by one, since nats-server has refused them as a batch.
        let mut refused = 0;
        while let Some(first) = rest.first() {
            let count = if self.batches && refused == 0 { together(rest) } else { 1 };
            let some = &rest[..count];
            let known = match self.send(some).await {
                Ok(last) if last + 1 == first.sequence + count as u64 => count,
                Ok(_) => return Err(Fatal::Diverged(first.sequence)),
                Err(error) => {
                    let (commit, next) = (first.sequence, Next::after(&error, count));
                    tracing::warn!(%error, commit, count, "commits are not relayed yet");
                    match next {
                        Next::Look => self.found(some).await?,
                        Next::OneByOne => {
                            refused = count;
                            continue;
                        }
                        Next::Again => 0,
                    }
                }
            };
            if known == 0 {
                tokio::select! {
                    () = tokio::time::sleep(BACK_OFF) => continue,
                    () = stop.cancelled() => return Err(Fatal::Stopping),
                }
            }
            refused = refused.saturating_sub(known);
            stored(first.sequence + known as u64 - 1);
            rest = &rest[known..];
        }
        Ok(())
    }

    /// Sends one or a batch; gives the number at which the last one is stored.
    async fn send(&self, commits: &[Sent]) -> Result<u64, Error> {
        let after = commits[0].sequence - 1;
        metrics::histogram!("gander_admin_relay_records").record(commits.len() as f64);
        if let [Sent { message, .. }] = commits {
            let (subject, payload) = (message.subject.clone(), message.payload.clone());
            let expect = Some(Expect::LastSequence(after));
            return self.nats.publish(subject, &[], payload, expect, DEADLINE).await;
        }
        // What was not answered may still come: under an id of its own, and refused if it is late.
        let id = format!("{}.{}", self.tag, self.tries.fetch_add(1, Ordering::Relaxed));
        let messages: Vec<_> = commits.iter().map(|commit| commit.message.clone()).collect();
        let first = self.nats.publish_batch_after(after, &id, &messages, DEADLINE).await?;
        Ok(first + messages.len() as u64 - 1)
    }

    /// How many of them, from the first on, are stored at their numbers.
    async fn found(&self, commits: &[Sent]) -> Result<usize, Fatal> {
        for (found, Sent { sequence, record, .. }) in commits.iter().enumerate() {
            match stored_record(&self.nats, *sequence).await {
                Ok(stored) if stored == *record => {}
                Ok(_) => return Err(Fatal::Diverged(*sequence)),
                // In a cluster a server that is behind may say that there is none: asked again.
                Err(error) => {
                    tracing::warn!(%error, commit = sequence, "it is not known what is there");
                    return Ok(found);
                }
            }
        }
        Ok(commits.len())
    }
}

/// What is done where commits are not known to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// What is stored at their numbers is looked at.
    Look,
    /// Each is sent by itself: nats-server does not take this batch, of which it has stored nothing.
    OneByOne,
    /// The same is sent again: it may be stored or not, and the fence keeps out the second.
    Again,
}

impl Next {
    fn after(error: &Error, count: usize) -> Self {
        match error {
            Error::Conflict(_) => Self::Look,
            Error::Refused { .. } if count > 1 => Self::OneByOne,
            Error::Refused { .. }
            | Error::Full
            | Error::TimedOut
            | Error::Lost
            | Error::Unreachable => Self::Again,
        }
    }
}

/// How many of these, from the first on, are sent together.
fn together(commits: &[Sent]) -> usize {
    let mut bytes = 0;
    let fits = commits.iter().take(MAX_MESSAGES).take_while(|commit| {
        bytes += commit.message.payload.len();
        bytes <= BATCH_BYTES
    });
    let count = fits.count();
    if count < BATCH { 1 } else { count }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(bytes: &[usize]) -> Vec<Sent> {
        let one = |(n, bytes): (usize, &usize)| {
            let payload = Bytes::from(vec![0; *bytes]);
            let message =
                Message { subject: String::new(), headers: vec![], payload, expect: None };
            Sent { sequence: n as u64 + 1, record: Bytes::new(), message }
        };
        bytes.iter().enumerate().map(one).collect()
    }

    #[test]
    fn many_go_together_as_far_as_a_batch_may_go() {
        let small = |count| together(&sent(&vec![100; count]));
        assert_eq!((small(1), small(BATCH - 1)), (1, 1), "a few go one by one");
        assert_eq!(small(BATCH), BATCH);
        assert_eq!((small(MAX_MESSAGES), small(2 * MAX_MESSAGES)), (MAX_MESSAGES, MAX_MESSAGES));
        let large = |count| together(&sent(&vec![BATCH_BYTES / 10; count]));
        assert_eq!((large(9), large(30)), (9, 10));
        assert_eq!(
            together(&sent(&[2 * BATCH_BYTES; 30])),
            1,
            "what is too large is sent all the same"
        );
    }

    #[test]
    fn after_each_answer_it_goes_on() {
        let refused = Error::Refused { code: 10_174, text: String::new() };
        assert_eq!(Next::after(&refused, 8), Next::OneByOne);
        assert_eq!(Next::after(&refused, 1), Next::Again);
        assert_eq!(Next::after(&Error::Conflict(String::new()), 8), Next::Look);
        for error in [Error::Full, Error::TimedOut, Error::Lost, Error::Unreachable] {
            assert_eq!(Next::after(&error, 8), Next::Again);
        }
    }
}
