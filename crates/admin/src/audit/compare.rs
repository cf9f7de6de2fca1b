//! The journal against GANDER_CONTROL, record by record, in bounded memory.
//!
//! Beside the chain it checks what the stream adds to each commit: its subject and the state that
//! gateways and workers act on. Must not know who asks.

use std::collections::VecDeque;
use std::sync::Arc;

use domain::directory::{Directory, Snapshot};
use runtime::journal::{self, Head, Records};
use runtime::nats::{Message, Nats, Reader, Start};
use wire::stored::control;
use wire::subject;

use super::Error;
use super::chain::{
    Difference, Expected, Link, Place, Verdict, Window, check_reaches, check_two, is_newer,
};

/// Records of the journal that are read at a time.
const PAGE: usize = 100;
/// How often progress is told, in records.
const STEP: u64 = 1_000;

/// Checks both copies from the first record to the last one against each other; with `upto` to that
/// one, which must be there. `progress` is told how many are checked.
///
/// # Errors
/// One of them cannot be read: nothing is said about the chain.
pub async fn compare(
    records: Arc<dyn Records>,
    nats: &Nats,
    upto: Option<u64>,
    expected: &Expected,
    mut progress: impl FnMut(u64) + Send,
) -> Result<Verdict, Error> {
    let mut journal = Journal { records, read: 0, ended: false, ahead: VecDeque::new() };
    let mut stream = Stream::new(nats);
    let mut head = Head::default();
    let mut directory = Directory::default();
    while upto.is_none_or(|upto| head.sequence < upto) {
        let through = head.sequence + 3;
        journal.fill(through).await?;
        stream.fill(through).await?;
        if journal.ahead.is_empty() && stream.ahead.is_empty() {
            break;
        }
        match step(head, &mut directory, &journal, &stream, expected)? {
            Ok(next) => head = next,
            Err(difference) => return Ok(difference.into()),
        }
        if head.sequence.is_multiple_of(STEP) {
            progress(head.sequence);
        }
        journal.pass(head.sequence);
        stream.pass(head.sequence);
    }
    let ended = expected
        .check_end(Place::Both, head)
        .and_then(|()| upto.map_or(Ok(()), |upto| check_reaches(upto, Place::Both, head)));
    Ok(ended.map_or_else(Verdict::from, |()| Verdict::Whole(head)))
}

/// Checks the record after this head in both; gives the head after it.
fn step(
    head: Head,
    directory: &mut Directory,
    journal: &Journal,
    stream: &Stream,
    expected: &Expected,
) -> Result<Result<Head, Difference>, Error> {
    let sequence = head.sequence + 1;
    let ours = Window { place: Place::Journal, links: journal.links(sequence) };
    let theirs = Window { place: Place::Stream, links: stream.links(sequence) };
    if let Some(source) = is_newer(&ours).or_else(|| is_newer(&theirs)) {
        return Err(Error::Newer { sequence, source });
    }
    let commit = match check_two(head, [ours, theirs]) {
        Ok(commit) => commit,
        Err(difference) => return Ok(Err(difference)),
    };
    let Some((_, stored)) = stream.ahead.front() else { return Ok(Ok(head)) };
    directory.apply(&commit);
    let subject = commit.changes[0].subject();
    let left = (subject::control(subject), directory.snapshot(subject));
    let head = head.after(&stored.link.record);
    if stored.problem(&left).is_some() {
        return Ok(Err(Difference {
            sequence,
            place: Place::Stream,
            problem: stored.problem(&left).unwrap_or_default().to_owned(),
            expected: Some(head.hash),
            found: Some(head.hash),
            says: stored.link.says().into(),
        }));
    }
    Ok(expected.check(Place::Both, head, &stored.link.says()).map(|()| head))
}

struct Journal {
    records: Arc<dyn Records>,
    /// The number of the last record that was read.
    read: u64,
    ended: bool,
    ahead: VecDeque<(u64, Link)>,
}

impl Journal {
    /// Reads until the record with this number, or the end.
    async fn fill(&mut self, through: u64) -> Result<(), Error> {
        while !self.ended && self.read < through {
            let (records, after) = (Arc::clone(&self.records), self.read);
            let page = tokio::task::spawn_blocking(move || records.scan(after, PAGE)).await;
            let page = page.map_err(|panic| journal::Error::Failed(panic.to_string()))??;
            self.ended = page.is_empty();
            self.read = page.last().map_or(self.read, |(number, _)| *number);
            let links = page.into_iter().map(|(number, record)| (number, Link::new(record)));
            self.ahead.extend(links);
        }
        Ok(())
    }

    fn links(&self, number: u64) -> [Option<&Link>; 3] {
        let found = |number| self.ahead.iter().find(|(n, _)| *n == number).map(|(_, link)| link);
        [0, 1, 2].map(|offset| found(number + offset))
    }

    fn pass(&mut self, number: u64) {
        while self.ahead.front().is_some_and(|(n, _)| *n <= number) {
            self.ahead.pop_front();
        }
    }
}

/// A message of GANDER_CONTROL.
struct Stored {
    link: Link,
    subject: String,
    snapshot: Option<Snapshot>,
}

impl Stored {
    fn new(message: Message) -> Self {
        let (record, snapshot) = match control::decode_message(&message.payload) {
            Ok((record, snapshot)) => (record, Some(snapshot)),
            // The record may be good all the same.
            Err(_) => (control::record_in(&message.payload).unwrap_or_default(), None),
        };
        Self { link: Link::new(record), subject: message.subject, snapshot }
    }

    /// What is wrong beside the record, which left this under this subject.
    fn problem(&self, (subject, snapshot): &(String, Snapshot)) -> Option<&'static str> {
        if self.subject != *subject {
            return Some("the record is good, but lies under a subject of something else");
        }
        let problem = "the record is good, but the state beside it is not what it left";
        (self.snapshot.as_ref() != Some(snapshot)).then_some(problem)
    }
}

struct Stream {
    reader: Reader,
    read: u64,
    ended: bool,
    ahead: VecDeque<(u64, Stored)>,
}

impl Stream {
    fn new(nats: &Nats) -> Self {
        let start = Start::Sequence(1);
        let reader = Reader::new(nats, subject::CONTROL_STREAM, subject::CONTROL_ALL, start);
        Self { reader, read: 0, ended: false, ahead: VecDeque::new() }
    }

    async fn fill(&mut self, through: u64) -> Result<(), Error> {
        while !self.ended && self.read < through {
            let Some(message) = self.reader.next_stored().await? else {
                self.ended = true;
                break;
            };
            self.read = message.sequence;
            self.ahead.push_back((message.sequence, Stored::new(message)));
        }
        Ok(())
    }

    fn links(&self, number: u64) -> [Option<&Link>; 3] {
        let found = |number| self.ahead.iter().find(|(n, _)| *n == number).map(|(_, m)| &m.link);
        [0, 1, 2].map(|offset| found(number + offset))
    }

    fn pass(&mut self, number: u64) {
        while self.ahead.front().is_some_and(|(n, _)| *n <= number) {
            self.ahead.pop_front();
        }
    }
}
