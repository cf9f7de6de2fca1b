//! Which record of a chain is not what it was.
//!
//! A record is judged by itself, by the hash of the one before that it carries, and by the two
//! after it: who is vouched for by its successor was not changed. Where there are two copies, the
//! one that differs from a good one is to blame. Pure; must not know where copies lie.

use std::collections::BTreeMap;

use bytes::Bytes;
use domain::commit::Commit;
use runtime::journal::checkpoint::{self, Links, Public};
use runtime::journal::{self, Head};
use wire::audit::{hex, record_to, sentence};
use wire::stored::{self, control};

/// Where a copy of the chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In admin's journal.
    Journal,
    /// In GANDER_CONTROL.
    Stream,
    /// In both, which are the same.
    Both,
    /// In one of the two, and nothing tells in which.
    Either,
    /// In a file.
    File,
    /// In the signed checkpoints.
    Checkpoints,
}

impl Place {
    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Stream => "GANDER_CONTROL",
            Self::Both => "journal and GANDER_CONTROL",
            Self::Either => "journal or GANDER_CONTROL",
            Self::File => "file",
            Self::Checkpoints => "checkpoints",
        }
    }
}

/// The first record that is not what it was, or is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its number.
    pub sequence: u64,
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub problem: String,
    /// The hash that it should have, where that is known.
    pub expected: Option<[u8; 32]>,
    /// The hash that it has, where it is there.
    pub found: Option<[u8; 32]>,
    /// What it says, as far as it can be read.
    pub says: Box<str>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "record {} in {}: {}", self.sequence, self.place.name(), self.problem)?;
        let hash = |hash: &Option<[u8; 32]>| hash.as_ref().map_or("-".to_owned(), hex);
        writeln!(f, "  expected hash  {}", hash(&self.expected))?;
        writeln!(f, "  found hash     {}", hash(&self.found))?;
        write!(f, "  it says        {}", self.says)
    }
}

/// What a check comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All is whole up to this head.
    Whole(Head),
    /// This is the first record that differs.
    Differs(Box<Difference>),
}

impl From<Difference> for Verdict {
    fn from(difference: Difference) -> Self {
        Self::Differs(Box::new(difference))
    }
}

/// Heads that were noted before, by hand or in signed checkpoints: the chain must still have each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    noted: BTreeMap<u64, Vec<[u8; 32]>>,
    /// Whether no record may come after the last of them.
    covers: bool,
}

impl From<Head> for Expected {
    fn from(head: Head) -> Self {
        Self::default().and([head])
    }
}

impl Expected {
    /// These heads, too. Two of one number cannot both be in the chain.
    #[must_use]
    pub fn and(mut self, heads: impl IntoIterator<Item = Head>) -> Self {
        for head in heads.into_iter().filter(|head| head.sequence > 0) {
            let hashes = self.noted.entry(head.sequence).or_default();
            if !hashes.contains(&head.hash) {
                hashes.push(head.hash);
            }
        }
        self
    }

    /// Whoever noted them misses no record: the last of them is of the last.
    #[must_use]
    pub fn covering(self) -> Self {
        Self { covers: true, ..self }
    }

    /// Only those of records up to this number.
    #[must_use]
    pub fn up_to(mut self, sequence: u64) -> Self {
        self.covers &= self.last() <= sequence;
        self.noted.retain(|noted, _| *noted <= sequence);
        self
    }

    /// These and those.
    #[must_use]
    pub fn with(self, other: &Self) -> Self {
        let covers = self.covers || other.covers;
        Self { covers, ..self.and(other.heads()) }
    }

    /// What was noted.
    pub fn heads(&self) -> impl Iterator<Item = Head> {
        let heads = |(sequence, hashes): (&u64, _)| {
            let sequence = *sequence;
            <[[u8; 32]]>::iter(hashes).map(move |hash| Head { sequence, hash: *hash })
        };
        self.noted.iter().map(|(sequence, hashes)| (sequence, hashes.as_slice())).flat_map(heads)
    }

    fn last(&self) -> u64 {
        self.noted.last_key_value().map_or(0, |(sequence, _)| *sequence)
    }

    /// Checks the record with this number and hash.
    pub(super) fn check(&self, place: Place, at: Head, says: &str) -> Result<(), Difference> {
        let noted = self.noted.get(&at.sequence).into_iter().flatten();
        let Some(noted) = noted.copied().find(|noted| *noted != at.hash) else { return Ok(()) };
        Err(Difference {
            sequence: at.sequence,
            place,
            problem: "it is not the record whose hash was noted".to_owned(),
            expected: Some(noted),
            found: Some(at.hash),
            says: says.into(),
        })
    }

    /// Checks a copy that begins after this head: what was noted last must be that, or be in the copy,
    /// and vouches for all before it. `says` is what its first record says.
    pub(super) fn check_beginning(
        &self,
        place: Place,
        head: Head,
        says: &str,
    ) -> Result<(), Difference> {
        let last = self.last();
        if last == 0 || last >= head.sequence {
            return self.check(place, head, says);
        }
        let first = head.sequence + 1;
        Err(Difference {
            sequence: last,
            place,
            problem: format!("it was noted but is not here: the first record is {first}"),
            expected: self.noted[&last].first().copied(),
            found: None,
            says: "-".into(),
        })
    }

    /// Checks that the chain reaches as far as what was noted, and no further where that covers it.
    pub(super) fn check_end(&self, place: Place, head: Head) -> Result<(), Difference> {
        let last = self.last();
        check_reaches(last, place, head).map_err(|missing| Difference {
            expected: (missing.sequence == last).then(|| self.noted[&last][0]),
            ..missing
        })?;
        if !self.covers || last >= head.sequence {
            return Ok(());
        }
        Err(Difference {
            sequence: last + 1,
            place: Place::Checkpoints,
            problem: "no signed checkpoint is of it or a later one: some were cut off".to_owned(),
            expected: None,
            found: None,
            says: "-".into(),
        })
    }
}

/// What the checkpoints in a text say.
///
/// # Errors
/// One is not what this key has signed, or in admin's own file one is missing.
pub fn noted(text: &str, public: &Public, links: Links) -> Result<Expected, Difference> {
    let found = checkpoint::parse(text, public, links).map_err(|broken| Difference {
        sequence: broken.after + 1,
        place: Place::Checkpoints,
        problem: broken.to_string(),
        expected: None,
        found: None,
        says: "-".into(),
    })?;
    let expected = Expected::default().and(found.into_iter().map(|one| one.head));
    Ok(match links {
        Links::Whole => expected.covering(),
        Links::Some => expected,
    })
}

/// Checks that a chain that ends with this head reaches the record with this number.
pub(super) fn check_reaches(upto: u64, place: Place, head: Head) -> Result<(), Difference> {
    if head.sequence >= upto {
        return Ok(());
    }
    Err(Difference {
        sequence: head.sequence + 1,
        place,
        problem: format!(
            "it is missing, as are all up to {upto}, which is vouched for: if this was exported or copied before, do that anew"
        ),
        expected: None,
        found: None,
        says: "-".into(),
    })
}

/// A record as it lies there, with what a check needs of it.
#[derive(Clone, Debug)]
pub struct Link {
    /// Its bytes.
    pub record: Bytes,
    /// Its hash.
    pub hash: [u8; 32],
    /// The hash of the one before that it carries, if it can be read.
    previous: Option<[u8; 32]>,
}

impl Link {
    /// What a check needs of these bytes.
    pub fn new(record: Bytes) -> Self {
        let (hash, previous) = (journal::hash(&record), control::previous_hash(&record));
        Self { record, hash, previous }
    }

    /// What it says.
    pub fn says(&self) -> String {
        control::decode_commit(&self.record)
            .map_or("-".to_owned(), |commit| sentence(&record_to(&commit, self.hash, None)))
    }

    fn follows(&self, before: &Self) -> bool {
        self.previous == Some(before.hash)
    }
}

/// One copy around a number: the record there and the two after it.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    /// Where the copy is.
    pub place: Place,
    /// The record and the two after it.
    pub links: [Option<&'a Link>; 3],
}

impl Window<'_> {
    /// What is wrong with the record by itself, or with where it stands.
    fn judge(&self, head: Head) -> Result<Commit, String> {
        let link = self.links[0].ok_or("it is missing")?;
        let commit = control::decode_commit(&link.record)
            .map_err(|error| format!("it cannot be read: {error}"))?;
        if commit.sequence != head.sequence + 1 {
            return Err(format!("the record {} is in its place", commit.sequence));
        }
        if commit.previous_hash != head.hash {
            return Err("it does not carry the hash of the record before it".to_owned());
        }
        Ok(commit)
    }

    fn vouched(&self) -> Option<bool> {
        Some(self.links[1]?.follows(self.links[0]?))
    }

    fn difference(&self, head: Head, problem: String, expected: Option<[u8; 32]>) -> Difference {
        Difference {
            sequence: head.sequence + 1,
            place: self.place,
            problem,
            expected,
            found: self.links[0].map(|link| link.hash),
            says: self.links[0].map_or("-".to_owned(), Link::says).into(),
        }
    }
}

/// Checks the record after this head in a chain of which there is one copy; gives what it says.
pub fn check_one(head: Head, window: Window<'_>) -> Result<Commit, Difference> {
    let judged = window.judge(head);
    let expected = window.links[1].and_then(|next| next.previous);
    let commit = judged.map_err(|problem| window.difference(head, problem, expected))?;
    let [Some(link), Some(next), after] = window.links else { return Ok(commit) };
    if next.follows(link) {
        return Ok(commit);
    }
    // One of the two was changed. Who comes after them knows whether it was the second.
    match after {
        Some(after) if !after.follows(next) => {
            let moved = Window { links: [Some(next), Some(after), None], ..window };
            let problem = "it was changed: it does not carry the hash of the record before it";
            let head = head.after(&link.record);
            Err(moved.difference(head, problem.to_owned(), after.previous))
        }
        Some(_) | None => {
            let problem = "it was changed: the record after it carries another hash";
            Err(window.difference(head, problem.to_owned(), expected))
        }
    }
}

/// Checks the record after this head in two copies; gives what it says.
pub fn check_two(head: Head, [one, other]: [Window<'_>; 2]) -> Result<Commit, Difference> {
    let bytes = |window: &Window<'_>| window.links[0].map(|link| link.record.clone());
    if bytes(&one) == bytes(&other) {
        // Only what both say next tells anything of this one.
        let mut links = one.links;
        for (link, theirs) in links.iter_mut().zip(other.links) {
            let same = theirs.map(|theirs| theirs.hash);
            *link = link.filter(|link| Some(link.hash) == same);
        }
        return check_one(head, Window { place: Place::Both, links });
    }
    let hash = |window: &Window<'_>| window.links[0].map(|link| link.hash);
    let (first, second) = (one.judge(head), other.judge(head));
    let changed = || "it is not the record that the chain goes on from".to_owned();
    let blamed = match (first, second) {
        (Err(problem), Ok(_)) => Some((one, other, problem)),
        (Ok(_), Err(problem)) => Some((other, one, problem)),
        (Ok(_), Ok(_)) => match (one.vouched(), other.vouched()) {
            (Some(false) | None, Some(true)) => Some((one, other, changed())),
            (Some(true), Some(false) | None) => Some((other, one, changed())),
            (Some(true), Some(true)) | (Some(false) | None, Some(false) | None) => None,
        },
        (Err(_), Err(_)) => None,
    };
    let Some((bad, good, problem)) = blamed else {
        let problem = "the journal and GANDER_CONTROL say different things".to_owned();
        let says = [one, other].map(|copy| copy.links[0].map_or("-".to_owned(), Link::says));
        let says = format!("journal: {}; GANDER_CONTROL: {}", says[0], says[1]);
        let either = Window { place: Place::Either, ..other };
        return Err(Difference {
            says: says.into(),
            ..either.difference(head, problem, hash(&one))
        });
    };
    Err(bad.difference(head, problem, hash(&good)))
}

/// Checks a chain from its first record; gives where it ends.
///
/// # Errors
/// The first record that differs.
pub fn check_records(records: &[Bytes], place: Place) -> Result<Head, Box<Difference>> {
    let links: Vec<_> = records.iter().cloned().map(Link::new).collect();
    let mut head = Head::default();
    for at in 0..links.len() {
        let window = Window { place, links: [0, 1, 2].map(|n| links.get(at + n)) };
        check_one(head, window).map_err(Box::new)?;
        head = head.after(&links[at].record);
    }
    Ok(head)
}

/// Whether a check must be left to a newer version of this program.
pub fn is_newer(window: &Window<'_>) -> Option<stored::Error> {
    let error = control::decode_commit(&window.links[0]?.record).err()?;
    matches!(error, stored::Error::Newer { .. }).then_some(error)
}

#[cfg(test)]
#[path = "chain_tests.rs"]
pub(super) mod tests;
