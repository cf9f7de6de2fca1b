//! What must hold of the API log, each a function of that name; and that it stops nothing.
//!
//! Reads the log as who shows it does. Must not know how reasons are made.

use std::collections::{BTreeMap, BTreeSet};

use domain::id::{AlertId, ServiceId};
use domain::incident::{ResolveVerdict, TriggerVerdict, Verdict};
use wire::Partition;
use wire::proto::gander::admin::v1::{self as api, ServiceReasons};
use wire::proto::gander::stored::v1::ReasonsPart;
use wire::stored::alert::{Content, decode_batch, record_from};
use wire::stored::apilog::{LogPart, Part, Place};
use wire::{header, subject};

use super::broker::{Fault, Model, State};
use super::invariants::{check_done, checkpoints};
use super::oracle::{self, Ruled};
use super::schedule::in_model_time;
use super::worker::Worker;
use super::world::{PARTITIONS, Recipe, Say, World};

type Rulings = BTreeMap<(AlertId, ServiceId), Ruled>;

/// Everything that was ever told, in order, with its alert.
fn parts(state: &State) -> Vec<(AlertId, Place, ReasonsPart)> {
    let part = |message: &runtime::nats::batch::Message| {
        let found = LogPart::decode(&message.payload).unwrap();
        let headers =
            [(header::ALERT, found.alert.to_string()), (header::PART, "reasons".to_owned())];
        assert_eq!(message.headers, headers);
        assert_eq!(message.subject, subject::apilog(found.token));
        let place = found.place().unwrap();
        match found.part {
            Part::Reasons(reasons) => (found.alert, place, reasons),
            Part::Call(call) => panic!("{call:?} is not a worker's"),
        }
    };
    state.told.iter().map(part).collect()
}

/// The parts of a partition that count.
fn counting(state: &State, partition: Partition) -> BTreeMap<(AlertId, Place), ReasonsPart> {
    let mut counting: BTreeMap<_, ReasonsPart> = BTreeMap::new();
    for (alert, place, part) in parts(state) {
        let newer = counting.get(&(alert, place)).is_none_or(|known| known.epoch <= part.epoch);
        if part.partition == partition.0 && newer {
            counting.insert((alert, place), part);
        }
    }
    counting
}

/// The alerts of the input for a partition, each with whether it is tracked.
fn alerts(state: &State, partition: Option<Partition>) -> BTreeMap<AlertId, bool> {
    let batches = state.input.iter().filter_map(|(_, payload)| decode_batch(payload).ok());
    let ours = |of: Option<u32>| match (of, partition) {
        (Some(of), Some(wanted)) => of == wanted.0,
        (None, _) | (_, None) => true,
    };
    let records = batches.flat_map(|batch| batch.records).filter(|r| ours(r.partition));
    let alert = |record| match record_from(record).ok()?.content {
        Content::Alert(alert) => Some((alert.id, alert.is_tracked())),
        Content::Resolve(_) | Content::Acknowledge(_) => None,
    };
    records.filter_map(alert).collect()
}

/// The service that this name names.
fn service(name: &str) -> ServiceId {
    ServiceId::parse(name.rsplit('/').next().unwrap()).unwrap()
}

fn verdict(reasons: &ServiceReasons) -> Verdict {
    if reasons.failed {
        return Verdict::Failed;
    }
    let trigger = match reasons.trigger() {
        api::TriggerVerdict::Created => TriggerVerdict::Created,
        api::TriggerVerdict::Duplicate => TriggerVerdict::Duplicate,
        api::TriggerVerdict::Suppressed => TriggerVerdict::Suppressed,
        api::TriggerVerdict::Unspecified => TriggerVerdict::None,
    };
    let resolve = match reasons.resolve() {
        api::ResolveVerdict::Resolved => ResolveVerdict::Resolved,
        api::ResolveVerdict::Duplicate => ResolveVerdict::Duplicate,
        api::ResolveVerdict::Unspecified => ResolveVerdict::None,
    };
    Verdict::Evaluated(trigger, resolve)
}

const NOTHING: Verdict = Verdict::Evaluated(TriggerVerdict::None, ResolveVerdict::None);

/// No part is of an alert that was not tracked.
pub fn invariant_nothing_is_told_of_untracked_alerts(state: &State) {
    let alerts = alerts(state, None);
    for (alert, ..) in parts(state) {
        assert_eq!(alerts.get(&alert), Some(&true), "alert {alert} is told");
    }
}

/// The verdict and the incidents in the reasons are the ones committed. Where a write to the log was
/// lost, what an owner before had told may have been left, who had another view.
fn invariant_what_is_told_is_what_is_committed(
    state: &State,
    counting: &BTreeMap<(AlertId, Place), ReasonsPart>,
    rulings: &Rulings,
) {
    for ((alert, _), part) in counting {
        let committed = |id: ServiceId| {
            let ruled = rulings.get(&(*alert, id));
            ruled.filter(|ruled| state.untold == 0 || ruled.epoch == part.epoch)
        };
        for reasons in &part.services {
            let id = service(&reasons.service);
            let Some(ruled) = committed(id) else {
                assert!(state.untold > 0, "alert {alert}, service {id}: nothing is committed");
                continue;
            };
            let incident = |id: Option<_>| {
                id.map_or_else(String::new, |id| format!("{}/incidents/{id}", reasons.service))
            };
            let decision = &ruled.decision;
            assert_eq!(verdict(reasons), decision.verdict, "alert {alert}, service {id}");
            assert_eq!(reasons.triggered_incident, incident(decision.triggered));
            assert_eq!(reasons.resolved_incident, incident(decision.resolved));
        }
        for id in unmatched(part) {
            let ruled = committed(id).map(|ruled| ruled.decision.verdict);
            assert!(ruled == Some(NOTHING) || (ruled.is_none() && state.untold > 0));
        }
    }
}

fn unmatched(part: &ReasonsPart) -> impl Iterator<Item = ServiceId> {
    part.unmatched.chunks(16).map(|id| ServiceId::from_bytes(id.try_into().unwrap()))
}

/// Where no write to the log was lost, every tracked alert is told of for each service in scope that
/// is not disabled, and of no other; one of its parts is the last.
fn invariant_everything_committed_is_told(
    tracked: BTreeSet<AlertId>,
    counting: &BTreeMap<(AlertId, Place), ReasonsPart>,
    rulings: &Rulings,
) {
    let mut told: BTreeSet<(AlertId, ServiceId)> = BTreeSet::new();
    let mut finished: BTreeSet<AlertId> = BTreeSet::new();
    for ((alert, _), part) in counting {
        let names: Vec<_> = part.services.iter().map(|reasons| service(&reasons.service)).collect();
        assert!(names.is_sorted(), "services are in the order of their ids");
        for id in names.into_iter().chain(unmatched(part)) {
            assert!(told.insert((*alert, id)), "alert {alert}, service {id} is told once");
        }
        if part.last {
            assert!(finished.insert(*alert), "alert {alert} has one last part");
        }
    }
    let enabled = |(_, ruled): &(_, &Ruled)| ruled.decision.verdict != Verdict::Disabled;
    let expected = rulings.iter().filter(enabled).map(|(key, _)| *key);
    let expected: BTreeSet<_> = expected.filter(|(alert, _)| tracked.contains(alert)).collect();
    assert_eq!(told, expected);
    assert_eq!(finished, tracked);
}

/// All that holds of what a partition has told, once it is done.
pub fn check(state: &State, world: &World, partition: Partition) {
    let commits = checkpoints(state, partition);
    let rulings = oracle::rulings(world, &state.input, partition, &commits);
    let counting = counting(state, partition);
    invariant_what_is_told_is_what_is_committed(state, &counting, &rulings);
    if state.untold == 0 {
        let alerts = alerts(state, Some(partition)).into_iter();
        let tracked = alerts.filter(|(_, tracked)| *tracked).map(|(alert, _)| alert).collect();
        invariant_everything_committed_is_told(tracked, &counting, &rulings);
    }
}

#[test]
fn a_log_that_cannot_be_written_stops_nothing() {
    let say = Say::Mapped { trigger: Some(0), resolve: None };
    let alert = Recipe::Alert { reach: 0, say, after: 1 };
    let (model, mut world) = (Model::new(1), World::new().tracked());
    model.append(world.batch(&[alert; 4]));
    // The first writes are the take-overs; then the log is tried twice.
    let taking = [Fault::None; PARTITIONS as usize];
    model.state().faults = taking.into_iter().chain([Fault::Lost, Fault::Unreachable]).collect();
    let mut worker = Worker::start(&model, &world, 1, u64::MAX, 1_000);
    in_model_time(worker.finish(&world)).expect("nothing was skipped");
    let written = |state: &State| (state.told.len(), state.untold);
    assert_eq!(written(&model.state()), (0, 1));
    assert_eq!(worker.owner.owned[&Partition(0)].state.totals.alerts, 4);
    model.append(world.batch(&[alert; 4]));
    in_model_time(worker.finish(&world)).expect("nothing was skipped");
    assert_eq!(model.state().told.len(), 4, "two of them are tracked, in two partitions");
    check_done(&model.state(), &world, worker.owner.owned.values().map(|owned| &owned.state));
}
