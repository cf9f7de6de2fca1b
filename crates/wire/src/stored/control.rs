//! Commits and snapshots in their stored form, and the hash that chains commits.
//!
//! Must not know the journal or the stream that keeps them.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use domain::access::Role;
use domain::aggregate::{Actor, Entry, Life};
use domain::commit::{Change, Commit, Request, Subject};
use domain::directory::Snapshot;
use domain::id::{PrincipalId, ServiceId, TeamId, TokenId};
use domain::name::DisplayName;
use domain::principal::{self, Principal};
use domain::reach::Reach;
use domain::secret::{Digest, LastFour};
use domain::service::{self, Service};
use domain::team::{self, Team};
use domain::time::Timestamp;
use domain::token::{self, Token};
use prost::Message;

use super::filter::{filters_from, filters_to};
use super::maintenance::{created_from, ended_from, event_to, windows_from, windows_to};
use super::{Error, VERSION, check_version, field, fixed};
use crate::proto::gander::stored::v1 as stored;
use stored::control_event::Kind;

/// What is stored as the digest of what has expired: no secret has it.
const NO_SECRET: [u8; 32] = [0; 32];

/// The bytes of a commit's record.
#[must_use]
pub fn encode_commit(commit: &Commit) -> Bytes {
    let (request_id, request_digest) = match &commit.request {
        Some(request) => (copy(&request.id), copy(&request.digest)),
        None => (Bytes::new(), Bytes::new()),
    };
    let record = stored::Commit {
        sequence: commit.sequence,
        previous_hash: copy(&commit.previous_hash),
        at_micros: commit.at.as_micros(),
        actor: Some(actor_to(commit.actor)),
        request_id,
        request_digest,
        version: VERSION,
        events: commit.changes.iter().map(change_to).collect(),
    };
    record.encode_to_vec().into()
}

/// Reads a commit's record.
///
/// # Errors
/// The bytes are no commit that this build can read.
pub fn decode_commit(record: &Bytes) -> Result<Commit, Error> {
    let record = stored::Commit::decode(record.clone())?;
    check_version(record.version)?;
    let request = if record.request_id.is_empty() {
        None
    } else {
        Some(Request {
            id: fixed(&record.request_id, "commit.request_id")?,
            digest: fixed(&record.request_digest, "commit.request_digest")?,
        })
    };
    let changes = record.events.into_iter().map(change_from).collect::<Result<Vec<_>, _>>()?;
    if changes.is_empty() {
        return Err(field("commit.events"));
    }
    Ok(Commit {
        sequence: record.sequence,
        previous_hash: fixed(&record.previous_hash, "commit.previous_hash")?,
        at: Timestamp::from_micros(record.at_micros),
        actor: actor_from(record.actor)?,
        request,
        changes,
    })
}

/// The hash that a record says of the one before it; none if the bytes are no commit.
#[must_use]
pub fn previous_hash(record: &[u8]) -> Option<[u8; 32]> {
    stored::Commit::decode(record).ok()?.previous_hash.as_ref().try_into().ok()
}

/// The bytes of a message of GANDER_CONTROL: the commit's record verbatim, and what it left.
#[must_use]
pub fn encode_message(record: Bytes, snapshot: &Snapshot) -> Bytes {
    let snapshot = Some(snapshot_to(snapshot));
    stored::ControlMessage { commit: record, snapshot }.encode_to_vec().into()
}

/// Reads a message of GANDER_CONTROL: the commit's record and what it left.
///
/// # Errors
/// The bytes are no such message that this build can read.
pub fn decode_message(message: &Bytes) -> Result<(Bytes, Snapshot), Error> {
    let message = stored::ControlMessage::decode(message.clone())?;
    // A snapshot has no version of its own: it is of the version of the commit that left it.
    check_version(stored::Commit::decode(message.commit.clone())?.version)?;
    let snapshot = message.snapshot.ok_or(field("snapshot"))?;
    let snapshot = match snapshot.kind {
        Some(stored::snapshot::Kind::Deleted(_)) => deleted_from(&message.commit)?,
        Some(_) | None => snapshot_from(snapshot)?,
    };
    Ok((message.commit, snapshot))
}

/// The record in a message of GANDER_CONTROL, also where the rest of it cannot be read.
#[must_use]
pub fn record_in(message: &Bytes) -> Option<Bytes> {
    Some(stored::ControlMessage::decode(message.clone()).ok()?.commit)
}

/// What is deleted is told by the commit that deleted it.
fn deleted_from(record: &Bytes) -> Result<Snapshot, Error> {
    let commit = decode_commit(record)?;
    let change = commit.changes.last().ok_or(field("commit.events"))?;
    Ok(match change.subject() {
        Subject::Team(id) => Snapshot::Team(id, Entry::Deleted),
        Subject::Service(id) => Snapshot::Service(id, Entry::Deleted),
        Subject::Token(id) => Snapshot::Token(id, Entry::Deleted),
        Subject::Principal(id) => Snapshot::Principal(id, Entry::Deleted),
        Subject::Installation => Snapshot::Installation,
    })
}

fn copy(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

pub(super) fn actor_to(actor: Actor) -> stored::Actor {
    let kind = match actor {
        Actor::Principal(id) => stored::actor::Kind::Principal(copy(id.as_bytes())),
        Actor::Bootstrap => stored::actor::Kind::Bootstrap(stored::Unit {}),
        Actor::System => stored::actor::Kind::System(stored::Unit {}),
    };
    stored::Actor { kind: Some(kind) }
}

pub(super) fn actor_from(actor: Option<stored::Actor>) -> Result<Actor, Error> {
    match actor.and_then(|actor| actor.kind).ok_or(field("actor"))? {
        stored::actor::Kind::Principal(id) => {
            Ok(Actor::Principal(PrincipalId::from_bytes(fixed(&id, "actor.principal")?)))
        }
        stored::actor::Kind::Bootstrap(_) => Ok(Actor::Bootstrap),
        stored::actor::Kind::System(_) => Ok(Actor::System),
    }
}

fn change_to(change: &Change) -> stored::ControlEvent {
    let (id, kind) = match change {
        Change::Team(id, event) => (copy(id.as_bytes()), team_event_to(event)),
        Change::Service(id, event) => (copy(id.as_bytes()), service_event_to(event)),
        Change::Token(id, event) => (copy(id.as_bytes()), token_event_to(event)),
        Change::Principal(id, event) => (copy(id.as_bytes()), principal_event_to(event)),
        Change::BootstrapIssued(digest) => {
            let issued = stored::BootstrapIssued { digest: copy(digest.as_bytes()) };
            (Bytes::new(), Kind::BootstrapIssued(issued))
        }
    };
    stored::ControlEvent { id, kind: Some(kind) }
}

fn renamed(name: &DisplayName) -> stored::Renamed {
    stored::Renamed { display_name: name.to_string() }
}

fn expiry(expires_at: Option<Timestamp>) -> stored::ExpirySet {
    stored::ExpirySet { expires_at_micros: expires_at.map(Timestamp::as_micros) }
}

fn secret(digest: &Digest, last_four: &LastFour) -> stored::SecretReplaced {
    stored::SecretReplaced {
        digest: copy(digest.as_bytes()),
        last_four: last_four.as_str().to_owned(),
    }
}

/// As replaced by none: so a build that does not know of it keeps the old one out too.
fn expired(last_four: &LastFour) -> stored::SecretReplaced {
    secret(&Digest::from_bytes(NO_SECRET), last_four)
}

fn team_event_to(event: &team::Event) -> Kind {
    match event {
        team::Event::Created { name } => {
            Kind::TeamCreated(stored::TeamCreated { display_name: name.to_string() })
        }
        team::Event::Renamed { name } => Kind::TeamRenamed(renamed(name)),
        team::Event::Deleted => Kind::TeamDeleted(stored::Unit {}),
    }
}

fn service_event_to(event: &service::Event) -> Kind {
    match event {
        service::Event::Created { team, name, disabled, filters } => {
            Kind::ServiceCreated(stored::ServiceCreated {
                team: copy(team.as_bytes()),
                display_name: name.to_string(),
                disabled: *disabled,
                filters: filters_to(filters),
                maintenance_windows: Vec::new(),
            })
        }
        service::Event::Renamed { name } => Kind::ServiceRenamed(renamed(name)),
        service::Event::DisabledSet { disabled } => {
            Kind::ServiceDisabledSet(stored::ServiceDisabledSet { disabled: *disabled })
        }
        service::Event::FiltersReplaced { filters } => {
            Kind::FiltersReplaced(stored::FiltersReplaced { filters: filters_to(filters) })
        }
        service::Event::Maintenance(event) => event_to(event),
        service::Event::Deleted => Kind::ServiceDeleted(stored::Unit {}),
    }
}

fn token_event_to(event: &token::Event) -> Kind {
    match event {
        token::Event::Created {
            name,
            reach,
            digest,
            last_four,
            expires_at,
            url_parameter_allowed,
            unavailable_over_limit,
            tracked_until,
        } => Kind::TokenCreated(stored::TokenCreated {
            display_name: name.to_string(),
            reach: Some(reach_to(*reach)),
            digest: copy(digest.as_bytes()),
            last_four: last_four.as_str().to_owned(),
            expires_at_micros: expires_at.map(Timestamp::as_micros),
            url_parameter_allowed: *url_parameter_allowed,
            unavailable_over_limit: *unavailable_over_limit,
            tracked_until_micros: tracked_until.map(Timestamp::as_micros),
        }),
        token::Event::Renamed { name } => Kind::TokenRenamed(renamed(name)),
        token::Event::ExpirySet { expires_at } => Kind::TokenExpirySet(expiry(*expires_at)),
        token::Event::UrlParameterSet { allowed } => {
            Kind::UrlParameterSet(stored::UrlParameterSet { allowed: *allowed })
        }
        token::Event::OverLimitSet { unavailable } => {
            Kind::TokenOverLimitSet(stored::OverLimitSet { unavailable: *unavailable })
        }
        token::Event::TrackingSet { until } => Kind::TokenTrackingSet(stored::TrackingSet {
            tracked_until_micros: until.map(Timestamp::as_micros),
        }),
        token::Event::TrackingEnded => Kind::TokenTrackingEnded(stored::Unit {}),
        token::Event::SecretReplaced { digest, last_four } => {
            Kind::SecretReplaced(secret(digest, last_four))
        }
        token::Event::Expired { last_four } => Kind::SecretReplaced(expired(last_four)),
        token::Event::Deleted => Kind::TokenDeleted(stored::Unit {}),
    }
}

fn principal_event_to(event: &principal::Event) -> Kind {
    match event {
        principal::Event::Created { name, roles, digest, last_four, expires_at } => {
            Kind::PrincipalCreated(stored::PrincipalCreated {
                display_name: name.to_string(),
                roles: roles_to(roles),
                digest: copy(digest.as_bytes()),
                last_four: last_four.as_str().to_owned(),
                expires_at_micros: expires_at.map(Timestamp::as_micros),
            })
        }
        principal::Event::Renamed { name } => Kind::PrincipalRenamed(renamed(name)),
        principal::Event::RolesReplaced { roles } => {
            Kind::RolesReplaced(stored::RolesReplaced { roles: roles_to(roles) })
        }
        principal::Event::ExpirySet { expires_at } => Kind::PrincipalExpirySet(expiry(*expires_at)),
        principal::Event::CredentialReplaced { digest, last_four } => {
            Kind::CredentialReplaced(secret(digest, last_four))
        }
        principal::Event::Expired { last_four } => Kind::CredentialReplaced(expired(last_four)),
        principal::Event::Deleted => Kind::PrincipalDeleted(stored::Unit {}),
    }
}

#[expect(clippy::too_many_lines, reason = "one arm for each kind of event")]
fn change_from(event: stored::ControlEvent) -> Result<Change, Error> {
    let id = event.id;
    let team = |event| Ok(Change::Team(TeamId::from_bytes(fixed(&id, "event.id")?), event));
    let service =
        |event| Ok(Change::Service(ServiceId::from_bytes(fixed(&id, "event.id")?), event));
    let token = |event| Ok(Change::Token(TokenId::from_bytes(fixed(&id, "event.id")?), event));
    let principal =
        |event| Ok(Change::Principal(PrincipalId::from_bytes(fixed(&id, "event.id")?), event));
    match event.kind.ok_or(field("event.kind"))? {
        Kind::TeamCreated(made) => team(team::Event::Created { name: name(&made.display_name)? }),
        Kind::TeamRenamed(new) => team(team::Event::Renamed { name: name(&new.display_name)? }),
        Kind::TeamDeleted(_) => team(team::Event::Deleted),
        Kind::ServiceCreated(made) => service(service::Event::Created {
            team: TeamId::from_bytes(fixed(&made.team, "service.team")?),
            name: name(&made.display_name)?,
            disabled: made.disabled,
            filters: Arc::new(filters_from(made.filters)?),
        }),
        Kind::ServiceRenamed(new) => {
            service(service::Event::Renamed { name: name(&new.display_name)? })
        }
        Kind::ServiceDisabledSet(set) => {
            service(service::Event::DisabledSet { disabled: set.disabled })
        }
        Kind::FiltersReplaced(new) => service(service::Event::FiltersReplaced {
            filters: Arc::new(filters_from(new.filters)?),
        }),
        Kind::MaintenanceCreated(made) => service(service::Event::Maintenance(created_from(made)?)),
        Kind::MaintenanceEnded(ended) => service(service::Event::Maintenance(ended_from(&ended)?)),
        Kind::ServiceDeleted(_) => service(service::Event::Deleted),
        Kind::TokenCreated(made) => token(token::Event::Created {
            name: name(&made.display_name)?,
            reach: reach_from(made.reach)?,
            digest: digest(&made.digest)?,
            last_four: last_four(&made.last_four)?,
            expires_at: made.expires_at_micros.map(Timestamp::from_micros),
            url_parameter_allowed: made.url_parameter_allowed,
            unavailable_over_limit: made.unavailable_over_limit,
            tracked_until: made.tracked_until_micros.map(Timestamp::from_micros),
        }),
        Kind::TokenRenamed(new) => token(token::Event::Renamed { name: name(&new.display_name)? }),
        Kind::TokenExpirySet(set) => token(token::Event::ExpirySet {
            expires_at: set.expires_at_micros.map(Timestamp::from_micros),
        }),
        Kind::UrlParameterSet(set) => token(token::Event::UrlParameterSet { allowed: set.allowed }),
        Kind::TokenOverLimitSet(set) => {
            token(token::Event::OverLimitSet { unavailable: set.unavailable })
        }
        Kind::TokenTrackingSet(set) => token(token::Event::TrackingSet {
            until: set.tracked_until_micros.map(Timestamp::from_micros),
        }),
        Kind::TokenTrackingEnded(_) => token(token::Event::TrackingEnded),
        Kind::SecretReplaced(new) => {
            let last_four = last_four(&new.last_four)?;
            token(lasting(&new.digest)?.map_or(token::Event::Expired { last_four }, |digest| {
                token::Event::SecretReplaced { digest, last_four }
            }))
        }
        Kind::TokenDeleted(_) => token(token::Event::Deleted),
        Kind::PrincipalCreated(made) => principal(principal::Event::Created {
            name: name(&made.display_name)?,
            roles: roles_from(made.roles)?,
            digest: digest(&made.digest)?,
            last_four: last_four(&made.last_four)?,
            expires_at: made.expires_at_micros.map(Timestamp::from_micros),
        }),
        Kind::PrincipalRenamed(new) => {
            principal(principal::Event::Renamed { name: name(&new.display_name)? })
        }
        Kind::RolesReplaced(new) => {
            principal(principal::Event::RolesReplaced { roles: roles_from(new.roles)? })
        }
        Kind::PrincipalExpirySet(set) => principal(principal::Event::ExpirySet {
            expires_at: set.expires_at_micros.map(Timestamp::from_micros),
        }),
        Kind::CredentialReplaced(new) => {
            let last_four = last_four(&new.last_four)?;
            principal(
                lasting(&new.digest)?.map_or(principal::Event::Expired { last_four }, |digest| {
                    principal::Event::CredentialReplaced { digest, last_four }
                }),
            )
        }
        Kind::PrincipalDeleted(_) => principal(principal::Event::Deleted),
        Kind::BootstrapIssued(issued) => Ok(Change::BootstrapIssued(digest(&issued.digest)?)),
    }
}

fn name(text: &str) -> Result<DisplayName, Error> {
    DisplayName::parse(text).map_err(|_| field("display_name"))
}

fn digest(bytes: &[u8]) -> Result<Digest, Error> {
    lasting(bytes)?.ok_or(field("digest"))
}

/// The digest of a secret; none where it has expired.
fn lasting(bytes: &[u8]) -> Result<Option<Digest>, Error> {
    let bytes = fixed(bytes, "digest")?;
    Ok((bytes != NO_SECRET).then(|| Digest::from_bytes(bytes)))
}

fn lasting_to(digest: Option<Digest>) -> Bytes {
    copy(digest.as_ref().map_or(&NO_SECRET, Digest::as_bytes).as_slice())
}

fn last_four(text: &str) -> Result<LastFour, Error> {
    LastFour::parse(text).map_err(|_| field("last_four"))
}

/// The stored form of a reach.
#[must_use]
pub fn reach_to(reach: Reach) -> stored::Reach {
    let kind = match reach {
        Reach::Global => stored::reach::Kind::Global(stored::Unit {}),
        Reach::Team(team) => stored::reach::Kind::Team(copy(team.as_bytes())),
        Reach::Service(team, service) => stored::reach::Kind::Service(stored::ServiceRef {
            team: copy(team.as_bytes()),
            service: copy(service.as_bytes()),
        }),
    };
    stored::Reach { kind: Some(kind) }
}

/// Reads a stored reach.
///
/// # Errors
/// It is missing or an id is broken.
pub fn reach_from(reach: Option<stored::Reach>) -> Result<Reach, Error> {
    match reach.and_then(|reach| reach.kind).ok_or(field("reach"))? {
        stored::reach::Kind::Global(_) => Ok(Reach::Global),
        stored::reach::Kind::Team(team) => {
            Ok(Reach::Team(TeamId::from_bytes(fixed(&team, "reach.team")?)))
        }
        stored::reach::Kind::Service(service) => Ok(Reach::Service(
            TeamId::from_bytes(fixed(&service.team, "reach.team")?),
            ServiceId::from_bytes(fixed(&service.service, "reach.service")?),
        )),
    }
}

fn roles_to(roles: &BTreeSet<Role>) -> Vec<stored::RoleGrant> {
    use stored::role_grant::Kind;
    let to = |role: &Role| match role {
        Role::GlobalAdmin => Kind::GlobalAdmin(stored::Unit {}),
        Role::Stakeholder => Kind::Stakeholder(stored::Unit {}),
        Role::TeamManager(team) => Kind::TeamManager(copy(team.as_bytes())),
        Role::Responder(team) => Kind::Responder(copy(team.as_bytes())),
        Role::Observer(team) => Kind::Observer(copy(team.as_bytes())),
    };
    roles.iter().map(|role| stored::RoleGrant { kind: Some(to(role)) }).collect()
}

fn roles_from(roles: Vec<stored::RoleGrant>) -> Result<BTreeSet<Role>, Error> {
    use stored::role_grant::Kind;
    let team = |bytes: &[u8]| fixed(bytes, "role.team").map(TeamId::from_bytes);
    let from = |grant: stored::RoleGrant| match grant.kind.ok_or(field("role"))? {
        Kind::GlobalAdmin(_) => Ok(Role::GlobalAdmin),
        Kind::Stakeholder(_) => Ok(Role::Stakeholder),
        Kind::TeamManager(id) => team(&id).map(Role::TeamManager),
        Kind::Responder(id) => team(&id).map(Role::Responder),
        Kind::Observer(id) => team(&id).map(Role::Observer),
    };
    roles.into_iter().map(from).collect()
}

fn snapshot_to(snapshot: &Snapshot) -> stored::Snapshot {
    use stored::snapshot::Kind;
    let deleted = || Kind::Deleted(stored::Unit {});
    match snapshot {
        Snapshot::Team(id, entry) => {
            let kind = entry.live().map(|team| {
                Kind::Team(stored::TeamCreated { display_name: team.name.to_string() })
            });
            with_life(id.as_bytes(), kind.unwrap_or_else(deleted), entry.live().map(|t| t.life))
        }
        Snapshot::Service(id, entry) => {
            let kind = entry.live().map(service_snapshot);
            with_life(id.as_bytes(), kind.unwrap_or_else(deleted), entry.live().map(|s| s.life))
        }
        Snapshot::Token(id, entry) => {
            let kind = entry.live().map(token_snapshot);
            with_life(id.as_bytes(), kind.unwrap_or_else(deleted), entry.live().map(|t| t.life))
        }
        Snapshot::Principal(id, entry) => {
            let kind = entry.live().map(principal_snapshot);
            with_life(id.as_bytes(), kind.unwrap_or_else(deleted), entry.live().map(|p| p.life))
        }
        Snapshot::Installation => with_life(&[], Kind::Installation(stored::Unit {}), None),
    }
}

fn with_life(id: &[u8], kind: stored::snapshot::Kind, life: Option<Life>) -> stored::Snapshot {
    stored::Snapshot {
        id: copy(id),
        created_at_micros: life.map_or(0, |life| life.created_at.as_micros()),
        updated_at_micros: life.map_or(0, |life| life.updated_at.as_micros()),
        version: life.map_or(0, |life| life.version),
        creator: life.map(|life| actor_to(life.creator)),
        kind: Some(kind),
    }
}

fn service_snapshot(service: &Service) -> stored::snapshot::Kind {
    stored::snapshot::Kind::Service(stored::ServiceCreated {
        team: copy(service.team.as_bytes()),
        display_name: service.name.to_string(),
        disabled: service.disabled,
        filters: filters_to(&service.filters),
        maintenance_windows: windows_to(&service.maintenance),
    })
}

fn token_snapshot(token: &Token) -> stored::snapshot::Kind {
    stored::snapshot::Kind::Token(stored::TokenCreated {
        display_name: token.name.to_string(),
        reach: Some(reach_to(token.reach)),
        digest: lasting_to(token.digest),
        last_four: token.last_four.as_str().to_owned(),
        expires_at_micros: token.expires_at.map(Timestamp::as_micros),
        url_parameter_allowed: token.url_parameter_allowed,
        unavailable_over_limit: token.unavailable_over_limit,
        tracked_until_micros: token.tracked_until.map(Timestamp::as_micros),
    })
}

fn principal_snapshot(principal: &Principal) -> stored::snapshot::Kind {
    stored::snapshot::Kind::Principal(stored::PrincipalCreated {
        display_name: principal.name.to_string(),
        roles: roles_to(&principal.roles),
        digest: lasting_to(principal.digest),
        last_four: principal.last_four.as_str().to_owned(),
        expires_at_micros: principal.expires_at.map(Timestamp::as_micros),
    })
}

fn snapshot_from(snapshot: stored::Snapshot) -> Result<Snapshot, Error> {
    use stored::snapshot::Kind;
    let life = Life {
        created_at: Timestamp::from_micros(snapshot.created_at_micros),
        creator: match snapshot.creator {
            Some(creator) => actor_from(Some(creator))?,
            None => Actor::System,
        },
        updated_at: Timestamp::from_micros(snapshot.updated_at_micros),
        version: snapshot.version,
    };
    let id = &snapshot.id;
    match snapshot.kind.ok_or(field("snapshot.kind"))? {
        Kind::Deleted(_) => Err(field("snapshot.deleted")),
        Kind::Installation(_) => Ok(Snapshot::Installation),
        Kind::Team(team) => {
            let id = TeamId::from_bytes(fixed(id, "snapshot.id")?);
            let name = name(&team.display_name)?;
            Ok(Snapshot::Team(id, Entry::Live(Team { id, name, life })))
        }
        Kind::Service(made) => {
            let id = ServiceId::from_bytes(fixed(id, "snapshot.id")?);
            Ok(Snapshot::Service(id, Entry::Live(service_from(id, made, life)?)))
        }
        Kind::Token(made) => {
            let id = TokenId::from_bytes(fixed(id, "snapshot.id")?);
            Ok(Snapshot::Token(id, Entry::Live(token_from(id, made, life)?)))
        }
        Kind::Principal(made) => {
            let id = PrincipalId::from_bytes(fixed(id, "snapshot.id")?);
            Ok(Snapshot::Principal(id, Entry::Live(principal_from(id, made, life)?)))
        }
    }
}

fn service_from(id: ServiceId, made: stored::ServiceCreated, life: Life) -> Result<Service, Error> {
    Ok(Service {
        id,
        team: TeamId::from_bytes(fixed(&made.team, "service.team")?),
        name: name(&made.display_name)?,
        disabled: made.disabled,
        filters: Arc::new(filters_from(made.filters)?),
        maintenance: Arc::new(windows_from(made.maintenance_windows)?),
        life,
    })
}

fn token_from(id: TokenId, made: stored::TokenCreated, life: Life) -> Result<Token, Error> {
    Ok(Token {
        id,
        name: name(&made.display_name)?,
        reach: reach_from(made.reach)?,
        digest: lasting(&made.digest)?,
        last_four: last_four(&made.last_four)?,
        expires_at: made.expires_at_micros.map(Timestamp::from_micros),
        url_parameter_allowed: made.url_parameter_allowed,
        unavailable_over_limit: made.unavailable_over_limit,
        tracked_until: made.tracked_until_micros.map(Timestamp::from_micros),
        life,
    })
}

fn principal_from(
    id: PrincipalId,
    made: stored::PrincipalCreated,
    life: Life,
) -> Result<Principal, Error> {
    Ok(Principal {
        id,
        name: name(&made.display_name)?,
        roles: roles_from(made.roles)?,
        digest: lasting(&made.digest)?,
        last_four: last_four(&made.last_four)?,
        expires_at: made.expires_at_micros.map(Timestamp::from_micros),
        life,
    })
}
