//! Which entries are asked for, and which of them the caller may read.
//!
//! Must not know where entries are.

use domain::access::Action;
use domain::directory::Directory;
use domain::id::{ServiceId, TeamId, TokenId};
use domain::reach::Reach;
use domain::time::Timestamp;
use tonic::Status;
use wire::proto::gander::admin::v1 as api;

use super::entry::Entry;
use crate::access::{Caller, may_read_reach};
use crate::grpc::call::Calls;
use crate::grpc::convert::{service_name, team_name, time_at, token_name};
use crate::grpc::error;

const MOST_OUTCOMES: usize = 10;

/// Which entries.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of this token.
    pub token: Option<TokenId>,
    team: Option<TeamId>,
    service: Option<(TeamId, ServiceId)>,
    outcomes: Vec<api::ApiLogOutcome>,
    /// Received at this time or later.
    pub since: Option<Timestamp>,
    /// Received before this time.
    pub until: Option<Timestamp>,
}

impl Wanted {
    /// Reads what is asked for.
    pub fn parse(filter: Option<&api::ApiLogFilter>) -> Result<Self, Status> {
        let Some(filter) = filter else { return Ok(Self::default()) };
        if filter.outcomes.len() > MOST_OUTCOMES {
            return Err(error::field("filter.outcomes", format!("at most {MOST_OUTCOMES}")));
        }
        let given = |name: &String| (!name.is_empty()).then_some(name.clone());
        let token = given(&filter.token).map(|name| token_name(&name, "filter.token"));
        let team = given(&filter.team).map(|name| team_name(&name, "filter.team"));
        let service = given(&filter.service).map(|name| service_name(&name, "filter.service"));
        let outcome = |outcome: &i32| {
            api::ApiLogOutcome::try_from(*outcome)
                .ok()
                .filter(|outcome| *outcome != api::ApiLogOutcome::Unspecified)
                .ok_or_else(|| error::field("filter.outcomes", "must be known to this server"))
        };
        Ok(Self {
            token: token.transpose()?,
            team: team.transpose()?,
            service: service.transpose()?,
            outcomes: filter.outcomes.iter().map(outcome).collect::<Result<_, _>>()?,
            since: time_at(filter.start_time.as_ref(), "filter.start_time")?,
            until: time_at(filter.end_time.as_ref(), "filter.end_time")?,
        })
    }

    /// Whether the caller may ask for that.
    pub fn permit(&self, caller: &Caller, directory: &Directory) -> Result<(), Status> {
        let team = |team: TeamId| caller.may(Action::ReadTeam(team));
        let token = |token: TokenId| may_read(caller, directory, token, None);
        let permitted = self.team.is_none_or(team)
            && self.service.is_none_or(|(of, _)| team(of))
            && self.token.is_none_or(token);
        if permitted { Ok(()) } else { Err(error::denied()) }
    }

    /// Whether entries of this token may be among them, as far as is known without reading one.
    pub fn may_have(&self, caller: &Caller, directory: &Directory, token: TokenId) -> bool {
        let known = directory.reach_of(token);
        let in_team = |team| known.is_none_or(|reach| reach.team() == Some(team));
        self.token.is_none_or(|wanted| wanted == token)
            && self.team.is_none_or(in_team)
            && known.is_none_or(|reach| may_read_reach(caller, reach))
    }

    /// Whether the entry is among them and the caller may read it.
    pub fn has(&self, caller: &Caller, directory: &Directory, entry: &Entry) -> bool {
        let at = entry.received_at();
        let in_team = |team| reach(directory, entry.token, entry.target()).team() == Some(team);
        may_read(caller, directory, entry.token, entry.target())
            && self.token.is_none_or(|token| token == entry.token)
            && self.team.is_none_or(in_team)
            && self.service.is_none_or(|(_, service)| entry.told().has(service))
            && (self.outcomes.is_empty() || self.outcomes.contains(&entry.outcome()))
            && self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
    }
}

/// Whether the caller may read entries of this token.
pub fn may_read(
    caller: &Caller,
    directory: &Directory,
    token: TokenId,
    target: Option<&str>,
) -> bool {
    may_read_reach(caller, reach(directory, token, target))
}

/// What the token reaches or reached. Where nobody knows that any more, what an entry says; without
/// that it is taken for all.
fn reach(directory: &Directory, token: TokenId, target: Option<&str>) -> Reach {
    let told = target.and_then(|target| {
        let team = || team_name(target, "target").ok().map(Reach::Team);
        let service = service_name(target, "target").ok();
        service.map(|(team, service)| Reach::Service(team, service)).or_else(team)
    });
    directory.reach_of(token).or(told).unwrap_or(Reach::Global)
}

impl Calls {
    /// The entry with what people call its token.
    pub fn with_token_name(&self, mut entry: api::ApiLogEntry) -> api::ApiLogEntry {
        entry.token_display_name = self.store.read(|directory| {
            let token = token_name(&entry.token, "token").ok();
            let token = token.and_then(|id| directory.token(id));
            token.map(|token| token.name.to_string()).unwrap_or_default()
        });
        entry
    }
}
