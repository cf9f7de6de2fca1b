//! nats-server and the roles, each a process of its own.
//!
//! Must not know what is tested with them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;
use runtime::nats::access::{Keys, Subscriber, User, accounts};
use runtime::nats_server::{self, FREE_PORTS, NatsServer};
use runtime::random::SystemRandom;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use crate::admin::Admin;
use crate::alerts;
use crate::cluster;
use crate::links::Links;
use crate::mount::Mount;
use crate::process::{self, Process};
use crate::proxy::Proxy;
use crate::rights::Rights;
use crate::wait::eventually;

/// So many bytes of a log tell what happened last.
const LOG_END: usize = 3_000;
const NATS_TEMPLATE: &str = include_str!("../../deploy/nats.conf");

/// A process of the rig.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one admin.
    Admin,
    /// A gateway by its number.
    Gateway(usize),
    /// A worker by its number.
    Worker(usize),
}

/// How many of each, and what they are told.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Gateways.
    pub gateways: usize,
    /// Workers.
    pub workers: usize,
    /// The log filter of all.
    pub log: String,
    /// More arguments of admin.
    pub admin_args: Vec<String>,
    /// More arguments of gateways.
    pub gateway_args: Vec<String>,
    /// More arguments of workers.
    pub worker_args: Vec<String>,
    /// More arguments of all, about streams.
    pub stream_args: Vec<String>,
    /// A disk for the store of nats-server, mounted as `store`.
    pub nats_disk: Option<Arc<Mount>>,
    /// A disk for what admin keeps, mounted as `data`, or for its journal, mounted as
    /// `data/journal`.
    pub journal_disk: Option<Arc<Mount>>,
    /// The configuration of nats-server, where it is not that of `gander up`; not of a cluster.
    pub nats_config: Option<String>,
    /// Another program than the one that was built beside the tests.
    pub program: Option<PathBuf>,
    /// Whether nats-server is a cluster of three, with three copies of each stream.
    pub cluster: bool,
    /// Whether each role comes in by its own key; otherwise all come in as the tests do.
    pub keys: bool,
    /// Whether there is a proxy between each role and the broker, and before each gateway;
    /// not with a cluster.
    pub proxies: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            gateways: 1,
            workers: 1,
            log: "info".to_owned(),
            admin_args: vec![],
            gateway_args: vec![],
            worker_args: vec![],
            stream_args: vec![],
            nats_disk: None,
            journal_disk: None,
            nats_config: None,
            program: None,
            cluster: false,
            keys: true,
            proxies: false,
        }
    }
}

/// A running role with its addresses.
#[derive(Debug)]
pub struct Running {
    /// The process.
    pub process: Process,
    /// Where it serves; the same as `ops` for workers.
    pub address: SocketAddr,
    /// Its ops listener.
    pub ops: SocketAddr,
}

/// All of Gander, on this machine.
#[derive(Debug)]
pub struct Rig {
    /// The broker; the first server of a cluster.
    pub nats: NatsServer,
    /// The other servers of a cluster.
    pub peers: Vec<NatsServer>,
    /// Admin, unless it is stopped.
    pub admin: Option<Running>,
    /// The gateways.
    pub gateways: Vec<Option<Running>>,
    /// The workers.
    pub workers: Vec<Option<Running>>,
    /// What lies between them, where that is planned.
    pub links: Option<Links>,
    /// The keys of all users of the broker.
    pub keys: Keys,
    plan: Plan,
    grpc: SocketAddr,
    _rights: Rights,
    folder: TempDir,
}

/// Who tests are at the broker: in the account with the streams, with every right.
const TEST_LOGIN: &str = "test:secret";
const TEST_USER: &str = "users: [\n      { user: test, password: secret }";

/// The accounts of the broker with these keys, and the user that tests are.
fn broker_accounts(keys: &Keys) -> String {
    let accounts = keys.filled_in(&accounts(&[Subscriber::usual()]));
    accounts.replacen("users: [", TEST_USER, 1)
}

/// The address of a server, with the login of tests.
#[must_use]
pub fn with_login(server: &NatsServer) -> String {
    server.url().replace("nats://", &format!("nats://{TEST_LOGIN}@"))
}

impl Rig {
    /// Starts one of each.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn start() -> anyhow::Result<Self> {
        Self::planned(Plan::default()).await
    }

    /// Starts what is planned.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn planned(mut plan: Plan) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(nats_server::TOOLS_PATH);
        let server = nats_server::find(Some(&tools), None).context("run `make setup`")?;
        let keys =
            Keys::ensure(&folder.path().join("keys"), &[Subscriber::usual()], &SystemRandom)?;
        let accounts = broker_accounts(&keys);
        let (nats, peers) = if plan.cluster {
            plan.stream_args.extend(["--replicas".to_owned(), cluster::SERVERS.to_string()]);
            let mut servers = cluster::start(&server, folder.path(), &accounts).await?;
            (servers.remove(0), servers)
        } else {
            let (program, home) = match &plan.nats_disk {
                Some(disk) => (disk.seen_by(&server)?, disk.folder().to_owned()),
                None => (server, folder.path().join("nats")),
            };
            let template = plan.nats_config.as_deref().unwrap_or(NATS_TEMPLATE);
            let template = template.replace("{{accounts}}", &accounts);
            (NatsServer::start(&program, &home, &template, 0, |_| {}).await?, vec![])
        };
        let links = if plan.proxies {
            let broker = nats.url().trim_start_matches("nats://").parse()?;
            Some(Links::start(broker, plan.gateways).await?)
        } else {
            None
        };
        let mut rig = Self {
            nats,
            peers,
            links,
            keys,
            admin: None,
            gateways: (0..plan.gateways).map(|_| None).collect(),
            workers: (0..plan.workers).map(|_| None).collect(),
            plan,
            grpc: free_address()?,
            _rights: Rights(folder.path().to_owned()),
            folder,
        };
        for role in rig.roles() {
            rig.launch(role)?;
        }
        for role in rig.roles() {
            rig.ready(role).await?;
        }
        Ok(rig)
    }

    /// Every role of the plan.
    #[must_use]
    pub fn roles(&self) -> Vec<Role> {
        let gateways = (0..self.gateways.len()).map(Role::Gateway);
        let workers = (0..self.workers.len()).map(Role::Worker);
        std::iter::once(Role::Admin).chain(gateways).chain(workers).collect()
    }

    fn slot(&mut self, role: Role) -> &mut Option<Running> {
        match role {
            Role::Admin => &mut self.admin,
            Role::Gateway(n) => &mut self.gateways[n],
            Role::Worker(n) => &mut self.workers[n],
        }
    }

    /// The running role.
    ///
    /// # Errors
    /// It is stopped.
    pub fn running(&mut self, role: Role) -> anyhow::Result<&mut Running> {
        self.slot(role).as_mut().with_context(|| format!("{role:?} is stopped"))
    }

    /// Starts a role without waiting for it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn launch(&mut self, role: Role) -> anyhow::Result<()> {
        let ops = free_address()?;
        let (name, address, mut args): (_, _, Vec<String>) = match role {
            Role::Admin => {
                let data = self.data().display().to_string();
                let args = ["admin", "--data", &data, "--grpc-listen", &self.grpc.to_string()];
                let args = args.iter().map(|&arg| arg.to_owned());
                let args = args.chain(self.plan.admin_args.iter().cloned()).collect();
                ("admin".to_owned(), self.grpc, args)
            }
            Role::Gateway(n) => {
                let address = free_address()?;
                let args = ["gateway", "--http-listen", &address.to_string()];
                let args = args.iter().map(|&arg| arg.to_owned());
                let args = args.chain(self.plan.gateway_args.iter().cloned()).collect();
                (format!("gateway-{n}"), address, args)
            }
            Role::Worker(n) => {
                let args = std::iter::once("worker".to_owned());
                let args = args.chain(self.plan.worker_args.iter().cloned()).collect();
                (format!("worker-{n}"), ops, args)
            }
        };
        let common = [
            ("--nats-url", self.broker_of(role)),
            ("--nats-monitor-url", self.nats.monitor_url()),
            ("--ops-listen", ops.to_string()),
            ("--log", self.plan.log.clone()),
        ];
        if self.plan.keys {
            let key = self.keys.file(user_of(role)).display().to_string();
            args.extend(["--nats-nkey-file".to_owned(), key]);
        }
        args.extend(self.plan.stream_args.iter().cloned());
        args.extend(common.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]));
        let program = self.program(role)?;
        let process = Process::start_program(&program, self.folder.path(), &name, &args)?;
        if let (Some(links), Role::Gateway(n)) = (&self.links, role) {
            links.fronts[n].aim(address);
        }
        *self.slot(role) = Some(Running { process, address, ops });
        Ok(())
    }

    /// Where a role finds the broker: all servers of a cluster, or what lies between.
    fn broker_of(&self, role: Role) -> String {
        let servers = std::iter::once(&self.nats).chain(&self.peers);
        let own = || servers.map(NatsServer::url).collect::<Vec<_>>().join(",");
        let url = self.links.as_ref().map_or_else(own, |links| links.broker_of(role));
        if self.plan.keys {
            return url;
        }
        url.replace("nats://", &format!("nats://{TEST_LOGIN}@"))
    }

    /// What runs this role: of processes that are started from here on, those run `program`.
    fn program(&self, role: Role) -> anyhow::Result<PathBuf> {
        let program = self.plan.program.clone().map_or_else(process::program, Ok)?;
        match (&self.plan.journal_disk, role) {
            (Some(disk), Role::Admin) => disk.seen_by(&program),
            (_, Role::Admin | Role::Gateway(_) | Role::Worker(_)) => Ok(program),
        }
    }

    /// From here on, processes that are started run this program; none is the one that was built
    /// beside the tests.
    pub fn run_program(&mut self, program: Option<PathBuf>) {
        self.plan.program = program;
    }

    /// Waits until a role is ready.
    ///
    /// # Errors
    /// It is not in time, or it has ended.
    pub async fn ready(&mut self, role: Role) -> anyhow::Result<()> {
        let running = self.running(role)?;
        let ops = running.ops;
        eventually(&format!("{role:?} to be ready"), async || {
            let (status, _) = alerts::get(ops, "/readyz").await.ok()?;
            status.is_success().then_some(())
        })
        .await
        .with_context(|| running.process.log())
    }

    /// Starts a role and waits until it is ready.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn restart(&mut self, role: Role) -> anyhow::Result<()> {
        self.launch(role)?;
        self.ready(role).await
    }

    /// Kills a role with SIGKILL.
    ///
    /// # Errors
    /// It is stopped already.
    pub async fn kill(&mut self, role: Role) -> anyhow::Result<()> {
        let mut running = self.slot(role).take().context("it is stopped already")?;
        running.process.kill().await
    }

    /// A server of the cluster by its name.
    pub fn server(&mut self, name: &str) -> Option<&mut NatsServer> {
        let servers = std::iter::once(&mut self.nats).chain(&mut self.peers);
        servers.enumerate().find(|(n, _)| cluster::name(*n) == name).map(|(_, server)| server)
    }

    /// Whether the broker is a cluster.
    #[must_use]
    pub fn has_peers(&self) -> bool {
        !self.peers.is_empty()
    }

    /// Where tests find the broker, and as whom: all servers of a cluster.
    #[must_use]
    pub fn nats_url(&self) -> String {
        let servers = std::iter::once(&self.nats).chain(&self.peers);
        servers.map(with_login).collect::<Vec<_>>().join(",")
    }

    /// Where the first gateway is.
    ///
    /// # Errors
    /// It is stopped.
    pub fn gateway(&mut self) -> anyhow::Result<SocketAddr> {
        Ok(self.running(Role::Gateway(0))?.address)
    }

    /// Where clients find all gateways.
    ///
    /// # Errors
    /// One is stopped.
    pub fn fronts(&mut self) -> anyhow::Result<Vec<SocketAddr>> {
        match &self.links {
            Some(links) => Ok(links.fronts.iter().map(Proxy::address).collect()),
            None => (0..self.gateways.len())
                .map(|n| Ok(self.running(Role::Gateway(n))?.address))
                .collect(),
        }
    }

    /// Where admin serves gRPC, also while it is stopped.
    #[must_use]
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// The folder with everything: data, logs, the store of nats-server.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The end of what each process has written.
    #[must_use]
    pub fn logs(&self) -> Vec<String> {
        let roles = std::iter::once(&self.admin).chain(&self.gateways).chain(&self.workers);
        let log = |running: &Running| {
            let log = running.process.log();
            let from = log.len().saturating_sub(LOG_END);
            String::from_utf8_lossy(&log.as_bytes()[from..]).into_owned()
        };
        roles.flatten().map(log).collect()
    }

    /// # Errors
    /// A role has ended by itself, or a task of it has panicked.
    pub fn unharmed(&mut self) -> anyhow::Result<()> {
        let roles = std::iter::once(&mut self.admin).chain(&mut self.gateways);
        for running in roles.chain(&mut self.workers) {
            let process = &mut running.as_mut().context("a role is stopped")?.process;
            let log = process.log();
            anyhow::ensure!(process.runs(), "a role has ended by itself: {log}");
            anyhow::ensure!(!log.contains("panicked at"), "a task has panicked: {log}");
        }
        Ok(())
    }

    fn data(&self) -> PathBuf {
        let disk = self.plan.journal_disk.as_ref();
        disk.map_or_else(|| self.folder.path(), |disk| disk.folder()).join("data")
    }

    /// Where admin keeps its journal.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.data().join("journal")
    }

    /// Makes the first Global Admin with the bootstrap credential.
    ///
    /// # Errors
    /// It cannot be made.
    pub async fn first_admin(&self) -> anyhow::Result<Admin> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc))?;
        self.first_admin_over(endpoint.connect().await?).await
    }

    /// Does the same over a connection of its own kind.
    ///
    /// # Errors
    /// It cannot be made.
    pub async fn first_admin_over(&self, channel: Channel) -> anyhow::Result<Admin> {
        let file = self.data().join("bootstrap-credential");
        let secret = match &self.plan.journal_disk {
            Some(disk) => disk.shell(&format!("cat {}", file.display())).await?,
            None => std::fs::read_to_string(file)?,
        };
        let bootstrap = Admin::over(channel.clone(), secret.trim())?;
        let credential = bootstrap.principal("first", &["global-admin"]).await?.credential;
        Admin::over(channel, &credential)
    }
}

/// Who a role is at the broker.
const fn user_of(role: Role) -> User {
    match role {
        Role::Admin => User::Admin,
        Role::Gateway(_) => User::Gateway,
        Role::Worker(_) => User::Worker,
    }
}

/// An address on this machine that nothing listens on. Its port is below those that the kernel
/// gives to outgoing connections (from 32,768): one of these may be taken again before the process
/// that it is meant for listens on it. Nor is it one that a nats-server picks. No two of
/// ten thousand calls of a run get the same one.
///
/// # Errors
/// There is none.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 10_000;
    const PORTS: u32 = FREE_PORTS.start as u32 - FIRST;
    // Where another run goes on at the same time, it begins elsewhere.
    let begin = std::process::id().wrapping_mul(6_181);
    for _ in 0..PORTS {
        let asked = ASKED.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST + begin.wrapping_add(asked) % PORTS)?;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(listener.local_addr()?);
        }
    }
    anyhow::bail!("every port is taken")
}
