//! The self-clocking commit loop into GANDER_ALERTS.
//!
//! Takes what is queued, puts it into one message, publishes, answers all when it is stored,
//! repeats. No timers, no thresholds: at rest a batch holds one record, under load hundreds, and
//! each costs one fsync. A batch is never sent twice: after a timeout the connection is dropped,
//! so that no late twin appears. Must not know what the records say.

use std::time::Duration;

use bytes::Bytes;
use domain::id::InstanceId;
use tokio::sync::{mpsc, oneshot};
use wire::partition::PartitionSet;
use wire::proto::gander::stored::v1::AlertRecord;
use wire::stored::alert::{Content, Record, encode_batch, record_to};
use wire::{header, subject};

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

struct Queued {
    record: AlertRecord,
    partitions: PartitionSet,
    bytes: usize,
    done: oneshot::Sender<Result<u64, publish::Error>>,
}

/// Hands records to the loop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ingest {
    queue: mpsc::Sender<Queued>,
}

/// How the loop runs.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The most records that wait.
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
        let (queue, receiver) = mpsc::channel(settings.queue);
        let run = run(broker, instance, settings, applied, receiver);
        (Self { queue }, run)
    }

    /// Stores a record; gives the sequence of its message.
    ///
    /// # Errors
    /// It is not known to be stored.
    pub async fn store(&self, record: Record, partitions: PartitionSet) -> Result<u64, Error> {
        let bytes = match &record.content {
            Content::Alert(alert) => alert.payload.len() + 256,
            Content::Resolve(_) | Content::Acknowledge(_) => 256,
        };
        let (done, stored) = oneshot::channel();
        let queued = Queued { record: record_to(record), partitions, bytes, done };
        let waiting = self.queue.max_capacity() - self.queue.capacity();
        metrics::gauge!("gander_ingest_queue_records").set(waiting as f64);
        self.queue.try_send(queued).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Error::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Error::Stopping,
        })?;
        Ok(stored.await.map_err(|_| Error::Stopping)??)
    }
}

async fn run(
    broker: impl Append,
    instance: InstanceId,
    settings: Settings,
    applied: impl Fn() -> u64,
    mut queue: mpsc::Receiver<Queued>,
) {
    while let Some(first) = queue.recv().await {
        let mut bytes = first.bytes;
        let mut batch = vec![first];
        while batch.len() < MAX_RECORDS && bytes < settings.message_bytes {
            match queue.try_recv() {
                Ok(next) => {
                    bytes += next.bytes;
                    batch.push(next);
                }
                Err(_) => break,
            }
        }
        metrics::histogram!("gander_ingest_batch_records").record(batch.len() as f64);
        metrics::gauge!("gander_ingest_queue_records").set(queue.len() as f64);
        commit(&broker, instance, settings.deadline, applied(), batch).await;
    }
}

async fn commit(
    broker: &impl Append,
    instance: InstanceId,
    deadline: Duration,
    applied: u64,
    batch: Vec<Queued>,
) {
    // Who has given up waiting was told 503: its record need not be stored.
    let batch = batch.into_iter().filter(|queued| !queued.done.is_closed());
    let mut partitions = PartitionSet::default();
    let (records, waiting): (Vec<_>, Vec<_>) = batch
        .map(|queued| {
            partitions = partitions.union(queued.partitions);
            (queued.record, queued.done)
        })
        .unzip();
    if waiting.is_empty() {
        return;
    }
    let message = encode_batch(applied, instance, records);
    let headers = [(header::PARTITIONS, format!("{:016x}", partitions.0))];
    let started = tokio::time::Instant::now();
    let stored = broker.append(&headers, message, deadline).await;
    metrics::histogram!("gander_ingest_commit_seconds").record(started.elapsed().as_secs_f64());
    if stored == Err(publish::Error::TimedOut) {
        tracing::warn!(
            records = waiting.len(),
            "alerts are not known to be stored: no answer in time"
        );
        broker.reconnect().await;
    }
    for done in waiting {
        let _ = done.send(stored.clone());
    }
}
