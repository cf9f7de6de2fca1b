//! Opening listeners: plain text stays on this machine unless it is said otherwise.
//!
//! Must not know what is served.

use std::net::SocketAddr;

use tokio::net::TcpListener;

/// Why a listener cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is reachable from other machines, and the traffic would be in the clear.
    #[error(
        "{0} is reachable from other machines and traffic would be in the clear: listen on 127.0.0.1 behind a proxy that does TLS, or say --insecure-listen"
    )]
    Exposed(SocketAddr),
    /// The address cannot be bound.
    #[error("cannot listen on {address}; is another gander running? Say another address")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// Opens a listener.
///
/// # Errors
/// The address is not loopback and `insecure` is not said, or it cannot be bound.
pub async fn open(address: SocketAddr, insecure: bool) -> Result<TcpListener, Error> {
    if !address.ip().is_loopback() && !insecure {
        return Err(Error::Exposed(address));
    }
    TcpListener::bind(address).await.map_err(|source| Error::Bind { address, source })
}
