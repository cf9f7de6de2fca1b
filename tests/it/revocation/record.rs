//! What trials have come to: `tests/revocation/record.json`, and its part of `docs/RELIABILITY.md`.
//!
//! Must not know how a token dies.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, ensure};
use domain::lease::RUN_OUT;
use e2e::barrage::Counts;
use serde::{Deserialize, Serialize};

use crate::chaos::record::{self as campaign, root};

/// From the root of the repository.
pub const RECORD: &str = "tests/revocation/record.json";

/// What the last run has come to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The last commit that changed anything but records and page; `-dirty` where it is not all.
    pub commit: String,
    pub nats_server: String,
    pub kernel: String,
    /// Calls that put tokens out.
    pub trials: usize,
    /// From call to return, with no gateway paused.
    pub took: Spread,
    pub gateways: Vec<Gateway>,
    pub paused: Paused,
}

/// Times in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    pub least_ms: u64,
    pub p50_ms: u64,
    pub p99_ms: u64,
    pub most_ms: u64,
}

/// What a gateway was asked and answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gateway {
    pub requests: u64,
    /// A second.
    pub rate: f64,
    pub slowest_second: u64,
    /// By status, answers to requests whose first byte was sent after the call had returned.
    pub begun_after: BTreeMap<u16, u64>,
}

/// With a gateway that stood still.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    pub trials: usize,
    /// Requests that it found when it went on, sent after the call had returned.
    pub requests: usize,
    pub accepted: usize,
    /// From call to return.
    pub took: Spread,
    /// From its last renewal to the return.
    pub after: Spread,
}

impl Spread {
    pub fn of(took: &[Duration]) -> Self {
        let mut millis: Vec<u64> =
            took.iter().map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)).collect();
        millis.sort_unstable();
        let part = |part: usize| millis[(millis.len() - 1) * part / 100];
        Self { least_ms: part(0), p50_ms: part(50), p99_ms: part(99), most_ms: part(100) }
    }
}

impl Gateway {
    pub fn of(counts: &Counts, lasted: Duration) -> Self {
        Self {
            requests: counts.all(),
            rate: counts.all() as f64 / lasted.as_secs_f64(),
            slowest_second: counts.slowest_second(),
            begun_after: counts.after.lock().expect("no client panics").clone(),
        }
    }
}

impl Record {
    /// An empty one of what runs here.
    pub fn here() -> anyhow::Result<Self> {
        let campaign::Record { commit, nats_server, kernel, .. } = campaign::Record::here()?;
        Ok(Self { commit, nats_server, kernel, ..Self::default() })
    }

    fn begun_after(&self, statuses: std::ops::Range<u16>) -> u64 {
        let of = |gateway: &Gateway| -> u64 {
            gateway.begun_after.range(statuses.clone()).map(|(_, count)| count).sum()
        };
        self.gateways.iter().map(of).sum()
    }

    fn accepted(&self) -> u64 {
        self.begun_after(200..300) + self.paused.accepted as u64
    }

    fn tried(&self) -> u64 {
        self.begun_after(0..1_000) + self.paused.requests as u64
    }

    /// # Errors
    /// A token was let in after it was put out, or something else was answered than a refusal.
    pub fn holds(&self) -> anyhow::Result<()> {
        let accepted = self.accepted();
        ensure!(accepted == 0, "{accepted} requests were let in with a token that was put out");
        for gateway in &self.gateways {
            let refused = |status: &u16| [401, 503].contains(status);
            let after = &gateway.begun_after;
            ensure!(after.keys().all(refused), "{after:?}");
            // To refuse everything for a while keeps the promise, and serves nobody.
            let known = after.get(&401).copied().unwrap_or(0);
            ensure!(known * 10 >= after.values().sum::<u64>() * 9, "not current: {after:?}");
        }
        Ok(())
    }

    /// As lists in Markdown, and for people.
    pub fn lines(&self) -> String {
        let Self { trials, took, paused, .. } = self;
        let (tried, accepted) = (self.tried(), self.accepted());
        let mut lines = vec![
            format!(
                "- {trials} calls put out a token; {tried} requests with it began after the return: accepted = {accepted}"
            ),
            format!("- from call to return: {}", took.words()),
        ];
        for (n, gateway) in self.gateways.iter().enumerate() {
            lines.push(format!(
                "- gateway {n}: {} requests, {:.0} a second, {} in its slowest second",
                gateway.requests, gateway.rate, gateway.slowest_second
            ));
        }
        if paused.trials > 0 {
            lines.push(format!(
                "- with one gateway paused, {} calls: from call to return {}; from its last renewal to the return {}, where a lease runs out after {} ms",
                paused.trials,
                paused.took.words(),
                paused.after.words(),
                RUN_OUT.as_millis(),
            ));
        }
        lines.join("\n")
    }

    pub fn write(&self) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        Ok(fs::write(root().join(RECORD), text)?)
    }

    /// The part of the page.
    pub fn section() -> anyhow::Result<String> {
        let text = fs::read_to_string(root().join(RECORD)).context(RECORD)?;
        let record: Self = serde_json::from_str(&text)?;
        if record.trials == 0 {
            return Ok(String::new());
        }
        let Self { commit, nats_server, kernel, .. } = &record;
        let run = format!("Commit `{commit}`, nats-server {nats_server}, Linux {kernel}:");
        Ok(format!("{run}\n\n{}\n", record.lines()))
    }
}

impl Spread {
    fn words(&self) -> String {
        let Self { least_ms, p50_ms, p99_ms, most_ms } = self;
        format!("p50 {p50_ms} ms, p99 {p99_ms} ms, {least_ms} to {most_ms} ms")
    }
}
