//! `gander bench`: alerts at a constant rate, and how long their answers and events take.
//!
//! - `mix`, `payload`, `episodes`: what is sent. `schedule`: when it is due.
//! - `gateway`, `answer`: connections. `watch`, `pairs`: events. `load`: the senders.
//! - `tally`, `latencies`: what came of it. `progress`, `sum`, `report`: how it is told.
//!
//! Must not know anything of the server but its contract.

mod answer;
mod episodes;
mod gateway;
mod latencies;
mod load;
mod mix;
mod pairs;
mod payload;
mod progress;
mod report;
mod schedule;
mod sum;
mod tally;
mod watch;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use http::HeaderValue;
use tokio::signal;
use tokio::sync::watch::{Receiver, Sender, channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use self::episodes::Episodes;
use self::gateway::Gateway;
use self::load::Load;
use self::mix::Share;
use self::payload::Template;
use self::schedule::{Arrivals, Schedule};
use self::tally::Tally;
use self::watch::Watch;
use super::commands::BenchArgs;
use super::tls::Version;
use super::{Connect, Output, Usage, read_payload, request_id, send};
use crate::out::{complain, json, say};

pub use mix::Mix;

/// With an event for each alert, how long it is waited for those of further services.
const FURTHER: Duration = Duration::from_millis(500);
/// With an event for each alert that must have one, how long it is waited for one of the others.
const QUIET: Duration = Duration::from_secs(5);
/// How long it is waited for events in any case.
const EVENTS: Duration = Duration::from_secs(30);
/// How long resolving what is left open may take.
const TIDYING: Duration = Duration::from_secs(30);
/// The most requests at a time.
const MAX_AT_A_TIME: u32 = 20_000;

/// Carries it out.
pub async fn run(connect: &Connect, args: &BenchArgs) -> anyhow::Result<()> {
    let load = Arc::new(load(connect, args)?);
    let (watch, mut unwatched) = match Watch::open(connect).await? {
        Ok(watch) => (Some(watch), None),
        Err(why) => (None, Some(why)),
    };
    load.gateway.open().await?;
    let watched = watch.is_some();
    let following = watch.map(|watch| {
        let load = Arc::clone(&load);
        tokio::spawn(async move { watch.follow(&load.tally).await })
    });
    let arrivals = Arc::new(Arrivals::begin(Schedule::new(args.rate, args.seconds)));
    let mut interrupts = interrupts(&arrivals);
    let measured = measure(args, &load, &arrivals);
    tokio::select! {
        done = measured => done?,
        () = twice(&mut interrupts) => {}
    }
    if !args.quiet {
        progress::end();
    }
    if let Some(following) = following {
        tokio::select! {
            () = events(&load) => {}
            () = twice(&mut interrupts) => {}
        }
        if following.is_finished() {
            unwatched = Some(following.await?.message().to_owned());
        } else {
            following.abort();
        }
    }
    tokio::select! {
        () = tidy(args, &load) => {}
        () = twice(&mut interrupts) => {}
    }
    let report = sum::report(args, &load, &arrivals, unwatched, watched);
    match connect.output {
        Output::Table => report.show(),
        Output::Json => say(&json(&report)?),
    }
    anyhow::ensure!(report.alerts.accepted > 0, "no alert was accepted: see what failed above");
    Ok(())
}

/// All that senders need, read and checked before anything is opened.
fn load(connect: &Connect, args: &BenchArgs) -> anyhow::Result<Load> {
    if senders(args) > MAX_AT_A_TIME as usize {
        return Err(Usage("--connections times --streams is at most 20000").into());
    }
    let token = |file: &std::path::PathBuf| {
        let secret = send::read_token(file)?;
        let mut value = HeaderValue::from_str(&format!("Bearer {secret}"))
            .with_context(|| format!("what is in {} is no token", file.display()))?;
        value.set_sensitive(true);
        anyhow::Ok(value)
    };
    let tokens: Vec<_> = args.token_files.iter().map(token).collect::<Result<_, _>>()?;
    let mut payloads = Vec::new();
    for file in &args.payloads {
        payloads.push(Template::of(&read_payload(file)?));
    }
    if payloads.is_empty() {
        payloads.push(Template::generated(usize::try_from(args.bytes)?));
    }
    let version = if args.http2 { Version::Http2 } else { Version::Http1 };
    let connections = usize::try_from(args.connections)?;
    let gateway = Gateway::new(connect, &args.gateway, connections, version)?;
    Ok(Load {
        // The first eight digits are enough to tell runs apart.
        run: format!("bench-{}", request_id().get(..8).unwrap_or_default()),
        gateway: Arc::new(gateway),
        episodes: Mutex::new(Episodes::new(args.mix, args.outcome_percent)),
        tally: Mutex::new(Tally::new(tokens.len())),
        tokens,
        payloads,
    })
}

/// How many requests there are at a time.
fn senders(args: &BenchArgs) -> usize {
    let streams = if args.http2 { args.streams } else { 1 };
    usize::try_from(args.connections * streams).unwrap_or(usize::MAX)
}

/// Sends until the end, and waits for the last answers.
async fn measure(
    args: &BenchArgs,
    load: &Arc<Load>,
    arrivals: &Arc<Arrivals>,
) -> anyhow::Result<()> {
    let pacer = Arc::clone(arrivals);
    let pacer = tokio::task::spawn_blocking(move || pacer.pace());
    let mut beside = JoinSet::new();
    let beating = Arc::clone(load);
    beside.spawn(async move { progress::beat(&beating.tally).await });
    if !args.quiet {
        let (load, arrivals) = (Arc::clone(load), Arc::clone(arrivals));
        beside.spawn(async move { progress::show(&load, &arrivals).await });
    }
    let mut sending = JoinSet::new();
    for sender in 0..senders(args) {
        let (load, arrivals) = (Arc::clone(load), Arc::clone(arrivals));
        let connection = sender % usize::try_from(args.connections)?;
        sending.spawn(async move { load.send(connection, &arrivals).await });
    }
    while let Some(ended) = sending.join_next().await {
        ended?;
    }
    pacer.await?;
    let mut share = Share::new(args.outcome_percent);
    let mut tally = load.tally();
    arrivals.left().for_each(|waited| tally.not_sent(share.next(), waited));
    Ok(())
}

/// Ends the run at the first Ctrl-C; counts them.
fn interrupts(arrivals: &Arc<Arrivals>) -> Receiver<u32> {
    let (count, counted): (Sender<u32>, _) = channel(0);
    let arrivals = Arc::clone(arrivals);
    tokio::spawn(async move {
        while signal::ctrl_c().await.is_ok() {
            arrivals.stop();
            count.send_modify(|count| *count += 1);
            if *count.borrow() == 1 {
                progress::end();
                complain("ending; Ctrl-C again waits for nothing");
            }
        }
    });
    counted
}

/// Returns at the second Ctrl-C.
async fn twice(interrupts: &mut Receiver<u32>) {
    if interrupts.wait_for(|count| *count >= 2).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits for events that are to come.
async fn events(load: &Load) {
    let begun = Instant::now();
    loop {
        let (missing, waiting, last) = {
            let pairs = &load.tally().pairs;
            (pairs.missing(), pairs.waiting(), pairs.last())
        };
        let quiet = last.map_or(begun, |last| last.max(begun)).elapsed();
        let is_done = (waiting == 0 && quiet >= FURTHER) || (missing == 0 && quiet >= QUIET);
        if is_done || begun.elapsed() >= EVENTS {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Resolves what the run has left open, as far as its payloads can.
async fn tidy(args: &BenchArgs, load: &Arc<Load>) {
    if !load.can_tidy() {
        return;
    }
    let mut tidying = JoinSet::new();
    for sender in 0..senders(args) {
        let load = Arc::clone(load);
        let connection = sender % args.connections.max(1) as usize;
        tidying.spawn(async move { load.tidy(connection).await });
    }
    // Whatever is not resolved by then is told.
    let _ = timeout(TIDYING, async { while tidying.join_next().await.is_some() {} }).await;
}
