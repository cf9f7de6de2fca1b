//! What campaigns have come to: the sums by commit in `tests/chaos/ledger.json`, and their table.
//!
//! Must not know how a fault strikes.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use e2e::ledger::{Ledger, Promise};
use e2e::load::Watched;
use runtime::nats_server;
use serde::{Deserialize, Serialize};

use super::faults::{Place, TABLE};
use super::turn::STUCK;

/// From the root of the repository.
pub const LEDGER: &str = "tests/chaos/ledger.json";
/// Written from the ledger.
pub const PAGE: &str = "docs/RELIABILITY.md";

/// What runs in a campaign; the rest may change while its runs add up.
const RUNS: [&str; 10] = [
    "Cargo.toml",
    "Cargo.lock",
    "proto",
    "crates",
    ":!crates/bench",
    "deploy",
    "tests/src",
    "tests/it/chaos",
    ":!tests/it/chaos/record.rs",
    ":!tests/it/chaos/page.rs",
];

/// What campaigns of one commit have come to on one kind of machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The last commit that changed any of what runs; `-dirty` where it is not all.
    pub commit: String,
    pub nats_server: String,
    pub kernel: String,
    /// Of each run.
    pub seeds: Vec<u64>,
    /// Of all turns, also where several went on at a time.
    pub seconds: u64,
    pub turns: u64,
    pub alerts_acked: u64,
    pub commands_acked: u64,
    /// Requests with tokens that were deleted before.
    pub revoked_tried: u64,
    pub faults: BTreeMap<String, Sum>,
    /// How often each promise was broken.
    pub broken: BTreeMap<String, u64>,
    pub silent: Silent,
    /// Writes, lengths and names that were not durable when power was lost.
    #[serde(default)]
    pub unsynced: u64,
}

/// What a fault has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    pub times: u64,
    /// In turns with this fault.
    pub violations: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_tested: Option<String>,
}

/// What was answered while the broker was silent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silent {
    pub answers: BTreeMap<String, u64>,
    pub over_a_second: u64,
    pub longest_ms: u64,
}

impl Silent {
    pub fn add(&mut self, seen: &Watched) {
        for (answer, times) in &seen.answers {
            *self.answers.entry(answer.clone()).or_default() += *times as u64;
        }
        self.over_a_second += seen.over_a_second as u64;
        let longest = u64::try_from(seen.longest.as_millis()).unwrap_or(u64::MAX);
        self.longest_ms = self.longest_ms.max(longest);
    }

    pub fn merge(&mut self, other: &Self) {
        for (answer, times) in &other.answers {
            *self.answers.entry(answer.clone()).or_default() += times;
        }
        self.over_a_second += other.over_a_second;
        self.longest_ms = self.longest_ms.max(other.longest_ms);
    }
}

impl Record {
    /// An empty one of what runs here.
    pub fn here() -> anyhow::Result<Self> {
        let others = RUNS.map(str::to_owned);
        let git = |args: &[&str]| said("git", args, &others);
        let commit = git(&["log", "-1", "--format=%H", "--"])?;
        let dirty = !git(&["status", "--porcelain", "--"])?.is_empty();
        let server = root().join(nats_server::TOOLS_PATH);
        let version = said(&server.display().to_string(), &["--version"], &[])?;
        Ok(Self {
            commit: if dirty { format!("{commit}-dirty") } else { commit },
            nats_server: version.trim_start_matches("nats-server: ").to_owned(),
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            ..Self::default()
        })
    }

    /// Whether there were 300 kills of each process and 100 of each other fault that can be tested.
    pub fn is_whole(&self) -> bool {
        let enough = |(fault, sum): (&String, &Sum)| {
            let kill =
                ["kill-gateway", "kill-worker", "kill-admin", "kill-nats"].contains(&&**fault);
            sum.not_tested.is_some() || sum.times >= if kill { 300 } else { 100 }
        };
        !self.faults.is_empty() && self.faults.iter().all(enough)
    }

    pub fn not_tested(&mut self, fault: &str, why: &str) {
        self.faults.entry(fault.to_owned()).or_default().not_tested = Some(why.to_owned());
    }

    pub fn told(&mut self, ledger: &Ledger) {
        self.alerts_acked += ledger.told.acked.len() as u64;
        self.commands_acked += ledger.told.commands as u64;
        self.revoked_tried += ledger.told.revoked as u64;
    }

    /// What a turn has come to.
    pub fn turn(&mut self, struck: &[&str], wrong: &[(String, String)]) {
        self.turns += 1;
        for fault in struck {
            self.faults.entry((*fault).to_owned()).or_default().times += 1;
        }
        let kinds: std::collections::BTreeSet<_> = struck.iter().collect();
        for fault in kinds {
            let sum = self.faults.entry((*fault).to_owned()).or_default();
            sum.violations += wrong.len() as u64;
        }
        for (promise, _) in wrong {
            *self.broken.entry(promise.clone()).or_default() += 1;
        }
    }

    /// How many times this fault was tried, for one of a weight of 1.
    pub fn share(&self, place: Place) -> u64 {
        let of = TABLE.iter().filter(|row| row.place == place);
        let tried = |name: &str| self.faults.get(name).map_or(0, |sum| sum.times);
        of.map(|row| tried(row.name) / row.weight as u64).min().unwrap_or(0)
    }

    pub fn violations(&self) -> u64 {
        self.broken.values().sum()
    }

    fn is_of(&self, other: &Self) -> bool {
        let key = |record: &Self| {
            (record.commit.clone(), record.nats_server.clone(), record.kernel.clone())
        };
        key(self) == key(other)
    }

    /// Adds what another has come to.
    pub fn add(&mut self, other: &Self) {
        self.seeds.extend(&other.seeds);
        self.seeds.sort_unstable();
        self.seeds.dedup();
        self.seconds += other.seconds;
        self.turns += other.turns;
        self.alerts_acked += other.alerts_acked;
        self.commands_acked += other.commands_acked;
        self.revoked_tried += other.revoked_tried;
        for (fault, more) in &other.faults {
            let sum = self.faults.entry(fault.clone()).or_default();
            sum.times += more.times;
            sum.violations += more.violations;
            sum.not_tested.clone_from(&more.not_tested);
        }
        for (promise, times) in &other.broken {
            *self.broken.entry(promise.clone()).or_default() += times;
        }
        self.silent.merge(&other.silent);
        self.unsynced += other.unsynced;
    }

    /// The sums as tables in Markdown.
    pub fn tables(&self) -> String {
        let mut lines =
            vec!["| fault | times | violations |".to_owned(), "|---|---|---|".to_owned()];
        for row in TABLE {
            let sum = self.faults.get(row.name).cloned().unwrap_or_default();
            lines.push(match (sum.times, sum.not_tested) {
                (0, Some(why)) => format!("| {} | not tested: {why} | |", row.name),
                (times, _) => format!("| {} | {times} | {} |", row.name, sum.violations),
            });
        }
        lines.extend([String::new(), "| promise broken | times |".to_owned()]);
        lines.push("|---|---|".to_owned());
        let promises = Promise::ALL.map(|promise| promise.to_string());
        for promise in promises.into_iter().chain([STUCK.to_owned()]) {
            let times = self.broken.get(&promise).unwrap_or(&0);
            lines.push(format!("| {promise} | {times} |"));
        }
        lines.join("\n")
    }

    /// What was answered while the broker was silent, and what was on its way to a disk without power,
    /// in sentences.
    pub fn silence(&self) -> String {
        let all: u64 = self.silent.answers.values().sum();
        let kinds = self.silent.answers.iter().map(|(kind, times)| format!("{times} `{kind}`"));
        format!(
            "While the broker was silent: {all} answers ({}), {} after more than 1 s, the last after {} ms. When \
             power was lost, {} changes were not durable.",
            kinds.collect::<Vec<_>>().join(", "),
            self.silent.over_a_second,
            self.silent.longest_ms,
            self.unsynced,
        )
    }
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn said(program: &str, args: &[&str], more: &[String]) -> anyhow::Result<String> {
    let output = Command::new(program).current_dir(root()).args(args).args(more).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// What the ledger has, in the order of the last run of each.
pub fn read() -> anyhow::Result<Vec<Record>> {
    let text = std::fs::read_to_string(root().join(LEDGER)).context(LEDGER)?;
    Ok(serde_json::from_str(&text)?)
}

/// Adds a run to the ledger, also where another process does the same.
pub fn add(run: &Record) -> anyhow::Result<()> {
    let ledger = File::open(root().join(LEDGER))?;
    ledger.lock()?;
    let mut all = read()?;
    let mut sum = run.clone();
    if let Some(at) = all.iter().position(|record| record.is_of(run)) {
        sum = all.remove(at);
        sum.add(run);
    }
    all.push(sum);
    std::fs::write(root().join(LEDGER), serde_json::to_string_pretty(&all)? + "\n")?;
    Ok(())
}
