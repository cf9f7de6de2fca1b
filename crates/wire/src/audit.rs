//! Commits in words of the contract: what the audit log shows, and the lines of its exports.
//!
//! What an exported record says follows from its bytes alone, so that it can be checked without
//! the records before. So the words for what is stored do not change; a golden file holds them.
//! Never a secret or a digest of one. Must not know where commits are kept.

use std::fmt::Write as _;

use bytes::Bytes;
use domain::access::Role;
use domain::aggregate::{Actor, Entry};
use domain::commit::{Change, Commit, Subject};
use domain::directory::Snapshot;
use domain::filter::Filters;
use domain::maintenance;
use domain::principal::{self, Principal};
use domain::reach::Reach;
use domain::secret::LastFour;
use domain::service::{self, Service};
use domain::team;
use domain::time::Timestamp;
use domain::token::{self, Token};

use crate::catalog::{filter_to, tag_to};
use crate::event::time;
use crate::proto::gander::admin::v1 as api;
use crate::stored::Error;
use crate::stored::control::decode_commit;

/// Every kind of change.
pub const KINDS: [&str; 28] = [
    "team.created",
    "team.renamed",
    "team.deleted",
    "service.created",
    "service.renamed",
    "service.disabled_set",
    "service.filters_replaced",
    "service.maintenance_created",
    "service.maintenance_ended",
    "service.deleted",
    "token.created",
    "token.renamed",
    "token.expiry_set",
    "token.url_parameter_set",
    "token.over_limit_set",
    "token.tracking_set",
    "token.tracking_ended",
    "token.secret_replaced",
    "token.expired",
    "token.deleted",
    "principal.created",
    "principal.renamed",
    "principal.roles_replaced",
    "principal.expiry_set",
    "principal.credential_replaced",
    "principal.expired",
    "principal.deleted",
    "bootstrap.issued",
];

/// The kind of a change.
#[must_use]
pub const fn kind(change: &Change) -> &'static str {
    match change {
        Change::Team(_, event) => match event {
            team::Event::Created { .. } => "team.created",
            team::Event::Renamed { .. } => "team.renamed",
            team::Event::Deleted => "team.deleted",
        },
        Change::Service(_, event) => match event {
            service::Event::Created { .. } => "service.created",
            service::Event::Renamed { .. } => "service.renamed",
            service::Event::DisabledSet { .. } => "service.disabled_set",
            service::Event::FiltersReplaced { .. } => "service.filters_replaced",
            service::Event::Maintenance(event) => match event {
                maintenance::Event::Created { .. } => "service.maintenance_created",
                maintenance::Event::Ended { .. } => "service.maintenance_ended",
            },
            service::Event::Deleted => "service.deleted",
        },
        Change::Token(_, event) => match event {
            token::Event::Created { .. } => "token.created",
            token::Event::Renamed { .. } => "token.renamed",
            token::Event::ExpirySet { .. } => "token.expiry_set",
            token::Event::UrlParameterSet { .. } => "token.url_parameter_set",
            token::Event::OverLimitSet { .. } => "token.over_limit_set",
            token::Event::TrackingSet { .. } => "token.tracking_set",
            token::Event::TrackingEnded => "token.tracking_ended",
            token::Event::SecretReplaced { .. } => "token.secret_replaced",
            token::Event::Expired { .. } => "token.expired",
            token::Event::Deleted => "token.deleted",
        },
        Change::Principal(_, event) => match event {
            principal::Event::Created { .. } => "principal.created",
            principal::Event::Renamed { .. } => "principal.renamed",
            principal::Event::RolesReplaced { .. } => "principal.roles_replaced",
            principal::Event::ExpirySet { .. } => "principal.expiry_set",
            principal::Event::CredentialReplaced { .. } => "principal.credential_replaced",
            principal::Event::Expired { .. } => "principal.expired",
            principal::Event::Deleted => "principal.deleted",
        },
        Change::BootstrapIssued(_) => "bootstrap.issued",
    }
}

/// A commit as the audit log shows it. `before` is the thing as it was, where that is known; then
/// the record says old values and what the thing is called.
#[must_use]
pub fn record_to(commit: &Commit, hash: [u8; 32], before: Option<&Snapshot>) -> api::AuditRecord {
    let known = before.unwrap_or(&Snapshot::Installation);
    let request = commit.request.map(|request| uuid(request.id)).unwrap_or_default();
    let changes = commit.changes.iter().map(|change| api::AuditChange {
        kind: kind(change).to_owned(),
        details: details(change, known),
    });
    api::AuditRecord {
        name: format!("auditRecords/{}", commit.sequence),
        sequence: commit.sequence,
        time: Some(time(commit.at)),
        actor: actor_name(commit.actor),
        actor_display_name: String::new(),
        request_id: request,
        resource: commit.changes.first().map(|first| resource(first, known)).unwrap_or_default(),
        resource_display_name: before.map(|_| display_name(commit, known)).unwrap_or_default(),
        changes: changes.collect(),
        previous_hash: hex(&commit.previous_hash),
        hash: hex(&hash),
        record: Bytes::new(),
    }
}

/// A record as an export has it.
///
/// # Errors
/// The bytes are no commit that this build can read.
pub fn exported(record: &Bytes, hash: [u8; 32]) -> Result<api::AuditRecord, Error> {
    let commit = decode_commit(record)?;
    Ok(api::AuditRecord { record: record.clone(), ..record_to(&commit, hash, None) })
}

/// Who asked, as a name.
#[must_use]
pub fn actor_name(actor: Actor) -> String {
    match actor {
        Actor::Principal(id) => format!("principals/{id}"),
        Actor::Bootstrap => "bootstrap".to_owned(),
        Actor::System => "system".to_owned(),
    }
}

/// A hash as 64 hexadecimal digits.
#[must_use]
pub fn hex(hash: &[u8; 32]) -> String {
    hash.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads 64 lower-case hexadecimal digits.
#[must_use]
pub fn hash_from_hex(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    for (n, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * n..2 * n + 2)?, 16).ok()?;
    }
    (hex(&hash) == text).then_some(hash)
}

/// What a record says, in one line for people.
#[must_use]
pub fn sentence(record: &api::AuditRecord) -> String {
    let at = record.time.as_ref().and_then(|at| at.to_rfc3339()).unwrap_or_default();
    let kinds: Vec<_> = record.changes.iter().map(|change| change.kind.as_str()).collect();
    let details = record.changes.iter().flat_map(|change| &change.details).map(|detail| {
        let old = detail.old_value.as_ref().map(|old| format!("{old} -> ")).unwrap_or_default();
        format!(" {}={old}{}", detail.field, detail.new_value.as_deref().unwrap_or("-"))
    });
    let what = kinds.join(" and ");
    let details: String = details.collect();
    format!("{at} {} {what} {}{details}", record.actor, record.resource)
}

fn uuid(id: [u8; 16]) -> String {
    domain::id::AlertId::from_bytes(id).to_string()
}

fn resource(change: &Change, known: &Snapshot) -> String {
    match change.subject() {
        Subject::Team(id) => format!("teams/{id}"),
        Subject::Service(id) => {
            let created = match change {
                Change::Service(_, service::Event::Created { team, .. }) => Some(*team),
                Change::Service(..)
                | Change::Team(..)
                | Change::Token(..)
                | Change::Principal(..)
                | Change::BootstrapIssued(_) => service(known).map(|service| service.team),
            };
            let team = created.map_or_else(|| "-".to_owned(), |team| team.to_string());
            format!("teams/{team}/services/{id}")
        }
        Subject::Token(id) => format!("tokens/{id}"),
        Subject::Principal(id) => format!("principals/{id}"),
        Subject::Installation => String::new(),
    }
}

const fn service(known: &Snapshot) -> Option<&Service> {
    match known {
        Snapshot::Service(_, entry) => entry.live(),
        Snapshot::Team(..)
        | Snapshot::Token(..)
        | Snapshot::Principal(..)
        | Snapshot::Installation => None,
    }
}

const fn token(known: &Snapshot) -> Option<&Token> {
    match known {
        Snapshot::Token(_, entry) => entry.live(),
        Snapshot::Team(..)
        | Snapshot::Service(..)
        | Snapshot::Principal(..)
        | Snapshot::Installation => None,
    }
}

const fn principal(known: &Snapshot) -> Option<&Principal> {
    match known {
        Snapshot::Principal(_, entry) => entry.live(),
        Snapshot::Team(..)
        | Snapshot::Service(..)
        | Snapshot::Token(..)
        | Snapshot::Installation => None,
    }
}

/// What people call a thing that is there.
fn name_of(known: &Snapshot) -> Option<String> {
    match known {
        Snapshot::Team(_, entry) => entry.live().map(|team| team.name.to_string()),
        Snapshot::Service(_, Entry::Live(service)) => Some(service.name.to_string()),
        Snapshot::Token(_, Entry::Live(token)) => Some(token.name.to_string()),
        Snapshot::Principal(_, Entry::Live(principal)) => Some(principal.name.to_string()),
        Snapshot::Service(..)
        | Snapshot::Token(..)
        | Snapshot::Principal(..)
        | Snapshot::Installation => None,
    }
}

/// What it is called after the commit, or was before it.
fn display_name(commit: &Commit, known: &Snapshot) -> String {
    let given = commit.changes.iter().rev().find_map(|change| match change {
        Change::Team(_, team::Event::Created { name } | team::Event::Renamed { name })
        | Change::Service(
            _,
            service::Event::Created { name, .. } | service::Event::Renamed { name },
        )
        | Change::Token(_, token::Event::Created { name, .. } | token::Event::Renamed { name })
        | Change::Principal(
            _,
            principal::Event::Created { name, .. } | principal::Event::Renamed { name },
        ) => Some(name.to_string()),
        Change::Team(..)
        | Change::Service(..)
        | Change::Token(..)
        | Change::Principal(..)
        | Change::BootstrapIssued(_) => None,
    });
    given.or_else(|| name_of(known)).unwrap_or_default()
}

/// A field with its value before, if known, and after.
fn detail(field: &str, old: Option<String>, new: impl Into<Option<String>>) -> api::AuditDetail {
    api::AuditDetail { field: field.to_owned(), old_value: old, new_value: new.into() }
}

fn details(change: &Change, known: &Snapshot) -> Vec<api::AuditDetail> {
    match change {
        Change::Team(_, event) => match event {
            team::Event::Created { name } | team::Event::Renamed { name } => {
                vec![detail("display_name", name_of(known), name.to_string())]
            }
            team::Event::Deleted => deleted(known),
        },
        Change::Service(_, event) => service_details(event, known),
        Change::Token(_, event) => token_details(event, known),
        Change::Principal(_, event) => principal_details(event, known),
        Change::BootstrapIssued(_) => vec![],
    }
}

fn deleted(known: &Snapshot) -> Vec<api::AuditDetail> {
    name_of(known).map(|name| detail("display_name", Some(name), None)).into_iter().collect()
}

fn service_details(event: &service::Event, known: &Snapshot) -> Vec<api::AuditDetail> {
    match event {
        service::Event::Created { team: _, name, disabled, filters } => vec![
            detail("display_name", None, name.to_string()),
            detail("disabled", None, disabled.to_string()),
            detail("filters", None, filters_text(filters)),
        ],
        service::Event::Renamed { name } => {
            vec![detail("display_name", name_of(known), name.to_string())]
        }
        service::Event::DisabledSet { disabled } => {
            let old = service(known).map(|service| service.disabled.to_string());
            vec![detail("disabled", old, disabled.to_string())]
        }
        service::Event::FiltersReplaced { filters } => {
            let old = service(known).map(|service| filters_text(&service.filters));
            vec![detail("filters", old, filters_text(filters))]
        }
        service::Event::Maintenance(event) => maintenance_details(event, known),
        service::Event::Deleted => deleted(known),
    }
}

fn maintenance_details(event: &maintenance::Event, known: &Snapshot) -> Vec<api::AuditDetail> {
    match event {
        maintenance::Event::Created { id, start, end, tags, forgotten } => {
            let tags: Vec<_> = tags.as_slice().iter().map(tag_to).collect();
            let mut all = vec![
                detail("maintenance_window", None, id.to_string()),
                detail("start_time", None, time_text(*start)),
                detail("end_time", None, time_text(*end)),
                detail("tags", None, serde_json::to_string(&tags).unwrap_or_default()),
            ];
            all.extend(forgotten.iter().map(|id| detail("forgotten", id.to_string().into(), None)));
            all
        }
        maintenance::Event::Ended { id, at } => {
            let window = service(known).and_then(|service| service.maintenance.get(*id));
            let old = window.and_then(|window| time_text(window.end));
            let id = detail("maintenance_window", None, id.to_string());
            vec![id, detail("end_time", old, time_text(*at))]
        }
    }
}

/// A time as RFC 3339 has it.
#[must_use]
pub fn moment(at: Timestamp) -> String {
    time_text(at).unwrap_or_default()
}

fn time_text(at: Timestamp) -> Option<String> {
    time(at).to_rfc3339()
}

/// Until when a token is tracked.
fn tracking_text(until: Option<Timestamp>) -> String {
    until.and_then(time_text).unwrap_or_else(|| "off".to_owned())
}

fn token_details(event: &token::Event, known: &Snapshot) -> Vec<api::AuditDetail> {
    let before = token(known);
    let tracking = |until| {
        let old = before.map(|token| tracking_text(token.tracked_until));
        vec![detail("tracking_expire_time", old, tracking_text(until))]
    };
    match event {
        token::Event::Created {
            name,
            reach,
            digest: _,
            last_four,
            expires_at,
            url_parameter_allowed,
            unavailable_over_limit,
            tracked_until,
        } => {
            let (kind, target) = reach_text(*reach);
            let mut all = vec![
                detail("display_name", None, name.to_string()),
                detail("type", None, kind.to_owned()),
                detail("hint", None, hint("gdr", last_four)),
                detail("expire_time", None, expiry_text(*expires_at)),
                detail("url_parameter_allowed", None, url_parameter_allowed.to_string()),
            ];
            if let Some(target) = target {
                all.insert(2, detail("target", None, target));
            }
            if *unavailable_over_limit {
                all.push(detail("unavailable_over_limit", None, true.to_string()));
            }
            if tracked_until.is_some() {
                all.push(detail("tracking_expire_time", None, tracking_text(*tracked_until)));
            }
            all
        }
        token::Event::Renamed { name } => {
            vec![detail("display_name", name_of(known), name.to_string())]
        }
        token::Event::ExpirySet { expires_at } => {
            let old = before.map(|token| expiry_text(token.expires_at));
            vec![detail("expire_time", old, expiry_text(*expires_at))]
        }
        token::Event::UrlParameterSet { allowed } => {
            let old = before.map(|token| token.url_parameter_allowed.to_string());
            vec![detail("url_parameter_allowed", old, allowed.to_string())]
        }
        token::Event::OverLimitSet { unavailable } => {
            let old = before.map(|token| token.unavailable_over_limit.to_string());
            vec![detail("unavailable_over_limit", old, unavailable.to_string())]
        }
        token::Event::TrackingSet { until } => tracking(*until),
        token::Event::TrackingEnded => tracking(None),
        token::Event::SecretReplaced { digest: _, last_four } => {
            let old = before.map(|token| hint("gdr", &token.last_four));
            vec![detail("hint", old, hint("gdr", last_four))]
        }
        token::Event::Expired { .. } => vec![expired()],
        token::Event::Deleted => deleted(known),
    }
}

fn principal_details(event: &principal::Event, known: &Snapshot) -> Vec<api::AuditDetail> {
    let before = principal(known);
    match event {
        principal::Event::Created { name, roles, digest: _, last_four, expires_at } => vec![
            detail("display_name", None, name.to_string()),
            detail("roles", None, roles_text(roles)),
            detail("hint", None, hint("gdp", last_four)),
            detail("expire_time", None, expiry_text(*expires_at)),
        ],
        principal::Event::Renamed { name } => {
            vec![detail("display_name", name_of(known), name.to_string())]
        }
        principal::Event::RolesReplaced { roles } => {
            let old = before.map(|principal| roles_text(&principal.roles));
            vec![detail("roles", old, roles_text(roles))]
        }
        principal::Event::ExpirySet { expires_at } => {
            let old = before.map(|principal| expiry_text(principal.expires_at));
            vec![detail("expire_time", old, expiry_text(*expires_at))]
        }
        principal::Event::CredentialReplaced { digest: _, last_four } => {
            let old = before.map(|principal| hint("gdp", &principal.last_four));
            vec![detail("hint", old, hint("gdp", last_four))]
        }
        principal::Event::Expired { .. } => vec![expired()],
        principal::Event::Deleted => deleted(known),
    }
}

/// The field that tells it.
fn expired() -> api::AuditDetail {
    detail("expired", Some(false.to_string()), true.to_string())
}

fn hint(prefix: &str, last_four: &LastFour) -> String {
    format!("{prefix}_…{}", last_four.as_str())
}

fn expiry_text(at: Option<Timestamp>) -> String {
    at.and_then(time_text).unwrap_or_else(|| "never".to_owned())
}

fn reach_text(reach: Reach) -> (&'static str, Option<String>) {
    match reach {
        Reach::Global => ("global", None),
        Reach::Team(team) => ("team", Some(format!("teams/{team}"))),
        Reach::Service(team, service) => {
            ("service", Some(format!("teams/{team}/services/{service}")))
        }
    }
}

fn roles_text<'a>(roles: impl IntoIterator<Item = &'a Role>) -> String {
    let text = |role: &Role| match role {
        Role::GlobalAdmin => "global-admin".to_owned(),
        Role::Stakeholder => "stakeholder".to_owned(),
        Role::TeamManager(team) => format!("team-manager:teams/{team}"),
        Role::Responder(team) => format!("responder:teams/{team}"),
        Role::Observer(team) => format!("observer:teams/{team}"),
    };
    roles.into_iter().map(text).collect::<Vec<_>>().join(", ")
}

/// Filters as the API has them, as JSON.
fn filters_text(filters: &Filters) -> String {
    let shown: Vec<_> = filters.iter().map(filter_to).collect();
    serde_json::to_string(&shown).unwrap_or_default()
}
