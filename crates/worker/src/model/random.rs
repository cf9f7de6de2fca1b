//! Random schedules over several workers, and what must hold after each.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use wire::proto::gander::events::v1::IncidentEvent;

use super::broker::Model;
use super::invariants::check_done;
use super::schedule::{Run, Schedule, in_model_time, schedules};
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn many_workers_with_faults_end_like_one_worker_in_order(schedule in schedules(false)) {
        let (run, events) = run(schedule);
        invariant_many_workers_end_like_one(&run, &events);
    }

    #[test]
    fn commits_under_a_changing_configuration_follow_the_rules(schedule in schedules(true)) {
        run(schedule);
    }
}
