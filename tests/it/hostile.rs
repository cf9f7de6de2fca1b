//! Hostile input: bad requests made by rule, slow clients, floods, idle connections. `make test` sends
//! a few thousand requests, `make hostile` a million.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use e2e::admin::{Admin, filter};
use e2e::hostile::attack::{self, Plan as Attack};
use e2e::hostile::bodies::Bombs;
use e2e::hostile::flood;
use e2e::hostile::grammar::Grammar;
use e2e::hostile::healthy::Healthy;
use e2e::rig::{Plan, Rig, Role};
use e2e::tools;
use tokio_util::sync::CancellationToken;
use wire::proto::gander::admin::v1 as api;

/// What the gateway may take above what it had before, in KiB.
const MOST_MORE_KIB: u64 = 256 * 1024;

fn number(variable: &str, otherwise: u64) -> anyhow::Result<u64> {
    runtime::environment::variable(variable).map_or(Ok(otherwise), |text| Ok(text.parse()?))
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
pub fn watch(pid: nix::unistd::Pid, stop: CancellationToken) -> tokio::task::JoinHandle<u64> {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_bad_request_does_harm() -> anyhow::Result<()> {
    let mut stage = stage(&[]).await?;
    let gateway = stage.rig.gateway()?;
    let seed = number("HOSTILE_SEED", 1)?;
    let requests = number("REQUESTS", 4_000)?;
    let patience = Duration::from_millis(number("HOSTILE_PATIENCE_MS", 9_000)?);
    let first = number("HOSTILE_CASE", 0)?;
    let plan = Attack { first, requests, clients: 16, patience };
    let token = stage.token.clone();
    let grammar = Arc::new(Grammar { seed, token, bombs: Bombs::default() });
    println!("HOSTILE_SEED={seed} REQUESTS={requests}; one case: HOSTILE_CASE=number REQUESTS=1");
    let attack = async {
        let report = attack::run(gateway, grammar, plan).await?;
        println!("{}", report.told());
        Ok(report)
    };
    let report = besieged(&mut stage, "requests", attack).await?;
    ensure!(report.failed == 0, "{}", report.told());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_say_nothing_or_little_disturb_nobody() -> anyhow::Result<()> {
    let count = usize::try_from(number("IDLE_CONNECTIONS", 1_000)?)?;
    flood::open_files(u64::try_from(count)? + 2_000)?;
    let most = (count + 1_000).to_string();
    let mut stage = stage(&["--max-connections", &most]).await?;
    let gateway = stage.rig.gateway()?;
    let attack = async {
        let silent = flood::hold(gateway, count / 2, b"").await?;
        let begun = b"POST /v1/process HTTP/1.1\r\nX: ";
        let mut slow = flood::hold(gateway, count - count / 2, begun).await?;
        // For less than the ten seconds that the gateway gives them.
        for _ in 0..3 {
            flood::drip(&mut slow, b'x').await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok((silent.len(), slow.len()))
    };
    let (silent, slow) = besieged(&mut stage, "idle connections", attack).await?;
    ensure!(silent + slow == count, "{silent} silent and {slow} slow ones of {count}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make hostile runs it, with the attackers of others"]
async fn slow_clients_of_others_disturb_nobody() -> anyhow::Result<()> {
    flood::open_files(8_000)?;
    let mut stage = stage(&["--max-connections-per-ip", "5000"]).await?;
    let url = format!("http://{}/v1/process?token={}", stage.rig.gateway()?, stage.token);
    let folder = stage.rig.folder().to_owned();
    let common = ["-c", "4000", "-r", "1000", "-l", "25", "-p", "5", "-u", &url];
    for (name, args) in [
        ("slow heads", &["-H", "-i", "2", "-x", "10"][..]),
        ("slow bodies", &["-B", "-i", "2", "-x", "10", "-s", "8192", "-t", "POST"]),
        ("slow readers", &["-X", "-k", "5", "-w", "1", "-y", "2", "-n", "5", "-z", "1"]),
    ] {
        let mut command = tools::sender(&folder, "slowhttptest")?;
        command.args(args).args(common);
        let told = besieged(&mut stage, name, tools::output(&mut command)).await?;
        let last = told.lines().filter(|line| line.contains(':')).rev().take(8);
        println!("{}", last.collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make hostile runs it, with the attackers of others"]
async fn floods_over_http2_disturb_nobody() -> anyhow::Result<()> {
    let mut stage = stage(&[]).await?;
    let gateway = stage.rig.gateway()?;
    let folder = stage.rig.folder().to_owned();
    for (name, path) in [("flood of probes", "livez"), ("flood without a token", "v1/process")] {
        let mut command = tools::sender(&folder, "h2load")?;
        let url = format!("http://{gateway}/{path}");
        command.args(["-n", "200000", "-c", "500", "-m", "100", &url]);
        let told = besieged(&mut stage, name, tools::output(&mut command)).await?;
        let line = |part: &str| told.lines().find(|line| line.contains(part)).unwrap_or_default();
        println!("{}\n{}\n{}", line("finished in"), line("requests: "), line("status codes"));
        ensure!(line("requests: ").contains("200000 done"), "{told}");
        ensure!(line("requests: ").contains(" 0 errored, 0 timeout"), "{told}");
    }
    let attack = async {
        let mut taken = 0;
        for _ in 0..500 {
            taken += flood::rapid_reset(gateway, 2_000).await?;
        }
        Ok(taken)
    };
    let taken = besieged(&mut stage, "rapid resets", attack).await?;
    println!("rapid resets: 500 connections ended, {taken} resets sent");
    Ok(())
}
