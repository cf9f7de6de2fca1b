//! Alerts, incidents, and how far workers have come.
//!
//! Must not know the forms.

use domain::filter::{MappedValue, Urgency};
use domain::incident::{
    self, Acknowledgement, Cause, Flags, Incident, Kind, Opening, ResolveReason, Status, Totals,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use wire::Partition;
use wire::event::IncidentEvent;
use wire::partition::PartitionSet;
use wire::stored::alert::{Alert, Content, IncidentCommand, Record, record_to};
use wire::stored::member::{Member, Role};
use wire::stored::worker::{Checkpoint, Outcome, Parked, Position};

use super::{
    alerts, event_times, events, filters, incidents, instances, numbers, payloads, principals,
    reaches, services, sixteen, sources, teams, texts, thirty_two, tokens, traces, windows,
};

fn alert() -> impl Strategy<Value = Alert> {
    let tracked = option::of(event_times());
    (alerts(), tokens(), reaches(), event_times(), sources(), payloads(), tracked).prop_map(
        |(id, token, reach, received_at, from, payload, tracked_until)| Alert {
            id,
            token,
            reach,
            received_at,
            from,
            payload,
            tracked_until,
        },
    )
}

fn commands() -> impl Strategy<Value = IncidentCommand> {
    (alerts(), principals(), teams(), services(), incidents(), event_times()).prop_map(
        |(id, by, team, service, incident, at)| IncidentCommand {
            id,
            says: incident::Command { incident, team, service, by, at },
        },
    )
}

/// Any record of a batch.
pub fn records() -> impl Strategy<Value = Record> {
    let content = prop_oneof![
        alert().prop_map(Content::Alert),
        commands().prop_map(Content::Resolve),
        commands().prop_map(Content::Acknowledge),
    ];
    let partition = prop_oneof![Just(0), Just(63), any::<u32>()].prop_map(Partition);
    (option::of(partition), any::<bool>(), content, traces())
        .prop_map(|(partition, outcome_wanted, content, trace)| Record {
            partition,
            outcome_wanted,
            content,
            trace,
        })
        .boxed()
}

/// Any flags.
pub fn flags() -> impl Strategy<Value = Flags> {
    (any::<[bool; 8]>(), vec(windows(), 0..12)).prop_map(|(flags, windows)| Flags {
        created: flags[0],
        trigger_duplicate: flags[1],
        resolved: flags[2],
        resolve_duplicate: flags[3],
        suppressed: flags[4],
        suppressed_by: windows.into_iter().collect(),
        failed: flags[5],
        acknowledged: flags[6],
        acknowledge_duplicate: flags[7],
    })
}

fn totals() -> impl Strategy<Value = Totals> {
    vec(numbers(), 13).prop_map(|counts| {
        let mut counts = counts.into_iter();
        let mut next = || counts.next().unwrap();
        Totals {
            alerts: next(),
            commands: next(),
            services: next(),
            disabled: next(),
            failed: next(),
            created: next(),
            duplicate: next(),
            suppressed: next(),
            untriggered: next(),
            resolved: next(),
            resolve_duplicate: next(),
            unresolved: next(),
            parked: next(),
        }
    })
}

fn positions() -> impl Strategy<Value = Position> {
    (numbers(), any::<u32>(), option::of(services()), flags()).prop_map(
        |(sequence, records, service, flags)| Position { sequence, records, service, flags },
    )
}

/// Any checkpoint.
pub fn checkpoints() -> impl Strategy<Value = Checkpoint> {
    (numbers(), instances(), sixteen(), any::<i64>(), positions(), numbers(), totals()).prop_map(
        |(epoch, owner, batch, input_identity, position, control_sequence, totals)| Checkpoint {
            epoch,
            owner,
            batch,
            input_identity,
            position,
            control_sequence,
            totals,
        },
    )
}

fn mapped_values() -> impl Strategy<Value = MappedValue> {
    let spelled_like_a_digest = format!("blake3:{}", "0f".repeat(32));
    let edges = ["a".repeat(512), "a".repeat(513), spelled_like_a_digest];
    let text = prop_oneof![4 => texts(100), 1 => prop::sample::select(edges.to_vec())];
    prop_oneof![
        4 => text.prop_filter_map("empty", |text| MappedValue::new(&text)),
        1 => thirty_two().prop_map(MappedValue::Digest),
    ]
}

/// Any alert that caused something.
fn causes() -> impl Strategy<Value = Cause> {
    (alerts(), tokens(), event_times(), sources())
        .prop_map(|(id, token, received_at, from)| Cause { id, token, received_at, from })
}

fn openings() -> impl Strategy<Value = Opening> {
    let urgency = prop_oneof![Just(Urgency::High), Just(Urgency::Low)];
    let ids = (incidents(), teams(), services(), filters());
    let shown = (urgency, texts(40), texts(40), option::of(mapped_values()));
    let payload = (payloads(), any::<bool>(), thirty_two());
    (ids, shown, causes(), payload).prop_map(|(ids, shown, cause, payload)| {
        let (id, team, service, filter) = ids;
        let (urgency, title, description, mapped) = shown;
        let (payload, payload_omitted, payload_digest) = payload;
        Opening {
            id,
            team,
            service,
            filter,
            urgency,
            title,
            description,
            mapped,
            cause,
            payload,
            payload_omitted,
            payload_digest,
        }
    })
}

fn statuses() -> impl Strategy<Value = Status> {
    let reason = prop_oneof![
        Just(ResolveReason::Alert),
        principals().prop_map(ResolveReason::Principal),
        Just(ResolveReason::ServiceDeleted),
    ];
    prop_oneof![
        Just(Status::Open),
        (event_times(), reason).prop_map(|(at, reason)| Status::Resolved { at, reason }),
    ]
}

/// Any incident.
pub fn incident() -> impl Strategy<Value = Incident> {
    let acknowledgements =
        (principals(), event_times()).prop_map(|(by, at)| Acknowledgement { by, at });
    (openings(), numbers(), event_times(), option::of(acknowledgements), statuses())
        .prop_map(|(opening, occurrences, last_at, acknowledged, status)| Incident {
            opening: opening.into(),
            occurrences,
            last_at,
            acknowledged,
            status,
        })
        .boxed()
}

/// Any event.
pub fn incident_events() -> impl Strategy<Value = IncidentEvent> {
    let kind = prop_oneof![
        Just(Kind::Created),
        Just(Kind::Repeated),
        Just(Kind::Acknowledged),
        Just(Kind::Resolved),
    ];
    (events(), kind, incident(), option::of(causes()), numbers(), event_times(), traces()).prop_map(
        |(id, kind, incident, cause, alert_count, at, trace)| IncidentEvent {
            id,
            kind,
            incident,
            cause,
            alert_count,
            at,
            trace,
        },
    )
}

/// Any outcomes.
pub fn outcomes() -> impl Strategy<Value = Vec<Outcome>> {
    let partitions = numbers().prop_map(PartitionSet);
    let outcome = (alerts(), partitions, flags()).prop_map(|(id, partitions, flags)| Outcome {
        id,
        partitions,
        flags,
    });
    vec(outcome, 0..5)
}

/// Any parked record.
pub fn parked() -> impl Strategy<Value = Parked> {
    let content = option::of(records().prop_map(record_to));
    let record = option::of(any::<u32>());
    (numbers(), record, texts(40), option::of(services()), content, payloads()).prop_map(
        |(sequence, record, reason, service, content, raw)| Parked {
            sequence,
            record,
            reason,
            service,
            content,
            raw,
        },
    )
}

/// Anything that a process says of itself.
pub fn members() -> impl Strategy<Value = Member> {
    let role = prop_oneof![Just(Role::Admin), Just(Role::Gateway), Just(Role::Worker)];
    let text = || "[ -~\\u{e9}]{0,100}";
    let certificates = vec((text(), event_times()), 0..4);
    let process = (text(), text(), any::<u32>(), event_times());
    (role, instances(), process, numbers(), (text(), text()), certificates).prop_map(
        |(
            role,
            instance,
            (build, host, pid, started_at),
            control_sequence,
            (durability, redaction),
            certificates,
        )| {
            Member {
                role,
                instance,
                build,
                host,
                pid,
                started_at,
                control_sequence,
                durability,
                certificates,
                redaction,
            }
        },
    )
}
