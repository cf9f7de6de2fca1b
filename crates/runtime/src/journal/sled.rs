//! The journal in sled, with its traps closed.
//!
//! On Linux sled's flush does not fsync, so the database file is fsynced here, through a handle
//! of our own, and its settings never, so a new journal has its name only once all of it is durable.
//! After any error nothing more is appended. The one file that names sled.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sled::Transactional;
use sled::transaction::{ConflictableTransactionError, TransactionError};

use super::{Error, Head, Journal, Records};

const RECORDS: &str = "records";
const META: &str = "meta";
const FORMAT: &str = "format";
const HEAD: &str = "head";
const FORMAT_VERSION: &[u8] = b"1";

/// How often, and how long after each other, a journal that was just made is opened until it is free.
const TRIES: usize = 10_000;
const PAUSE: Duration = Duration::from_millis(1);

/// The journal in a directory of its own.
#[derive(Debug)]
pub struct SledJournal {
    database: sled::Db,
    records: sled::Tree,
    meta: sled::Tree,
    file: File,
    head: Head,
    poisoned: bool,
}

impl SledJournal {
    /// Opens the journal in this directory, or makes it.
    ///
    /// # Errors
    /// It is in use, broken or of a newer format, or the disk fails.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        unless_damaged(directory, || Self::open_whole(directory))
    }

    fn open_whole(directory: &Path) -> Result<Self, Error> {
        let database = if directory.exists() {
            open(directory)?
        } else {
            make(directory)?;
            open_made(directory, || std::thread::sleep(PAUSE))?
        };
        let records = database.open_tree(RECORDS).map_err(failed)?;
        let meta = database.open_tree(META).map_err(failed)?;
        match meta.get(FORMAT).map_err(failed)? {
            None => {
                meta.insert(FORMAT, FORMAT_VERSION).map_err(failed)?;
            }
            Some(found) if found == FORMAT_VERSION => {}
            Some(_) => return Err(Error::Newer),
        }
        let file = File::open(directory.join("db")).map_err(failed)?;
        let head = head(&records, &meta)?;
        let mut journal = Self { database, records, meta, file, head, poisoned: false };
        journal.sync()?;
        // Also where the folder was there, empty.
        sync_files(directory).map_err(failed)?;
        Ok(journal)
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.database.flush().map_err(failed)?;
        self.file.sync_all().map_err(failed)
    }

    fn store(&mut self, new: &[Bytes]) -> Result<Head, Error> {
        let stored = (&self.records, &self.meta).transaction(|(records, meta)| {
            let mut head = self.head;
            for record in new {
                head = head.after(record);
                records.insert(&head.sequence.to_be_bytes(), record.as_ref())?;
            }
            meta.insert(HEAD, head_bytes(head))?;
            Ok::<_, ConflictableTransactionError<()>>(head)
        });
        let head = stored.map_err(|error| match error {
            TransactionError::Abort(()) => Error::Failed("aborted".to_owned()),
            TransactionError::Storage(error) => failed(error),
        })?;
        self.sync()?;
        Ok(head)
    }
}

impl Journal for SledJournal {
    fn head(&self) -> Head {
        self.head
    }

    fn append(&mut self, expected: u64, new: &[Bytes]) -> Result<Head, Error> {
        if self.poisoned {
            return Err(Error::Failed("an earlier write failed: restart the process".to_owned()));
        }
        if expected != self.head.sequence {
            return Err(Error::Conflict { expected, found: self.head.sequence });
        }
        self.poisoned = true;
        self.head = self.store(new)?;
        self.poisoned = false;
        Ok(self.head)
    }

    fn read(&self, after: u64, most: usize) -> Result<Vec<Bytes>, Error> {
        let mut expected = after;
        let range = self.records.range((after + 1).to_be_bytes()..);
        let mut found = Vec::new();
        for item in range.take(most) {
            let (key, record) = item.map_err(failed)?;
            expected += 1;
            if key.as_ref() != expected.to_be_bytes() {
                return Err(Error::Corrupt { sequence: expected, reason: "it is missing" });
            }
            found.push(Bytes::copy_from_slice(&record));
        }
        if found.len() < most && expected < self.head.sequence {
            return Err(Error::Corrupt { sequence: expected + 1, reason: "it is missing" });
        }
        Ok(found)
    }

    fn records(&self) -> Arc<dyn Records> {
        Arc::new(SledRecords { _database: self.database.clone(), records: self.records.clone() })
    }
}

/// The records of a journal, whatever state they are in.
#[derive(Debug)]
pub struct SledRecords {
    _database: sled::Db,
    records: sled::Tree,
}

impl SledRecords {
    /// Opens the journal in this directory for looking at it, also where it is broken.
    ///
    /// # Errors
    /// It is in use or not there, or the disk fails.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        if !directory.is_dir() {
            return Err(Error::Failed(format!("{} is not there", directory.display())));
        }
        unless_damaged(directory, || {
            let database = open(directory)?;
            let records = database.open_tree(RECORDS).map_err(failed)?;
            Ok(Self { _database: database, records })
        })
    }
}

impl Records for SledRecords {
    fn scan(&self, after: u64, most: usize) -> Result<Vec<(u64, Bytes)>, Error> {
        let range = self.records.range(after.saturating_add(1).to_be_bytes()..);
        let numbered = |item: Result<(sled::IVec, sled::IVec), sled::Error>| {
            let (key, record) = item.map_err(failed)?;
            let key = key.as_ref().try_into().map_err(|_| failed("a number cannot be read"))?;
            Ok((u64::from_be_bytes(key), Bytes::copy_from_slice(&record)))
        };
        range.take(most).map(numbered).collect()
    }
}

/// Makes an empty journal: after a loss of power there is all of it or none.
fn make(directory: &Path) -> Result<(), Error> {
    let draft = directory.with_added_extension("new");
    if draft.exists() {
        fs::remove_dir_all(&draft).map_err(failed)?;
    }
    fs::create_dir_all(&draft).map_err(failed)?;
    drop(open(&draft)?);
    sync_files(&draft).and_then(|()| fs::rename(&draft, directory)).map_err(failed)?;
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = File::open(parent.unwrap_or(Path::new(".")));
    parent.and_then(|parent| parent.sync_all()).map_err(failed)
}

/// Opens what was just made, under the name that it has since. The threads of sled that made it hold its
/// lock for a moment more, and nothing tells when they are done.
fn open_made(directory: &Path, mut pause: impl FnMut()) -> Result<sled::Db, Error> {
    for _ in 0..TRIES {
        match open(directory) {
            Err(Error::InUse(_)) => pause(),
            opened => return opened,
        }
    }
    open(directory)
}

/// Files that are not what was written make sled fail or panic.
fn unless_damaged<T>(
    directory: &Path,
    open: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    let damaged = |reason| Error::Damaged { directory: directory.to_owned(), reason };
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(open)) {
        Ok(Err(Error::Failed(reason))) => Err(damaged(reason)),
        Ok(opened) => opened,
        Err(panic) => {
            let told = panic.downcast_ref::<String>().map(String::as_str);
            let told = told.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(damaged(format!("sled panicked: {}", told.unwrap_or("-"))))
        }
    }
}

fn open(directory: &Path) -> Result<sled::Db, Error> {
    sled::Config::new()
        .path(directory)
        .cache_capacity(64 * 1024 * 1024)
        .mode(sled::Mode::LowSpace)
        .flush_every_ms(Some(500))
        .open()
        .map_err(|error| in_use(error, directory))
}

/// The head as it was written, checked against the last record.
fn head(records: &sled::Tree, meta: &sled::Tree) -> Result<Head, Error> {
    let last = records.last().map_err(failed)?;
    let written = meta.get(HEAD).map_err(failed)?;
    let (key, record) = match (last, &written) {
        (None, None) => return Ok(Head::default()),
        (None, Some(_)) => {
            return Err(Error::Corrupt { sequence: 1, reason: "all records are missing" });
        }
        (Some(last), _) => last,
    };
    let broken = Error::Corrupt { sequence: 1, reason: "its number cannot be read" };
    let sequence = u64::from_be_bytes(key.as_ref().try_into().map_err(|_| broken)?);
    let head = Head { sequence, hash: super::hash(&record) };
    if written.is_some_and(|written| written.as_ref() == head_bytes(head)) {
        Ok(head)
    } else {
        Err(Error::Corrupt { sequence, reason: "the head says otherwise" })
    }
}

fn head_bytes(head: Head) -> Vec<u8> {
    [&head.sequence.to_be_bytes()[..], &head.hash].concat()
}

/// What is in a folder, and its names.
fn sync_files(directory: &Path) -> io::Result<()> {
    for entry in directory.read_dir()? {
        File::open(entry?.path())?.sync_all()?;
    }
    File::open(directory)?.sync_all()
}

fn in_use(error: sled::Error, directory: &Path) -> Error {
    if matches!(&error, sled::Error::Io(inner) if inner.to_string().contains("lock")) {
        Error::InUse(directory.to_owned())
    } else {
        failed(error)
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_told_that_it_is_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let _open = SledJournal::open(&folder.path().join("j")).unwrap();
        assert!(matches!(SledJournal::open(&folder.path().join("j")), Err(Error::InUse(_))));
    }

    #[test]
    fn a_first_start_waits_for_itself_and_for_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        make(&path).unwrap();
        let file = File::open(path.join("db")).unwrap();
        file.lock().unwrap();
        let mut held = Some(file);
        assert!(open_made(&path, || drop(held.take())).is_ok());
        // The database that was opened is closed: its threads may still have the lock.
        let file = File::open(path.join("db")).unwrap();
        file.lock().unwrap();
        assert!(matches!(open_made(&path, || ()), Err(Error::InUse(_))));
    }

    #[test]
    fn what_a_first_start_left_half_made_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let draft = folder.path().join("j.new");
        fs::create_dir(&draft).unwrap();
        fs::write(draft.join("conf"), "torn settings").unwrap();
        let mut journal = SledJournal::open(&path).unwrap();
        journal.append(0, &[Bytes::from_static(b"one")]).unwrap();
        assert!(!draft.exists());
    }

    #[test]
    fn a_record_that_is_gone_or_changed_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let records: Vec<_> = (0..5u8).map(|n| Bytes::from(vec![n; 40])).collect();
        let mut journal = SledJournal::open(&path).unwrap();
        journal.append(0, &records).unwrap();
        journal.records.remove(3u64.to_be_bytes()).unwrap();
        assert!(matches!(journal.read(0, 10), Err(Error::Corrupt { sequence: 3, .. })));
        journal.records.insert(5u64.to_be_bytes(), b"other").unwrap();
        drop(journal);
        assert!(matches!(SledJournal::open(&path), Err(Error::Corrupt { sequence: 5, .. })));
    }
}
