//! TLS for listeners: a certificate that is replaced while connections stay open.
//!
//! - `files`: from PEM files to what a handshake needs.
//!
//! Must not know what is served over it. A private key stays in here.

mod files;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use domain::time::Timestamp;
use rustls::crypto::aws_lc_rs;
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, SystemClock};
use files::{Contents, Loaded};
pub use files::{Error, Files};

/// How long a handshake may take.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the files are looked at.
const POLL: Duration = Duration::from_secs(5);

/// What a client may choose over the gateway's TLS.
pub const HTTP: &[&[u8]] = &[b"h2", b"http/1.1"];
/// What a client may choose over the TLS of gRPC.
pub const GRPC: &[&[u8]] = &[b"h2"];

/// Makes aws-lc-rs the one provider of cryptography of this process, also for libraries that have
/// TLS of their own; a second call changes nothing.
pub fn install_provider() {
    let _ = aws_lc_rs::default_provider().install_default();
}

/// The certificate of a listener, and what has become of its files. Cheap to clone.
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

struct Inner {
    listener: &'static str,
    files: Files,
    protocols: &'static [&'static [u8]],
    clock: Box<dyn Clock>,
    held: RwLock<Held>,
}

struct Held {
    loaded: Arc<Loaded>,
    /// What it was made from.
    used: blake3::Hash,
    /// What was read last, be it good or bad, so that each change is told once.
    tried: blake3::Hash,
}

/// What came of reading the files again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// They are as they were.
    Unchanged,
    /// New connections get the new certificate.
    Replaced,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.0.listener)
    }
}

impl Certificate {
    /// Reads the files of a listener. A certificate that has expired is told, not refused: senders
    /// that do not look at it still get their alerts through.
    ///
    /// # Errors
    /// The files cannot be read, or do not belong together.
    pub fn load(
        listener: &'static str,
        files: Files,
        protocols: &'static [&'static [u8]],
    ) -> Result<Self, Error> {
        Self::load_at(listener, files, protocols, Box::new(SystemClock))
    }

    fn load_at(
        listener: &'static str,
        files: Files,
        protocols: &'static [&'static [u8]],
        clock: Box<dyn Clock>,
    ) -> Result<Self, Error> {
        let contents = files.read()?;
        let used = contents.fingerprint();
        let loaded = Arc::new(files.parse(&contents, protocols)?);
        if let Err(error) = loaded.check_valid_at(clock.now(), &files) {
            tracing::warn!(listener, %error, "clients will refuse the certificate");
        }
        let held = RwLock::new(Held { loaded, used, tried: used });
        let certificate = Self(Arc::new(Inner { listener, files, protocols, clock, held }));
        certificate.tell_expiry();
        certificate.register_counters();
        Ok(certificate)
    }

    /// Which listener it is of: `http` or `grpc`.
    #[must_use]
    pub fn listener(&self) -> &'static str {
        self.0.listener
    }

    /// Until when the certificate in use is valid.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.loaded().not_after
    }

    /// Does the handshake of a connection, with the certificate in use when it begins.
    ///
    /// # Errors
    /// The client does not speak TLS 1.2 or newer, has no certificate where it must have one,
    /// breaks off, or takes longer than [`HANDSHAKE_TIMEOUT`].
    pub async fn accept(&self, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.loaded().config));
        let done = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(socket)).await;
        let done = done.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        done.inspect_err(|error| {
            let listener = self.0.listener;
            metrics::counter!("gander_tls_handshakes_failed_total", "listener" => listener)
                .increment(1);
            tracing::debug!(listener, %error, "a TLS handshake failed");
        })
    }

    /// Reads the files again. Open connections are not touched; where the files are not good, the
    /// old certificate stays in use.
    ///
    /// # Errors
    /// The files are not good.
    pub async fn reload(&self) -> Result<Reload, Error> {
        let (tried, read) = self.read().await;
        self.take(tried, read)
    }

    /// Follows the files until it is told to stop: looks at them every few seconds, and at once
    /// at SIGHUP.
    pub async fn follow(self, stop: CancellationToken) {
        let Ok(mut hangup) = signal(SignalKind::hangup()) else {
            tracing::error!("SIGHUP cannot be received; certificates are not followed");
            return;
        };
        let mut tick = tokio::time::interval(POLL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                () = stop.cancelled() => return,
                _ = hangup.recv() => true,
                _ = tick.tick() => false,
            };
            let (tried, read) = self.read().await;
            if asked || tried != self.held().tried {
                self.tell(self.take(tried, read));
            }
        }
    }

    /// Reads the files, and marks what was read, also where it was nothing.
    async fn read(&self) -> (blake3::Hash, Result<Contents, Error>) {
        let files = self.0.files.clone();
        let read = tokio::task::spawn_blocking(move || files.read()).await;
        let read = read.unwrap_or(Err(Error::Stopping));
        let tried = match &read {
            Ok(contents) => contents.fingerprint(),
            Err(error) => blake3::hash(error.to_string().as_bytes()),
        };
        (tried, read)
    }

    fn take(&self, tried: blake3::Hash, read: Result<Contents, Error>) -> Result<Reload, Error> {
        self.held_mut().tried = tried;
        let contents = read?;
        if tried == self.held().used {
            return Ok(Reload::Unchanged);
        }
        let loaded = self.0.files.parse(&contents, self.0.protocols)?;
        if loaded.chain != self.loaded().chain {
            loaded.check_valid_at(self.0.clock.now(), &self.0.files)?;
        }
        *self.held_mut() = Held { loaded: Arc::new(loaded), used: tried, tried };
        self.tell_expiry();
        Ok(Reload::Replaced)
    }

    fn tell(&self, reload: Result<Reload, Error>) {
        let listener = self.0.listener;
        let result = match reload {
            Ok(Reload::Unchanged) => {
                tracing::info!(listener, "the certificate is the one in use");
                "ok"
            }
            Ok(Reload::Replaced) => {
                let until = self.not_after().as_micros() / 1_000_000;
                tracing::info!(listener, until, "the certificate is replaced");
                "ok"
            }
            Err(error) => {
                tracing::error!(listener, %error, "the new certificate is refused; the old one stays in use");
                "failed"
            }
        };
        metrics::counter!("gander_certificate_reloads_total", "listener" => listener, "result" => result)
            .increment(1);
    }

    /// What is counted is there from the start, so that its first increase is seen.
    fn register_counters(&self) {
        let listener = self.0.listener;
        metrics::counter!("gander_tls_handshakes_failed_total", "listener" => listener)
            .increment(0);
        for result in ["ok", "failed"] {
            metrics::counter!("gander_certificate_reloads_total", "listener" => listener, "result" => result)
                .increment(0);
        }
    }

    fn tell_expiry(&self) {
        metrics::gauge!("gander_certificate_expiry_timestamp_seconds", "listener" => self.0.listener)
            .set(self.not_after().as_micros() as f64 / 1e6);
    }

    fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.held().loaded)
    }

    fn held(&self) -> std::sync::RwLockReadGuard<'_, Held> {
        self.0.held.read().expect("no holder of this lock panics")
    }

    fn held_mut(&self) -> std::sync::RwLockWriteGuard<'_, Held> {
        self.0.held.write().expect("no holder of this lock panics")
    }
}
