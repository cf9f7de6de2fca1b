//! What cannot be read or evaluated is parked and counted, and the partition goes on.

use bytes::Bytes;
use domain::incident::Totals;
use wire::Partition;
use wire::stored::worker::decode_outcomes;

use super::broker::Model;
use super::invariants::{check_done, invariant_what_is_parked_is_kept};
use super::schedule::in_model_time;
use super::worker::Worker;
use super::world::{Recipe, Say, World};

const ALERT: Recipe =
    Recipe::Alert { reach: 0, say: Say::Mapped { trigger: Some(0), resolve: None }, after: 0 };
const PANIC: Recipe = Recipe::Alert { reach: 0, say: Say::Panic, after: 0 };

/// One worker folds these messages, with so many messages in a commit.
fn fold(input: &[&[Recipe]], garbage: bool, messages: usize) -> (Model, Worker) {
    let (model, mut world) = (Model::new(5), World::new());
    if garbage {
        model.append(Bytes::from_static(b"\xff"));
    }
    for recipes in input {
        model.append(world.batch(recipes));
    }
    let mut worker = Worker::start(&model, &world, 1, u64::MAX, messages);
    in_model_time(worker.finish(&world)).expect("nothing was skipped");
    check_done(&model.state(), &world, worker.owner.owned.values().map(|owned| &owned.state));
    (model, worker)
}

fn totals(worker: &Worker, partition: u32) -> Totals {
    worker.owner.owned[&Partition(partition)].state.totals
}

/// Everything that went in is done in every partition, and what was parked is stored.
fn invariant_parking_stops_nothing(model: &Model, worker: &Worker) {
    let last = model.state().alerts.last;
    for owned in worker.owner.owned.values() {
        assert_eq!((owned.state.position.sequence, owned.state.position.records), (last, 0));
        invariant_what_is_parked_is_kept(&model.state(), &owned.state);
    }
}

#[test]
fn a_message_that_cannot_be_read_is_parked_by_the_first_partition() {
    let (model, worker) = fold(&[&[ALERT]], true, 1_000);
    invariant_parking_stops_nothing(&model, &worker);
    assert_eq!((totals(&worker, 0).parked, totals(&worker, 1).parked), (1, 0));
    assert_eq!((totals(&worker, 0).created, totals(&worker, 1).created), (3, 2));
}

#[test]
fn a_record_that_cannot_be_read_is_parked_and_the_records_around_it_are_folded() {
    for (partition, parked) in [(None, (1, 0)), (Some(0), (1, 0)), (Some(1), (0, 1))] {
        let broken = Recipe::Broken { partition };
        let (model, worker) = fold(&[&[ALERT, broken, ALERT], &[ALERT]], false, 1_000);
        invariant_parking_stops_nothing(&model, &worker);
        assert_eq!((totals(&worker, 0).parked, totals(&worker, 1).parked), parked);
        assert_eq!((totals(&worker, 0).alerts, totals(&worker, 1).alerts), (3, 3));
        assert_eq!((totals(&worker, 0).created, totals(&worker, 0).duplicate), (3, 6));
    }
}

#[test]
fn a_service_whose_evaluation_panics_fails_and_the_others_go_on() {
    let (model, worker) = fold(&[&[PANIC, ALERT]], false, 1_000);
    invariant_parking_stops_nothing(&model, &worker);
    let (first, second) = (totals(&worker, 0), totals(&worker, 1));
    assert_eq!((first.failed, first.parked, first.created), (0, 0, 3));
    assert_eq!((second.failed, second.parked, second.created, second.duplicate), (1, 1, 2, 1));
    let state = model.state();
    let told = state.sent.iter().flat_map(|sent| decode_outcomes(sent).unwrap());
    let told: Vec<_> = told.map(|outcome| (outcome.flags.failed, outcome.flags.created)).collect();
    assert_eq!(told, [(true, true), (false, true)]);
}

#[test]
fn failures_that_do_not_fit_into_a_commit_take_another_one() {
    let (model, worker) = fold(&[&[PANIC; 20], &[PANIC; 20]], true, 9);
    invariant_parking_stops_nothing(&model, &worker);
    assert_eq!((totals(&worker, 1).failed, totals(&worker, 1).parked), (40, 40));
}
