//! End to end at a rate that the machine can keep up with: how long answers and events take, by
//! `gander bench`.
//!
//! Must not know how that sends.

use std::path::Path;

use anyhow::Context;
use e2e::admin::filter;
use e2e::process::run;
use e2e::rig::{Plan, Rig};
use runtime::secret_file;
use serde::Serialize;
use serde_json::Value;

use crate::progress::Progress;

/// Alerts a second.
const RATE: u32 = 1_000;
/// For so long.
const SECONDS: u32 = 30;

/// What it takes from the time at which an alert is due, milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct EndToEnd {
    /// Alerts a second.
    pub rate: u32,
    /// How many there were.
    pub alerts: u64,
    /// How many of them were accepted.
    pub accepted: u64,
    /// To the answer that it is stored.
    pub ack_p50_ms: f64,
    /// The same, 99 %.
    pub ack_p99_ms: f64,
    /// To the answer that says what became of it.
    pub outcome_p50_ms: f64,
    /// The same, 99 %.
    pub outcome_p99_ms: f64,
    /// To the event at a subscriber.
    pub event_p50_ms: f64,
    /// The same, 99 %.
    pub event_p99_ms: f64,
    /// How late the generator itself was, 99 %: to send, or for what it does every 10 ms, whichever
    /// is more.
    pub generator_p99_ms: f64,
}

/// Measures it.
pub async fn measure(progress: &Progress) -> anyhow::Result<EndToEnd> {
    progress.say(&format!("end to end: {RATE} alerts a second for {SECONDS} s"));
    let gateway_args = ["--rate-limit-token", "0"].map(str::to_owned).to_vec();
    let plan = Plan { gateway_args, log: "warn".to_owned(), ..Plan::default() };
    let mut rig = Rig::planned(plan).await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Bench").await?;
    let mut fits = filter("bench");
    if let (Some(trigger), Some(resolve)) = (&mut fits.trigger, &mut fits.resolve) {
        "alertname".clone_into(&mut trigger.map_with);
        "alertname".clone_into(&mut resolve.mapped_with);
    }
    let service = admin.service(&team, "Bench", vec![fits]).await?;
    let secret = admin.token("bench", &service.name).await?.secret;
    let folder = rig.folder().to_owned();
    secret_file::write(&folder.join("credential"), &admin.credential)?;
    secret_file::write(&folder.join("token"), &secret)?;
    let (gateway, server) =
        (format!("http://{}", rig.gateway()?), format!("http://{}", rig.grpc()));
    sent(&folder, &gateway, &server).await
}

async fn sent(folder: &Path, gateway: &str, server: &str) -> anyhow::Result<EndToEnd> {
    let (rate, seconds) = (RATE.to_string(), SECONDS.to_string());
    let args = [
        "bench",
        "--output",
        "json",
        "--quiet",
        "--gateway",
        gateway,
        "--server",
        server,
        "--credential-file",
        "credential",
        "--token-file",
        "token",
        "--rate",
        &rate,
        "--seconds",
        &seconds,
        "--connections",
        "64",
    ];
    let (code, told) = run(folder, None, &args).await?;
    anyhow::ensure!(code == 0, "gander bench ended with {code}: {told}");
    let report: Value = serde_json::from_str(&told).with_context(|| told.clone())?;
    let number = |pointer: &str| {
        let value = report.pointer(pointer).and_then(Value::as_f64);
        value.with_context(|| format!("{pointer} is missing: {told}"))
    };
    let count = |pointer: &str| anyhow::Ok(number(pointer)? as u64);
    Ok(EndToEnd {
        rate: RATE,
        alerts: count("/alerts/due")?,
        accepted: count("/alerts/accepted")?,
        ack_p50_ms: number("/latencies/ack/p50_ms")?,
        ack_p99_ms: number("/latencies/ack/p99_ms")?,
        outcome_p50_ms: number("/latencies/outcome/p50_ms")?,
        outcome_p99_ms: number("/latencies/outcome/p99_ms")?,
        event_p50_ms: number("/latencies/event/p50_ms")?,
        event_p99_ms: number("/latencies/event/p99_ms")?,
        generator_p99_ms: number("/latencies/generator_late/p99_ms")?
            .max(number("/latencies/generator_beat/p99_ms")?),
    })
}
