//! HTTP/2 at the gateway: what is answered, what ends a connection, and that nothing is lost when
//! the process stops. Silent connections to gRPC: they lock nobody out.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use e2e::admin::{Admin, filter, payload};
use e2e::alerts::send;
use e2e::rig::{Plan, Rig, Role};
use h2::Reason;
use h2::client::SendRequest;
use http::{HeaderMap, Request, StatusCode, request};
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
/// `POST http:/v1/process`, compressed with the static table alone.
const POST: &[u8] = b"\x83\x86\x04\x0b/v1/process";

struct Stage {
    rig: Rig,
    gateway: SocketAddr,
    token: String,
}

async fn stage() -> anyhow::Result<(Stage, Admin)> {
    let mut rig = Rig::planned(Plan::default()).await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("team").await?;
    admin.service(&team, "one", vec![filter("status")]).await?;
    let token = admin.token("monitor", "").await?.secret;
    let gateway = rig.gateway()?;
    Ok((Stage { rig, gateway, token }, admin))
}

async fn connect(gateway: SocketAddr) -> anyhow::Result<SendRequest<Bytes>> {
    let (sender, connection) = h2::client::handshake(TcpStream::connect(gateway).await?).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Sends a request and gives its status, headers and body.
async fn ask(
    sender: &SendRequest<Bytes>,
    path: &str,
    token: &str,
    body: Bytes,
) -> Result<(StatusCode, HeaderMap, Bytes), h2::Error> {
    let request = Request::post(format!("http://gateway{path}"))
        .header("authorization", format!("Bearer {token}"));
    ask_for(sender, request, body).await
}

async fn ask_for(
    sender: &SendRequest<Bytes>,
    request: request::Builder,
    body: Bytes,
) -> Result<(StatusCode, HeaderMap, Bytes), h2::Error> {
    let request = request.body(()).expect("the request is well formed");
    let mut sender = sender.clone().ready().await?;
    let (answer, mut stream) = sender.send_request(request, false)?;
    // An answer may come before the body is wanted.
    let _ = stream.send_data(body, true);
    let (head, mut body) = answer.await?.into_parts();
    let mut whole = Vec::new();
    while let Some(data) = body.data().await {
        whole.extend_from_slice(&data?);
    }
    Ok((head.status, head.headers, whole.into()))
}

#[tokio::test]
async fn requests_over_http2_are_answered_as_over_http1() -> anyhow::Result<()> {
    let (stage, _) = stage().await?;
    let sender = connect(stage.gateway).await?;
    let firing = |key: &str| Bytes::from(payload("firing", key));
    let asked = (0..50).map(async |n| {
        ask(&sender, "/v1/process", &stage.token, firing(&format!("key-{n}"))).await
    });
    for answer in futures::future::join_all(asked).await {
        let (status, headers, _) = answer?;
        assert_eq!(status, StatusCode::CREATED);
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["referrer-policy"], "no-referrer");
    }
    assert_eq!(sender.current_max_send_streams(), 100);
    let check = async |path: &str, token: &str, body: Bytes, status: u16, code: &str| {
        let (found, headers, text) = ask(&sender, path, token, body).await?;
        assert_eq!(found.as_u16(), status, "{code}");
        assert!(!headers.contains_key("connection"), "{code}");
        assert!(String::from_utf8_lossy(&text).contains(code), "{code}: {text:?}");
        anyhow::Ok(())
    };
    check("/v1/process", "wrong", firing("a"), 401, "INVALID_TOKEN").await?;
    check("/v2/process", &stage.token, firing("a"), 404, "NOT_FOUND").await?;
    let both = format!("/v1/process?token={}", stage.token);
    check(&both, &stage.token, firing("a"), 400, "INVALID_REQUEST").await?;
    let long = format!("/v1/process?from={}", "x".repeat(9_000));
    check(&long, &stage.token, firing("a"), 414, "URI_TOO_LONG").await?;
    check("/v1/process", &stage.token, firing("key-1"), 200, "\"duplicate\":true").await
}

struct Frame {
    kind: u8,
    payload: Vec<u8>,
}

impl Frame {
    /// The reason that a GOAWAY or RST_STREAM gives.
    fn reason(&self) -> Option<Reason> {
        let code = match self.kind {
            GOAWAY => self.payload.get(4..8)?,
            RST_STREAM => self.payload.get(..4)?,
            _ => return None,
        };
        Some(u32::from_be_bytes(code.try_into().ok()?).into())
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("frames of tests are short").to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

/// Takes the first frame off, once it is whole.
fn split(bytes: &mut Vec<u8>) -> Option<Frame> {
    let head = bytes.get(..9)?;
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    let kind = head[3];
    (bytes.len() >= 9 + length).then(|| {
        let payload = bytes.drain(..9 + length).skip(9).collect();
        Frame { kind, payload }
    })
}

/// Sends frames as fast as it can, and reads until one comes with a reason.
async fn flood(gateway: SocketAddr, frames: Vec<u8>) -> anyhow::Result<(u8, Reason)> {
    let (mut from, mut to) = TcpStream::connect(gateway).await?.into_split();
    let all = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frames].concat();
    // The server may close in the middle.
    let writing = tokio::spawn(async move {
        let _ = to.write_all(&all).await;
        to
    });
    let reading = async {
        let mut bytes = Vec::new();
        loop {
            while let Some(frame) = split(&mut bytes) {
                if let Some(reason) = frame.reason() {
                    return Ok((frame.kind, reason));
                }
            }
            anyhow::ensure!(from.read_buf(&mut bytes).await? > 0, "closed without a reason");
        }
    };
    let found = timeout(Duration::from_secs(20), reading).await?;
    writing.abort();
    found
}

#[tokio::test]
async fn floods_end_their_connection_and_nothing_else() -> anyhow::Result<()> {
    let (stage, _) = stage().await?;
    let streams = || (0..2_000).map(|n| 2 * n + 1);
    let open = |stream| frame(HEADERS, END_HEADERS, stream, POST);
    let reset = |stream| frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
    let resets: Vec<u8> = streams().flat_map(|n| [open(n), reset(n)].concat()).collect();
    let (kind, reason) = flood(stage.gateway, resets).await?;
    assert_eq!((kind, reason), (GOAWAY, Reason::ENHANCE_YOUR_CALM), "rapid reset");

    let endless = (0..2_000).flat_map(|_| frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b"));
    let endless: Vec<u8> = frame(HEADERS, 0, 1, POST).into_iter().chain(endless).collect();
    let (kind, reason) = flood(stage.gateway, endless).await?;
    assert_eq!((kind, reason), (GOAWAY, Reason::ENHANCE_YOUR_CALM), "headers without end");

    let (kind, reason) = flood(stage.gateway, streams().take(150).flat_map(open).collect()).await?;
    assert_eq!((kind, reason), (RST_STREAM, Reason::REFUSED_STREAM), "too many at a time");

    let started = Instant::now();
    let answer = send(stage.gateway, &stage.token, payload("firing", "a")).await?;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    Ok(())
}

#[tokio::test]
async fn when_the_process_stops_no_request_over_http2_is_left_without_an_answer()
-> anyhow::Result<()> {
    let (mut stage, admin) = stage().await?;
    let sender = connect(stage.gateway).await?;
    let (told, mut hear) = tokio::sync::mpsc::unbounded_channel();
    let clients = (0..8).map(|client| {
        let (sender, token, told) = (sender.clone(), stage.token.clone(), told.clone());
        tokio::spawn(async move {
            for n in 0.. {
                let key = format!("key-{client}-{n}");
                match ask(&sender, "/v1/process", &token, payload("firing", &key).into()).await {
                    Ok((status, ..)) if status.is_success() => told.send(key)?,
                    Ok((status, ..)) => assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE),
                    // The one way not to be answered: to be told that it was not looked at.
                    Err(error) => {
                        assert!(error.is_go_away(), "{error:?}");
                        assert_eq!(error.reason(), Some(Reason::NO_ERROR), "{error:?}");
                        return Ok(());
                    }
                }
            }
            anyhow::Ok(())
        })
    });
    let clients: Vec<_> = clients.collect();
    drop(told);
    let mut stored = Vec::new();
    while stored.len() < 50 {
        stored.extend(hear.recv().await);
    }
    let gateway = &mut stage.rig.running(Role::Gateway(0))?.process;
    gateway.signal(Signal::SIGTERM)?;
    while let Some(key) = hear.recv().await {
        stored.push(key);
    }
    for client in clients {
        client.await??;
    }
    assert_eq!(gateway.ended().await?, Some(0));
    e2e::wait::eventually("an incident for each alert that was answered", async || {
        let open = admin.open_incidents().await.ok()?;
        let has = |key: &String| open.iter().any(|incident| incident.mapped_value == *key);
        stored.iter().all(has).then_some(())
    })
    .await
}

/// A connection from an address of this machine.
async fn connection(from: Ipv4Addr, to: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    Ok(socket.connect(to).await?)
}

/// Waits until the other side has closed the connection.
async fn closed(connection: &mut TcpStream) {
    let mut bytes = [0; 1_024];
    while connection.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
}

#[tokio::test]
async fn silent_connections_to_grpc_lock_nobody_out() -> anyhow::Result<()> {
    let (stage, admin) = stage().await?;
    let (grpc, elsewhere) = (stage.rig.grpc(), Ipv4Addr::new(127, 0, 0, 2));
    let started = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..1_000 {
        silent.push(connection(elsewhere, grpc).await?);
    }
    let here = Admin::connect(grpc, &admin.credential).await?;
    here.open_incidents().await?;
    assert!(started.elapsed() < Duration::from_secs(9), "before they have run out of time");

    // One that begins with HTTP/2 and asks nothing has longer.
    let mut greeted = connection(Ipv4Addr::LOCALHOST, grpc).await?;
    greeted.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await?;
    timeout(Duration::from_secs(20), async {
        for one in &mut silent {
            closed(one).await;
        }
    })
    .await?;
    assert!(timeout(Duration::from_secs(2), closed(&mut greeted)).await.is_err());
    let mut again = connection(elsewhere, grpc).await?;
    again.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await?;
    assert!(again.read(&mut [0; 64]).await? > 0, "its places are free again");
    assert!(here.status().await.is_ok(), "who was served is served on");
    Ok(())
}

/// A message of a megabyte can take a hundred to be read: nobody without a credential has one read.
#[tokio::test]
async fn admin_reads_no_message_of_nobody() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let credential = rig.first_admin().await?.principal("ada", &["global-admin"]).await?.credential;
    let sender = connect(rig.grpc()).await?;
    // A message of one byte that is none.
    let unreadable = Bytes::from_static(&[0, 0, 0, 0, 1, 0xff]);
    for (credential, refused) in [("", "16"), ("gdp_nobody", "16"), (credential.as_str(), "13")] {
        let path = "http://admin/gander.admin.v1.CatalogService/UpdateService";
        let request = Request::post(path)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", format!("Bearer {credential}"));
        let (_, head, _) = ask_for(&sender, request, unreadable.clone()).await?;
        let status = head.get("grpc-status").map(|status| status.as_bytes());
        assert_eq!(status, Some(refused.as_bytes()), "{credential}: {head:?}");
    }
    Ok(())
}
