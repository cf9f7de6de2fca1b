//! Attacks that keep connections: many that say nothing, and requests that never end.
//!
//! Must not know how the gateway was started.

use std::net::{Ipv4Addr, SocketAddr};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

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

/// Opens so many connections, each with `first` as its first bytes.
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

/// Sends one byte more over each; how many are still open.
pub async fn drip(held: &mut Vec<TcpStream>, byte: u8) -> usize {
    let mut open = Vec::with_capacity(held.len());
    for mut stream in held.drain(..) {
        // Nothing to read yet, and it takes a byte: it is open.
        let waits = matches!(stream.try_read(&mut [0; 64]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
        if waits && stream.write_all(&[byte]).await.is_ok() {
            open.push(stream);
        }
    }
    *held = open;
    held.len()
}
