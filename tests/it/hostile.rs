//! Hostile input: bad requests made by rule, slow clients, floods, idle connections. `make test` sends
//! a few thousand requests, `make hostile` a million.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use e2e::admin::{Admin, filter};
use e2e::hostile::attack::{self, Plan as Attack};
use e2e::hostile::bodies::Bombs;
use e2e::hostile::grammar::Grammar;
use e2e::hostile::healthy::Healthy;
use e2e::rig::{Plan, Rig, Role};
use tokio_util::sync::CancellationToken;
use wire::proto::gander::admin::v1 as api;

/// What the gateway may take above what it had before, in KiB.
const MOST_MORE_KIB: u64 = 256 * 1024;

fn number(variable: &str, otherwise: u64) -> anyhow::Result<u64> {
    std::env::var(variable).map_or(Ok(otherwise), |text| Ok(text.parse()?))
}

/// Filters whose keys and texts are as hostile as the limits allow.
fn hostile_filters() -> Vec<api::Filter> {
    let keys = [
        "[*]".repeat(32),
        "alerts[*].labels[*][*][*]".to_owned(),
        "a".to_owned() + &".a".repeat(31),
        "[\"\\u0000\"]".to_owned(),
        "k".repeat(512),
    ];
    let texts = ["İ".repeat(50), "ſ".to_owned(), "\u{202e}".to_owned(), "9".repeat(50)];
    let one = |(n, key): (usize, String)| {
        let mut filter = filter(&format!("hostile {n}"));
        let trigger = filter.trigger.get_or_insert_default();
        trigger.conditions = vec![api::Condition { key, contains: texts.to_vec() }];
        trigger.map_with = "status".to_owned();
        filter
    };
    keys.into_iter().enumerate().map(one).collect()
}

struct Stage {
    rig: Rig,
    token: String,
    healthy: String,
}

async fn stage(args: &[&str]) -> anyhow::Result<Stage> {
    let mut gateway_args =
        ["--rate-limit-token", "0", "--rate-limit-token-burst", "0", "--rate-limit-refused", "0"]
            .map(str::to_owned)
            .to_vec();
    gateway_args.extend(args.iter().map(|&arg| arg.to_owned()));
    let plan = Plan { gateway_args, log: "warn".to_owned(), ..Plan::default() };
    let rig = Rig::planned(plan).await?;
    let admin: Admin = rig.first_admin().await?;
    let team = admin.team("team").await?;
    let service = admin.service(&team, "one", vec![filter("status")]).await?;
    let healthy = admin.token("healthy", &service.name).await?.secret;
    admin.service(&team, "hostile", hostile_filters()).await?;
    let token = admin.token("hostile", "").await?.secret;
    Ok(Stage { rig, token, healthy })
}

/// The most memory that a role has while it is watched, in KiB.
fn watch(pid: nix::unistd::Pid, stop: CancellationToken) -> tokio::task::JoinHandle<u64> {
    tokio::spawn(async move {
        let mut most = 0;
        while !stop.is_cancelled() {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            most = most.max(kib.unwrap_or_default());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        most
    })
}

/// That no role has ended or panicked.
fn unharmed(rig: &mut Rig) -> anyhow::Result<()> {
    for role in [Role::Admin, Role::Gateway(0), Role::Worker(0)] {
        let process = &mut rig.running(role)?.process;
        ensure!(process.runs(), "{role:?} has ended: {}", process.log());
        let log = process.log();
        ensure!(!log.contains("panicked at"), "{role:?} panicked: {log}");
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "make hostile shows what was done")]
async fn besieged<T>(
    stage: &mut Stage,
    name: &str,
    attack: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let gateway = stage.rig.running(Role::Gateway(0))?;
    let (address, before) = (gateway.address, gateway.process.resident()?);
    let stop = CancellationToken::new();
    let watching = watch(gateway.process.pid()?, stop.clone());
    let healthy = Healthy::start(address, stage.healthy.clone());
    let done = attack.await;
    let served = healthy.end().await?;
    stop.cancel();
    let most = watching.await?;
    println!("{name}: {}", served.told());
    println!("{name}: gateway {before} KiB before, at most {most} KiB");
    unharmed(&mut stage.rig)?;
    let done = done?;
    served.check()?;
    ensure!(most < before + MOST_MORE_KIB, "the gateway had {most} KiB, {before} KiB before");
    Ok(done)
}

#[expect(clippy::print_stdout, reason = "make hostile shows what was done")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_bad_request_does_harm() -> anyhow::Result<()> {
    let mut stage = stage(&[]).await?;
    let gateway = stage.rig.gateway()?;
    let seed = number("HOSTILE_SEED", 1)?;
    let requests = number("REQUESTS", 4_000)?;
    let patience = Duration::from_millis(number("HOSTILE_PATIENCE_MS", 5_000)?);
    let first = number("HOSTILE_CASE", 0)?;
    let plan = Attack { first, requests, clients: 16, patience };
    let token = stage.token.clone();
    let grammar = Arc::new(Grammar { seed, token, bombs: Bombs::default() });
    println!("HOSTILE_SEED={seed} REQUESTS={requests}; one case: HOSTILE_CASE=number REQUESTS=1");
    let attack = attack::run(gateway, grammar, plan);
    let report = besieged(&mut stage, "requests", attack).await?;
    println!("{}", report.told());
    ensure!(report.failed == 0, "{}", report.told());
    Ok(())
}
