//! What must hold for the configuration, whatever was asked.
//!
//! Must not know how a directory keeps what it knows, only what it answers.

use std::collections::{BTreeMap, BTreeSet};

use domain::aggregate::{Entry, Life};
use domain::commit::{Change, Subject};
use domain::directory::{Directory, Siblings, Snapshot};
use domain::id::TokenId;
use domain::reach::Reach;
use domain::secret::Digest;
use domain::time::Timestamp;
use domain::{principal, token};
use proptest::prelude::*;

use crate::asks::{self, Ask, NAMES, OfPrincipal, OfToken, PRINCIPALS, SERVICES, TEAMS, TOKENS};
use crate::history::History;
use crate::plain::Plain;

type Held = Result<(), TestCaseError>;

/// What was seen so far of a history.
#[derive(Default)]
pub struct Seen {
    commits: usize,
    lives: BTreeMap<Subject, Life>,
    dead: BTreeSet<Digest>,
    lasting_admin: bool,
    reaches: BTreeMap<TokenId, Reach>,
}

impl Seen {
    /// A commit changes one thing, which has its number and its time afterwards.
    pub fn invariant_a_commit_is_of_one_thing_and_dates_it(&mut self, history: &History) -> Held {
        prop_assert_eq!(history.directory.sequence(), history.commits.len() as u64);
        for commit in &history.commits[self.commits..] {
            let subject = commit.changes[0].subject();
            prop_assert!(commit.changes.iter().all(|change| change.subject() == subject));
            let Some(life) = life(&history.directory.snapshot(subject)) else {
                continue;
            };
            let first = *self.lives.entry(subject).or_insert(Life::begun(&commit.stamp()));
            prop_assert_eq!(life, first.touched(&commit.stamp()));
        }
        self.commits = history.commits.len();
        Ok(())
    }

    /// A secret that opened nothing once opens nothing at any later time.
    pub fn invariant_what_is_dead_stays_dead(&mut self, history: &History) -> Held {
        let (directory, now) = (&history.directory, history.now);
        for digest in issued(history) {
            let opens = directory.admitted(&digest, now).is_some()
                || directory.authenticated(&digest, now).is_some();
            if !opens {
                self.dead.insert(digest);
            }
            prop_assert!(!(opens && self.dead.contains(&digest)), "{digest:?} is back");
        }
        Ok(())
    }

    /// Once somebody can manage everything for good, there is always such a one.
    pub fn invariant_a_lasting_admin_remains(&mut self, history: &History) -> Held {
        let found = history.directory.principals().any(principal::Principal::is_lasting_admin);
        prop_assert!(found || !self.lasting_admin, "the last global admin is gone");
        self.lasting_admin = found;
        Ok(())
    }

    /// What a token reaches never changes, also when it is dead.
    pub fn invariant_reach_is_for_good(&mut self, history: &History) -> Held {
        for id in (0..TOKENS).map(asks::token) {
            let found = history.directory.reach_of(id);
            if let Some(reach) = found {
                self.reaches.entry(id).or_insert(reach);
            }
            prop_assert_eq!(found, self.reaches.get(&id).copied());
        }
        Ok(())
    }
}

fn life(snapshot: &Snapshot) -> Option<Life> {
    match snapshot {
        Snapshot::Team(_, entry) => entry.live().map(|team| team.life),
        Snapshot::Service(_, entry) => entry.live().map(|service| service.life),
        Snapshot::Token(_, entry) => entry.live().map(|token| token.life),
        Snapshot::Principal(_, entry) => entry.live().map(|principal| principal.life),
        Snapshot::Installation => None,
    }
}

/// The digests of all secrets that were ever good.
fn issued(history: &History) -> impl Iterator<Item = Digest> {
    let changes = history.commits.iter().flat_map(|commit| &commit.changes);
    changes.filter_map(|change| match change {
        Change::Token(
            _,
            token::Event::Created { digest, .. } | token::Event::SecretReplaced { digest, .. },
        )
        | Change::Principal(
            _,
            principal::Event::Created { digest, .. }
            | principal::Event::CredentialReplaced { digest, .. },
        ) => Some(*digest),
        Change::Team(..)
        | Change::Service(..)
        | Change::Token(..)
        | Change::Principal(..)
        | Change::BootstrapIssued(_) => None,
    })
}

/// What succeeded succeeds again without effect, secrets aside, which are drawn anew, and what
/// the bootstrap credential made, since that is dead then.
pub fn invariant_a_repeat_changes_nothing(history: &History, ask: &Ask) -> Held {
    let once = match ask {
        Ask::Token(_, OfToken::ReplaceSecret(_))
        | Ask::Principal(
            _,
            OfPrincipal::ReplaceCredential(_) | OfPrincipal::Create(_, _, _, true),
        )
        | Ask::IssueBootstrap => true,
        Ask::Team(..) | Ask::Service(..) | Ask::Token(..) | Ask::Principal(..) => false,
    };
    if history.succeeded && !once {
        prop_assert_eq!(history.decide(ask), Ok(vec![]), "{:?}", ask);
    }
    Ok(())
}

/// A name belongs to at most one live sibling, and is free if to none.
pub fn invariant_names_are_unique_among_siblings(directory: &Directory) -> Held {
    let mut named = BTreeMap::new();
    let teams =
        directory.teams().map(|team| (Siblings::Teams, team.name.as_str(), Subject::Team(team.id)));
    let services = directory.services().map(|service| {
        let siblings = Siblings::Services(service.team);
        (siblings, service.name.as_str(), Subject::Service(service.id))
    });
    let tokens = directory.tokens().map(|token| {
        let siblings = Siblings::Tokens(token.reach);
        (siblings, token.name.as_str(), Subject::Token(token.id))
    });
    let principals = directory.principals().map(|principal| {
        let subject = Subject::Principal(principal.id);
        (Siblings::Principals, principal.name.as_str(), subject)
    });
    for (siblings, name, subject) in teams.chain(services).chain(tokens).chain(principals) {
        let other = named.insert((siblings, name), subject);
        prop_assert_eq!(other, None, "{} twice among {:?}", name, siblings);
    }
    for siblings in siblings().filter(|siblings| parent_lives(directory, *siblings)) {
        for name in NAMES {
            let expected = named.get(&(siblings, name)).copied();
            prop_assert_eq!(directory.named(siblings, name), expected, "{:?}", siblings);
        }
    }
    Ok(())
}

fn parent_lives(directory: &Directory, siblings: Siblings) -> bool {
    match siblings {
        Siblings::Teams | Siblings::Principals => true,
        Siblings::Services(team) => directory.team(team).is_some(),
        Siblings::Tokens(reach) => directory.lives(reach),
    }
}

fn siblings() -> impl Iterator<Item = Siblings> {
    let services = (0..TEAMS).map(|team| Siblings::Services(asks::team(team)));
    [Siblings::Teams, Siblings::Principals]
        .into_iter()
        .chain(services)
        .chain(reaches().map(Siblings::Tokens))
}

fn reaches() -> impl Iterator<Item = Reach> {
    let of_service = |team| move |service| Reach::Service(asks::team(team), asks::service(service));
    let teams = (0..TEAMS).map(|team| Reach::Team(asks::team(team)));
    let services = (0..TEAMS).flat_map(move |team| (0..SERVICES).map(of_service(team)));
    std::iter::once(Reach::Global).chain(teams).chain(services)
}

/// A token is there if it was not deleted, nor its team, nor its service, and no other.
pub fn invariant_tokens_live_with_what_they_reach(directory: &Directory) -> Held {
    let team_lives = |team| matches!(directory.team_entry(team), Entry::Live(_));
    let service_lives = |team, service| match directory.service_entry(service) {
        Entry::Live(found) => found.team == team,
        Entry::Absent | Entry::Deleted => false,
    };
    for id in (0..TOKENS).map(asks::token) {
        let lives = match directory.token_entry(id).live().map(|token| token.reach) {
            None => false,
            Some(Reach::Global) => true,
            Some(Reach::Team(team)) => team_lives(team),
            Some(Reach::Service(team, service)) => team_lives(team) && service_lives(team, service),
        };
        prop_assert_eq!(directory.token(id).is_some(), lives);
        prop_assert_eq!(directory.tokens().any(|token| token.id == id), lives);
    }
    Ok(())
}

/// Now and at any later time a secret opens what a plain reading of all commits says.
pub fn invariant_only_what_lives_is_admitted(history: &History) -> Held {
    let (plain, directory) = (Plain::read(history), &history.directory);
    for digest in issued(history) {
        for now in times(history) {
            let token = directory.admitted(&digest, now).map(|found| Subject::Token(found.id));
            let principal = directory.authenticated(&digest, now);
            let principal = principal.map(|found| Subject::Principal(found.id));
            prop_assert_eq!(token.or(principal), plain.opened(&digest, now), "at {:?}", now);
        }
    }
    Ok(())
}

/// The bootstrap credential works once, and only the last one.
pub fn invariant_the_bootstrap_credential_works_once(history: &History) -> Held {
    let (expected, directory) = (Plain::read(history).bootstrap, &history.directory);
    prop_assert_eq!(directory.has_bootstrap(), expected.is_some());
    for change in history.commits.iter().flat_map(|commit| &commit.changes) {
        if let Change::BootstrapIssued(digest) = change {
            prop_assert_eq!(directory.is_bootstrap(digest), expected == Some(*digest));
        }
    }
    Ok(())
}

/// Now, later, and at the end of time.
fn times(history: &History) -> impl Iterator<Item = Timestamp> {
    let now = history.now.as_micros();
    (now..now + 40).step_by(3).chain([i64::MAX]).map(Timestamp::from_micros)
}

/// Both answer the same. One that has not seen all deaths need not know what the dead reached.
pub fn invariant_same_answers(
    history: &History,
    left: &Directory,
    right: &Directory,
    saw_all: bool,
) -> Held {
    prop_assert_eq!(left.sequence(), right.sequence());
    same_things(left, right)?;
    for digest in issued(history) {
        for now in times(history) {
            prop_assert_eq!(left.admitted(&digest, now), right.admitted(&digest, now));
            prop_assert_eq!(left.authenticated(&digest, now), right.authenticated(&digest, now));
        }
    }
    for siblings in siblings() {
        for name in NAMES {
            prop_assert_eq!(left.named(siblings, name), right.named(siblings, name));
        }
    }
    for reach in reaches() {
        prop_assert_eq!(left.lives(reach), right.lives(reach));
    }
    for id in (0..TOKENS).map(asks::token) {
        let (known, found) = (left.reach_of(id), right.reach_of(id));
        let forgotten = !saw_all && found.is_none() && left.token_entry(id).live().is_none();
        prop_assert!(forgotten || known == found, "{id}: {known:?} {found:?}");
    }
    Ok(())
}

fn same_things(left: &Directory, right: &Directory) -> Held {
    for id in (0..TEAMS).map(asks::team) {
        prop_assert_eq!(left.team_entry(id), right.team_entry(id));
        prop_assert_eq!(left.team(id), right.team(id));
    }
    for id in (0..SERVICES).map(asks::service) {
        prop_assert_eq!(left.service_entry(id), right.service_entry(id));
        prop_assert_eq!(left.service(id), right.service(id));
    }
    for id in (0..TOKENS).map(asks::token) {
        prop_assert_eq!(left.token_entry(id), right.token_entry(id));
        prop_assert_eq!(left.token(id), right.token(id));
    }
    for id in (0..PRINCIPALS).map(asks::principal) {
        prop_assert_eq!(left.principal_entry(id), right.principal_entry(id));
        prop_assert_eq!(left.principal(id), right.principal(id));
        prop_assert_eq!(left.other_lasting_admin(id), right.other_lasting_admin(id));
    }
    prop_assert!(left.teams().eq(right.teams()) && left.services().eq(right.services()));
    prop_assert!(left.tokens().eq(right.tokens()) && left.principals().eq(right.principals()));
    Ok(())
}
