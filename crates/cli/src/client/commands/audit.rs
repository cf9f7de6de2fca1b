//! The command line of the audit log.
//!
//! Must not know how it is checked.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use runtime::journal::checkpoint::Public;

use super::super::audit_verify::Noted;
use super::super::when::Ago;
use crate::nats_door::LoginArgs;

/// What to do with the audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Lists records, newest first.
    #[command(after_help = "Examples:
  gander audit list --team Payments --include-children --since 7d
  gander audit list --actor kim --kind token
  gander audit list --token prometheus --output json")]
    List {
        /// Which.
        #[command(flatten)]
        filter: AuditFilter,
        /// At most so many.
        #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Shows one record.
    Get {
        /// Its number.
        number: u64,
    },
    /// Writes records as lines of JSON, oldest first, with the bytes that their hashes are made of.
    #[command(after_help = "Examples:
  gander audit export --file audit.jsonl
  gander audit verify --file audit.jsonl")]
    Export {
        /// The number of the first record.
        #[arg(long, value_name = "NUMBER", default_value_t = 1)]
        start_sequence: u64,
        /// Write to this file, mode 0600, instead of standard output.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Checks that no record was changed, removed, moved or added, and names the first one that was.
    #[command(after_help = "Examples:
  gander audit verify                                by the running server
  gander audit verify --data gander-data             with everything stopped
  gander audit verify --file audit.jsonl             an export
  gander audit verify --expect 41:9f2c...            against a head that was noted
  gander audit verify --checkpoints kept --key gander-audit-1f2e+...

Exit codes: 0 whole, 1 differs")]
    Verify(VerifyArgs),
    /// Shows the newest signed checkpoint: append it to a file on another machine.
    #[command(after_help = "Examples:
  gander audit checkpoint >> kept
  gander audit checkpoint --public-key")]
    Checkpoint {
        /// Show what signatures are checked with instead: note it once, elsewhere.
        #[arg(long)]
        public_key: bool,
    },
}

/// Which records.
#[derive(Debug, Args)]
pub struct AuditFilter {
    /// Only changes of this team, by name or id.
    #[arg(long, group = "thing")]
    pub team: Option<String>,
    /// Only changes of this service, as TEAM/SERVICE, or by its resource name.
    #[arg(long, group = "thing")]
    pub service: Option<String>,
    /// Only changes of this token, by name or id.
    #[arg(long, group = "thing")]
    pub token: Option<String>,
    /// Only changes of this principal, by name or id.
    #[arg(long, group = "thing")]
    pub principal: Option<String>,
    /// Also of what is under the team or service: services and tokens.
    #[arg(long, requires = "thing")]
    pub include_children: bool,
    /// Only changes asked for by this principal, by name or id, or by bootstrap or system.
    #[arg(long)]
    pub actor: Option<String>,
    /// Only changes since this time: a span such as 7d, or an RFC 3339 time.
    #[arg(long, value_name = "TIME")]
    pub since: Option<Ago>,
    /// Only changes before this time.
    #[arg(long, value_name = "TIME")]
    pub until: Option<Ago>,
    /// Only changes of this kind, such as token.created, or token for all of tokens. May be
    /// repeated.
    #[arg(long = "kind", value_name = "KIND")]
    pub kinds: Vec<String>,
}

/// What is verified, and against what.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The data folder of a stopped admin or `gander up`; not said: the running server checks.
    #[arg(long, value_name = "FOLDER", conflicts_with = "file")]
    pub data: Option<PathBuf>,
    /// With --data: where nats-server is, if the streams are not in that folder.
    #[arg(long, hide_env_values = true, value_name = "URL", requires = "data")]
    pub nats_url: Option<String>,
    /// With --data: a file with that URL, mode 0600; - for standard input. In a flag everybody on
    /// this machine can read a password.
    #[arg(long, value_name = "FILE", requires = "data", conflicts_with = "nats_url")]
    pub nats_url_file: Option<PathBuf>,
    /// As whom: an operator.
    #[command(flatten)]
    pub login: LoginArgs,
    /// With --data: the nats-server program, 2.15 or newer.
    #[arg(long, env = "GANDER_NATS_SERVER", value_name = "PROGRAM")]
    pub nats_server: Option<PathBuf>,
    /// An exported file.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// A head that was noted before: that record must be there, and the same.
    #[arg(long, value_name = "SEQUENCE:HASH")]
    pub expect: Option<Noted>,
    /// Signed checkpoints that were kept elsewhere: each must be in the chain. Not said: those that
    /// admin keeps.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub checkpoints: Option<PathBuf>,
    /// What the checkpoints were signed with, as `gander audit checkpoint --public-key` prints it.
    #[arg(long, value_name = "NAME+HASH+KEY", requires = "checkpoints")]
    pub key: Option<Public>,
}
