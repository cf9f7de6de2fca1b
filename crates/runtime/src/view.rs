//! The configuration as it comes from GANDER_CONTROL: first as it is, then each change.
//!
//! Must not know what it is used for. One owner reads; what it has applied is its to say.

use domain::directory::{Directory, Snapshot};
use wire::stored::{self, control};
use wire::subject;

use crate::nats::{self, Nats, Reader, Start};

/// Why the configuration cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The broker cannot be reached.
    #[error(transparent)]
    Nats(#[from] nats::Error),
    /// A message cannot be read: going on without it could let in who was put out.
    #[error("message {sequence} of the control stream cannot be read")]
    Stored {
        /// Its sequence.
        sequence: u64,
        /// Why.
        source: stored::Error,
    },
}

/// Follows the configuration.
pub struct Follower {
    reader: Reader,
}

impl Follower {
    /// Reads the configuration as it is now, and follows it from there.
    ///
    /// # Errors
    /// The broker cannot be reached, or a message cannot be read.
    pub async fn start(nats: &Nats) -> Result<(Self, Directory), Error> {
        let (_, last) = nats.bounds(subject::CONTROL_STREAM).await?;
        let start = Start::LastOfEachSubject;
        let reader = Reader::new(nats, subject::CONTROL_STREAM, subject::CONTROL_ALL, start);
        let mut follower = Self { reader };
        let mut directory = Directory::default();
        while directory.sequence() < last {
            let (sequence, snapshot) = follower.next().await?;
            directory.restore(sequence, snapshot);
        }
        Ok((follower, directory))
    }

    /// The next change: its number and the thing as it is after it. Cancel-safe.
    ///
    /// # Errors
    /// The message cannot be read.
    pub async fn next(&mut self) -> Result<(u64, Snapshot), Error> {
        let message = self.reader.next().await;
        let sequence = message.sequence;
        let (_, snapshot) = control::decode_message(&message.payload)
            .map_err(|source| Error::Stored { sequence, source })?;
        Ok((sequence, snapshot))
    }
}
