//! nats-server without a worker: what one has stored is stored once more, by somebody who folds nothing.
//!
//! Must not know how it came about.

use anyhow::{Context, ensure};
use e2e::events::{Stored, follow};
use e2e::rig::{Plan, Rig};
use runtime::nats::Nats;
use runtime::nats::access::{Door, User};
use runtime::nats::batch::BATCH_ID;
use serde::Serialize;
use tokio::time::{Instant, timeout};
use tokio_stream::StreamExt;
use wire::stored::backup::Message;
use wire::subject;

use crate::flow::PATIENCE;
use crate::machine::processor_seconds;

/// How many batches are stored again.
const BATCHES: usize = 100;

/// What nats-server comes to with the same batches.
#[derive(Clone, Debug, Serialize)]
pub struct Again {
    /// Events a second.
    pub per_second: f64,
    /// Processor time of nats-server for each, microseconds.
    pub nats_us: f64,
}

/// The first batches of a worker, as it has stored them, but for checkpoints: of these only the last is kept.
pub async fn batches(url: &str) -> anyhow::Result<Vec<Vec<Message>>> {
    let mut found = follow(url, subject::INCIDENTS_STREAM, ">").await?;
    let (mut batches, mut last) = (Vec::<Vec<Message>>::new(), None);
    while let Some(message) = timeout(PATIENCE, found.next()).await.context("a worker's batches")? {
        let message = message?;
        if message.subject.starts_with(CHECKPOINTS) {
            continue;
        }
        let batch = message.headers.get(BATCH_ID).cloned();
        if batch != last {
            if batches.len() == BATCHES {
                return Ok(batches);
            }
            batches.push(Vec::new());
            last = batch;
        }
        batches.last_mut().context("a batch")?.push(as_sent(message));
    }
    anyhow::bail!("the stream has ended")
}

const CHECKPOINTS: &str = "gander.checkpoints.";
const EVENTS: &str = "gander.incidents.";

fn as_sent(message: Stored) -> Message {
    Message {
        stream: subject::INCIDENTS_STREAM.to_owned(),
        sequence: message.sequence,
        subject: message.subject,
        at_micros: 0,
        headers: message.headers.into_iter().collect(),
        payload: message.payload,
    }
}

/// Stores them in an empty stream, one after the other, with the rights of a worker.
pub async fn stored_again(batches: &[Vec<Message>]) -> anyhow::Result<Again> {
    let plan = Plan { gateways: 0, workers: 0, log: "warn".to_owned(), ..Plan::default() };
    let rig = Rig::planned(plan).await?;
    let key = Some((User::Worker, rig.keys.file(User::Worker)));
    let door = Door { url: rig.nats.url(), ca_file: None, key };
    let nats = Nats::connect(door, "bench").await?;
    let server = i32::try_from(rig.nats.pid().context("no nats-server")?)?;
    let (begun, before) = (Instant::now(), processor_seconds(server)?);
    for (n, batch) in batches.iter().enumerate() {
        nats.restore_batch(&format!("bench.{n}"), batch).await?;
    }
    let (took, spent) = (begun.elapsed().as_secs_f64(), processor_seconds(server)? - before);
    let messages = batches.iter().flatten();
    let events = messages.filter(|message| message.subject.starts_with(EVENTS)).count() as f64;
    ensure!(events > 0.0, "no events among the batches");
    Ok(Again { per_second: events / took, nats_us: spent * 1e6 / events })
}
