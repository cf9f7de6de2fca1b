//! The audit log: is the chain whole, and what was changed when.
//!
//! - `chain`: which record differs, pure. `compare`: the journal against GANDER_CONTROL.
//! - `file`: an exported file. `history`: which commits touched what.
//!
//! Must not know gRPC or rights.

mod chain;
mod compare;
mod file;
mod history;

pub use chain::{Difference, Expected, Place, Verdict, check_records, noted};
pub use compare::compare;
pub use file::check_lines;
pub use history::History;

use runtime::{journal, nats};

/// Why nothing can be said about a chain.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// GANDER_CONTROL cannot be read.
    #[error(transparent)]
    Nats(#[from] nats::Error),
    /// The file cannot be read.
    #[error("the file cannot be read")]
    File(#[from] std::io::Error),
    /// A newer version wrote what is to be checked.
    #[error("record {sequence} cannot be checked: upgrade this program")]
    Newer {
        /// Its number.
        sequence: u64,
        /// Why.
        source: wire::stored::Error,
    },
}
