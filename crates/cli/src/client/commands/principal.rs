//! The command line of principals.
//!
//! Must not know how they are kept.

use std::path::PathBuf;

use clap::Subcommand;

use crate::client::when::When;

/// What to do with principals.
#[derive(Debug, Subcommand)]
pub enum PrincipalCommand {
    /// Makes a principal and shows its credential, once.
    #[command(after_help = "Examples:
  gander principal create ada --role global-admin \\
    --bootstrap-file gander-data/bootstrap-credential
  gander principal create kim --role team-manager:Payments --role observer:Search \\
    --secret-file kim.credential")]
    Create {
        /// Its name.
        name: String,
        /// Its role: global-admin, stakeholder, team-manager:TEAM, responder:TEAM or
        /// observer:TEAM. May be repeated.
        #[arg(long = "role", value_name = "ROLE[:TEAM]", required = true)]
        roles: Vec<String>,
        /// When its credential stops working for good: never, a span such as 30d, or an RFC 3339
        /// time.
        #[arg(long, value_name = "WHEN", default_value = "never")]
        expires: When,
        /// Write the credential to this file, mode 0600, instead of showing it.
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
        /// The first principal of an installation: use the bootstrap credential in this file, and
        /// keep the new credential where client commands look for it.
        #[arg(long, value_name = "FILE")]
        bootstrap_file: Option<PathBuf>,
    },
    /// Shows a principal.
    #[command(after_help = "Examples:
  gander principal get          (who you are, and what you may do)
  gander principal get kim")]
    Get {
        /// Its name or id.
        #[arg(default_value = "me")]
        principal: String,
    },
    /// Lists principals, without their credentials.
    #[command(after_help = "Examples:
  gander principal list
  gander principal list --output json")]
    List,
    /// Changes a principal's name, roles or expiry.
    #[command(after_help = "Examples:
  gander principal update kim --role observer:Search --role responder:Payments
  gander principal update kim --expires 90d")]
    Update {
        /// Its name or id.
        principal: String,
        /// Its new name.
        #[arg(long)]
        name: Option<String>,
        /// All its roles from here on; team roles with the team, as team-manager:TEAM. May be
        /// repeated.
        #[arg(long = "role", value_name = "ROLE[:TEAM]")]
        roles: Vec<String>,
        /// When its credential stops working for good: never, a span such as 30d, or an RFC 3339
        /// time.
        #[arg(long, value_name = "WHEN")]
        expires: Option<When>,
    },
    /// Replaces the credential: the old one is dead when this returns.
    #[command(after_help = "Example:
  gander principal replace-credential kim --secret-file kim.credential")]
    ReplaceCredential {
        /// Its name or id.
        principal: String,
        /// Write the credential to this file, mode 0600, instead of showing it.
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
    /// Deletes a principal: its credential is dead when this returns.
    #[command(after_help = "Example:
  gander principal delete kim")]
    Delete {
        /// Its name or id.
        principal: String,
    },
}
