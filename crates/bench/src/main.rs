//! `make bench`: what Gander costs, as ratios within one run.
//!
//! - `matching`: an alert against `catalog`s of many sizes. `flow`: the worker alone on a full stream; `again`:
//!   what nats-server stores of its batches without it.
//! - `throughput`: accepted alerts beside the `bare` server, asked by h2load (`load`). `steady`: how long
//!   answers and events take at a rate.
//! - `tokens`, `admin`, `changes`: a million tokens; durable commands; a filter that is changed.
//! - `count`: hot functions for a counter of instructions.
//! - `state`, `machine`: what is read of an installation, and of the machine. `report`: what is shown.
//!
//! A figure of one machine says little of another one; what is divided here was measured in turns of the
//! same run. Must not know what is enough: docs/PERFORMANCE.md says what is expected.

#![expect(clippy::disallowed_methods, reason = "it measures what the clock of the machine says")]

mod admin;
mod again;
mod bare;
mod catalog;
mod changes;
mod count;
mod flow;
mod load;
mod machine;
mod matching;
mod progress;
mod report;
mod state;
mod steady;
mod throughput;
mod tokens;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use e2e::tools;
use machine::Machine;
use progress::Progress;
use serde::Serialize;

/// The gateway's, so that the bare server is not told apart by its allocator. Not where instructions are
/// counted: the build without optimisation builds it so too.
#[cfg(not(debug_assertions))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures what Gander costs, and prints ratios.
#[derive(Debug, Parser)]
#[command(
    after_help = "Examples:\n  bench\n  bench --only matcher --seed 7\n  bench --json results.json"
)]
struct Args {
    /// What catalogs and payloads are made from.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Measure only these parts.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,

    /// Write the results to this file too, as JSON; parts that were not measured stay as they are.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    #[command(subcommand)]
    act: Option<Act>,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Runs the bare server, against which throughput is measured.
    #[command(hide = true)]
    Bare(bare::Bare),
    /// Runs a hot function, for `make instructions`.
    #[command(hide = true)]
    Count(count::Count),
}

/// A part of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// One alert against many filters.
    Matcher,
    /// Accepted alerts a second.
    Throughput,
    /// The worker alone.
    Worker,
    /// End to end at a rate.
    Steady,
    /// A million tokens.
    Tokens,
    /// Commands of administrators.
    Admin,
    /// A filter that is changed while alerts come.
    Changes,
}

/// What a run has come to; what was not measured is missing.
#[derive(Debug, Default, Serialize)]
struct Results {
    machine: Option<Machine>,
    seed: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    matcher: Vec<matching::Row>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    updates: Vec<matching::Update>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bare_runtime: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    throughput: Vec<throughput::Row>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    worker: Vec<flow::Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_to_end: Option<steady::EndToEnd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<tokens::Tokens>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    admin: Vec<admin::Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<changes::Changes>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    runtime::tls::install_provider();
    match &args.act {
        Some(Act::Bare(bare)) => return bare::run(bare),
        Some(Act::Count(count)) => return count::run(count),
        None => {}
    }
    machine::on_a_disk(&std::env::temp_dir())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let results = runtime.block_on(measure(&args))?;
    report::print(&results);
    Ok(())
}

/// Measures all parts that are wanted. Each is written once it is there.
async fn measure(args: &Args) -> anyhow::Result<Results> {
    let progress = Progress::new();
    let server = tools::tool("nats-server")?.display().to_string();
    let nats_server = machine::said(&server, &["--version"])?;
    let machine = Machine::here(&std::env::temp_dir(), nats_server)?;
    let mut results = Results { machine: Some(machine), seed: args.seed, ..Results::default() };
    let all = [
        Part::Matcher,
        Part::Throughput,
        Part::Worker,
        Part::Steady,
        Part::Tokens,
        Part::Admin,
        Part::Changes,
    ];
    for part in all.into_iter().filter(|part| args.only.is_empty() || args.only.contains(part)) {
        results.measure(part, &progress).await?;
        if let Some(file) = &args.json {
            report::write(file, &results)?;
        }
    }
    Ok(results)
}

impl Results {
    async fn measure(&mut self, part: Part, progress: &Progress) -> anyhow::Result<()> {
        match part {
            Part::Matcher => {
                self.matcher = matching::rows(self.seed, progress)?;
                self.updates = matching::updates(self.seed, progress)?;
            }
            Part::Throughput => {
                let (rows, bare) = throughput::rows(progress).await?;
                (self.throughput, self.bare_runtime) = (rows, Some(bare));
            }
            Part::Worker => self.worker = flow::rows(progress).await?,
            Part::Steady => self.end_to_end = Some(steady::measure(progress).await?),
            Part::Tokens => self.tokens = Some(tokens::measure(progress).await?),
            Part::Admin => self.admin = admin::rows(progress).await?,
            Part::Changes => self.changes = Some(changes::measure(progress).await?),
        }
        Ok(())
    }
}

/// The least and the greatest of what was measured.
fn range(of: &[f64]) -> [f64; 2] {
    [of.iter().copied().fold(f64::INFINITY, f64::min), of.iter().copied().fold(0.0, f64::max)]
}

/// The middle of what was measured; sorts it.
fn median(of: &mut [f64]) -> f64 {
    of.sort_unstable_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or_default()
}
