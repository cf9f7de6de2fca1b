//! Which commits touched what, and what a thing was before each: from the journal, when asked.
//!
//! Eight bytes a commit are kept in memory; what things were is folded anew from the commits of
//! these things alone. Must not know filters of lists or rights.

use std::collections::{BTreeSet, HashMap};

use domain::commit::{Change, Commit, Subject};
use domain::directory::Directory;
use domain::id::{PrincipalId, ServiceId, TeamId};
use domain::name::DisplayName;
use domain::reach::Reach;
use domain::{principal, service, token};
use runtime::journal::{self, Records};
use wire::audit::record_to;
use wire::proto::gander::admin::v1::AuditRecord;
use wire::stored::control;

const PAGE: usize = 100;

/// Which commits touched what.
#[derive(Debug, Default)]
pub struct History {
    /// The number of the last commit that is known.
    through: u64,
    touched: HashMap<Subject, Vec<u64>>,
    /// What principals are or were called last.
    names: HashMap<PrincipalId, DisplayName>,
    /// The team, and for tokens of a service the service, that a thing is under.
    under: HashMap<Subject, (TeamId, Option<ServiceId>)>,
}

impl History {
    /// Reads the commits up to this number.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn catch_up(&mut self, records: &dyn Records, through: u64) -> Result<(), journal::Error> {
        while self.through < through {
            let page = records.scan(self.through, PAGE)?;
            if page.is_empty() {
                return Err(missing(self.through + 1));
            }
            for (number, record) in page.into_iter().filter(|(number, _)| *number <= through) {
                self.note(&decode(number, &record)?);
            }
        }
        Ok(())
    }

    fn note(&mut self, commit: &Commit) {
        self.through = commit.sequence;
        let subjects: BTreeSet<_> = commit.changes.iter().map(Change::subject).collect();
        for subject in subjects {
            self.touched.entry(subject).or_default().push(commit.sequence);
        }
        for change in &commit.changes {
            if let Some(above) = above(change) {
                self.under.insert(change.subject(), above);
            }
            if let Change::Principal(
                id,
                principal::Event::Created { name, .. } | principal::Event::Renamed { name },
            ) = change
            {
                self.names.insert(*id, name.clone());
            }
        }
    }

    /// What people call the principal, or called it last.
    #[must_use]
    pub fn name(&self, id: PrincipalId) -> Option<&DisplayName> {
        self.names.get(&id)
    }

    /// The commits that touched the thing and, if asked, what is or was under it, in order.
    #[must_use]
    pub fn of(&self, subject: Subject, with_children: bool) -> Vec<u64> {
        let mut numbers = self.touched.get(&subject).cloned().unwrap_or_default();
        if with_children {
            let is_under = |above: &(TeamId, Option<ServiceId>)| match subject {
                Subject::Team(team) => above.0 == team,
                Subject::Service(service) => above.1 == Some(service),
                Subject::Token(_) | Subject::Principal(_) | Subject::Installation => false,
            };
            let children = self.under.iter().filter(|(_, above)| is_under(above));
            children.for_each(|(child, _)| {
                numbers.extend(self.touched.get(child).into_iter().flatten());
            });
            numbers.sort_unstable();
            numbers.dedup();
        }
        numbers
    }

    /// The commits with these numbers as they are shown, in order, with what was before each.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn show(
        &self,
        records: &dyn Records,
        wanted: &BTreeSet<u64>,
    ) -> Result<Vec<AuditRecord>, journal::Error> {
        let mut subjects = BTreeSet::new();
        for number in wanted {
            let commit = read(records, *number)?.0;
            subjects.extend(commit.changes.iter().map(Change::subject));
        }
        let last = wanted.last().copied().unwrap_or(0);
        let touched = subjects.iter().flat_map(|subject| self.touched.get(subject)).flatten();
        let numbers: BTreeSet<u64> = touched.copied().filter(|number| *number <= last).collect();
        let mut folded = Directory::default();
        let mut shown = Vec::new();
        for number in numbers {
            let (commit, hash) = read(records, number)?;
            if wanted.contains(&number) {
                let before = commit.changes.first().map(|first| folded.snapshot(first.subject()));
                shown.push(record_to(&commit, hash, before.as_ref()));
            }
            folded.apply(&commit);
        }
        Ok(shown)
    }
}

/// What a thing is under that was made.
const fn above(change: &Change) -> Option<(TeamId, Option<ServiceId>)> {
    match change {
        Change::Service(_, service::Event::Created { team, .. }) => Some((*team, None)),
        Change::Token(_, token::Event::Created { reach, .. }) => match reach {
            Reach::Global => None,
            Reach::Team(team) => Some((*team, None)),
            Reach::Service(team, service) => Some((*team, Some(*service))),
        },
        Change::Team(..)
        | Change::Service(..)
        | Change::Token(..)
        | Change::Principal(..)
        | Change::BootstrapIssued(_) => None,
    }
}

/// One commit with its hash.
fn read(records: &dyn Records, number: u64) -> Result<(Commit, [u8; 32]), journal::Error> {
    let found = records.scan(number.saturating_sub(1), 1)?;
    match found.first() {
        Some((n, record)) if *n == number => Ok((decode(number, record)?, journal::hash(record))),
        Some(_) | None => Err(missing(number)),
    }
}

fn decode(sequence: u64, record: &bytes::Bytes) -> Result<Commit, journal::Error> {
    let unreadable = journal::Error::Corrupt { sequence, reason: "it cannot be read" };
    control::decode_commit(record).map_err(|_| unreadable)
}

const fn missing(sequence: u64) -> journal::Error {
    journal::Error::Corrupt { sequence, reason: "it is missing" }
}
