//! `make bench`: what Gander costs, as ratios within one run.
//!
//! Layout: `catalog` makes filters and payloads from a seed; `matching` holds them against each other.
//! A figure of one machine says little of another one; what is divided here was measured in turns of the
//! same run. Must not know what is enough: docs/PERFORMANCE.md says what is expected.

#![expect(clippy::disallowed_methods, reason = "it measures what the clock of the machine says")]

mod catalog;
mod matching;
mod progress;

use clap::Parser;
use progress::Progress;
use serde::Serialize;

/// Measures what Gander costs, and prints ratios.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  bench\n  bench --seed 7 --json")]
struct Args {
    /// What catalogs and payloads are made from.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Print JSON in place of tables.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Results {
    seed: u64,
    matcher: Vec<matching::Row>,
    updates: Vec<matching::Update>,
}

#[expect(clippy::print_stdout, reason = "the result of a run")]
fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let progress = Progress::new();
    let results = Results {
        seed: args.seed,
        matcher: matching::rows(args.seed, &progress)?,
        updates: matching::updates(args.seed, &progress)?,
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&results)?);
        return Ok(());
    }
    for row in &results.matcher {
        println!(
            "{:<12} {:>7} filters {:>6} B: parse {:>8.2} us, index {:>9.2} us, loop {:>11.1} us = {:>7.0} x; built in {:>7.1} ms, {:>6.1} MB",
            row.catalog,
            row.filters,
            row.payload_bytes,
            row.parse_us,
            row.index_us,
            row.loop_us,
            row.loop_us / row.index_us,
            row.build_ms,
            row.memory_bytes as f64 / 1e6,
        );
    }
    for row in &results.updates {
        println!(
            "{:>7} filters: a change is in force after {:.1} us, a new index after a gap of {:.1} us",
            row.filters, row.in_force_us, row.gap_us
        );
    }
    Ok(())
}
