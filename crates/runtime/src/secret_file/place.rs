//! The name of a file for a secret: taken before the secret is made, so that it has somewhere to go.
//!
//! Must not know what the secret opens.

use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use super::{Error, MOST_BYTES, draft, folder_of, replace};

/// The name of a file for a secret, taken before there is a secret to be lost. Nobody else takes it
/// meanwhile; dropped without a secret, it is given back.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    /// What is there until the secret is.
    held: File,
    /// Whether it is locked: some file systems have no locks.
    locked: bool,
    /// Whether it was made to take the name, by this command or one that was interrupted.
    made: bool,
}

impl Place {
    /// Takes the name. A file that is there already may be replaced only if that is said, or if it is
    /// empty and nobody holds it: an interrupted command leaves one. The folder must be there: a
    /// mistyped path would hide a secret somewhere.
    ///
    /// # Errors
    /// It cannot be written, is there already, or is taken.
    pub fn take(path: &Path, replace: bool) -> Result<Self, Error> {
        Self::take_by(path, replace, File::try_lock)
    }

    fn take_by(path: &Path, replace: bool, try_lock: TryLock) -> Result<Self, Error> {
        let fail = |source| Error::Io { path: path.to_owned(), source };
        draft(folder_of(path)).map_err(fail)?;
        let place =
            match File::options().read(true).write(true).create_new(true).mode(0o600).open(path) {
                Ok(held) => Self::fresh(path, held, try_lock)?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    Self::older(path, replace, try_lock)?
                }
                Err(error) => return Err(fail(error)),
            };
        // Who held it before may have put another file there since it was opened.
        place.check_held()?;
        // Without locks, another command may do the same at the same time, and one would lose.
        if place.locked {
            place.rehearse(try_lock)?;
            place.check_held()?;
        }
        Ok(place)
    }

    fn fresh(path: &Path, held: File, try_lock: TryLock) -> Result<Self, Error> {
        let mut place = Self { path: path.to_owned(), held, locked: true, made: true };
        match Lock::of(&place.held, try_lock) {
            Lock::Ours => Ok(place),
            Lock::Unknown => {
                place.locked = false;
                Ok(place)
            }
            // Another command has already found it, empty as it is.
            Lock::Theirs => {
                place.made = false;
                Err(place.taken())
            }
        }
    }

    fn older(path: &Path, replace: bool, try_lock: TryLock) -> Result<Self, Error> {
        let fail = |source| Error::Io { path: path.to_owned(), source };
        let exists = || Error::Exists { path: path.to_owned() };
        let there = fs::symlink_metadata(path).map_err(fail)?;
        if !replace && !is_empty(&there) {
            return Err(exists());
        }
        if !there.is_file() {
            return Err(Error::NoFile { path: path.to_owned() });
        }
        // NFS locks only what is open for writing.
        let writable = File::options().read(true).write(true).open(path);
        let held = writable.or_else(|_| File::open(path)).map_err(fail)?;
        let mut place = Self { path: path.to_owned(), held, locked: true, made: false };
        place.locked = match Lock::of(&place.held, try_lock) {
            Lock::Ours => true,
            Lock::Theirs => return Err(place.taken()),
            Lock::Unknown => false,
        };
        // Without a lock, nobody knows whether another command is about to write it.
        place.made = place.locked && is_empty(&place.held.metadata().map_err(fail)?);
        if replace || place.made { Ok(place) } else { Err(exists()) }
    }

    /// Makes sure that another file can get the name. A file that is a mount, or somebody else's in a
    /// folder like /tmp, keeps it: that is to be known before the old secret is dead. A copy has the
    /// name for a moment, so that whoever looks then, or is left after a kill, has the same secret.
    /// What is there stays what it was, with its owner and mode: the command may still fail.
    fn rehearse(&self, try_lock: TryLock) -> Result<(), Error> {
        let mut copy = draft(folder_of(&self.path)).map_err(|source| self.failed(source))?;
        // Nobody takes it for what an interrupted command has left.
        let _ = try_lock(copy.as_file());
        let copied = io::copy(&mut (&self.held).take(MOST_BYTES + 1), copy.as_file_mut())
            .and_then(|bytes| copy.as_file().sync_all().map(|()| bytes));
        if copied.map_err(|source| self.failed(source))? > MOST_BYTES {
            return Err(Error::TooLong { path: self.path.clone() });
        }
        let exchange = || renameat_with(CWD, copy.path(), CWD, &self.path, RenameFlags::EXCHANGE);
        match exchange().and_then(|()| exchange()) {
            Ok(()) => self.give_back(copy),
            // The file system cannot exchange. Mounts and owners are looked at before it is asked.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
            Err(error) => Err(self.failed(error.into())),
        }
    }

    /// Removes the copy; what somebody put in the place of it while it had the name is kept.
    fn give_back(&self, copy: NamedTempFile) -> Result<(), Error> {
        let theirs =
            identity(&fs::symlink_metadata(copy.path()).map_err(|error| self.failed(error))?)
                != identity(&copy.as_file().metadata().map_err(|error| self.failed(error))?);
        if theirs {
            let _ = copy.keep();
            return Err(self.taken());
        }
        Ok(())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the secret there, as [`super::write`] does.
    ///
    /// # Errors
    /// It cannot be written, or somebody has put something else there.
    pub fn write(self, secret: &str) -> Result<(), Error> {
        self.check_held()?;
        replace(&self.path, secret).map_err(|source| self.failed(source))
    }

    fn check_held(&self) -> Result<(), Error> {
        match self.is_held() {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.taken()),
            Err(source) => Err(self.failed(source)),
        }
    }

    fn is_held(&self) -> io::Result<bool> {
        Ok(identity(&self.held.metadata()?) == identity(&fs::symlink_metadata(&self.path)?))
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Io { path: self.path.clone(), source }
    }

    fn taken(&self) -> Error {
        Error::Taken { path: self.path.clone() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.made && matches!(self.is_held(), Ok(true)) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Tries to lock a file for as long as it is open.
type TryLock = fn(&File) -> Result<(), TryLockError>;

/// Whose a file is.
enum Lock {
    Ours,
    /// Another command's.
    Theirs,
    /// Its file system has no locks.
    Unknown,
}

impl Lock {
    fn of(file: &File, try_lock: TryLock) -> Self {
        match try_lock(file) {
            Ok(()) => Self::Ours,
            Err(TryLockError::WouldBlock) => Self::Theirs,
            Err(TryLockError::Error(_)) => Self::Unknown,
        }
    }
}

/// Which file it is.
fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

fn is_empty(there: &Metadata) -> bool {
    there.is_file() && there.len() == 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rustix::fs::OFlags;

    use super::super::{read, write};
    use super::*;

    #[test]
    fn what_others_have_put_beside_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let [path, other, link] = ["secret", "other", "secret.new"].map(|n| folder.path().join(n));
        fs::write(&other, "theirs").unwrap();
        std::os::unix::fs::symlink(&other, &link).unwrap();
        Place::take(&path, false).unwrap().write("mine").unwrap();
        std::os::unix::fs::symlink(&other, folder.path().join("mine")).unwrap();
        write(&folder.path().join("mine"), "instead of the link").unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "theirs");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
        assert!(matches!(Place::take(&path, false), Err(Error::Exists { .. })));
        assert!(matches!(Place::take(&link, false), Err(Error::Exists { .. })));
        assert!(matches!(Place::take(&link, true), Err(Error::NoFile { .. })));
        assert!(matches!(Place::take(folder.path(), true), Err(Error::NoFile { .. })));
    }

    #[test]
    fn a_name_is_taken_by_one_before_there_is_a_secret_and_given_back_without_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let first = Place::take(&path, false).unwrap();
        assert!(matches!(Place::take(&path, false), Err(Error::Taken { .. })));
        assert!(matches!(Place::take(&path, true), Err(Error::Taken { .. })));
        drop(first);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        Place::take(&path, true).unwrap().write("one").unwrap();
        let (second, stale) = (Place::take(&path, true).unwrap(), File::open(&path).unwrap());
        assert!(matches!(Place::take(&path, true), Err(Error::Taken { .. })));
        second.write("two").unwrap();
        let stale = Place { path: path.clone(), held: stale, locked: true, made: true };
        assert!(matches!(stale.write("three"), Err(Error::Taken { .. })));
        drop(Place::take(&path, true).unwrap());
        assert_eq!(read(&path).unwrap(), "two");
        let long = folder.path().join("x".repeat(256));
        assert!(matches!(Place::take(&long, false), Err(Error::Io { .. })));
    }

    #[test]
    fn an_empty_file_that_nobody_holds_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for replace in [false, true] {
            File::create(&path).unwrap();
            let place = Place::take(&path, replace).unwrap();
            assert!(matches!(Place::take(&path, false), Err(Error::Taken { .. })));
            drop(place);
            assert!(!path.exists(), "given back");
        }
        File::create(&path).unwrap();
        Place::take(&path, false).unwrap().write("one").unwrap();
        assert_eq!(read(&path).unwrap(), "one");
        assert!(matches!(Place::take(&path, false), Err(Error::Exists { .. })));
        File::create(&path).unwrap();
        let told = Place::take_by(&path, false, lock_nothing);
        assert!(matches!(told, Err(Error::Exists { .. })), "{told:?}");
        drop(Place::take_by(&path, true, lock_nothing).unwrap());
        assert!(path.exists(), "whose it is nobody knows");
    }

    /// As another command has it that looks between two steps of ours.
    fn lock_what_another_holds(_: &File) -> Result<(), TryLockError> {
        Err(TryLockError::WouldBlock)
    }

    #[test]
    fn what_another_takes_over_at_once_is_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let told = Place::take_by(&path, false, lock_what_another_holds);
        assert!(matches!(told, Err(Error::Taken { .. })), "{told:?}");
        assert!(path.exists());
    }

    /// As NFS does it.
    fn lock_what_may_be_written(file: &File) -> Result<(), TryLockError> {
        let access = rustix::fs::fcntl_getfl(file).unwrap() & OFlags::ACCMODE;
        if access == OFlags::RDONLY { lock_nothing(file) } else { file.try_lock() }
    }

    fn lock_nothing(_: &File) -> Result<(), TryLockError> {
        Err(TryLockError::Error(io::ErrorKind::Unsupported.into()))
    }

    #[test]
    fn a_place_is_taken_also_where_there_are_no_locks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for (n, replace) in [false, true, true].into_iter().enumerate() {
            let place = Place::take_by(&path, replace, lock_nothing).unwrap();
            let other = Place::take_by(&path, false, lock_nothing);
            assert!(matches!(other, Err(Error::Exists { .. })), "{other:?}");
            place.write(&n.to_string()).unwrap();
            assert_eq!(read(&path).unwrap(), n.to_string());
        }
        let lost = Place::take_by(&path, true, lock_nothing).unwrap();
        Place::take_by(&path, true, lock_nothing).unwrap().write("theirs").unwrap();
        assert!(matches!(lost.write("ours"), Err(Error::Taken { .. })));
        fs::remove_file(&path).unwrap();
        drop(Place::take_by(&path, false, lock_nothing).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn an_older_file_is_held_where_only_what_may_be_written_is_locked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        write(&path, "one").unwrap();
        let held = Place::take_by(&path, true, lock_what_may_be_written).unwrap();
        let other = Place::take_by(&path, true, lock_what_may_be_written);
        assert!(matches!(other, Err(Error::Taken { .. })), "{other:?}");
        held.write("two").unwrap();
    }

    #[test]
    fn a_folder_that_is_gone_is_no_other_command() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/secret");
        fs::create_dir(folder.path().join("sub")).unwrap();
        let place = Place::take(&path, false).unwrap();
        fs::remove_dir_all(folder.path().join("sub")).unwrap();
        let lost = place.write("one");
        assert!(matches!(lost, Err(Error::Io { .. })), "{lost:?}");
    }

    #[test]
    fn what_is_to_be_replaced_stays_as_it_is_until_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let bytes = b"\xff is no text";
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let before = fs::metadata(&path).unwrap();
        drop(Place::take(&path, true).unwrap());
        let after = fs::metadata(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!((before.ino(), before.mode()), (after.ino(), after.mode()));
        File::options().write(true).open(&path).unwrap().set_len(MOST_BYTES + 1).unwrap();
        let told = Place::take(&path, true);
        assert!(matches!(told, Err(Error::TooLong { .. })), "{told:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
