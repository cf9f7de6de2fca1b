//! The command line of incidents and of parked records.
//!
//! Must not know how incidents come about.

use clap::{Args, Subcommand, ValueEnum};

use super::super::when::Ago;
use super::UrgencyArg;

/// What to do with incidents.
#[derive(Debug, Subcommand)]
pub enum IncidentCommand {
    /// Lists incidents: the open ones, or with --status resolved those of the last 24 hours.
    #[command(after_help = "Examples:
  gander incident list --team Payments
  gander incident list --status unacknowledged --urgency high
  gander incident list --status resolved --service Payments/Checkout --since 7d --until 1d")]
    List {
        /// Of which teams and services.
        #[command(flatten)]
        within: Within,
        /// Which ones. Acknowledged ones are open, too.
        #[arg(long, value_enum, default_value = "open")]
        status: ListedStatus,
        /// Only those of this urgency.
        #[arg(long, value_enum)]
        urgency: Option<UrgencyArg>,
        /// With --status resolved: those resolved since then: how long ago, such as 7d, or an RFC
        /// 3339 time. 24h where it is not given; they are kept for 90 days.
        #[arg(long, value_name = "WHEN")]
        since: Option<Ago>,
        /// With --status resolved: those resolved before then.
        #[arg(long, value_name = "WHEN")]
        until: Option<Ago>,
    },
    /// Shows one incident, open or resolved.
    #[command(after_help = "Example:
  gander incident get 01a20e18-6be7-8a53-acee-f662c7e66bd5")]
    Get {
        /// Its id or resource name.
        incident: String,
    },
    /// Says that somebody looks after an open incident. It stays open.
    #[command(
        alias = "ack",
        after_help = "Example:
  gander incident acknowledge 01a20e18-6be7-8a53-acee-f662c7e66bd5"
    )]
    Acknowledge {
        /// Its id or resource name.
        incident: String,
    },
    /// Shows incident events as they happen, until it is stopped.
    #[command(after_help = "Examples:
  gander incident tail --team Payments
  gander incident tail --output json | jq .event.incident.title")]
    Tail {
        /// Of which teams and services.
        #[command(flatten)]
        within: Within,
        /// Resume after this cursor of an earlier tail with --output json.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Resolves an open incident.
    #[command(after_help = "Example:
  gander incident resolve 01a20e18-6be7-8a53-acee-f662c7e66bd5")]
    Resolve {
        /// Its id or resource name.
        incident: String,
    },
}

/// Of which teams and services incidents are shown; all that may be read where nothing is said.
#[derive(Debug, Args)]
pub struct Within {
    /// Only those of this team.
    #[arg(long)]
    pub team: Option<String>,
    /// Only those of this service.
    #[arg(long, value_name = "TEAM/SERVICE", conflicts_with = "team")]
    pub service: Option<String>,
}

/// Which incidents are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListedStatus {
    /// Open, acknowledged or not.
    Open,
    /// Open, and nobody has acknowledged it.
    Unacknowledged,
    /// Open, and somebody has acknowledged it.
    Acknowledged,
    /// Resolved.
    Resolved,
}

/// What to do with parked records.
#[derive(Debug, Subcommand)]
pub enum ParkedCommand {
    /// Lists parked records, the oldest first.
    List,
    /// Shows one parked record with its payloads.
    #[command(after_help = "Examples:
  gander parked get 41
  gander parked get 41 --payload > alert.json")]
    Get {
        /// Its number.
        record: String,
        /// Only the payload of its only alert, as it was sent.
        #[arg(long)]
        payload: bool,
    },
    /// Evaluates parked records with the filters of now, as if they came now, and removes them. An old
    /// alert that resolves closes what is open now: look at it first.
    #[command(after_help = "Examples:
  gander parked evaluate 41
  gander parked evaluate --all     (after an upgrade, say: those that this version can read)")]
    Evaluate {
        /// Their numbers.
        #[arg(required_unless_present = "all")]
        records: Vec<String>,
        /// All that this version of Gander can read.
        #[arg(long, conflicts_with = "records")]
        all: bool,
    },
    /// Deletes parked records for good: nothing comes of their alerts.
    #[command(after_help = "Example:
  gander parked delete 41")]
    Delete {
        /// Their numbers.
        #[arg(required = true)]
        records: Vec<String>,
    },
}
