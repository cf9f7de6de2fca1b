//! The command line of the API log.
//!
//! Must not know how entries come about.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::super::when::Ago;

/// What to do with the API log.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Lists entries, newest first.
    #[command(after_help = "Examples:
  gander log list --token prometheus --since 1h
  gander log list --service Payments/Checkout --outcome unmatched
  gander log list --team Payments --outcome refused --outcome failed --output json")]
    List {
        /// Which.
        #[command(flatten)]
        scope: LogScope,
        /// When.
        #[command(flatten)]
        span: LogSpan,
        /// At most so many.
        #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Shows one entry: what was asked and answered, and why, filter by filter.
    #[command(after_help = "Examples:
  gander log get 01a20e18-6be7-7ae1-9eba-24fad35824c3
  gander log get 01a20e18-6be7-7ae1-9eba-24fad35824c3 --body > alert.json
  gander log get 01a20e18-6be7-7ae1-9eba-24fad35824c3 --unmatched")]
    Get {
        /// Its id: that of the alert, as the answer to the sender told it.
        entry: String,
        /// Its token, by name or id: it is found faster.
        #[arg(long)]
        token: Option<String>,
        /// Only the body of the request, as the filters saw it: decoded where it was compressed.
        #[arg(long, conflicts_with = "unmatched")]
        body: bool,
        /// Only the services that it reached and of which it has no reasons, since nothing matched.
        #[arg(long)]
        unmatched: bool,
    },
    /// Tells what an alert would come to if it came now, and why. Nothing happens.
    #[command(after_help = "Example:
  gander log explain --token prometheus alert.json --from Alertmanager")]
    Explain {
        /// The payload; - for standard input.
        file: PathBuf,
        /// The token with which it would come, by name or id.
        #[arg(long)]
        token: String,
        /// The name of the source.
        #[arg(long)]
        from: Option<String>,
    },
    /// Evaluates recorded calls with the filters of now, without any effect, and shows in which services
    /// it would come to something else.
    #[command(after_help = "Examples:
  gander log replay 01a20e18-6be7-7ae1-9eba-24fad35824c3
  gander log list --token prometheus --since 1d --output json | jq -r '.[].name' | xargs gander log replay")]
    Replay {
        /// Their ids.
        #[arg(required = true)]
        entries: Vec<String>,
    },
    /// Shows entries as they come, until it is stopped.
    #[command(after_help = "Examples:
  gander log tail --token prometheus
  gander log tail --team Payments --output json | jq .entry.outcome")]
    Tail {
        /// Which.
        #[command(flatten)]
        scope: LogScope,
        /// Resume after this cursor of an earlier tail with --output json.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Writes entries as lines of JSON, oldest first. They have what was sent, so keep them safe.
    #[command(after_help = "Examples:
  gander log export --token prometheus --since 7d --file log.jsonl
  gander log export --outcome unmatched | jq -r .name")]
    Export {
        /// Which.
        #[command(flatten)]
        scope: LogScope,
        /// When.
        #[command(flatten)]
        span: LogSpan,
        /// Write to this file, mode 0600, instead of standard output.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// Which entries. All that is said must fit.
#[derive(Debug, Args)]
pub struct LogScope {
    /// Only calls with this token, by name or id.
    #[arg(long)]
    pub token: Option<String>,
    /// Only calls with tokens of this team, by name or id.
    #[arg(long)]
    pub team: Option<String>,
    /// Only calls that reached this service, as TEAM/SERVICE, or by its resource name.
    #[arg(long, value_name = "TEAM/SERVICE")]
    pub service: Option<String>,
    /// Only calls that came to this. May be repeated.
    #[arg(long = "outcome", value_enum)]
    pub outcomes: Vec<OutcomeArg>,
}

/// From when entries are.
#[derive(Debug, Args)]
pub struct LogSpan {
    /// Only calls since then: how long ago, such as 24h or 7d, or an RFC 3339 time.
    #[arg(long, value_name = "WHEN")]
    pub since: Option<Ago>,
    /// Only calls before then.
    #[arg(long, value_name = "WHEN")]
    pub until: Option<Ago>,
}

/// What a call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutcomeArg {
    /// An incident was created.
    Created,
    /// An incident was resolved.
    Resolved,
    /// Its incident was open, or resolved, already.
    Duplicate,
    /// Maintenance held it back.
    Suppressed,
    /// Its evaluation failed; the alert is parked.
    Failed,
    /// The answer was an error.
    Refused,
    /// It is not known yet.
    Pending,
    /// Nothing matched.
    Unmatched,
}
