//! Taking a partition: first the fence, then its state, then the checks that nothing is skipped.
//!
//! Must not know why it is taken.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::id::InstanceId;
use domain::incident::Totals;
use runtime::nats::publish::{self, Expect};
use runtime::nats::{self, Start};
use wire::Partition;
use wire::stored::worker::{Checkpoint, Position, decode_state};
use wire::{header, stored, subject};

use crate::broker::Broker;
use crate::fold::PartitionState;

const DEADLINE: Duration = Duration::from_secs(3);
/// How often a stream that ends too early is asked for its end, and after which pause.
const TRIES: u32 = 10;
/// How often states are read before some are called lost: it takes long where some cannot be read.
const READS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// A partition that this worker owns.
#[derive(Debug)]
pub struct Owned {
    /// Its state.
    pub state: PartitionState,
    /// How often it has been taken over.
    pub epoch: u64,
    /// The sequence of its checkpoint: whoever has moved it on owns the partition.
    pub fence: u64,
    /// The control sequence that its last commit used.
    pub control_sequence: u64,
    /// The position that is stored.
    pub stored: Position,
}

/// Why a partition is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else took it meanwhile, or the broker does not answer: try again.
    #[error("partition not taken: {0}")]
    Publish(#[from] publish::Error),
    /// The broker does not answer: try again.
    #[error(transparent)]
    Nats(#[from] nats::Error),
    /// Something that was stored cannot be read: a person must look at it.
    #[error("partition {partition}: {what} cannot be read (docs/broken-files.md)")]
    Stored {
        /// The partition.
        partition: u32,
        /// What.
        what: &'static str,
        /// Why.
        source: stored::Error,
    },
    /// Going on could open incidents that are open already: a person must look at it.
    #[error(
        "partition {partition}: nats-server cannot read {lost} states of incidents, its store is damaged: restore a backup (docs/broken-files.md)"
    )]
    StatesLost {
        /// The partition.
        partition: u32,
        /// How many.
        lost: u64,
    },
    /// Going on would skip alerts: a person must look at it.
    #[error("partition {partition} would skip alerts: {reason} (docs/broken-files.md)")]
    WouldSkip {
        /// The partition.
        partition: u32,
        /// Why.
        reason: String,
    },
}

impl Error {
    /// Whether trying again can help.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Publish(_) | Self::Nats(_))
    }
}

impl Error {
    /// Whether another worker wants the same partition.
    pub const fn is_conflict(&self) -> bool {
        matches!(self, Self::Publish(publish::Error::Conflict(_)))
    }
}

/// Who takes it, of which input.
#[derive(Clone, Copy, Debug)]
pub struct Taker {
    /// The worker.
    pub me: InstanceId,
    /// The identity of the input stream.
    pub input_identity: i64,
}

/// Takes a partition: rewrites its checkpoint under the fence, which puts the old owner out, loads
/// its incidents, and checks that the input goes on where they end. `batch` is a fresh id.
///
/// # Errors
/// See [`Error`].
pub async fn take(
    broker: &impl Broker,
    taker: Taker,
    partition: Partition,
    batch: [u8; 16],
) -> Result<Owned, Error> {
    let subject = subject::checkpoint(partition);
    let found = broker.last_of(subject::INCIDENTS_STREAM, &subject).await?;
    let before = match &found {
        None => None,
        Some(message) => Some(decode(partition, &message.payload)?),
    };
    let checkpoint = rewritten(taker, before, batch);
    let last = found.map_or(0, |message| message.sequence);
    let fence = write(broker, partition, &checkpoint, last).await?;
    let mut state = PartitionState::new(partition);
    state.position = checkpoint.position;
    state.totals = checkpoint.totals;
    for message in read_states(broker, partition, fence).await? {
        let incident = decode_state(&message.payload).map_err(|source| Error::Stored {
            partition: partition.0,
            what: "the state of an incident",
            source,
        })?;
        state.incidents.put(incident);
    }
    state.incidents.forget_contents();
    check_input(broker, taker, partition, &checkpoint, fence).await?;
    Ok(Owned {
        state,
        epoch: checkpoint.epoch,
        fence,
        control_sequence: checkpoint.control_sequence,
        stored: checkpoint.position,
    })
}

/// The states of incidents. A message that nats-server cannot read any more is passed over by its
/// consumers, and in a cluster they may read from a server that is behind. While the fence holds
/// nobody adds a state: where the newest state that the leader has is read, all before it are, and
/// perhaps some that have expired since.
async fn read_states(
    broker: &impl Broker,
    partition: Partition,
    fence: u64,
) -> Result<Vec<nats::Message>, Error> {
    let (stream, states) = (subject::INCIDENTS_STREAM, subject::states_of(partition));
    let mut lost = 0;
    for tried in 1..=TRIES {
        let found = broker.read_all(stream, &states, Start::LastOfEachSubject).await?;
        // Read from a server that catches up, a state comes again where it has changed.
        let found: BTreeMap<_, _> = found.into_iter().map(|m| (m.subject.clone(), m)).collect();
        let (last, there) = broker.count(stream, &states).await?;
        lost = unread(broker, stream, &found, &there).await?;
        let newest = match broker.last_of(stream, &states).await {
            Ok(newest) => newest.map_or(0, |newest| newest.sequence),
            Err(error) if lost == 0 => return Err(error.into()),
            // It is perhaps the one that cannot be read.
            Err(_) => 0,
        };
        let read = found.values().map(|message| message.sequence).max().unwrap_or(0);
        let is_behind = last < fence || read < newest;
        if lost == 0 && !is_behind {
            return Ok(found.into_values().collect());
        }
        let owner = broker.last_of(stream, &subject::checkpoint(partition)).await?;
        if owner.is_none_or(|owner| owner.sequence != fence) {
            return Err(taken_meanwhile());
        }
        if !is_behind && tried >= READS {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    match lost {
        0 => Err(nats::Error::Request("a server of the cluster is behind".to_owned()).into()),
        lost => Err(Error::StatesLost { partition: partition.0, lost }),
    }
}

fn taken_meanwhile() -> Error {
    publish::Error::Conflict("another worker has taken it meanwhile".to_owned()).into()
}

/// How many subjects have a state that was not read, or another one than the newest. There may be an
/// older one beside it: on a full disk nats-server cannot remove what a newer one replaces.
async fn unread(
    broker: &impl Broker,
    stream: &str,
    found: &BTreeMap<String, nats::Message>,
    there: &BTreeMap<String, u64>,
) -> Result<u64, Error> {
    let mut unread = 0;
    for (subject, messages) in there {
        let newest = match found.get(subject) {
            Some(read) if *messages > 1 => match broker.last_of(stream, subject).await {
                Ok(newest) => newest.is_none_or(|newest| newest.sequence <= read.sequence),
                // It is perhaps the one that cannot be read.
                Err(_) => false,
            },
            Some(_) => true,
            None => false,
        };
        unread += u64::from(!newest);
    }
    Ok(unread)
}

/// The checkpoint of the next epoch. The input stays the one that it was: the taker's own is
/// written only where there was none, so that a changed stream shows at every attempt.
fn rewritten(taker: Taker, before: Option<Checkpoint>, batch: [u8; 16]) -> Checkpoint {
    let before = before.unwrap_or_else(|| Checkpoint {
        epoch: 0,
        owner: taker.me,
        batch,
        input_identity: taker.input_identity,
        position: Position::default(),
        control_sequence: 0,
        totals: Totals::default(),
    });
    Checkpoint { epoch: before.epoch + 1, owner: taker.me, batch, ..before }
}

fn decode(partition: Partition, bytes: &bytes::Bytes) -> Result<Checkpoint, Error> {
    Checkpoint::decode(bytes).map_err(|source| Error::Stored {
        partition: partition.0,
        what: "the checkpoint",
        source,
    })
}

/// Only under the fence: while it holds nobody purges beyond this position.
async fn check_input(
    broker: &impl Broker,
    taker: Taker,
    partition: Partition,
    checkpoint: &Checkpoint,
    fence: u64,
) -> Result<(), Error> {
    let skip = |reason: String| Error::WouldSkip { partition: partition.0, reason };
    if checkpoint.input_identity != taker.input_identity {
        return Err(skip(format!("stream {} is not the one it was", subject::ALERTS_STREAM)));
    }
    let position = checkpoint.position.sequence;
    let (mut first, mut last) = broker.bounds(subject::ALERTS_STREAM).await?;
    // One that led its cluster may answer once more before it learns that it does not any more.
    for _ in 1..TRIES {
        if position <= last {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        (first, last) = broker.bounds(subject::ALERTS_STREAM).await?;
    }
    if position > last {
        return Err(skip(format!("it has done message {position}, the last one is {last}")));
    }
    if first > position + 1 {
        // Who has taken it since may have gone on, and purged what is done. A checkpoint that cannot be read
        // is none: that is damage, and must be told.
        let checkpoint = subject::checkpoint(partition);
        let owner = broker.last_of(subject::INCIDENTS_STREAM, &checkpoint).await;
        if owner.is_ok_and(|owner| owner.is_some_and(|owner| owner.sequence > fence)) {
            return Err(taken_meanwhile());
        }
        return Err(skip(format!("it has done message {position}, the first one left is {first}")));
    }
    Ok(())
}

async fn write(
    broker: &impl Broker,
    partition: Partition,
    checkpoint: &Checkpoint,
    last: u64,
) -> Result<u64, Error> {
    let subject = subject::checkpoint(partition);
    let headers = [(header::ROLLUP, "sub".to_owned())];
    let expect = Some(Expect::LastSubjectSequence(last));
    let written =
        broker.publish(subject.clone(), &headers, checkpoint.encode(), expect, DEADLINE).await;
    match written {
        Ok(sequence) => Ok(sequence),
        Err(
            error @ (publish::Error::TimedOut | publish::Error::Lost | publish::Error::Conflict(_)),
        ) => {
            // It may have been stored all the same: it is mine if it says so.
            match broker.last_of(subject::INCIDENTS_STREAM, &subject).await? {
                Some(found) if decode(partition, &found.payload)?.batch == checkpoint.batch => {
                    Ok(found.sequence)
                }
                Some(_) | None => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}
