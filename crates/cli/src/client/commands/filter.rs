//! The command line of API filters.
//!
//! Must not know how they are kept or tried.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

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
