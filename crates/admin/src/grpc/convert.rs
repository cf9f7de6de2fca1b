//! Between messages and domain types. What comes in is parsed, and each broken limit names its
//! field.
//!
//! Must not know rights or stores.

use std::collections::BTreeSet;

use domain::access::Role;
use domain::aggregate::Life;
use domain::filter::{Condition, Filter, Filters, Item, Key, Resolve, Trigger, Urgency};
use domain::id::{
    AlertId, FilterId, IncidentId, MaintenanceId, PrincipalId, ServiceId, TeamId, TokenId,
};
use domain::name::DisplayName;
use domain::principal::{MAX_ROLES, Principal};
use domain::reach::Reach;
use domain::service::Service;
use domain::team::Team;
use domain::time::Timestamp;
use domain::token::Token;
use pbjson_types::FieldMask;
use tonic::Status;
use wire::audit::actor_name;
use wire::catalog::filter_to;
use wire::event::{time, time_from};
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::events::v1 as events;
use wire::timestamp::Timestamp as ProtoTime;

use super::error::field;

/// The parts of a resource name that fits the pattern, such as `teams/{}/services/{}`.
fn parts<'a>(name: &'a str, pattern: &str) -> Option<Vec<&'a str>> {
    let (mut found, mut wanted) = (name.split('/'), pattern.split('/'));
    let mut ids = Vec::new();
    loop {
        match (found.next(), wanted.next()) {
            (None, None) => return Some(ids),
            (Some(id), Some("{}")) => ids.push(id),
            (Some(word), Some(same)) if word == same => {}
            _ => return None,
        }
    }
}

/// Reads `teams/{team}`.
pub fn team_name(name: &str, at: &str) -> Result<TeamId, Status> {
    let id = parts(name, "teams/{}").and_then(|ids| TeamId::parse(ids[0]).ok());
    id.ok_or_else(|| field(at, "must be teams/{team}"))
}

/// Reads `teams/{team}/services/{service}`.
pub fn service_name(name: &str, at: &str) -> Result<(TeamId, ServiceId), Status> {
    let ids = parts(name, "teams/{}/services/{}");
    let ids =
        ids.and_then(|ids| Some((TeamId::parse(ids[0]).ok()?, ServiceId::parse(ids[1]).ok()?)));
    ids.ok_or_else(|| field(at, "must be teams/{team}/services/{service}"))
}

/// Reads `teams/{team}/services/{service}/maintenances/{maintenance}`.
pub fn maintenance_name(name: &str) -> Result<(TeamId, ServiceId, MaintenanceId), Status> {
    let ids = parts(name, "teams/{}/services/{}/maintenances/{}").and_then(|ids| {
        Some((
            TeamId::parse(ids[0]).ok()?,
            ServiceId::parse(ids[1]).ok()?,
            MaintenanceId::parse(ids[2]).ok()?,
        ))
    });
    ids.ok_or_else(|| {
        field("name", "must be teams/{team}/services/{service}/maintenances/{maintenance}")
    })
}

/// Reads `tokens/{token}`.
pub fn token_name(name: &str, at: &str) -> Result<TokenId, Status> {
    let id = parts(name, "tokens/{}").and_then(|ids| TokenId::parse(ids[0]).ok());
    id.ok_or_else(|| field(at, "must be tokens/{token}"))
}

/// Reads `principals/{principal}`.
pub fn principal_name(name: &str, at: &str) -> Result<PrincipalId, Status> {
    let id = parts(name, "principals/{}").and_then(|ids| PrincipalId::parse(ids[0]).ok());
    id.ok_or_else(|| field(at, "must be principals/{principal}"))
}

/// Reads `teams/{team}/services/{service}/incidents/{incident}`.
pub fn incident_name(name: &str) -> Result<(TeamId, ServiceId, IncidentId), Status> {
    let ids = parts(name, "teams/{}/services/{}/incidents/{}").and_then(|ids| {
        Some((
            TeamId::parse(ids[0]).ok()?,
            ServiceId::parse(ids[1]).ok()?,
            IncidentId::parse(ids[2]).ok()?,
        ))
    });
    ids.ok_or_else(|| field("name", "must be teams/{team}/services/{service}/incidents/{incident}"))
}

/// Reads the name of an incident whose team and service may be left open, as
/// `teams/-/services/-/incidents/{incident}`.
pub fn open_incident_name(
    name: &str,
) -> Result<(Option<TeamId>, Option<ServiceId>, IncidentId), Status> {
    match parts(name, "teams/-/services/-/incidents/{}") {
        Some(ids) => {
            let id = IncidentId::parse(ids[0]).map_err(|_| field("name", "ends with a UUID"))?;
            Ok((None, None, id))
        }
        None => incident_name(name).map(|(team, service, id)| (Some(team), Some(service), id)),
    }
}

/// Reads `parkedRecords/{number}`.
pub fn parked_record_name(name: &str) -> Result<u64, Status> {
    let number = parts(name, "parkedRecords/{}").and_then(|found| found[0].parse().ok());
    number
        .filter(|number| *number > 0)
        .ok_or_else(|| field("name", "must be parkedRecords/{number}"))
}

/// Reads `apiLogEntries/{id}`.
pub fn api_log_entry_name(name: &str, at: &str) -> Result<AlertId, Status> {
    let id = parts(name, "apiLogEntries/{}").and_then(|found| AlertId::parse(found[0]).ok());
    id.ok_or_else(|| field(at, "must be apiLogEntries/{id}"))
}

/// A parent of lists: all teams (`teams/-` or nothing), one team, or one service.
pub fn list_parent(parent: &str) -> Result<(Option<TeamId>, Option<ServiceId>), Status> {
    match parent {
        "" | "teams/-" => Ok((None, None)),
        team if parts(team, "teams/{}").is_some() => Ok((Some(team_name(team, "parent")?), None)),
        service => {
            let (team, service) = service_name(service, "parent")?;
            Ok((Some(team), Some(service)))
        }
    }
}

/// Reads a display name.
pub fn display_name(text: &str, at: &str) -> Result<DisplayName, Status> {
    DisplayName::parse(text).map_err(|rule| field(at, rule))
}

/// An etag is the number of the last commit, in quotes.
pub fn etag(life: &Life) -> String {
    format!("\"{}\"", life.version)
}

/// Reads an etag; none if it is empty.
pub fn expected(etag: &str, at: &str) -> Result<Option<u64>, Status> {
    if etag.is_empty() {
        return Ok(None);
    }
    let number = etag.strip_prefix('"').and_then(|etag| etag.strip_suffix('"'));
    let number = number.and_then(|number| number.parse().ok());
    number.map(Some).ok_or_else(|| field(at, "must be one that was read before"))
}

/// Reads a time; none if it is not set.
pub fn time_at(at: Option<&ProtoTime>, name: &str) -> Result<Option<Timestamp>, Status> {
    let read = |at| {
        time_from(at).ok_or_else(|| field(name, "must be a time between the years 1 and 9999"))
    };
    at.map(read).transpose()
}

/// Which fields a change is about.
pub enum Mask {
    /// Those that are set.
    Set,
    /// All, by `*`.
    All,
    /// Those that are named.
    Named(Vec<String>),
}

impl Mask {
    /// Reads a mask; only these fields may be named.
    pub fn parse(mask: Option<FieldMask>, known: &[&str]) -> Result<Self, Status> {
        let paths = mask.map(|mask| mask.paths).unwrap_or_default();
        if paths.is_empty() {
            return Ok(Self::Set);
        }
        if paths == ["*"] {
            return Ok(Self::All);
        }
        match paths.iter().find(|path| !known.contains(&path.as_str())) {
            Some(_) => {
                Err(field("update_mask", format!("must name only {}, or *", known.join(", "))))
            }
            None => Ok(Self::Named(paths)),
        }
    }

    /// Whether the field itself is named.
    pub fn names(&self, name: &str) -> bool {
        matches!(self, Self::Named(paths) if paths.iter().any(|path| path == name))
    }

    /// Whether the field is to be changed; `set` is whether it is set in the message.
    pub fn has(&self, name: &str, set: bool) -> bool {
        match self {
            Self::Set => set,
            Self::All => true,
            Self::Named(_) => self.names(name),
        }
    }
}

/// A team as it is shown.
pub fn team_to(team: &Team) -> api::Team {
    api::Team {
        name: format!("teams/{}", team.id),
        display_name: team.name.to_string(),
        create_time: Some(time(team.life.created_at)),
        update_time: Some(time(team.life.updated_at)),
        etag: etag(&team.life),
    }
}

/// A service as it is shown at this time.
pub fn service_to(service: &Service, now: Timestamp) -> api::Service {
    api::Service {
        name: format!("teams/{}/services/{}", service.team, service.id),
        display_name: service.name.to_string(),
        disabled: service.disabled,
        filters: service.filters.iter().map(filter_to).collect(),
        create_time: Some(time(service.life.created_at)),
        update_time: Some(time(service.life.updated_at)),
        etag: etag(&service.life),
        in_maintenance: service.maintenance.active(now),
    }
}

/// Reads filters; those without an id get a fresh one.
pub fn filters_from(
    at: &str,
    filters: &[api::Filter],
    mut fresh: impl FnMut() -> [u8; 16],
) -> Result<Filters, Status> {
    let read = |(n, filter)| filter_from(filter, &format!("{at}[{n}]"), &mut fresh);
    let filters = filters.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
    Filters::new(filters).map_err(|rule| field(at, rule))
}

fn filter_from(
    filter: &api::Filter,
    at: &str,
    fresh: &mut impl FnMut() -> [u8; 16],
) -> Result<Filter, Status> {
    let id = if filter.id.is_empty() {
        FilterId::from_bytes(fresh())
    } else {
        FilterId::parse(&filter.id).map_err(|rule| field(format!("{at}.id"), rule))?
    };
    let trigger =
        filter.trigger.as_ref().ok_or_else(|| field(format!("{at}.trigger"), "is required"))?;
    let resolve =
        filter.resolve.as_ref().map(|resolve| resolve_from(resolve, &format!("{at}.resolve")));
    Ok(Filter {
        id,
        name: display_name(&filter.display_name, &format!("{at}.display_name"))?,
        trigger: trigger_from(trigger, &format!("{at}.trigger"))?,
        resolve: resolve.transpose()?,
    })
}

fn trigger_from(trigger: &api::Trigger, at: &str) -> Result<Trigger, Status> {
    let urgency = match trigger.urgency() {
        events::Urgency::High => Urgency::High,
        events::Urgency::Low => Urgency::Low,
        events::Urgency::Unspecified => {
            return Err(field(format!("{at}.urgency"), "must be URGENCY_HIGH or URGENCY_LOW"));
        }
    };
    let read = |(n, condition)| condition_from(condition, &format!("{at}.conditions[{n}]"));
    let conditions = trigger.conditions.iter().enumerate().map(read);
    let conditions = conditions.collect::<Result<Vec<_>, _>>()?;
    let key = |text: &str, name: &str| key_from(text, &format!("{at}.{name}"));
    Trigger::new(
        urgency,
        conditions,
        key(&trigger.title_from, "title_from")?,
        key(&trigger.description_from, "description_from")?,
        key(&trigger.map_with, "map_with")?,
    )
    .map_err(|rule| field(format!("{at}.conditions"), rule))
}

fn resolve_from(resolve: &api::Resolve, at: &str) -> Result<Resolve, Status> {
    let missing = |name: &str| field(format!("{at}.{name}"), "is required");
    let condition = resolve.condition.as_ref().ok_or_else(|| missing("condition"))?;
    let mapped_with = key_from(&resolve.mapped_with, &format!("{at}.mapped_with"))?;
    Ok(Resolve {
        condition: condition_from(condition, &format!("{at}.condition"))?,
        mapped_with: mapped_with.ok_or_else(|| missing("mapped_with"))?,
    })
}

fn condition_from(condition: &api::Condition, at: &str) -> Result<Condition, Status> {
    let items = items_from(&condition.contains, at)?;
    let key = key_from(&condition.key, &format!("{at}.key"))?;
    Condition::new(key, items).map_err(|rule| field(format!("{at}.contains"), rule))
}

/// Reads texts to contain.
pub fn items_from(contains: &[String], at: &str) -> Result<Vec<Item>, Status> {
    let item = |(n, text): (usize, &String)| {
        Item::parse(text).map_err(|rule| field(format!("{at}.contains[{n}]"), rule))
    };
    contains.iter().enumerate().map(item).collect()
}

fn key_from(text: &str, at: &str) -> Result<Option<Key>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    Key::parse(text).map(Some).map_err(|rule| field(at, rule))
}

/// A token as it is shown at this time, without its secret; with the hour in which it was last used.
pub fn token_to(token: &Token, now: Timestamp, last_use: Option<Timestamp>) -> api::Token {
    let (kind, target) = match token.reach {
        Reach::Global => (api::TokenType::Global, String::new()),
        Reach::Team(team) => (api::TokenType::Team, format!("teams/{team}")),
        Reach::Service(team, service) => {
            (api::TokenType::Service, format!("teams/{team}/services/{service}"))
        }
    };
    api::Token {
        name: format!("tokens/{}", token.id),
        display_name: token.name.to_string(),
        r#type: kind.into(),
        target,
        url_parameter_allowed: Some(token.url_parameter_allowed),
        unavailable_over_limit: Some(token.unavailable_over_limit),
        expire_time: token.expires_at.map(time),
        expired: token.expired(now),
        secret: String::new(),
        hint: format!("gdr_…{}", token.last_four.as_str()),
        creator: actor_name(token.life.creator),
        create_time: Some(time(token.life.created_at)),
        update_time: Some(time(token.life.updated_at)),
        last_use_time: last_use.map(time),
        tracking: Some(token.tracked(now)),
        tracking_expire_time: token.tracked_until.filter(|_| token.tracked(now)).map(time),
        etag: etag(&token.life),
    }
}

/// Reads what a token reaches.
pub fn reach_from(kind: api::TokenType, target: &str) -> Result<Reach, Status> {
    match kind {
        api::TokenType::Global if target.is_empty() => Ok(Reach::Global),
        api::TokenType::Global => Err(field("token.target", "must be empty for a Global token")),
        api::TokenType::Team => team_name(target, "token.target").map(Reach::Team),
        api::TokenType::Service => service_name(target, "token.target")
            .map(|(team, service)| Reach::Service(team, service)),
        api::TokenType::Unspecified => Err(field("token.type", "is required")),
    }
}

/// A principal as it is shown, without its credential.
pub fn principal_to(principal: &Principal, now: Timestamp) -> api::Principal {
    api::Principal {
        name: format!("principals/{}", principal.id),
        display_name: principal.name.to_string(),
        roles: principal.roles.iter().map(|role| role_to(*role)).collect(),
        expire_time: principal.expires_at.map(time),
        expired: principal.expired(now),
        credential: String::new(),
        hint: format!("gdp_…{}", principal.last_four.as_str()),
        create_time: Some(time(principal.life.created_at)),
        update_time: Some(time(principal.life.updated_at)),
        etag: etag(&principal.life),
    }
}

fn role_to(role: Role) -> api::RoleGrant {
    let (role, team) = match role {
        Role::GlobalAdmin => (api::Role::GlobalAdmin, None),
        Role::Stakeholder => (api::Role::Stakeholder, None),
        Role::TeamManager(team) => (api::Role::TeamManager, Some(team)),
        Role::Responder(team) => (api::Role::Responder, Some(team)),
        Role::Observer(team) => (api::Role::Observer, Some(team)),
    };
    let team = team.map(|team| format!("teams/{team}")).unwrap_or_default();
    api::RoleGrant { role: role.into(), team }
}

/// Reads roles: at least one, at most 100.
pub fn roles_from(roles: &[api::RoleGrant]) -> Result<BTreeSet<Role>, Status> {
    if roles.is_empty() || roles.len() > MAX_ROLES {
        return Err(field("principal.roles", format!("must be 1 to {MAX_ROLES}")));
    }
    let read = |(n, grant)| role_from(grant, &format!("principal.roles[{n}]"));
    roles.iter().enumerate().map(read).collect()
}

fn role_from(grant: &api::RoleGrant, at: &str) -> Result<Role, Status> {
    let at_team = format!("{at}.team");
    let global = |role| match grant.team.as_str() {
        "" => Ok(role),
        _ => Err(field(&at_team, "must be empty for a global role")),
    };
    match grant.role() {
        api::Role::GlobalAdmin => global(Role::GlobalAdmin),
        api::Role::Stakeholder => global(Role::Stakeholder),
        api::Role::TeamManager => team_name(&grant.team, &at_team).map(Role::TeamManager),
        api::Role::Responder => team_name(&grant.team, &at_team).map(Role::Responder),
        api::Role::Observer => team_name(&grant.team, &at_team).map(Role::Observer),
        api::Role::Unspecified => Err(field(format!("{at}.role"), "is required")),
    }
}
