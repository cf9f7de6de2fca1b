//! The command line of API tokens.
//!
//! Must not know how they are kept.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Subcommand, ValueEnum};

use crate::client::when::When;

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Makes a token and shows its secret, once.
    #[command(
        group = ArgGroup::new("target").args(["global", "team", "service"]).required(true),
        after_help = "Examples:
  gander token create prometheus --global --secret-file prometheus.token
  gander token create uptime --service Payments/Checkout --expires 365d"
    )]
    Create {
        /// Its name.
        name: String,
        /// It reaches every service of every team.
        #[arg(long)]
        global: bool,
        /// It reaches the services of this team.
        #[arg(long)]
        team: Option<String>,
        /// It reaches this service.
        #[arg(long, value_name = "TEAM/SERVICE")]
        service: Option<String>,
        /// Whether it may be sent as the URL parameter `token`.
        #[arg(long, value_enum, value_name = "RULE", default_value = "allow")]
        url_parameter: Rule,
        /// How alerts beyond its limit are answered: 503 for senders that take 429 as final.
        #[arg(long, value_enum, value_name = "STATUS", default_value = "429")]
        over_limit: OverLimit,
        /// Keep every call with it in the API log from the start, for 48 hours.
        #[arg(
            long,
            value_enum,
            value_name = "SWITCH",
            num_args = 0..=1,
            default_value = "off",
            default_missing_value = "on"
        )]
        tracking: Switch,
        /// When it stops working for good: never, a span such as 30d, or an RFC 3339 time.
        #[arg(long, value_name = "WHEN", default_value = "never")]
        expires: When,
        /// Write the secret to this file, mode 0600, instead of showing it.
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
    /// Lists tokens, without their secrets.
    #[command(after_help = "Examples:
  gander token list
  gander token list --service Payments/Checkout
  gander token list --output json")]
    List {
        /// Only Team tokens of this team.
        #[arg(long, conflicts_with = "service")]
        team: Option<String>,
        /// Only Service tokens of this service.
        #[arg(long, value_name = "TEAM/SERVICE")]
        service: Option<String>,
    },
    /// Changes a token's name, its expiry, whether it may be sent as the URL parameter, how it is
    /// answered beyond its limit, or tracking.
    #[command(after_help = "Examples:
  gander token update prometheus --expires 365d
  gander token update prometheus --url-parameter forbid
  gander token update prometheus --tracking on")]
    Update {
        /// Its name or id.
        token: String,
        /// Its new name.
        #[arg(long)]
        name: Option<String>,
        /// When it stops working for good: never, a span such as 30d, or an RFC 3339 time.
        #[arg(long, value_name = "WHEN")]
        expires: Option<When>,
        /// Whether it may be sent as the URL parameter.
        #[arg(long, value_enum, value_name = "RULE")]
        url_parameter: Option<Rule>,
        /// How alerts beyond its limit are answered: 503 for senders that take 429 as final.
        #[arg(long, value_enum, value_name = "STATUS")]
        over_limit: Option<OverLimit>,
        /// Whether every call with it is kept in the API log; on begins 48 hours anew.
        #[arg(
            long,
            value_enum,
            value_name = "SWITCH",
            num_args = 0..=1,
            default_missing_value = "on"
        )]
        tracking: Option<Switch>,
    },
    /// Replaces the secret: the old one is dead when this returns.
    #[command(after_help = "Example:
  gander token replace-secret prometheus --secret-file prometheus.token")]
    ReplaceSecret {
        /// Its name or id.
        token: String,
        /// Write the secret to this file, mode 0600, instead of showing it.
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
    /// Deletes a token: it is dead when this returns.
    #[command(after_help = "Example:
  gander token delete prometheus")]
    Delete {
        /// Its name or id.
        token: String,
    },
}

impl TokenCommand {
    /// Where the secret that it makes is to be written.
    pub fn secret_file(&self) -> Option<&Path> {
        match self {
            Self::Create { secret_file, .. } | Self::ReplaceSecret { secret_file, .. } => {
                secret_file.as_deref()
            }
            Self::List { .. } | Self::Update { .. } | Self::Delete { .. } => None,
        }
    }
}

/// How alerts beyond the limit of a token are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OverLimit {
    /// Too many requests.
    #[value(name = "429")]
    TooMany,
    /// Unavailable: senders that give up on 429 send again.
    #[value(name = "503")]
    Unavailable,
}

/// Whether something is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// Whether something may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rule {
    /// It may.
    Allow,
    /// It may not.
    Forbid,
}
