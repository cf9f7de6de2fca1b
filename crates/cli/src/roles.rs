//! Running roles: alone, or all of them with nats-server as a child.
//!
//! Must not know what the roles do.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use runtime::clock::SystemClock;
use runtime::lifecycle::Lifecycle;
use runtime::nats::Nats;
use runtime::nats::streams::{Settings, Streams};
use runtime::nats_server::{self, NatsServer};
use runtime::ops::{self, Checks};
use runtime::random::SystemRandom;
use runtime::{environment, listen, telemetry};
use wire::partition::Partitions;

use crate::args::{
    AdminAct, AdminArgs, Common, GatewayArgs, NatsArgs, StreamArgs, UpArgs, WorkerArgs,
};
use crate::out::say;

const NATS_TEMPLATE: &str = include_str!("../../../deploy/nats.conf");

/// What a starting process has.
struct Process {
    lifecycle: Lifecycle,
    checks: Checks,
    drain: Duration,
}

fn start(common: &Common) -> anyhow::Result<Process> {
    telemetry::start_logs(&common.log, common.log_format)?;
    let _ = telemetry::metrics();
    let drain = Duration::from_secs(common.drain_seconds);
    Ok(Process { lifecycle: Lifecycle::default(), checks: Checks::default(), drain })
}

impl Process {
    async fn serve_ops(&self, common: &Common, roles: &[&'static str]) -> anyhow::Result<()> {
        roles.iter().for_each(|role| self.checks.starting(role));
        let listener = listen::open(common.ops_listen, common.insecure_listen).await?;
        let part = ops::run(listener, self.checks.clone(), self.lifecycle.shutdown());
        self.lifecycle.spawn("ops", part);
        Ok(())
    }

    async fn finish(self) -> anyhow::Result<()> {
        Ok(self.lifecycle.run(self.drain).await?)
    }
}

fn many_threads<T>(part: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(part)
}

async fn connect(url: &str, name: &str, streams: &StreamArgs) -> anyhow::Result<(Nats, Streams)> {
    let nats = Nats::connect(url, name).await?;
    let partitions = Partitions::new(streams.partitions).context("partitions are 1 to 64")?;
    let settings = Settings {
        replicas: usize::from(streams.replicas),
        partitions,
        alerts_max_bytes: streams.alerts_max_bytes,
    };
    let streams = nats.ensure_streams(&settings).await?;
    Ok((nats, streams))
}

async fn connect_to(args: &NatsArgs, name: &str) -> anyhow::Result<(Nats, Streams)> {
    connect(&args.nats_url, name, &args.streams).await
}

fn spawn_admin(
    process: &Process,
    data: &Path,
    listener: tokio::net::TcpListener,
    (nats, streams): (Nats, Streams),
) {
    let deps = admin::Deps {
        data: data.to_owned(),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        nats,
        streams,
        checks: process.checks.clone(),
    };
    let part = admin::run(listener, deps, process.lifecycle.shutdown());
    process.lifecycle.spawn("admin", part);
}

fn spawn_worker(process: &Process, (nats, streams): (Nats, Streams)) {
    let config = worker::Config {
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        checks: process.checks.clone(),
    };
    let part = worker::run(config, nats, streams, process.lifecycle.shutdown());
    process.lifecycle.spawn("worker", part);
}

fn spawn_gateway(
    process: &Process,
    config: gateway::Config,
    listener: tokio::net::TcpListener,
    (nats, streams): (Nats, Streams),
) {
    let deps = gateway::Deps {
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        nats,
        streams,
        checks: process.checks.clone(),
    };
    let part = gateway::run(config, listener, deps, process.lifecycle.shutdown());
    process.lifecycle.spawn("gateway", part);
}

/// Runs admin alone, or does what it can do without running.
pub fn admin(args: &AdminArgs) -> anyhow::Result<()> {
    if let Some(AdminAct::Recover { data }) = &args.act {
        let path = admin::bootstrap::recover(data, &SystemClock, &SystemRandom)?;
        say(&format!("bootstrap credential: {}", path.display()));
        say(
            "start admin, then: gander principal create NAME --role global-admin --bootstrap-file FILE",
        );
        return Ok(());
    }
    let process = start(&args.common)?;
    many_threads(async {
        let listener = listen::open(args.admin.listen, args.common.insecure_listen).await?;
        process.serve_ops(&args.common, &["admin"]).await?;
        let broker = connect_to(&args.nats, "gander-admin").await?;
        spawn_admin(&process, &args.data, listener, broker);
        process.finish().await
    })
}

/// Runs a gateway alone, on one thread: half the work of several on this path.
pub fn gateway(args: &GatewayArgs) -> anyhow::Result<()> {
    let process = start(&args.common)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let config = args.gateway.clone();
        let listener = listen::open(config.listen, args.common.insecure_listen).await?;
        process.serve_ops(&args.common, &["gateway"]).await?;
        let broker = connect_to(&args.nats, "gander-gateway").await?;
        spawn_gateway(&process, config, listener, broker);
        process.finish().await
    })
}

/// Runs a worker alone.
pub fn worker(args: &WorkerArgs) -> anyhow::Result<()> {
    let process = start(&args.common)?;
    many_threads(async {
        process.serve_ops(&args.common, &["worker"]).await?;
        let broker = connect_to(&args.nats, "gander-worker").await?;
        spawn_worker(&process, broker);
        process.finish().await
    })
}

/// Runs everything on this machine.
pub fn up(args: &UpArgs) -> anyhow::Result<()> {
    let process = start(&args.common)?;
    many_threads(async {
        let insecure = args.common.insecure_listen;
        let grpc = listen::open(args.admin.listen, insecure).await?;
        let http = listen::open(args.gateway.listen, insecure).await?;
        process.serve_ops(&args.common, &["admin", "gateway", "worker"]).await?;
        std::fs::create_dir_all(&args.data).context("the data folder cannot be made")?;
        let data = args.data.canonicalize().context("the data folder cannot be read")?;
        let search = environment::variable("PATH");
        let program = nats_server::find(args.nats_server.as_deref(), search.as_deref())?;
        let folder = data.join("nats");
        let mut server =
            NatsServer::start(&program, &folder, NATS_TEMPLATE, args.nats_port).await?;
        let broker = connect(&server.url(), "gander-up", &args.streams).await?;
        let addresses = (grpc.local_addr()?, http.local_addr()?);
        spawn_admin(&process, &data, grpc, broker.clone());
        spawn_worker(&process, broker.clone());
        spawn_gateway(&process, args.gateway.clone(), http, broker);
        greet(&data, addresses, &server, args);
        let shutdown = process.lifecycle.shutdown();
        let ended = tokio::select! {
            ended = process.finish() => ended,
            status = server.ended() => {
                shutdown.soft.cancel();
                shutdown.hard.cancel();
                Err(anyhow::anyhow!("nats-server ended: {}", status?))
            }
        };
        server.stop().await?;
        ended
    })
}

fn greet(
    data: &Path,
    (grpc, http): (std::net::SocketAddr, std::net::SocketAddr),
    server: &NatsServer,
    args: &UpArgs,
) {
    say("Gander is up.");
    say(&format!("  alerts   http://{http}{}/v1/process", args.gateway.path_prefix));
    say(&format!("  admin    http://{grpc} (gRPC)"));
    say(&format!("  events   {} (stream GANDER_INCIDENTS)", server.url()));
    say(&format!("  ops      http://{}/metrics", args.common.ops_listen));
    say(&format!("  data     {}", data.display()));
    let bootstrap = admin::bootstrap::credential_path(data);
    say("First start? Make yourself a Global Admin:");
    say(&format!(
        "  gander principal create me --role global-admin --bootstrap-file {}",
        bootstrap.display()
    ));
    say("Stop with Ctrl-C; twice stops at once.");
}
