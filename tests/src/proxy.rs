//! A TCP proxy within the test: it passes bytes on, late, not at all, or breaks connections.
//!
//! Must not know what is spoken through it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Read and passed on at once.
const CHUNK: usize = 64 * 1024;
/// Into so many steps a second a thin line is cut.
const THIN_STEPS: usize = 50;

/// What becomes of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They arrive.
    Pass,
    /// They arrive so much later, in both directions.
    Delay(Duration),
    /// At most so many a second arrive, in each direction of each connection.
    Thin(usize),
    /// They stand still, and nobody is told; what was sent arrives once this has ended, as it does
    /// after packets were dropped for a while. Connections can be opened.
    BlackHole,
}

/// What connections go by.
#[derive(Clone, Copy, Debug)]
struct State {
    mode: Mode,
    /// How often everything was reset.
    resets: u64,
    /// How often everything was stranded.
    strandings: u64,
}

/// A running proxy. Dropped, its connections end.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    state: watch::Sender<State>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Starts one to an address, passing bytes on.
    ///
    /// # Errors
    /// There is no port.
    pub async fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let target = Arc::new(Mutex::new(target));
        let (state, seen) = watch::channel(State { mode: Mode::Pass, resets: 0, strandings: 0 });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&target), seen));
        Ok(Self { address, target, state, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that are opened from here on lead there.
    pub fn aim(&self, target: SocketAddr) {
        *self.target.lock().expect("no holder of this lock panics") = target;
    }

    /// From here on bytes fare so.
    pub fn set(&self, mode: Mode) {
        self.state.send_modify(|state| state.mode = mode);
    }

    /// Resets every connection that is open, on both sides.
    pub fn reset(&self) {
        self.state.send_modify(|state| state.resets += 1);
    }

    /// Nothing arrives any more over the connections that are open, and nobody is told; those that are
    /// opened from here on fare as they would.
    pub fn strand(&self) {
        self.state.send_modify(|state| state.strandings += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    target: Arc<Mutex<SocketAddr>>,
    state: watch::Receiver<State>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let target = *target.lock().expect("no holder of this lock panics");
        let state = state.clone();
        // A connection that ends is no matter of the proxy.
        tokio::spawn(async move { connection(client, target, state).await.ok() });
    }
}

async fn connection(
    mut client: TcpStream,
    target: SocketAddr,
    mut state: watch::Receiver<State>,
) -> anyhow::Result<()> {
    let State { resets, strandings, .. } = *state.borrow();
    let (mut stranded, mut reset) = (state.clone(), state.clone());
    let mut server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let passing = both(&mut client, &mut server, state.clone());
    let ended = tokio::select! {
        passed = passing => Some(passed.is_ok()),
        _ = state.wait_for(|state| state.resets != resets) => Some(false),
        _ = stranded.wait_for(|state| state.strandings != strandings) => None,
    };
    let in_order = match ended {
        Some(in_order) => in_order,
        None => reset.wait_for(|state| state.resets != resets).await.is_err(),
    };
    if !in_order {
        // Closed, they are reset.
        client.set_zero_linger()?;
        server.set_zero_linger()?;
    }
    Ok(())
}

/// Passes bytes on until both sides have ended; either may end first and the other go on.
async fn both(
    client: &mut TcpStream,
    server: &mut TcpStream,
    state: watch::Receiver<State>,
) -> anyhow::Result<()> {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let there = pass(from_client, to_server, state.clone());
    tokio::try_join!(there, pass(from_server, to_client, state)).map(drop)
}

async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut state: watch::Receiver<State>,
) -> anyhow::Result<()> {
    let mut chunk = vec![0; CHUNK];
    // When the bytes before have passed a thin line.
    let mut next = Instant::now();
    loop {
        let most = match state.borrow().mode {
            Mode::Thin(rate) => (rate / THIN_STEPS).clamp(1, CHUNK),
            Mode::Pass | Mode::Delay(_) | Mode::BlackHole => CHUNK,
        };
        let read = from.read(&mut chunk[..most]).await?;
        let mode = state.borrow().mode;
        match mode {
            Mode::Delay(late) => tokio::time::sleep(late).await,
            Mode::Thin(rate) => {
                next =
                    next.max(Instant::now()) + Duration::from_secs_f64(read as f64 / rate as f64);
                tokio::time::sleep_until(next).await;
            }
            Mode::Pass | Mode::BlackHole => {}
        }
        let passes = state.wait_for(|state| state.mode != Mode::BlackHole).await;
        drop(passes.context("the proxy is gone")?);
        if read == 0 {
            return Ok(to.shutdown().await?);
        }
        to.write_all(&chunk[..read]).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client and a server that are connected through the proxy.
    async fn connected() -> anyhow::Result<(Proxy, TcpStream, TcpStream)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = Proxy::start(listener.local_addr()?).await?;
        let client = TcpStream::connect(proxy.address()).await?;
        let (server, _) = listener.accept().await?;
        Ok((proxy, client, server))
    }

    async fn says(from: &mut TcpStream, to: &mut TcpStream) -> anyhow::Result<[u8; 2]> {
        from.write_all(b"hi").await?;
        let mut heard = [0; 2];
        to.read_exact(&mut heard).await?;
        Ok(heard)
    }

    #[tokio::test]
    async fn bytes_arrive_and_late_where_it_says_so() -> anyhow::Result<()> {
        let (proxy, mut client, mut server) = connected().await?;
        assert_eq!(says(&mut client, &mut server).await?, *b"hi");
        let late = Duration::from_millis(50);
        proxy.set(Mode::Delay(late));
        let begun = Instant::now();
        assert_eq!(says(&mut server, &mut client).await?, *b"hi");
        assert!(begun.elapsed() >= late);
        drop(client);
        assert_eq!(server.read(&mut [0; 1]).await?, 0);
        Ok(())
    }

    #[tokio::test]
    async fn a_thin_line_carries_as_much_as_it_says() -> anyhow::Result<()> {
        let (proxy, mut client, mut server) = connected().await?;
        proxy.set(Mode::Thin(100_000));
        let begun = Instant::now();
        client.write_all(&[0; 20_000]).await?;
        server.read_exact(&mut [0; 20_000]).await?;
        assert!(begun.elapsed() >= Duration::from_millis(150));
        Ok(())
    }

    #[tokio::test]
    async fn what_fell_into_a_black_hole_arrives_afterwards() -> anyhow::Result<()> {
        let (proxy, mut client, mut server) = connected().await?;
        proxy.set(Mode::BlackHole);
        client.write_all(b"hi").await?;
        let mut heard = [0; 2];
        let hearing = tokio::time::timeout(Duration::from_millis(100), server.read(&mut heard));
        assert!(hearing.await.is_err());
        proxy.set(Mode::Pass);
        server.read_exact(&mut heard).await?;
        assert_eq!(heard, *b"hi");
        Ok(())
    }

    #[tokio::test]
    async fn nothing_arrives_over_what_is_stranded_and_who_comes_afterwards_is_served()
    -> anyhow::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = Proxy::start(listener.local_addr()?).await?;
        let mut client = TcpStream::connect(proxy.address()).await?;
        let (mut server, _) = listener.accept().await?;
        says(&mut client, &mut server).await?;
        proxy.strand();
        let mut next = TcpStream::connect(proxy.address()).await?;
        let (mut another, _) = listener.accept().await?;
        client.write_all(b"hi").await?;
        assert_eq!(says(&mut next, &mut another).await?, *b"hi");
        let heard =
            tokio::time::timeout(Duration::from_millis(100), server.read(&mut [0; 1])).await;
        assert!(heard.is_err(), "neither a byte nor an end");
        Ok(())
    }

    #[tokio::test]
    async fn a_reset_is_one_on_both_sides_and_who_comes_afterwards_is_served() -> anyhow::Result<()>
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = Proxy::start(listener.local_addr()?).await?;
        let mut client = TcpStream::connect(proxy.address()).await?;
        let (mut server, _) = listener.accept().await?;
        says(&mut client, &mut server).await?;
        proxy.reset();
        for side in [&mut client, &mut server] {
            let error = side.read(&mut [0; 1]).await.expect_err("no end in order");
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        let mut next = TcpStream::connect(proxy.address()).await?;
        let (mut server, _) = listener.accept().await?;
        assert_eq!(says(&mut next, &mut server).await?, *b"hi");
        Ok(())
    }
}
