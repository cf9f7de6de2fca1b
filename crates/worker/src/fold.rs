//! What a message of the input does to a partition: verdicts, incidents, events.
//!
//! Pure: the same partition, message and catalog give the same result, so a fold that was not
//! committed can be done again. One message may take several commits, and a fold goes on exactly
//! after the last service done. Layout: this file has messages, records, commands and deletions,
//! `alert` what an alert does. Must not know streams, fences or other partitions.

mod alert;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use domain::filter::{Key, Match};
use domain::id::{AlertId, IncidentId, InstanceId};
use domain::incident::{self, Event, Flags, Incidents, Kind, Totals, Trace};
use domain::payload::{self, Payload};
use matcher::{Index, Scratch};
use wire::event::IncidentEvent;
use wire::partition::PartitionSet;
use wire::proto::gander::stored::v1::AlertRecord;
use wire::stored::alert::{Batch, Content, Record, record_from};
use wire::stored::worker::{Outcome, Parked, Position};
use wire::{Partition, Traceparent};

use self::alert::Seen;
use crate::reasons::{Told, View, redacted};
use crate::spans::Traced;

/// How a service's filters are evaluated; a parameter so that a failing one can be tested.
pub type Evaluate = fn(&matcher::Entry, &Payload<'_>, Option<&str>) -> Match;

/// The most messages that one service's verdict adds to a commit: two events and two states.
const MOST_PER_SERVICE: usize = 4;

/// A message of the input.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its sequence.
    pub sequence: u64,
    /// Its content, or why it cannot be read with its bytes.
    pub batch: Result<Batch, (String, bytes::Bytes)>,
}

/// A partition as its owner has it in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// Which one.
    pub partition: Partition,
    /// Everything before this place is done.
    pub position: Position,
    /// Running totals.
    pub totals: Totals,
    /// Its incidents.
    pub incidents: Incidents,
}

impl PartitionState {
    /// A partition that has seen nothing.
    #[must_use]
    pub fn new(partition: Partition) -> Self {
        Self {
            partition,
            position: Position::default(),
            totals: Totals::default(),
            incidents: Incidents::default(),
        }
    }
}

/// What is to be committed together.
#[derive(Debug, Default)]
pub struct Changes {
    /// Events in order; repeats of one incident are one.
    pub events: Vec<IncidentEvent>,
    /// The incidents whose state is to be stored, by partition.
    pub dirty: BTreeSet<(Partition, IncidentId)>,
    /// Records that could not be read or evaluated.
    pub parked: Vec<(Partition, Parked)>,
    /// What became of records, by who waits.
    pub outcomes: BTreeMap<InstanceId, Vec<Outcome>>,
    /// The partitions that have done something.
    pub touched: BTreeSet<Partition>,
    /// The records that are traced, by where they stand in their traces.
    pub traced: BTreeMap<Traceparent, Traced>,
    /// What is told of tracked alerts.
    pub log: Vec<Told>,
    repeats: HashMap<IncidentId, usize>,
    bytes: usize,
    /// How much was looked at: for each service and condition the bytes of the payload.
    work: usize,
}

/// How much one commit holds.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// The most messages, checkpoints aside.
    pub messages: usize,
    /// About the most bytes.
    pub bytes: usize,
    /// After how much work it is enough: bytes of payloads, each for every condition that looks at them.
    /// One service is done at least.
    pub work: usize,
}

impl Changes {
    fn has_room(&self, room: Room) -> bool {
        let used = self.events.len() + self.dirty.len() + self.parked.len();
        used + MOST_PER_SERVICE <= room.messages && self.bytes < room.bytes && self.work < room.work
    }

    fn tell(&mut self, told: Told) {
        self.bytes += told.weight();
        self.log.push(told);
    }

    /// Nothing but the places of these partitions.
    pub fn places_of(partitions: impl Iterator<Item = Partition>) -> Self {
        Self { touched: partitions.collect(), ..Self::default() }
    }

    fn trace(&mut self, record: &Record) -> Option<&mut Traced> {
        let trace = record.trace.filter(|trace| trace.is_sampled())?;
        let traced = self.traced.entry(trace).or_default();
        traced.id = Some(record.content.id());
        Some(traced)
    }

    /// Whether there is nothing to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.touched.is_empty()
    }
}

/// What is the same for all folds of a worker.
#[derive(Clone, Copy)]
pub struct Folding<'a> {
    /// The live services.
    pub index: &'a Index,
    /// How filters are evaluated.
    pub evaluate: Evaluate,
    /// For how long identical payloads are one.
    pub identical_window: Duration,
    /// Paths whose values are not shown in the API log.
    pub redact: &'a [Key],
    /// How much one commit holds.
    pub room: Room,
}

impl Folding<'_> {
    /// Folds a message into partitions, each from where it is. False if the commit is full before the
    /// message is done: commit, and call again.
    pub fn message(
        &self,
        states: &mut [&mut PartitionState],
        input: &Input,
        scratch: &mut Scratch,
        out: &mut Changes,
    ) -> bool {
        let behind = states.iter_mut().filter(|state| state.position.sequence < input.sequence);
        let mut states: Vec<_> = behind.map(|state| &mut **state).collect();
        for state in &mut states {
            if input.sequence > state.position.sequence + 1 {
                // Messages in between were removed by hand: what was done of one of them must not
                // be taken as done of this one.
                let sequence = input.sequence - 1;
                state.position = Position { sequence, ..Position::default() };
            }
        }
        let done = match &input.batch {
            Ok(batch) => batch.records.iter().zip(0..).all(|(stored, number)| {
                let source = Source { sequence: input.sequence, number, stored, trace: None };
                self.record(&mut states, batch.instance, source, scratch, out)
            }),
            Err(unread) => self.unread(&mut states, input.sequence, unread, out),
        };
        if done {
            for state in states {
                state.position = Position { sequence: input.sequence, ..Position::default() };
            }
        }
        done
    }

    /// Nobody can tell whom it was for: the first partition keeps it.
    fn unread(
        &self,
        states: &mut [&mut PartitionState],
        sequence: u64,
        (reason, raw): &(String, bytes::Bytes),
        out: &mut Changes,
    ) -> bool {
        let Some(state) = states.iter_mut().find(|state| state.partition == Partition(0)) else {
            return true;
        };
        if !out.has_room(self.room) {
            return false;
        }
        let (reason, raw) = (reason.clone(), raw.clone());
        let parked = Parked { sequence, record: None, reason, service: None, content: None, raw };
        park(state, parked, out);
        true
    }

    fn record(
        &self,
        states: &mut [&mut PartitionState],
        waiting: InstanceId,
        source: Source<'_>,
        scratch: &mut Scratch,
        out: &mut Changes,
    ) -> bool {
        if states.iter().any(|state| source.is_next(state) && source.is_for(state)) {
            let done = match record_from(source.stored.clone()) {
                Ok(record) => self.content(states, waiting, &record, source, scratch, out),
                Err(error) => source.each(states, |state| {
                    let keeps =
                        source.stored.partition.is_some() || state.partition == Partition(0);
                    if keeps && !out.has_room(self.room) {
                        return false;
                    }
                    if keeps {
                        park(state, parked(source, error.to_string(), None), out);
                    }
                    true
                }),
            };
            if !done {
                return false;
            }
        }
        // Those that it is not for have nothing to do for it.
        for state in states.iter_mut().filter(|state| source.is_next(state)) {
            source.pass(state);
        }
        true
    }

    fn content(
        &self,
        states: &mut [&mut PartitionState],
        waiting: InstanceId,
        record: &Record,
        source: Source<'_>,
        scratch: &mut Scratch,
        out: &mut Changes,
    ) -> bool {
        out.trace(record);
        let source = Source { trace: record.trace, ..source };
        match &record.content {
            Content::Alert(alert) => {
                let text = payload::text(&alert.payload);
                let payload = Payload::new(&text);
                let redact = || redacted(&payload, self.redact);
                let redacted = alert.is_tracked().then(redact).flatten();
                let other = redacted.as_deref().map(Payload::new);
                let view = View { payload: &payload, shown: other.as_ref().unwrap_or(&payload) };
                let seen = Seen::new(self, alert, view, source, scratch);
                source.each(states, |state| {
                    let done = self.alert(state, alert, &seen, out);
                    if done {
                        finish(state, waiting, record, out);
                    }
                    done
                })
            }
            Content::Resolve(command) => source.each(states, |state| {
                let decided = incident::decide_resolve(&state.incidents, &command.says);
                let by = By::command(command.id, record.trace);
                let done = self.command(state, &by, decided.0, decided.1.into(), out);
                if done {
                    finish(state, waiting, record, out);
                }
                done
            }),
            Content::Acknowledge(command) => source.each(states, |state| {
                let decided = incident::decide_acknowledge(&state.incidents, &command.says);
                let by = By::command(command.id, record.trace);
                let done = self.command(state, &by, decided.0, decided.1.into(), out);
                if done {
                    finish(state, waiting, record, out);
                }
                done
            }),
        }
    }

    /// Takes over what was decided about a command, unless the commit is full.
    fn command(
        &self,
        state: &mut PartitionState,
        by: &By,
        event: Option<Event>,
        came_to: Flags,
        out: &mut Changes,
    ) -> bool {
        if !out.has_room(self.room) {
            return false;
        }
        emit(state, event.as_slice(), by, out);
        state.position.flags = came_to;
        state.totals.commands += 1;
        true
    }

    /// Resolves the open incidents of services that are gone in the configuration of this sequence. False
    /// if the commit is full before all are.
    pub fn deletions(
        &self,
        state: &mut PartitionState,
        control_sequence: u64,
        out: &mut Changes,
    ) -> bool {
        let by = By { id: Trace::Control(control_sequence), cause: None, trace: None };
        let gone = incident::decide_deleted(&state.incidents, |id| self.index.contains(id));
        // No more than a commit has room for, and one, so that it is seen that this is not all.
        let gone: Vec<_> = gone.take(self.room.messages + 1).collect();
        for event in gone {
            if !out.has_room(self.room) {
                return false;
            }
            emit(state, std::slice::from_ref(&event), &by, out);
            out.touched.insert(state.partition);
        }
        true
    }
}

/// Where a record was read.
#[derive(Clone, Copy)]
struct Source<'a> {
    sequence: u64,
    /// Which one of its message, from 0.
    number: u32,
    stored: &'a AlertRecord,
    trace: Option<Traceparent>,
}

impl Source<'_> {
    fn is_next(&self, state: &PartitionState) -> bool {
        state.position.records == self.number
    }

    fn is_for(&self, state: &PartitionState) -> bool {
        self.stored.partition.is_none_or(|partition| partition == state.partition.0)
    }

    /// The partition is done with the record.
    fn pass(&self, state: &mut PartitionState) {
        let sequence = state.position.sequence;
        state.position = Position { sequence, records: self.number + 1, ..Position::default() };
    }

    /// Does it in each partition that it is for and that comes to it, until the commit is full.
    fn each(
        &self,
        states: &mut [&mut PartitionState],
        mut one: impl FnMut(&mut PartitionState) -> bool,
    ) -> bool {
        let mut next = states.iter_mut().filter(|state| self.is_next(state) && self.is_for(state));
        next.all(|state| {
            let done = one(state);
            if done {
                self.pass(state);
            }
            done
        })
    }
}

fn parked(source: Source<'_>, reason: String, service: Option<domain::id::ServiceId>) -> Parked {
    Parked {
        sequence: source.sequence,
        record: None,
        reason,
        service,
        content: Some(source.stored.clone()),
        raw: bytes::Bytes::new(),
    }
}

fn park(state: &mut PartitionState, mut parked: Parked, out: &mut Changes) {
    let trace = parked.content.as_ref().and_then(|record| Traceparent::from_bytes(&record.trace));
    tracing::error!(
        partition = state.partition.0,
        sequence = parked.sequence,
        reason = parked.reason,
        trace_id = trace.map(|trace| tracing::field::display(trace.trace_id())),
        "a record is parked"
    );
    if parked.content.is_some() {
        parked.record = Some(state.position.records);
    }
    let content = parked.content.as_ref().map_or(0, prost::Message::encoded_len);
    out.bytes += parked.raw.len() + content + parked.reason.len();
    state.totals.parked += 1;
    out.touched.insert(state.partition);
    out.parked.push((state.partition, parked));
}

fn finish(state: &mut PartitionState, waiting: InstanceId, record: &Record, out: &mut Changes) {
    out.touched.insert(state.partition);
    if let Some(traced) = out.trace(record) {
        traced.flags = traced.flags.union(state.position.flags);
    }
    if !record.outcome_wanted {
        return;
    }
    let id: AlertId = record.content.id();
    let partitions = PartitionSet::one(state.partition);
    let outcome = Outcome { id, partitions, flags: state.position.flags };
    let outcomes = out.outcomes.entry(waiting).or_default();
    // An alert for all partitions has its outcomes next to each other: one entry covers them.
    match outcomes.iter_mut().rev().take(64).find(|known| known.id == id) {
        Some(known) => {
            known.partitions = known.partitions.union(partitions);
            known.flags = known.flags.union(outcome.flags);
        }
        None => outcomes.push(outcome),
    }
}

/// What brought events about.
struct By {
    /// What their ids follow from.
    id: Trace,
    /// The alert, if it was one.
    cause: Option<incident::Cause>,
    /// Where it stands in a trace.
    trace: Option<Traceparent>,
}

impl By {
    const fn command(id: AlertId, trace: Option<Traceparent>) -> Self {
        Self { id: Trace::Alert(id), cause: None, trace }
    }
}

/// Applies events and adds them to the commit.
fn emit(state: &mut PartitionState, events: &[Event], by: &By, out: &mut Changes) {
    for event in events {
        state.incidents.evolve(event);
        let id = event.incident();
        let Some(incident) = state.incidents.get(id).cloned() else {
            continue;
        };
        out.touched.insert(state.partition);
        if out.dirty.insert((state.partition, id)) {
            out.bytes += 2 * weight(&incident);
        }
        let kind = event.kind();
        let at = match event {
            Event::Created(opening) => opening.cause.received_at,
            Event::Repeated { at, .. }
            | Event::Acknowledged { at, .. }
            | Event::Resolved { at, .. } => *at,
        };
        let written = IncidentEvent {
            id: incident::event_id(id, by.id, kind),
            kind,
            incident,
            cause: by.cause.clone(),
            alert_count: u64::from(by.cause.is_some()),
            at,
            trace: by.trace,
        };
        match (kind, out.repeats.get(&id)) {
            (Kind::Repeated, Some(at)) => {
                let earlier = &mut out.events[*at];
                if let Some(traced) = by.trace.and_then(|trace| out.traced.get_mut(&trace)) {
                    traced.stands_for = earlier.trace.filter(|before| Some(*before) != by.trace);
                }
                *earlier = IncidentEvent { alert_count: earlier.alert_count + 1, ..written };
            }
            (Kind::Repeated, None) => {
                out.repeats.insert(id, out.events.len());
                out.events.push(written);
            }
            (Kind::Acknowledged, _) => {
                // What repeats after it must not be told before it.
                out.repeats.remove(&id);
                out.events.push(written);
            }
            (Kind::Created | Kind::Resolved, _) => out.events.push(written),
        }
    }
}

fn weight(incident: &incident::Incident) -> usize {
    let opening = &incident.opening;
    opening.title.len() + opening.description.len() + 2 * opening.payload.len() + 512
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;
