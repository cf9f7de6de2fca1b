//! Reads every alert that comes into GANDER_ALERTS, before it is purged.
//!
//! Must not know who sent it.

use std::sync::{Arc, Mutex};

use domain::id::AlertId;
use runtime::nats::{Nats, Reader, Start};
use wire::stored::alert::{Content, decode_batch, record_from};

use crate::ledger::Alert;

/// A reader at work.
#[derive(Debug)]
pub struct Recorder {
    seen: Arc<Mutex<(u64, Vec<Alert>)>>,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Recorder {
    /// Starts with the first message.
    ///
    /// # Errors
    /// The broker cannot be reached.
    pub async fn start(url: &str) -> anyhow::Result<Self> {
        let nats = Nats::connect(url, "recorder").await?;
        let seen = Arc::new(Mutex::new((0, Vec::new())));
        let task = tokio::spawn(record(nats, Arc::clone(&seen)));
        Ok(Self { seen, task })
    }

    /// The last sequence read.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.seen.lock().expect("the recorder does not panic").0
    }

    /// What was read, in order.
    ///
    /// # Errors
    /// A message was missing or could not be read.
    pub async fn stop(self) -> anyhow::Result<Vec<Alert>> {
        if self.task.is_finished() {
            self.task.await??;
        }
        Ok(std::mem::take(&mut self.seen.lock().expect("the recorder does not panic").1))
    }
}

async fn record(nats: Nats, seen: Arc<Mutex<(u64, Vec<Alert>)>>) -> anyhow::Result<()> {
    let mut reader = Reader::new(&nats, "GANDER_ALERTS", "gander.alerts", Start::Sequence(1));
    loop {
        let message = reader.next().await;
        let batch = decode_batch(&message.payload)?;
        let mut alerts = Vec::new();
        for record in batch.records {
            if let Content::Alert(alert) = record_from(record)?.content {
                let body: serde_json::Value = serde_json::from_slice(&alert.payload)?;
                let said = |member: &str| body[member].as_str().unwrap_or_default().to_owned();
                let id = AlertId::to_string(&alert.id);
                alerts.push(Alert { id, episode: said("key"), status: said("status") });
            }
        }
        let mut seen = seen.lock().expect("the recorder does not panic");
        anyhow::ensure!(message.sequence == seen.0 + 1, "a gap after message {}", seen.0);
        seen.0 = message.sequence;
        seen.1.extend(alerts);
    }
}
