//! Random schedules over several workers, and what must hold after each.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::broker::Model;
use super::invariants::{check_done, events};
use super::schedule::{Run, Schedule, in_model_time, schedules};
use super::worker::Worker;
use crate::fold::PartitionState;

fn run(schedule: Schedule) -> Run {
    let run = in_model_time(schedule.run());
    check_done(&run.model.state(), &run.world, run.reached.iter());
    run
}

/// One worker that reads the same input from its beginning, and nothing goes wrong.
fn alone(run: &Run) -> (Model, Vec<PartitionState>) {
    let model = Model::new(1);
    for (_, payload) in &run.model.state().input {
        model.append(payload.clone());
    }
    let mut worker = Worker::start(&model, &run.world, 1, u64::MAX, 1_000);
    in_model_time(worker.finish(&run.world)).expect("nothing was skipped");
    (model, worker.owner.owned.into_values().map(|owned| owned.state).collect())
}

/// How many alerts each incident stands for, by its events.
fn alert_counts(model: &Model) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for event in events(&model.state()) {
        *counts.entry(event.incident.unwrap().id).or_default() += event.alert_count;
    }
    counts
}

/// The events that are not coalesced.
fn beginnings_and_ends(model: &Model) -> BTreeSet<(String, String)> {
    let events = events(&model.state()).into_iter();
    let events = events.filter(|event| !event.r#type.contains("repeated"));
    events.map(|event| (event.id, event.r#type)).collect()
}

/// However many workers fold the input, whatever goes wrong: the same incidents, counts, totals
/// and positions as one worker in order.
fn invariant_many_workers_end_like_one(run: &Run) {
    let (model, reached) = alone(run);
    assert_eq!(run.reached, reached);
    assert_eq!(alert_counts(&run.model), alert_counts(&model));
    assert_eq!(beginnings_and_ends(&run.model), beginnings_and_ends(&model));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn many_workers_with_faults_end_like_one_worker_in_order(schedule in schedules(false)) {
        invariant_many_workers_end_like_one(&run(schedule));
    }

    #[test]
    fn commits_under_a_changing_configuration_follow_the_rules(schedule in schedules(true)) {
        run(schedule);
    }
}
