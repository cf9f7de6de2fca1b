//! Connections to gRPC: within their limits, with TLS where there is a certificate, and for no
//! longer than something is asked.
//!
//! Must not know services.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{Stream, StreamExt};
use http_body_util::BodyExt;
use runtime::activity::{Activity, InHand};
use runtime::listen::{self, Listener, secure};
use runtime::places::{Place, Places, counted};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Service};
use tonic::transport::server::Connected;
use tower_layer::Layer;

/// The most connections at a time; more are closed at once.
const MAX_CONNECTIONS: usize = 1_000;
/// The most of them from one address; of IPv6 from one network.
const MAX_PER_ADDRESS: usize = 100;
/// How long a client has for the bytes with which HTTP/2 begins.
const GREETING: Duration = Duration::from_secs(10);
/// How many bytes these are.
const GREETING_BYTES: usize = 24;
/// After that, how long it has for its first call with a good credential.
const FIRST_CALL: Duration = Duration::from_secs(60);
/// How the calls begin for which a credential is wanted; health and reflection want none.
const OURS: &str = "/gander.";
/// How long a connection stays over which no call is going on.
const IDLE: Duration = Duration::from_secs(300);
/// Connections that wait to be served.
const WAITING: usize = 64;
/// After an error of accept, such as too many open files.
const BACK_OFF: Duration = Duration::from_millis(50);

/// A connection. Dropped, its place is free again.
pub struct Connection {
    stream: listen::Stream,
    seen: Seen,
    /// Ready once the client has stayed too long for what it asks.
    overstayed: Pin<Box<dyn Future<Output = ()> + Send>>,
    has_overstayed: bool,
    _place: Place<IpAddr>,
}

/// What has come over a connection.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    bytes: Arc<AtomicUsize>,
    calls: Arc<Activity>,
    /// Whether a call has shown a good credential.
    admitted: Arc<AtomicBool>,
}

impl Seen {
    async fn overstayed(self) {
        tokio::time::sleep(GREETING).await;
        if self.bytes.load(Ordering::Relaxed) < GREETING_BYTES {
            return;
        }
        tokio::time::sleep(FIRST_CALL).await;
        if self.admitted.load(Ordering::Relaxed) {
            self.calls.is_idle(IDLE, IDLE).await;
        }
    }
}

/// Connections as they come; the handshakes are done beside each other, so that a slow client
/// holds nobody up.
pub fn incoming(listener: Listener) -> impl Stream<Item = io::Result<Connection>> {
    let (ready, connections) = channel(WAITING);
    tokio::spawn(accept(Arc::new(listener), ready));
    ReceiverStream::new(connections).map(Ok)
}

async fn accept(listener: Arc<Listener>, ready: Sender<Connection>) {
    let places = Places::new(MAX_CONNECTIONS, MAX_PER_ADDRESS);
    loop {
        let accepted = tokio::select! {
            accepted = listener.tcp.accept() => accepted,
            () = ready.closed() => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                if let Ok(place) = places.take(Some(counted(peer.ip()))) {
                    let (listener, ready) = (Arc::clone(&listener), ready.clone());
                    tokio::spawn(hand_over(listener, socket, place, ready));
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
    place: Place<IpAddr>,
    ready: Sender<Connection>,
) {
    let _ = socket.set_nodelay(true);
    if let Ok(stream) = secure(listener.tls.as_ref(), socket).await {
        let seen = Seen::default();
        let overstayed = Box::pin(seen.clone().overstayed());
        let connection =
            Connection { stream, seen, overstayed, has_overstayed: false, _place: place };
        let _ = ready.send(connection).await;
    }
}

impl Connected for Connection {
    type ConnectInfo = Seen;

    fn connect_info(&self) -> Seen {
        self.seen.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.has_overstayed || self.overstayed.as_mut().poll(cx).is_ready() {
            self.has_overstayed = true;
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.seen.bytes.fetch_add(buffer.filled().len() - before, Ordering::Relaxed);
        Poll::Ready(Ok(()))
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

/// Counts calls, each until its answer has been sent or taken back.
#[derive(Clone, Copy, Debug)]
pub struct CountCalls;

/// A service whose calls are counted.
#[derive(Clone, Debug)]
pub struct Counted<S>(S);

impl<S> Layer<S> for CountCalls {
    type Service = Counted<S>;

    fn layer(&self, service: S) -> Counted<S> {
        Counted(service)
    }
}

impl<S> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Response<Body>, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let seen = request.extensions().get::<Seen>();
        let in_hand = seen.map(|seen| InHand::begin(&seen.calls));
        let admitted = seen.filter(|_| request.uri().path().starts_with(OURS));
        let admitted = admitted.map(|seen| Arc::clone(&seen.admitted));
        let call = self.0.call(request);
        Box::pin(async move {
            let answer = call.await?;
            // Any error, since unknown methods and broken messages are told before who asks is known.
            let failed = Status::from_header_map(answer.headers()).is_some();
            if let Some(admitted) = admitted.filter(|_| !failed) {
                admitted.store(true, Ordering::Relaxed);
            }
            // The answer of a stream is its body: the call lasts as long as that.
            Ok(answer.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    let _lasts = &in_hand;
                    frame
                }))
            }))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{fmt, future};

    use tokio::time::{Instant, timeout};
    use tonic::Code;
    use tonic::service::Routes;

    use super::*;

    /// Answers every call with this status; none is a success whose body is still to come.
    struct Answers(Option<Code>);

    impl Service<Request<Body>> for Answers {
        type Response = Response<Body>;
        type Error = io::Error;
        type Future = future::Ready<io::Result<Response<Body>>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            let failed = self.0.map(|code| Status::new(code, "no").into_http());
            future::ready(Ok(failed.unwrap_or_default()))
        }
    }

    /// Whether a connection over which this is asked has shown a credential.
    async fn is_admitted<S>(path: &str, service: S) -> bool
    where
        S: Service<Request<Body>, Response = Response<Body>, Error: fmt::Debug>,
        S::Future: Send + 'static,
    {
        let seen = Seen::default();
        let request = Request::post(path).header("content-type", "application/grpc");
        let request = request.extension(seen.clone()).body(Body::empty()).unwrap();
        CountCalls.layer(service).call(request).await.unwrap();
        seen.admitted.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn a_credential_is_shown_by_a_call_of_ours_that_succeeds() {
        let ours = "/gander.admin.v1.TokenService/GetToken";
        assert!(is_admitted(ours, Answers(None)).await);
        for code in [Code::Unauthenticated, Code::InvalidArgument, Code::NotFound] {
            assert!(!is_admitted(ours, Answers(Some(code))).await, "{code:?}");
        }
        let health = "/grpc.health.v1.Health/Check";
        assert!(!is_admitted(health, Answers(None)).await, "it wants none");
        // As the server answers for a method that there is not, before anybody asks for a credential.
        let routes = || Routes::new(tonic_health::server::health_reporter().1);
        assert!(!is_admitted("/gander.admin.v1.TokenService/Nothing", routes()).await);
        assert!(!is_admitted("/gander.nothing/Nothing", routes()).await);
    }

    async fn stays(seen: &Seen) -> Duration {
        let started = Instant::now();
        let _ = timeout(10 * IDLE, seen.clone().overstayed()).await;
        started.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_stays_as_long_as_something_is_asked_over_it() {
        let seen = Seen::default();
        assert_eq!(stays(&seen).await, GREETING, "silent");
        seen.bytes.store(GREETING_BYTES, Ordering::Relaxed);
        assert_eq!(stays(&seen).await, GREETING + FIRST_CALL, "nothing is asked");
        let call = InHand::begin(&seen.calls);
        assert_eq!(stays(&seen).await, GREETING + FIRST_CALL, "nobody says who it is");
        seen.admitted.store(true, Ordering::Relaxed);
        assert_eq!(stays(&seen).await, 10 * IDLE, "a call that lasts");
        drop(call);
        let idle = stays(&seen).await;
        assert!(idle >= GREETING + IDLE && idle <= GREETING + FIRST_CALL + 2 * IDLE, "{idle:?}");
    }
}
