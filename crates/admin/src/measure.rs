//! What admin sees of the others, as metrics: who lives, and how full the streams are.
//!
//! Here because there is one admin: each number is told once. Must not know what is stored.

use std::time::Duration;

use runtime::nats::members::Members;
use runtime::nats::streams::Usage;
use runtime::nats::{Error, Nats};
use tokio::time::{MissedTickBehavior, interval};
use wire::subject;

use crate::gateways::Gateways;

const EVERY: Duration = Duration::from_secs(10);

/// Who is counted.
pub struct Counted {
    /// The gateways.
    pub gateways: Gateways,
    /// The workers.
    pub workers: Members,
}

/// Measures every 10 seconds, and when somebody comes or goes, for ever.
pub async fn run(nats: Nats, mut counted: Counted) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let Counted { gateways, workers } = &mut counted;
        tokio::select! {
            _ = tick.tick() => {
                if let Err(error) = streams(&nats).await {
                    tracing::debug!(%error, "the streams are not measured");
                }
            }
            () = gateways.changed() => {}
            () = workers.changed() => {}
        }
        let counts = [("gateway", gateways.living().len()), ("worker", workers.living().len())];
        for (role, count) in counts {
            metrics::gauge!("gander_members", "role" => role).set(count as f64);
        }
    }
}

async fn streams(nats: &Nats) -> Result<(), Error> {
    for stream in [subject::CONTROL_STREAM, subject::ALERTS_STREAM] {
        show(stream, &nats.usage(stream).await?);
    }
    // At its limit the API log makes room: that is no alarm.
    let log = nats.usage(subject::APILOG_STREAM).await?;
    show(subject::APILOG_STREAM, &Usage { max_bytes: None, ..log });
    let stream = subject::INCIDENTS_STREAM;
    let (usage, parked) = nats.counted(stream, subject::PARKED_ALL).await?;
    show(stream, &usage);
    metrics::gauge!("gander_parked_records").set(parked.values().sum::<u64>() as f64);
    Ok(())
}

fn show(stream: &'static str, usage: &Usage) {
    metrics::gauge!("gander_stream_bytes", "stream" => stream).set(usage.bytes as f64);
    if let Some(max) = usage.max_bytes {
        metrics::gauge!("gander_stream_max_bytes", "stream" => stream).set(max as f64);
    }
}
