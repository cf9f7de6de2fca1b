//! What an acknowledgement of nats-server survives, read where it can be read.
//!
//! A level that is not known is told as such: it is never assumed. Must not know who relies on it.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

const DEADLINE: Duration = Duration::from_secs(3);
const MAX_ANSWER: usize = 1024 * 1024;

/// What a stored message survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Loss of power: it is fsynced before it is acknowledged.
    PowerSafe,
    /// A crash of every process, not loss of power.
    ProcessSafe,
    /// It cannot be read.
    Unknown,
}

impl Level {
    const ALL: [Self; 3] = [Self::PowerSafe, Self::ProcessSafe, Self::Unknown];

    /// Its name in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PowerSafe => "power-safe",
            Self::ProcessSafe => "process-safe",
            Self::Unknown => "unknown",
        }
    }

    /// Tells it: as a metric always, as a warning unless it is power-safe.
    pub fn tell(self) {
        for level in Self::ALL {
            metrics::gauge!("gander_durability_level", "level" => level.name())
                .set(if level == self { 1.0 } else { 0.0 });
        }
        match self {
            Self::PowerSafe => tracing::info!(level = self.name(), "durability"),
            Self::ProcessSafe => tracing::warn!(
                level = self.name(),
                "nats-server acknowledges before it fsyncs: set `sync_interval: always`"
            ),
            Self::Unknown => tracing::warn!(
                level = self.name(),
                "it is not known whether nats-server fsyncs before it acknowledges: say --nats-monitor-url"
            ),
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    config: Config,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    sync_always: bool,
}

/// Reads the level from the monitoring endpoint of nats-server, such as `http://127.0.0.1:8222`.
pub async fn read(monitor_url: Option<&str>) -> Level {
    let Some(url) = monitor_url else {
        return Level::Unknown;
    };
    match tokio::time::timeout(DEADLINE, ask(url)).await {
        Ok(Some(Answer { config: Config { sync_always: true } })) => Level::PowerSafe,
        Ok(Some(_)) => Level::ProcessSafe,
        Ok(None) | Err(_) => Level::Unknown,
    }
}

async fn ask(url: &str) -> Option<Answer> {
    let uri = format!("{}/jsz?config=true", url.trim_end_matches('/')).parse().ok()?;
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let answer = client.get(uri).await.ok()?;
    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await.ok()?;
    serde_json::from_slice(&body.to_bytes()).ok()
}
