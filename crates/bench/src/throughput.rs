//! Accepted alerts a second, each durable before its 2xx, beside a bare server that only reads the body.
//!
//! Both are asked in turns by the same clients on the same cores; what counts is the median of the
//! ratios. Must not know what a good ratio is.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use e2e::admin::{filter, payload};
use e2e::alerts;
use e2e::certificates::{Authority, Pair};
use e2e::events::connect;
use e2e::process::Process;
use e2e::rig::{Plan, Rig, Role, free_address};
use e2e::wait::eventually;
use flate2::Compression;
use flate2::write::GzEncoder;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Serialize;
use wire::subject;

use crate::bare::{self, Runtime};
use crate::load::Requests;
use crate::machine::{processor_seconds, resident_mib};
use crate::progress::Progress;
use crate::state::{folded, stored};
use crate::{median, range};

/// Bytes of a body before it is compressed.
const BYTES: usize = 1_000;
/// How long one side of a pair is measured.
const SIDE: Duration = Duration::from_secs(5);
/// Pairs of the row that has a target, and of the others.
const PAIRS: usize = 5;
const PAIRS_OF_OTHERS: usize = 3;
/// How long everything must have been ready after it stood still, and how long that may take.
const SETTLED: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(30);
/// The gateway's counter of alerts that it has stored.
const ACCEPTED: &str = "gander_gateway_accepted_total";
/// How many connections the picture shows.
const CONNECTIONS: [usize; 6] = [1, 4, 16, 64, 256, 1_024];

/// How alerts are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// In clear text, the token in a header.
    Plain,
    /// Over TLS.
    Tls,
    /// The token in the URL.
    UrlToken,
    /// The body compressed.
    Gzip,
}

/// Accepted alerts beside answers of the bare server.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// How they are sent.
    pub kind: Kind,
    /// To how many nats-servers, each with a copy of every stream.
    pub servers: usize,
    /// Over how many connections.
    pub connections: usize,
    /// How many pairs were measured.
    pub pairs: usize,
    /// Accepted a second, median.
    pub accepted: f64,
    /// Answers a second of the bare server, median.
    pub bare: f64,
    /// Accepted for each answer of the bare server, the median of the pairs.
    pub ratio: f64,
    /// The least and the greatest ratio of a pair.
    pub ratio_range: [f64; 2],
    /// Processor time for each accepted alert, microseconds: of the gateway.
    pub gateway_us: f64,
    /// Of nats-server.
    pub nats_us: f64,
    /// The least and the greatest sum of both in a pair.
    pub both_us_range: [f64; 2],
    /// Of the worker, for each alert that it has folded meanwhile.
    pub worker_us: f64,
    /// Of h2load, for each accepted alert.
    pub h2load_us: f64,
    /// Of the bare server for each answer.
    pub bare_us: f64,
    /// Of h2load, for each answer of the bare server.
    pub bare_h2load_us: f64,
    /// The share of the time of all cores in which they had nothing to do, while alerts were sent.
    pub idle: f64,
    /// The same while the bare server was asked.
    pub bare_idle: f64,
    /// How many of the accepted alerts were not folded when the load ended.
    pub lag: f64,
    /// How long the worker then took for them, seconds.
    pub catch_up_s: f64,
    /// The memory of the gateway after it, MiB.
    pub gateway_mib: f64,
}

/// What one side came to.
#[derive(Clone, Copy, Debug, Default)]
struct Side {
    per_second: f64,
    server_us: f64,
    nats_us: f64,
    worker_us: f64,
    h2load_us: f64,
    idle: f64,
    lag: f64,
    catch_up_s: f64,
}

struct Installation {
    rig: Rig,
    gateway: SocketAddr,
    secret: String,
    body: PathBuf,
    compressed: PathBuf,
    tls: Pair,
}

impl Installation {
    async fn start(tls: bool, cluster: bool) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?.keep();
        let (pair, _) = Authority::new("bench")?.issue(&folder, "bench")?;
        let mut gateway_args: Vec<String> =
            ["--rate-limit-token", "0", "--max-connections-per-ip", "5000"]
                .map(str::to_owned)
                .into();
        if tls {
            let (certificate, key) = (pair.certificate.display(), pair.key.display());
            gateway_args.extend(["--http-tls-cert".to_owned(), certificate.to_string()]);
            gateway_args.extend(["--http-tls-key".to_owned(), key.to_string()]);
        }
        let plan = Plan { gateway_args, log: "warn".to_owned(), cluster, ..Plan::default() };
        let mut rig = Rig::planned(plan).await?;
        let admin = rig.first_admin().await?;
        let team = admin.team("Bench").await?;
        let service = admin.service(&team, "Bench", vec![filter("status")]).await?;
        let secret = admin.token("bench", &service.name).await?.secret;
        let gateway = rig.gateway()?;
        let (body, compressed) = bodies(&folder)?;
        Ok(Self { rig, gateway, secret, body, compressed, tls: pair })
    }

    fn requests(&self, kind: Kind, connections: usize, server: SocketAddr) -> Requests<'_> {
        let scheme = if kind == Kind::Tls { "https" } else { "http" };
        let mut url = format!("{scheme}://{server}/v1/process");
        let mut headers =
            vec!["content-type: application/json".to_owned(), "prefer: respond-async".to_owned()];
        if kind == Kind::UrlToken {
            url = format!("{url}?token={}", self.secret);
        } else {
            headers.push(format!("authorization: Bearer {}", self.secret));
        }
        let mut body = &self.body;
        if kind == Kind::Gzip {
            headers.push("content-encoding: gzip".to_owned());
            body = &self.compressed;
        }
        Requests { url, headers, body, connections, lasts: SIDE }
    }

    fn pid(&mut self, role: Role) -> anyhow::Result<i32> {
        Ok(self.rig.running(role)?.process.pid()?.as_raw())
    }

    /// The processor time of gateway, nats-server and worker so far.
    fn spent(&mut self) -> anyhow::Result<[f64; 3]> {
        let mut nats = 0.0;
        for server in std::iter::once(&self.rig.nats).chain(&self.rig.peers) {
            nats += processor_seconds(i32::try_from(server.pid().context("no nats-server")?)?)?;
        }
        let (gateway, worker) = (self.pid(Role::Gateway(0))?, self.pid(Role::Worker(0))?);
        Ok([processor_seconds(gateway)?, nats, processor_seconds(worker)?])
    }

    async fn accepted(&mut self, kind: Kind, connections: usize) -> anyhow::Result<Side> {
        let nats = connect(&self.rig.nats_url()).await?;
        let ops = self.rig.running(Role::Gateway(0))?.ops;
        let before = (self.spent()?, folded(&nats).await?, counter(ops, ACCEPTED).await?);
        let requests = self.requests(kind, connections, self.gateway);
        let sent = requests.send(self.rig.folder()).await?;
        let (spent, done) = (self.spent()?, folded(&nats).await?);
        let accepted = counter(ops, ACCEPTED).await? - before.2;
        let each = |at: usize| (spent[at] - before.0[at]) * 1e6 / accepted;
        let now = tokio::time::Instant::now();
        let end = stored(&nats, subject::ALERTS_STREAM).await?.last;
        eventually("the worker to catch up", async || {
            let done = folded(&nats).await.ok()?;
            (done.position >= end).then_some(())
        })
        .await?;
        let worked = (done.alerts - before.1.alerts) as f64;
        Ok(Side {
            per_second: sent.per_second,
            server_us: each(0),
            nats_us: each(1),
            worker_us: (spent[2] - before.0[2]) * 1e6 / worked.max(1.0),
            h2load_us: sent.processor_seconds * 1e6 / accepted,
            idle: sent.idle,
            // Those stored whose connection was gone before they were counted make it less than none.
            lag: (accepted - worked).max(0.0),
            catch_up_s: now.elapsed().as_secs_f64(),
        })
    }

    /// The bare server, while everything of Gander stands still.
    async fn bare(
        &mut self,
        runtime: Runtime,
        kind: Kind,
        connections: usize,
    ) -> anyhow::Result<Side> {
        self.signal(Signal::SIGSTOP)?;
        let side = self.bare_alone(runtime, kind, connections).await?;
        self.signal(Signal::SIGCONT)?;
        self.settled().await?;
        Ok(side)
    }

    /// Signals everything of Gander. The servers of a cluster go on: where they all stand still they
    /// have no leader afterwards, for longer than a pair takes.
    fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        for role in self.rig.roles() {
            self.rig.running(role)?.process.signal(signal)?;
        }
        if self.rig.peers.is_empty() {
            let pid = self.rig.nats.pid().context("no nats-server")?;
            kill(Pid::from_raw(i32::try_from(pid)?), signal)?;
        }
        Ok(())
    }

    /// Waits until all are ready again and stay so: who stood still has no lease at first.
    async fn settled(&mut self) -> anyhow::Result<()> {
        let mut since = tokio::time::Instant::now();
        let deadline = since + PATIENCE;
        while since.elapsed() < SETTLED {
            for role in self.rig.roles() {
                let running = self.rig.running(role)?;
                let ready = alerts::get(running.ops, "/readyz").await;
                if !ready.is_ok_and(|(status, _)| status.is_success()) {
                    let log = running.process.log();
                    since = tokio::time::Instant::now();
                    anyhow::ensure!(since < deadline, "{role:?} is not ready again: {log}");
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn bare_alone(
        &self,
        runtime: Runtime,
        kind: Kind,
        connections: usize,
    ) -> anyhow::Result<Side> {
        let (listen, ops) = (free_address()?, free_address()?);
        let name = match runtime {
            Runtime::CurrentThread => "current-thread",
            Runtime::MultiThread => "multi-thread",
        };
        let (listens, tells) = (listen.to_string(), ops.to_string());
        let args = ["bare", "--runtime", name, "--listen", &listens, "--ops-listen", &tells];
        let mut args: Vec<String> = args.map(str::to_owned).into();
        if kind == Kind::Tls {
            args.extend(["--certificate".to_owned(), self.tls.certificate.display().to_string()]);
            args.extend(["--key".to_owned(), self.tls.key.display().to_string()]);
        }
        let program = std::env::current_exe()?;
        let mut process = Process::start_program(&program, self.rig.folder(), "bare", &args)?;
        eventually("the bare server", async || tokio::net::TcpStream::connect(listen).await.ok())
            .await?;
        let pid = process.pid()?.as_raw();
        let before = processor_seconds(pid)?;
        let requests = self.requests(kind, connections, listen);
        let sent = requests.send(self.rig.folder()).await?;
        let spent = processor_seconds(pid)? - before;
        let answered = counter(ops, bare::ANSWERED).await?;
        // Once it is waited for, its time is not taken for that of h2load.
        process.kill().await?;
        Ok(Side {
            per_second: sent.per_second,
            server_us: spent * 1e6 / answered,
            h2load_us: sent.processor_seconds * 1e6 / answered,
            idle: sent.idle,
            ..Side::default()
        })
    }

    async fn row(
        &mut self,
        runtime: Runtime,
        kind: Kind,
        connections: usize,
        pairs: usize,
    ) -> anyhow::Result<Row> {
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..pairs {
            bare.push(self.bare(runtime, kind, connections).await?);
            ours.push(self.accepted(kind, connections).await?);
        }
        let mid = |of: &[Side], field: fn(&Side) -> f64| {
            median(&mut of.iter().map(field).collect::<Vec<_>>())
        };
        let pairs_of = ours.iter().zip(&bare).map(|(ours, bare)| ours.per_second / bare.per_second);
        let mut ratios: Vec<f64> = pairs_of.collect();
        let both: Vec<f64> = ours.iter().map(|side| side.server_us + side.nats_us).collect();
        let gateway = self.pid(Role::Gateway(0))?;
        Ok(Row {
            kind,
            servers: 1 + self.rig.peers.len(),
            connections,
            pairs,
            accepted: mid(&ours, |side| side.per_second),
            bare: mid(&bare, |side| side.per_second),
            ratio: median(&mut ratios),
            ratio_range: range(&ratios),
            gateway_us: mid(&ours, |side| side.server_us),
            nats_us: mid(&ours, |side| side.nats_us),
            both_us_range: range(&both),
            worker_us: mid(&ours, |side| side.worker_us),
            h2load_us: mid(&ours, |side| side.h2load_us),
            bare_us: mid(&bare, |side| side.server_us),
            bare_h2load_us: mid(&bare, |side| side.h2load_us),
            idle: mid(&ours, |side| side.idle),
            bare_idle: mid(&bare, |side| side.idle),
            lag: mid(&ours, |side| side.lag),
            catch_up_s: mid(&ours, |side| side.catch_up_s),
            gateway_mib: resident_mib(gateway)?,
        })
    }
}

/// A counter, as a process tells it.
async fn counter(ops: SocketAddr, name: &str) -> anyhow::Result<f64> {
    let (_, text) = alerts::get(ops, "/metrics").await?;
    let told = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(told.with_context(|| format!("{name} is missing"))?.parse()?)
}

/// A body as it is, and compressed.
fn bodies(folder: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    use std::io::Write;
    let alert = payload("firing", "bench");
    let padding = BYTES.saturating_sub(alert.len() + 14);
    let text = alert.replacen('{', &format!("{{\"padding\":\"{}\",", "x".repeat(padding)), 1);
    let (body, compressed) = (folder.join("body.json"), folder.join("body.json.gz"));
    std::fs::write(&body, &text)?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes())?;
    std::fs::write(&compressed, encoder.finish()?)?;
    Ok((body, compressed))
}

/// All rows, and the name of the bare server's faster runtime.
pub async fn rows(progress: &Progress) -> anyhow::Result<(Vec<Row>, &'static str)> {
    let mut plain = Installation::start(false, false).await?;
    progress.say("throughput: which runtime of the bare server is the faster one");
    let one = plain.bare(Runtime::CurrentThread, Kind::Plain, 256).await?.per_second;
    let many = plain.bare(Runtime::MultiThread, Kind::Plain, 256).await?.per_second;
    let (runtime, name) = if one >= many {
        (Runtime::CurrentThread, "current-thread")
    } else {
        (Runtime::MultiThread, "multi-thread")
    };
    let mut rows = Vec::new();
    for connections in CONNECTIONS {
        let pairs = if connections == 256 { PAIRS } else { PAIRS_OF_OTHERS };
        progress.say(&format!("throughput: {connections} connections"));
        rows.push(plain.row(runtime, Kind::Plain, connections, pairs).await?);
    }
    for kind in [Kind::UrlToken, Kind::Gzip] {
        progress.say(&format!("throughput: {kind:?}"));
        rows.push(plain.row(runtime, kind, 256, PAIRS_OF_OTHERS).await?);
    }
    drop(plain);
    progress.say("throughput: TLS");
    let mut secured = Installation::start(true, false).await?;
    rows.push(secured.row(runtime, Kind::Tls, 256, PAIRS_OF_OTHERS).await?);
    drop(secured);
    progress.say("throughput: three nats-servers");
    let mut three = Installation::start(false, true).await?;
    rows.push(three.row(runtime, Kind::Plain, 256, PAIRS_OF_OTHERS).await?);
    Ok((rows, name))
}
