//! How fast the API log is, and how much memory an export needs: measured, not judged, but for what
//! must not happen.
//!
//! 20 s of calls and 1,000,000 entries; the variables SECONDS and ENTRIES set other numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use e2e::admin::{Admin, filter, payload, request_id};
use e2e::alerts::Sender;
use e2e::apilog::{Parts, call, fresh_id, token_id};
use e2e::rig::{Plan, Rig, Role};
use e2e::wait::eventually;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::Streaming;
use wire::proto::gander::admin::v1 as api;
use wire::stored::apilog::Part;

const CLIENTS: usize = 32;

fn variable(name: &str, otherwise: u64) -> anyhow::Result<u64> {
    Ok(runtime::environment::variable(name).map_or(Ok(otherwise), |text| text.parse())?)
}

fn rate(count: u64, began: Instant) -> String {
    let seconds = began.elapsed().as_secs_f64();
    format!("{count} in {seconds:.1} s, {:.0} a second", count as f64 / seconds)
}

async fn tail(
    admin: &Admin,
    cursor: &str,
) -> anyhow::Result<Streaming<api::TailApiLogEntriesResponse>> {
    let request = api::TailApiLogEntriesRequest { cursor: cursor.to_owned(), ..Default::default() };
    let client = admin.api_log().max_decoding_message_size(8 * 1024 * 1024);
    Ok({ client }.tail_api_log_entries(request).await?.into_inner())
}

/// Calls for a while, by many clients; gives how many were answered.
async fn calls(rig: &mut Rig, secret: &str, lasts: Duration) -> anyhow::Result<u64> {
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
        let (gateway, secret) = (rig.gateway()?, secret.to_owned());
        clients.spawn(async move {
            let sender = Sender::default();
            while !stop.load(Ordering::Relaxed) {
                let text = payload("firing", &format!("{n}"));
                if sender.send(gateway, &secret, text).await.is_ok() {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    tokio::time::sleep(lasts).await;
    stop.store(true, Ordering::Relaxed);
    while clients.join_next().await.is_some() {}
    Ok(answered.load(Ordering::Relaxed))
}

/// Messages in the stream.
async fn stored(rig: &Rig) -> anyhow::Result<u64> {
    let jetstream = e2e::events::connect(&rig.nats_url()).await?;
    let mut stream = jetstream.get_stream("GANDER_APILOG").await?;
    Ok(stream.info().await?.state.messages)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: make log-rates"]
async fn rates_of_the_api_log() -> anyhow::Result<()> {
    let gateway_args = ["--rate-limit-token", "0"].map(str::to_owned).to_vec();
    let stream_args = ["--api-log-max-bytes", "8589934592"].map(str::to_owned).to_vec();
    let mut rig = Rig::planned(Plan { gateway_args, stream_args, ..Plan::default() }).await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Payments").await?;
    let service = admin.service(&team, "Checkout", vec![filter("status")]).await?;
    let token = api::Token {
        display_name: "monitor".to_owned(),
        r#type: api::TokenType::Service.into(),
        target: service.name,
        tracking: Some(true),
        ..api::Token::default()
    };
    let request = api::CreateTokenRequest { token: Some(token), request_id: request_id() };
    let token = admin.tokens().create_token(request).await?.into_inner();
    let cursor = tail(&admin, "").await?.message().await?.unwrap_or_default().cursor;

    let began = Instant::now();
    let lasts = Duration::from_secs(variable("SECONDS", 20)?);
    let answered = calls(&mut rig, &token.secret, lasts).await?;
    eventually("all parts", async || (stored(&rig).await.ok()? >= 2 * answered).then_some(()))
        .await?;
    println!("entries stored: {}, two parts each", rate(answered, began));

    let began = Instant::now();
    let mut shown = tail(&admin, &cursor).await?;
    let (mut count, mut skipped) = (0, 0);
    while count + skipped < answered {
        let Some(next) = shown.message().await? else { break };
        count += u64::from(next.entry.is_some());
        skipped += next.skipped;
    }
    println!("entries shown by a tail: {}, {skipped} skipped", rate(count, began));
    assert_eq!(count + skipped, answered, "what a tail does not show, it counts");

    let entries = variable("ENTRIES", 1_000_000)?;
    let parts = Parts::connect(&rig.nats_url()).await?;
    let began = Instant::now();
    let one = call(401, 0);
    for _ in 0..entries / 1_000 {
        let some = (0..1_000).map(|_| (fresh_id(), Part::Call(one.clone())));
        parts.put_all(token_id(&token.name), some).await?;
    }
    println!("parts put there by hand: {}", rate(entries, began));
    let before = rig.running(Role::Admin)?.process.resident()?;
    let (began, mut count, mut most) = (Instant::now(), 0_u64, before);
    let request = api::ExportApiLogEntriesRequest::default();
    let mut exported = admin.api_log().export_api_log_entries(request).await?.into_inner();
    while exported.message().await?.is_some() {
        count += 1;
        if count % 10_000 == 0 {
            most = most.max(rig.running(Role::Admin)?.process.resident()?);
        }
    }
    println!(
        "entries exported: {}; admin had {before} KiB before, {most} KiB at most",
        rate(count, began)
    );
    assert_eq!(count, answered + entries / 1_000 * 1_000);
    assert!(most < before + 64 * 1024, "{before} KiB before, {most} KiB at most");
    Ok(())
}
