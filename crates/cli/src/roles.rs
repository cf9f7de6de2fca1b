//! Running roles: alone, or all of them with nats-server as a child.
//!
//! Must not know what the roles do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use admin::Home;
use anyhow::Context;
use domain::filter::Key;
use runtime::clock::{Clock, Monotone, SystemClock};
use runtime::data_folder::DataFolder;
use runtime::facts::Facts;
use runtime::lifecycle::{Lifecycle, Shutdown};
use runtime::listen::Listener;
use runtime::nats::Nats;
use runtime::nats::access::{Door, User};
use runtime::nats::streams::{Settings, Streams};
use runtime::ops::{self, Checks};
use runtime::parts::Parts;
use runtime::random::SystemRandom;
use runtime::traces::{self, Tracer, Traces};
use runtime::{durability, environment, listen, notify, telemetry};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use wire::partition::Partitions;
use wire::stored::member::Role;

use crate::args::{
    AdminAct, AdminArgs, Common, GatewayArgs, NatsArgs, RedactArgs, StreamArgs, UpArgs, WorkerArgs,
};
use crate::client::DEFAULT_SERVER;
use crate::out::{greet, say};
use crate::stored::Broker;

/// Ports of the ops listener where none is said, so that roles can share a machine.
const ADMIN_OPS: u16 = 7701;
const GATEWAY_OPS: u16 = 7702;
const WORKER_OPS: u16 = 7703;

/// The flags that say where a listener is.
const GRPC_LISTEN: &str = "--grpc-listen";
const HTTP_LISTEN: &str = "--http-listen";
const NATS_PORT: &str = "--nats-port";
const OPS_LISTEN: &str = "--ops-listen";

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a starting process has.
struct Process {
    lifecycle: Lifecycle,
    checks: Checks,
    drain: Duration,
    traces: Option<Traces>,
    facts: Facts,
}

/// Starts a process under the name that it has in traces.
fn start(common: &Common, name: &'static str) -> anyhow::Result<Process> {
    telemetry::start_logs(&common.log, common.log_format)?;
    telemetry::tell_process(VERSION, SystemClock.now());
    let drain = Duration::from_secs(common.drain_seconds);
    let (lifecycle, checks) = (Lifecycle::default(), Checks::default());
    let (traces, facts) = (start_traces(common, name)?, Facts::of_this_process());
    Ok(Process { lifecycle, checks, drain, traces, facts })
}

/// The variable of OpenTelemetry counts too: it is what operators set for all their programs.
fn start_traces(common: &Common, name: &'static str) -> anyhow::Result<Option<Traces>> {
    let named = common.otlp_endpoint.clone();
    let Some(text) = named.or_else(|| environment::variable("OTEL_EXPORTER_OTLP_ENDPOINT")) else {
        return Ok(None);
    };
    let endpoint = traces::Endpoint::parse(&text)?;
    let ratio = common.trace_sample_ratio;
    tracing::info!(%endpoint, %ratio, "traces are sent");
    Ok(Some(Traces::start(&traces::Settings { endpoint, ratio }, name, VERSION)?))
}

/// What a role is given by its process, before it has a connection.
struct Given {
    checks: Checks,
    tracer: Tracer,
    facts: Facts,
}

impl Given {
    /// Waits until admin has started, where it is in this process: it writes a GANDER_CONTROL that was
    /// lost anew, which until then says less than was decided. False if the process stops before.
    async fn after_admin(&self, shutdown: &Shutdown) -> bool {
        tokio::select! {
            () = self.checks.role_started("admin") => true,
            () = shutdown.soft.cancelled() => false,
        }
    }

    /// All that a role is given; clock and randomness for ids, never for rules of a worker.
    fn parts(self, (nats, streams): (Nats, Streams)) -> Parts {
        Parts {
            clock: Arc::new(Monotone::<SystemClock>::default()),
            random: Arc::new(SystemRandom),
            nats,
            streams,
            checks: self.checks,
            tracer: self.tracer,
            facts: self.facts,
        }
    }
}

impl Process {
    /// Opens the ops listener; `port` is that of the role where none is said.
    async fn serve_ops(
        &self,
        common: &Common,
        port: u16,
        roles: &[&'static str],
    ) -> anyhow::Result<SocketAddr> {
        roles.iter().for_each(|role| self.checks.starting(role));
        let address = common.ops_listen.unwrap_or((Ipv4Addr::LOCALHOST, port).into());
        let listener = listen::open(address, OPS_LISTEN, common.insecure_listen).await?;
        let address = listener.local_addr()?;
        tokio::spawn(ops::run(listener, self.checks.clone()));
        Ok(address)
    }

    /// Says it once all roles are ready, to systemd too. By a thread of its own: whoever reads it may be slow.
    fn when_ready(&self, act: impl FnOnce() + Send + 'static) {
        let checks = self.checks.clone();
        tokio::spawn(async move {
            checks.all_ready().await;
            notify::ready();
            std::thread::spawn(act);
            notify::watchdog(checks).await;
        });
    }

    /// What a role is given by its process.
    fn given(&self, role: &'static str) -> Given {
        let tracer = self.traces.as_ref().map(|traces| traces.tracer(role)).unwrap_or_default();
        Given { checks: self.checks.clone(), tracer, facts: self.facts.clone() }
    }

    async fn finish(self) -> anyhow::Result<()> {
        let ended = self.lifecycle.run(self.drain).await;
        // It waits for the collector; nothing else may wait for it.
        let _ = tokio::task::spawn_blocking(move || drop(self.traces)).await;
        Ok(ended?)
    }
}

fn many_threads<T>(part: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(part)
}

/// For the gateway: half the work of several threads on its path.
fn one_thread<T>(part: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(part)
}

/// Admin makes the streams; the others wait for it.
async fn connect(door: &Door, role: User, streams: &StreamArgs) -> anyhow::Result<(Nats, Streams)> {
    let nats = Nats::connect(door, &format!("gander-{}", role.name())).await?;
    let partitions = Partitions::new(streams.partitions).context("partitions are 1 to 64")?;
    let settings = Settings {
        replicas: usize::from(streams.replicas),
        partitions,
        alerts_max_bytes: streams.alerts_max_bytes,
        api_log_days: streams.api_log_days,
        api_log_max_bytes: streams.api_log_max_bytes,
    };
    let streams = match role {
        User::Admin | User::Operator => nats.ensure_streams(&settings).await?,
        User::Gateway | User::Worker => nats.await_streams(&settings).await?,
    };
    Ok((nats, streams))
}

async fn connect_to(args: &NatsArgs, role: User, facts: &Facts) -> anyhow::Result<(Nats, Streams)> {
    let connected = connect(&args.login.door(&args.nats_url, role), role, &args.streams).await?;
    tell_durability(args.nats_monitor_url.as_deref(), facts).await;
    Ok(connected)
}

async fn tell_durability(monitor_url: Option<&str>, facts: &Facts) {
    let level = durability::read(monitor_url).await;
    level.tell();
    facts.durability(level);
}

/// The end of a listener's certificate is for who asks how this process is.
fn tell_certificate(facts: &Facts, role: Role, listener: &Listener) {
    if let Some(certificate) = listener.tls.clone() {
        facts.certificate(role, certificate.listener(), move || certificate.not_after());
    }
}

/// What is left out of the API log, for roles that write it.
fn redacted(process: &Process, args: &RedactArgs) -> Vec<Key> {
    process.facts.redaction(&args.api_log_redact);
    args.api_log_redact.clone()
}

fn spawn_admin(process: &Process, home: Home, listener: Listener, broker: (Nats, Streams)) {
    tell_certificate(&process.facts, Role::Admin, &listener);
    let parts = process.given("admin").parts(broker);
    let part = admin::run(listener, home, parts, process.lifecycle.shutdown());
    process.lifecycle.spawn("admin", part);
}

fn home(config: &admin::Config, data: &Path) -> Home {
    Home { data: data.to_owned(), checkpoints: config.checkpoints(data) }
}

fn worker_config(process: &Process, given: &worker::Config, redact: &RedactArgs) -> worker::Config {
    worker::Config { api_log_redact: redacted(process, redact), ..given.clone() }
}

fn spawn_worker(
    process: &Process,
    config: worker::Config,
    broker: (Nats, Streams),
    shutdown: Shutdown,
) {
    let given = process.given("worker");
    let part = async move {
        if !given.after_admin(&shutdown).await {
            return Ok(());
        }
        worker::run(config, given.parts(broker), shutdown).await
    };
    process.lifecycle.spawn("worker", part);
}

/// Runs the gateway beside other roles as it runs alone: on a thread and a connection of its own.
/// Says through the soft stop of `drained` that it has answered everything.
fn spawn_gateway(
    process: &Process,
    args: &UpArgs,
    listener: Listener,
    door: Door,
    drained: Shutdown,
) -> anyhow::Result<()> {
    tell_certificate(&process.facts, Role::Gateway, &listener);
    let Listener { tcp, tls } = listener;
    let tcp = tcp.into_std()?;
    let api_log_redact = redacted(process, &args.redact);
    let config = gateway::Config { api_log_redact, ..args.gateway.clone() };
    let streams = args.streams.clone();
    let (given, shutdown) = (process.given("gateway"), process.lifecycle.shutdown());
    let (ended, end) = oneshot::channel();
    // Said in any case: the worker waits for it.
    let drained = drained.soft.drop_guard();
    std::thread::Builder::new().name("gateway".to_owned()).spawn(move || {
        let _ = ended.send(one_thread(async {
            let listener = Listener { tcp: TcpListener::from_std(tcp)?, tls };
            let broker = connect(&door, User::Gateway, &streams).await?;
            if !given.after_admin(&shutdown).await {
                return Ok(());
            }
            Ok(gateway::run(config, listener, given.parts(broker), shutdown).await?)
        }));
        drop(drained);
    })?;
    let part = async { end.await.unwrap_or_else(|_| Err(anyhow::anyhow!("it panicked"))) };
    process.lifecycle.spawn("gateway", part);
    Ok(())
}

/// Runs admin alone, or does what it can do without running.
pub fn admin(args: &AdminArgs) -> anyhow::Result<()> {
    if let Some(AdminAct::Recover { data }) = &args.act {
        let file = admin::bootstrap::recover(data)?;
        say(
            "Start admin: it writes a new bootstrap credential. Then make a Global Admin by a new name:",
        );
        let (file, role) = (file.display(), "--role global-admin");
        say(&format!(
            "  gander principal create NAME {role} --secret-file FILE --bootstrap-file {file}"
        ));
        say("Old credentials stay good: delete the principals that should not have them any more.");
        return Ok(());
    }
    let process = start(&args.common, "gander-admin")?;
    many_threads(async {
        let taken = DataFolder::take(&args.data)?;
        let insecure = args.common.insecure_listen;
        let tls = args.admin.certificate()?;
        let listener = listen::open_tls(args.admin.listen, GRPC_LISTEN, tls, insecure).await?;
        let grpc = listener.tcp.local_addr()?;
        let ops = process.serve_ops(&args.common, ADMIN_OPS, &["admin"]).await?;
        let broker = connect_to(&args.nats, User::Admin, &process.facts).await?;
        spawn_admin(&process, home(&args.admin, &taken.path), listener, broker);
        process.when_ready(move || tracing::info!(%grpc, %ops, "admin is ready"));
        let ended = process.finish().await;
        drop(taken);
        ended
    })
}

/// Runs a gateway alone.
pub fn gateway(args: &GatewayArgs) -> anyhow::Result<()> {
    let process = start(&args.common, "gander-gateway")?;
    one_thread(async {
        let api_log_redact = redacted(&process, &args.redact);
        let config = gateway::Config { api_log_redact, ..args.gateway.clone() };
        let tls = config.certificate()?;
        let insecure = args.common.insecure_listen;
        let listener = listen::open_tls(config.listen, HTTP_LISTEN, tls, insecure).await?;
        let http = listener.tcp.local_addr()?;
        let ops = process.serve_ops(&args.common, GATEWAY_OPS, &["gateway"]).await?;
        let broker = connect_to(&args.nats, User::Gateway, &process.facts).await?;
        tell_certificate(&process.facts, Role::Gateway, &listener);
        let parts = process.given("gateway").parts(broker);
        let part = gateway::run(config, listener, parts, process.lifecycle.shutdown());
        process.lifecycle.spawn("gateway", part);
        process.when_ready(move || tracing::info!(%http, %ops, "gateway is ready"));
        process.finish().await
    })
}

/// Runs a worker alone.
pub fn worker(args: &WorkerArgs) -> anyhow::Result<()> {
    let process = start(&args.common, "gander-worker")?;
    many_threads(async {
        let ops = process.serve_ops(&args.common, WORKER_OPS, &["worker"]).await?;
        let broker = connect_to(&args.nats, User::Worker, &process.facts).await?;
        let shutdown = process.lifecycle.shutdown();
        let config = worker_config(&process, &args.worker, &args.redact);
        spawn_worker(&process, config, broker, shutdown);
        process.when_ready(move || tracing::info!(%ops, "worker is ready"));
        process.finish().await
    })
}

/// Runs everything on this machine.
pub fn up(args: &UpArgs) -> anyhow::Result<()> {
    let process = start(&args.common, "gander")?;
    many_threads(async {
        let insecure = args.common.insecure_listen;
        // First of all: two nats-servers on one store would ruin it.
        let taken = DataFolder::take(&args.data)?;
        let data = taken.path.clone();
        let fresh = !admin::bootstrap::journal_path(&data).exists();
        let (grpc_tls, http_tls) = (args.admin.certificate()?, args.gateway.certificate()?);
        let listeners = async || {
            let (grpc, http) = (grpc_tls.clone(), http_tls.clone());
            let grpc = listen::open_tls(args.admin.listen, GRPC_LISTEN, grpc, insecure).await?;
            let http = listen::open_tls(args.gateway.listen, HTTP_LISTEN, http, insecure).await?;
            anyhow::Ok((grpc, http))
        };
        // An address that is taken is told at once. Until there is a broker nobody is let in to wait: who
        // is refused tries again.
        drop(listeners().await?);
        let nats = SocketAddr::from((Ipv4Addr::LOCALHOST, args.nats_port));
        drop(listen::open(nats, NATS_PORT, false).await?);
        let ops =
            process.serve_ops(&args.common, ADMIN_OPS, &["admin", "gateway", "worker"]).await?;
        let mut broker = Broker::start(&data, args.nats_server.as_deref(), args.nats_port).await?;
        tell_durability(Some(&broker.server.monitor_url()), &process.facts).await;
        let (grpc, http) = listeners().await?;
        let (url, server) =
            (broker.server.url(), server_option(grpc.tcp.local_addr()?, grpc.tls.is_some()));
        let greeting = greeting(&data, (url_of(&grpc)?, url_of(&http)?, ops), &url, args);
        let door = broker.door(User::Admin);
        let connected = connect(&door, User::Admin, &args.streams).await?;
        let of_admin = connected.0.clone();
        spawn_admin(&process, home(&args.admin, &data), grpc, connected);
        let door = broker.door(User::Worker);
        let connected = connect(&door, User::Worker, &args.streams).await?;
        let of_worker = connected.0.clone();
        // Requests that are begun still get their outcome: the worker stops after the gateway.
        let drained = Shutdown { soft: Shutdown::default().soft, ..process.lifecycle.shutdown() };
        let config = worker_config(&process, &args.worker, &args.redact);
        spawn_worker(&process, config, connected, drained.clone());
        spawn_gateway(&process, args, http, broker.door(User::Gateway), drained)?;
        process.when_ready(move || {
            greet(&greeting);
            say_first_steps(&data, fresh, &server);
        });
        let shutdown = process.lifecycle.shutdown();
        let ended = tokio::select! {
            ended = process.finish() => ended,
            status = broker.server.ended() => {
                shutdown.soft.cancel();
                shutdown.hard.cancel();
                Err(anyhow::anyhow!("nats-server ended: {}", status?))
            }
        };
        tokio::join!(of_admin.close(), of_worker.close());
        broker.server.stop().await?;
        drop(taken);
        ended
    })
}

fn url_of(listener: &Listener) -> anyhow::Result<String> {
    Ok(format!("{}://{}", scheme(listener.tls.is_some()), listener.tcp.local_addr()?))
}

const fn scheme(tls: bool) -> &'static str {
    if tls { "https" } else { "http" }
}

/// Where client commands of this machine find admin at this address; nothing where they look by themselves.
/// Whose certificate it shows, and who has signed it, is not in it.
fn server_option(mut at: SocketAddr, tls: bool) -> String {
    if at.ip().is_unspecified() {
        at.set_ip(match at.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    let server = format!("{}://{at}", scheme(tls));
    if server == DEFAULT_SERVER {
        return String::new();
    }
    let in_the_clear = !tls && !at.ip().to_canonical().is_loopback();
    format!(" --server {server}{}", if in_the_clear { " --insecure" } else { "" })
}

fn greeting(
    data: &Path,
    (grpc, http, ops): (String, String, SocketAddr),
    nats: &str,
    args: &UpArgs,
) -> String {
    let prefix = &args.gateway.path_prefix;
    [
        "Gander is up.".to_owned(),
        format!("  alerts   {http}{prefix}/v1/process"),
        format!("  admin    {grpc} (gRPC)"),
        format!("  events   {nats} (stream GANDER_INCIDENTS)"),
        format!("  ops      http://{ops}/metrics"),
        format!("  data     {}", data.display()),
        "Stop with Ctrl-C; twice stops at once.".to_owned(),
    ]
    .join("\n")
}

/// While a bootstrap credential waits to be used: how. After a recovery there may be a principal of
/// that name, and a credential of it on this machine.
fn say_first_steps(data: &Path, fresh: bool, server: &str) {
    let file = admin::bootstrap::credential_path(data);
    if file.exists() {
        let (name, kept) = if fresh { ("ada", "") } else { ("NAME", " --secret-file FILE") };
        let file = file.display();
        greet("Next, make yourself a Global Admin:");
        greet(&format!(
            "  gander principal create {name} --role global-admin{kept} --bootstrap-file {file}{server}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(listens: &str, tls: bool, expected: &str) {
        assert_eq!(server_option(listens.parse().unwrap(), tls), expected, "{listens}");
    }

    #[test]
    fn what_is_shown_finds_admin_where_it_listens() {
        check("127.0.0.1:7700", false, "");
        check("0.0.0.0:7700", false, "");
        check("127.0.0.1:7700", true, " --server https://127.0.0.1:7700");
        check("127.0.0.1:1", false, " --server http://127.0.0.1:1");
        check("[::]:1", false, " --server http://[::1]:1");
        check("[::ffff:127.0.0.1]:1", false, " --server http://[::ffff:127.0.0.1]:1");
        check("10.0.0.5:7700", false, " --server http://10.0.0.5:7700 --insecure");
        check("10.0.0.5:7700", true, " --server https://10.0.0.5:7700");
    }
}
