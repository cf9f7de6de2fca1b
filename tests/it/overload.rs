//! More than can be stored: what is stored goes on, the rest is told so at once, one that floods
//! starves nobody.
//!
//! The line from the gateway to the broker is made thin, so that ten times of what it carries can be
//! offered on the same machine. Must not know how the gateway does it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use e2e::admin::{filter, payload};
use e2e::alerts::{get, send};
use e2e::load::SOON;
use e2e::load::rate::{Offer, Seen, closed, open, quantile, request};
use e2e::proxy::Mode;
use e2e::rig::{Plan, Rig, Role};
use e2e::wait::PATIENCE;
use http::StatusCode;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use wire::proto::gander::admin::v1 as api;

use crate::chaos::record;
use crate::hostile::watch;

/// Bytes a second from the gateway to the broker.
const LINE: usize = 64 * 1024;
/// Bytes beside the rest of an alert.
const PADDING: usize = 1_000;
/// More than answers within a second at ten times of what is stored need.
const CONNECTIONS: usize = 4_000;
/// Where the record of the long run is.
pub const RECORD: &str = "tests/overload/record.json";

struct Stage {
    rig: Rig,
    gateway: SocketAddr,
    loud: String,
    quiet: String,
}

async fn stage() -> anyhow::Result<Stage> {
    let args = ["--rate-limit-token", "0", "--max-connections-per-ip", "10000"];
    let gateway_args = args.map(str::to_owned).to_vec();
    let log = "warn".to_owned();
    let mut rig =
        Rig::planned(Plan { gateway_args, log, proxies: true, ..Plan::default() }).await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("team").await?;
    admin.service(&team, "one", vec![filter("status")]).await?;
    let loud = admin.token("loud", "").await?.secret;
    let quiet = admin.token("quiet", "").await?.secret;
    let gateway = rig.gateway()?;
    Ok(Stage { rig, gateway, loud, quiet })
}

impl Stage {
    fn line(&self, mode: Mode) {
        if let Some(links) = &self.rig.links {
            links.gateways.iter().for_each(|proxy| proxy.set(mode));
        }
    }

    /// An offer of large alerts.
    fn loud(&self, rate: f64, lasts: Duration) -> Offer {
        let body = payload("firing", "loud").replacen('{', &padding(), 1);
        let requests = vec![request(&self.loud, &body)];
        Offer { gateway: self.gateway, requests, rate, lasts, connections: CONNECTIONS }
    }

    /// An offer of alerts that begin an episode and end it, by turns.
    fn quiet(&self, rate: f64, lasts: Duration) -> Offer {
        let alert = |status| request(&self.quiet, &payload(status, "quiet"));
        let requests = vec![alert("firing"), alert("resolved")];
        Offer { gateway: self.gateway, requests, rate, lasts, connections: CONNECTIONS }
    }

    /// How many alerts a second are stored where as many senders wait for their answers as keep the
    /// line busy.
    async fn capacity(&self, lasts: Duration) -> f64 {
        let warm = Offer { connections: 64, ..self.loud(0.0, Duration::from_secs(2)) };
        closed(warm).await;
        let offer = Offer { connections: 64, ..self.loud(0.0, lasts) };
        closed(offer).await.stored() as f64 / lasts.as_secs_f64()
    }

    /// The most memory that the gateway has meanwhile, in KiB.
    async fn watched<T>(&mut self, work: impl Future<Output = T>) -> anyhow::Result<(T, u64)> {
        let stop = CancellationToken::new();
        let pid = self.rig.running(Role::Gateway(0))?.process.pid()?;
        let watching = watch(pid, stop.clone());
        let done = work.await;
        stop.cancel();
        Ok((done, watching.await?))
    }
}

fn padding() -> String {
    format!("{{\"padding\":\"{}\",", "x".repeat(PADDING))
}

/// That all that was refused was told so by 503, in time, and when to come again.
fn refused_well(seen: &Seen) {
    assert_eq!(
        (seen.silent, seen.others(), seen.without_retry_after),
        (0, 0, 0),
        "{:?}",
        seen.answers
    );
    let last = seen.refused_ms.last().copied().unwrap_or_default();
    assert!(u128::from(last) <= SOON.as_millis(), "the last refusal after {last} ms");
}

#[tokio::test]
async fn one_that_floods_takes_nothing_from_others_and_what_is_refused_is_told_so_at_once()
-> anyhow::Result<()> {
    let mut stage = stage().await?;
    stage.line(Mode::Thin(LINE));
    let capacity = stage.capacity(Duration::from_secs(3)).await;
    assert!(capacity > 0.0);
    let before = stage.rig.running(Role::Gateway(0))?.process.resident()?;
    let lasts = Duration::from_secs(5);
    let (flood, quiet) = (stage.loud(capacity * 10.0, lasts), stage.quiet(10.0, lasts));
    let work = async { tokio::join!(open(flood), open(quiet)) };
    let ((flood, quiet), most) = stage.watched(work).await?;
    assert!(
        flood.refused_ms.len() as u64 > flood.sent / 2,
        "that was no flood: {:?}",
        flood.answers
    );
    println!("{:#?}", Row::new(10.0, capacity, lasts, &flood, &quiet));
    refused_well(&flood);
    let goodput = flood.stored() as f64 / lasts.as_secs_f64() / capacity;
    assert!(goodput > 0.5, "{goodput} of {capacity} a second: {:?}", flood.answers);
    let [triggers, resolves] = [quiet.each[0], quiet.each[1]];
    for (sent, stored) in [triggers, resolves] {
        assert!(stored * 5 >= sent * 4, "{triggers:?} triggers and {resolves:?} resolves");
    }
    assert!(most < before + 200 * 1_024, "{before} KiB before, {most} KiB at most");
    Ok(())
}

#[tokio::test]
async fn while_the_broker_stands_still_all_are_told_503_within_a_second() -> anyhow::Result<()> {
    let stage = stage().await?;
    let offer = |stage: &Stage, seconds| stage.loud(200.0, Duration::from_secs(seconds));
    let before = open(offer(&stage, 1)).await;
    assert_eq!(before.stored(), before.sent, "{:?}", before.answers);
    let pid = Pid::from_raw(i32::try_from(stage.rig.nats.pid().unwrap_or_default())?);
    kill(pid, Signal::SIGSTOP)?;
    let silent = open(offer(&stage, 4)).await;
    kill(pid, Signal::SIGCONT)?;
    refused_well(&silent);
    assert_eq!(silent.stored(), 0, "{:?}", silent.answers);
    assert_eq!(silent.answers.get(&503), Some(&silent.sent));
    e2e::wait::eventually("alerts to be stored again", async || {
        let again = open(Offer { rate: 20.0, ..offer(&stage, 1) }).await;
        (again.stored() == again.sent).then_some(())
    })
    .await
}

/// What a long run came to.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Overload {
    pub commit: String,
    pub nats_server: String,
    pub kernel: String,
    pub seconds: u64,
    pub line_bytes_per_second: usize,
    /// Alerts a second, of senders that wait for their answers.
    pub capacity: f64,
    pub rows: Vec<Row>,
}

/// What it came to at one rate.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Row {
    /// Times of the capacity.
    pub times: f64,
    pub sent: u64,
    pub unsent: u64,
    /// Of the token that floods, stored a second, as a part of the capacity. The other one is beside it.
    pub goodput: f64,
    pub answers: std::collections::BTreeMap<u16, u64>,
    pub silent: u64,
    pub without_retry_after: u64,
    pub refused_p50_ms: u32,
    pub refused_p99_ms: u32,
    pub refused_max_ms: u32,
    pub stored_p99_ms: u32,
    /// Of another token's alerts, sent meanwhile at a twentieth of the capacity: sent and stored.
    pub quiet_triggers: (u64, u64),
    pub quiet_resolves: (u64, u64),
    pub resident_most_kib: u64,
}

/// The record of the long run as a part of the page of reliability; empty while there is none.
pub fn section() -> anyhow::Result<String> {
    let Ok(text) = std::fs::read_to_string(record::root().join(RECORD)) else {
        return Ok(String::new());
    };
    let run: Overload = serde_json::from_str(&text)?;
    let head = format!(
        "Commit `{}`, nats-server {}, Linux {}; {} s at each rate. The line from the gateway to nats-server \
         carries {} bytes a second, so {:.0} alerts a second are stored (the capacity). One token sends \
         as many alerts as the first column says, another one a twentieth of the capacity, half of them resolves.\n\n\
         | times of capacity | of the flood stored, of capacity | stored | refused 503 | other answers | refused after p50 / p99 / most | \
         triggers of the quiet token stored | resolves | most memory |\n|---|---|---|---|---|---|---|---|---|\n",
        run.commit,
        run.nats_server,
        run.kernel,
        run.seconds,
        run.line_bytes_per_second,
        run.capacity,
    );
    Ok(head + &run.rows.iter().map(Row::line).collect::<String>())
}

impl Row {
    fn line(&self) -> String {
        let times = |fits: fn(u16) -> bool| -> u64 {
            self.answers.iter().filter(|(status, _)| fits(**status)).map(|(_, times)| times).sum()
        };
        let [stored, refused] = [times(|status| status < 300), times(|status| status == 503)];
        let others = times(|_| true) - stored - refused + self.silent;
        format!(
            "| {} | {:.0} % | {stored} | {refused} | {others} | {} / {} / {} ms | {} of {} | {} of {} | {} MiB |\n",
            self.times,
            self.goodput * 100.0,
            self.refused_p50_ms,
            self.refused_p99_ms,
            self.refused_max_ms,
            self.quiet_triggers.1,
            self.quiet_triggers.0,
            self.quiet_resolves.1,
            self.quiet_resolves.0,
            self.resident_most_kib / 1_024,
        )
    }

    fn new(times: f64, capacity: f64, lasts: Duration, flood: &Seen, quiet: &Seen) -> Self {
        Self {
            times,
            sent: flood.sent,
            unsent: flood.unsent,
            goodput: flood.stored() as f64 / lasts.as_secs_f64() / capacity,
            answers: flood.answers.clone(),
            silent: flood.silent,
            without_retry_after: flood.without_retry_after,
            refused_p50_ms: quantile(&flood.refused_ms, 0.5),
            refused_p99_ms: quantile(&flood.refused_ms, 0.99),
            refused_max_ms: quantile(&flood.refused_ms, 1.0),
            stored_p99_ms: quantile(&flood.stored_ms, 0.99),
            quiet_triggers: quiet.each[0],
            quiet_resolves: quiet.each[1],
            resident_most_kib: 0,
        }
    }
}

#[tokio::test]
#[ignore = "takes minutes: make overload"]
async fn goodput_stays_at_ten_times_of_what_can_be_stored() -> anyhow::Result<()> {
    let seconds = runtime::environment::variable("SECONDS").and_then(|text| text.parse().ok());
    let lasts = Duration::from_secs(seconds.unwrap_or(60));
    let mut stage = stage().await?;
    stage.line(Mode::Thin(LINE));
    let capacity = stage.capacity(lasts.min(Duration::from_secs(20))).await;
    println!("capacity: {capacity:.0} alerts a second, at {LINE} bytes a second to the broker");
    let mut rows = vec![];
    for times in [1.0, 2.0, 10.0] {
        let (flood, quiet) =
            (stage.loud(capacity * times, lasts), stage.quiet(capacity / 20.0, lasts));
        let work = async { tokio::join!(open(flood), open(quiet)) };
        let ((flood, quiet), most) = stage.watched(work).await?;
        let row = Row::new(times, capacity, lasts, &flood, &quiet);
        let row = Row { resident_most_kib: most, ..row };
        println!("{row:#?}");
        rows.push((row, flood));
    }
    let base = record::Record::here()?;
    let run = Overload {
        commit: base.commit,
        nats_server: base.nats_server,
        kernel: base.kernel,
        seconds: lasts.as_secs(),
        line_bytes_per_second: LINE,
        capacity,
        rows: vec![],
    };
    let (rows, floods): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    let goodputs: Vec<_> = rows.iter().map(|row| row.goodput).collect();
    let text = serde_json::to_string_pretty(&Overload { rows, ..run })?;
    let file = record::root().join(RECORD);
    std::fs::create_dir_all(file.parent().unwrap_or(&file))?;
    std::fs::write(file, text + "\n")?;
    floods.iter().for_each(refused_well);
    assert!(goodputs.iter().all(|goodput| *goodput >= 0.8), "{goodputs:?}");
    Ok(())
}

/// Filters of a service for which a payload is much work, and lead to nothing: what they want is in it,
/// but not in one place.
fn tiresome(n: usize) -> Vec<api::Filter> {
    let items = |n: usize| {
        let long = (0..9).map(move |item| format!("{}{n}{item}", "abcdefghij".repeat(4)));
        long.chain(["elsewhere".to_owned()]).collect::<Vec<_>>()
    };
    let condition = move |n: usize| api::Condition { key: "[*]".to_owned(), contains: items(n) };
    let filter = |at: usize| {
        let mut filter = filter(&format!("filter {at}"));
        let trigger = filter.trigger.get_or_insert_default();
        trigger.conditions = vec![condition(n), condition(n)];
        filter.resolve.get_or_insert_default().condition = Some(condition(n));
        filter
    };
    (0..10).map(filter).collect()
}

#[tokio::test]
async fn an_alert_that_is_much_work_keeps_no_worker_from_its_heartbeat() -> anyhow::Result<()> {
    // More than a team may have without a search.
    const SERVICES: usize = 18;
    let mut rig = Rig::planned(Plan { workers: 2, ..Plan::default() }).await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Tiresome").await?;
    for n in 0..SERVICES {
        admin.service(&team, &format!("Service {n}"), tiresome(n)).await?;
    }
    let tiresome = admin.token("tiresome", &team.name).await?.secret;
    let other = admin.team("Other").await?;
    admin.service(&other, "Checkout", vec![filter("status")]).await?;
    let other = admin.token("other", &other.name).await?.secret;
    let gateway = rig.gateway()?;
    let wanted: Vec<_> = (0..SERVICES)
        .flat_map(|n| (0..9).map(move |item| format!("{}{n}{item}", "abcdefghij".repeat(4))))
        .collect();
    let body = format!("[\"{}\",\"elsewhere\"{}]", wanted.join(" "), ",{}".repeat(330_000));
    assert!(send(gateway, &tiresome, body).await?.status.is_success());
    let ops = [rig.running(Role::Worker(0))?.ops, rig.running(Role::Worker(1))?.ops];
    let mut worked_on = false;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !worked_on && tokio::time::Instant::now() < deadline {
        let answer = send(gateway, &other, payload("firing", "a")).await?;
        worked_on = answer.status != StatusCode::ACCEPTED;
        for ops in ops {
            let alive = tokio::time::timeout(Duration::from_secs(2), get(ops, "/livez")).await;
            let (status, says) = alive.context("a worker is silent")??;
            assert!(status.is_success(), "{says}");
        }
    }
    assert!(worked_on, "others have their turn");
    for ops in ops {
        let (_, metrics) = get(ops, "/metrics").await?;
        assert!(metrics.contains("gander_worker_fences_lost_total 0"), "{metrics}");
    }
    Ok(())
}
