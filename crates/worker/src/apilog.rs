//! Writing to the API log what a commit tells of tracked alerts, before the commit is stored: what
//! is committed is told, and what is told and then not committed is told anew by whoever folds it.
//!
//! The log never stops a partition: what cannot be written is counted and lost. Must not know how
//! reasons are made.

use std::collections::BTreeMap;
use std::time::Duration;

use runtime::nats::batch::{MAX_MESSAGES, Message};
use runtime::nats::publish;
use tokio::time::Instant;
use wire::proto::gander::stored::v1::ReasonsPart;
use wire::stored::apilog::{LogPart, Part};
use wire::{Partition, header, subject};

use crate::broker::Broker;
use crate::commit::hex;
use crate::reasons::Told;
use crate::takeover::Owned;

/// Shorter than that of a commit, which waits for it.
const DEADLINE: Duration = Duration::from_millis(500);
const ATTEMPTS: u32 = 2;
/// After a loss nothing is written for so long: commits, also of alerts that nobody tracks, must not
/// wait for a log that takes nothing.
const PAUSE: Duration = Duration::from_secs(5);
/// How often losses are logged at most.
const QUIET: Duration = Duration::from_secs(1);

/// Parts that were not, or not known to be, written.
#[derive(Debug)]
pub struct Lost {
    /// How many.
    pub parts: usize,
    /// Why.
    pub error: publish::Error,
}

/// The messages of these parts, told by the owner of their partitions with this view of the
/// configuration.
pub fn messages(
    told: Vec<Told>,
    owned: &BTreeMap<Partition, Owned>,
    control_sequence: u64,
) -> Vec<Message> {
    let with_epoch = |told: Told| {
        let epoch = owned.get(&Partition(told.part.partition))?.epoch;
        Some(message(told, epoch, control_sequence))
    };
    told.into_iter().filter_map(with_epoch).collect()
}

/// What is told, with what its owner knows.
pub fn part(told: Told, epoch: u64, control_sequence: u64) -> LogPart {
    let part = ReasonsPart { control_sequence, epoch, ..told.part };
    LogPart { alert: told.alert, token: told.token, part: Part::Reasons(part) }
}

fn message(told: Told, epoch: u64, control_sequence: u64) -> Message {
    let headers =
        vec![(header::ALERT, told.alert.to_string()), (header::PART, "reasons".to_owned())];
    let subject = subject::apilog(told.token);
    let payload = part(told, epoch, control_sequence).encode();
    Message { subject, headers, payload, expect: None }
}

/// Writes them. A batch is tried a second time, which does no harm where the first one was written
/// all the same; after a batch that is lost the rest is lost too, so that the commit need not wait.
pub async fn write(
    broker: &impl Broker,
    messages: &[Message],
    commit: [u8; 16],
) -> Result<(), Lost> {
    let mut left = messages.len();
    for (n, batch) in messages.chunks(MAX_MESSAGES).enumerate() {
        let id = format!("{}.log.{n}", hex(commit));
        if let Err(error) = write_batch(broker, batch, &id).await {
            return Err(Lost { parts: left, error });
        }
        left -= batch.len();
    }
    Ok(())
}

async fn write_batch(
    broker: &impl Broker,
    batch: &[Message],
    id: &str,
) -> Result<(), publish::Error> {
    let mut written = Ok(());
    for attempt in 0..ATTEMPTS {
        let id = format!("{id}.{attempt}");
        written = broker.publish_batch(&id, batch, DEADLINE).await.map(|_| ());
        if written.is_ok() {
            break;
        }
    }
    written
}

/// What was lost, told now and then.
#[derive(Debug)]
pub struct Losses {
    /// For how long nothing is written after a loss.
    pub pause: Duration,
    told: Option<Instant>,
    last: Option<Instant>,
}

impl Default for Losses {
    fn default() -> Self {
        Self { pause: PAUSE, told: None, last: None }
    }
}

impl Losses {
    /// Whether something was lost just now, so that nothing more is to be written.
    pub fn pauses(&self) -> bool {
        self.last.is_some_and(|last| last.elapsed() < self.pause)
    }

    /// Counts what was not written because of an earlier loss.
    pub fn pass(&self, parts: usize) {
        metrics::counter!("gander_api_log_lost_parts_total").increment(parts as u64);
    }

    /// Counts what was lost, and logs it unless that was done just before.
    pub fn note(&mut self, lost: &Lost) {
        self.pass(lost.parts);
        let now = Instant::now();
        self.last = Some(now);
        if self.told.is_some_and(|told| now.duration_since(told) < QUIET) {
            return;
        }
        self.told = Some(now);
        tracing::warn!(
            parts = lost.parts,
            error = %lost.error,
            "parts of the API log are lost; the alerts are worked on all the same"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_a_loss_nothing_is_written_for_a_while() {
        let mut losses = Losses::default();
        assert!(!losses.pauses());
        losses.note(&Lost { parts: 3, error: publish::Error::Unreachable });
        assert!(losses.pauses());
        tokio::time::advance(PAUSE).await;
        assert!(!losses.pauses());
    }
}
