//! The loop of a worker: take partitions, read, fold, commit, tell; repeat.
//!
//! One task owns everything, so that nothing is shared. Must not know how any of it is done.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use domain::id::InstanceId;
use runtime::clock::Clock;
use runtime::lifecycle::Shutdown;
use runtime::nats::batch::MAX_MESSAGES;
use runtime::nats::members::{BEAT, Members, Role};
use runtime::nats::streams::Streams;
use runtime::nats::{self, Message, Nats, Reader, Start};
use runtime::ops::Checks;
use runtime::random::{Random, id_bytes};
use runtime::view::{self, Follower};
use tokio::time::{Instant, MissedTickBehavior, interval};
use wire::stored::alert::decode_batch;
use wire::stored::worker::Checkpoint;
use wire::{Partition, subject};

use crate::catalog::Catalog;
use crate::commit::{Committed, Committer};
use crate::fold::{Changes, Folding, Input, Room};
use crate::membership::wanted;
use crate::takeover::{self, Owned, Taker, take};

/// The most messages read ahead of the fold.
const READ_AHEAD: usize = 64;
/// About the most bytes of a commit.
const MAX_COMMIT_BYTES: usize = 8 * 1024 * 1024;
const IDLE_CHECKPOINT: Duration = Duration::from_secs(1);
const PURGE: Duration = Duration::from_secs(5);
/// After a fence was lost, the other worker is given this long to show itself.
const GRACE: Duration = Duration::from_millis(500);

/// What a worker needs from outside.
#[derive(Clone)]
pub struct Config {
    /// The clock; only for ids, never for rules.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for ids.
    pub random: Arc<dyn Random>,
    /// Where readiness is told.
    pub checks: Checks,
}

/// Why a worker stops: a person must look at it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A partition cannot be owned without risk.
    #[error(transparent)]
    Takeover(#[from] takeover::Error),
    /// The configuration cannot be followed.
    #[error(transparent)]
    View(#[from] view::Error),
    /// The broker cannot be reached at the start.
    #[error(transparent)]
    Nats(#[from] nats::Error),
}

/// Runs a worker until it is asked to stop.
///
/// # Errors
/// See [`Error`].
pub async fn run(
    config: Config,
    nats: Nats,
    streams: Streams,
    shutdown: Shutdown,
) -> Result<(), Error> {
    let me = InstanceId::from_bytes(id_bytes(config.clock.now(), &*config.random));
    let members = nats.members(Role::Worker).await?;
    let (follower, directory) = Follower::start(&nats).await?;
    let mut worker = Worker {
        config,
        streams,
        me,
        members,
        follower,
        catalog: Catalog::of(&directory),
        owned: BTreeMap::new(),
        reader: None,
        waiting: VecDeque::new(),
        sweep: true,
        take_after: Instant::now(),
        last_input: 0,
        nats,
    };
    let beat = tokio::spawn(beat(worker.nats.clone(), me));
    let ended = worker.run(&shutdown).await;
    beat.abort();
    worker.nats.leave(Role::Worker, me).await;
    ended
}

async fn beat(nats: Nats, me: InstanceId) {
    let mut tick = interval(BEAT);
    loop {
        tick.tick().await;
        nats.beat(Role::Worker, me, 0).await;
    }
}

struct Worker {
    config: Config,
    nats: Nats,
    streams: Streams,
    me: InstanceId,
    members: Members,
    follower: Follower,
    catalog: Catalog,
    owned: BTreeMap<Partition, Owned>,
    reader: Option<Reader>,
    waiting: VecDeque<Input>,
    /// Whether services may have gone whose incidents are still open.
    sweep: bool,
    take_after: Instant,
    last_input: u64,
}

enum Woken {
    Control(u64, domain::directory::Snapshot),
    Input(Message),
    Members,
    Tick,
    Purge,
    Stop,
}

impl Worker {
    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Error> {
        let mut tick = interval(IDLE_CHECKPOINT);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut purge = interval(PURGE);
        purge.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.take_partitions().await?;
        self.config.checks.started("worker");
        loop {
            match self.wait(&mut tick, &mut purge, shutdown).await? {
                Woken::Stop => return Ok(()),
                Woken::Control(sequence, snapshot) => {
                    self.sweep |= self.catalog.apply(sequence, &snapshot);
                }
                Woken::Input(message) => self.read(message),
                Woken::Members => self.take_partitions().await?,
                Woken::Tick => {
                    self.take_partitions().await?;
                    self.commit_idle(shutdown).await;
                }
                Woken::Purge => self.purge().await,
            }
            self.fold(shutdown).await;
        }
    }

    async fn wait(
        &mut self,
        tick: &mut tokio::time::Interval,
        purge: &mut tokio::time::Interval,
        shutdown: &Shutdown,
    ) -> Result<Woken, Error> {
        let reading = self.waiting.len() < READ_AHEAD;
        let input = async {
            match &mut self.reader {
                Some(reader) if reading => reader.next().await,
                Some(_) | None => std::future::pending().await,
            }
        };
        // The rare first and the endless last: input may always be there.
        Ok(tokio::select! {
            biased;
            () = shutdown.soft.cancelled() => Woken::Stop,
            _ = purge.tick() => Woken::Purge,
            _ = tick.tick() => Woken::Tick,
            () = self.members.changed() => Woken::Members,
            changed = self.follower.next() => {
                let (sequence, snapshot) = changed?;
                Woken::Control(sequence, snapshot)
            }
            message = input => Woken::Input(message),
        })
    }

    fn fresh_id(&self) -> [u8; 16] {
        id_bytes(self.config.clock.now(), &*self.config.random)
    }

    /// Lets go what others should own, takes what this worker should.
    async fn take_partitions(&mut self) -> Result<(), Error> {
        let living = self.members.living();
        let wanted = wanted(self.me, living.into_keys(), self.streams.partitions);
        self.owned.retain(|partition, _| wanted.contains(partition));
        if Instant::now() < self.take_after {
            return Ok(());
        }
        let taker = Taker { me: self.me, input_identity: self.streams.alerts_identity };
        let mut taken = false;
        for partition in wanted {
            if self.owned.contains_key(&partition) {
                continue;
            }
            match take(&self.nats, taker, partition, self.fresh_id()).await {
                Ok(owned) => {
                    tracing::info!(
                        partition = partition.0,
                        epoch = owned.epoch,
                        "a partition is taken"
                    );
                    self.owned.insert(partition, owned);
                    taken = true;
                }
                Err(error) if error.is_transient() => {
                    tracing::warn!(partition = partition.0, %error, "a partition is not taken yet");
                    self.take_after = Instant::now() + GRACE;
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        if taken {
            self.restart_reading();
        }
        Ok(())
    }

    /// Reads from where the slowest partition is; the others skip what they have done.
    fn restart_reading(&mut self) {
        self.waiting.clear();
        self.sweep = true;
        let slowest = self.owned.values().map(|owned| owned.state.position.sequence).min();
        self.reader = slowest.map(|sequence| {
            let start = Start::Sequence(sequence + 1);
            Reader::new(&self.nats, subject::ALERTS_STREAM, subject::ALERTS, start)
        });
    }

    fn read(&mut self, message: Message) {
        self.last_input = message.sequence + message.pending;
        self.waiting.push_back(input(message));
        while self.waiting.len() < READ_AHEAD {
            let Some(message) = self.reader.as_mut().and_then(Reader::try_next) else {
                return;
            };
            self.waiting.push_back(input(message));
        }
    }

    /// Folds what has arrived, as far as the configuration is known, and commits it.
    async fn fold(&mut self, shutdown: &Shutdown) {
        loop {
            let mut changes = Changes::default();
            let swept = self.fold_deletions(&mut changes);
            while swept && let Some(input) = self.waiting.front() {
                if !self.may_fold(input) || !self.fold_message(&mut changes) {
                    break;
                }
                self.waiting.pop_front();
            }
            if changes.is_empty() {
                return;
            }
            let more = !swept || self.waiting.front().is_some_and(|input| self.may_fold(input));
            if !self.commit(&changes, shutdown).await || !more {
                return;
            }
        }
    }

    /// The view must be at least that of the gateway that wrote the message, and of the last
    /// commits.
    fn may_fold(&self, input: &Input) -> bool {
        let needed = input.batch.as_ref().map_or(0, |batch| batch.control_sequence);
        let used = self.owned.values().map(|owned| owned.control_sequence).max().unwrap_or(0);
        self.catalog.sequence >= needed.max(used)
    }

    fn fold_message(&mut self, changes: &mut Changes) -> bool {
        let folding = folding(&self.catalog, self.streams, self.owned.len());
        let Some(input) = self.waiting.front() else {
            return false;
        };
        self.owned.values_mut().all(|owned| folding.message(&mut owned.state, input, changes))
    }

    fn fold_deletions(&mut self, changes: &mut Changes) -> bool {
        if !self.sweep {
            return true;
        }
        let used = self.owned.values().map(|owned| owned.control_sequence).max().unwrap_or(0);
        if self.catalog.sequence < used {
            return true;
        }
        let sequence = self.catalog.sequence;
        let folding = folding(&self.catalog, self.streams, self.owned.len());
        let mut all = self.owned.values_mut();
        let swept = all.all(|owned| folding.deletions(&mut owned.state, sequence, changes));
        self.sweep = !swept;
        swept
    }

    async fn commit(&mut self, changes: &Changes, shutdown: &Shutdown) -> bool {
        let batch = self.fresh_id();
        let committer = Committer {
            nats: &self.nats,
            me: self.me,
            input_identity: self.streams.alerts_identity,
            control_sequence: self.catalog.sequence,
        };
        match committer.commit(&mut self.owned, changes, batch, &shutdown.hard).await {
            Committed::Stored => {
                committer.tell(changes).await;
                self.measure(changes);
                true
            }
            Committed::FenceLost => {
                tracing::warn!("another worker has taken a partition; reading all of them again");
                metrics::counter!("gander_worker_fences_lost_total").increment(1);
                self.owned.retain(|partition, _| !changes.touched.contains(partition));
                self.take_after = Instant::now() + GRACE;
                self.restart_reading();
                false
            }
            Committed::Stopping => false,
        }
    }

    fn measure(&self, changes: &Changes) {
        metrics::counter!("gander_worker_events_total").increment(changes.events.len() as u64);
        metrics::counter!("gander_worker_parked_total").increment(changes.parked.len() as u64);
        let open: usize = self.owned.values().map(|o| o.state.incidents.open_count()).sum();
        metrics::gauge!("gander_worker_open_incidents").set(open as f64);
        metrics::gauge!("gander_worker_control_sequence").set(self.catalog.sequence as f64);
        for (partition, owned) in &self.owned {
            let lag = self.last_input.saturating_sub(owned.state.position.sequence);
            metrics::gauge!("gander_worker_input_lag_messages", "partition" => partition.0.to_string())
                .set(lag as f64);
        }
    }

    /// Stores the places of partitions that only passed over messages, so that purging goes on.
    async fn commit_idle(&mut self, shutdown: &Shutdown) {
        let moved = self.owned.iter().filter(|(_, owned)| owned.stored != owned.state.position);
        let changes = Changes::places_of(moved.map(|(id, _)| *id));
        if !changes.is_empty() {
            self.commit(&changes, shutdown).await;
        }
    }

    /// The owner of the first partition removes what all partitions have done.
    async fn purge(&mut self) {
        if !self.owned.contains_key(&Partition(0)) {
            return;
        }
        let stream = subject::INCIDENTS_STREAM;
        let start = Start::LastOfEachSubject;
        let Ok(found) = self.nats.read_all(stream, subject::CHECKPOINTS_ALL, start).await else {
            return;
        };
        let places =
            found.iter().map(|m| Checkpoint::decode(&m.payload).map(|c| c.position.sequence));
        let Ok(places) = places.collect::<Result<Vec<_>, _>>() else {
            return;
        };
        let all = usize::try_from(self.streams.partitions.count()).unwrap_or(usize::MAX);
        if let Some(slowest) = places.iter().min().filter(|_| places.len() == all)
            && *slowest > 0
            && let Err(error) = self.nats.purge_before(subject::ALERTS_STREAM, slowest + 1).await
        {
            tracing::warn!(%error, "alerts that are done are not removed yet");
        }
    }
}

/// A batch has at most 1,000 messages, of which each partition in it takes one.
fn folding(catalog: &Catalog, streams: Streams, partitions: usize) -> Folding<'_> {
    Folding {
        index: &catalog.index,
        partitions: streams.partitions,
        evaluate: matcher::evaluate,
        room: Room { messages: MAX_MESSAGES - partitions, bytes: MAX_COMMIT_BYTES },
    }
}

fn input(message: Message) -> Input {
    let batch = decode_batch(&message.payload)
        .map_err(|error| (error.to_string(), message.payload.clone()));
    Input { sequence: message.sequence, batch }
}
