//! Connections: accepted within limits, drained.
//!
//! Must not know what is asked over them.

use std::net::IpAddr;
use std::time::Duration;

use runtime::lifecycle::Shutdown;
use runtime::listen::Listener;
use runtime::places::{Full, Place, Places, counted};
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

/// A connection's place within the limits, and in the metrics; dropped, it is free again.
struct Guest {
    _place: Place<IpAddr>,
}

struct Limits {
    places: Places<IpAddr>,
    trusted: Vec<Network>,
}

impl Limits {
    fn new(config: &Config) -> Self {
        Self {
            places: Places::new(config.max_connections, config.max_connections_per_ip),
            trusted: config.trusted_proxies.clone(),
        }
    }

    /// A place for a connection from there; none, and the connection is closed at once, where a
    /// limit is reached. A trusted proxy stands for many clients.
    fn place(&self, address: IpAddr) -> Option<Guest> {
        let client = (!is_trusted(address, &self.trusted)).then(|| counted(address));
        match self.places.take(client) {
            Ok(place) => {
                metrics::gauge!("gander_gateway_connections").increment(1.0);
                Some(Guest { _place: place })
            }
            Err(Full::All | Full::Own) => {
                metrics::counter!("gander_gateway_connections_refused_total").increment(1);
                None
            }
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        metrics::gauge!("gander_gateway_connections").decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(all: usize, max_per_ip: usize, trusted: &[&str]) -> Limits {
        let trusted = trusted.iter().map(|network| network.parse().unwrap()).collect();
        Limits { places: Places::new(all, max_per_ip), trusted }
    }

    fn place(limits: &Limits, address: &str) -> Option<Guest> {
        limits.place(address.parse().unwrap())
    }

    #[test]
    fn who_has_a_network_of_ipv6_has_the_places_of_one_address() {
        let limits = limits(10, 2, &[]);
        let first = place(&limits, "2001:db8:0:1::1").unwrap();
        let _second = place(&limits, "2001:db8:0:1::2").unwrap();
        assert!(place(&limits, "2001:db8:0:1:ffff::3").is_none());
        assert!(place(&limits, "2001:db8:0:2::1").is_some(), "that is another network");
        drop(first);
        assert!(place(&limits, "2001:db8:0:1::4").is_some());
    }

    #[test]
    fn a_trusted_proxy_is_not_counted_but_its_neighbours_are() {
        let limits = limits(10, 1, &["2001:db8::1"]);
        let places: Vec<_> = (0..3).map(|_| place(&limits, "2001:db8::1")).collect();
        assert!(places.iter().all(Option::is_some));
        let _neighbour = place(&limits, "2001:db8::2").unwrap();
        assert!(place(&limits, "2001:db8::3").is_none());
    }

    #[test]
    fn all_together_have_a_limit_too() {
        let limits = limits(2, 5, &["10.0.0.0/8"]);
        let _first = place(&limits, "192.0.2.1").unwrap();
        let _second = place(&limits, "10.0.0.1").unwrap();
        assert!(place(&limits, "10.0.0.1").is_none());
    }
}
