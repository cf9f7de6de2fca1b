//! The configuration as it comes from GANDER_CONTROL: first as it is, then each change.
//!
//! Must not know what it is used for. One owner reads; what it has applied is its to say.

use std::time::Duration;

use domain::directory::{Directory, Snapshot};
use tokio::time::timeout;
use wire::stored::{self, control};
use wire::subject;

use crate::nats::{self, Message, Nats, Reader, Start};

/// Why the configuration cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The broker cannot be reached.
    #[error(transparent)]
    Nats(#[from] nats::Error),
    /// A message cannot be read: going on without it could let in who was put out.
    #[error("message {sequence} of the control stream cannot be read (docs/broken-files.md)")]
    Stored {
        /// Its sequence.
        sequence: u64,
        /// Why.
        source: stored::Error,
    },
    /// Messages are gone, or nats-server cannot read them: going on could let in who was put out.
    #[error(
        "{0}: if the journal of admin is whole (`gander audit verify` says so), stop every process, delete the stream GANDER_CONTROL and start admin first, which writes it anew (docs/broken-files.md)"
    )]
    NotWhole(String),
    /// The stream was made anew while it was followed.
    #[error(
        "GANDER_CONTROL is another stream than the one that was read: a backup was restored meanwhile, and this process has to start again"
    )]
    Replaced,
}

/// How long the next message that must be there may take, while the broker answers.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is in GANDER_CONTROL.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// The sequence of the last message.
    pub last: u64,
    /// How many subjects there are: things that were ever configured.
    pub subjects: u64,
    /// Which stream it is: another one where it was made anew.
    pub identity: i64,
}

/// Makes sure that no message of GANDER_CONTROL is gone: none ever is deleted there.
///
/// # Errors
/// Some are, or the broker cannot be reached.
pub async fn check_whole(nats: &Nats) -> Result<Extent, Error> {
    let found = nats.usage(subject::CONTROL_STREAM).await?;
    let gone = found.last.saturating_sub(found.messages);
    if gone > 0 {
        return Err(Error::NotWhole(format!("{gone} of {} records are gone", found.last)));
    }
    Ok(Extent { last: found.last, subjects: found.subjects, identity: found.identity })
}

/// Follows the configuration.
pub struct Follower {
    nats: Nats,
    reader: Reader,
    identity: i64,
    /// The number that the next message must have, once all that was there is read.
    next: Option<u64>,
}

impl Follower {
    /// Reads the configuration as it is now, and follows it from there.
    ///
    /// # Errors
    /// The broker cannot be reached, or a message cannot be read or is gone.
    pub async fn start(nats: &Nats) -> Result<(Self, Directory), Error> {
        let extent = check_whole(nats).await?;
        let start = Start::LastOfEachSubject;
        let reader = Reader::new(nats, subject::CONTROL_STREAM, subject::CONTROL_ALL, start);
        let mut follower =
            Self { nats: nats.clone(), reader, identity: extent.identity, next: None };
        let mut directory = Directory::default();
        let mut installation = 0;
        // What a thing is last shows in one message: where that cannot be read, nothing tells but that
        // it does not come.
        while directory.sequence() < extent.last
            || (directory.things() as u64) + installation < extent.subjects
        {
            let message = follower.must_come(directory.sequence()).await?;
            let (sequence, snapshot) = decode(&message)?;
            // All that a directory does not keep.
            if snapshot == Snapshot::Installation {
                installation = 1;
            }
            directory.restore(sequence, snapshot);
        }
        Ok((follower, directory))
    }

    /// Which stream is followed.
    #[must_use]
    pub const fn identity(&self) -> i64 {
        self.identity
    }

    /// The next message, of which it is known that it is stored.
    async fn must_come(&mut self, after: u64) -> Result<Message, Error> {
        loop {
            if let Ok(message) = timeout(PATIENCE, self.reader.next()).await {
                return Ok(message);
            }
            // While there is no consumer, that is what is to be mended, and it is logged.
            if self.reader.is_open() && self.nats.bounds(subject::CONTROL_STREAM).await.is_ok() {
                let text = format!("nats-server cannot read all records after {after}");
                return Err(Error::NotWhole(text));
            }
        }
    }

    /// The next change: its number and the thing as it is after it. Cancel-safe.
    ///
    /// # Errors
    /// The message cannot be read, or one before it is gone.
    pub async fn next(&mut self) -> Result<(u64, Snapshot), Error> {
        let message = self.reader.next().await;
        if self.next.is_some_and(|next| next != message.sequence) {
            let text = format!("records before {} are gone", message.sequence);
            return Err(Error::NotWhole(text));
        }
        // From where nothing waits behind it, each comes right after the one before.
        if self.next.is_some() || message.pending == 0 {
            self.next = Some(message.sequence + 1);
        }
        decode(&message)
    }
}

fn decode(message: &Message) -> Result<(u64, Snapshot), Error> {
    let sequence = message.sequence;
    let (_, snapshot) = control::decode_message(&message.payload)
        .map_err(|source| Error::Stored { sequence, source })?;
    Ok((sequence, snapshot))
}
