//! The worker alone: a stream full of alerts, and how fast it folds and commits them.
//!
//! Must not know how alerts come in.

use std::time::Duration;

use anyhow::Context;
use domain::id::{AlertId, InstanceId, TeamId, TokenId};
use domain::reach::Reach;
use domain::time::Timestamp;
use e2e::admin::{Admin, filter, payload};
use e2e::events::{Broker, connect, put};
use e2e::rig::{Plan, Rig, Role};
use serde::Serialize;
use tokio::time::{Instant, sleep};
use wire::partition::{PartitionSet, Partitions};
use wire::stored::alert::{Alert, Content, Record, encode_batch, record_to};
use wire::{header, subject};

use crate::again::{Again, first_batches, stored_again};
use crate::machine::{processor_seconds, resident_mib};
use crate::progress::Progress;
use crate::state::{Folded, folded, stored};

/// Alerts in a message, as a busy gateway writes them.
const BATCH: usize = 500;
/// How often it is looked how far the worker is.
const LOOK: Duration = Duration::from_millis(50);
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What alerts lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// No filter matches.
    Nothing,
    /// Each opens an incident of its own in one service.
    OneMatch,
    /// Each opens an incident of its own in each of ten services.
    TenMatches,
    /// All are repeats of one incident.
    Storm,
}

/// The worker at work on a full stream.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What alerts lead to.
    pub kind: Kind,
    /// How many alerts there were.
    pub alerts: usize,
    /// How many a second were folded and committed.
    pub per_second: f64,
    /// Processor time of the worker for each, microseconds.
    pub worker_us: f64,
    /// Processor time of nats-server for each, microseconds.
    pub nats_us: f64,
    /// What is stored of each alert as it came, subjects and headers included, bytes.
    pub alert_bytes: f64,
    /// What is stored of what each led to in the end, the same way: events, states, checkpoints; bytes.
    pub result_bytes: f64,
    /// The memory of the worker in the end, MiB.
    pub worker_mib: f64,
    /// The memory of nats-server in the end, MiB.
    pub nats_mib: f64,
    /// The first batches, and what nats-server comes to with them without a worker; for one match.
    pub again: Option<Again>,
}

/// What alerts reach.
#[derive(Clone, Copy, Debug)]
struct Target {
    reach: Reach,
    token: TokenId,
    partitions: Partitions,
}

/// One row for each kind.
pub async fn rows(progress: &Progress) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (kind, alerts) in [
        (Kind::Nothing, 400_000),
        (Kind::OneMatch, 200_000),
        (Kind::TenMatches, 20_000),
        (Kind::Storm, 400_000),
    ] {
        progress.say(&format!("worker alone: {kind:?}, {alerts} alerts"));
        rows.push(row(kind, alerts).await?);
    }
    Ok(rows)
}

async fn row(kind: Kind, alerts: usize) -> anyhow::Result<Row> {
    let plan = Plan { gateways: 0, log: "warn".to_owned(), ..Plan::default() };
    let mut rig = Rig::planned(plan).await?;
    let admin = rig.first_admin().await?;
    let target = target(&admin, kind).await?;
    rig.kill(Role::Worker(0)).await?;
    let nats = connect(&rig.nats_url()).await?;
    for first in (0..alerts).step_by(BATCH) {
        put_batch(&nats, kind, target, first).await?;
    }
    let full = stored(&nats, subject::ALERTS_STREAM).await?;
    let end = full.last;
    rig.launch(Role::Worker(0))?;
    let worker = rig.running(Role::Worker(0))?.process.pid()?.as_raw();
    let broker = i32::try_from(rig.nats.pid().context("no nats-server")?)?;
    let spent = || anyhow::Ok([processor_seconds(worker)?, processor_seconds(broker)?]);
    let (begun, at, before) = until(&nats, |now| now.alerts > 0, spent).await?;
    let (done, ended, after) = until(&nats, |now| now.position >= end, spent).await?;
    let folded = (done.alerts - begun.alerts) as f64;
    let results = stored(&nats, subject::INCIDENTS_STREAM).await?;
    let (worker_mib, nats_mib) = (resident_mib(worker)?, resident_mib(broker)?);
    rig.kill(Role::Worker(0)).await?;
    let again = match kind {
        Kind::OneMatch => {
            let first = first_batches(&rig.nats_url()).await?;
            rig.nats.kill().await?;
            drop((nats, rig));
            Some(stored_again(&first).await?)
        }
        Kind::Nothing | Kind::TenMatches | Kind::Storm => None,
    };
    Ok(Row {
        kind,
        alerts,
        per_second: folded / ended.duration_since(at).as_secs_f64(),
        worker_us: (after[0] - before[0]) * 1e6 / folded,
        nats_us: (after[1] - before[1]) * 1e6 / folded,
        alert_bytes: full.bytes as f64 / alerts as f64,
        result_bytes: results.bytes as f64 / alerts as f64,
        worker_mib,
        nats_mib,
        again,
    })
}

/// Waits until the worker is that far; gives how far that is, when, and what was used by then.
async fn until(
    nats: &Broker,
    far: impl Fn(&Folded) -> bool,
    spent: impl Fn() -> anyhow::Result<[f64; 2]>,
) -> anyhow::Result<(Folded, Instant, [f64; 2])> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = folded(nats).await?;
        if far(&now) {
            return Ok((now, Instant::now(), spent()?));
        }
        anyhow::ensure!(Instant::now() < deadline, "the worker stands at {now:?}");
        sleep(LOOK).await;
    }
}

/// Services that get what this kind is about, of one team.
async fn target(admin: &Admin, kind: Kind) -> anyhow::Result<Target> {
    let team = admin.team("Bench").await?;
    let services = if kind == Kind::TenMatches { 10 } else { 1 };
    for n in 0..services {
        admin.service(&team, &format!("Bench {n}"), vec![filter("status")]).await?;
    }
    let id = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let token = admin.token("bench", &team.name).await?;
    Ok(Target {
        reach: Reach::Team(TeamId::parse(&id(&team.name))?),
        token: TokenId::parse(&id(&token.name))?,
        partitions: Partitions::new(16).context("sixteen partitions")?,
    })
}

async fn put_batch(nats: &Broker, kind: Kind, target: Target, first: usize) -> anyhow::Result<()> {
    let records = (first..first + BATCH).map(|n| record_to(record(kind, target, n)));
    // Whatever the worker has of the configuration is enough.
    let message = encode_batch(0, InstanceId::from_bytes([1; 16]), records.collect());
    let team = target.reach.team().context("a team")?;
    let partitions = PartitionSet::one(target.partitions.of(team));
    let headers = [(header::PARTITIONS, format!("{:016x}", partitions.0))];
    put(nats, subject::ALERTS, &headers, message).await
}

fn record(kind: Kind, target: Target, n: usize) -> Record {
    let (status, key) = match kind {
        Kind::Nothing => ("fine", n),
        Kind::OneMatch | Kind::TenMatches => ("firing", n),
        Kind::Storm => ("firing", 0),
    };
    let text = payload(status, &format!("episode {key}"));
    // So that no two are the same, as what is sent again is.
    let text = text.replacen('{', &format!("{{\"n\":{n},\"padding\":\"{}\",", "x".repeat(850)), 1);
    let mut id = [0; 16];
    id[6..14].copy_from_slice(&(n as u64 + 1).to_be_bytes());
    let alert = Alert {
        id: AlertId::from_bytes(id),
        token: target.token,
        reach: target.reach,
        received_at: Timestamp::from_micros(1_800_000_000_000_000 + i64::try_from(n).unwrap_or(0)),
        from: None,
        payload: text.into(),
        tracked_until: None,
    };
    let partition = target.reach.team().map(|team| target.partitions.of(team));
    Record { partition, outcome_wanted: false, content: Content::Alert(alert), trace: None }
}
