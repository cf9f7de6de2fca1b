//! Storing what was folded: one atomic batch, fenced for each partition in it.
//!
//! Must not know how it was folded. After a timeout the same messages are sent again under the
//! same fences; whose batch the checkpoint names tells whether one of them was stored.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use domain::id::InstanceId;
use domain::incident::Incident;
use runtime::nats::batch::Message;
use runtime::nats::publish;
use tokio_util::sync::CancellationToken;
use wire::Partition;
use wire::event::IncidentEvent;
use wire::stored::worker::{Checkpoint, encode_outcomes, encode_state};
use wire::{header, subject};

use crate::broker::Broker;
use crate::fold::Changes;
use crate::takeover::Owned;

const DEADLINE: Duration = Duration::from_secs(5);
const BACK_OFF: Duration = Duration::from_millis(100);
/// How long events are kept for subscribers: 90 days.
const EVENT_TTL: &str = "7776000s";
/// How long the state of a closed incident is kept: an hour longer than it is remembered.
const CLOSED_STATE_TTL: &str = "90000s";
/// Outcomes in one message.
const OUTCOMES: usize = 500;

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It is stored.
    Stored,
    /// A fence did not hold: somebody else owns one of the partitions.
    FenceLost,
    /// The process stops before it is known.
    Stopping,
}

/// Who commits.
#[derive(Clone, Copy, Debug)]
pub struct Committer<'a, B> {
    /// Where it is stored.
    pub broker: &'a B,
    /// The worker.
    pub me: InstanceId,
    /// The identity of the input stream.
    pub input_identity: i64,
    /// The control sequence that the fold used.
    pub control_sequence: u64,
}

impl<B: Broker> Committer<'_, B> {
    /// Stores the changes and the places of the touched partitions, all or none.
    pub async fn commit(
        &self,
        owned: &mut BTreeMap<Partition, Owned>,
        changes: &Changes,
        batch: [u8; 16],
        hard: &CancellationToken,
    ) -> Committed {
        let messages = self.messages(owned, changes, batch);
        let started = tokio::time::Instant::now();
        let stored = tokio::select! {
            stored = self.store(changes, &messages, batch) => stored,
            () = hard.cancelled() => return Committed::Stopping,
        };
        metrics::histogram!("gander_worker_commit_seconds").record(started.elapsed().as_secs_f64());
        metrics::histogram!("gander_worker_commit_messages").record(messages.len() as f64);
        let Some(first) = stored else {
            return Committed::FenceLost;
        };
        for (n, partition) in changes.touched.iter().enumerate() {
            if let Some(owned) = owned.get_mut(partition) {
                owned.fence = first + n as u64;
                owned.control_sequence = self.control_sequence;
                owned.stored = owned.state.position;
            }
        }
        Committed::Stored
    }

    fn messages(
        &self,
        owned: &BTreeMap<Partition, Owned>,
        changes: &Changes,
        batch: [u8; 16],
    ) -> Vec<Message> {
        let touched = changes.touched.iter().filter_map(|partition| owned.get(partition));
        let checkpoints = touched.map(|owned| self.checkpoint(owned, batch));
        let parked = changes.parked.iter().map(|(partition, parked)| {
            message(subject::parked(*partition), vec![], parked.clone().encode())
        });
        let events = changes.events.iter().map(event);
        let states = changes.dirty.iter().filter_map(|(partition, id)| {
            let incident = owned.get(partition)?.state.incidents.get(*id)?;
            Some(state(*partition, incident))
        });
        checkpoints.chain(parked).chain(events).chain(states).collect()
    }

    fn checkpoint(&self, owned: &Owned, batch: [u8; 16]) -> Message {
        let checkpoint = Checkpoint {
            epoch: owned.epoch,
            owner: self.me,
            batch,
            input_identity: self.input_identity,
            position: owned.state.position,
            control_sequence: self.control_sequence,
            totals: owned.state.totals,
        };
        let headers = vec![(header::ROLLUP, "sub".to_owned())];
        Message {
            expect: Some(owned.fence),
            ..message(subject::checkpoint(owned.state.partition), headers, checkpoint.encode())
        }
    }

    /// The sequence of the first message once it is stored; none if a fence did not hold.
    async fn store(&self, changes: &Changes, messages: &[Message], batch: [u8; 16]) -> Option<u64> {
        let first = *changes.touched.first()?;
        let hex = hex(batch);
        for attempt in 0_u64.. {
            if attempt > 0 {
                tokio::time::sleep(BACK_OFF).await;
                if let Some(stored) = self.found(first, batch).await {
                    return stored;
                }
            }
            let id = format!("{hex}.{attempt}");
            match self.broker.publish_batch(&id, messages, DEADLINE).await {
                Ok(first) => return Some(first),
                Err(publish::Error::Conflict(_)) => match self.found(first, batch).await {
                    Some(stored) => return stored,
                    None if attempt == 0 => {}
                    None => return None,
                },
                Err(error) => tracing::warn!(%error, attempt, "a commit is sent again"),
            }
        }
        None
    }

    /// Reads the checkpoint from the leader: `Some(Some(sequence))` if this batch wrote it,
    /// `Some(None)` if another owner did, `None` if neither or if it cannot be read.
    async fn found(&self, partition: Partition, batch: [u8; 16]) -> Option<Option<u64>> {
        let subject = subject::checkpoint(partition);
        let message = self.broker.last_of(subject::INCIDENTS_STREAM, &subject).await.ok()??;
        let checkpoint = Checkpoint::decode(&message.payload).ok()?;
        if checkpoint.batch == batch {
            return Some(Some(message.sequence));
        }
        (checkpoint.owner != self.me).then_some(None)
    }

    /// Tells who waits what became of their records. After the commit only.
    pub async fn tell(&self, changes: &Changes) {
        for (instance, outcomes) in &changes.outcomes {
            for some in outcomes.chunks(OUTCOMES) {
                self.broker.send(subject::outcomes(*instance), encode_outcomes(some)).await;
            }
        }
    }
}

/// Bytes as hex digits, for the ids of batches.
pub fn hex(bytes: [u8; 16]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn message(
    subject: String,
    headers: Vec<(&'static str, String)>,
    payload: bytes::Bytes,
) -> Message {
    Message { subject, headers, payload, expect: None }
}

fn event(event: &IncidentEvent) -> Message {
    let opening = &event.incident.opening;
    let mut headers = event.headers();
    headers.push((header::INCIDENT, opening.id.to_string()));
    headers.push((header::TTL, EVENT_TTL.to_owned()));
    message(subject::event(event.kind, opening.team, opening.service), headers, event.data())
}

fn state(partition: Partition, incident: &Incident) -> Message {
    let mut headers = vec![(header::ROLLUP, "sub".to_owned())];
    if !incident.is_open() {
        headers.push((header::TTL, CLOSED_STATE_TTL.to_owned()));
    }
    message(subject::state(partition, incident.state_key()), headers, encode_state(incident))
}
