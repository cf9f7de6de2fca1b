//! Rolling restarts: one of two gateways behind a load balancer is replaced, again and again, under
//! load, and no client notices.
//!
//! 6 restarts; the variable ROLLS sets another number.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use e2e::admin::{filter, payload};
use e2e::alerts::{Sender, get};
use e2e::rig::{Plan, Rig, Role};
use e2e::wait::eventually;
use nix::sys::signal::Signal;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const CLIENTS: usize = 8;
/// Answers between two restarts.
const PROGRESS: usize = 50;

/// A gateway as a load balancer knows it.
#[derive(Clone, Copy, Debug)]
struct Backend {
    address: SocketAddr,
    ops: SocketAddr,
}

/// A load balancer of connections: it asks for readiness all the time, and hands each connection
/// to a gateway that said that it is ready.
#[derive(Debug)]
struct Balancer {
    backends: Mutex<Vec<Backend>>,
    next: AtomicUsize,
}

impl Balancer {
    async fn start(backends: Vec<Backend>) -> anyhow::Result<(Arc<Self>, SocketAddr)> {
        let balancer = Arc::new(Self { backends: Mutex::new(backends), next: AtomicUsize::new(0) });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let serving = Arc::clone(&balancer);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&serving).connection(client));
            }
        });
        Ok((balancer, address))
    }

    fn backends(&self) -> Vec<Backend> {
        self.backends.lock().expect("no holder of this lock panics").clone()
    }

    async fn connection(self: Arc<Self>, mut client: TcpStream) {
        let backends = self.backends();
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        for n in 0..backends.len() {
            let backend = backends[(first + n) % backends.len()];
            let ready = get(backend.ops, "/readyz").await;
            if !ready.is_ok_and(|(status, _)| status.is_success()) {
                continue;
            }
            if let Ok(mut server) = TcpStream::connect(backend.address).await {
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                return;
            }
        }
    }
}

/// What clients were told.
#[derive(Debug, Default)]
struct Told {
    stored: AtomicUsize,
    other: Mutex<Vec<String>>,
    stop: AtomicBool,
}

async fn client(gateway: SocketAddr, token: String, n: usize, told: Arc<Told>) {
    let sender = Sender::default();
    while !told.stop.load(Ordering::Relaxed) {
        let answer = sender.send(gateway, &token, payload("firing", &format!("episode {n}"))).await;
        match answer {
            Ok(answer) if answer.status.is_success() => {
                told.stored.fetch_add(1, Ordering::Relaxed);
            }
            Ok(answer) => told.note(format!("{}: {:?}", answer.status, answer.body)),
            Err(error) => told.note(format!("{error:#}")),
        }
    }
}

impl Told {
    fn note(&self, what: String) {
        self.other.lock().expect("no holder of this lock panics").push(what);
    }

    async fn progress(&self) -> anyhow::Result<()> {
        let before = self.stored.load(Ordering::Relaxed);
        eventually("alerts to be stored", async || {
            (self.stored.load(Ordering::Relaxed) >= before + PROGRESS).then_some(())
        })
        .await
    }
}

fn backend(rig: &mut Rig, n: usize) -> anyhow::Result<Backend> {
    let running = rig.running(Role::Gateway(n))?;
    Ok(Backend { address: running.address, ops: running.ops })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_notices_that_gateways_are_replaced() -> anyhow::Result<()> {
    let gateway_args = ["--drain-delay-seconds", "0.3"].map(str::to_owned).to_vec();
    let mut rig = Rig::planned(Plan { gateways: 2, gateway_args, ..Plan::default() }).await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("rolling").await?;
    let service = admin.service(&team, "one", vec![filter("status")]).await?;
    let token = admin.token("rolling", &service.name).await?.secret;
    let backends = vec![backend(&mut rig, 0)?, backend(&mut rig, 1)?];
    let (balancer, address) = Balancer::start(backends).await?;
    let told = Arc::new(Told::default());
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        clients.spawn(client(address, token.clone(), n, Arc::clone(&told)));
    }

    let rolls = runtime::environment::variable("ROLLS").map_or(Ok(6), |text| text.parse())?;
    for n in 0..rolls {
        told.progress().await?;
        let process = &mut rig.running(Role::Gateway(n % 2))?.process;
        process.signal(Signal::SIGTERM)?;
        let code = process.ended().await?;
        assert_eq!(code, Some(0), "{}", process.log());
        rig.restart(Role::Gateway(n % 2)).await?;
        let replaced = backend(&mut rig, n % 2)?;
        balancer.backends.lock().expect("no holder of this lock panics")[n % 2] = replaced;
    }
    told.progress().await?;
    told.stop.store(true, Ordering::Relaxed);
    while clients.join_next().await.is_some() {}
    println!("{rolls} restarts, {} alerts stored", told.stored.load(Ordering::Relaxed));
    let other = told.other.lock().expect("no holder of this lock panics").clone();
    assert_eq!(other, Vec::<String>::new());
    Ok(())
}
