//! Connections: accepted within limits, drained.
//!
//! Must not know what is asked over them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runtime::lifecycle::Shutdown;
use runtime::listen::Listener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use crate::client::{Network, is_trusted};
use crate::config::Config;
use crate::connection::Connections;
use crate::http::Handler;

/// After an error of accept, such as too many open files.
const BACK_OFF: Duration = Duration::from_millis(50);

/// Serves connections until the soft stop, then finishes what is begun until the hard stop.
pub async fn serve(listener: Listener, config: &Config, handler: Handler, shutdown: Shutdown) {
    let Listener { tcp, tls } = listener;
    let limits = Limits::new(config);
    let connections = Connections::new(tls, handler, shutdown.soft.clone());
    let tracker = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = tcp.accept() => accepted,
            () = shutdown.soft.cancelled() => break,
        };
        match accepted {
            Ok((socket, peer)) => {
                let _ = socket.set_nodelay(true);
                let ip = peer.ip().to_canonical();
                if let Some(place) = limits.place(ip) {
                    let connection = connections.serve(socket, ip);
                    tracker.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection is not accepted");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
    drop(tcp);
    tracker.close();
    tokio::select! {
        () = tracker.wait() => {}
        () = shutdown.hard.cancelled() => {}
    }
}

/// A connection's place within the limits; dropped, it is free again.
struct Place {
    ip: IpAddr,
    per_ip: Arc<Mutex<HashMap<IpAddr, usize>>>,
    _permit: OwnedSemaphorePermit,
}

struct Limits {
    all: Arc<Semaphore>,
    per_ip: Arc<Mutex<HashMap<IpAddr, usize>>>,
    max_per_ip: usize,
    trusted: Vec<Network>,
}

impl Limits {
    fn new(config: &Config) -> Self {
        Self {
            all: Arc::new(Semaphore::new(config.max_connections)),
            per_ip: Arc::default(),
            max_per_ip: config.max_connections_per_ip,
            trusted: config.trusted_proxies.clone(),
        }
    }

    /// A place for a connection from there; none, and the connection is closed at once, where a
    /// limit is reached. A trusted proxy stands for many clients.
    fn place(&self, ip: IpAddr) -> Option<Place> {
        let permit = Arc::clone(&self.all).try_acquire_owned().ok();
        let mut per_ip = self.per_ip.lock().expect("no holder of this lock panics");
        let count = per_ip.entry(ip).or_default();
        let room = *count < self.max_per_ip || is_trusted(ip, &self.trusted);
        if let Some(permit) = permit.filter(|_| room) {
            *count += 1;
            metrics::gauge!("gander_gateway_connections").increment(1.0);
            return Some(Place { ip, per_ip: Arc::clone(&self.per_ip), _permit: permit });
        }
        if *count == 0 {
            per_ip.remove(&ip);
        }
        metrics::counter!("gander_gateway_connections_refused_total").increment(1);
        None
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut per_ip = self.per_ip.lock().expect("no holder of this lock panics");
        if let Some(count) = per_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                per_ip.remove(&self.ip);
            }
        }
        metrics::gauge!("gander_gateway_connections").decrement(1.0);
    }
}
