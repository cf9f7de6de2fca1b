//! The yardstick: a bare axum server that reads a body and answers 202, as a process of its own.
//!
//! Must not know Gander's gateway.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::serve::Listener;
use clap::{Args, ValueEnum};
use runtime::listen::{self, Stream};
use runtime::tls::{self, Certificate, Files};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::mpsc;

/// The counter of what it has answered.
pub const ANSWERED: &str = "bare_answered_total";
static COUNT: AtomicU64 = AtomicU64::new(0);

/// What runs the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Runtime {
    /// One thread.
    CurrentThread,
    /// A thread for each core.
    MultiThread,
}

/// How the server is run.
#[derive(Clone, Debug, Args)]
pub struct Bare {
    /// Where it listens.
    #[arg(long)]
    pub listen: SocketAddr,
    /// Where it tells how much it has answered, in clear text.
    #[arg(long)]
    pub ops_listen: SocketAddr,
    /// What runs it.
    #[arg(long, value_enum)]
    pub runtime: Runtime,
    /// A certificate, for TLS.
    #[arg(long, requires = "key")]
    pub certificate: Option<PathBuf>,
    /// Its key.
    #[arg(long)]
    pub key: Option<PathBuf>,
}

/// Runs the server until it is killed.
pub fn run(args: &Bare) -> anyhow::Result<()> {
    let mut builder = match args.runtime {
        Runtime::CurrentThread => Builder::new_current_thread(),
        Runtime::MultiThread => Builder::new_multi_thread(),
    };
    builder.enable_all().build()?.block_on(serve(args))
}

async fn serve(args: &Bare) -> anyhow::Result<()> {
    let ops = TcpListener::bind(args.ops_listen).await?;
    let told = async || format!("{ANSWERED} {}\n", COUNT.load(Relaxed));
    tokio::spawn(async move { axum::serve(ops, Router::new().route("/metrics", get(told))).await });
    let app = Router::new().route("/v1/process", post(answer));
    let tcp = TcpListener::bind(args.listen).await?;
    let Some((certificate, key)) = args.certificate.as_ref().zip(args.key.as_ref()) else {
        let tcp = axum::serve::ListenerExt::tap_io(tcp, |socket| {
            let _ = socket.set_nodelay(true);
        });
        return Ok(axum::serve(tcp, app).await?);
    };
    let files =
        Files::given("bare", Some(certificate), Some(key), None)?.context("a certificate")?;
    let certificate = Certificate::load("bare", files, tls::HTTP)?;
    let address = tcp.local_addr()?;
    let (shaken, streams) = mpsc::channel(64);
    tokio::spawn(shake_hands(tcp, certificate, shaken));
    Ok(axum::serve(Secured { address, streams }, app).await?)
}

/// The body is read as a whole before this is called.
async fn answer(body: Bytes) -> (StatusCode, String) {
    COUNT.fetch_add(1, Relaxed);
    (StatusCode::ACCEPTED, format!("{{\"bytes\":{}}}", body.len()))
}

/// Does the handshakes beside each other, as a server does that is not held up by one.
async fn shake_hands(
    tcp: TcpListener,
    certificate: Certificate,
    shaken: mpsc::Sender<(Stream, SocketAddr)>,
) {
    while let Ok((socket, peer)) = tcp.accept().await {
        let _ = socket.set_nodelay(true);
        let (certificate, shaken) = (certificate.clone(), shaken.clone());
        tokio::spawn(async move {
            if let Ok(stream) = listen::secure(Some(&certificate), socket).await {
                let _ = shaken.send((stream, peer)).await;
            }
        });
    }
}

/// Connections that have TLS.
struct Secured {
    address: SocketAddr,
    streams: mpsc::Receiver<(Stream, SocketAddr)>,
}

impl Listener for Secured {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        match self.streams.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }
}
