//! The self-clocking commit loop into GANDER_ALERTS.
//!
//! - [`fair`]: what waits, fair between tokens. [`pace`]: how much of it is stored in time.
//!
//! Takes what is queued, puts it into one message, publishes, answers all when it is stored,
//! repeats. No timers, no thresholds: at rest a batch holds one record, under load hundreds, and
//! each costs one fsync. A batch is never sent twice. After a timeout the connection is dropped: where
//! it was at fault, the next batch does not wait for it. Must not know what the records say.

mod fair;
mod pace;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use domain::id::{InstanceId, TokenId};
use metrics::Gauge;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use wire::partition::PartitionSet;
use wire::proto::gander::stored::v1::AlertRecord;
use wire::stored::alert::{Content, Record, encode_batch, record_to};
use wire::{header, subject};

use self::fair::Fair;
use self::pace::Pace;
use crate::nats::publish;
use crate::nats::{Headers, Nats};

/// The most records in one message.
const MAX_RECORDS: usize = 1_000;

/// What the loop needs of the broker: a seam, so that a model with faults can stand in.
pub trait Append: Send + Sync + 'static {
    /// Appends a message to GANDER_ALERTS; gives its sequence once it is stored.
    fn append(
        &self,
        headers: Headers<'_>,
        payload: Bytes,
        deadline: Duration,
    ) -> impl Future<Output = Result<u64, publish::Error>> + Send;

    /// Drops the connection and makes a new one.
    fn reconnect(&self) -> impl Future<Output = ()> + Send;
}

impl Append for Nats {
    async fn append(
        &self,
        headers: Headers<'_>,
        payload: Bytes,
        deadline: Duration,
    ) -> Result<u64, publish::Error> {
        self.publish(subject::ALERTS.to_owned(), headers, payload, None, deadline).await
    }

    async fn reconnect(&self) {
        Self::reconnect(self).await;
    }
}

/// Why a record is not known to be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too many records wait already.
    #[error("too many records wait to be stored")]
    Overloaded,
    /// The process stops.
    #[error("the process stops")]
    Stopping,
    /// The broker did not store it, or did not say so.
    #[error(transparent)]
    Broker(#[from] publish::Error),
}

type Stored = Result<u64, Error>;

struct Queued {
    record: AlertRecord,
    partitions: PartitionSet,
    since: Instant,
    /// What it takes, counted elsewhere; given back when it leaves the queue.
    _held: Box<dyn Send>,
    done: oneshot::Sender<Stored>,
}

/// Who shares the queue fairly: tokens, and all operators together.
type Line = Option<TokenId>;

struct Waiting {
    /// Boxed: a record is large, and a line that grows moves all that wait in it.
    queue: Fair<Line, Box<Queued>>,
    pace: Pace,
    /// Tells how many records wait; looked up once, not for each of them.
    told: Gauge,
}

/// Hands records to the loop. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    waiting: Arc<Mutex<Waiting>>,
    /// Rung after something was put into the queue.
    bell: mpsc::Sender<()>,
    most: usize,
}

/// How the loop runs.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The most records that wait; one token has at most half of it.
    pub queue: usize,
    /// How long a message may take to be stored.
    pub deadline: Duration,
    /// About the most bytes of records in one message; the record that goes over it is the last.
    pub message_bytes: usize,
}

impl Ingest {
    /// Starts the loop; it ends when all handles are gone. `applied` tells the control sequence
    /// that this process has applied.
    pub fn start(
        broker: impl Append,
        instance: InstanceId,
        settings: Settings,
        applied: impl Fn() -> u64 + Send + 'static,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let pace = Pace::new(settings.deadline, settings.message_bytes, MAX_RECORDS);
        let waiting = Arc::new(Mutex::new(Waiting {
            queue: Fair::default(),
            pace,
            told: metrics::gauge!("gander_ingest_queue_records"),
        }));
        let (bell, rung) = mpsc::channel(1);
        let end = End(Arc::clone(&waiting));
        let run = run(broker, instance, settings.deadline, applied, end, rung);
        (Self { waiting, bell, most: settings.queue }, run)
    }

    /// Whether an alert of this token would find room in the queue.
    #[must_use]
    pub fn has_room(&self, token: TokenId) -> bool {
        let waiting = lock(&self.waiting);
        waiting.queue.has_room(Some(token), waiting.pace.room(self.most))
    }

    /// Stores a record; gives the sequence of its message. `held` is dropped once it has left the queue,
    /// which may be after nobody waits for this any more.
    ///
    /// # Errors
    /// It is not known to be stored.
    pub async fn store(
        &self,
        record: Record,
        partitions: PartitionSet,
        held: impl Send + 'static,
    ) -> Result<u64, Error> {
        let (line, bytes) = match &record.content {
            Content::Alert(alert) => {
                let from = alert.from.as_ref().map_or(0, String::len);
                (Some(alert.token), alert.payload.len() + from + 256)
            }
            Content::Resolve(_) | Content::Acknowledge(_) => (None, 256),
        };
        let (done, stored) = oneshot::channel();
        let (record, since) = (record_to(record), Instant::now());
        let queued = Queued { record, partitions, since, _held: Box::new(held), done };
        self.push(line, bytes, Box::new(queued))?;
        if let Err(mpsc::error::TrySendError::Closed(())) = self.bell.try_send(()) {
            return Err(Error::Stopping);
        }
        stored.await.map_err(|_| Error::Stopping)?
    }

    fn push(&self, line: Line, bytes: usize, queued: Box<Queued>) -> Result<(), Error> {
        let mut waiting = lock(&self.waiting);
        if !waiting.queue.has_room(line, waiting.pace.room(self.most)) {
            return Err(Error::Overloaded);
        }
        waiting.queue.push(line, bytes, queued);
        waiting.told.set(waiting.queue.len() as f64);
        drop(waiting);
        Ok(())
    }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().expect("no holder of this lock panics")
}

/// The end of the queue that the loop holds. Dropped, nobody waits for what is still in it.
struct End(Arc<Mutex<Waiting>>);

impl Drop for End {
    fn drop(&mut self) {
        lock(&self.0).queue = Fair::default();
    }
}

impl End {
    /// What goes into the next message, with its bytes. What cannot be stored in time any more is
    /// refused: sent all the same, it would only make others late.
    fn take(&self) -> (Vec<Queued>, usize) {
        let now = Instant::now();
        let mut waiting = lock(&self.0);
        let most = waiting.queue.len().min(MAX_RECORDS);
        let (mut batch, mut late, mut bytes) = (Vec::with_capacity(most), vec![], 0);
        while batch.len() < MAX_RECORDS && bytes < waiting.pace.message() {
            let Some((length, queued)) = waiting.queue.pop() else { break };
            // Who has given up waiting was told 503: its record need not be stored.
            if queued.done.is_closed() {
                continue;
            }
            if waiting.pace.is_too_late(now.duration_since(queued.since)) {
                late.push(queued.done);
                continue;
            }
            bytes += length;
            batch.push(*queued);
        }
        waiting.told.set(waiting.queue.len() as f64);
        drop(waiting);
        for done in late {
            let _ = done.send(Err(Error::Overloaded));
        }
        (batch, bytes)
    }

    /// Learns from a message.
    fn learn(
        &self,
        stored: &Result<u64, publish::Error>,
        bytes: usize,
        records: usize,
        took: Duration,
    ) {
        let mut waiting = lock(&self.0);
        match stored {
            Ok(_) => waiting.pace.stored(bytes, records, took),
            Err(publish::Error::TimedOut) => waiting.pace.timed_out(bytes),
            Err(
                publish::Error::Conflict(_)
                | publish::Error::Full
                | publish::Error::Lost
                | publish::Error::Unreachable
                | publish::Error::Refused { .. },
            ) => {}
        }
    }
}

async fn run(
    broker: impl Append,
    instance: InstanceId,
    deadline: Duration,
    applied: impl Fn() -> u64,
    end: End,
    mut rung: mpsc::Receiver<()>,
) {
    while rung.recv().await.is_some() {
        loop {
            let (batch, bytes) = end.take();
            if batch.is_empty() {
                break;
            }
            let records = batch.len();
            metrics::histogram!("gander_ingest_batch_records").record(records as f64);
            let started = Instant::now();
            let stored = commit(&broker, instance, deadline, applied(), batch).await;
            end.learn(&stored, bytes, records, started.elapsed());
        }
    }
}

async fn commit(
    broker: &impl Append,
    instance: InstanceId,
    deadline: Duration,
    applied: u64,
    batch: Vec<Queued>,
) -> Result<u64, publish::Error> {
    let (mut partitions, mut waiting) = (PartitionSet::default(), Vec::with_capacity(batch.len()));
    let take = |queued: Queued| {
        partitions = partitions.union(queued.partitions);
        waiting.push(queued.done);
        queued.record
    };
    let records: Vec<_> = batch.into_iter().map(take).collect();
    let message = encode_batch(applied, instance, records);
    let headers = [(header::PARTITIONS, format!("{:016x}", partitions.0))];
    let started = Instant::now();
    let stored = broker.append(&headers, message, deadline).await;
    metrics::histogram!("gander_ingest_commit_seconds").record(started.elapsed().as_secs_f64());
    let count = waiting.len();
    for done in waiting {
        let _ = done.send(stored.clone().map_err(Error::from));
    }
    if stored == Err(publish::Error::TimedOut) {
        tracing::warn!(records = count, "alerts are not known to be stored: no answer in time");
        broker.reconnect().await;
    }
    stored
}
