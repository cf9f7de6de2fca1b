//! The journal: commits in order, durable once it says so, chained by hash.
//!
//! Layout: this file has the trait, `memory` and `sled` keep it, `conformance` is the suite that
//! both pass; `checkpoint` signs how far it is. Must not know what a record says, only the hash of the
//! one before that it carries.

pub mod checkpoint;
#[cfg(test)]
mod conformance;
mod memory;
mod sled;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

pub use self::memory::MemoryJournal;
pub use self::sled::{SledJournal, SledRecords};

/// How many records there are, and the hash of the last: zeros before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The number of the last record; 0 before the first.
    pub sequence: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

impl Head {
    /// The head after one more record.
    #[must_use]
    pub fn after(self, record: &[u8]) -> Self {
        Self { sequence: self.sequence + 1, hash: hash(record) }
    }
}

/// The hash of a record, which the next one carries.
#[must_use]
pub fn hash(record: &[u8]) -> [u8; 32] {
    blake3::derive_key("gander 2026-11 journal chain v1", record)
}

/// Why a journal does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody has appended since; nothing is stored.
    #[error("the journal is at {found}, not at {expected}")]
    Conflict {
        /// What the caller expected.
        expected: u64,
        /// Where the journal is.
        found: u64,
    },
    /// A record is not the one that was written, or one is missing.
    #[error(
        "record {sequence} of the journal is broken: {reason}; move the folder of the journal away and start admin, which reads it anew from GANDER_CONTROL (docs/broken-files.md)"
    )]
    Corrupt {
        /// The first broken record.
        sequence: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// Its files are not what was written.
    #[error(
        "the journal in {directory} cannot be opened ({reason}): unless the disk is full or may not be written, move the folder away and start admin, which reads it anew from GANDER_CONTROL (docs/broken-files.md)"
    )]
    Damaged {
        /// Its folder.
        directory: PathBuf,
        /// What sled says.
        reason: String,
    },
    /// It has a form that this build does not know.
    #[error("a newer version of Gander wrote the journal: upgrade this process")]
    Newer,
    /// Another process has it open.
    #[error("another process uses {0}: stop it first")]
    InUse(PathBuf),
    /// It cannot be read or written. After a failed append nothing more is appended, since what
    /// is stored is not known.
    #[error("the journal cannot be read or written: {0}")]
    Failed(String),
}

/// Keeps records in order. One writer.
pub trait Journal: Send + Sync {
    /// How far it is.
    fn head(&self) -> Head;

    /// Appends records after `expected`, all or none. They are durable when it returns.
    ///
    /// # Errors
    /// See [`Error`].
    fn append(&mut self, expected: u64, records: &[Bytes]) -> Result<Head, Error>;

    /// The records after this number, at most `most`, in order.
    ///
    /// # Errors
    /// See [`Error`].
    fn read(&self, after: u64, most: usize) -> Result<Vec<Bytes>, Error>;

    /// Its records for readers beside the one writer.
    fn records(&self) -> Arc<dyn Records>;
}

/// What lies in a journal, for readers. What was appended last may not be durable yet.
pub trait Records: Send + Sync {
    /// What lies there after this number with its numbers, gaps and all, at most `most`, in order.
    ///
    /// # Errors
    /// It cannot be read.
    fn scan(&self, after: u64, most: usize) -> Result<Vec<(u64, Bytes)>, Error>;
}

/// How to find the hash of the record before in a record.
pub type PreviousHash = fn(&[u8]) -> Option<[u8; 32]>;

/// Follows the chain over all records from the first.
///
/// # Errors
/// A record does not carry the hash of the one before it.
pub fn verify(journal: &dyn Journal, previous_hash: PreviousHash) -> Result<Head, Error> {
    let mut head = Head::default();
    loop {
        let records = journal.read(head.sequence, 1_000)?;
        if records.is_empty() {
            return Ok(head);
        }
        for record in records {
            if previous_hash(&record) != Some(head.hash) {
                let sequence = head.sequence + 1;
                return Err(Error::Corrupt {
                    sequence,
                    reason: "it does not follow the one before",
                });
            }
            head = head.after(&record);
        }
    }
}
