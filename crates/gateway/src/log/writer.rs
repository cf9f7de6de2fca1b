//! The task that writes parts into GANDER_APILOG.
//!
//! As the loop that stores alerts it takes what waits, writes it as one batch, repeats: each batch
//! costs one group of fsyncs, and there is never more than one under way. A batch whose answer is
//! missing is sent again: of two parts with one place the last one counts. Must not know what a
//! part says.

use std::sync::Arc;
use std::time::Duration;

use domain::id::InstanceId;
use runtime::nats::Nats;
use runtime::nats::batch::{self, MAX_MESSAGES};
use runtime::nats::publish;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use wire::{header, subject};

use super::lost::Lost;
use super::{Message, Queued};

/// About the most bytes of a batch; the part that goes over it is the last. On the same connection
/// alerts wait behind it.
const BATCH_BYTES: usize = 2 * 1024 * 1024;
/// About the bytes of a message beside its payload.
const OVERHEAD: usize = 256;
/// How long a batch may take to be stored.
const DEADLINE: Duration = Duration::from_secs(2);
/// How long a batch is tried.
const GIVE_UP: Duration = Duration::from_secs(30);
/// How often a batch is tried that the broker refuses.
const REFUSALS: u32 = 5;
const BACK_OFF: Duration = Duration::from_millis(200);
/// The value of [`header::PART`] for what a gateway tells.
const CALL: &str = "call";

/// Writes what is queued.
pub struct Writer {
    nats: Nats,
    me: InstanceId,
    queue: mpsc::Receiver<Queued>,
    lost: Arc<Lost>,
    /// Parts of the batch that is under way.
    in_hand: usize,
    attempts: u64,
}

impl Writer {
    /// Writes what comes out of the queue.
    pub fn new(nats: Nats, me: InstanceId, queue: mpsc::Receiver<Queued>, lost: Arc<Lost>) -> Self {
        Self { nats, me, queue, lost, in_hand: 0, attempts: 0 }
    }

    /// Writes until nobody can queue anything any more and the queue is empty.
    pub async fn run(mut self) {
        while let Some(first) = self.queue.recv().await {
            let batch = self.gather(first);
            let messages: Vec<_> = batch.iter().map(|queued| message(&queued.message)).collect();
            self.in_hand = messages.len();
            let written = self.write(&messages).await;
            self.in_hand = 0;
            if let Err(error) = written {
                tracing::warn!(%error, "a batch of the API log is given up");
                self.lost.add(count(messages.len()));
            }
        }
    }

    fn gather(&mut self, first: Queued) -> Vec<Queued> {
        let mut bytes = first.message.payload.len() + OVERHEAD;
        let mut batch = vec![first];
        while batch.len() < MAX_MESSAGES && bytes < BATCH_BYTES {
            let Ok(next) = self.queue.try_recv() else {
                break;
            };
            bytes += next.message.payload.len() + OVERHEAD;
            batch.push(next);
        }
        batch
    }

    /// Tries as long as there is hope.
    async fn write(&mut self, messages: &[batch::Message]) -> Result<(), publish::Error> {
        let begun = Instant::now();
        let mut refusals = 0;
        loop {
            self.attempts += 1;
            let id = format!("{}.log.{}", self.me, self.attempts);
            let Err(error) = self.nats.publish_batch(&id, messages, DEADLINE).await else {
                return Ok(());
            };
            refusals += u32::from(matches!(error, publish::Error::Refused { .. }));
            if begun.elapsed() >= GIVE_UP || refusals >= REFUSALS {
                return Err(error);
            }
            sleep(BACK_OFF).await;
        }
    }
}

/// What is not written when the process stops at once is lost.
impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.close();
        let mut parts = self.in_hand;
        while self.queue.try_recv().is_ok() {
            parts += 1;
        }
        if parts > 0 {
            self.lost.add(count(parts));
        }
        self.lost.tell();
    }
}

fn count(parts: usize) -> u64 {
    u64::try_from(parts).unwrap_or(u64::MAX)
}

fn message(part: &Message) -> batch::Message {
    batch::Message {
        subject: subject::apilog(part.token),
        headers: vec![(header::ALERT, part.alert.to_string()), (header::PART, CALL.to_owned())],
        payload: part.payload.clone(),
        expect: None,
    }
}
