//! The command line.
//!
//! Must not know how commands are carried out.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Arg, Args, Command, CommandFactory, Parser, Subcommand, value_parser};
use domain::filter::Key;
use runtime::nats::streams::{API_LOG_DAYS, API_LOG_MAX_BYTES};
use runtime::telemetry::{self, LogFormat};
use runtime::traces::Ratio;

use crate::client::Connect;
use crate::client::commands::ClientCommand;
use crate::nats_door::LoginArgs;
use crate::settings::{self, Role};

/// The heading of options that only client commands use.
pub const CLIENT_HEADING: &str = "Client options";

const EXAMPLES: &str = "Examples:
  gander up                                       everything on this machine
  gander principal create ada --role global-admin --bootstrap-file FILE
  gander team create Payments                     a team
  gander service create Payments/Checkout         a service of it
  gander token create prometheus --global --secret-file token
  gander send --token-file token alert.json       an alert
  gander incident tail                            incidents as they happen

Exit codes: 0 done, 1 failed, 2 wrong usage or setting, 3 not found, 4 not allowed, 5 conflict,
6 unavailable";

/// Turns alerts that monitoring tools send as webhooks into incidents, each exactly once.
#[derive(Debug, Parser)]
#[command(name = "gander", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// How client commands reach the server.
    #[command(flatten)]
    pub connect: Connect,
    /// What to do.
    #[command(subcommand)]
    pub act: Act,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Act {
    /// Runs everything on this machine: nats-server, admin, a gateway and a worker.
    #[command(after_help = "Examples:
  gander up
  gander up --data /var/lib/gander --http-listen 127.0.0.1:9000 --log gateway=debug,info")]
    Up(Box<UpArgs>),
    /// Runs admin: gRPC, the only writer of configuration.
    Admin(Box<AdminArgs>),
    /// Runs a gateway: takes alerts over HTTP.
    Gateway(Box<GatewayArgs>),
    /// Runs a worker: turns alerts into incidents.
    Worker(Box<WorkerArgs>),
    /// Backups of what is stored: create, verify, restore.
    Backup {
        /// What to do.
        #[command(subcommand)]
        command: crate::backup::BackupCommand,
    },
    /// Keys and accounts for a nats-server of your own.
    Nats {
        /// What to do.
        #[command(subcommand)]
        command: crate::nats::NatsCommand,
    },
    /// Settings of the roles: check them, show them, explain them.
    Config {
        /// What to do.
        #[command(subcommand)]
        act: ConfigAct,
    },
    /// Writes the manual pages: all of them into a folder, or that of gander to standard output.
    #[command(after_help = "Examples:
  gander man | man -l -
  gander man --folder /usr/local/share/man/man1")]
    Man {
        /// The folder; it is made if it is missing.
        #[arg(long, value_name = "FOLDER")]
        folder: Option<PathBuf>,
    },
    /// Writes completions for a shell to standard output.
    #[command(after_help = "Example:\n  gander completions bash > /etc/bash_completion.d/gander")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Client commands.
    #[command(flatten)]
    Client(ClientCommand),
}

/// What to do with settings.
#[derive(Debug, Subcommand)]
pub enum ConfigAct {
    /// Finds everything that is wrong with the settings, without opening a port or writing a file.
    #[command(after_help = "Examples:
  gander config check --config /etc/gander/gander.toml
  gander config check gateway --config /etc/gander/gander.toml --http-listen 127.0.0.1:9000

Exit codes: 0 nothing is wrong, 1 something is")]
    Check(Asked),
    /// Shows every setting with its value and who said it; secrets are left out.
    #[command(after_help = "Examples:
  gander config print --config /etc/gander/gander.toml
  gander config print gateway --output json")]
    Print(Asked),
    /// Writes a configuration file with every setting explained to standard output.
    #[command(after_help = "Example:\n  gander config example > gander.toml")]
    Example,
}

/// The settings that are asked about.
#[derive(Debug, Args)]
pub struct Asked {
    /// The configuration file. Default: the variable GANDER_CONFIG, then none.
    #[arg(long = "config", id = "asked_config", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The role that they are for. Default: all of them.
    #[arg(value_enum, value_name = "ROLE")]
    pub role: Option<Role>,
    /// Flags of the role, as it would be started with.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS")]
    pub flags: Vec<OsString>,
}

/// The command line as a whole.
pub fn command() -> Command {
    let root = Cli::command();
    let client: Vec<_> = root.get_arguments().filter(|arg| is_of_clients(arg)).cloned().collect();
    root.mut_subcommands(|command| match Role::named(command.get_name()) {
        // Global options are let in everywhere, but are no help to who runs a role.
        Some(_) => runnable(command).args(client.iter().map(|arg| arg.clone().hide(true))),
        None => command,
    })
}

fn is_of_clients(arg: &Arg) -> bool {
    arg.get_help_heading() == Some(CLIENT_HEADING)
}

/// A command of a role, and those below it, with the flag that names the configuration file.
fn runnable(command: Command) -> Command {
    let config = Arg::new(settings::CONFIG)
        .long(settings::CONFIG)
        .env("GANDER_CONFIG")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("The configuration file, TOML; `gander config example` writes one. Default: none");
    command.arg(config).mut_subcommands(runnable)
}

/// Writes the completions of a shell.
pub fn completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "gander", &mut script);
    crate::out::say(String::from_utf8(script)?.trim_end());
    Ok(())
}

/// What every role has.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// What is logged: levels such as info, or gateway=debug,info.
    #[arg(
        long,
        env = "GANDER_LOG",
        value_name = "FILTER",
        default_value = "info,async_nats=warn",
        value_parser = telemetry::log_filter
    )]
    pub log: String,
    /// How logs are written.
    #[arg(long, env = "GANDER_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// The collector that traces are sent to, over OTLP by gRPC, such as http://127.0.0.1:4317. Not
    /// said: OTEL_EXPORTER_OTLP_ENDPOINT; without either there are no traces.
    #[arg(long, env = "GANDER_OTLP_ENDPOINT", hide_env_values = true, value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// How many of the requests are traced that bring no trace of their own, 0 to 1. What a sender
    /// that is let in samples is always traced, what it does not sample never.
    #[arg(long, env = "GANDER_TRACE_SAMPLE_RATIO", value_name = "RATIO", default_value = "0.1")]
    pub trace_sample_ratio: Ratio,
    /// Where metrics and probes are served: /metrics, /livez, /readyz. Default: 127.0.0.1 with
    /// port 7701 for up and admin, 7702 for a gateway, 7703 for a worker.
    #[arg(long, env = "GANDER_OPS_LISTEN", value_name = "ADDRESS")]
    pub ops_listen: Option<SocketAddr>,
    /// Listen on addresses that other machines reach although traffic is in the clear.
    #[arg(long, env = "GANDER_INSECURE_LISTEN")]
    pub insecure_listen: bool,
    /// How many seconds requests that are begun may take when the process stops.
    #[arg(long, env = "GANDER_DRAIN_SECONDS", value_name = "SECONDS", default_value_t = 10)]
    pub drain_seconds: u64,
}

/// How streams are made when they are missing; admin makes them.
#[derive(Clone, Debug, Args)]
pub struct StreamArgs {
    /// Into how many parts teams are divided, 1 to 64, each worked on by one worker at a time; fixed
    /// when the streams are made.
    #[arg(long, env = "GANDER_PARTITIONS", value_name = "NUMBER", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub partitions: u32,
    /// How many copies of each stream the NATS cluster keeps, 1 to 5; counts when a stream is made.
    #[arg(long, env = "GANDER_REPLICAS", value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub replicas: u8,
    /// The most bytes of alerts that wait to be worked on; then alerts are answered 503. Counts when
    /// the stream is made.
    #[arg(long, env = "GANDER_ALERTS_MAX_BYTES", value_name = "BYTES", default_value_t = 10 * 1024 * 1024 * 1024)]
    pub alerts_max_bytes: i64,
    /// For how many days entries of the API log are kept. Counts when the stream is made.
    #[arg(long, env = "GANDER_API_LOG_DAYS", value_name = "DAYS", default_value_t = API_LOG_DAYS, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    pub api_log_days: u32,
    /// The most bytes of the API log; the oldest entries make room for new ones. Counts when the stream
    /// is made.
    #[arg(long, env = "GANDER_API_LOG_MAX_BYTES", value_name = "BYTES", default_value_t = API_LOG_MAX_BYTES)]
    pub api_log_max_bytes: i64,
}

/// What the API log must not show.
#[derive(Clone, Debug, Args)]
pub struct RedactArgs {
    /// Values of JSON payloads that the API log has as REDACTED: paths as in filters, such as
    /// user.password or items[*].pin; may be repeated, or with commas. With one, a payload that is no
    /// JSON is left out of the log. The same for gateways and workers.
    #[arg(long, env = "GANDER_API_LOG_REDACT", value_name = "PATH", value_delimiter = ',', value_parser = path_in_json)]
    pub api_log_redact: Vec<Key>,
}

fn path_in_json(text: &str) -> Result<Key, String> {
    Key::parse(text).map_err(|error| error.to_string())
}

/// Where NATS is.
#[derive(Clone, Debug, Args)]
pub struct NatsArgs {
    /// Where nats-server is; servers of a cluster with commas between them; with a user and a
    /// password where they want them.
    #[arg(
        long,
        env = "GANDER_NATS_URL",
        hide_env_values = true,
        value_name = "URL",
        default_value = "nats://127.0.0.1:4222"
    )]
    pub nats_url: String,
    /// As whom.
    #[command(flatten)]
    pub login: LoginArgs,
    /// The monitoring endpoint of nats-server, to read how durable an acknowledgement is; without
    /// it the level is told as unknown.
    #[arg(long, env = "GANDER_NATS_MONITOR_URL", value_name = "URL")]
    pub nats_monitor_url: Option<String>,
    /// How streams are made.
    #[command(flatten)]
    pub streams: StreamArgs,
}

/// Everything on this machine.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// Where everything is stored.
    #[arg(long, env = "GANDER_DATA", value_name = "FOLDER", default_value = "gander-data")]
    pub data: PathBuf,
    /// The nats-server program, 2.15 or newer. Default: target/tools/nats-server of the build that this
    /// program is from, then PATH.
    #[arg(long, env = "GANDER_NATS_SERVER", value_name = "PROGRAM")]
    pub nats_server: Option<PathBuf>,
    /// The port of nats-server on 127.0.0.1; 0 picks a free one.
    #[arg(long, env = "GANDER_NATS_PORT", value_name = "PORT", default_value_t = 4222)]
    pub nats_port: u16,
    /// Streams.
    #[command(flatten)]
    pub streams: StreamArgs,
    /// Admin.
    #[command(flatten)]
    pub admin: admin::Config,
    /// The gateway.
    #[command(flatten)]
    pub gateway: gateway::Config,
    /// The worker.
    #[command(flatten)]
    pub worker: worker::Config,
    /// What the API log must not show.
    #[command(flatten)]
    pub redact: RedactArgs,
    /// Common settings.
    #[command(flatten)]
    pub common: Common,
}

/// Admin alone.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct AdminArgs {
    /// Something else than running.
    #[command(subcommand)]
    pub act: Option<AdminAct>,
    /// Where the journal is stored.
    #[arg(long, env = "GANDER_DATA", value_name = "FOLDER", default_value = "gander-data")]
    pub data: PathBuf,
    /// NATS.
    #[command(flatten)]
    pub nats: NatsArgs,
    /// Admin.
    #[command(flatten)]
    pub admin: admin::Config,
    /// Common settings.
    #[command(flatten)]
    pub common: Common,
}

/// What admin does other than run.
#[derive(Debug, Subcommand)]
pub enum AdminAct {
    /// With admin stopped: makes the next start write a new bootstrap credential, which makes one
    /// Global Admin.
    Recover {
        /// Where the journal is stored.
        #[arg(long, env = "GANDER_DATA", value_name = "FOLDER", default_value = "gander-data")]
        data: PathBuf,
    },
}

/// A gateway alone.
#[derive(Debug, Args)]
pub struct GatewayArgs {
    /// NATS.
    #[command(flatten)]
    pub nats: NatsArgs,
    /// The gateway.
    #[command(flatten)]
    pub gateway: gateway::Config,
    /// What the API log must not show.
    #[command(flatten)]
    pub redact: RedactArgs,
    /// Common settings.
    #[command(flatten)]
    pub common: Common,
}

/// A worker alone.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// NATS.
    #[command(flatten)]
    pub nats: NatsArgs,
    /// The worker.
    #[command(flatten)]
    pub worker: worker::Config,
    /// What the API log must not show.
    #[command(flatten)]
    pub redact: RedactArgs,
    /// Common settings.
    #[command(flatten)]
    pub common: Common,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }
}
