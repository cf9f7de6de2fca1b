//! Checkpoints, incident states, outcomes and parked records.
//!
//! Must not know how they are committed.

use bytes::Bytes;
use domain::filter::MappedValue;
use domain::id::{AlertId, InstanceId, ServiceId};
use domain::incident::{Flags, Incident, Totals};
use prost::Message;

use super::alert::{Record, decode_batch, record_from};
use super::maintenance::{id_from, id_to};
use super::{Error, VERSION, check_version, field, fixed};
use crate::event::{incident_from, incident_to};
use crate::partition::PartitionSet;
use crate::proto::gander::stored::v1 as stored;

/// A place in the input: everything before it is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The sequence of the last message that is done.
    pub sequence: u64,
    /// How many records of the message after it are done.
    pub records: u32,
    /// The last service done of the record after those.
    pub service: Option<ServiceId>,
    /// What that record has come to so far.
    pub flags: Flags,
}

/// How far a partition has come, and who owns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// How often the partition has been taken over.
    pub epoch: u64,
    /// The worker that owns it.
    pub owner: InstanceId,
    /// The commit that wrote this.
    pub batch: [u8; 16],
    /// The identity of the input stream.
    pub input_identity: i64,
    /// Where folding goes on.
    pub position: Position,
    /// The control sequence used.
    pub control_sequence: u64,
    /// Running totals of verdicts.
    pub totals: Totals,
}

fn copy(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

impl Checkpoint {
    /// The bytes of the checkpoint.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let position = stored::Position {
            sequence: self.position.sequence,
            records: self.position.records,
            service: self.position.service.map(|id| copy(id.as_bytes())).unwrap_or_default(),
            outcome: Some(flags_to(self.position.flags)),
        };
        let checkpoint = stored::Checkpoint {
            version: VERSION,
            epoch: self.epoch,
            owner: copy(self.owner.as_bytes()),
            batch: copy(&self.batch),
            input_identity: self.input_identity,
            position: Some(position),
            control_sequence: self.control_sequence,
            totals: Some(totals_to(&self.totals)),
        };
        checkpoint.encode_to_vec().into()
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// The bytes are no checkpoint that this build can read.
    pub fn decode(bytes: &Bytes) -> Result<Self, Error> {
        let checkpoint = stored::Checkpoint::decode(bytes.clone())?;
        check_version(checkpoint.version)?;
        let position = checkpoint.position.ok_or(field("checkpoint.position"))?;
        let service = match position.service.len() {
            0 => None,
            _ => Some(ServiceId::from_bytes(fixed(&position.service, "position.service")?)),
        };
        Ok(Self {
            epoch: checkpoint.epoch,
            owner: InstanceId::from_bytes(fixed(&checkpoint.owner, "checkpoint.owner")?),
            batch: fixed(&checkpoint.batch, "checkpoint.batch")?,
            input_identity: checkpoint.input_identity,
            position: Position {
                sequence: position.sequence,
                records: position.records,
                service,
                flags: flags_from(&position.outcome.unwrap_or_default())?,
            },
            control_sequence: checkpoint.control_sequence,
            totals: totals_from(&checkpoint.totals.ok_or(field("checkpoint.totals"))?),
        })
    }
}

fn flags_to(flags: Flags) -> stored::Outcome {
    stored::Outcome {
        id: Bytes::new(),
        partitions: 0,
        created: flags.created,
        trigger_duplicate: flags.trigger_duplicate,
        resolved: flags.resolved,
        resolve_duplicate: flags.resolve_duplicate,
        suppressed: flags.suppressed,
        failed: flags.failed,
        acknowledged: flags.acknowledged,
        acknowledge_duplicate: flags.acknowledge_duplicate,
        suppressed_by: flags.suppressed_by.iter().map(id_to).collect(),
    }
}

fn flags_from(outcome: &stored::Outcome) -> Result<Flags, Error> {
    Ok(Flags {
        created: outcome.created,
        trigger_duplicate: outcome.trigger_duplicate,
        resolved: outcome.resolved,
        resolve_duplicate: outcome.resolve_duplicate,
        suppressed: outcome.suppressed,
        suppressed_by: outcome
            .suppressed_by
            .iter()
            .map(|id| id_from(id))
            .collect::<Result<_, _>>()?,
        failed: outcome.failed,
        acknowledged: outcome.acknowledged,
        acknowledge_duplicate: outcome.acknowledge_duplicate,
    })
}

const fn totals_to(totals: &Totals) -> stored::Totals {
    stored::Totals {
        alerts: totals.alerts,
        commands: totals.commands,
        services: totals.services,
        disabled: totals.disabled,
        failed: totals.failed,
        created: totals.created,
        duplicate: totals.duplicate,
        suppressed: totals.suppressed,
        untriggered: totals.untriggered,
        resolved: totals.resolved,
        resolve_duplicate: totals.resolve_duplicate,
        unresolved: totals.unresolved,
        parked: totals.parked,
    }
}

const fn totals_from(totals: &stored::Totals) -> Totals {
    Totals {
        alerts: totals.alerts,
        commands: totals.commands,
        services: totals.services,
        disabled: totals.disabled,
        failed: totals.failed,
        created: totals.created,
        duplicate: totals.duplicate,
        suppressed: totals.suppressed,
        untriggered: totals.untriggered,
        resolved: totals.resolved,
        resolve_duplicate: totals.resolve_duplicate,
        unresolved: totals.unresolved,
        parked: totals.parked,
    }
}

/// The bytes of an incident's state.
#[must_use]
pub fn encode_state(incident: &Incident) -> Bytes {
    let mapped_digest = match &incident.opening.mapped {
        Some(MappedValue::Digest(digest)) => copy(digest),
        Some(MappedValue::Text(_)) | None => Bytes::new(),
    };
    let state = stored::IncidentState {
        version: VERSION,
        incident: Some(incident_to(incident)),
        payload_digest: copy(&incident.opening.payload_digest),
        mapped_digest,
    };
    state.encode_to_vec().into()
}

/// Reads an incident's state.
///
/// # Errors
/// The bytes are no state that this build can read.
pub fn decode_state(bytes: &Bytes) -> Result<Incident, Error> {
    let state = stored::IncidentState::decode(bytes.clone())?;
    check_version(state.version)?;
    let mapped_digest = match state.mapped_digest.len() {
        0 => None,
        _ => Some(fixed(&state.mapped_digest, "state.mapped_digest")?),
    };
    let payload_digest = fixed(&state.payload_digest, "state.payload_digest")?;
    incident_from(state.incident.ok_or(field("state.incident"))?, mapped_digest, payload_digest)
}

/// What a record came to in some partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The alert or command.
    pub id: AlertId,
    /// The partitions covered.
    pub partitions: PartitionSet,
    /// What it came to there.
    pub flags: Flags,
}

/// The bytes of outcomes on their way back.
#[must_use]
pub fn encode_outcomes(outcomes: &[Outcome]) -> Bytes {
    let to = |outcome: &Outcome| stored::Outcome {
        id: copy(outcome.id.as_bytes()),
        partitions: outcome.partitions.0,
        ..flags_to(outcome.flags)
    };
    stored::OutcomeBatch { outcomes: outcomes.iter().map(to).collect() }.encode_to_vec().into()
}

/// Reads outcomes.
///
/// # Errors
/// The bytes are no outcomes.
pub fn decode_outcomes(bytes: &Bytes) -> Result<Vec<Outcome>, Error> {
    let batch = stored::OutcomeBatch::decode(bytes.clone())?;
    let from = |outcome: stored::Outcome| {
        Ok(Outcome {
            id: AlertId::from_bytes(fixed(&outcome.id, "outcome.id")?),
            partitions: PartitionSet(outcome.partitions),
            flags: flags_from(&outcome)?,
        })
    };
    batch.outcomes.into_iter().map(from).collect()
}

/// Parked bytes beyond this are cut: what holds them must fit into a message of any server, also
/// of one with the usual limit of 1 MiB.
pub const MAX_PARKED_RAW: usize = 512 * 1024;

/// A record that could not be read or evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Parked {
    /// The sequence of its message.
    pub sequence: u64,
    /// Its index there; none: the whole message.
    pub record: Option<u32>,
    /// Why.
    pub reason: String,
    /// The service whose evaluation failed; none: all of them.
    pub service: Option<ServiceId>,
    /// The record, where it could be read.
    pub content: Option<stored::AlertRecord>,
    /// The message, where it could not.
    pub raw: Bytes,
}

impl Parked {
    /// Reads a parked record, but not yet what is parked in it.
    ///
    /// # Errors
    /// The bytes are no parked record that this build can read.
    pub fn decode(bytes: &Bytes) -> Result<Self, Error> {
        let parked = stored::Parked::decode(bytes.clone())?;
        check_version(parked.version)?;
        let service = match parked.service.as_ref() {
            [] => None,
            id => Some(ServiceId::from_bytes(fixed(id, "parked.service")?)),
        };
        Ok(Self {
            sequence: parked.sequence,
            record: parked.record,
            reason: parked.reason,
            service,
            content: parked.content,
            raw: parked.raw,
        })
    }

    /// What is parked in it, in its order.
    ///
    /// # Errors
    /// This build cannot read it, or it was cut.
    pub fn records(&self) -> Result<Vec<Record>, Error> {
        let stored = match &self.content {
            Some(record) => vec![record.clone()],
            // It may have been cut between two records.
            None if self.raw.len() >= MAX_PARKED_RAW => return Err(field("parked.raw")),
            None => decode_batch(&self.raw)?.records,
        };
        stored.into_iter().map(record_from).collect()
    }

    /// Its bytes, of the record or of the message.
    #[must_use]
    pub fn raw(&self) -> Bytes {
        match &self.content {
            Some(record) => record.encode_to_vec().into(),
            None => self.raw.clone(),
        }
    }

    /// The bytes of the parked record.
    #[must_use]
    pub fn encode(self) -> Bytes {
        let parked = stored::Parked {
            version: VERSION,
            sequence: self.sequence,
            record: self.record,
            reason: self.reason,
            service: self.service.map(|id| copy(id.as_bytes())).unwrap_or_default(),
            content: self.content,
            raw: self.raw.slice(..self.raw.len().min(MAX_PARKED_RAW)),
        };
        parked.encode_to_vec().into()
    }
}
