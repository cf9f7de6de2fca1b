//! Clients that keep sending, and remember what they were told.
//!
//! - [`alerts`]: over HTTP; [`rate`]: at a rate, to whatever comes of it. [`commands`]: over gRPC. [`revoked`]: tokens that are deleted.
//! - [`told`]: what they were told. [`recorder`]: what is stored meanwhile.
//!
//! Must not know what goes wrong meanwhile.

mod alerts;
mod commands;
pub mod rate;
mod recorder;
mod revoked;
mod told;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::task::JoinSet;

pub use self::alerts::Mix;
pub use self::recorder::Recorder;
pub use self::told::{SOON, Told, Watched};
use crate::admin::Admin;

/// After an error, so that a process that is down is not asked all the time.
const PAUSE: Duration = Duration::from_millis(20);
/// Of so many clients of gRPC one changes filters and tokens; the others make teams.
const CHANGING: usize = 4;

/// What all clients share.
#[derive(Debug)]
pub struct Shared {
    gateways: Mutex<Vec<SocketAddr>>,
    /// Requests sent and not answered yet, HTTP and gRPC.
    in_flight: [AtomicUsize; 2],
    told: Mutex<Told>,
    stop: AtomicBool,
}

/// Clients at work.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
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
        gateways: Vec<SocketAddr>,
        tokens: &[String],
        clients: usize,
        mix: Mix,
        admin: &Admin,
        grpc: SocketAddr,
    ) -> Self {
        let shared = Arc::new(Shared {
            gateways: Mutex::new(gateways),
            in_flight: Default::default(),
            told: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let mut set = JoinSet::new();
        for n in 0..clients {
            let token = tokens[n % tokens.len()].clone();
            set.spawn(alerts::send(n, token, mix, Arc::clone(&shared)));
            let caller = commands::Caller::new(grpc, admin.credential.clone(), Arc::clone(&shared));
            if n % CHANGING == 0 {
                set.spawn(commands::change(n, caller));
            } else {
                set.spawn(commands::create(n, caller));
            }
        }
        Self { shared, clients: set }
    }

    /// Also makes tokens of a service, deletes them, and tries whether they are still let in.
    pub fn revoke(&mut self, clients: usize, service: &str, admin: &Admin, grpc: SocketAddr) {
        for n in 0..clients {
            let shared = Arc::clone(&self.shared);
            let caller = commands::Caller::new(grpc, admin.credential.clone(), shared);
            self.clients.spawn(revoked::tokens(n, service.to_owned(), caller));
        }
    }

    /// How many requests are under way.
    #[must_use]
    pub fn in_flight(&self, kind: Kind) -> usize {
        self.shared.in_flight[kind as usize].load(Ordering::SeqCst)
    }

    /// How many alerts and commands were acknowledged.
    #[must_use]
    pub fn acked(&self) -> (usize, usize) {
        let told = self.shared.told();
        (told.acked.len(), told.commands)
    }

    /// From here on the gateways are there.
    pub fn follow(&self, gateways: Vec<SocketAddr>) {
        *self.shared.gateways.lock().expect("no client panics") = gateways;
    }

    /// From here on nothing can be stored, and each answer is looked at.
    pub fn watch(&self) {
        self.shared.told().watch();
    }

    /// How many answers were looked at.
    #[must_use]
    pub fn watched(&self) -> usize {
        self.shared.told().watched()
    }

    /// From here on alerts may be stored again. Gives what was answered meanwhile.
    #[must_use]
    pub fn unwatch(&self) -> Watched {
        self.shared.told().unwatch()
    }

    /// Lets every client finish its request, then ends it.
    pub async fn stop(mut self) -> Told {
        self.shared.stop.store(true, Ordering::SeqCst);
        while self.clients.join_next().await.is_some() {}
        std::mem::take(&mut *self.shared.told())
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

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().expect("no client panics")
    }

    fn gateways(&self) -> Vec<SocketAddr> {
        self.gateways.lock().expect("no client panics").clone()
    }
}
