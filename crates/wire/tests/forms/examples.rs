//! One example of each stored form, with every field set and every value its own.
//!
//! Must not change: the golden files have their bytes.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use domain::access::Role;
use domain::aggregate::{Actor, Entry, Life, Stamp};
use domain::commit::{Change, Commit, Request};
use domain::directory::Snapshot;
use domain::filter::{
    Condition, Filter, Filters, Item, Key, MappedValue, Resolve, Trigger, Urgency,
};
use domain::id::{
    AlertId, EventId, FilterId, IncidentId, InstanceId, MaintenanceId, PrincipalId, ServiceId,
    TeamId, TokenId,
};
use domain::incident::{
    self, Acknowledgement, Cause, Flags, Incident, Kind, Opening, ResolveReason, Status, Totals,
};
use domain::maintenance::{self, Tag, Tags, Window, WindowIds, Windows};
use domain::name::DisplayName;
use domain::principal::{self, Principal};
use domain::reach::Reach;
use domain::secret::{Digest, LastFour};
use domain::service::{self, Service};
use domain::team::{self, Team};
use domain::time::Timestamp;
use domain::token::{self, Token};
use prost::Message;
use wire::event::IncidentEvent;
use wire::partition::PartitionSet;
use wire::proto::gander::stored::v1 as stored;
use wire::stored::Error;
use wire::stored::alert::{
    Alert, Content, IncidentCommand, Record, decode_batch, encode_batch, record_from, record_to,
};
use wire::stored::backup::{self, Frame};
use wire::stored::control::{decode_commit, decode_message, encode_commit, encode_message};
use wire::stored::member::{self, Member};
use wire::stored::worker::{
    Checkpoint, Outcome, Parked, Position, decode_outcomes, decode_state, encode_outcomes,
    encode_state,
};
use wire::{Partition, Traceparent};

pub const TEAM: TeamId = TeamId::from_bytes([0x11; 16]);
pub const SERVICE: ServiceId = ServiceId::from_bytes([0x12; 16]);
pub const ALERT: AlertId = AlertId::from_bytes([0x13; 16]);
pub const INCIDENT: IncidentId = IncidentId::from_bytes([0x14; 16]);
const FILTER: FilterId = FilterId::from_bytes([0x15; 16]);
const TOKEN: TokenId = TokenId::from_bytes([0x16; 16]);
const PRINCIPAL: PrincipalId = PrincipalId::from_bytes([0x17; 16]);
const INSTANCE: InstanceId = InstanceId::from_bytes([0x18; 16]);
const EVENT: EventId = EventId::from_bytes([0x19; 16]);
const WINDOW: MaintenanceId = MaintenanceId::from_bytes([0x1a; 16]);

/// A form's bytes as this build writes them, and whether bytes are read as the same value.
pub struct Example {
    /// The name of its golden file.
    pub name: &'static str,
    /// What this build writes.
    pub bytes: Bytes,
    /// Whether bytes are read as the value.
    pub is_read: Box<dyn Fn(&Bytes) -> bool>,
}

fn example<T: PartialEq + 'static>(
    name: &'static str,
    value: T,
    write: impl Fn(&T) -> Bytes,
    read: impl Fn(&Bytes) -> Result<T, Error> + 'static,
) -> Example {
    let bytes = write(&value);
    Example { name, bytes, is_read: Box::new(move |bytes| read(bytes).is_ok_and(|v| v == value)) }
}

/// All of them.
pub fn examples() -> Vec<Example> {
    let mut all = Vec::new();
    for (name, commit) in commits() {
        all.push(example(name, commit, encode_commit, decode_commit));
    }
    for (name, change, snapshot) in snapshots() {
        let record = encode_commit(&commit(Actor::System, vec![change]));
        let write = |(record, left): &(Bytes, Snapshot)| encode_message(record.clone(), left);
        all.push(example(name, (record, snapshot), write, decode_message));
    }
    let write = |records: &Vec<Record>| {
        encode_batch(300, INSTANCE, records.iter().cloned().map(record_to).collect())
    };
    let read = |bytes: &Bytes| {
        let batch = decode_batch(bytes)?;
        assert_eq!((batch.control_sequence, batch.instance), (300, INSTANCE));
        batch.records.into_iter().map(record_from).collect()
    };
    let traced = |record| Record { trace: Some(trace()), ..record };
    all.push(example("batch_traced", records().into_iter().map(traced).collect(), write, read));
    all.push(example("batch", records(), write, read));
    all.push(example("batch_tracked", vec![tracked()], write, read));
    all.push(example("batch_acknowledge", vec![acknowledging()], write, read));
    all.push(example("checkpoint", checkpoint(), Checkpoint::encode, Checkpoint::decode));
    for (name, incident) in incidents() {
        all.push(example(name, incident, encode_state, decode_state));
    }
    all.push(example("member", member(), Member::encode, Member::decode));
    let redacting = Member { redaction: "0011223344556677".to_owned(), ..member() };
    all.push(example("member_redacting", redacting, Member::encode, Member::decode));
    for (name, all_of_it) in [
        ("outcomes", outcomes()),
        ("outcomes_acknowledge", acknowledged()),
        ("outcomes_suppressed", suppressed()),
    ] {
        all.push(example(name, all_of_it, |all| encode_outcomes(all), decode_outcomes));
    }
    for (name, frame) in frames() {
        all.push(example(name, frame, Frame::encode, Frame::decode));
    }
    let read = |bytes: &Bytes| Ok(stored::Parked::decode(bytes.clone())?);
    let write = |form: &stored::Parked| form.encode_to_vec().into();
    all.push(example("parked", stored::Parked::decode(parked().encode()).unwrap(), write, read));
    all
}

fn at(n: i64) -> Timestamp {
    Timestamp::from_micros(1_795_800_411_239_680 + n)
}

fn name(text: &str) -> DisplayName {
    DisplayName::parse(text).unwrap()
}

fn digest(n: u8) -> Digest {
    Digest::from_bytes([n; 32])
}

fn last_four(text: &str) -> LastFour {
    LastFour::parse(text).unwrap()
}

fn filters() -> Arc<Filters> {
    let key = |text: &str| Key::parse(text).unwrap();
    let condition = |at: Option<&str>, items: &[&str]| {
        let items = items.iter().map(|item| Item::parse(item).unwrap()).collect();
        Condition::new(at.map(key), items).unwrap()
    };
    let trigger = |urgency, more| {
        let conditions = vec![condition(Some("status"), &["firing", "Störung"]), more];
        let map = Some(key("$.alerts[0][\"finger print\"]"));
        Trigger::new(urgency, conditions, Some(key("title")), Some(key("text")), map).unwrap()
    };
    let resolve = Some(Resolve {
        condition: condition(Some("status"), &["resolved"]),
        mapped_with: key("$.alerts[*].id"),
    });
    let whole = Trigger::new(Urgency::Low, vec![condition(None, &["x"])], None, None, None);
    let plain = Filter {
        id: FilterId::from_bytes([0x25; 16]),
        name: name("Plain"),
        trigger: whole.unwrap(),
        resolve: None,
    };
    let full = Filter {
        id: FILTER,
        name: name("Firing"),
        trigger: trigger(Urgency::High, condition(Some("a.b"), &["c"])),
        resolve,
    };
    Arc::new(Filters::new(vec![full, plain]).unwrap())
}

fn roles() -> BTreeSet<Role> {
    let team = |n| TeamId::from_bytes([n; 16]);
    BTreeSet::from([
        Role::GlobalAdmin,
        Role::Stakeholder,
        Role::TeamManager(team(0x21)),
        Role::Responder(team(0x22)),
        Role::Observer(team(0x23)),
    ])
}

fn commit(actor: Actor, changes: Vec<Change>) -> Commit {
    let request = Some(Request { id: [0x31; 16], digest: [0x32; 32] });
    Commit { sequence: 300, previous_hash: [0x33; 32], at: at(0), actor, request, changes }
}

/// Every event of each kind of thing.
pub fn commits() -> Vec<(&'static str, Commit)> {
    let team = [
        team::Event::Created { name: name("Payments") },
        team::Event::Renamed { name: name("Zahlungen ✓") },
        team::Event::Deleted,
    ];
    let service = [
        service_created(),
        service::Event::Renamed { name: name("Basket") },
        service::Event::DisabledSet { disabled: true },
        service::Event::DisabledSet { disabled: false },
        service::Event::FiltersReplaced { filters: Arc::new(Filters::default()) },
        service::Event::Deleted,
    ];
    let bootstrap = Commit {
        request: None,
        ..commit(Actor::System, vec![Change::BootstrapIssued(digest(0x45))])
    };
    let (admin, team) = (Actor::Principal(PRINCIPAL), team.map(|event| Change::Team(TEAM, event)));
    let service = service.map(|event| Change::Service(SERVICE, event));
    let token = token_events().into_iter().map(|event| Change::Token(TOKEN, event));
    let over_limit = over_limit_events().map(|event| Change::Token(TOKEN, event));
    let tracking = tracking_events().map(|event| Change::Token(TOKEN, event));
    let expired = token::Event::Expired { last_four: last_four("aB3z") };
    let principal = principal_events().map(|event| Change::Principal(PRINCIPAL, event));
    vec![
        ("commit_team", commit(admin, team.into())),
        ("commit_service", commit(admin, service.into())),
        ("commit_maintenance", commit(admin, maintenance_events().into())),
        ("commit_token", commit(admin, token.collect())),
        ("commit_tracking", commit(admin, tracking.into())),
        ("commit_over_limit", commit(admin, over_limit.into())),
        ("commit_expired", commit(Actor::System, vec![Change::Token(TOKEN, expired)])),
        ("commit_principal", commit(Actor::Bootstrap, principal.into())),
        ("commit_installation", bootstrap),
    ]
}

fn service_created() -> service::Event {
    service::Event::Created {
        team: TEAM,
        name: name("Checkout"),
        disabled: true,
        filters: filters(),
    }
}

fn tags() -> Arc<Tags> {
    let tag = |texts: &[&str]| {
        Tag::new(texts.iter().map(|text| Item::parse(text).unwrap()).collect()).unwrap()
    };
    Arc::new(Tags::new(vec![tag(&["db1", "Störung"]), tag(&["backup"])]).unwrap())
}

fn maintenance_events() -> [Change; 3] {
    let forgotten = [0x2a, 0x2b].map(|n| MaintenanceId::from_bytes([n; 16])).to_vec();
    let created = |tags, forgotten| maintenance::Event::Created {
        id: WINDOW,
        start: at(15),
        end: at(16),
        tags,
        forgotten,
    };
    let ended = maintenance::Event::Ended { id: WINDOW, at: at(17) };
    [created(tags(), forgotten), created(Arc::default(), vec![]), ended]
        .map(|event| Change::Service(SERVICE, service::Event::Maintenance(event)))
}

/// One creation for each reach, then the other events.
fn token_events() -> Vec<token::Event> {
    let created = |reach, expires_at, url_parameter_allowed| token::Event::Created {
        name: name("Grafana"),
        reach,
        digest: digest(0x41),
        last_four: last_four("aB3z"),
        expires_at,
        url_parameter_allowed,
        unavailable_over_limit: false,
        tracked_until: None,
    };
    vec![
        created(Reach::Global, None, false),
        created(Reach::Team(TEAM), Some(at(1)), true),
        created(Reach::Service(TEAM, SERVICE), Some(Timestamp::from_micros(-1)), true),
        token::Event::Renamed { name: name("Zabbix") },
        token::Event::ExpirySet { expires_at: Some(at(2)) },
        token::Event::ExpirySet { expires_at: Some(Timestamp::from_micros(0)) },
        token::Event::ExpirySet { expires_at: None },
        token::Event::UrlParameterSet { allowed: true },
        token::Event::UrlParameterSet { allowed: false },
        token::Event::SecretReplaced { digest: digest(0x42), last_four: last_four("0000") },
        token::Event::Deleted,
    ]
}

/// A token that is tracked from the start, and how that may change.
fn tracking_events() -> [token::Event; 4] {
    [
        token::Event::Created {
            name: name("Grafana"),
            reach: Reach::Global,
            digest: digest(0x41),
            last_four: last_four("aB3z"),
            expires_at: None,
            url_parameter_allowed: true,
            unavailable_over_limit: false,
            tracked_until: Some(at(48)),
        },
        token::Event::TrackingSet { until: Some(at(49)) },
        token::Event::TrackingSet { until: None },
        token::Event::TrackingEnded,
    ]
}

/// A token that is answered 503 beyond its limit, and how that may change.
fn over_limit_events() -> [token::Event; 3] {
    let created = token::Event::Created {
        name: name("Grafana"),
        reach: Reach::Global,
        digest: digest(0x41),
        last_four: last_four("aB3z"),
        expires_at: None,
        url_parameter_allowed: true,
        unavailable_over_limit: true,
        tracked_until: None,
    };
    let set = |unavailable| token::Event::OverLimitSet { unavailable };
    [created, set(false), set(true)]
}

fn principal_events() -> [principal::Event; 7] {
    [
        principal::Event::Created {
            name: name("Ada"),
            roles: roles(),
            digest: digest(0x43),
            last_four: last_four("Zz09"),
            expires_at: Some(at(3)),
        },
        principal::Event::Renamed { name: name("Eve") },
        principal::Event::RolesReplaced { roles: BTreeSet::from([Role::Observer(TEAM)]) },
        principal::Event::ExpirySet { expires_at: Some(at(4)) },
        principal::Event::ExpirySet { expires_at: None },
        principal::Event::CredentialReplaced { digest: digest(0x44), last_four: last_four("1111") },
        principal::Event::Deleted,
    ]
}

fn windows(creator: Actor) -> Arc<Windows> {
    let made = Stamp { sequence: 299, at: at(18), actor: creator };
    let window = |id, tags| Window { id, start: at(15), end: at(17), tags, made };
    let other = MaintenanceId::from_bytes([0x2c; 16]);
    Arc::new([window(WINDOW, tags()), window(other, Arc::default())].into_iter().collect())
}

fn service() -> Service {
    Service {
        id: SERVICE,
        team: TEAM,
        name: name("Checkout"),
        disabled: true,
        filters: filters(),
        maintenance: Arc::default(),
        life: life(),
    }
}

fn life() -> Life {
    let creator = Actor::Principal(PRINCIPAL);
    Life { created_at: at(5), creator, updated_at: at(6), version: 300 }
}

fn token() -> Token {
    Token {
        id: TOKEN,
        name: name("Grafana"),
        reach: Reach::Service(TEAM, SERVICE),
        digest: Some(digest(0x41)),
        last_four: last_four("aB3z"),
        expires_at: Some(at(7)),
        url_parameter_allowed: true,
        unavailable_over_limit: false,
        tracked_until: None,
        life: Life { creator: Actor::Bootstrap, ..life() },
    }
}

/// Each kind of thing as a commit left it.
fn snapshots() -> Vec<(&'static str, Change, Snapshot)> {
    let (service, token, life) = (service(), token(), life());
    let team = Team { id: TEAM, name: name("Payments"), life };
    let in_maintenance = Service { maintenance: windows(life.creator), ..service.clone() };
    let principal = Principal {
        id: PRINCIPAL,
        name: name("Ada"),
        roles: roles(),
        digest: Some(digest(0x43)),
        last_four: last_four("Zz09"),
        expires_at: Some(at(8)),
        life: Life { creator: Actor::System, ..life },
    };
    let expired = Principal { digest: None, ..principal.clone() };
    let of_team = |event| Change::Team(TEAM, event);
    let of_token = |event| Change::Token(TOKEN, event);
    vec![
        (
            "control_team",
            of_team(team::Event::Renamed { name: name("Payments") }),
            Snapshot::Team(TEAM, Entry::Live(team)),
        ),
        (
            "control_service",
            Change::Service(SERVICE, service_created()),
            Snapshot::Service(SERVICE, Entry::Live(service)),
        ),
        (
            "control_maintenance",
            maintenance_events()[2].clone(),
            Snapshot::Service(SERVICE, Entry::Live(in_maintenance)),
        ),
        (
            "control_token",
            of_token(token::Event::UrlParameterSet { allowed: true }),
            Snapshot::Token(TOKEN, Entry::Live(token)),
        ),
        (
            "control_expired",
            Change::Principal(
                PRINCIPAL,
                principal::Event::Expired { last_four: last_four("Zz09") },
            ),
            Snapshot::Principal(PRINCIPAL, Entry::Live(expired)),
        ),
        (
            "control_principal",
            Change::Principal(PRINCIPAL, principal::Event::ExpirySet { expires_at: Some(at(8)) }),
            Snapshot::Principal(PRINCIPAL, Entry::Live(principal)),
        ),
        (
            "control_deleted",
            of_token(token::Event::Deleted),
            Snapshot::Token(TOKEN, Entry::Deleted),
        ),
        ("control_installation", Change::BootstrapIssued(digest(0x45)), Snapshot::Installation),
    ]
}

/// An alert whose call is kept in the API log.
fn tracked() -> Record {
    let alert = Alert {
        id: ALERT,
        token: TOKEN,
        reach: Reach::Global,
        received_at: at(9),
        from: None,
        payload: Bytes::from_static(b"{}"),
        tracked_until: Some(at(48)),
    };
    let (outcome_wanted, content) = (true, Content::Alert(alert));
    Record { partition: None, outcome_wanted, content, trace: None }
}

fn records() -> Vec<Record> {
    let alert = Alert {
        id: ALERT,
        token: TOKEN,
        reach: Reach::Team(TEAM),
        received_at: at(9),
        from: Some("probe ✓".to_owned()),
        payload: Bytes::from_static(b"{\"status\": \"firing\"}\xff"),
        tracked_until: None,
    };
    let global = Alert {
        reach: Reach::Global,
        from: None,
        payload: Bytes::new(),
        received_at: at(10),
        ..alert.clone()
    };
    let record = |partition: Option<u32>, outcome_wanted, content| Record {
        partition: partition.map(Partition),
        outcome_wanted,
        content,
        trace: None,
    };
    vec![
        record(Some(7), true, Content::Alert(alert)),
        record(None, false, Content::Alert(global)),
        record(Some(0), true, Content::Resolve(command())),
    ]
}

fn command() -> IncidentCommand {
    let (incident, team, service) = (INCIDENT, TEAM, SERVICE);
    let says = incident::Command { incident, team, service, by: PRINCIPAL, at: at(11) };
    IncidentCommand { id: ALERT, says }
}

fn acknowledging() -> Record {
    let content = Content::Acknowledge(command());
    Record { partition: Some(Partition(9)), outcome_wanted: true, content, trace: None }
}

fn checkpoint() -> Checkpoint {
    let totals = Totals {
        alerts: 1,
        commands: 2,
        services: 3,
        disabled: 4,
        failed: 5,
        created: 6,
        duplicate: 7,
        suppressed: 8,
        untriggered: 9,
        resolved: 10,
        resolve_duplicate: 11,
        unresolved: 12,
        parked: 1_300,
    };
    let flags = Flags { created: true, resolve_duplicate: true, ..Flags::default() };
    Checkpoint {
        epoch: 4,
        owner: INSTANCE,
        batch: [0x51; 16],
        input_identity: 1_795_800_411_239_680_123,
        position: Position { sequence: 500, records: 6, service: Some(SERVICE), flags },
        control_sequence: 300,
        totals,
    }
}

/// A mapped one that was resolved, an unmapped one, one whose value is kept as a digest, and one
/// that was acknowledged and is open.
pub fn incidents() -> Vec<(&'static str, Incident)> {
    let cause =
        Cause { id: ALERT, token: TOKEN, received_at: at(12), from: Some("probe ✓".to_owned()) };
    let opening = Opening {
        id: INCIDENT,
        team: TEAM,
        service: SERVICE,
        filter: FILTER,
        urgency: Urgency::High,
        title: "Störung".to_owned(),
        description: "All of it\nis down".to_owned(),
        mapped: MappedValue::new("disk /"),
        cause,
        payload: Bytes::from_static(b"{\"status\": \"firing\"}\xff"),
        payload_omitted: false,
        payload_digest: [0x61; 32],
    };
    let reason = ResolveReason::Principal(PRINCIPAL);
    let resolved = Incident {
        opening: Arc::new(opening.clone()),
        occurrences: 300,
        last_at: at(13),
        acknowledged: None,
        status: Status::Resolved { at: at(14), reason },
    };
    let acknowledgement = Acknowledgement { by: PRINCIPAL, at: at(15) };
    let acknowledged =
        Incident { acknowledged: Some(acknowledgement), status: Status::Open, ..resolved.clone() };
    let unmapped = Opening {
        urgency: Urgency::Low,
        mapped: None,
        payload: Bytes::new(),
        payload_omitted: true,
        ..opening.clone()
    };
    let by_digest = Opening { mapped: Some(MappedValue::Digest([0x62; 32])), ..opening };
    vec![
        ("state_mapped", resolved),
        ("state_unmapped", Incident::opened(Arc::new(unmapped))),
        ("state_by_digest", Incident::opened(Arc::new(by_digest))),
        ("state_acknowledged", acknowledged),
    ]
}

/// What subscribers see of the first of them.
pub fn event() -> IncidentEvent {
    let (_, incident) = incidents().swap_remove(0);
    let cause = Some(incident.opening.cause.clone());
    IncidentEvent {
        id: EVENT,
        kind: Kind::Resolved,
        incident,
        cause,
        alert_count: 1,
        at: at(14),
        trace: None,
    }
}

/// The same, traced.
pub fn traced_event() -> IncidentEvent {
    IncidentEvent { trace: Some(trace()), ..event() }
}

fn trace() -> Traceparent {
    Traceparent::new([0x71; 16], [0x72; 8], true).unwrap()
}

/// What subscribers see of the acknowledged one.
pub fn acknowledged_event() -> IncidentEvent {
    let incident = incidents().pop().map(|(_, incident)| incident).unwrap();
    let kind = Kind::Acknowledged;
    IncidentEvent {
        id: EVENT,
        kind,
        incident,
        cause: None,
        alert_count: 0,
        at: at(15),
        trace: None,
    }
}

fn acknowledged() -> Vec<Outcome> {
    let outcome = |flags| Outcome { id: ALERT, partitions: PartitionSet(1), flags };
    vec![
        outcome(Flags { acknowledged: true, ..Flags::default() }),
        outcome(Flags { acknowledge_duplicate: true, ..Flags::default() }),
    ]
}

fn member() -> Member {
    Member {
        role: member::Role::Gateway,
        instance: INSTANCE,
        build: "0.1.0".to_owned(),
        host: "alpha.example".to_owned(),
        pid: 4_711,
        started_at: at(15),
        control_sequence: 300,
        durability: "power-safe".to_owned(),
        certificates: vec![("http".to_owned(), at(16))],
        redaction: String::new(),
    }
}

fn outcomes() -> Vec<Outcome> {
    let only = |n: usize| {
        let flag = |own| n == own;
        Flags {
            created: flag(0),
            trigger_duplicate: flag(1),
            resolved: flag(2),
            resolve_duplicate: flag(3),
            suppressed: flag(4),
            suppressed_by: WindowIds::default(),
            failed: flag(5),
            ..Flags::default()
        }
    };
    let outcome =
        |n| Outcome { id: ALERT, partitions: PartitionSet(1_u64 << (10 * n)), flags: only(n) };
    (0..6).map(outcome).collect()
}

/// By two maintenance windows.
fn suppressed() -> Vec<Outcome> {
    let windows = [0x1a, 0x2a].map(|n| MaintenanceId::from_bytes([n; 16]));
    let suppressed_by = windows.into_iter().collect();
    let flags = Flags { suppressed: true, suppressed_by, ..Flags::default() };
    vec![Outcome { id: ALERT, partitions: PartitionSet(1), flags }]
}

fn frames() -> [(&'static str, Frame); 3] {
    let head = backup::Head {
        at_micros: 1_000_001,
        gander_version: "0.1.0".to_owned(),
        nats_version: "2.15.1".to_owned(),
        partitions: 16,
    };
    let message = backup::Message {
        stream: "GANDER_ALERTS".to_owned(),
        sequence: 300,
        subject: "gander.alerts".to_owned(),
        at_micros: 1_000_002,
        headers: vec![("gander-partitions".to_owned(), "0000000000000001".to_owned())],
        payload: Bytes::from_static(b"payload"),
    };
    let streams = vec![("GANDER_ALERTS".to_owned(), 1, 300)];
    [
        ("backup_head", Frame::Head(head)),
        ("backup_message", Frame::Message(message)),
        ("backup_end", Frame::End(backup::End { streams, digest: [0x33; 32] })),
    ]
}

fn parked() -> Parked {
    Parked {
        sequence: 500,
        record: Some(6),
        reason: "it panicked".to_owned(),
        service: Some(SERVICE),
        content: records().into_iter().map(record_to).next(),
        raw: Bytes::from_static(b"\xff\x00raw"),
    }
}
