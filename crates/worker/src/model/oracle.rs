//! What the stored commits must have led to, computed from the rules and without the fold.
//!
//! Each commit says how far a partition had come, and under which configuration. Must not know
//! how the worker came there.

use std::collections::BTreeMap;

use bytes::Bytes;
use domain::filter;
use domain::id::{AlertId, ServiceId};
use domain::incident::{self, Deciding, Decision, Verdict};
use domain::maintenance::WindowIds;
use domain::payload::{self, Payload};
use domain::reach::Reach;
use domain::service::Service;
use wire::Partition;
use wire::stored::alert::{Alert, Content, decode_batch, record_from};
use wire::stored::worker::{Checkpoint, Position};

use super::world::{World, fragile, streams};
use crate::fold::PartitionState;

/// The state of a partition after these commits over this input.
pub fn state(
    world: &World,
    input: &[(u64, Bytes)],
    partition: Partition,
    commits: &[Checkpoint],
) -> PartitionState {
    run(world, input, partition, commits).state
}

/// What an alert came to in a service.
pub struct Ruled {
    /// The decision.
    pub decision: Decision,
    /// The epoch in which it was committed.
    pub epoch: u64,
}

/// What every alert came to in every service of a partition, by these commits over this input.
pub fn rulings(
    world: &World,
    input: &[(u64, Bytes)],
    partition: Partition,
    commits: &[Checkpoint],
) -> BTreeMap<(AlertId, ServiceId), Ruled> {
    run(world, input, partition, commits).rulings
}

fn run<'a>(
    world: &World,
    input: &'a [(u64, Bytes)],
    partition: Partition,
    commits: &[Checkpoint],
) -> Oracle<'a> {
    let state = PartitionState::new(partition);
    let mut oracle = Oracle { input, state, epoch: 0, rulings: BTreeMap::new() };
    for commit in commits {
        let services = world.services(commit.control_sequence);
        oracle.epoch = commit.epoch;
        oracle.sweep(&services);
        while place(&oracle.state.position) < place(&commit.position) {
            oracle.step(&commit.position, &services);
        }
        oracle.state.position.flags = commit.position.flags;
    }
    oracle
}

type Services = BTreeMap<ServiceId, Service>;

fn place(position: &Position) -> (u64, u32, Option<ServiceId>) {
    (position.sequence, position.records, position.service)
}

struct Oracle<'a> {
    input: &'a [(u64, Bytes)],
    state: PartitionState,
    epoch: u64,
    rulings: BTreeMap<(AlertId, ServiceId), Ruled>,
}

impl Oracle<'_> {
    fn sweep(&mut self, services: &Services) {
        let gone = incident::decide_deleted(&self.state.incidents, |id| services.contains_key(&id));
        for event in gone.collect::<Vec<_>>() {
            self.state.incidents.evolve(&event);
        }
    }

    /// Goes on by one record, or to the end of one message, or as far as `end` in a record.
    fn step(&mut self, end: &Position, services: &Services) {
        let at = self.state.position;
        let (_, bytes) = self.input.iter().find(|(n, _)| *n == at.sequence + 1).expect("appended");
        let records = decode_batch(bytes).map(|batch| batch.records);
        if records.is_err() && self.state.partition == Partition(0) {
            self.state.totals.parked += 1;
        }
        let records = records.unwrap_or_default();
        let Some(stored) = records.get(usize::try_from(at.records).unwrap()) else {
            self.state.position = Position { sequence: at.sequence + 1, ..Position::default() };
            return;
        };
        let breaks_off = (end.sequence, end.records) == (at.sequence, at.records);
        let limit = end.service.filter(|_| breaks_off);
        let partition = self.state.partition;
        if stored.partition.is_none_or(|wanted| wanted == partition.0) {
            match record_from(stored.clone()).map(|record| record.content) {
                Ok(Content::Alert(alert)) => {
                    self.alert(&alert, limit, services);
                    self.state.totals.alerts += u64::from(!breaks_off);
                }
                Ok(Content::Resolve(command)) => {
                    let (event, _) = incident::decide_resolve(&self.state.incidents, &command.says);
                    event.iter().for_each(|event| self.state.incidents.evolve(event));
                    self.state.totals.commands += 1;
                }
                Ok(Content::Acknowledge(command)) => {
                    let (event, _) =
                        incident::decide_acknowledge(&self.state.incidents, &command.says);
                    event.iter().for_each(|event| self.state.incidents.evolve(event));
                    self.state.totals.commands += 1;
                }
                Err(_) => {
                    let keeper = stored.partition.map_or(Partition(0), Partition);
                    self.state.totals.parked += u64::from(keeper == partition);
                }
            }
        }
        if breaks_off {
            self.state.position.service = end.service;
        } else {
            self.state.position.records += 1;
            self.state.position.service = None;
        }
    }

    fn alert(&mut self, alert: &Alert, limit: Option<ServiceId>, services: &Services) {
        let done = self.state.position.service;
        let seen = alert.to_domain();
        let in_scope = |service: &&Service| {
            streams().partitions.of(service.team) == self.state.partition
                && Some(service.id) > done
                && limit.is_none_or(|limit| service.id <= limit)
                && match alert.reach {
                    Reach::Global => true,
                    Reach::Team(team) => service.team == team,
                    Reach::Service(team, id) => service.team == team && service.id == id,
                }
        };
        for service in services.values().filter(in_scope) {
            let text = payload::text(&alert.payload);
            let payload = Payload::new(&text);
            let none =
                |verdict| Decision { events: vec![], verdict, triggered: None, resolved: None };
            let decision = if service.disabled {
                none(Verdict::Disabled)
            } else if service.id == fragile() && payload.text.contains("panic") {
                self.state.totals.parked += 1;
                none(Verdict::Failed)
            } else {
                let found = filter::evaluate(service.filters.as_slice(), &payload, None);
                let windows = match found.trigger {
                    Some(_) => service.maintenance.covering(alert.received_at, &payload),
                    None => WindowIds::default(),
                };
                let on = Deciding {
                    alert: &seen,
                    team: service.team,
                    service: service.id,
                    identical_window: incident::IDENTICAL_WINDOW,
                    in_maintenance: !windows.is_empty(),
                };
                incident::decide(&self.state.incidents, &on, &found)
            };
            decision.events.iter().for_each(|event| self.state.incidents.evolve(event));
            self.state.totals.count(decision.verdict);
            let ruled = Ruled { decision, epoch: self.epoch };
            self.rulings.insert((alert.id, service.id), ruled);
        }
    }
}
