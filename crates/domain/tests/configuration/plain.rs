//! What a plain reading of all commits says of secrets: a model to hold the directory against.
//!
//! Must not know `evolve` or the directory.

use std::collections::{BTreeMap, BTreeSet};

use domain::aggregate::Actor;
use domain::commit::{Change, Subject};
use domain::id::{ServiceId, TeamId, TokenId};
use domain::reach::Reach;
use domain::secret::Digest;
use domain::time::Timestamp;
use domain::{principal, service, team, token};

use crate::history::History;

/// A secret as a plain reading has it: its digest, and when it stops working.
type Lasting = (Digest, Option<Timestamp>);

/// What a plain reading of the commits says of secrets.
#[derive(Default)]
pub struct Plain {
    teams: BTreeSet<TeamId>,
    services: BTreeSet<(TeamId, ServiceId)>,
    reaches: BTreeMap<TokenId, Reach>,
    secrets: BTreeMap<Subject, Lasting>,
    /// The bootstrap credential that is good.
    pub bootstrap: Option<Digest>,
}

impl Plain {
    /// Reads all commits.
    pub fn read(history: &History) -> Self {
        let mut plain = Self::default();
        for commit in &history.commits {
            if commit.actor == Actor::Bootstrap {
                plain.bootstrap = None;
            }
            commit.changes.iter().for_each(|change| plain.change(change));
        }
        plain
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Team(id, team::Event::Created { .. }) => {
                self.teams.insert(*id);
            }
            Change::Team(id, team::Event::Deleted) => {
                self.teams.remove(id);
            }
            Change::Service(id, service::Event::Created { team, .. }) => {
                self.services.insert((*team, *id));
            }
            Change::Service(id, service::Event::Deleted) => {
                self.services.retain(|(_, service)| service != id);
            }
            Change::Token(id, event) => self.token(*id, event),
            Change::Principal(id, event) => self.principal(Subject::Principal(*id), event),
            Change::BootstrapIssued(digest) => self.bootstrap = Some(*digest),
            Change::Team(_, team::Event::Renamed { .. })
            | Change::Service(
                _,
                service::Event::Renamed { .. }
                | service::Event::DisabledSet { .. }
                | service::Event::FiltersReplaced { .. }
                | service::Event::Maintenance(_),
            ) => {}
        }
    }

    fn token(&mut self, id: TokenId, event: &token::Event) {
        let subject = Subject::Token(id);
        match event {
            token::Event::Created { reach, digest, expires_at, .. } => {
                self.reaches.insert(id, *reach);
                self.secrets.insert(subject, (*digest, *expires_at));
            }
            token::Event::SecretReplaced { digest, .. } => {
                self.secrets.entry(subject).and_modify(|secret| secret.0 = *digest);
            }
            token::Event::ExpirySet { expires_at } => {
                self.secrets.entry(subject).and_modify(|secret| secret.1 = *expires_at);
            }
            token::Event::Expired { .. } | token::Event::Deleted => {
                self.secrets.remove(&subject);
            }
            token::Event::Renamed { .. }
            | token::Event::UrlParameterSet { .. }
            | token::Event::OverLimitSet { .. }
            | token::Event::TrackingSet { .. }
            | token::Event::TrackingEnded => {}
        }
    }

    fn principal(&mut self, subject: Subject, event: &principal::Event) {
        match event {
            principal::Event::Created { digest, expires_at, .. } => {
                self.secrets.insert(subject, (*digest, *expires_at));
            }
            principal::Event::CredentialReplaced { digest, .. } => {
                self.secrets.entry(subject).and_modify(|secret| secret.0 = *digest);
            }
            principal::Event::ExpirySet { expires_at } => {
                self.secrets.entry(subject).and_modify(|secret| secret.1 = *expires_at);
            }
            principal::Event::Expired { .. } | principal::Event::Deleted => {
                self.secrets.remove(&subject);
            }
            principal::Event::Renamed { .. } | principal::Event::RolesReplaced { .. } => {}
        }
    }

    /// What the secret opens.
    pub fn opened(&self, digest: &Digest, now: Timestamp) -> Option<Subject> {
        let opens = |subject: Subject, (own, expires_at): &Lasting| {
            own == digest && expires_at.is_none_or(|at| at > now) && self.lives(subject)
        };
        self.secrets.iter().find(|(subject, secret)| opens(**subject, secret)).map(|(id, _)| *id)
    }

    fn lives(&self, subject: Subject) -> bool {
        let Subject::Token(id) = subject else {
            return true;
        };
        match self.reaches[&id] {
            Reach::Global => true,
            Reach::Team(team) => self.teams.contains(&team),
            Reach::Service(team, service) => {
                self.teams.contains(&team) && self.services.contains(&(team, service))
            }
        }
    }
}
