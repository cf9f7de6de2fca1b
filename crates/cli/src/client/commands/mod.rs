//! The command line of client commands.
//!
//! - `incident`: incidents and parked records. `audit`: the audit log. `log`: the API log.
//!
//! Must not know how they are carried out.

mod audit;
mod incident;
mod log;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::when::{Point, When, span};
pub use audit::{AuditCommand, AuditFilter, VerifyArgs};
pub use incident::{IncidentCommand, ListedStatus, ParkedCommand, Within};
pub use log::{LogCommand, LogScope, LogSpan, OutcomeArg};

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

/// What to do with filters.
#[derive(Debug, Subcommand)]
pub enum FilterCommand {
    /// Adds a filter at the end of a service's list.
    #[command(after_help = "Example, for Prometheus Alertmanager:
  gander filter add Payments/Checkout alertmanager --when status=firing \\
    --title-from commonLabels.alertname --map-with groupKey \\
    --resolve-when status=resolved --resolve-with groupKey")]
    Add(FilterArgs),
    /// Lists the filters of a service, in the order in which they are tried.
    #[command(after_help = "Example:
  gander filter list Payments/Checkout")]
    List {
        /// The service, by names or ids.
        #[arg(value_name = "TEAM/SERVICE")]
        service: String,
    },
    /// Removes a filter.
    #[command(after_help = "Example:
  gander filter remove Payments/Checkout alertmanager")]
    Remove {
        /// The service, by names or ids.
        #[arg(value_name = "TEAM/SERVICE")]
        service: String,
        /// The name or id of the filter.
        filter: String,
    },
    /// Tries filters on a payload and tells why they come to what they come to, without any effect.
    #[command(after_help = "Examples:
  gander filter test Payments/Checkout --payload alert.json
  gander filter test --filters proposed.json --payload alert.json --expect triggers
  gander filter test --file filters.test.toml

A file of tests, for a repository of your own:
  service = \"Payments/Checkout\"
  [[case]]
  payload = \"firing.json\"            beside this file; or text = '...'
  from = \"Alertmanager\"
  expect = \"triggers\"                triggers, resolves, suppressed or nothing
  filter = \"alertmanager\"            these are optional: filter, mapped_value, title

Exit codes: 0 as expected, without --expect something matches; 1 not")]
    Test(FilterTestArgs),
}

/// Which filters are tried on what.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("tried").args(["payload", "file"]).required(true))]
pub struct FilterTestArgs {
    /// The service whose filters and maintenance windows are tried, by names or ids.
    #[arg(value_name = "TEAM/SERVICE")]
    pub service: Option<String>,
    /// The payload; - for standard input.
    #[arg(long, value_name = "FILE")]
    pub payload: Option<PathBuf>,
    /// The name of the source.
    #[arg(long, requires = "payload", conflicts_with = "file")]
    pub from: Option<String>,
    /// Try these filters instead of those of the service: JSON as `gander filter list --output json`
    /// shows it.
    #[arg(long, value_name = "FILE")]
    pub filters: Option<PathBuf>,
    /// What is to come of it.
    #[arg(long, value_enum, requires = "payload", conflicts_with = "file")]
    pub expect: Option<Expected>,
    /// A file of tests.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// What is to come of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expected {
    /// A filter triggers: an incident, unless one of the same episode is open.
    Triggers,
    /// A filter resolves the incident of an episode.
    Resolves,
    /// A filter would trigger, but maintenance holds it back.
    Suppressed,
    /// No filter matches.
    Nothing,
}

impl Expected {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Triggers => "triggers",
            Self::Resolves => "resolves",
            Self::Suppressed => "suppressed",
            Self::Nothing => "nothing",
        }
    }
}

/// A new filter.
#[derive(Debug, Args)]
pub struct FilterArgs {
    /// The service, by names or ids.
    #[arg(value_name = "TEAM/SERVICE")]
    pub service: String,
    /// The name of the filter.
    pub name: String,
    /// The urgency of its incidents.
    #[arg(long, value_enum, default_value = "high")]
    pub urgency: UrgencyArg,
    /// What opens an incident: KEY=TEXT, or =TEXT for the whole payload. Several with one key
    /// must all occur there; at most two keys.
    #[arg(long = "when", value_name = "KEY=TEXT", required = true)]
    pub when: Vec<String>,
    /// The key of the title.
    #[arg(long, value_name = "KEY")]
    pub title_from: Option<String>,
    /// The key of the description.
    #[arg(long, value_name = "KEY")]
    pub description_from: Option<String>,
    /// The key whose value identifies the episode.
    #[arg(long, value_name = "KEY")]
    pub map_with: Option<String>,
    /// What resolves an incident: KEY=TEXT, one key. Several texts must all occur there.
    #[arg(long = "resolve-when", value_name = "KEY=TEXT", requires = "resolve_with")]
    pub resolve_when: Vec<String>,
    /// The key whose value names the episode to resolve (field `mapped_with`).
    #[arg(long, value_name = "KEY", requires = "resolve_when")]
    pub resolve_with: Option<String>,
}

/// How urgent.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum UrgencyArg {
    /// Somebody is to be woken.
    High,
    /// It can wait.
    Low,
}

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
