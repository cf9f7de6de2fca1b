//! A journal in memory, for tests of what is built on journals.
//!
//! Must not be used where anything is to last.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::{Error, Head, Journal, Records};

/// A journal in memory; a clone is the same journal, as opened again.
#[derive(Clone, Debug, Default)]
pub struct MemoryJournal {
    records: Arc<Mutex<Vec<Bytes>>>,
}

impl MemoryJournal {
    fn with<T>(&self, act: impl FnOnce(&mut Vec<Bytes>) -> T) -> T {
        act(&mut self.records.lock().expect("no holder of this lock panics"))
    }
}

impl Journal for MemoryJournal {
    fn head(&self) -> Head {
        self.with(|records| Head {
            sequence: records.len() as u64,
            hash: records.last().map(|record| super::hash(record)).unwrap_or_default(),
        })
    }

    fn append(&mut self, expected: u64, new: &[Bytes]) -> Result<Head, Error> {
        let found = self.head().sequence;
        if found != expected {
            return Err(Error::Conflict { expected, found });
        }
        self.with(|records| records.extend_from_slice(new));
        Ok(self.head())
    }

    fn read(&self, after: u64, most: usize) -> Result<Vec<Bytes>, Error> {
        let after = usize::try_from(after).unwrap_or(usize::MAX);
        Ok(self.with(|records| records.iter().skip(after).take(most).cloned().collect()))
    }

    fn records(&self) -> Arc<dyn Records> {
        Arc::new(self.clone())
    }
}

impl Records for MemoryJournal {
    fn scan(&self, after: u64, most: usize) -> Result<Vec<(u64, Bytes)>, Error> {
        Ok((after + 1..).zip(self.read(after, most)?).collect())
    }
}
