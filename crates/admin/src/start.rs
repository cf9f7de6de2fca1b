//! Before anything else: the journal against GANDER_CONTROL.
//!
//! A journal that is behind in the same chain imports; a stream that is behind gets the rest;
//! anything else is refused. So a lost or an old journal is rebuilt from the stream. Must not
//! know commands.

use std::time::Duration;

use bytes::Bytes;
use domain::commit::Commit;
use domain::directory::Directory;
use domain::time::Timestamp;
use runtime::journal::checkpoint::{self, Checkpoints};
use runtime::journal::{self, Head, Journal};
use runtime::nats::{self, Nats, Start};
use runtime::view;
use tokio_util::sync::CancellationToken;
use wire::audit::moment;
use wire::stored::{self, control};
use wire::subject;

use crate::relay::{Relay, Sent};
use crate::requests::Requests;
use crate::store::Fatal;

/// How far the clock may be behind the last change before a person is told.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);
const PAGE: usize = 1_000;
/// How often the stream is read before what is missing is called lost, and after which pause.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// Why admin does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// The broker cannot be reached.
    #[error(transparent)]
    Nats(#[from] nats::Error),
    /// The stream and the journal have gone different ways.
    #[error(transparent)]
    Store(#[from] Fatal),
    /// GANDER_CONTROL is not whole.
    #[error(transparent)]
    View(#[from] view::Error),
    /// Checkpoints cannot be signed.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// Journal and stream have another history than the one that was signed.
    #[error(
        "record {sequence} was signed and {reason}: somebody has cut or rewritten journal and GANDER_CONTROL, or an older backup was restored; keep the checkpoint file, and see docs/audit.md"
    )]
    NotSigned {
        /// The number of the record.
        sequence: u64,
        /// What became of it.
        reason: &'static str,
    },
    /// A commit of the journal cannot be read, though it is the one that was written.
    #[error(
        "commit {sequence} in the journal says something that this build does not know: start the build that wrote it, or a newer one"
    )]
    Unread {
        /// Its number.
        sequence: u64,
        /// Why.
        source: stored::Error,
    },
    /// A commit cannot be read.
    #[error(
        "commit {sequence} in GANDER_CONTROL cannot be read: if the journal is whole, stop every process, delete the stream GANDER_CONTROL and start admin, which writes it anew (docs/broken-files.md)"
    )]
    Stored {
        /// Its number.
        sequence: u64,
        /// Why.
        source: stored::Error,
    },
}

/// The record of the commit that GANDER_CONTROL has at this number.
pub async fn stored_record(nats: &Nats, sequence: u64) -> Result<Bytes, Error> {
    let message = nats.get(subject::CONTROL_STREAM, sequence).await?;
    // It is counted, and not there: nats-server leaves out what it cannot read.
    let unread = || view::Error::NotWhole(format!("nats-server cannot read record {sequence}"));
    let message = message.ok_or_else(unread)?;
    let (record, _) = control::decode_message(&message.payload)
        .map_err(|source| Error::Stored { sequence, source })?;
    Ok(record)
}

/// Makes journal and stream the same, has what they come to signed at this time, and folds them.
pub async fn reconcile(
    journal: &mut dyn Journal,
    checkpoints: &mut Checkpoints,
    relay: &Relay,
    (stop, at): (&CancellationToken, Timestamp),
) -> Result<(Directory, Requests), Error> {
    let nats = relay.nats();
    let head = journal::verify(journal, control::previous_hash)?;
    let last = view::check_whole(nats).await?.last;
    let common = head.sequence.min(last);
    if common > 0 {
        let ours = journal.read(common - 1, 1)?;
        if ours.first() != Some(&stored_record(nats, common).await?) {
            return Err(Fatal::Diverged(common).into());
        }
    }
    if last > head.sequence {
        import_to(last, journal, nats).await?;
    }
    check_signed(journal, checkpoints.head())?;
    if journal.head().sequence > 0 {
        checkpoints.sign(journal.head(), &moment(at))?;
    }
    fold(journal, relay, last, (stop, at)).await
}

/// What was signed must still be in the chain: nothing is signed on top of another history.
fn check_signed(journal: &dyn Journal, signed: Head) -> Result<(), Error> {
    let Head { sequence, hash } = signed;
    if sequence == 0 {
        return Ok(());
    }
    if journal.head().sequence < sequence {
        return Err(Error::NotSigned { sequence, reason: "is missing" });
    }
    let record = journal.read(sequence - 1, 1)?;
    if record.first().map(|record| journal::hash(record)) != Some(hash) {
        return Err(Error::NotSigned { sequence, reason: "is another one" });
    }
    Ok(())
}

/// Imports up to this record. In a cluster the server that is read may not have them all yet.
async fn import_to(last: u64, journal: &mut dyn Journal, nats: &Nats) -> Result<(), Error> {
    for tried in 0..TRIES {
        if tried > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let head = journal.head();
        import(journal, nats, head).await?;
        if journal.head().sequence >= last {
            return Ok(());
        }
    }
    let text = format!("nats-server cannot read record {}", journal.head().sequence + 1);
    Err(view::Error::NotWhole(text).into())
}

async fn import(journal: &mut dyn Journal, nats: &Nats, mut head: Head) -> Result<(), Error> {
    let start = Start::Sequence(head.sequence + 1);
    let messages = nats.read_all(subject::CONTROL_STREAM, subject::CONTROL_ALL, start).await?;
    tracing::warn!(
        commits = messages.len(),
        "the journal is behind: importing from GANDER_CONTROL"
    );
    for page in messages.chunks(PAGE) {
        let mut records = Vec::with_capacity(page.len());
        let mut follows = head;
        for message in page {
            let sequence = message.sequence;
            let (record, _) = control::decode_message(&message.payload)
                .map_err(|source| Error::Stored { sequence, source })?;
            let expected = control::previous_hash(&record) == Some(follows.hash);
            if !expected || sequence != follows.sequence + 1 {
                return Err(Fatal::Diverged(sequence).into());
            }
            follows = follows.after(&record);
            records.push(record);
        }
        head = journal.append(head.sequence, &records)?;
    }
    Ok(())
}

/// Folds the journal, and relays what the stream does not have.
async fn fold(
    journal: &dyn Journal,
    relay: &Relay,
    relayed: u64,
    (stop, at): (&CancellationToken, Timestamp),
) -> Result<(Directory, Requests), Error> {
    let mut directory = Directory::default();
    let mut requests = Requests::default();
    let mut latest = Timestamp::default();
    loop {
        let records = journal.read(directory.sequence(), PAGE)?;
        if records.is_empty() {
            warn_of_clock(latest, at);
            return Ok((directory, requests));
        }
        let mut missing = Vec::new();
        for record in records {
            let commit = decode(&record, directory.sequence() + 1)?;
            directory.apply(&commit);
            requests.note(&commit);
            latest = latest.max(commit.at);
            if commit.sequence > relayed {
                let left = directory.snapshot(commit.changes[0].subject());
                missing.push(Sent::new(&commit, record, &left));
            }
        }
        requests.forget(at);
        relay.store(&missing, stop, |_| ()).await?;
    }
}

/// What the clock says decides when secrets expire and tracking ends, and dates every change.
fn warn_of_clock(latest: Timestamp, now: Timestamp) {
    let behind = latest.since(now);
    if behind > CLOCK_TOLERANCE {
        tracing::warn!(
            seconds = behind.as_secs(),
            "the clock is behind the last change: it is wrong now, or was then; set it right"
        );
    }
}

fn decode(record: &Bytes, sequence: u64) -> Result<Commit, Error> {
    let commit =
        control::decode_commit(record).map_err(|source| Error::Unread { sequence, source })?;
    if commit.sequence != sequence {
        let reason = "its number is not the one that follows";
        return Err(journal::Error::Corrupt { sequence, reason }.into());
    }
    Ok(commit)
}
