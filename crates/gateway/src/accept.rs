//! Connections: accepted within limits, timed, drained.
//!
//! Must not know what is asked over them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use runtime::lifecycle::Shutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::{Config, HEADER_TIMEOUT, MAX_HEAD_BYTES, MAX_HEADERS};
use crate::http::Handler;

/// After an error of accept, such as too many open files.
const BACK_OFF: Duration = Duration::from_millis(50);

/// Serves connections until the soft stop, then finishes what is begun until the hard stop.
pub async fn serve(listener: TcpListener, config: &Config, handler: Handler, shutdown: Shutdown) {
    let graceful = GracefulShutdown::new();
    let limits = Limits::new(config);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.soft.cancelled() => break,
        };
        match accepted {
            Ok((socket, peer)) => {
                let _ = socket.set_nodelay(true);
                if let Some(place) = limits.place(peer.ip()) {
                    connection(socket, place, &handler, &graceful);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection is not accepted");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = shutdown.hard.cancelled() => {}
    }
}

fn connection(socket: TcpStream, place: Place, handler: &Handler, graceful: &GracefulShutdown) {
    let handler = handler.clone();
    let service = service_fn(move |request| {
        let handler = handler.clone();
        async move { Ok::<_, std::convert::Infallible>(handler.handle(request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES)
        // A client that has sent everything may close its side and still wants its answer.
        .half_close(true)
        .serve_connection(TokioIo::new(socket), service);
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        let _ = connection.await;
        drop(place);
    });
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
}

impl Limits {
    fn new(config: &Config) -> Self {
        Self {
            all: Arc::new(Semaphore::new(config.max_connections)),
            per_ip: Arc::default(),
            max_per_ip: config.max_connections_per_ip,
        }
    }

    /// A place for a connection from there; none, and the connection is closed at once, where a
    /// limit is reached.
    fn place(&self, ip: IpAddr) -> Option<Place> {
        let permit = Arc::clone(&self.all).try_acquire_owned().ok();
        let mut per_ip = self.per_ip.lock().expect("no holder of this lock panics");
        let count = per_ip.entry(ip).or_default();
        if let Some(permit) = permit.filter(|_| *count < self.max_per_ip) {
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
