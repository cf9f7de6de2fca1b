//! Attacks that keep connections: many that say nothing, and requests that never end.
//!
//! Must not know how the gateway was started.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::grammar;

/// Raises the limit of open files as far as it may, for this process and those that it starts.
///
/// # Errors
/// The limit is below `wanted` all the same.
pub fn open_files(wanted: u64) -> anyhow::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard)?;
    }
    anyhow::ensure!(hard >= wanted, "only {hard} open files are allowed, {wanted} are needed");
    Ok(())
}

/// The `n`th address of this machine that connections come from; one has at most 500 of them.
fn source(n: usize) -> Ipv4Addr {
    let host = u8::try_from(n / 500 % 250).unwrap_or_default() + 2;
    Ipv4Addr::new(127, 0, 2, host)
}

/// Opens so many connections, 500 from one address, each with `first` as its first bytes.
///
/// # Errors
/// One is refused.
pub async fn hold(
    gateway: SocketAddr,
    count: usize,
    first: &[u8],
) -> anyhow::Result<Vec<TcpStream>> {
    let mut held = Vec::with_capacity(count);
    for n in 0..count {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((source(n), 0)))?;
        let mut stream = socket.connect(gateway).await?;
        stream.write_all(first).await?;
        held.push(stream);
    }
    Ok(held)
}

/// Sends one byte more over each, and keeps those that are open.
pub async fn drip(held: &mut Vec<TcpStream>, byte: u8) {
    let mut open = Vec::with_capacity(held.len());
    for mut stream in held.drain(..) {
        // Nothing to read yet, and it takes a byte: it is open.
        let nothing = stream.try_read(&mut [0; 64]);
        let waits = nothing.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        if waits && stream.write_all(&[byte]).await.is_ok() {
            open.push(stream);
        }
    }
    *held = open;
}

/// Opens streams and takes them back at once, until the other side has enough; how many it took.
///
/// # Errors
/// It never has enough.
pub async fn rapid_reset(gateway: SocketAddr, most: u32) -> anyhow::Result<u32> {
    let mut stream = TcpStream::connect(gateway).await?;
    stream.write_all(&[grammar::PREFACE, &grammar::frame(4, 0, 0, &[])].concat()).await?;
    for n in 0..most {
        let open = grammar::frame(1, 4, 2 * n + 1, grammar::POST);
        let reset = grammar::frame(3, 0, 2 * n + 1, &[0, 0, 0, 8]);
        if stream.write_all(&[open, reset].concat()).await.is_err() {
            return Ok(n);
        }
    }
    // It has taken them all into its buffers, or was done before.
    let mut rest = Vec::new();
    let ended = timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
    anyhow::ensure!(ended.is_ok(), "it goes on after {most} resets");
    Ok(most)
}
