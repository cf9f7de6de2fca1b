//! Batches of alerts and commands, as GANDER_ALERTS holds them.
//!
//! Must not know who writes or folds them.

use bytes::Bytes;
use domain::id::{AlertId, IncidentId, InstanceId, PrincipalId, ServiceId, TeamId, TokenId};
use domain::incident;
use domain::reach::Reach;
use domain::time::Timestamp;
use prost::Message;

use super::control::{reach_from, reach_to};
use super::{Error, VERSION, check_version, field, fixed};
use crate::partition::{Partition, PartitionSet, Partitions};
use crate::proto::gander::stored::v1 as stored;
use crate::traceparent::Traceparent;

/// An alert on its way to the worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its id.
    pub id: AlertId,
    /// The token with which it came.
    pub token: TokenId,
    /// What the token reaches.
    pub reach: Reach,
    /// When the gateway received it.
    pub received_at: Timestamp,
    /// The source that it named.
    pub from: Option<String>,
    /// Its payload, decoded.
    pub payload: Bytes,
    /// Until when the token's calls are kept in the API log, as its gateway knew it.
    pub tracked_until: Option<Timestamp>,
}

impl Alert {
    /// Whether it is kept in the API log: it came before the end of tracking, whenever it is looked
    /// at (PRODUCT, section 7).
    #[must_use]
    pub fn is_tracked(&self) -> bool {
        self.tracked_until.is_some_and(|until| self.received_at < until)
    }

    /// The alert as the rules see it.
    #[must_use]
    pub fn to_domain(&self) -> incident::Alert {
        incident::Alert {
            id: self.id,
            token: self.token,
            received_at: self.received_at,
            from: self.from.clone(),
            payload: self.payload.clone(),
            payload_digest: blake3::hash(&self.payload).into(),
        }
    }
}

/// A principal does something to an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncidentCommand {
    /// Its id, like that of an alert.
    pub id: AlertId,
    /// What it says.
    pub says: incident::Command,
}

/// What a record holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// An alert.
    Alert(Alert),
    /// A principal resolves an incident.
    Resolve(IncidentCommand),
    /// A principal acknowledges an incident.
    Acknowledge(IncidentCommand),
}

impl Content {
    /// The id by which its outcome is known.
    #[must_use]
    pub const fn id(&self) -> AlertId {
        match self {
            Self::Alert(alert) => alert.id,
            Self::Resolve(command) | Self::Acknowledge(command) => command.id,
        }
    }

    /// The team that it is for; none: all.
    #[must_use]
    pub const fn team(&self) -> Option<TeamId> {
        match self {
            Self::Alert(alert) => alert.reach.team(),
            Self::Resolve(command) | Self::Acknowledge(command) => Some(command.says.team),
        }
    }

    /// The partitions that it is for.
    #[must_use]
    pub fn partitions(&self, partitions: Partitions) -> PartitionSet {
        self.team()
            .map_or(PartitionSet::all(partitions), |team| PartitionSet::one(partitions.of(team)))
    }
}

/// One record of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The partition that it is for; none: all.
    pub partition: Option<Partition>,
    /// Whether the writer waits for its outcome.
    pub outcome_wanted: bool,
    /// What it holds.
    pub content: Content,
    /// Where it stands in a trace.
    pub trace: Option<Traceparent>,
}

/// A message of GANDER_ALERTS, its records not yet read: one that cannot be read must not keep
/// the others from being read.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The control sequence that the writer had applied.
    pub control_sequence: u64,
    /// Who wrote it and waits for outcomes.
    pub instance: InstanceId,
    /// Its records.
    pub records: Vec<stored::AlertRecord>,
}

/// The bytes of a batch.
#[must_use]
pub fn encode_batch(
    control_sequence: u64,
    instance: InstanceId,
    records: Vec<stored::AlertRecord>,
) -> Bytes {
    let batch = stored::AlertBatch {
        version: VERSION,
        control_sequence,
        instance: copy(instance.as_bytes()),
        records,
    };
    batch.encode_to_vec().into()
}

/// Reads a batch, but not yet its records.
///
/// # Errors
/// The bytes are no batch that this build can read.
pub fn decode_batch(bytes: &Bytes) -> Result<Batch, Error> {
    let batch = stored::AlertBatch::decode(bytes.clone())?;
    check_version(batch.version)?;
    Ok(Batch {
        control_sequence: batch.control_sequence,
        instance: InstanceId::from_bytes(fixed(&batch.instance, "batch.instance")?),
        records: batch.records,
    })
}

fn copy(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// The stored form of a record.
#[must_use]
pub fn record_to(record: Record) -> stored::AlertRecord {
    use stored::alert_record::Kind;
    let kind = match record.content {
        Content::Alert(alert) => Kind::Alert(stored::Alert {
            id: copy(alert.id.as_bytes()),
            token: copy(alert.token.as_bytes()),
            reach: Some(reach_to(alert.reach)),
            received_at_micros: alert.received_at.as_micros(),
            from: alert.from.unwrap_or_default(),
            payload: alert.payload,
            tracked_until_micros: alert.tracked_until.map(Timestamp::as_micros),
        }),
        Content::Resolve(command) => Kind::Resolve(command_to(&command)),
        Content::Acknowledge(command) => Kind::Acknowledge(command_to(&command)),
    };
    stored::AlertRecord {
        partition: record.partition.map(|partition| partition.0),
        outcome_wanted: record.outcome_wanted,
        kind: Some(kind),
        trace: record.trace.map(|trace| copy(&trace.to_bytes())).unwrap_or_default(),
    }
}

/// Reads a record.
///
/// # Errors
/// A field is missing or broken.
pub fn record_from(record: stored::AlertRecord) -> Result<Record, Error> {
    use stored::alert_record::Kind;
    let trace = Traceparent::from_bytes(&record.trace);
    let content = match record.kind.ok_or(field("record.kind"))? {
        Kind::Alert(alert) => Content::Alert(Alert {
            id: AlertId::from_bytes(fixed(&alert.id, "alert.id")?),
            token: TokenId::from_bytes(fixed(&alert.token, "alert.token")?),
            reach: reach_from(alert.reach)?,
            received_at: received_at(alert.received_at_micros)?,
            from: (!alert.from.is_empty()).then_some(alert.from),
            payload: alert.payload,
            tracked_until: alert.tracked_until_micros.map(Timestamp::from_micros),
        }),
        Kind::Resolve(command) => Content::Resolve(command_from(&command)?),
        Kind::Acknowledge(command) => Content::Acknowledge(command_from(&command)?),
    };
    Ok(Record {
        partition: record.partition.map(Partition),
        outcome_wanted: record.outcome_wanted,
        content,
        trace,
    })
}

fn command_to(command: &IncidentCommand) -> stored::IncidentCommand {
    let says = &command.says;
    stored::IncidentCommand {
        id: copy(command.id.as_bytes()),
        principal: copy(says.by.as_bytes()),
        team: copy(says.team.as_bytes()),
        service: copy(says.service.as_bytes()),
        incident: copy(says.incident.as_bytes()),
        received_at_micros: says.at.as_micros(),
    }
}

fn command_from(command: &stored::IncidentCommand) -> Result<IncidentCommand, Error> {
    Ok(IncidentCommand {
        id: AlertId::from_bytes(fixed(&command.id, "command.id")?),
        says: incident::Command {
            incident: IncidentId::from_bytes(fixed(&command.incident, "command.incident")?),
            team: TeamId::from_bytes(fixed(&command.team, "command.team")?),
            service: ServiceId::from_bytes(fixed(&command.service, "command.service")?),
            by: PrincipalId::from_bytes(fixed(&command.principal, "command.principal")?),
            at: received_at(command.received_at_micros)?,
        },
    })
}

/// A time that an event can carry: years 1 to 9999.
fn received_at(micros: i64) -> Result<Timestamp, Error> {
    let at = Timestamp::from_micros(micros);
    crate::event::time_from(&crate::event::time(at)).ok_or(field("received_at"))
}
