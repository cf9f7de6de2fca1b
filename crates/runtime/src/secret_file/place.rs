//! The name of a file for a secret: taken before the secret is made, so that it has somewhere to go.
//!
//! Must not know what the secret opens.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Error, draft, folder_of, replace};

/// The name of a file for a secret, taken before there is a secret to be lost. Nobody else takes it
/// meanwhile; dropped without a secret, it is given back.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    /// What is there until the secret is, locked.
    held: File,
    /// Whether it was made to take the name.
    made: bool,
}

impl Place {
    /// Takes the name. A file that is there already may be replaced only if that is said. The folder
    /// must be there: a mistyped path would hide a secret somewhere.
    ///
    /// # Errors
    /// It cannot be written, is there already, or is taken.
    pub fn take(path: &Path, replace: bool) -> Result<Self, Error> {
        let fail = |source| Error::Io { path: path.to_owned(), source };
        let taken = || Error::Taken { path: path.to_owned() };
        draft(folder_of(path)).map_err(fail)?;
        let fresh = File::options().write(true).create_new(true).mode(0o600).open(path);
        let (held, made) = match fresh {
            Ok(file) => (file, true),
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(fail(error)),
            Err(_) if !replace => return Err(Error::Exists { path: path.to_owned() }),
            Err(_) => (older(path)?, false),
        };
        match held.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken()),
            Err(TryLockError::Error(error)) => return Err(fail(error)),
        }
        let place = Self { path: path.to_owned(), held, made };
        // Who held it before may have put another file there since it was opened.
        if place.is_held() { Ok(place) } else { Err(taken()) }
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
        if !self.is_held() {
            return Err(Error::Taken { path: self.path.clone() });
        }
        let fail = |source| Error::Io { path: self.path.clone(), source };
        replace(&self.path, secret).map_err(fail)
    }

    fn is_held(&self) -> bool {
        let there = self.held.metadata().and_then(|held| {
            let there = fs::symlink_metadata(&self.path)?;
            Ok((held.dev(), held.ino()) == (there.dev(), there.ino()))
        });
        there.unwrap_or(false)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.made && self.is_held() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn older(path: &Path) -> Result<File, Error> {
    let fail = |source| Error::Io { path: path.to_owned(), source };
    if !fs::symlink_metadata(path).map_err(fail)?.is_file() {
        return Err(Error::NoFile { path: path.to_owned() });
    }
    File::open(path).map_err(fail)
}

#[cfg(test)]
mod tests {
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
        assert!(matches!(Place::take(&path, false), Err(Error::Exists { .. })));
        assert!(matches!(Place::take(&path, true), Err(Error::Taken { .. })));
        drop(first);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        Place::take(&path, true).unwrap().write("one").unwrap();
        let (second, stale) = (Place::take(&path, true).unwrap(), File::open(&path).unwrap());
        assert!(matches!(Place::take(&path, true), Err(Error::Taken { .. })));
        second.write("two").unwrap();
        let stale = Place { path: path.clone(), held: stale, made: true };
        assert!(matches!(stale.write("three"), Err(Error::Taken { .. })));
        drop(Place::take(&path, true).unwrap());
        assert_eq!(read(&path).unwrap(), "two");
        let long = folder.path().join("x".repeat(256));
        assert!(matches!(Place::take(&long, false), Err(Error::Io { .. })));
    }
}
