//! The command line of `gander bench`.
//!
//! Must not know how alerts are sent.

use std::path::PathBuf;

use clap::{Args, value_parser};

use super::super::bench::Mix;

/// What it says after its options.
pub const EXAMPLES: &str = "Examples:
  gander bench --token-file token --rate 500 --seconds 60
  gander bench --token-file global --token-file team --rate 2000 --connections 64 --http2
  gander bench --token-file token --payload alert.json --mix 1:0:0 --output json

Each generated payload is {\"status\": \"firing\" or \"resolved\", \"alertname\": \"bench-RUN-NUMBER\", ...}.
The filter that fits it, in a service of its own:
  gander filter add TEAM/SERVICE bench --when status=firing --title-from alertname \\
    --map-with alertname --resolve-when status=resolved --resolve-with alertname

In the files of --payload {{status}} stands for firing or resolved, {{episode}} for
bench-RUN-NUMBER. Ctrl-C ends the run and shows what was measured; twice waits for nothing.

Exit codes: 0 also where some alerts were refused, 1 if none was accepted";

/// What is sent, to whom, and how fast.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Where the gateway is.
    #[arg(
        long = "gateway",
        env = "GANDER_GATEWAY",
        value_name = "URL",
        default_value = "http://127.0.0.1:8080"
    )]
    pub gateway: String,
    /// The file with the secret of a token, mode 0600; may be repeated: tokens take turns.
    #[arg(long = "token-file", env = "GANDER_TOKEN_FILE", value_name = "FILE", required = true)]
    pub token_files: Vec<PathBuf>,
    /// So many alerts are due each second, whether those before were answered or not.
    #[arg(long, value_name = "ALERTS", default_value_t = 100, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,
    /// For so long, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = value_parser!(u32).range(1..=86_400))]
    pub seconds: u32,
    /// So many connections; what is due while all are busy waits for one.
    #[arg(long, value_name = "NUMBER", default_value_t = 16, value_parser = value_parser!(u32).range(1..=10_000))]
    pub connections: u32,
    /// HTTP/2, with http:// too. Otherwise HTTP/1.1.
    #[arg(long)]
    pub http2: bool,
    /// With --http2: so many requests at a time on each connection.
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = value_parser!(u32).range(1..=100))]
    pub streams: u32,
    /// How many alerts trigger a new incident, repeat one that is open, and resolve one. Where none
    /// is open yet that could be repeated or resolved, one is triggered.
    #[arg(long, value_name = "TRIGGER:REPEAT:RESOLVE", default_value = "1:8:1")]
    pub mix: Mix,
    /// So many percent of the alerts wait for their outcome; the others ask to be answered as soon
    /// as they are stored.
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = value_parser!(u8).range(0..=100))]
    pub outcome_percent: u8,
    /// How long each generated payload is, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 1_000, value_parser = value_parser!(u32).range(150..=4_194_304))]
    pub bytes: u32,
    /// A payload to send in place of the generated one; may be repeated: incidents take turns.
    #[arg(long = "payload", value_name = "FILE", conflicts_with = "bytes")]
    pub payloads: Vec<PathBuf>,
    /// Show no progress.
    #[arg(long)]
    pub quiet: bool,
}
