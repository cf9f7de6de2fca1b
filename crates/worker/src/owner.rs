//! What a worker does with the partitions that it owns: fold what has arrived, commit, tell.
//!
//! Must not know when to do it, nor who should own what: the loop says so.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use domain::directory::Snapshot;
use domain::filter::Key;
use domain::id::InstanceId;
use domain::incident::IDENTICAL_WINDOW;
use matcher::Scratch;
use runtime::nats::batch::MAX_MESSAGES;
use runtime::nats::streams::Streams;
use runtime::nats::{Message, Start};
use runtime::pulse::Pulse;
use runtime::traces::{Moment, Tracer};
use tokio_util::sync::CancellationToken;
use wire::stored::alert::decode_batch;
use wire::stored::worker::Checkpoint;
use wire::{Partition, subject};

use crate::apilog::{self, Losses};
use crate::asked::Asked;
use crate::broker::Broker;
use crate::catalog::Catalog;
use crate::commit::{Committed, Committer};
use crate::fold::{Changes, Evaluate, Folding, Input, Room};
use crate::lag::Oldest;
use crate::reasons::Told;
use crate::spans::Spans;
use crate::takeover::{self, Owned, Taker, take};

/// The most messages read ahead of the fold.
const READ_AHEAD: usize = 64;
/// About the most bytes of a commit.
const MAX_COMMIT_BYTES: usize = 8 * 1024 * 1024;
/// A large payload is held against the filters of a few services in this; then others have their turn.
const MAX_COMMIT_WORK: usize = 32 * 1024 * 1024;

/// Makes ids that nobody has made before.
pub type FreshId = Box<dyn Fn() -> [u8; 16] + Send + Sync>;

/// The partitions of a worker, and the input that waits for them.
pub struct Owner<B> {
    /// Where all of it is stored.
    pub broker: B,
    /// The worker.
    pub me: InstanceId,
    /// What the streams are like.
    pub streams: Streams,
    /// How filters are evaluated.
    pub evaluate: Evaluate,
    /// For how long identical payloads are one.
    pub identical_window: Duration,
    /// Paths whose values are not shown in the API log.
    pub redact: Vec<Key>,
    /// How much one commit holds, checkpoints included.
    pub room: Room,
    /// Makes the ids of commits.
    pub fresh_id: FreshId,
    /// The services.
    pub catalog: Catalog,
    /// The partitions that it owns, as far as it knows.
    pub owned: BTreeMap<Partition, Owned>,
    /// What makes its spans.
    pub tracer: Tracer,
    /// The heartbeat of the worker.
    pub pulse: Pulse,
    /// How old the oldest input is that waits.
    pub oldest: Oldest,
    /// What could not be written to the API log.
    pub losses: Losses,
    waiting: VecDeque<Input>,
    scratch: Scratch,
    /// Whether services may have gone whose incidents are still open.
    sweep: bool,
    last_input: u64,
    /// The sequence that the next message must have, once reading has begun.
    next_input: Option<u64>,
    /// Whether somebody waits to be told what became of some of the input that waits.
    awaited: bool,
    /// Whether there is more input than has been read.
    behind: bool,
}

impl<B: Broker> Owner<B> {
    /// An owner of nothing yet.
    pub fn new(
        broker: B,
        me: InstanceId,
        streams: Streams,
        evaluate: Evaluate,
        fresh_id: FreshId,
        catalog: Catalog,
    ) -> Self {
        Self {
            broker,
            me,
            streams,
            evaluate,
            identical_window: IDENTICAL_WINDOW,
            redact: Vec::new(),
            room: Room { messages: MAX_MESSAGES, bytes: MAX_COMMIT_BYTES, work: MAX_COMMIT_WORK },
            fresh_id,
            catalog,
            owned: BTreeMap::new(),
            tracer: Tracer::default(),
            pulse: Pulse::default(),
            oldest: Oldest::default(),
            losses: Losses::default(),
            waiting: VecDeque::new(),
            scratch: Scratch::default(),
            sweep: true,
            last_input: 0,
            next_input: None,
            awaited: false,
            behind: false,
        }
    }

    /// Applies a change of the configuration.
    pub fn apply(&mut self, sequence: u64, snapshot: &Snapshot) {
        self.sweep |= self.catalog.apply(sequence, snapshot);
    }

    /// Takes a partition. Reading is to be started again after it.
    pub async fn take(&mut self, partition: Partition) -> Result<(), takeover::Error> {
        let taker = Taker { me: self.me, input_identity: self.streams.alerts_identity };
        let owned = take(&self.broker, taker, partition, (self.fresh_id)()).await?;
        tracing::debug!(partition = partition.0, epoch = owned.epoch, "a partition is taken");
        self.owned.insert(partition, owned);
        Ok(())
    }

    /// Forgets the input that waits. Gives the sequence from which to read: where the slowest
    /// partition is, since the others skip what they have done; none without partitions.
    pub fn restart(&mut self) -> Option<u64> {
        self.waiting.clear();
        self.awaited = false;
        self.sweep = true;
        let slowest = self.owned.values().map(|owned| owned.state.position.sequence).min();
        // Nothing behind it is ever purged, so the next one is there.
        self.next_input = slowest.map(|sequence| sequence + 1);
        self.next_input
    }

    /// Whether more input can wait here.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < READ_AHEAD
    }

    /// Takes in the next message of the input.
    pub fn push(&mut self, message: &Message) {
        self.last_input = message.sequence + message.pending;
        self.behind = message.pending > 0;
        if self.next_input.is_some_and(|next| message.sequence != next) {
            tracing::error!(sequence = message.sequence, "alerts before this one are gone");
            metrics::counter!("gander_worker_input_gaps_total").increment(1);
        }
        self.next_input = Some(message.sequence + 1);
        let batch = decode_batch(&message.payload)
            .map_err(|error| (error.to_string(), message.payload.clone()));
        let mut records = batch.iter().flat_map(|batch| &batch.records);
        self.awaited |= records.any(|record| record.outcome_wanted);
        self.waiting.push_back(Input { sequence: message.sequence, batch });
    }

    /// Folds what has arrived, as far as the configuration is known and one commit has room, and commits
    /// it. After a lost fence, reading is to be started again.
    pub async fn fold(&mut self, hard: &CancellationToken) -> Committed {
        let mut changes = Changes::default();
        let began = self.tracer.moment();
        self.note_oldest();
        let swept = self.fold_deletions(&mut changes);
        while swept && let Some(input) = self.waiting.front() {
            if !self.may_fold(input) || !self.fold_message(&mut changes) {
                break;
            }
            self.waiting.pop_front();
            // Folding never waits, and there may be much that leads to nothing.
            self.pulse.beat();
        }
        self.awaited &= !self.waiting.is_empty();
        if changes.is_empty() {
            self.note_oldest();
            return Committed::Stored;
        }
        self.commit(changes, began, hard).await
    }

    /// Whether more may gather before it is folded: all that there is was read and has room, nobody waits
    /// for an outcome, and no service has gone.
    pub fn may_gather(&self) -> bool {
        self.has_room() && !self.awaited && !self.behind && !self.sweep
    }

    /// Whether there is something to fold that has arrived.
    pub fn has_more(&self) -> bool {
        let swept = !self.sweep || self.catalog.sequence < self.used();
        !swept || self.waiting.front().is_some_and(|input| self.may_fold(input))
    }

    /// What waits in front is the oldest, once all before it is committed.
    fn note_oldest(&self) {
        self.oldest.is(self.waiting.front().and_then(|input| input.batch.as_ref().ok()));
    }

    /// The view must be at least that of the gateway that wrote the message, and of the last
    /// commits.
    fn may_fold(&self, input: &Input) -> bool {
        let needed = input.batch.as_ref().map_or(0, |batch| batch.control_sequence);
        self.catalog.sequence >= needed.max(self.used())
    }

    /// The newest control sequence that a commit of these partitions has used.
    fn used(&self) -> u64 {
        self.owned.values().map(|owned| owned.control_sequence).max().unwrap_or(0)
    }

    /// Goes on with a question until it is `enough`: what its alert would come to in the partitions that
    /// are owned here, in parts of an entry of the API log. Nothing happens. None while the configuration
    /// that the question rests on is not known here.
    pub fn explain(&self, asked: &mut Asked, enough: impl Fn() -> bool) -> Option<Vec<Bytes>> {
        if asked.control_sequence > self.catalog.sequence {
            return None;
        }
        let only = asked.alert.reach.team().map(|team| self.streams.partitions.of(team));
        let owned = || self.owned.keys().filter(|one| only.is_none_or(|only| only == **one));
        let rest = asked.rest.get_or_insert_with(|| owned().map(|one| (*one, None)).collect());
        let folding = Folding {
            index: &self.catalog.index,
            evaluate: self.evaluate,
            identical_window: self.identical_window,
            redact: &self.redact,
            room: self.room,
        };
        let mut parts = Vec::new();
        while let Some((partition, after)) = rest.pop() {
            // One that was let go meanwhile is another owner's to tell of.
            let Some(one) = self.owned.get(&partition) else { continue };
            let (told, next) = folding.explain(&one.state, &asked.alert, after, &enough);
            let encode = |told| apilog::part(told, one.epoch, self.catalog.sequence).encode();
            parts.extend(told.map(encode));
            if next.is_some() {
                rest.push((partition, next));
            }
            if enough() {
                break;
            }
        }
        Some(parts)
    }

    fn fold_message(&mut self, changes: &mut Changes) -> bool {
        let (room, Some(input)) = (self.room_beside_checkpoints(), self.waiting.front()) else {
            return false;
        };
        let folding = Folding {
            index: &self.catalog.index,
            evaluate: self.evaluate,
            identical_window: self.identical_window,
            redact: &self.redact,
            room,
        };
        let mut states: Vec<_> = self.owned.values_mut().map(|owned| &mut owned.state).collect();
        folding.message(&mut states, input, &mut self.scratch, changes)
    }

    fn fold_deletions(&mut self, changes: &mut Changes) -> bool {
        if !self.sweep || self.catalog.sequence < self.used() {
            return true;
        }
        let folding = Folding {
            index: &self.catalog.index,
            evaluate: self.evaluate,
            identical_window: self.identical_window,
            redact: &self.redact,
            room: self.room_beside_checkpoints(),
        };
        let sequence = self.catalog.sequence;
        let mut all = self.owned.values_mut();
        let swept = all.all(|owned| folding.deletions(&mut owned.state, sequence, changes));
        self.sweep = !swept;
        swept
    }

    /// Each partition in a commit takes one message of it.
    fn room_beside_checkpoints(&self) -> Room {
        Room { messages: self.room.messages.saturating_sub(self.owned.len()), ..self.room }
    }

    /// Stores the places of partitions that only passed over messages, so that purging goes on.
    pub async fn commit_idle(&mut self, hard: &CancellationToken) -> Committed {
        let moved = self.owned.iter().filter(|(_, owned)| owned.stored != owned.state.position);
        let changes = Changes::places_of(moved.map(|(id, _)| *id));
        if changes.is_empty() {
            return Committed::Stored;
        }
        self.commit(changes, Moment::default(), hard).await
    }

    async fn commit(
        &mut self,
        mut changes: Changes,
        began: Moment,
        hard: &CancellationToken,
    ) -> Committed {
        let spans = Spans::start(&self.tracer, began, &mut changes);
        let batch = (self.fresh_id)();
        let log = std::mem::take(&mut changes.log);
        if !log.is_empty() && !self.write_log(log, batch, hard).await {
            spans.fail("stopping");
            return Committed::Stopping;
        }
        let changes = &changes;
        let committer = Committer {
            broker: &self.broker,
            me: self.me,
            input_identity: self.streams.alerts_identity,
            control_sequence: self.catalog.sequence,
        };
        let committed = committer.commit(&mut self.owned, changes, batch, hard).await;
        match committed {
            Committed::Stored => {
                drop(spans);
                committer.tell(changes).await;
                count(changes);
                for partition in &changes.touched {
                    if let Some(owned) = self.owned.get_mut(partition) {
                        owned.state.incidents.forget_contents();
                    }
                }
                self.note_oldest();
                self.measure();
            }
            Committed::FenceLost => {
                spans.fail("fence_lost");
                tracing::warn!("another worker has taken a partition; reading all of them again");
                metrics::counter!("gander_worker_fences_lost_total").increment(1);
                self.owned.retain(|partition, _| !changes.touched.contains(partition));
            }
            Committed::Stopping => spans.fail("stopping"),
        }
        committed
    }

    /// Writes to the API log what a commit tells, or loses it. False if the process stops before.
    async fn write_log(
        &mut self,
        told: Vec<Told>,
        batch: [u8; 16],
        hard: &CancellationToken,
    ) -> bool {
        if self.losses.pauses() {
            self.losses.pass(told.len());
            return true;
        }
        let messages = apilog::messages(told, &self.owned, self.catalog.sequence);
        let written = tokio::select! {
            written = apilog::write(&self.broker, &messages, batch) => written,
            () = hard.cancelled() => return false,
        };
        if let Err(lost) = written {
            self.losses.note(&lost);
        }
        true
    }

    /// Tells how far the work is. The loop also asks for it when nothing is committed, so that a
    /// standstill shows.
    pub fn measure(&self) {
        let open: usize = self.owned.values().map(|o| o.state.incidents.open_count()).sum();
        metrics::gauge!("gander_worker_open_incidents").set(open as f64);
        let resolved: usize = self.owned.values().map(|o| o.state.incidents.closed_count()).sum();
        metrics::gauge!("gander_worker_resolved_incidents").set(resolved as f64);
        metrics::gauge!("gander_worker_control_sequence").set(self.catalog.sequence as f64);
        metrics::gauge!("gander_worker_partitions").set(self.owned.len() as f64);
        let index = &self.catalog.index;
        let unselective = index.compiled().unselective().len();
        metrics::gauge!("gander_worker_unselective_filters").set(unselective as f64);
        metrics::gauge!("gander_worker_index_changes").set(index.fresh() as f64);
        for partition in self.streams.partitions.all() {
            let lag = self
                .owned
                .get(&partition)
                .map_or(0, |owned| self.last_input.saturating_sub(owned.state.position.sequence));
            let label = partition.0.to_string();
            metrics::gauge!("gander_worker_input_lag_messages", "partition" => label)
                .set(lag as f64);
        }
        if let Some(input) = self.waiting.front().filter(|input| !self.may_fold(input)) {
            tracing::warn!(
                sequence = input.sequence,
                control_sequence = self.catalog.sequence,
                "alerts wait for configuration that this worker has not seen"
            );
        }
    }

    /// The owner of the first partition removes what all partitions have done.
    pub async fn purge(&self) {
        if !self.owned.contains_key(&Partition(0)) {
            return;
        }
        let stream = subject::INCIDENTS_STREAM;
        let start = Start::LastOfEachSubject;
        let Ok(found) = self.broker.read_all(stream, subject::CHECKPOINTS_ALL, start).await else {
            return;
        };
        // While they are read, one may be replaced and come twice: the later one counts.
        let place = |found: &Message| {
            let checkpoint = Checkpoint::decode(&found.payload).ok()?;
            Some((found.subject.clone(), checkpoint.position.sequence))
        };
        let Some(places) = found.iter().map(place).collect::<Option<BTreeMap<_, _>>>() else {
            return;
        };
        let Ok((_, last)) = self.broker.bounds(subject::ALERTS_STREAM).await else {
            return;
        };
        if places.values().any(|place| *place > last) {
            tracing::error!("stream {} is not the one it was: restart", subject::ALERTS_STREAM);
            return;
        }
        let all = usize::try_from(self.streams.partitions.count()).unwrap_or(usize::MAX);
        if let Some(slowest) = places.values().min().filter(|_| places.len() == all)
            && *slowest > 0
            && let Err(error) = self.broker.purge_before(subject::ALERTS_STREAM, slowest + 1).await
        {
            tracing::warn!(%error, "alerts that are done are not removed yet");
        }
    }
}

fn count(changes: &Changes) {
    metrics::counter!("gander_worker_events_total").increment(changes.events.len() as u64);
    metrics::counter!("gander_worker_parked_total").increment(changes.parked.len() as u64);
    tracing::debug!(
        events = changes.events.len(),
        partitions = changes.touched.len(),
        "a commit is stored"
    );
}
