//! Where nats-server is and as whom a process comes in, as flags say it.
//!
//! Must not know what is done there.

use std::path::{Path, PathBuf};

use clap::Args;
use runtime::nats::access::{Door, User};

use crate::client::read_secret;

/// How nats-server lets a process in.
#[derive(Clone, Debug, Default, Args)]
pub struct LoginArgs {
    /// The file with the key by which nats-server knows this process, mode 0600; `gander nats keys`
    /// makes one for each role, and one for operators.
    #[arg(long, env = "GANDER_NATS_NKEY_FILE", value_name = "FILE")]
    pub nats_nkey_file: Option<PathBuf>,
    /// Certificates, PEM, of the authorities whose signature on the certificate of nats-server
    /// counts; with them nothing is sent in the clear. Default: those of the system.
    #[arg(long, env = "GANDER_NATS_CA_FILE", value_name = "FILE")]
    pub nats_ca_file: Option<PathBuf>,
}

impl LoginArgs {
    /// The way in to the servers at this URL, for this user.
    pub fn door(&self, url: &str, user: User) -> Door {
        let key = self.nats_nkey_file.clone().map(|file| (user, file));
        Door { url: url.to_owned(), ca_file: self.nats_ca_file.clone(), key }
    }
}

/// The servers at the URL that is said, or that is in the file that is said.
pub fn said(url: Option<&str>, file: Option<&Path>) -> anyhow::Result<Option<String>> {
    match file {
        Some(file) => Ok(Some(read_secret(file)?)),
        None => Ok(url.map(str::to_owned)),
    }
}
