//! A file that is new, mode 0600, and has its name only once it is complete and durable.
//!
//! Must not know what is in it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Why there is no such file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is a file of that name.
    #[error("{0} is there already: name another file")]
    Exists(PathBuf),
    /// There is one that is not complete.
    #[error(
        "{0} is there already: where nothing writes it any more, remove it, or name another file"
    )]
    Begun(PathBuf),
    /// It cannot be written.
    #[error("cannot write {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A file on its way. Dropped before it has its name, it is removed.
#[derive(Debug)]
pub struct FreshFile {
    path: PathBuf,
    partial: PathBuf,
    file: BufWriter<File>,
    named: bool,
}

impl FreshFile {
    /// Begins a file beside its name.
    ///
    /// # Errors
    /// There is one of that name, or one that is not complete, or it cannot be written.
    pub fn create(path: &Path) -> Result<Self, Error> {
        if path.exists() {
            return Err(Error::Exists(path.to_owned()));
        }
        let partial = path.with_added_extension("partial");
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial);
        let opened = opened.map_err(|source| {
            if source.kind() == ErrorKind::AlreadyExists {
                Error::Begun(partial.clone())
            } else {
                Error::Io { path: path.to_owned(), source }
            }
        })?;
        let file = BufWriter::with_capacity(1024 * 1024, opened);
        Ok(Self { path: path.to_owned(), partial, file, named: false })
    }

    /// Makes what was written durable; gives where it can be read while it has no name.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn sync(&mut self) -> Result<&Path, Error> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(|source| self.failed(source))?;
        Ok(&self.partial)
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn name(mut self) -> Result<(), Error> {
        self.sync()?;
        fs::rename(&self.partial, &self.path).map_err(|source| self.failed(source))?;
        self.named = true;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = File::open(folder.unwrap_or(Path::new(".")));
        folder.and_then(|folder| folder.sync_all()).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Io { path: self.path.clone(), source }
    }
}

impl Write for FreshFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for FreshFile {
    fn drop(&mut self) {
        if !self.named {
            let _ = fs::remove_file(&self.partial);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn it_is_there_once_it_is_named_and_never_in_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let there = || fs::read_dir(folder.path()).unwrap().count();
        let mut file = FreshFile::create(&path).unwrap();
        file.write_all(b"given up").unwrap();
        file.sync().unwrap();
        assert!(!path.exists() && there() == 1);
        drop(file);
        assert_eq!(there(), 0);
        let mut file = FreshFile::create(&path).unwrap();
        file.write_all(b"whole").unwrap();
        assert_eq!(fs::read(file.sync().unwrap()).unwrap(), b"whole");
        file.name().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!((there(), fs::metadata(&path).unwrap().mode() & 0o777), (1, 0o600));
        let again = FreshFile::create(&path).unwrap_err().to_string();
        assert!(again.ends_with("is there already: name another file"), "{again}");
        fs::write(folder.path().join("other.partial"), "somebody's").unwrap();
        let begun = FreshFile::create(&folder.path().join("other")).unwrap_err().to_string();
        assert!(begun.contains("other.partial is there already"), "{begun}");
        assert_eq!(there(), 2);
    }
}
