//! Files that hold a secret: written with mode 0600 from the start, refused when others can read
//! them.
//!
//! A path may begin with `$CREDENTIALS_DIRECTORY/`, where systemd puts what `LoadCredential=` names
//! (systemd.exec(5), "CREDENTIALS"). Must not know what the secret opens.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::environment;

/// What a path to a credential of systemd begins with.
pub const CREDENTIALS: &str = "$CREDENTIALS_DIRECTORY/";
const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";
/// The longest file of a secret, in bytes.
const MOST_BYTES: u64 = 1024 * 1024;

/// Why a secret cannot be read from or written to a file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or written.
    #[error("cannot use {path} for a secret")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is there already.
    #[error("{path} is there already: move it away, or name another file")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Another command is about to write it, or has just done so.
    #[error("another command writes {path}: name another file")]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// What is replaced would be a folder, or a link and not the file that it leads to.
    #[error("{path} is no file by itself: name another one")]
    NoFile {
        /// What is no file.
        path: PathBuf,
    },
    /// Secrets are short.
    #[error("{path} is over 1 MiB: that is no secret")]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// Others can read it.
    #[error("others can read {path}: run `chmod 600 {path}`")]
    Readable {
        /// The file.
        path: PathBuf,
    },
    /// There is no folder of credentials.
    #[error(
        "{path} is not there: only systemd sets CREDENTIALS_DIRECTORY, for a service with LoadCredential="
    )]
    NoCredentials {
        /// The path that begins with it.
        path: PathBuf,
    },
}

/// The path with `$CREDENTIALS_DIRECTORY` at its start filled in.
///
/// # Errors
/// It begins with it, and there is none.
pub fn resolve(path: &Path) -> Result<PathBuf, Error> {
    resolve_in(path, environment::variable(CREDENTIALS_VARIABLE))
}

fn resolve_in(path: &Path, folder: Option<String>) -> Result<PathBuf, Error> {
    match path.to_str().and_then(|path| path.strip_prefix(CREDENTIALS)) {
        None => Ok(path.to_owned()),
        Some(name) => match folder {
            Some(folder) => Ok(Path::new(&folder).join(name)),
            None => Err(Error::NoCredentials { path: path.to_owned() }),
        },
    }
}

/// Writes the secret with a line break to a file of mode 0600, and makes it durable. An older
/// file is replaced as a whole.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, secret: &str) -> Result<(), Error> {
    let fail = |source| Error::Io { path: path.to_owned(), source };
    fs::create_dir_all(folder_of(path)).map_err(fail)?;
    replace(path, secret).map_err(fail)
}

fn replace(path: &Path, secret: &str) -> io::Result<()> {
    let folder = folder_of(path);
    let mut draft = draft(folder)?;
    draft.write_all(format!("{secret}\n").as_bytes())?;
    draft.as_file().sync_all()?;
    draft.persist(path)?;
    File::open(folder)?.sync_all()
}

/// A file of mode 0600 and of a name that nobody can guess: what others have put into the folder is neither
/// followed nor removed.
fn draft(folder: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(".secret-").tempfile_in(folder)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

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

    /// Writes the secret there, as [`write`] does.
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

/// Reads a secret, white space at the ends removed.
///
/// # Errors
/// The file cannot be read, or others can read it too.
pub fn read(path: &Path) -> Result<String, Error> {
    check(path)?;
    text(path)
}

/// The same where its group may read it too: Kubernetes gives the files of a Secret to a group.
///
/// # Errors
/// The file cannot be read, or others can read it too.
pub fn read_of_group(path: &Path) -> Result<String, Error> {
    check_mode(path, OF_GROUP)?;
    text(path)
}

/// Reads what may be a secret, from a file or what else has this name.
///
/// # Errors
/// It cannot be read, or is too long.
pub fn short(from: impl Read, path: &Path) -> Result<String, Error> {
    let mut text = String::new();
    let read = from.take(MOST_BYTES + 1).read_to_string(&mut text);
    read.map_err(|source| Error::Io { path: path.to_owned(), source })?;
    if text.len() as u64 > MOST_BYTES {
        return Err(Error::TooLong { path: path.to_owned() });
    }
    Ok(text)
}

fn text(path: &Path) -> Result<String, Error> {
    let fail = |source| Error::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(fail)?;
    Ok(short(file, path)?.trim().to_owned())
}

/// Makes sure that a file with a secret is there and nobody else can read it.
///
/// # Errors
/// It is not there, or others can read it.
pub fn check(path: &Path) -> Result<(), Error> {
    check_in(path, environment::variable(CREDENTIALS_VARIABLE))
}

fn check_in(path: &Path, credentials: Option<String>) -> Result<(), Error> {
    // There systemd lets the service in by an access list, whose mask shows as the group's bits.
    let listed = credentials.is_some_and(|folder| path.starts_with(folder));
    check_mode(path, if listed { OF_GROUP } else { 0o077 })
}

/// What a file that its group may read must not allow.
const OF_GROUP: u32 = 0o037;

fn check_mode(path: &Path, forbidden: u32) -> Result<(), Error> {
    let source = |source| Error::Io { path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(source)?.mode();
    if mode & forbidden == 0 { Ok(()) } else { Err(Error::Readable { path: path.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/secret");
        write(&path, "one").unwrap();
        write(&path, "two").unwrap();
        assert_eq!(read(&path).unwrap(), "two");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("chmod 600"));
    }

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

    #[test]
    fn what_is_too_long_for_a_secret_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        write(&path, "").unwrap();
        File::options().write(true).open(&path).unwrap().set_len(MOST_BYTES + 1).unwrap();
        assert!(matches!(read(&path), Err(Error::TooLong { .. })));
    }

    #[test]
    fn a_credential_of_systemd_may_be_read_by_its_access_list() {
        let folder = tempfile::tempdir().unwrap();
        let credentials = Some(folder.path().display().to_string());
        let path = resolve_in(Path::new("$CREDENTIALS_DIRECTORY/key"), credentials.clone());
        let path = path.unwrap();
        assert_eq!(path, folder.path().join("key"));
        write(&path, "one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
        assert!(check_in(&path, credentials.clone()).is_ok());
        assert!(check_in(&path, None).is_err());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        assert!(check_in(&path, credentials.clone()).is_err());
        assert_eq!(resolve_in(Path::new("key"), None).unwrap(), Path::new("key"));
        let none = resolve_in(Path::new("$CREDENTIALS_DIRECTORY/key"), None).unwrap_err();
        assert!(none.to_string().contains("LoadCredential="));
    }
}
