//! Incidents: one episode of trouble in one service, from its creation to its resolution.
//!
//! Layout: this file has the incident and its events, `state` the incidents of a partition,
//! `decide` what an alert or a command leads to, `verdict` how that is counted. Must not know
//! partitions' positions, streams, or how a filter matched.

mod decide;
mod state;
mod verdict;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::filter::{MappedValue, Urgency};
use crate::id::{AlertId, EventId, FilterId, IncidentId, PrincipalId, ServiceId, TeamId, TokenId};
use crate::time::Timestamp;

pub use decide::{
    Command, Deciding, Decision, decide, decide_acknowledge, decide_deleted, decide_resolve,
};
pub use state::Incidents;
pub use verdict::{AcknowledgeVerdict, Flags, ResolveVerdict, Totals, TriggerVerdict, Verdict};

/// Payloads longer than this many bytes are not kept with the incident.
pub const MAX_SOURCE_PAYLOAD: usize = 32 * 1024;

/// How long a closed incident is remembered, so that a late resolve counts as a duplicate.
pub const CLOSED_MEMORY: Duration = Duration::from_secs(24 * 60 * 60);

/// Within this span of the first, identical payloads of an unmapped incident are one, where
/// nothing else is set.
pub const IDENTICAL_WINDOW: Duration = Duration::from_secs(5 * 60);

/// An alert as the rules see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its id.
    pub id: AlertId,
    /// The token with which it came.
    pub token: TokenId,
    /// When the gateway received it.
    pub received_at: Timestamp,
    /// The source that it named.
    pub from: Option<String>,
    /// Its payload, decoded.
    pub payload: Bytes,
    /// The BLAKE3 digest of the payload.
    pub payload_digest: [u8; 32],
}

impl Alert {
    /// What an event keeps of it.
    #[must_use]
    pub fn cause(&self) -> Cause {
        Cause {
            id: self.id,
            token: self.token,
            received_at: self.received_at,
            from: self.from.clone(),
        }
    }
}

/// The alert that caused an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Its id.
    pub id: AlertId,
    /// The token with which it came.
    pub token: TokenId,
    /// When the gateway received it.
    pub received_at: Timestamp,
    /// The source that it named.
    pub from: Option<String>,
}

/// What an incident was made with; it never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The incident's id.
    pub id: IncidentId,
    /// Its team.
    pub team: TeamId,
    /// Its service.
    pub service: ServiceId,
    /// The filter that opened it.
    pub filter: FilterId,
    /// Its urgency.
    pub urgency: Urgency,
    /// Its title.
    pub title: String,
    /// Its description.
    pub description: String,
    /// The value that identifies the episode; none for an unmapped incident.
    pub mapped: Option<MappedValue>,
    /// The alert that opened it.
    pub cause: Cause,
    /// The payload that opened it, where it is not too long.
    pub payload: Bytes,
    /// Whether the payload was too long to be kept.
    pub payload_omitted: bool,
    /// The BLAKE3 digest of the payload.
    pub payload_digest: [u8; 32],
}

/// Why an incident was resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveReason {
    /// The resolve part of a filter matched an alert.
    Alert,
    /// A principal did it.
    Principal(PrincipalId),
    /// Its service or team was deleted.
    ServiceDeleted,
}

/// Where an incident is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nobody has closed it.
    Open,
    /// It is closed for good.
    Resolved {
        /// When.
        at: Timestamp,
        /// Why.
        reason: ResolveReason,
    },
}

/// That somebody looks after an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Who.
    pub by: PrincipalId,
    /// Since when.
    pub at: Timestamp,
}

/// An incident. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// What it was made with.
    pub opening: Arc<Opening>,
    /// How many alerts it stands for, the first included.
    pub occurrences: u64,
    /// When the last of them was received.
    pub last_at: Timestamp,
    /// Who looks after it, where somebody has said so; it stays when the incident is resolved.
    pub acknowledged: Option<Acknowledgement>,
    /// Where it is in its life.
    pub status: Status,
}

impl Incident {
    /// The incident that this opening begins.
    #[must_use]
    pub fn opened(opening: Arc<Opening>) -> Self {
        let last_at = opening.cause.received_at;
        Self { opening, occurrences: 1, last_at, acknowledged: None, status: Status::Open }
    }

    /// Whether nobody has closed it.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.status, Status::Open)
    }

    /// Under which key its state is kept: for a mapped one the service and the value, so that
    /// the next episode takes its place; else the incident itself.
    #[must_use]
    pub fn state_key(&self) -> StateKey {
        StateKey::of(self.opening.id, self.opening.service, self.opening.mapped.as_ref())
    }
}

/// The key under which an incident's state is kept; its `Display` is 32 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateKey([u8; 16]);

impl StateKey {
    /// The key of the incident of this episode in the service.
    #[must_use]
    pub fn of(incident: IncidentId, service: ServiceId, mapped: Option<&MappedValue>) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("gander 2026-11 incident state key v1");
        match mapped {
            Some(value) => {
                hasher.update(b"mapped").update(service.as_bytes());
                hasher.update(&value.key_bytes());
            }
            None => {
                hasher.update(b"unmapped").update(incident.as_bytes());
            }
        }
        let mut key = [0; 16];
        key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(key)
    }
}

impl fmt::Display for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What has happened to an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was opened.
    Created(Arc<Opening>),
    /// Another alert of its episode came.
    Repeated {
        /// The incident.
        incident: IncidentId,
        /// When that alert was received.
        at: Timestamp,
    },
    /// A principal said that somebody looks after it.
    Acknowledged {
        /// The incident.
        incident: IncidentId,
        /// Who.
        by: PrincipalId,
        /// When.
        at: Timestamp,
    },
    /// It was closed for good.
    Resolved {
        /// The incident.
        incident: IncidentId,
        /// When.
        at: Timestamp,
        /// Why.
        reason: ResolveReason,
    },
}

impl Event {
    /// The kind of event.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Created(_) => Kind::Created,
            Self::Repeated { .. } => Kind::Repeated,
            Self::Acknowledged { .. } => Kind::Acknowledged,
            Self::Resolved { .. } => Kind::Resolved,
        }
    }

    /// The incident that it happened to.
    #[must_use]
    pub fn incident(&self) -> IncidentId {
        match self {
            Self::Created(opening) => opening.id,
            Self::Repeated { incident, .. }
            | Self::Acknowledged { incident, .. }
            | Self::Resolved { incident, .. } => *incident,
        }
    }
}

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// It was opened.
    Created,
    /// Alerts of its episode came.
    Repeated,
    /// Somebody looks after it.
    Acknowledged,
    /// It was closed for good.
    Resolved,
}

impl Kind {
    /// Its name in subjects and CloudEvents types.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Repeated => "repeated",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }
}

/// The id of the incident that this alert opens in this service: the same at every fold. It
/// begins with the time of the alert.
#[must_use]
pub fn incident_id(alert: AlertId, service: ServiceId) -> IncidentId {
    let mut hasher = blake3::Hasher::new_derive_key("gander 2026-11 incident id v1");
    hasher.update(alert.as_bytes()).update(service.as_bytes());
    IncidentId::from_bytes(timed(alert.as_bytes(), &hasher))
}

/// The time with which an incident's id begins: that of its first alert, to the millisecond.
#[must_use]
pub fn begun(incident: IncidentId) -> Timestamp {
    let millis = incident.as_bytes()[..6].iter().fold(0, |all, byte| all << 8 | i64::from(*byte));
    Timestamp::from_micros(millis * 1_000)
}

/// What made an event, for its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    /// An alert or a command; commands have ids like alerts.
    Alert(AlertId),
    /// The commit of this number, which deleted the service or its team.
    Control(u64),
}

/// The id of an event: the same at every fold.
#[must_use]
pub fn event_id(incident: IncidentId, trace: Trace, kind: Kind) -> EventId {
    let mut hasher = blake3::Hasher::new_derive_key("gander 2026-11 incident event id v1");
    hasher.update(incident.as_bytes()).update(kind.name().as_bytes());
    match trace {
        Trace::Alert(alert) => hasher.update(b"/alert").update(alert.as_bytes()),
        Trace::Control(sequence) => hasher.update(b"/control").update(&sequence.to_be_bytes()),
    };
    EventId::from_bytes(timed(incident.as_bytes(), &hasher))
}

/// A UUIDv8: 48 bits of time as in `UUIDv7`, the rest from the hash.
fn timed(time_from: &[u8; 16], hasher: &blake3::Hasher) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    bytes[..6].copy_from_slice(&time_from[..6]);
    bytes[6] = 0x80 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    bytes
}
