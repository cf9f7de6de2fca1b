//! Where nats-server is, for commands that are no role: as it is said, or in a file.
//!
//! Must not know what is done there.

use std::path::Path;

use crate::client::read_secret;

/// The URL that is said, or that is in the file that is said.
pub fn said(url: Option<&str>, file: Option<&Path>) -> anyhow::Result<Option<String>> {
    match file {
        Some(file) => Ok(Some(read_secret(file)?)),
        None => Ok(url.map(str::to_owned)),
    }
}
