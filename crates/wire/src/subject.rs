//! Streams and subjects, each once. Built only from ids that Gander minted.
//!
//! Must not know any client of NATS.

use domain::commit;
use domain::id::{InstanceId, ServiceId, TeamId, TokenId};
use domain::incident::{Kind, StateKey};

use crate::partition::Partition;

/// The stream of configuration: one message a commit, kept for good.
pub const CONTROL_STREAM: &str = "GANDER_CONTROL";
/// The stream of accepted alerts and commands.
pub const ALERTS_STREAM: &str = "GANDER_ALERTS";
/// The stream of incident events, incident states and checkpoints.
pub const INCIDENTS_STREAM: &str = "GANDER_INCIDENTS";

/// The stream of the API log.
pub const APILOG_STREAM: &str = "GANDER_APILOG";

/// The stream behind the KV bucket GANDER_LAST_USE: when each token was last used. Kept outside the
/// journal; it may be late or lost.
pub const LAST_USE_STREAM: &str = "KV_GANDER_LAST_USE";

/// The stream behind the KV bucket GANDER_LEASES: until when gateways may use what they know.
pub const LEASES_STREAM: &str = "KV_GANDER_LEASES";

/// Every message of GANDER_CONTROL.
pub const CONTROL_ALL: &str = "gander.control.>";
/// Every message of GANDER_ALERTS.
pub const ALERTS: &str = "gander.alerts";
/// Every incident event.
pub const EVENTS_ALL: &str = "gander.incidents.>";
/// Every incident state.
pub const STATES_ALL: &str = "gander.state.>";
/// Every checkpoint.
pub const CHECKPOINTS_ALL: &str = "gander.checkpoints.*";
/// Every part of an entry of the API log.
pub const APILOG_ALL: &str = "gander.apilog.*";
/// Every time of last use.
pub const LAST_USE_ALL: &str = "$KV.GANDER_LAST_USE.>";
/// Every lease, and the mark.
pub const LEASES_ALL: &str = "$KV.GANDER_LEASES.>";
/// The mark: the last change that calls wait for.
pub const LEASES_MARK: &str = "$KV.GANDER_LEASES.mark";
/// All leases of gateways; the mark is not among them, so that a gateway has no right to it.
pub const LEASES_OF_GATEWAYS: &str = "$KV.GANDER_LEASES.gateway.*";
/// Every parked record.
pub const PARKED_ALL: &str = "gander.parked.*";

/// Where the owners of partitions are asked what an alert would come to; not stored.
pub const EXPLAIN: &str = "gander.explain";
/// Where all processes are asked what they are; not stored.
pub const ROLL_CALL: &str = "gander.roll-call";
/// Where gateways say that they are alive; not stored.
pub const GATEWAYS_ALL: &str = "gander.members.gateway.*";
/// Where workers say that they are alive; not stored.
pub const WORKERS_ALL: &str = "gander.members.worker.*";
/// Where outcomes are awaited; not stored.
pub const OUTCOMES_ALL: &str = "gander.outcomes.*";

/// Where a commit that touches this aggregate goes.
#[must_use]
pub fn control(subject: commit::Subject) -> String {
    match subject {
        commit::Subject::Team(id) => format!("gander.control.team.{id}"),
        commit::Subject::Service(id) => format!("gander.control.service.{id}"),
        commit::Subject::Token(id) => format!("gander.control.token.{id}"),
        commit::Subject::Principal(id) => format!("gander.control.principal.{id}"),
        commit::Subject::Installation => "gander.control.installation.gander".to_owned(),
    }
}

/// Where an incident event of this kind goes.
#[must_use]
pub fn event(kind: Kind, team: TeamId, service: ServiceId) -> String {
    format!("gander.incidents.{}.{team}.{service}", kind.name())
}

/// The events of one team, or of one service of it, or of all.
#[must_use]
pub fn events_of(team: Option<TeamId>, service: Option<ServiceId>) -> String {
    match (team, service) {
        (None, _) => EVENTS_ALL.to_owned(),
        (Some(team), None) => format!("gander.incidents.*.{team}.>"),
        (Some(team), Some(service)) => format!("gander.incidents.*.{team}.{service}"),
    }
}

/// The events of one kind: of one team, or of one service of it, or of all.
#[must_use]
pub fn events_of_kind(kind: Kind, team: Option<TeamId>, service: Option<ServiceId>) -> String {
    match (team, service) {
        (None, _) => format!("gander.incidents.{}.>", kind.name()),
        (Some(team), None) => format!("gander.incidents.{}.{team}.>", kind.name()),
        (Some(team), Some(service)) => event(kind, team, service),
    }
}

/// Where an incident's state is.
#[must_use]
pub fn state(partition: Partition, key: StateKey) -> String {
    format!("gander.state.{}.{key}", partition.0)
}

/// The incident states of a partition.
#[must_use]
pub fn states_of(partition: Partition) -> String {
    format!("gander.state.{}.>", partition.0)
}

/// Where a partition's checkpoint is: the fence of its owner.
#[must_use]
pub fn checkpoint(partition: Partition) -> String {
    format!("gander.checkpoints.{}", partition.0)
}

/// Where a partition's parked records go.
#[must_use]
pub fn parked(partition: Partition) -> String {
    format!("gander.parked.{}", partition.0)
}

/// Where the entries of the API log of a token are.
#[must_use]
pub fn apilog(token: TokenId) -> String {
    format!("gander.apilog.{token}")
}

/// Where the time of the last use of a token is.
#[must_use]
pub fn last_use(token: TokenId) -> String {
    format!("$KV.GANDER_LAST_USE.{token}")
}

/// Where the lease of a gateway is.
#[must_use]
pub fn lease(gateway: InstanceId) -> String {
    format!("$KV.GANDER_LEASES.gateway.{gateway}")
}

/// Where this process awaits outcomes.
#[must_use]
pub fn outcomes(instance: InstanceId) -> String {
    format!("gander.outcomes.{instance}")
}
