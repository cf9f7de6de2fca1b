//! The first credential of an installation, and the way back in when all others are lost.
//!
//! Must not know principals: what it may do is decided where they are.

use std::path::{Path, PathBuf};

use domain::aggregate::Actor;
use domain::commit::{Change, Commit};
use domain::secret::{Kind, RANDOM_BYTES, Secret};
use runtime::clock::Clock;
use runtime::data_folder::{self, DataFolder};
use runtime::journal::{self, Journal};
use runtime::random::Random;
use runtime::secret_file;
use wire::stored::control::encode_commit;

/// Why no bootstrap credential is written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal cannot be written.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// There is no journal in this data folder.
    #[error("there is no journal in {0}: give --data with the folder of admin or gander up")]
    NoJournal(PathBuf),
    /// Another process works in the data folder.
    #[error(transparent)]
    Folder(#[from] data_folder::Error),
    /// The file cannot be written.
    #[error(transparent)]
    File(#[from] secret_file::Error),
}

/// Where the journal is in a data directory.
#[must_use]
pub fn journal_path(data: &Path) -> PathBuf {
    data.join("journal")
}

/// Where the key is that signs checkpoints, in a data directory.
#[must_use]
pub fn checkpoint_key_path(data: &Path) -> PathBuf {
    data.join("checkpoint-key")
}

/// Where checkpoints are in a data directory, unless another file is said.
#[must_use]
pub fn checkpoints_path(data: &Path) -> PathBuf {
    data.join("checkpoints")
}

/// Where the bootstrap credential is in a data directory.
#[must_use]
pub fn credential_path(data: &Path) -> PathBuf {
    data.join("bootstrap-credential")
}

/// A fresh secret.
pub fn secret(kind: Kind, random: &dyn Random) -> Secret {
    let mut bytes = [0; RANDOM_BYTES];
    random.fill(&mut bytes);
    Secret::from_random(kind, &bytes)
}

/// Writes a bootstrap credential to its file, and that it is good to the journal; gives where it
/// is. The file comes first: a credential that is good but unknown would help nobody.
///
/// # Errors
/// See [`Error`].
pub fn issue(
    journal: &mut dyn Journal,
    data: &Path,
    clock: &dyn Clock,
    random: &dyn Random,
) -> Result<(PathBuf, Commit), Error> {
    let secret = secret(Kind::Credential, random);
    let path = credential_path(data);
    secret_file::write(&path, secret.reveal())?;
    let head = journal.head();
    let commit = Commit {
        sequence: head.sequence + 1,
        previous_hash: head.hash,
        at: clock.now(),
        actor: Actor::System,
        request: None,
        changes: vec![Change::BootstrapIssued(secret.digest())],
    };
    journal.append(head.sequence, &[encode_commit(&commit)])?;
    Ok((path, commit))
}

/// `gander admin recover`: with the service stopped, asks for a new bootstrap credential, which
/// admin writes when it starts. It can make one Global Admin, as the first one could.
///
/// Only a wish: the journal may be behind GANDER_CONTROL, and a commit made on that would part
/// the two for good.
///
/// # Errors
/// There is no journal there, or the service runs.
pub fn recover(data: &Path) -> Result<PathBuf, Error> {
    check_journal(data)?;
    want_recovery(&DataFolder::take(data)?)
}

/// Makes sure that there is a journal in this data folder, all of it.
///
/// # Errors
/// There is none, or a restore of it has not ended.
pub fn check_journal(data: &Path) -> Result<(), Error> {
    data_folder::check_complete(data)?;
    if journal_path(data).is_dir() { Ok(()) } else { Err(Error::NoJournal(data.to_owned())) }
}

/// Asks for a new bootstrap credential in a folder that is taken; gives where it will be.
///
/// # Errors
/// The wish cannot be written.
pub fn want_recovery(data: &DataFolder) -> Result<PathBuf, Error> {
    secret_file::write(&recovery_path(&data.path), "a new bootstrap credential at the next start")?;
    Ok(credential_path(&data.path))
}

/// Whether [`recover`] was asked for since the last start.
#[must_use]
pub fn recovery_wanted(data: &Path) -> bool {
    recovery_path(data).exists()
}

/// The wish was granted.
///
/// # Errors
/// Its file cannot be removed.
pub fn recovery_done(data: &Path) -> Result<(), Error> {
    let path = recovery_path(data);
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(secret_file::Error::Io { path, source }.into())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn recovery_path(data: &Path) -> PathBuf {
    data.join("recovery-wanted")
}
