//! Clients that keep sending, and remember what they were told.
//!
//! Must not know what is killed meanwhile.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::id::AlertId;
use runtime::nats::{Nats, Reader, Start};
use tokio::task::JoinSet;
use wire::proto::gander::admin::v1 as api;
use wire::stored::alert::{Content, decode_batch, record_from};

use crate::admin::{Admin, payload, request_id};
use crate::alerts::Sender;
use crate::ledger::Alerts;

/// Alerts of one episode before the next begins.
const REPEATS: usize = 20;
/// After an error, so that a process that is down is not asked all the time.
const PAUSE: Duration = Duration::from_millis(20);

/// What all clients share.
#[derive(Debug)]
pub struct Shared {
    /// Where the gateway is just now.
    pub gateway: Mutex<SocketAddr>,
    /// Requests sent and not answered yet, HTTP and gRPC.
    pub in_flight: [AtomicUsize; 2],
    /// Alerts and commands that were acknowledged.
    pub acked: Mutex<(BTreeSet<String>, BTreeSet<String>)>,
    stop: AtomicBool,
}

/// Clients at work.
#[derive(Debug)]
pub struct Load {
    /// What they share.
    pub shared: Arc<Shared>,
    clients: JoinSet<()>,
}

/// Who sends.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Alerts over HTTP.
    Alerts = 0,
    /// Commands over gRPC.
    Commands = 1,
}

impl Load {
    /// Starts senders of alerts with these tokens, and as many administrators.
    #[must_use]
    pub fn start(
        gateway: SocketAddr,
        tokens: &[String],
        clients: usize,
        admin: Admin,
        grpc: SocketAddr,
    ) -> Self {
        let shared = Arc::new(Shared {
            gateway: Mutex::new(gateway),
            in_flight: Default::default(),
            acked: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let mut set = JoinSet::new();
        for n in 0..clients {
            let token = tokens[n % tokens.len()].clone();
            set.spawn(alerts(n, token, Arc::clone(&shared)));
            set.spawn(commands(n, admin.credential.clone(), grpc, Arc::clone(&shared)));
        }
        Self { shared, clients: set }
    }

    /// How many requests are under way.
    #[must_use]
    pub fn in_flight(&self, kind: Kind) -> usize {
        self.shared.in_flight[kind as usize].load(Ordering::SeqCst)
    }

    /// How many alerts and commands were acknowledged.
    #[must_use]
    pub fn acked(&self) -> (usize, usize) {
        let acked = self.shared.acked.lock().expect("no client panics");
        (acked.0.len(), acked.1.len())
    }

    /// Lets every client finish its request, then ends it.
    pub async fn stop(mut self) -> (BTreeSet<String>, BTreeSet<String>) {
        self.shared.stop.store(true, Ordering::SeqCst);
        while self.clients.join_next().await.is_some() {}
        self.shared.acked.lock().expect("no client panics").clone()
    }
}

impl Shared {
    async fn count<T>(&self, kind: Kind, request: impl Future<Output = T>) -> T {
        self.in_flight[kind as usize].fetch_add(1, Ordering::SeqCst);
        let answer = request.await;
        self.in_flight[kind as usize].fetch_sub(1, Ordering::SeqCst);
        answer
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }
}

async fn alerts(n: usize, token: String, shared: Arc<Shared>) {
    let sender = Sender::default();
    let mut sent = 0;
    while shared.goes_on() {
        let gateway = *shared.gateway.lock().expect("no client panics");
        let episode = format!("episode-{n}-{}", sent / REPEATS);
        sent += 1;
        let sending = sender.send(gateway, &token, payload("firing", &episode));
        match shared.count(Kind::Alerts, sending).await {
            Ok(answer) if answer.status.is_success() => {
                shared.acked.lock().expect("no client panics").0.insert(answer.id().to_owned());
            }
            Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn commands(n: usize, credential: String, grpc: SocketAddr, shared: Arc<Shared>) {
    let mut made = 0;
    while shared.goes_on() {
        let Ok(admin) = Admin::connect(grpc, &credential).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        made += 1;
        let name = format!("team-{n}-{made}");
        let team = Some(api::Team { display_name: name.clone(), ..api::Team::default() });
        let request = api::CreateTeamRequest { team, request_id: request_id() };
        // The same request until it is acknowledged: its effect must be there once.
        while !create(&admin, request.clone(), &shared, grpc).await {
            if !shared.goes_on() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
        shared.acked.lock().expect("no client panics").1.insert(name);
    }
}

async fn create(
    admin: &Admin,
    request: api::CreateTeamRequest,
    shared: &Shared,
    grpc: SocketAddr,
) -> bool {
    let creating = async {
        match admin.catalog().create_team(request.clone()).await {
            Ok(_) => true,
            // The connection may be the one to the process that was killed.
            Err(_) => match Admin::connect(grpc, &admin.credential).await {
                Ok(admin) => admin.catalog().create_team(request).await.is_ok(),
                Err(_) => false,
            },
        }
    };
    shared.count(Kind::Commands, creating).await
}

/// Reads every alert that comes into GANDER_ALERTS, before it is purged.
#[derive(Debug)]
pub struct Recorder {
    seen: Arc<Mutex<(u64, Alerts)>>,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Recorder {
    /// Starts with the first message.
    ///
    /// # Errors
    /// The broker cannot be reached.
    pub async fn start(url: &str) -> anyhow::Result<Self> {
        let nats = Nats::connect(url, "recorder").await?;
        let seen = Arc::new(Mutex::new((0, Alerts::new())));
        let task = tokio::spawn(record(nats, Arc::clone(&seen)));
        Ok(Self { seen, task })
    }

    /// The last sequence read.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.seen.lock().expect("the recorder does not panic").0
    }

    /// What was read.
    ///
    /// # Errors
    /// A message was missing or could not be read.
    pub async fn stop(self) -> anyhow::Result<Alerts> {
        if self.task.is_finished() {
            self.task.await??;
        }
        Ok(std::mem::take(&mut self.seen.lock().expect("the recorder does not panic").1))
    }
}

async fn record(nats: Nats, seen: Arc<Mutex<(u64, Alerts)>>) -> anyhow::Result<()> {
    let mut reader = Reader::new(&nats, "GANDER_ALERTS", "gander.alerts", Start::Sequence(1));
    loop {
        let message = reader.next().await;
        let batch = decode_batch(&message.payload)?;
        let mut alerts = Vec::new();
        for record in batch.records {
            if let Content::Alert(alert) = record_from(record)?.content {
                let body: serde_json::Value = serde_json::from_slice(&alert.payload)?;
                let episode = body["key"].as_str().unwrap_or_default().to_owned();
                alerts.push((AlertId::to_string(&alert.id), episode));
            }
        }
        let mut seen = seen.lock().expect("the recorder does not panic");
        anyhow::ensure!(message.sequence == seen.0 + 1, "a gap after message {}", seen.0);
        seen.0 = message.sequence;
        seen.1.extend(alerts);
    }
}
