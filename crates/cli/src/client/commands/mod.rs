//! The command line of client commands.
//!
//! - `filter`, `token`, `principal`: what is configured, beside teams, services and maintenance windows.
//! - `incident`: incidents and parked records. `audit`: the audit log. `log`: the API log.
//! - `bench`: load.
//!
//! Must not know how they are carried out.

mod audit;
mod bench;
mod filter;
mod incident;
mod log;
mod principal;
mod token;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::when::{Point, span};
pub use audit::{AuditCommand, AuditFilter, VerifyArgs};
pub use bench::BenchArgs;
pub use filter::{Expected, FilterArgs, FilterCommand, FilterTestArgs, UrgencyArg};
pub use incident::{IncidentCommand, ListedStatus, ParkedCommand, Within};
pub use log::{LogCommand, LogScope, LogSpan, OutcomeArg};
pub use principal::PrincipalCommand;
pub use token::{OverLimit, Rule, Switch, TokenCommand};

/// Client commands.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Teams: the owners of services.
    Team {
        /// What to do.
        #[command(subcommand)]
        command: TeamCommand,
    },
    /// Services: what gets incidents.
    Service {
        /// What to do.
        #[command(subcommand)]
        command: ServiceCommand,
    },
    /// Maintenance windows: while one covers an alert, it opens no incident in the service.
    Maintenance {
        /// What to do.
        #[command(subcommand)]
        command: MaintenanceCommand,
    },
    /// API filters: which alerts open and resolve incidents of a service.
    Filter {
        /// What to do.
        #[command(subcommand)]
        command: FilterCommand,
    },
    /// API tokens: what monitoring tools send with their alerts.
    Token {
        /// What to do.
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Principals: who administers Gander.
    Principal {
        /// What to do.
        #[command(subcommand)]
        command: PrincipalCommand,
    },
    /// Incidents: list, read, acknowledge, resolve, follow.
    Incident {
        /// What to do.
        #[command(subcommand)]
        command: IncidentCommand,
    },
    /// Parked records: alerts that could not be evaluated; list, read, evaluate again, delete.
    Parked {
        /// What to do.
        #[command(subcommand)]
        command: ParkedCommand,
    },
    /// The audit log: who changed what and when, and whether it is complete.
    Audit {
        /// What to do.
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// The API log: calls with tracked tokens, what was answered, and why.
    Log {
        /// What to do.
        #[command(subcommand)]
        command: LogCommand,
    },
    /// Shows how the installation is: what is alive, how far it is, and what is wrong.
    #[command(after_help = "Examples:
  gander status
  gander status --check || echo trouble

Exit codes: with --check also 1 if something does not work")]
    Status {
        /// End with 1 if something does not work; what is only worth a look ends with 0.
        #[arg(long)]
        check: bool,
    },
    /// Sends an alert, as a monitoring tool does.
    #[command(after_help = "Examples:
  gander send --token-file token --from Alertmanager alert.json
  echo '{\"status\": \"firing\"}' | gander send --token-file token -")]
    Send(SendArgs),
    /// Sends alerts at a constant rate and measures how long their answers and events take.
    #[command(after_help = bench::EXAMPLES)]
    Bench(Box<BenchArgs>),
}

/// What to do with teams.
#[derive(Debug, Subcommand)]
pub enum TeamCommand {
    /// Makes a team.
    #[command(after_help = "Example:
  gander team create Payments")]
    Create {
        /// Its name.
        name: String,
    },
    /// Lists teams.
    List,
    /// Gives a team another name.
    #[command(after_help = "Example:
  gander team rename Payments 'Payments and Billing'")]
    Rename {
        /// Its name or id.
        team: String,
        /// The new name.
        name: String,
    },
    /// Deletes a team with its services and tokens, for good; its open incidents are resolved.
    #[command(after_help = "Example:
  gander team delete Payments")]
    Delete {
        /// Its name or id.
        team: String,
    },
}

/// What to do with services.
#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// Makes a service.
    #[command(after_help = "Example:\n  gander service create Payments/Checkout")]
    Create {
        /// The team and the name of the service, as TEAM/NAME.
        service: String,
    },
    /// Lists services.
    #[command(after_help = "Example:
  gander service list --team Payments")]
    List {
        /// Only those of this team.
        #[arg(long)]
        team: Option<String>,
    },
    /// Gives a service another name.
    #[command(after_help = "Example:
  gander service rename Payments/Checkout Basket")]
    Rename {
        /// The service, by names or ids.
        #[arg(value_name = "TEAM/SERVICE")]
        service: String,
        /// The new name.
        name: String,
    },
    /// Disables a service: nothing is created, nothing is resolved.
    #[command(after_help = "Example:
  gander service disable Payments/Checkout")]
    Disable {
        /// The service, by names or ids.
        #[arg(value_name = "TEAM/SERVICE")]
        service: String,
    },
    /// Enables a service again.
    #[command(after_help = "Example:
  gander service enable Payments/Checkout")]
    Enable {
        /// The service, by names or ids.
        #[arg(value_name = "TEAM/SERVICE")]
        service: String,
    },
    /// Deletes a service with its tokens, for good; its open incidents are resolved.
    #[command(after_help = "Example:
  gander service delete Payments/Checkout")]
    Delete {
        /// The service, by names or ids.
        #[arg(value_name = "TEAM/SERVICE")]
        service: String,
    },
}

/// What to do with maintenance windows.
#[derive(Debug, Subcommand)]
pub enum MaintenanceCommand {
    /// Makes a maintenance window: from its start to its end, alerts open and repeat no incident
    /// in the service; what they resolve is resolved all the same.
    #[command(after_help = "Examples:
  gander maintenance create Payments/Checkout --for 2h
  gander maintenance create Payments/Checkout --start 2027-01-31T22:00:00Z --for 4h
  gander maintenance create Payments/Checkout --end 2027-02-01T06:00:00Z \\
    --tag db1,replica --tag backup

The last one is for the alerts that have both db1 and replica, or backup, anywhere in their payload.")]
    Create(MaintenanceArgs),
    /// Lists maintenance windows.
    #[command(after_help = "Examples:
  gander maintenance list --state active
  gander maintenance list --service Payments/Checkout --output json")]
    List {
        /// Only those of this team.
        #[arg(long, conflicts_with = "service")]
        team: Option<String>,
        /// Only those of this service, by names or ids.
        #[arg(long, value_name = "TEAM/SERVICE")]
        service: Option<String>,
        /// Only those in this state.
        #[arg(long, value_enum)]
        state: Option<StateArg>,
    },
    /// Shows a maintenance window.
    #[command(after_help = "Example:
  gander maintenance get 01a20e18-6be7-7ae1-9eba-24fad35824c3")]
    Get {
        /// Its id or resource name.
        window: String,
    },
    /// Ends a maintenance window at once; one that has not begun is cancelled.
    #[command(after_help = "Example:
  gander maintenance end 01a20e18-6be7-7ae1-9eba-24fad35824c3")]
    End {
        /// Its id or resource name.
        window: String,
    },
}

/// A new maintenance window.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("until").args(["end", "lasts"]).required(true))]
pub struct MaintenanceArgs {
    /// The service, by names or ids.
    #[arg(value_name = "TEAM/SERVICE")]
    pub service: String,
    /// When it begins: now, a span from now such as 30m, or an RFC 3339 time.
    #[arg(long, value_name = "WHEN", default_value = "now")]
    pub start: Point,
    /// When it ends: a span from now such as 2h, or an RFC 3339 time.
    #[arg(long, value_name = "WHEN")]
    pub end: Option<Point>,
    /// How long it lasts, from its start: a span such as 2h, at most 366d.
    #[arg(long = "for", id = "lasts", value_name = "SPAN", value_parser = span)]
    pub lasts: Option<Duration>,
    /// Only for alerts that have this text anywhere in their payload; texts that must all be there
    /// are joined by commas (\, is a comma in a text). May be repeated: one that fits is enough.
    #[arg(long = "tag", value_name = "TEXT[,TEXT]...")]
    pub tags: Vec<String>,
}

/// Where a maintenance window is in its life.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum StateArg {
    /// It has not begun.
    Upcoming,
    /// It has begun and not ended.
    Active,
    /// It has ended, was ended, or was cancelled.
    Ended,
}

/// An alert to send.
#[derive(Debug, Args)]
pub struct SendArgs {
    /// The payload; - for standard input.
    pub file: PathBuf,
    /// Where the gateway is.
    #[arg(
        long = "gateway",
        env = "GANDER_GATEWAY",
        value_name = "URL",
        default_value = "http://127.0.0.1:8080"
    )]
    pub gateway: String,
    /// The file with the secret of the token, mode 0600; - for standard input.
    #[arg(long, env = "GANDER_TOKEN_FILE", value_name = "FILE")]
    pub token_file: PathBuf,
    /// The name of the source.
    #[arg(long)]
    pub from: Option<String>,
}
