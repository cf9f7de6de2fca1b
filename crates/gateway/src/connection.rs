//! One connection: the handshake, HTTP/1.1 or HTTP/2 within their limits, and its end.
//!
//! Must not know what is asked over it.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use runtime::activity::{Activity, InHand};
use runtime::listen::{Stream, secure};
use runtime::tls::Certificate;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::http::Handler;

/// What serves connections.
pub struct Connections {
    tls: Option<Certificate>,
    handler: Arc<Handler>,
    builder: Arc<auto::Builder<TokioExecutor>>,
    stop: CancellationToken,
}

impl Connections {
    /// Over TLS where there is a certificate; until `stop`.
    pub fn new(tls: Option<Certificate>, handler: Handler, stop: CancellationToken) -> Self {
        Self { tls, handler: Arc::new(handler), builder: Arc::new(builder()), stop }
    }

    /// Serves a connection to its end.
    pub fn serve(&self, socket: TcpStream, peer: IpAddr) -> impl Future<Output = ()> + use<> {
        let (tls, handler, stop) = (self.tls.clone(), Arc::clone(&self.handler), self.stop.clone());
        let builder = Arc::clone(&self.builder);
        async move {
            let stream = tokio::select! {
                stream = secure(tls.as_ref(), socket) => stream,
                () = stop.cancelled() => return,
            };
            if let Ok(stream) = stream {
                requests(stream, peer, handler, &builder, &stop).await;
            }
        }
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config::HEADER_TIMEOUT)
        .max_headers(config::MAX_HEADERS)
        .max_buf_size(config::MAX_HEAD_BYTES)
        // A client that has sent everything may close its side and still wants its answer.
        .half_close(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(config::H2_STREAMS)
        .max_header_list_size(config::H2_HEADER_BYTES)
        .max_pending_accept_reset_streams(config::H2_RESETS)
        .max_local_error_reset_streams(config::H2_ERRORS)
        .initial_stream_window_size(config::H2_STREAM_WINDOW)
        .initial_connection_window_size(config::H2_CONNECTION_WINDOW)
        .max_send_buf_size(config::H2_SEND_BUFFER)
        .keep_alive_interval(config::H2_PING)
        .keep_alive_timeout(config::H2_PONG);
    builder
}

/// Answers the requests of a connection. When the process stops, or nothing is asked for long, it
/// takes no more, and ends with the last answer.
async fn requests(
    stream: Stream,
    peer: IpAddr,
    handler: Arc<Handler>,
    builder: &auto::Builder<TokioExecutor>,
    stop: &CancellationToken,
) {
    let activity = Arc::new(Activity::default());
    let counted = Arc::clone(&activity);
    let turns = Arc::new(Semaphore::new(config::H2_TURNS));
    let service = service_fn(move |request: Request<Incoming>| {
        let (handler, in_hand) = (Arc::clone(&handler), InHand::begin(&counted));
        let turns = (request.version() == Version::HTTP_2).then(|| Arc::clone(&turns));
        async move {
            if let Some(turns) = turns {
                in_turn(&turns).await;
            }
            // Put aside, so that a request that waits for its turn takes little.
            let answer = Box::pin(handler.handle(peer, request)).await;
            drop(in_hand);
            Ok::<_, Infallible>(answer)
        }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let idle = tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => false,
        () = activity.is_idle(config::FIRST_REQUEST, config::IDLE) => true,
    };
    connection.as_mut().graceful_shutdown();
    if idle {
        let _ = tokio::time::timeout(config::LEAVE, connection).await;
    } else {
        let _ = connection.await;
    }
}

/// Waits until this request is among the next few of its connection, and everybody else had a turn. Without it
/// all requests that a client sends at once over HTTP/2 would stand before those of others, and before
/// the answers of the broker.
async fn in_turn(turns: &Semaphore) {
    let _turn = turns.acquire().await;
    yield_now().await;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn who_sends_much_at_once_goes_on_no_faster_than_others() {
        let turns = Arc::new(Semaphore::new(config::H2_TURNS));
        let begun = Arc::new(AtomicUsize::new(0));
        let requests = (0..1_000).map(|_| {
            let (turns, begun) = (Arc::clone(&turns), Arc::clone(&begun));
            tokio::spawn(async move {
                in_turn(&turns).await;
                begun.fetch_add(1, Ordering::Relaxed);
            })
        });
        let requests: Vec<_> = requests.collect();
        for _ in 0..10 {
            yield_now().await;
        }
        let between = begun.load(Ordering::Relaxed);
        assert!(between <= 100, "{between} requests before ten turns of another");
        for request in requests {
            request.await.unwrap();
        }
        assert_eq!(begun.load(Ordering::Relaxed), 1_000);
    }
}
