//! An alert for 1,500 services spans several commits; the worker dies at every point of them.

use std::collections::BTreeMap;
use std::time::Duration;

use wire::proto::gander::events::v1::IncidentEvent;

use super::broker::{Fault, Model};
use super::invariants::check_done;
use super::schedule::in_model_time;
use super::worker::{Order, Worker};
use super::world::{PARTITIONS, Recipe, Say, World};

const SERVICES: u16 = 1_500;
/// What a worker does before it folds: per partition, six calls of two steps.
const TAKING: u64 = 12 * PARTITIONS as u64;
/// Longer than any worker needs.
const QUIET: Duration = Duration::from_secs(600);

/// One alert for everybody, and one after it.
fn input(world: &mut World, model: &Model) {
    let say = Say::Mapped { trigger: Some(0), resolve: None };
    model.append(world.batch(&[Recipe::Alert { reach: 0, say, after: 0 }]));
    model.append(world.batch(&[Recipe::Alert { reach: 3, say, after: 1 }]));
}

/// A worker works until it dies after so many steps; true if it was done before that.
async fn work(model: &Model, world: &World, steps: u64) -> bool {
    let mut worker = Worker::start(model, world, 1, steps, 1_000);
    tokio::time::timeout(QUIET, worker.finish(world)).await.is_ok()
}

fn invariant_every_service_has_one_incident(events: &[IncidentEvent]) {
    let mut created: BTreeMap<&str, u32> = BTreeMap::new();
    for event in events.iter().filter(|event| event.r#type.contains("created")) {
        *created.entry(&event.incident.as_ref().unwrap().service).or_default() += 1;
    }
    assert_eq!(created.len(), usize::from(SERVICES));
    assert!(created.values().all(|n| *n == 1));
}

/// The first worker dies after so many steps and meets this fault; the second one finishes. Gives
/// whether the first one was done.
fn die_after(world: &World, steps: u64, fault: Fault) -> bool {
    let (model, mut world) = (Model::new(3), world.clone());
    input(&mut world, &model);
    // The first writes are the take-overs.
    let faults = [Fault::None; PARTITIONS as usize].into_iter().chain([fault, Fault::None, fault]);
    model.state().faults = faults.collect();
    let (done, last) = in_model_time(async {
        let done = work(&model, &world, steps).await;
        model.heal();
        let mut last = Worker::start(&model, &world, 2, u64::MAX, 1_000);
        last.finish(&world).await.expect("nothing was skipped");
        model.land_all();
        last.obey(Order::Idle).await.expect("nothing was skipped");
        (done, last)
    });
    let reached = last.owner.owned.values().map(|owned| &owned.state);
    let events = check_done(&model.state(), &world, reached);
    invariant_every_service_has_one_incident(&events);
    done
}

#[test]
fn a_worker_killed_at_any_point_of_a_long_alert_leaves_one_incident_in_each_service() {
    let world = World::wide(SERVICES);
    let points = (TAKING..).take_while(|steps| !die_after(&world, *steps, Fault::None)).count();
    assert!(points >= 8, "only {points} points: the alert was to span several commits");
}

#[test]
fn a_long_alert_survives_commits_of_unknown_outcome_before_and_after_the_kill() {
    let world = World::wide(SERVICES);
    for fault in [Fault::AckLost, Fault::Late, Fault::Lost] {
        for steps in [TAKING + 2, TAKING + 4, TAKING + 8] {
            die_after(&world, steps, fault);
        }
    }
}
