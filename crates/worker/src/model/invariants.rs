//! What must hold of everything that was ever stored, each a function of that name.
//!
//! Reads the broker's log as a subscriber would. Must not know how it came about.

use std::collections::{BTreeMap, BTreeSet};

use wire::Partition;
use wire::partition::PartitionSet;
use wire::proto::gander::events::v1::{Incident, IncidentEvent, IncidentStatus};
use wire::stored::alert::{Content, decode_batch, record_from};
use wire::stored::worker::{Checkpoint, decode_outcomes, decode_state};

use super::broker::State;
use super::oracle;
use super::told;
use super::world::{PARTITIONS, World};
use crate::fold::PartitionState;

/// Every event that was ever stored, in order.
fn events(state: &State) -> Vec<IncidentEvent> {
    let events =
        state.log.iter().filter(|(_, subject, _)| subject.starts_with("gander.incidents."));
    events.map(|(_, _, payload)| serde_json::from_slice(payload).unwrap()).collect()
}

/// Every checkpoint of a partition that was ever stored, in order.
pub fn checkpoints(state: &State, partition: Partition) -> Vec<Checkpoint> {
    let subject = wire::subject::checkpoint(partition);
    let all = state.log.iter().filter(|(_, known, _)| *known == subject);
    all.map(|(_, _, payload)| Checkpoint::decode(payload).unwrap()).collect()
}

fn kind(event: &IncidentEvent) -> &str {
    event.r#type.trim_start_matches("gander.incident.").trim_end_matches(".v1")
}

fn incident(event: &IncidentEvent) -> &Incident {
    event.incident.as_ref().unwrap()
}

/// Each incident is created once, then repeated, at most once acknowledged, then perhaps resolved,
/// and nothing after that; its count goes on without a gap, whoever acknowledged it stays; no event
/// comes twice.
fn invariant_events_are_a_legal_history(events: &[IncidentEvent]) {
    let mut ids = BTreeSet::new();
    let mut histories: BTreeMap<String, (u64, bool, Option<String>)> = BTreeMap::new();
    for event in events {
        assert!(ids.insert(event.id.clone()), "event {} is stored twice", event.id);
        let incident = incident(event);
        let by = incident.acknowledge_time.map(|_| incident.acknowledger.clone());
        let after = match (kind(event), histories.get(&incident.id).cloned()) {
            ("created", None) => (1, true, None),
            ("repeated", Some((n, true, known))) => (n + event.alert_count, true, known),
            ("acknowledged", Some((n, true, None))) => {
                assert!(by.is_some(), "incident {}", incident.id);
                (n, true, by.clone())
            }
            ("resolved", Some((n, true, known))) => (n, false, known),
            (kind, known) => panic!("incident {}: {kind} after {known:?}", incident.id),
        };
        let open = incident.status() == IncidentStatus::Open;
        assert_eq!((incident.occurrences, open, by), after, "incident {}", incident.id);
        histories.insert(incident.id.clone(), after);
    }
}

/// At no moment have two incidents of one service and mapped value been open.
fn invariant_one_open_incident_per_value(events: &[IncidentEvent]) {
    let mut open: BTreeMap<(String, String), String> = BTreeMap::new();
    for event in events {
        let incident = incident(event);
        if incident.mapped_value.is_empty() {
            continue;
        }
        let episode = (incident.service.clone(), incident.mapped_value.clone());
        match kind(event) {
            "created" => {
                let other = open.insert(episode, incident.id.clone());
                assert_eq!(other, None, "{} is opened beside another", incident.id);
            }
            "resolved" => assert_eq!(open.remove(&episode).as_ref(), Some(&incident.id)),
            _ => assert_eq!(open.get(&episode), Some(&incident.id)),
        }
    }
}

/// The stored state of an incident is the one that its last event tells.
fn invariant_states_follow_events(events: &[IncidentEvent], state: &State) {
    let mut told = BTreeMap::new();
    for event in events {
        let incident = incident(event);
        told.insert(incident.id.clone(), progress(incident));
    }
    let states = state.incidents.messages.values();
    for (_, payload) in states.filter(|(subject, _)| subject.starts_with("gander.state.")) {
        let incident = wire::event::incident_to(&decode_state(payload).unwrap());
        let stored = progress(&incident);
        assert_eq!(told.get(&incident.id), Some(&stored), "incident {}", incident.id);
    }
}

/// What changes of an incident.
fn progress(incident: &Incident) -> (u64, IncidentStatus, Option<i64>, String) {
    let acknowledged = incident.acknowledge_time.map(|at| at.seconds);
    (incident.occurrences, incident.status(), acknowledged, incident.acknowledger.clone())
}

/// Every service in scope of an alert has one verdict, and every alert is counted once by each
/// partition in whose scope it is.
fn invariant_totals_balance_with_the_input(state: &State, reached: &PartitionState) {
    assert!(reached.totals.invariant_verdicts_balance(), "{:?}", reached.totals);
    let batches = state.input.iter().filter_map(|(_, payload)| decode_batch(payload).ok());
    let records = batches.flat_map(|batch| batch.records);
    let ours = |of: &Option<u32>| of.is_none_or(|of| of == reached.partition.0);
    let (mut alerts, mut commands) = (0, 0);
    for record in records.filter(|record| ours(&record.partition)) {
        match record_from(record).map(|record| record.content) {
            Ok(Content::Alert(_)) => alerts += 1,
            Ok(Content::Resolve(_) | Content::Acknowledge(_)) => commands += 1,
            Err(_) => {}
        }
    }
    assert_eq!((reached.totals.alerts, reached.totals.commands), (alerts, commands));
}

/// Every parked record that is counted is stored.
pub fn invariant_what_is_parked_is_kept(state: &State, reached: &PartitionState) {
    let subject = wire::subject::parked(reached.partition);
    let kept = state.log.iter().filter(|(_, known, _)| *known == subject).count();
    assert_eq!(reached.totals.parked, kept as u64);
}

/// Positions only grow, and epochs with them.
fn invariant_positions_only_grow(state: &State) {
    let place = |c: &Checkpoint| (c.position.sequence, c.position.records, c.position.service);
    for partition in (0..PARTITIONS).map(Partition) {
        for pair in checkpoints(state, partition).windows(2) {
            assert!(place(&pair[0]) <= place(&pair[1]), "{pair:?}");
            assert!(pair[0].epoch <= pair[1].epoch, "{pair:?}");
            assert!(pair[0].control_sequence <= pair[1].control_sequence, "{pair:?}");
        }
    }
}

/// Nobody is told twice what became of a record in a partition.
fn invariant_outcomes_are_told_once(state: &State) {
    let mut told: BTreeMap<_, PartitionSet> = BTreeMap::new();
    for outcome in state.sent.iter().flat_map(|sent| decode_outcomes(sent).unwrap()) {
        let before = told.entry(*outcome.id.as_bytes()).or_default();
        assert_eq!(before.0 & outcome.partitions.0, 0, "{outcome:?}");
        *before = before.union(outcome.partitions);
    }
}

/// The state reached is what the rules make of the input, commit by commit.
fn invariant_reached_state_is_that_of_the_rules(
    state: &State,
    world: &World,
    reached: &PartitionState,
) {
    let commits = checkpoints(state, reached.partition);
    let mut expected = oracle::state(world, &state.input, reached.partition, &commits);
    // What closed ones say is compared where it is stored.
    expected.incidents.forget_contents();
    assert_eq!(reached, &expected);
}

/// All that holds at any moment. Gives the events.
fn check(state: &State) -> Vec<IncidentEvent> {
    let events = events(state);
    invariant_events_are_a_legal_history(&events);
    invariant_one_open_incident_per_value(&events);
    invariant_states_follow_events(&events, state);
    invariant_positions_only_grow(state);
    invariant_outcomes_are_told_once(state);
    events
}

/// All that holds when everything is done. Gives the events.
pub fn check_done<'a>(
    state: &State,
    world: &World,
    reached: impl Iterator<Item = &'a PartitionState>,
) -> Vec<IncidentEvent> {
    let events = check(state);
    for reached in reached {
        invariant_totals_balance_with_the_input(state, reached);
        invariant_what_is_parked_is_kept(state, reached);
        invariant_reached_state_is_that_of_the_rules(state, world, reached);
        told::check(state, world, reached.partition);
    }
    told::invariant_nothing_is_told_of_untracked_alerts(state);
    events
}
