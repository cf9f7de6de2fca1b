//! The folder in which a process keeps what lasts: its own alone while it runs.
//!
//! A restore marks it first of all and takes the mark away last of all, so that what was restored in
//! part is never taken for the whole. Must not know what else is in it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::process::{geteuid, umask};

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process works in it.
    #[error("another process uses {0}: stop it first, or say another folder with --data")]
    InUse(PathBuf),
    /// Something is in it already.
    #[error("{0} is not empty: name an empty folder")]
    NotEmpty(PathBuf),
    /// A restore began in it and did not end.
    #[error(
        "a restore into {0} has not ended: unless it goes on, delete this folder, and the streams that it made in a NATS of your own, and restore again"
    )]
    Incomplete(PathBuf),
    /// Another user decides what is in it, and root would do as it says.
    #[error("{path} belongs to another user (number {owner}): run this as that user")]
    OfAnother {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// Everybody does: whoever puts a key into it is let in.
    #[error(
        "everybody can write to {0}: name a folder that is yours alone, or close this one with chmod after a look at what is in it"
    )]
    Writable(PathBuf),
    /// It cannot be made or read.
    #[error("the data folder {path} cannot be used")]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

const INCOMPLETE: &str = "restore-incomplete";

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
        let taken = Self::lock(make(path)?)?;
        check_complete(&taken.path)?;
        Ok(taken)
    }

    /// Takes a folder that is empty or missing for a restore: nobody else can take it before
    /// [`Self::complete`], also not after a crash.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn take_for_restore(path: &Path) -> Result<Self, Error> {
        check_complete(path)?;
        let path = make(path)?;
        let fail = |source| Error::Io { path: path.clone(), source };
        if path.read_dir().map_err(fail)?.next().is_some() {
            return Err(Error::NotEmpty(path));
        }
        let mark = path.join(INCOMPLETE);
        let marked = OpenOptions::new().create_new(true).write(true).open(&mark);
        marked.and_then(|file| file.sync_all()).map_err(fail)?;
        // The folder may be new, too.
        path.ancestors().take(2).try_for_each(sync).map_err(fail)?;
        // Who has just begun to work in it is not to be locked out of it.
        Self::lock(path).inspect_err(|_| drop(fs::remove_file(mark)))
    }

    /// The restore into it has ended: from here on it is one like others.
    ///
    /// # Errors
    /// The mark cannot be taken away.
    pub fn complete(self) -> Result<(), Error> {
        let removed = fs::remove_file(self.path.join(INCOMPLETE));
        let durable = removed.and_then(|()| sync(&self.path));
        durable.map_err(|source| Error::Io { path: self.path.clone(), source })
    }

    fn lock(path: PathBuf) -> Result<Self, Error> {
        let fail = |source| Error::Io { path: path.clone(), source };
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

/// Makes sure that no restore into this folder was interrupted.
///
/// # Errors
/// One was, or one goes on.
pub fn check_complete(path: &Path) -> Result<(), Error> {
    if path.join(INCOMPLETE).exists() { Err(Error::Incomplete(path.to_owned())) } else { Ok(()) }
}

/// Makes the folder, if it is missing; gives where it is from the root. What this process makes from here on is
/// its user's alone.
fn make(path: &Path) -> Result<PathBuf, Error> {
    let fail = |source| Error::Io { path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fail)?;
    let path = fs::canonicalize(path).map_err(fail)?;
    check_own(&path)?;
    umask(Mode::RWXG | Mode::RWXO);
    Ok(path)
}

/// Makes sure that nobody else decides what is in the folder, where the one who runs this can do something
/// about it.
///
/// # Errors
/// Somebody does, or it cannot be read.
pub fn check_own(path: &Path) -> Result<(), Error> {
    let found = fs::metadata(path);
    let found = found.map_err(|source| Error::Io { path: path.to_owned(), source })?;
    match trust(geteuid().as_raw(), found.uid(), found.mode()) {
        Trust::Own => {}
        Trust::Shared => tracing::warn!(
            path = %path.display(),
            "others can write to or read the data folder: see to it that they are to"
        ),
        Trust::OfAnother => {
            return Err(Error::OfAnother { path: path.to_owned(), owner: found.uid() });
        }
        Trust::Writable => return Err(Error::Writable(path.to_owned())),
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    Own,
    /// A volume that somebody else has made, as those of Kubernetes, or a folder with readers.
    Shared,
    OfAnother,
    Writable,
}

const fn trust(me: u32, owner: u32, mode: u32) -> Trust {
    if me == owner && mode & 0o002 != 0 {
        Trust::Writable
    } else if me == 0 && owner != 0 {
        Trust::OfAnother
    } else if me == owner && mode & 0o077 == 0 {
        Trust::Own
    } else {
        Trust::Shared
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

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

    #[test]
    fn one_that_others_can_change_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        fs::create_dir(&path).unwrap();
        let set = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        set(0o777);
        assert!(matches!(DataFolder::take(&path), Err(Error::Writable(_))));
        assert!(matches!(DataFolder::take_for_restore(&path), Err(Error::Writable(_))));
        set(0o755);
        assert!(DataFolder::take(&path).is_ok());
        assert_eq!(
            fs::metadata(&path).unwrap().mode() & 0o777,
            0o755,
            "that is its owner's matter"
        );
    }

    #[test]
    fn whose_a_folder_is_and_who_may_write_to_it_decides() {
        for (me, owner, mode, expected) in [
            (1000, 1000, 0o700, Trust::Own),
            (1000, 1000, 0o750, Trust::Shared),
            (1000, 1000, 0o777, Trust::Writable),
            (65532, 0, 0o2775, Trust::Shared),
            (65532, 0, 0o777, Trust::Shared),
            (0, 1000, 0o700, Trust::OfAnother),
            (0, 0, 0o1777, Trust::Writable),
            (0, 0, 0o700, Trust::Own),
        ] {
            assert_eq!(trust(me, owner, mode), expected, "{me} {owner} {mode:o}");
        }
    }

    #[test]
    fn what_was_restored_in_part_is_taken_by_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/data");
        let taken = DataFolder::take_for_restore(&path).unwrap();
        fs::write(path.join("half"), "").unwrap();
        drop(taken);
        assert!(matches!(DataFolder::take(&path), Err(Error::Incomplete(_))));
        assert!(matches!(DataFolder::take_for_restore(&path), Err(Error::Incomplete(_))));
        fs::remove_dir_all(&path).unwrap();
        DataFolder::take_for_restore(&path).unwrap().complete().unwrap();
        assert!(DataFolder::take(&path).is_ok());
        assert!(matches!(DataFolder::take_for_restore(&path), Err(Error::NotEmpty(_))));
    }
}
