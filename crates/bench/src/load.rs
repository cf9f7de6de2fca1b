//! Requests from h2load: as many at a time as there are connections, each again as soon as it is
//! answered.
//!
//! Must not know who answers.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::tools;

use crate::machine::{Cores, children_seconds};

/// What is sent, and where to.
#[derive(Clone, Debug)]
pub struct Requests<'a> {
    /// The address, with scheme and path.
    pub url: String,
    /// Headers.
    pub headers: Vec<String>,
    /// A file with the body.
    pub body: &'a Path,
    /// How many connections.
    pub connections: usize,
    /// For how long; a second more before it is not counted.
    pub lasts: Duration,
}

/// What it came to.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Answers of 2xx a second, while it counted.
    pub per_second: f64,
    /// Processor time of h2load, seconds, from its start to its end. No other process that this one has
    /// started may end meanwhile.
    pub processor_seconds: f64,
    /// The share of the time of all cores in which they had nothing to do.
    pub idle: f64,
}

impl Requests<'_> {
    /// Sends them.
    pub async fn send(&self, folder: &Path) -> anyhow::Result<Sent> {
        let mut command = tools::sender(folder, "h2load")?;
        command.args(["--h1", "-t", "1", "--warm-up-time", "1"]);
        command.args(["-c", &self.connections.to_string()]);
        command.args(["-D", &self.lasts.as_secs().to_string()]);
        command.arg("-d").arg(self.body);
        for header in &self.headers {
            command.args(["-H", header]);
        }
        let (cores, spent) = (Cores::now()?, children_seconds()?);
        let told = tools::output(command.arg(&self.url)).await?;
        let per_second =
            per_second(&told, self.lasts).with_context(|| format!("h2load said: {told}"))?;
        Ok(Sent {
            per_second,
            processor_seconds: children_seconds()? - spent,
            idle: Cores::now()?.idle_since(cores),
        })
    }
}

/// Reads what h2load says. Answers other than 2xx are no result.
fn per_second(told: &str, lasts: Duration) -> anyhow::Result<f64> {
    let line = told.lines().find_map(|line| line.strip_prefix("status codes: "));
    let counts: Vec<f64> = line
        .context("no status codes")?
        .split(", ")
        .filter_map(|part| part.split_whitespace().next()?.parse().ok())
        .collect();
    let [good, others @ ..] = &counts[..] else { anyhow::bail!("no counts") };
    ensure!(*good > 0.0 && others.iter().all(|count| *count == 0.0), "not all are 2xx");
    Ok(good / lasts.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_other_than_2xx_are_no_result() {
        let second = Duration::from_secs(1);
        let said = |counts: &str| format!("finished in 2.00s\nstatus codes: {counts}\ntraffic");
        assert_eq!(per_second(&said("7 2xx, 0 3xx, 0 4xx, 0 5xx"), second).unwrap(), 7.0);
        for counts in ["7 2xx, 0 3xx, 1 4xx, 0 5xx", "0 2xx, 0 3xx, 0 4xx, 0 5xx", ""] {
            assert!(per_second(&said(counts), second).is_err(), "{counts}");
        }
        assert!(per_second("", second).is_err());
    }
}
