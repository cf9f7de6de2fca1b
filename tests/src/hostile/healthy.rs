//! A client that does nothing wrong, and how it is served meanwhile.
//!
//! Must not know who attacks.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::ensure;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::admin::payload;
use crate::alerts::Sender;

const PACE: Duration = Duration::from_millis(20);

/// A client at work: an alert every 20 ms, over connections that it keeps.
#[derive(Debug)]
pub struct Healthy {
    stop: CancellationToken,
    task: JoinHandle<Served>,
}

/// How it was served.
#[derive(Clone, Debug, Default)]
pub struct Served {
    /// How long each answer took, the shortest first.
    pub took: Vec<Duration>,
    /// What went wrong.
    pub failed: Vec<String>,
}

impl Healthy {
    /// Starts one.
    #[must_use]
    pub fn start(gateway: SocketAddr, token: String) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(work(gateway, token, stop.clone()));
        Self { stop, task }
    }

    /// Ends it.
    ///
    /// # Errors
    /// It panicked.
    pub async fn end(self) -> anyhow::Result<Served> {
        self.stop.cancel();
        Ok(self.task.await?)
    }
}

async fn work(gateway: SocketAddr, token: String, stop: CancellationToken) -> Served {
    let sender = Sender::default();
    let mut served = Served::default();
    let mut tick = interval(PACE);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in 0.. {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => break,
        }
        let started = Instant::now();
        match sender.send(gateway, &token, payload("firing", &format!("healthy-{}", n % 50))).await
        {
            Ok(answer) if answer.status.is_success() => served.took.push(started.elapsed()),
            Ok(answer) => served.failed.push(format!("{} {}", answer.status, answer.code())),
            Err(error) => served.failed.push(format!("{error:#}")),
        }
    }
    served.took.sort_unstable();
    served
}

impl Served {
    /// The time that so many of a thousand answers took at most.
    #[must_use]
    pub fn permille(&self, part: usize) -> Duration {
        let last = self.took.len().saturating_sub(1);
        self.took
            .get(self.took.len() * part / 1_000)
            .or(self.took.get(last))
            .copied()
            .unwrap_or_default()
    }

    /// In words.
    #[must_use]
    pub fn told(&self) -> String {
        let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
        format!(
            "healthy client: {} answers, {} failed, p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
            self.took.len(),
            self.failed.len(),
            ms(self.permille(500)),
            ms(self.permille(990)),
            ms(self.permille(1_000)),
        )
    }

    /// That it was served all the time. One answer in 200 may ask it to come again: on a machine with
    /// other work the broker is late now and then, whoever attacks.
    ///
    /// # Errors
    /// It was not.
    pub fn check(&self) -> anyhow::Result<()> {
        let again = self.failed.iter().all(|failed| failed.starts_with("503"));
        let few = self.failed.len() <= 1 + self.took.len() / 200;
        ensure!(again && few, "a healthy client was refused: {:?}", self.failed);
        ensure!(!self.took.is_empty(), "a healthy client was not served at all");
        Ok(())
    }
}
