//! `gander backup`: what is stored, into one file, and back.
//!
//! - `create`: from running or stopped streams, at one consistent moment. `check`: is a file whole,
//!   and does it fit together. `restore`: into an empty folder, or an empty NATS.
//!
//! Must not know what the roles do with what is stored.

mod check;
mod create;
mod restore;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::client::Output;
use crate::nats_door::LoginArgs;

/// What to do with backups.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Writes a backup: configuration, waiting alerts, incidents and their events.
    #[command(after_help = "Examples:
  gander backup create gander.backup --nats-nkey-file gander-data/nats/keys/operator.nk  while everything runs
  gander backup create gander.backup --data gander-data                       with `gander up` stopped")]
    Create(CreateArgs),
    /// Checks that a backup is whole and fits together, without a server.
    Verify {
        /// The backup.
        file: PathBuf,
    },
    /// Restores a backup into an empty folder, for `gander up`, or into an empty NATS.
    #[command(after_help = "Examples:
  gander backup restore gander.backup --data new --secrets revoke
  gander backup restore gander.backup --data new --secrets keep --nats-url nats://host:4222
  gander backup restore gander.backup --data new --secrets keep --nats-url-file nats-url")]
    Restore(RestoreArgs),
}

/// From where and to where.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// The file to write, mode 0600.
    pub file: PathBuf,
    /// Where nats-server runs. Default: the variable GANDER_NATS_URL, then nats://127.0.0.1:4222.
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    pub nats_url: Option<String>,
    /// A file with that URL, mode 0600; - for standard input. In a flag everybody on this machine
    /// can read a password.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["nats_url", "data"])]
    pub nats_url_file: Option<PathBuf>,
    /// As whom: an operator.
    #[command(flatten)]
    pub login: LoginArgs,
    /// The data folder of a stopped `gander up`, whose streams are to be read.
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// With --data: the nats-server program, 2.15 or newer.
    #[arg(long, env = "GANDER_NATS_SERVER", value_name = "PROGRAM")]
    pub nats_server: Option<PathBuf>,
}

/// From where and to where.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The backup.
    pub file: PathBuf,
    /// An empty folder, or one that is to be made.
    #[arg(long, value_name = "FOLDER")]
    pub data: PathBuf,
    /// What becomes of the secrets of tokens and principals. Some may have been deleted or replaced
    /// since the backup; a restore makes them good again unless they are revoked.
    #[arg(long, value_enum)]
    pub secrets: Secrets,
    /// A NATS of your own that has no streams of Gander. Default: nats-server of `gander up`.
    #[arg(long, value_name = "URL")]
    pub nats_url: Option<String>,
    /// A file with that URL, mode 0600; - for standard input. In a flag everybody on this machine
    /// can read a password.
    #[arg(long, value_name = "FILE", conflicts_with = "nats_url")]
    pub nats_url_file: Option<PathBuf>,
    /// As whom: an operator.
    #[command(flatten)]
    pub login: LoginArgs,
    /// The nats-server program, 2.15 or newer.
    #[arg(long, env = "GANDER_NATS_SERVER", value_name = "PROGRAM")]
    pub nats_server: Option<PathBuf>,
    /// How streams are made; the number of partitions is that of the backup.
    #[arg(long, env = "GANDER_REPLICAS", value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub replicas: u8,
    /// The most bytes of alerts that wait to be worked on.
    #[arg(long, env = "GANDER_ALERTS_MAX_BYTES", value_name = "BYTES", default_value_t = 10 * 1024 * 1024 * 1024)]
    pub alerts_max_bytes: i64,
}

/// What becomes of secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Secrets {
    /// Each is replaced by one that nobody knows: replace it again to get one.
    Revoke,
    /// They stay: only if none was deleted or replaced since the backup.
    Keep,
}

/// Carries it out.
pub fn run(command: &BackupCommand, output: Output) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            BackupCommand::Create(args) => create::run(args, output).await,
            BackupCommand::Verify { file } => check::check(file).map(|found| found.tell(output)),
            BackupCommand::Restore(args) => restore::run(args, output).await,
        }
    })
}
