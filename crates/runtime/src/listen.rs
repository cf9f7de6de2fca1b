//! Opening listeners: plain text stays on this machine unless it is said otherwise.
//!
//! Must not know what is served.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use crate::tls::Certificate;

/// Why a listener cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is reachable from other machines, and the traffic would be in the clear.
    #[error(
        "{0} is reachable from other machines and traffic would be in the clear: give a certificate, or listen on 127.0.0.1 behind a proxy that does TLS, or say --insecure-listen"
    )]
    Exposed(SocketAddr),
    /// The same for a listener that has no TLS.
    #[error(
        "{0} is reachable from other machines and traffic would be in the clear: listen on 127.0.0.1, or say --insecure-listen"
    )]
    ExposedPlain(SocketAddr),
    /// The address cannot be bound.
    #[error("cannot listen on {address}: is another process there? Give another {setting}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The flag that says it.
        setting: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// A connection, with TLS or without.
pub type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A listener, with its certificate where it has TLS.
#[derive(Debug)]
pub struct Listener {
    /// Where connections come in.
    pub tcp: TcpListener,
    /// Its certificate.
    pub tls: Option<Certificate>,
}

/// Whether a listener without TLS may be opened there.
///
/// # Errors
/// The address is not loopback and `insecure` is not said.
pub fn allow(address: SocketAddr, insecure: bool) -> Result<(), Error> {
    if address.ip().is_loopback() || insecure { Ok(()) } else { Err(Error::ExposedPlain(address)) }
}

/// Whether a listener that may have TLS may be opened there.
///
/// # Errors
/// The address is not loopback, there is no TLS and `insecure` is not said.
pub fn allow_tls(address: SocketAddr, tls: bool, insecure: bool) -> Result<(), Error> {
    if address.ip().is_loopback() || tls || insecure {
        Ok(())
    } else {
        Err(Error::Exposed(address))
    }
}

/// Opens a listener without TLS; `setting` is the flag that says the address.
///
/// # Errors
/// The address is not loopback and `insecure` is not said, or it cannot be bound.
pub async fn open(
    address: SocketAddr,
    setting: &'static str,
    insecure: bool,
) -> Result<TcpListener, Error> {
    allow(address, insecure)?;
    bind(address, setting).await
}

/// Opens a listener that has TLS where there is a certificate; `setting` is the flag that says the
/// address.
///
/// # Errors
/// The address is not loopback, there is no certificate and `insecure` is not said, or it cannot
/// be bound.
pub async fn open_tls(
    address: SocketAddr,
    setting: &'static str,
    tls: Option<Certificate>,
    insecure: bool,
) -> Result<Listener, Error> {
    allow_tls(address, tls.is_some(), insecure)?;
    Ok(Listener { tcp: bind(address, setting).await?, tls })
}

/// Does the handshake where there is a certificate.
///
/// # Errors
/// It fails: see [`Certificate::accept`].
pub async fn secure(tls: Option<&Certificate>, socket: TcpStream) -> io::Result<Stream> {
    match tls {
        Some(certificate) => Ok(Either::Right(Box::new(certificate.accept(socket).await?))),
        None => Ok(Either::Left(socket)),
    }
}

async fn bind(address: SocketAddr, setting: &'static str) -> Result<TcpListener, Error> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| Error::Bind { address, setting, source })
}
