//! A small world: 3 teams on 2 partitions, 5 services, 3 mapped values, 2 unmapped payloads.
//!
//! So small that duplicates, resolves, identical payloads and races are common. Must not know
//! workers.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use domain::aggregate::{Actor, Entry, Life, Stamp};
use domain::directory::{Directory, Snapshot};
use domain::filter::{Condition, Filter, Filters, Item, Key, Match, Resolve, Trigger, Urgency};
use domain::id::{
    AlertId, FilterId, InstanceId, MaintenanceId, PrincipalId, ServiceId, TeamId, TokenId,
};
use domain::incident::{Command, incident_id};
use domain::maintenance::{Tag, Tags, Window, Windows};
use domain::name::DisplayName;
use domain::payload::Payload;
use domain::reach::Reach;
use domain::service::Service;
use domain::time::Timestamp;
use runtime::nats::streams::Streams;
use wire::Partition;
use wire::partition::Partitions;
use wire::proto::gander::stored::v1::AlertRecord;
use wire::stored::alert::{Alert, Content, IncidentCommand, Record, encode_batch, record_to};

use crate::catalog::Catalog;

/// How many partitions there are.
pub const PARTITIONS: u32 = 2;
/// The gateway that waits for outcomes.
pub const GATEWAY: InstanceId = InstanceId::from_bytes([9; 16]);
const SERVICES: u8 = 5;
const STAMP: Stamp = Stamp { sequence: 1, at: Timestamp::from_micros(0), actor: Actor::System };

/// What the streams are like.
pub fn streams() -> Streams {
    let partitions = Partitions::new(PARTITIONS).unwrap();
    Streams { partitions, alerts_identity: 7, control_takes_batches: true }
}

/// The n-th of three teams: the first and the third live in partition 0, the second in 1.
pub fn team(n: u8) -> TeamId {
    let wanted = Partition(u32::from(n % 3 == 1));
    let mut ids = (0..=255).map(|m| TeamId::from_bytes([m; 16]));
    let fits = |id: &TeamId| streams().partitions.of(*id) == wanted;
    ids.by_ref().filter(fits).nth(usize::from(n % 3)).unwrap()
}

/// The n-th of five services; the teams take turns.
pub fn service(n: u8) -> ServiceId {
    ServiceId::from_bytes([n % SERVICES + 1; 16])
}

/// The service whose evaluation panics at some payloads.
pub fn fragile() -> ServiceId {
    service(1)
}

/// What an alert says.
#[derive(Clone, Copy, Debug)]
pub enum Say {
    /// Triggers one of three mapped values, resolves another, or both, or nothing.
    Mapped { trigger: Option<u8>, resolve: Option<u8> },
    /// One of two payloads without a mapped value.
    Note(u8),
    /// The evaluation panics in one service; a trigger in the others.
    Panic,
}

impl Say {
    /// The payload.
    pub fn payload(self) -> Bytes {
        let text = match self {
            Self::Mapped { trigger, resolve } => {
                let down =
                    trigger.map_or(String::new(), |n| format!(r#""a":"down","host":"h{n}","#));
                let up = resolve.map_or(String::new(), |n| format!(r#""b":"up","was":"h{n}","#));
                format!(r#"{{{down}{up}"title":"t"}}"#)
            }
            Self::Note(n) => format!("note {n}"),
            Self::Panic => r#"{"a":"down","host":"h0","c":"panic"}"#.to_owned(),
        };
        text.into()
    }
}

/// What a record of the input is to be.
#[derive(Clone, Copy, Debug)]
pub enum Recipe {
    /// An alert of everyone, a team or a service, so many seconds after the one before.
    Alert { reach: u8, say: Say, after: i64 },
    /// A principal resolves what one of the last alerts may have opened in a service.
    Resolve { back: usize, service: u8 },
    /// A principal acknowledges what one of the last alerts may have opened in a service.
    Acknowledge { back: usize, service: u8 },
    /// A record that cannot be read, for one partition or all.
    Broken { partition: Option<u32> },
}

/// What is changed about the services.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// A service is deleted.
    Delete(u8),
    /// A service is disabled, or enabled again.
    Disable(u8, bool),
    /// A service gets a maintenance window from so many seconds ago, for so many; for mapped
    /// payloads only, or for all.
    Maintain(u8, i64, i64, bool),
    /// The maintenance windows of a service are ended.
    EndMaintenance(u8),
    /// A team is deleted.
    DeleteTeam(u8),
}

/// The services and the alerts so far.
#[derive(Clone, Debug)]
pub struct World {
    /// The configuration, commit by commit.
    pub control: Vec<Snapshot>,
    /// Whether half of the alerts are tracked, or none.
    tracking: bool,
    now: i64,
    ids: u64,
    alerts: Vec<AlertId>,
}

impl World {
    /// All services live.
    pub fn new() -> Self {
        let services = (0..SERVICES).map(|n| live(service(n), team(n))).collect();
        Self { control: services, tracking: false, now: 1_700_000_000, ids: 0, alerts: Vec::new() }
    }

    /// So many services live, none of them fragile.
    pub fn wide(services: u16) -> Self {
        let id = |n: u16| {
            let mut id = [0xaa; 16];
            id[..2].copy_from_slice(&n.to_be_bytes());
            ServiceId::from_bytes(id)
        };
        let teams = [team(0), team(1), team(2)];
        let wide = |n: u16| live(id(n + 0x1000), teams[usize::from(n % 3)]);
        Self { control: (0..services).map(wide).collect(), ..Self::new() }
    }

    /// The same, where some alerts are tracked.
    pub fn tracked(self) -> Self {
        Self { tracking: true, ..self }
    }

    /// The number of the last commit.
    pub fn sequence(&self) -> u64 {
        self.control.len() as u64
    }

    /// Commits a change, unless its service or team is gone.
    pub fn change(&mut self, change: Change) {
        let mut services = self.services(self.sequence());
        let snapshot = match change {
            Change::Delete(n) => Snapshot::Service(service(n), Entry::Deleted),
            Change::DeleteTeam(n) => Snapshot::Team(team(n), Entry::Deleted),
            Change::Disable(n, _) | Change::Maintain(n, ..) | Change::EndMaintenance(n) => {
                let Some(live) = services.remove(&service(n)) else { return };
                Snapshot::Service(live.id, Entry::Live(self.changed(live, change)))
            }
        };
        self.control.push(snapshot);
    }

    fn changed(&self, service: Service, change: Change) -> Service {
        let kept = Arc::clone(&service.maintenance);
        let windows = kept.iter().cloned();
        let windows: Windows = match change {
            Change::Disable(_, disabled) => return Service { disabled, ..service },
            Change::Maintain(_, ago, lasts, mapped) => {
                windows.chain([self.window(ago, lasts, mapped)]).collect()
            }
            Change::EndMaintenance(_) => {
                let end = self.received_at();
                windows.map(|window| Window { end: window.end.min(end), ..window }).collect()
            }
            Change::Delete(_) | Change::DeleteTeam(_) => windows.collect(),
        };
        Service { maintenance: Arc::new(windows), ..service }
    }

    fn window(&self, ago: i64, lasts: i64, mapped: bool) -> Window {
        let tag = || Tag::new(vec![Item::parse("DOWN").unwrap()]).unwrap();
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        Window {
            id: window(self.sequence()),
            start: at(self.now - ago),
            end: at(self.now - ago + lasts),
            tags: Arc::new(Tags::new(mapped.then(tag).into_iter().collect()).unwrap()),
            made: STAMP,
        }
    }

    /// The live services as of a commit, found without the worker's code.
    pub fn services(&self, sequence: u64) -> BTreeMap<ServiceId, Service> {
        let mut services = BTreeMap::new();
        for snapshot in self.control.iter().take(usize::try_from(sequence).unwrap()) {
            match snapshot {
                Snapshot::Service(id, Entry::Live(service)) => {
                    services.insert(*id, service.clone());
                }
                Snapshot::Service(id, Entry::Deleted | Entry::Absent) => {
                    services.remove(id);
                }
                Snapshot::Team(gone, _) => services.retain(|_, service| service.team != *gone),
                Snapshot::Token(..) | Snapshot::Principal(..) | Snapshot::Installation => {}
            }
        }
        services
    }

    /// The catalog of a worker that has seen everything.
    pub fn catalog(&self) -> Catalog {
        let mut catalog = Catalog::of(&Directory::default(), streams().partitions);
        for (n, snapshot) in (1..).zip(&self.control) {
            catalog.apply(n, snapshot);
        }
        catalog
    }

    /// A message of the input, as a gateway that knows the last commit writes it.
    pub fn batch(&mut self, recipes: &[Recipe]) -> Bytes {
        let records = recipes.iter().map(|recipe| self.record(*recipe)).collect();
        encode_batch(self.sequence(), GATEWAY, records)
    }

    /// Records as a gateway makes them of what it is sent; what cannot be read is no record.
    pub fn records(&mut self, recipes: &[Recipe]) -> Vec<Record> {
        recipes.iter().filter_map(|recipe| self.readable(*recipe)).collect()
    }

    fn record(&mut self, recipe: Recipe) -> AlertRecord {
        let partition = if let Recipe::Broken { partition } = recipe { partition } else { None };
        let broken = || AlertRecord { partition, outcome_wanted: true, ..AlertRecord::default() };
        self.readable(recipe).map_or_else(broken, record_to)
    }

    fn readable(&mut self, recipe: Recipe) -> Option<Record> {
        let content = match recipe {
            Recipe::Alert { reach, say, after } => {
                self.now += after;
                let reach = match reach {
                    0..=2 => Reach::Global,
                    3..=5 => Reach::Team(team(reach)),
                    n => Reach::Service(team(n % SERVICES), service(n)),
                };
                Content::Alert(self.alert(reach, say))
            }
            Recipe::Resolve { back, service } => Content::Resolve(self.command(back, service)),
            Recipe::Acknowledge { back, service } => {
                Content::Acknowledge(self.command(back, service))
            }
            Recipe::Broken { .. } => return None,
        };
        let team = match &content {
            Content::Alert(alert) => alert.reach.team(),
            Content::Resolve(command) | Content::Acknowledge(command) => Some(command.says.team),
        };
        let partition = team.map(|team| streams().partitions.of(team));
        Some(Record { partition, outcome_wanted: true, content, trace: None })
    }

    /// A command about what one of the last alerts may have opened; each is another principal's.
    fn command(&mut self, back: usize, n: u8) -> IncidentCommand {
        let known = self.alerts.len().saturating_sub(1 + back);
        let alert = self.alerts.get(known).copied().unwrap_or(AlertId::from_bytes([0; 16]));
        let id = self.fresh_id();
        let says = Command {
            incident: incident_id(alert, service(n)),
            team: team(n % SERVICES),
            service: service(n),
            by: PrincipalId::from_bytes(*id.as_bytes()),
            at: self.received_at(),
        };
        IncidentCommand { id, says }
    }

    fn alert(&mut self, reach: Reach, say: Say) -> Alert {
        let id = self.fresh_id();
        self.alerts.push(id);
        Alert {
            id,
            token: TokenId::from_bytes([3; 16]),
            reach,
            received_at: self.received_at(),
            from: None,
            payload: say.payload(),
            tracked_until: self.tracked_until(),
        }
    }

    /// Of four alerts one is not tracked, one comes just as tracking has ended, two are tracked.
    fn tracked_until(&self) -> Option<Timestamp> {
        let at = self.received_at();
        let just_after = Timestamp::from_micros(at.as_micros() + 1);
        match self.ids % 4 {
            _ if !self.tracking => None,
            0 => None,
            1 => Some(at),
            _ => Some(just_after),
        }
    }

    fn received_at(&self) -> Timestamp {
        Timestamp::from_micros(self.now * 1_000_000)
    }

    fn fresh_id(&mut self) -> AlertId {
        self.ids += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&((self.now.unsigned_abs() * 1_000) << 16).to_be_bytes());
        id[8..].copy_from_slice(&self.ids.to_be_bytes());
        AlertId::from_bytes(id)
    }
}

/// The maintenance window that was made as the configuration had so many commits.
pub fn window(sequence: u64) -> MaintenanceId {
    let mut id = [5; 16];
    id[..8].copy_from_slice(&sequence.to_be_bytes());
    MaintenanceId::from_bytes(id)
}

fn live(id: ServiceId, team: TeamId) -> Snapshot {
    let service = Service {
        id,
        team,
        name: DisplayName::parse("a service").unwrap(),
        disabled: false,
        filters: filters(),
        maintenance: Arc::default(),
        life: Life::begun(&STAMP),
    };
    Snapshot::Service(service.id, Entry::Live(service))
}

/// A mapped trigger; then an unmapped one whose filter resolves mapped values.
fn filters() -> Arc<Filters> {
    let contains = |text| Condition::new(None, vec![Item::parse(text).unwrap()]).unwrap();
    let filter = |n, text, map_with: Option<&str>| Filter {
        id: FilterId::from_bytes([n; 16]),
        name: DisplayName::parse(&format!("filter {n}")).unwrap(),
        trigger: Trigger::new(
            Urgency::High,
            vec![contains(text)],
            None,
            None,
            map_with.map(|key| Key::parse(key).unwrap()),
        )
        .unwrap(),
        resolve: None,
    };
    let resolve = Resolve { condition: contains("up"), mapped_with: Key::parse("was").unwrap() };
    let unmapped = Filter { resolve: Some(resolve), ..filter(2, "note", None) };
    Arc::new(Filters::new(vec![filter(1, "down", Some("host")), unmapped]).unwrap())
}

/// Evaluates as the worker does, but panics in one service at some payloads.
pub fn evaluate(entry: &matcher::Entry, payload: &Payload<'_>, from: Option<&str>) -> Match {
    if entry.service == fragile() && payload.text.contains("panic") {
        std::panic::resume_unwind(Box::new("a defect"));
    }
    matcher::evaluate(entry, payload, from)
}
