//! All that is configured, by id, and what follows from reading it together.
//!
//! Rules across things hold here by reading, never by cascades: a token lives if it, its service
//! and its team live. Must not know where the changes come from: a journal's commits or a
//! stream's snapshots give the same directory.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use crate::admissions::Admissions;
use crate::aggregate::{Actor, Entry, Stamp};
use crate::commit::{Change, Commit, Subject};
use crate::id::{PrincipalId, ServiceId, TeamId, TokenId};
use crate::name::DisplayName;
use crate::principal::{self, Principal};
use crate::reach::Reach;
use crate::secret::{ByDigest, Digest};
use crate::service::{self, Service};
use crate::team::{self, Team};
use crate::time::Timestamp;
use crate::token::{self, Admission, Token};

/// Among whom a name must be unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Siblings {
    /// All teams.
    Teams,
    /// The services of a team.
    Services(TeamId),
    /// The tokens of one reach.
    Tokens(Reach),
    /// All principals.
    Principals,
}

/// All that is configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    sequence: u64,
    teams: BTreeMap<TeamId, Entry<Team>>,
    services: BTreeMap<ServiceId, Entry<Service>>,
    /// In boxes: where one comes between others, these are moved.
    tokens: BTreeMap<TokenId, Box<Entry<Token>>>,
    principals: BTreeMap<PrincipalId, Entry<Principal>>,
    /// By the digest of its secret all that an alert needs of a token: among a million tokens it is
    /// the look-up in `tokens` that would cost most.
    admissions: Admissions,
    /// What tokens reached that were seen to die.
    dead_tokens: BTreeMap<TokenId, Reach>,
    principal_of: ByDigest<PrincipalId>,
    names: Names,
    /// The tracked tokens by the end of their tracking.
    tracked: BTreeSet<(Timestamp, TokenId)>,
    /// The tokens and principals that expire by when they do, as long as the end is not in the journal.
    expiring: Expiring,
    bootstrap: Option<Digest>,
}

/// Who has which name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Names(BTreeMap<(Siblings, Arc<str>), Subject>);

impl Names {
    fn swap(
        &mut self,
        subject: Subject,
        siblings: Siblings,
        old: Option<DisplayName>,
        new: Option<DisplayName>,
    ) {
        if let Some(old) = old {
            self.0.remove(&(siblings, old.into()));
        }
        if let Some(new) = new {
            self.0.insert((siblings, new.into()), subject);
        }
    }
}

/// Who expires when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Expiring(BTreeSet<(Timestamp, Subject)>);

impl Expiring {
    fn swap(&mut self, subject: Subject, old: Option<Timestamp>, new: Option<Timestamp>) {
        if let Some(old) = old {
            self.0.remove(&(old, subject));
        }
        self.0.extend(new.map(|new| (new, subject)));
    }
}

/// A thing as it is after its last commit, or that it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Snapshot {
    /// A team.
    Team(TeamId, Entry<Team>),
    /// A service.
    Service(ServiceId, Entry<Service>),
    /// A token.
    Token(TokenId, Entry<Token>),
    /// A principal.
    Principal(PrincipalId, Entry<Principal>),
    /// The installation as a whole: nothing of it is kept in a snapshot.
    Installation,
}

impl Snapshot {
    /// What it is a snapshot of.
    #[must_use]
    pub const fn subject(&self) -> Subject {
        match self {
            Self::Team(id, _) => Subject::Team(*id),
            Self::Service(id, _) => Subject::Service(*id),
            Self::Token(id, _) => Subject::Token(*id),
            Self::Principal(id, _) => Subject::Principal(*id),
            Self::Installation => Subject::Installation,
        }
    }
}

impl Directory {
    /// The number of the last commit applied; 0 before the first.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Applies a commit of the journal.
    pub fn apply(&mut self, commit: &Commit) {
        let stamp = commit.stamp();
        for change in &commit.changes {
            self.apply_change(change, &stamp);
        }
        self.sequence = commit.sequence;
    }

    fn apply_change(&mut self, change: &Change, stamp: &Stamp) {
        let snapshot = match change {
            Change::Team(id, event) => {
                Snapshot::Team(*id, team::evolve(self.team_entry(*id).clone(), *id, event, stamp))
            }
            Change::Service(id, event) => Snapshot::Service(
                *id,
                service::evolve(self.service_entry(*id).clone(), *id, event, stamp),
            ),
            Change::Token(id, event) => Snapshot::Token(
                *id,
                token::evolve(self.token_entry(*id).clone(), *id, event, stamp),
            ),
            Change::Principal(id, event) => {
                if stamp.actor == Actor::Bootstrap {
                    self.bootstrap = None;
                }
                let entry = self.principal_entry(*id).clone();
                Snapshot::Principal(*id, principal::evolve(entry, *id, event, stamp))
            }
            Change::BootstrapIssued(digest) => {
                self.bootstrap = Some(*digest);
                Snapshot::Installation
            }
        };
        self.put(snapshot);
    }

    /// Applies a snapshot with its place in the order of commits.
    pub fn restore(&mut self, sequence: u64, snapshot: Snapshot) {
        self.put(snapshot);
        self.sequence = sequence;
    }

    /// The thing as it is.
    #[must_use]
    pub fn snapshot(&self, subject: Subject) -> Snapshot {
        match subject {
            Subject::Team(id) => Snapshot::Team(id, self.team_entry(id).clone()),
            Subject::Service(id) => Snapshot::Service(id, self.service_entry(id).clone()),
            Subject::Token(id) => Snapshot::Token(id, self.token_entry(id).clone()),
            Subject::Principal(id) => Snapshot::Principal(id, self.principal_entry(id).clone()),
            Subject::Installation => Snapshot::Installation,
        }
    }

    fn put(&mut self, snapshot: Snapshot) {
        match snapshot {
            Snapshot::Team(id, entry) => self.put_team(id, entry),
            Snapshot::Service(id, entry) => self.put_service(id, entry),
            Snapshot::Token(id, entry) => self.put_token(id, entry),
            Snapshot::Principal(id, entry) => self.put_principal(id, entry),
            Snapshot::Installation => {}
        }
    }

    fn put_team(&mut self, id: TeamId, entry: Entry<Team>) {
        let kept = self.teams.entry(id).or_default();
        let old = mem::replace(kept, entry);
        let name = |entry: &Entry<Team>| entry.live().map(|team| team.name.clone());
        self.names.swap(Subject::Team(id), Siblings::Teams, name(&old), name(kept));
    }

    fn put_service(&mut self, id: ServiceId, entry: Entry<Service>) {
        let kept = self.services.entry(id).or_default();
        let old = mem::replace(kept, entry);
        let Some(team) = kept.live().or(old.live()).map(|service| service.team) else {
            return;
        };
        let name = |entry: &Entry<Service>| entry.live().map(|service| service.name.clone());
        self.names.swap(Subject::Service(id), Siblings::Services(team), name(&old), name(kept));
    }

    fn put_token(&mut self, id: TokenId, entry: Entry<Token>) {
        let kept = &mut **self.tokens.entry(id).or_default();
        let old = mem::replace(kept, entry);
        if let Some(token) = old.live() {
            if let Some(digest) = token.digest {
                self.admissions.remove(&digest);
            }
            if let Some(until) = token.tracked_until {
                self.tracked.remove(&(until, id));
            }
        }
        if let Some(token) = kept.live() {
            if let Some(digest) = token.digest {
                self.admissions.insert(digest, &token.into());
            }
            self.tracked.extend(token.tracked_until.map(|until| (until, id)));
        }
        let end = |entry: &Entry<Token>| {
            entry.live().and_then(|token| token.expires_at.filter(|_| token.digest.is_some()))
        };
        self.expiring.swap(Subject::Token(id), end(&old), end(kept));
        let Some(reach) = kept.live().or(old.live()).map(|token| token.reach) else {
            return;
        };
        if kept.live().is_none() {
            self.dead_tokens.insert(id, reach);
        }
        let name = |entry: &Entry<Token>| entry.live().map(|token| token.name.clone());
        self.names.swap(Subject::Token(id), Siblings::Tokens(reach), name(&old), name(kept));
    }

    fn put_principal(&mut self, id: PrincipalId, entry: Entry<Principal>) {
        let kept = self.principals.entry(id).or_default();
        let old = mem::replace(kept, entry);
        if let Some(digest) = old.live().and_then(|principal| principal.digest) {
            self.principal_of.remove(&digest);
        }
        if let Some(digest) = kept.live().and_then(|principal| principal.digest) {
            self.principal_of.insert(digest, id);
        }
        let end = |entry: &Entry<Principal>| {
            let found = entry.live();
            found.and_then(|found| found.expires_at.filter(|_| found.digest.is_some()))
        };
        self.expiring.swap(Subject::Principal(id), end(&old), end(kept));
        let name = |entry: &Entry<Principal>| entry.live().map(|found| found.name.clone());
        self.names.swap(Subject::Principal(id), Siblings::Principals, name(&old), name(kept));
    }

    /// How many things were ever configured.
    #[must_use]
    pub fn things(&self) -> usize {
        self.teams.len() + self.services.len() + self.tokens.len() + self.principals.len()
    }

    /// The team, also when it is absent or deleted.
    #[must_use]
    pub fn team_entry(&self, id: TeamId) -> &Entry<Team> {
        self.teams.get(&id).unwrap_or(&Entry::Absent)
    }

    /// The service, also when it is absent or deleted, whether or not its team lives.
    #[must_use]
    pub fn service_entry(&self, id: ServiceId) -> &Entry<Service> {
        self.services.get(&id).unwrap_or(&Entry::Absent)
    }

    /// The token, also when it is absent or deleted, whether or not what it reaches lives.
    #[must_use]
    pub fn token_entry(&self, id: TokenId) -> &Entry<Token> {
        self.tokens.get(&id).map_or(&Entry::Absent, |entry| entry)
    }

    /// The principal, also when it is absent or deleted.
    #[must_use]
    pub fn principal_entry(&self, id: PrincipalId) -> &Entry<Principal> {
        self.principals.get(&id).unwrap_or(&Entry::Absent)
    }

    /// The live team.
    #[must_use]
    pub fn team(&self, id: TeamId) -> Option<&Team> {
        self.team_entry(id).live()
    }

    /// The live service of a live team.
    #[must_use]
    pub fn service(&self, id: ServiceId) -> Option<&Service> {
        self.service_entry(id).live().filter(|service| self.team(service.team).is_some())
    }

    /// The live token whose target lives.
    #[must_use]
    pub fn token(&self, id: TokenId) -> Option<&Token> {
        self.token_entry(id).live().filter(|token| self.lives(token.reach))
    }

    /// What the token reaches or, if it was seen to die, reached.
    #[must_use]
    pub fn reach_of(&self, id: TokenId) -> Option<Reach> {
        let live = self.token_entry(id).live().map(|token| token.reach);
        live.or_else(|| self.dead_tokens.get(&id).copied())
    }

    /// The live principal.
    #[must_use]
    pub fn principal(&self, id: PrincipalId) -> Option<&Principal> {
        self.principal_entry(id).live()
    }

    /// Whether what a token reaches is there.
    #[must_use]
    pub fn lives(&self, reach: Reach) -> bool {
        match reach {
            Reach::Global => true,
            Reach::Team(team) => self.team(team).is_some(),
            Reach::Service(team, service) => {
                self.service(service).is_some_and(|found| found.team == team)
            }
        }
    }

    /// The token that this secret opens at this time.
    #[must_use]
    pub fn admitted(&self, digest: &Digest, now: Timestamp) -> Option<Admission> {
        let found = self.admissions.get(digest)?;
        (!found.expired(now) && self.lives(found.reach)).then_some(found)
    }

    /// Whether there is any token whose calls are kept in the API log, or were until lately.
    #[must_use]
    pub fn tracks_any(&self) -> bool {
        !self.tracked.is_empty()
    }

    /// The principal that this credential opens at this time.
    #[must_use]
    pub fn authenticated(&self, digest: &Digest, now: Timestamp) -> Option<&Principal> {
        let principal = self.principal(*self.principal_of.get(digest)?)?;
        (!principal.expired(now)).then_some(principal)
    }

    /// Whether this is the live bootstrap credential.
    #[must_use]
    pub fn is_bootstrap(&self, digest: &Digest) -> bool {
        self.bootstrap.as_ref() == Some(digest)
    }

    /// Whether a bootstrap credential is live.
    #[must_use]
    pub const fn has_bootstrap(&self) -> bool {
        self.bootstrap.is_some()
    }

    /// Who among the siblings has this name.
    #[must_use]
    pub fn named(&self, siblings: Siblings, name: &str) -> Option<Subject> {
        self.names.0.get(&(siblings, name.into())).copied()
    }

    /// Whether a lasting Global Admin other than this one lives.
    #[must_use]
    pub fn other_lasting_admin(&self, id: PrincipalId) -> bool {
        self.principals().any(|principal| principal.id != id && principal.is_lasting_admin())
    }

    /// The live teams, in the order of their ids.
    pub fn teams(&self) -> impl Iterator<Item = &Team> {
        self.teams.values().filter_map(Entry::live)
    }

    /// The live services of live teams, in the order of their ids.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.keys().filter_map(|id| self.service(*id))
    }

    /// A token whose tracking should have ended by this time.
    #[must_use]
    pub fn tracking_over(&self, now: Timestamp) -> Option<TokenId> {
        self.tracked.first().filter(|(until, _)| *until <= now).map(|(_, id)| *id)
    }

    /// A token or principal that has expired by this time, which is not in the journal yet.
    #[must_use]
    pub fn expiry_over(&self, now: Timestamp) -> Option<Subject> {
        self.expiring.0.first().filter(|(at, _)| *at <= now).map(|(_, subject)| *subject)
    }

    /// The live tokens whose targets live, in the order of their ids.
    pub fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.tokens.keys().filter_map(|id| self.token(*id))
    }

    /// The live principals, in the order of their ids.
    pub fn principals(&self) -> impl Iterator<Item = &Principal> {
        self.principals.values().filter_map(Entry::live)
    }
}
