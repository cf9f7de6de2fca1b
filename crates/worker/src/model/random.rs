//! Random schedules over several gateways and workers, and what must hold after each.

use std::collections::{BTreeMap, BTreeSet};

use domain::id::AlertId;
use runtime::ingest;
use runtime::nats::publish;
use wire::proto::gander::events::v1::IncidentEvent;
use wire::stored::alert::{Content, Record, decode_batch, record_from};

use super::broker::Model;
use super::invariants::check_done;
use super::schedule::{Run, Schedule, in_model_time, schedules};
use super::seeds;
use super::worker::Worker;
use crate::fold::PartitionState;

fn run(schedule: Schedule) -> (Run, Vec<IncidentEvent>) {
    let run = in_model_time(schedule.run());
    let events = check_done(&run.model.state(), &run.world, run.reached.iter());
    (run, events)
}

/// One worker that reads the same input from its beginning, and nothing goes wrong.
fn alone(run: &Run) -> (Vec<PartitionState>, Vec<IncidentEvent>) {
    let model = Model::new(1);
    for (_, payload) in &run.model.state().input {
        model.append(payload.clone());
    }
    let mut worker = Worker::start(&model, &run.world, 1, u64::MAX, 1_000);
    in_model_time(worker.finish(&run.world)).expect("nothing was skipped");
    let undisturbed = worker.owner.owned.values().all(|owned| owned.epoch == 1);
    assert!(undisturbed, "a worker alone loses no fence");
    let reached: Vec<_> = worker.owner.owned.into_values().map(|owned| owned.state).collect();
    let events = check_done(&model.state(), &run.world, reached.iter());
    (reached, events)
}

/// How many alerts each incident stands for, by its events.
fn alert_counts(events: &[IncidentEvent]) -> BTreeMap<&str, u64> {
    let mut counts = BTreeMap::new();
    for event in events {
        *counts.entry(&*event.incident.as_ref().unwrap().id).or_default() += event.alert_count;
    }
    counts
}

/// The events that are not coalesced.
fn beginnings_and_ends(events: &[IncidentEvent]) -> BTreeSet<(&str, &str)> {
    let events = events.iter().filter(|event| !event.r#type.contains("repeated"));
    events.map(|event| (&*event.id, &*event.r#type)).collect()
}

/// However many workers fold the input, whatever goes wrong: the same incidents, counts, totals
/// and positions as one worker in order.
fn invariant_many_workers_end_like_one(run: &Run, events: &[IncidentEvent]) {
    let (reached, expected) = alone(run);
    assert_eq!(run.reached, reached);
    assert_eq!(alert_counts(events), alert_counts(&expected));
    assert_eq!(beginnings_and_ends(events), beginnings_and_ends(&expected));
}

/// What a client was told is stored is stored once, where it was told; what it was told is certainly
/// not stored is not; and nothing is stored twice, whatever anybody was told.
fn invariant_clients_are_told_the_truth(run: &Run) {
    let mut stored: BTreeMap<AlertId, u64> = BTreeMap::new();
    for (sequence, payload) in &run.model.state().input {
        let Ok(batch) = decode_batch(payload) else { continue };
        for id in batch.records.into_iter().filter_map(|record| id(record_from(record).ok()?)) {
            assert_eq!(stored.insert(id, *sequence), None, "{id} is stored twice");
        }
    }
    for (id, told) in run.told.all() {
        let found = stored.get(&id).copied();
        match told {
            Some(Ok(sequence)) => assert_eq!(found, Some(sequence), "{id} is acknowledged"),
            Some(Err(ingest::Error::Broker(publish::Error::TimedOut | publish::Error::Lost)))
            | Some(Err(ingest::Error::Stopping))
            | None => {}
            Some(Err(certain)) => assert_eq!(found, None, "{id}: {certain}"),
        }
    }
}

fn id(record: Record) -> Option<AlertId> {
    match record.content {
        Content::Alert(alert) => Some(alert.id),
        Content::Resolve(command) | Content::Acknowledge(command) => Some(command.id),
    }
}

#[test]
fn many_workers_with_faults_end_like_one_worker_in_order() {
    let name = "many_workers_with_faults_end_like_one_worker_in_order";
    seeds::run(name, &schedules(false), |schedule| {
        let (run, events) = run(schedule);
        invariant_clients_are_told_the_truth(&run);
        invariant_many_workers_end_like_one(&run, &events);
    });
}

#[test]
fn commits_under_a_changing_configuration_follow_the_rules() {
    let name = "commits_under_a_changing_configuration_follow_the_rules";
    seeds::run(name, &schedules(true), |schedule| {
        let (run, _) = run(schedule);
        invariant_clients_are_told_the_truth(&run);
    });
}

/// Everything that was ever stored, as one hash.
fn history(seed: u64) -> blake3::Hash {
    let (run, _) = run(seeds::of(seed, &schedules(true)));
    let mut hasher = blake3::Hasher::new();
    let state = run.model.state();
    for (sequence, payload) in &state.input {
        hasher.update(&sequence.to_be_bytes()).update(payload);
    }
    for (sequence, subject, payload) in &state.log {
        hasher.update(&sequence.to_be_bytes()).update(subject.as_bytes()).update(payload);
    }
    hasher.finalize()
}

#[test]
fn a_seed_has_one_history() {
    let histories: BTreeSet<_> = (0..16).map(|seed| *history(seed).as_bytes()).collect();
    let again: BTreeSet<_> = (0..16).map(|seed| *history(seed).as_bytes()).collect();
    assert_eq!(histories, again);
    assert_eq!(histories.len(), 16, "they differ from each other");
}
