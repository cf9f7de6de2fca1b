//! Files that hold a secret: written with mode 0600 from the start, refused when others can read
//! them.
//!
//! `place` takes the name of a file for one before it is made.
//!
//! A path may begin with `$CREDENTIALS_DIRECTORY/`, where systemd puts what `LoadCredential=` names
//! (systemd.exec(5), "CREDENTIALS"). Must not know what the secret opens.

mod place;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::environment;

pub use place::Place;

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
    /// A secret was to be written to it.
    #[error("{path} is empty, as an interrupted command leaves it: run that command again")]
    Empty {
        /// The file.
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

/// Reads a secret, white space at the ends removed.
///
/// # Errors
/// The file cannot be read, is empty, or others can read it too.
pub fn read(path: &Path) -> Result<String, Error> {
    check(path)?;
    text(path)
}

/// The same where its group may read it too: Kubernetes gives the files of a Secret to a group.
///
/// # Errors
/// The file cannot be read, is empty, or others can read it too.
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
    let text = short(file, path)?;
    if text.is_empty() {
        return Err(Error::Empty { path: path.to_owned() });
    }
    Ok(text.trim().to_owned())
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
    fn what_is_empty_or_too_long_for_a_secret_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        write(&path, "").unwrap();
        assert_eq!(read(&path).unwrap(), "");
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        assert!(matches!(read(&path), Err(Error::Empty { .. })));
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
