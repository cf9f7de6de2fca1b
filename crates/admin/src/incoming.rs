//! Connections to gRPC: within their limit, with TLS where there is a certificate.
//!
//! Must not know services.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt};
use runtime::listen::{self, Listener, secure};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// The most connections at a time; more are closed at once.
const MAX_CONNECTIONS: usize = 1_000;
/// Connections that wait to be served.
const WAITING: usize = 64;
/// After an error of accept, such as too many open files.
const BACK_OFF: Duration = Duration::from_millis(50);

/// A connection. Dropped, its place is free again.
pub struct Connection {
    stream: listen::Stream,
    local: Option<SocketAddr>,
    peer: SocketAddr,
    _place: OwnedSemaphorePermit,
}

/// Connections as they come; the handshakes are done beside each other, so that a slow client
/// holds nobody up.
pub fn incoming(listener: Listener) -> impl Stream<Item = io::Result<Connection>> {
    let (ready, connections) = channel(WAITING);
    tokio::spawn(accept(Arc::new(listener), ready));
    ReceiverStream::new(connections).map(Ok)
}

async fn accept(listener: Arc<Listener>, ready: Sender<Connection>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.tcp.accept() => accepted,
            () = ready.closed() => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                    let (listener, ready) = (Arc::clone(&listener), ready.clone());
                    tokio::spawn(hand_over(listener, socket, peer, place, ready));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection is not accepted");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

async fn hand_over(
    listener: Arc<Listener>,
    socket: TcpStream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
    ready: Sender<Connection>,
) {
    let _ = socket.set_nodelay(true);
    let local = socket.local_addr().ok();
    if let Ok(stream) = secure(listener.tls.as_ref(), socket).await {
        let _ = ready.send(Connection { stream, local, peer, _place: place }).await;
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        TcpConnectInfo { local_addr: self.local, remote_addr: Some(self.peer) }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
