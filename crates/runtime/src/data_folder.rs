//! The folder in which a process keeps what lasts: its own alone while it runs.
//!
//! Must not know what is in it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process works in it.
    #[error("another process uses {0}: stop it first, or say another folder with --data")]
    InUse(PathBuf),
    /// It cannot be made or read.
    #[error("the data folder {path} cannot be used")]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A folder that nobody else works in until this is dropped, also after a crash.
#[derive(Debug)]
pub struct DataFolder {
    /// Where it is, from the root.
    pub path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Takes the folder; makes it, readable by its owner alone, where it is missing.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn take(path: &Path) -> Result<Self, Error> {
        let fail = |source| Error::Io { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fail)?;
        let path = fs::canonicalize(path).map_err(fail)?;
        let mut options = OpenOptions::new();
        options.create(true).write(true).truncate(false).mode(0o600);
        let lock = options.open(path.join("lock")).map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse(path)),
            Err(TryLockError::Error(source)) => Err(Error::Io { path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn nobody_else_takes_it_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/data");
        let taken = DataFolder::take(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        assert!(matches!(DataFolder::take(&path), Err(Error::InUse(_))));
        drop(taken);
        assert!(DataFolder::take(&path).is_ok());
    }
}
