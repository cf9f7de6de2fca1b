//! Asks carried out one after the other: each is decided on what the ones before have left, with
//! the facts that admin looks up for it, and gives a commit.
//!
//! Must not know what must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::access::Role;
use domain::aggregate::{Actor, Life, Rejection};
use domain::commit::{Change, Commit, Subject};
use domain::directory::{Directory, Siblings, Snapshot};
use domain::filter::{Condition, Filter, Filters, Item, Trigger, Urgency};
use domain::id::{FilterId, PrincipalId, ServiceId, TeamId, TokenId};
use domain::name::DisplayName;
use domain::secret::{Digest, LastFour};
use domain::time::Timestamp;
use domain::{maintenance, principal, service, team, token};

use crate::asks::{Ask, Expiry, Known, OfPrincipal, OfService, OfTeam, OfToken, Step};

type Decided = Result<Vec<Change>, Rejection>;

/// What was carried out.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// What the commits have led to.
    pub directory: Directory,
    /// The commits.
    pub commits: Vec<Commit>,
    /// What each commit left of what it touched.
    snapshots: Vec<Snapshot>,
    /// The time.
    pub now: Timestamp,
    /// How many secrets were drawn.
    drawn: u64,
    /// Whether the last ask succeeded.
    pub succeeded: bool,
    /// The kinds of what came of the asks.
    pub reached: BTreeSet<String>,
}

impl History {
    /// Lets time pass and carries out what is asked.
    pub fn take(&mut self, step: &Step) {
        let micros = self.now.as_micros() + i64::from(step.pause);
        self.now = Timestamp::from_micros(micros);
        self.drawn += 1;
        let decided = self.decide(&step.ask);
        self.succeeded = decided.is_ok();
        match decided {
            Ok(changes) if changes.is_empty() => {
                self.reached.insert("unchanged yes".to_owned());
            }
            Ok(changes) => self.commit(&step.ask, changes),
            Err(rejection) => {
                self.reached.insert(format!("rejected {rejection:?}"));
            }
        }
    }

    fn commit(&mut self, ask: &Ask, changes: Vec<Change>) {
        self.reached.extend(changes.iter().map(kind));
        let commit = Commit {
            sequence: self.directory.sequence() + 1,
            previous_hash: [0; 32],
            at: self.now,
            actor: actor(ask),
            request: None,
            changes,
        };
        self.directory.apply(&commit);
        self.snapshots.push(self.directory.snapshot(commit.changes[0].subject()));
        self.commits.push(commit);
    }

    /// Each commit with what it left, as the control stream has them.
    pub fn messages(&self) -> Vec<(Commit, Snapshot)> {
        self.commits.iter().cloned().zip(self.snapshots.iter().cloned()).collect()
    }

    /// Of the first messages the last of each subject, in order: what a reader begins with.
    pub fn last_of_each_subject(&self, messages: usize) -> BTreeMap<u64, Snapshot> {
        let mut last = BTreeMap::new();
        for (commit, snapshot) in &self.messages()[..messages] {
            last.insert(commit.changes[0].subject(), (commit.sequence, snapshot.clone()));
        }
        last.into_values().collect()
    }

    /// What the ask leads to now.
    pub fn decide(&self, ask: &Ask) -> Decided {
        match ask {
            Ask::Team(id, ask) => self.decide_team(*id, ask),
            Ask::Service(team, id, ask) => self.decide_service(*team, *id, ask),
            Ask::Token(id, ask) => self.decide_token(*id, ask),
            Ask::Principal(id, ask) => self.decide_principal(*id, ask),
            Ask::IssueBootstrap => Ok(vec![Change::BootstrapIssued(self.secret().0)]),
        }
    }

    fn decide_team(&self, id: TeamId, ask: &OfTeam) -> Decided {
        let entry = self.directory.team_entry(id);
        let known = |known| expected(known, entry.live().map(|team| team.life));
        let taken = |name| self.taken(Siblings::Teams, name, Subject::Team(id));
        let command = match ask.clone() {
            OfTeam::Create(name) => {
                let name_taken = self.directory.named(Siblings::Teams, name.as_str()).is_some();
                team::Command::Create { name, name_taken }
            }
            OfTeam::Rename(version, name) => team::Command::Rename {
                expected: known(version),
                name_taken: taken(Some(&name)),
                name,
            },
            OfTeam::Delete(version) => team::Command::Delete { expected: known(version) },
        };
        let events = team::decide(entry, command)?;
        Ok(events.into_iter().map(|event| Change::Team(id, event)).collect())
    }

    fn decide_service(&self, team: TeamId, id: ServiceId, ask: &OfService) -> Decided {
        let entry = self.directory.service_entry(id);
        let known = |known| expected(known, entry.live().map(|service| service.life));
        let siblings = Siblings::Services(team);
        let command = match ask.clone() {
            OfService::Create(name) => service::Command::Create {
                team,
                team_lives: self.directory.team(team).is_some(),
                name_taken: self.directory.named(siblings, name.as_str()).is_some(),
                name,
                disabled: false,
                filters: filters(1),
            },
            OfService::Update(version, name, disabled, count) => {
                if self.directory.service(id).is_none_or(|found| found.team != team) {
                    return Err(Rejection::NotFound);
                }
                service::Command::Update {
                    expected: known(version),
                    name_taken: self.taken(siblings, name.as_ref(), Subject::Service(id)),
                    name,
                    disabled,
                    filters: count.map(filters),
                }
            }
            OfService::Maintain(window, later, days) => {
                let start = later.map(|later| self.after(later));
                let day = 24 * 60 * 60 * 1_000_000;
                let end = start.unwrap_or(self.now).as_micros() + i64::from(days) * day;
                service::Command::Maintenance(maintenance::Command::Create {
                    id: window,
                    start,
                    end: Timestamp::from_micros(end),
                    tags: Arc::default(),
                    now: self.now,
                })
            }
            OfService::EndMaintenance(id) => {
                service::Command::Maintenance(maintenance::Command::End { id, now: self.now })
            }
            OfService::Delete(version) => {
                if entry.live().is_some_and(|found| found.team != team) {
                    return Err(Rejection::NotFound);
                }
                service::Command::Delete { expected: known(version) }
            }
        };
        let events = service::decide(entry, command)?;
        Ok(events.into_iter().map(|event| Change::Service(id, event)).collect())
    }

    fn decide_token(&self, id: TokenId, ask: &OfToken) -> Decided {
        let entry = self.directory.token_entry(id);
        let known = |known| expected(known, entry.live().map(|token| token.life));
        let ((digest, last_four), now) = (self.secret(), self.now);
        let command = match ask.clone() {
            OfToken::Create(name, reach, expiry) => token::Command::Create {
                name_taken: self.directory.named(Siblings::Tokens(reach), name.as_str()).is_some(),
                name,
                reach,
                target_lives: self.directory.lives(reach),
                digest,
                last_four,
                expires_at: self.expires_at(expiry),
                url_parameter_allowed: true,
                unavailable_over_limit: false,
                tracked: false,
                now,
            },
            OfToken::Update(version, name, expiry, url_parameter_allowed) => {
                let token = self.directory.token(id).ok_or(Rejection::NotFound)?;
                let siblings = Siblings::Tokens(token.reach);
                token::Command::Update {
                    expected: known(version),
                    name_taken: self.taken(siblings, name.as_ref(), Subject::Token(id)),
                    name,
                    expires_at: expiry.map(|expiry| self.expires_at(expiry)),
                    url_parameter_allowed,
                    unavailable_over_limit: url_parameter_allowed,
                    tracked: None,
                    now,
                }
            }
            OfToken::ReplaceSecret(version) => {
                self.directory.token(id).ok_or(Rejection::NotFound)?;
                let expected = known(version);
                token::Command::ReplaceSecret { expected, digest, last_four, now }
            }
            OfToken::Track(version, tracked) => {
                self.directory.token(id).ok_or(Rejection::NotFound)?;
                token::Command::Update {
                    expected: known(version),
                    name: None,
                    name_taken: false,
                    expires_at: None,
                    url_parameter_allowed: None,
                    unavailable_over_limit: None,
                    tracked: Some(tracked),
                    now,
                }
            }
            OfToken::EndTracking => token::Command::EndTracking { now },
            OfToken::Expire => token::Command::Expire { now },
            OfToken::Delete(version) => token::Command::Delete { expected: known(version) },
        };
        let events = token::decide(entry, command)?;
        Ok(events.into_iter().map(|event| Change::Token(id, event)).collect())
    }

    fn decide_principal(&self, id: PrincipalId, ask: &OfPrincipal) -> Decided {
        let entry = self.directory.principal_entry(id);
        let known = |known| expected(known, entry.live().map(|principal| principal.life));
        let taken = |name| self.taken(Siblings::Principals, name, Subject::Principal(id));
        let ((digest, last_four), now) = (self.secret(), self.now);
        let other_lasting_admin = self.directory.other_lasting_admin(id);
        let command = match ask.clone() {
            OfPrincipal::Create(name, roles, expiry, by_bootstrap) => {
                if by_bootstrap && !self.directory.has_bootstrap() {
                    return Err(Rejection::NotFound);
                }
                let (name_taken, expires_at) = (taken(Some(&name)), self.expires_at(expiry));
                principal::Command::Create {
                    name,
                    name_taken,
                    teams_live: self.teams_live(&roles, &BTreeSet::new()),
                    roles,
                    digest,
                    last_four,
                    expires_at,
                    by_bootstrap,
                    now,
                }
            }
            OfPrincipal::Update(version, name, roles, expiry) => principal::Command::Update {
                expected: known(version),
                name_taken: taken(name.as_ref()),
                name,
                teams_live: self.teams_live(
                    &roles.clone().unwrap_or_default(),
                    &entry.live().map(|principal| principal.roles.clone()).unwrap_or_default(),
                ),
                roles,
                expires_at: expiry.map(|expiry| self.expires_at(expiry)),
                other_lasting_admin,
                now,
            },
            OfPrincipal::ReplaceCredential(version) => {
                let expected = known(version);
                principal::Command::ReplaceCredential { expected, digest, last_four, now }
            }
            OfPrincipal::Expire => principal::Command::Expire { now },
            OfPrincipal::Delete(version) => {
                principal::Command::Delete { expected: known(version), other_lasting_admin }
            }
        };
        let events = principal::decide(entry, command)?;
        Ok(events.into_iter().map(|event| Change::Principal(id, event)).collect())
    }

    fn teams_live(&self, roles: &BTreeSet<Role>, held: &BTreeSet<Role>) -> bool {
        let mut teams = roles.difference(held).filter_map(|role| role.team());
        teams.all(|team| self.directory.team(team).is_some())
    }

    fn taken(&self, siblings: Siblings, name: Option<&DisplayName>, own: Subject) -> bool {
        let found = name.and_then(|name| self.directory.named(siblings, name.as_str()));
        found.is_some_and(|found| found != own)
    }

    fn expires_at(&self, expiry: Expiry) -> Option<Timestamp> {
        expiry.map(|after| self.after(after))
    }

    fn after(&self, micros: i8) -> Timestamp {
        Timestamp::from_micros(self.now.as_micros() + i64::from(micros))
    }

    /// The secret drawn for the ask at hand.
    fn secret(&self) -> (Digest, LastFour) {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&self.drawn.to_le_bytes());
        let last_four = LastFour::parse(&format!("{:04}", self.drawn)).unwrap();
        (Digest::from_bytes(digest), last_four)
    }
}

fn expected(known: Known, life: Option<Life>) -> Option<u64> {
    match known {
        Known::Nothing => None,
        Known::Current => life.map(|life| life.version),
        Known::Older => Some(life.map_or(0, |life| life.version - 1)),
    }
}

fn actor(ask: &Ask) -> Actor {
    match ask {
        Ask::IssueBootstrap => Actor::System,
        Ask::Principal(_, OfPrincipal::Create(_, _, _, true)) => Actor::Bootstrap,
        Ask::Team(..) | Ask::Service(..) | Ask::Token(..) | Ask::Principal(..) => {
            Actor::Principal(crate::asks::principal(0))
        }
    }
}

/// This many filters.
fn filters(count: u8) -> Arc<Filters> {
    let filter = |n| {
        let item = Item::parse("down").unwrap();
        let condition = Condition::new(None, vec![item]).unwrap();
        Filter {
            id: FilterId::from_bytes([n; 16]),
            name: DisplayName::parse(&format!("Down {n}")).unwrap(),
            trigger: Trigger::new(Urgency::Low, vec![condition], None, None, None).unwrap(),
            resolve: None,
        }
    };
    Arc::new(Filters::new((0..count).map(filter).collect()).unwrap())
}

fn kind(change: &Change) -> String {
    let name = match change {
        Change::Team(_, team::Event::Created { .. }) => "team created",
        Change::Team(_, team::Event::Renamed { .. }) => "team renamed",
        Change::Team(_, team::Event::Deleted) => "team deleted",
        Change::Service(_, service::Event::Created { .. }) => "service created",
        Change::Service(_, service::Event::Renamed { .. }) => "service renamed",
        Change::Service(_, service::Event::DisabledSet { .. }) => "service disabled",
        Change::Service(_, service::Event::FiltersReplaced { .. }) => "service filters",
        Change::Service(_, service::Event::Maintenance(maintenance::Event::Created { .. })) => {
            "service window"
        }
        Change::Service(_, service::Event::Maintenance(maintenance::Event::Ended { .. })) => {
            "service ended"
        }
        Change::Service(_, service::Event::Deleted) => "service deleted",
        Change::Token(_, token::Event::Created { .. }) => "token created",
        Change::Token(_, token::Event::Renamed { .. }) => "token renamed",
        Change::Token(_, token::Event::ExpirySet { .. }) => "token expiry",
        Change::Token(_, token::Event::UrlParameterSet { .. }) => "token url",
        Change::Token(_, token::Event::OverLimitSet { .. }) => "token over-limit",
        Change::Token(_, token::Event::TrackingSet { .. }) => "token tracking",
        Change::Token(_, token::Event::TrackingEnded) => "token untracked",
        Change::Token(_, token::Event::SecretReplaced { .. }) => "token secret",
        Change::Token(_, token::Event::Expired { .. }) => "token expired",
        Change::Token(_, token::Event::Deleted) => "token deleted",
        Change::Principal(_, principal::Event::Created { .. }) => "principal created",
        Change::Principal(_, principal::Event::Renamed { .. }) => "principal renamed",
        Change::Principal(_, principal::Event::RolesReplaced { .. }) => "principal roles",
        Change::Principal(_, principal::Event::ExpirySet { .. }) => "principal expiry",
        Change::Principal(_, principal::Event::CredentialReplaced { .. }) => "principal credential",
        Change::Principal(_, principal::Event::Expired { .. }) => "principal expired",
        Change::Principal(_, principal::Event::Deleted) => "principal deleted",
        Change::BootstrapIssued(_) => "bootstrap issued",
    };
    name.to_owned()
}
