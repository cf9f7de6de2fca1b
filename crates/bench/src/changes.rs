//! A filter is changed among 100,000 while alerts come: how soon an alert is held against the change, and
//! what other alerts notice of it.
//!
//! Must not know how filters are kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use e2e::admin::{Admin, filter, payload};
use e2e::alerts::Sender;
use e2e::rig::{Plan, Rig};
use http::StatusCode;
use serde::Serialize;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::proto::gander::admin::v1::{Filter, Service, Team};

use crate::progress::Progress;

/// Services beside those that are looked at.
const SERVICES: usize = 10_000;
/// Filters of each: the most that there may be.
const FILTERS: usize = 10;
/// At so many keys.
const KEYS: usize = 50;
/// Who makes them at a time.
const CLIENTS: usize = 64;
/// How often the filter is changed.
const CHANGES: usize = 1_000;
/// For how long alerts are watched while nothing is changed.
const STILL: Duration = Duration::from_secs(10);

/// What changes come to.
#[derive(Clone, Debug, Serialize)]
pub struct Changes {
    /// How many filters there are.
    pub filters: usize,
    /// How often one of them was changed.
    pub changes: usize,
    /// From the return of a change to the answer to an alert that only the changed filter fits, milliseconds.
    pub in_force_p50_ms: f64,
    /// The same, 99 %.
    pub in_force_p99_ms: f64,
    /// Another sender, one alert after the other, while nothing is changed.
    pub still: Others,
    /// The same while the filter is changed again and again.
    pub changing: Others,
}

/// From one answer to the next, milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Others {
    /// The middle.
    pub p50_ms: f64,
    /// 99 %.
    pub p99_ms: f64,
    /// The longest.
    pub longest_ms: f64,
}

/// Measures it.
pub async fn measure(progress: &Progress) -> anyhow::Result<Changes> {
    progress.say("changes: making 100,000 filters");
    let gateway_args = ["--rate-limit-token", "0"].map(str::to_owned).to_vec();
    let plan = Plan { gateway_args, log: "warn".to_owned(), ..Plan::default() };
    let mut rig = Rig::planned(plan).await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Bench").await?;
    fill(&rig, &admin.credential, &team).await?;
    admin.service(&team, "Others", vec![filter("status")]).await?;
    let changed = admin.service(&team, "Changed", vec![wants("change 0")]).await?;
    let secret = admin.token("bench", "").await?.secret;
    let gateway = rig.gateway()?;
    let watch = || {
        let (sender, secret, stop) = (Sender::default(), secret.clone(), CancellationToken::new());
        let ending = stop.clone();
        let gaps = tokio::spawn(async move {
            let (mut gaps, mut last) = (Vec::new(), Instant::now());
            while !ending.is_cancelled() {
                let answer = sender.send(gateway, &secret, payload("firing", "others")).await?;
                anyhow::ensure!(answer.status.is_success(), "{}", answer.body);
                gaps.push(last.elapsed().as_secs_f64() * 1e3);
                last = Instant::now();
            }
            anyhow::Ok(gaps)
        });
        (stop, gaps)
    };
    progress.say("changes: alerts while nothing is changed");
    let (stop, gaps) = watch();
    tokio::time::sleep(STILL).await;
    let still = others(&stop, gaps).await?;
    progress.say(&format!("changes: {CHANGES} of one filter"));
    let (stop, gaps) = watch();
    let mut in_force = Vec::with_capacity(CHANGES);
    let (sender, mut service) = (Sender::default(), changed);
    for n in 1..=CHANGES {
        service.filters = vec![wants(&format!("change {n}"))];
        service = admin.update_service(service, "filters").await?;
        let at = Instant::now();
        let body = payload(&format!("change {n}"), &format!("key {n}"));
        let answer = sender.send(gateway, &secret, body).await?;
        anyhow::ensure!(answer.status == StatusCode::CREATED, "the old filter: {}", answer.body);
        in_force.push(at.elapsed().as_secs_f64() * 1e3);
    }
    let changing = others(&stop, gaps).await?;
    in_force.sort_unstable_by(f64::total_cmp);
    Ok(Changes {
        filters: SERVICES * FILTERS,
        changes: CHANGES,
        in_force_p50_ms: part(&in_force, 0.5),
        in_force_p99_ms: part(&in_force, 0.99),
        still,
        changing,
    })
}

async fn others(
    stop: &CancellationToken,
    gaps: JoinHandle<anyhow::Result<Vec<f64>>>,
) -> anyhow::Result<Others> {
    stop.cancel();
    let mut gaps = gaps.await??;
    gaps.sort_unstable_by(f64::total_cmp);
    let longest_ms = gaps.last().copied().unwrap_or_default();
    Ok(Others { p50_ms: part(&gaps, 0.5), p99_ms: part(&gaps, 0.99), longest_ms })
}

fn part(sorted: &[f64], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1) as f64;
    sorted.get((last * part) as usize).copied().unwrap_or_default()
}

/// A filter that this status fits.
fn wants(status: &str) -> Filter {
    let mut wanting = filter("one");
    for condition in wanting.trigger.iter_mut().flat_map(|trigger| &mut trigger.conditions) {
        condition.contains = vec![status.to_owned()];
    }
    wanting
}

/// Makes services with filters that no alert of this fits.
async fn fill(rig: &Rig, credential: &str, team: &Team) -> anyhow::Result<()> {
    let mut working = JoinSet::new();
    let next = Arc::new(AtomicUsize::new(0));
    for _ in 0..CLIENTS {
        let admin = Admin::connect(rig.grpc(), credential).await?;
        let (next, team) = (Arc::clone(&next), team.clone());
        working.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= SERVICES {
                    return anyhow::Ok(());
                }
                let filters = (0..FILTERS).map(|m| never(n * FILTERS + m)).collect();
                let _: Service = admin.service(&team, &format!("service {n}"), filters).await?;
            }
        });
    }
    while let Some(ended) = working.join_next().await {
        ended??;
    }
    Ok(())
}

fn never(n: usize) -> Filter {
    let mut never = wants(&format!("word {n}"));
    never.display_name = format!("filter {n}");
    let key = if n.is_multiple_of(2) { "status".to_owned() } else { format!("key{}", n % KEYS) };
    for condition in never.trigger.iter_mut().flat_map(|trigger| &mut trigger.conditions) {
        key.clone_into(&mut condition.key);
    }
    never
}
