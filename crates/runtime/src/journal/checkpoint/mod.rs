//! Signed checkpoints: what a chain of hashes alone cannot show is that its end was cut off, or that
//! all was written anew with hashes that fit. A signature over its head can, where it is kept by
//! somebody else.
//!
//! `note` is the text of a checkpoint, `key` what signs it, `file` where they are kept. Must not
//! know what records say.

mod file;
mod key;
mod note;

pub use file::{Checkpoints, Signed, read};
pub use key::{Key, Public};
pub use note::{Broken, Checkpoint, Links, parse};

use std::path::PathBuf;

use crate::secret_file;

/// Why checkpoints cannot be signed or kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key cannot be read or written.
    #[error(transparent)]
    Secret(#[from] secret_file::Error),
    /// What is in the file of the key is none.
    #[error(
        "there is no key for checkpoints in {0}: move it away, and the checkpoint file with it"
    )]
    Key(PathBuf),
    /// The file cannot be read or written.
    #[error("the checkpoint file {path} cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What is in the file was not signed so, one after the other.
    #[error(
        "the checkpoint file {path} is not what was signed here: keep it, move it away, and see docs/audit.md"
    )]
    Broken {
        /// The file.
        path: PathBuf,
        /// Where.
        source: Broken,
    },
}
