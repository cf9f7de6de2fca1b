//! The file of admin with all its checkpoints, one after the other; only ever appended to.
//!
//! Must not know what records say, nor when a checkpoint is due.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use super::note::{Broken, Checkpoint, Links, digest, parse};
use super::{Error, Key, Public};
use crate::journal::Head;

/// The newest checkpoint, and what all of them are checked with.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The file with all of them.
    pub path: Arc<Path>,
    /// Who signs.
    pub public: Public,
    /// The text of the newest; empty before the first.
    pub newest: watch::Receiver<Arc<str>>,
}

/// Signs checkpoints and keeps them. One writer.
#[derive(Debug)]
pub struct Checkpoints {
    path: PathBuf,
    file: File,
    key: Key,
    newest: watch::Sender<Arc<str>>,
    last: Option<Checkpoint>,
}

impl Checkpoints {
    /// Opens the file, or makes it. What a crash has left of a checkpoint is removed: nothing that
    /// rests on it was told to anybody.
    ///
    /// # Errors
    /// It cannot be used, or holds something else than what this key has signed in turn.
    pub fn open(path: &Path, key: Key) -> Result<Self, Error> {
        let fail = |source| Error::Io { path: path.to_owned(), source };
        let fresh = !path.exists();
        let mut options = OpenOptions::new();
        options.create(true).read(true).append(true).mode(0o600);
        let file = options.open(path).map_err(fail)?;
        if fresh {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = File::open(folder.unwrap_or(Path::new(".")));
            folder.and_then(|folder| folder.sync_all()).map_err(fail)?;
        }
        let mut text = read(path).map_err(fail)?;
        let found = match parse(&text, key.public(), Links::Whole) {
            Err(Broken { ends: true, at, number, .. }) => {
                tracing::warn!(number, path = %path.display(), "a checkpoint that was not written to its end is removed");
                text.truncate(at);
                file.set_len(u64::try_from(at).unwrap_or(u64::MAX)).map_err(fail)?;
                file.sync_all().map_err(fail)?;
                parse(&text, key.public(), Links::Whole)
            }
            parsed => parsed,
        };
        let found = found.map_err(|source| Error::Broken { path: path.to_owned(), source })?;
        let last = found.last().cloned();
        let newest = watch::Sender::new(Arc::from(newest_of(&text)));
        Ok(Self { path: path.to_owned(), file, key, newest, last })
    }

    /// The head that was signed last; of nothing before the first.
    #[must_use]
    pub fn head(&self) -> Head {
        self.last.as_ref().map(|last| last.head).unwrap_or_default()
    }

    /// Signs this head, unless it was signed last. It is durable when this returns.
    ///
    /// # Errors
    /// It cannot be written. What is in the file then shows when it is opened again.
    pub fn sign(&mut self, head: Head, at: &str) -> Result<(), Error> {
        if self.head() == head {
            return Ok(());
        }
        let newest = Arc::clone(&self.newest.borrow());
        let before = if newest.is_empty() { [0; 32] } else { digest(&newest) };
        let checkpoint = Checkpoint { head, at: at.to_owned(), before };
        let text = checkpoint.text(&self.key);
        let written = self.file.write_all(format!("{text}\n").as_bytes());
        let written = written.and_then(|()| self.file.sync_all());
        written.map_err(|source| Error::Io { path: self.path.clone(), source })?;
        tracing::info!(sequence = head.sequence, note = ?text, "a checkpoint is signed");
        metrics::gauge!("gander_admin_checkpoint_sequence").set(head.sequence as f64);
        self.newest.send_replace(text.into());
        self.last = Some(checkpoint);
        Ok(())
    }

    /// What others are shown.
    #[must_use]
    pub fn shown(&self) -> Signed {
        Signed {
            path: self.path.as_path().into(),
            public: self.key.public().clone(),
            newest: self.newest.subscribe(),
        }
    }
}

/// The last note of a text of whole ones, without the empty line that ends it.
fn newest_of(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or_default();
    // Each has one empty line within, and one behind it.
    let before = text.rmatch_indices("\n\n").map(|(at, _)| at).nth(1);
    before.map_or(text, |at| &text[at + 2..])
}

/// What is in a file of checkpoints.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &Path) -> io::Result<String> {
    // What is no text is no checkpoint either: a character that stands for it is in none.
    Ok(String::from_utf8_lossy(&std::fs::read(path)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    fn head(n: u8) -> Head {
        Head { sequence: n.into(), hash: [n; 32] }
    }

    #[test]
    fn they_go_on_where_they_were_also_after_a_crash_in_the_middle_of_one() {
        let folder = tempfile::tempdir().unwrap();
        let (path, key) = (folder.path().join("checkpoints"), folder.path().join("key"));
        let open = || Checkpoints::open(&path, Key::open_or_make(&key, &SystemRandom).unwrap());
        let mut text = String::new();
        for n in 1..4 {
            let mut checkpoints = open().unwrap();
            assert_eq!(checkpoints.head(), if n == 1 { Head::default() } else { head(n - 1) });
            checkpoints.sign(head(n), "2026-11-28T10:00:00Z").unwrap();
            checkpoints.sign(head(n), "later").unwrap();
            text = read(&path).unwrap();
            let newest = checkpoints.shown().newest.borrow().to_string();
            assert!(text.ends_with(&format!("{newest}\n")), "{text}");
            assert_eq!(open().unwrap().shown().newest.borrow().as_ref(), newest);
            std::fs::write(&path, format!("{text}gander-audit\0\0")).unwrap();
        }
        drop(open().unwrap());
        assert_eq!(read(&path).unwrap(), text, "what was left of one is gone");
        std::fs::write(&path, text.replacen("10:00", "11:00", 1)).unwrap();
        assert!(matches!(open(), Err(Error::Broken { .. })));
        std::fs::write(&path, [text.as_bytes(), &[0xff]].concat()).unwrap();
        drop(open().unwrap());
        assert_eq!(read(&path).unwrap(), text);
    }
}
