//! Files that hold a secret: written with mode 0600 from the start, refused when others can read
//! them.
//!
//! Must not know what the secret opens.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

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
    /// Others can read it.
    #[error("others can read {path}: run `chmod 600 {path}`")]
    Readable {
        /// The file.
        path: PathBuf,
    },
}

/// Writes the secret with a line break to a file of mode 0600, and makes it durable. An older
/// file is replaced as a whole.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, secret: &str) -> Result<(), Error> {
    let fail = |source| Error::Io { path: path.to_owned(), source };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(fail)?;
    let draft = path.with_extension("new");
    let _ = fs::remove_file(&draft);
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(format!("{secret}\n").as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(fail)
}

/// Makes sure that a secret can be written to this file, before there is one to be lost; a file
/// that is there already may be replaced only if that is said.
///
/// # Errors
/// It cannot be written, or is there already.
pub fn prepare(path: &Path, replace: bool) -> Result<(), Error> {
    if !replace && path.exists() {
        return Err(Error::Exists { path: path.to_owned() });
    }
    let fail = |source| Error::Io { path: path.to_owned(), source };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(fail)?;
    let draft = path.with_extension("new");
    File::create(&draft).and_then(|_| fs::remove_file(&draft)).map_err(fail)
}

/// Reads a secret, white space at the ends removed.
///
/// # Errors
/// The file cannot be read, or others can read it too.
pub fn read(path: &Path) -> Result<String, Error> {
    let fail = |source| Error::Io { path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(fail)?.mode();
    if mode & 0o077 != 0 {
        return Err(Error::Readable { path: path.to_owned() });
    }
    Ok(fs::read_to_string(path).map_err(fail)?.trim().to_owned())
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
}
