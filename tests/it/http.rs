//! What the gateway answers, over raw sockets: the rows of `docs/http-status.md`.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use e2e::admin::{Admin, filter, payload};
use e2e::alerts::{Sender, get, send};
use e2e::rig::{Plan, Rig, Role};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Request, StatusCode};
use http_body_util::Full;
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use wire::proto::gander::admin::v1 as api;

/// Some senders give up after a second.
const ONE_SECOND: Duration = Duration::from_secs(1);

/// Sends bytes and reads what comes until the server closes or a whole answer is there.
async fn raw(gateway: SocketAddr, request: &[u8]) -> anyhow::Result<String> {
    let mut socket = TcpStream::connect(gateway).await?;
    // The server may answer and close before it has read everything.
    let _ = socket.write_all(request).await;
    let mut answer = Vec::new();
    let read = async {
        while !whole(&answer) && socket.read_buf(&mut answer).await? > 0 {}
        anyhow::Ok(())
    };
    let read = timeout(Duration::from_secs(15), read).await.context("no answer in 15 s")?;
    if answer.is_empty() {
        read?;
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Whether an answer is there with its whole body.
pub fn whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.to_lowercase().lines().find_map(|line| {
        line.strip_prefix("content-length: ").and_then(|n| n.trim().parse::<usize>().ok())
    });
    length.is_some_and(|length| body.len() >= length)
}

struct Stage {
    rig: Rig,
    admin: Admin,
    gateway: SocketAddr,
    token: String,
}

async fn stage(plan: Plan) -> anyhow::Result<Stage> {
    let mut rig = Rig::planned(plan).await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("team").await?;
    admin.service(&team, "one", vec![filter("status")]).await?;
    let token = admin.token("monitor", "").await?.secret;
    let gateway = rig.gateway()?;
    Ok(Stage { rig, admin, gateway, token })
}

/// A row: what is sent, and what the answer must begin with and contain.
struct Row<'a> {
    name: &'a str,
    request: String,
    status: u16,
    contains: &'a [&'a str],
}

#[expect(clippy::too_many_lines, reason = "one row for each row of the page")]
fn rows(token: &str) -> Vec<Row<'_>> {
    let basic = BASE64_STANDARD.encode(format!("x:{token}"));
    let row = |name, request: &str, status, contains| Row {
        name,
        request: request.replace("TOKEN", token).replace("BASIC", &basic),
        status,
        contains,
    };
    let auth = "Host: g\r\nAuthorization: Bearer TOKEN\r\n";
    let post = |more: &str| format!("POST /v1/process HTTP/1.1\r\n{auth}{more}");
    let long = "x".repeat(9_000);
    let headers: String = (0..70).map(|n| format!("x-{n}: 1\r\n")).collect();
    let oversized = format!("x-big: {}\r\n", "x".repeat(70_000));
    vec![
        row(
            "no token",
            "POST /v1/process HTTP/1.1\r\nHost: g\r\nContent-Length: 2\r\n\r\n{}",
            401,
            &["www-authenticate: Bearer\r\n", "INVALID_TOKEN"],
        ),
        row(
            "neither bearer nor basic",
            "POST /v1/process HTTP/1.1\r\nHost: g\r\nAuthorization: Digest eA==\r\nContent-Length: 2\r\n\r\n{}",
            400,
            &["INVALID_REQUEST"],
        ),
        row(
            "basic without a password",
            "POST /v1/process HTTP/1.1\r\nHost: g\r\nAuthorization: Basic eA==\r\nContent-Length: 2\r\n\r\n{}",
            400,
            &["INVALID_REQUEST"],
        ),
        row(
            "basic with a wrong token",
            "POST /v1/process HTTP/1.1\r\nHost: g\r\nAuthorization: Basic eDp4\r\nContent-Length: 2\r\n\r\n{}",
            401,
            &["www-authenticate: Bearer error=\"invalid_token\"", "INVALID_TOKEN"],
        ),
        row(
            "token in basic and in the URL",
            "POST /v1/process?token=TOKEN HTTP/1.1\r\nHost: g\r\nAuthorization: Basic BASIC\r\nContent-Length: 2\r\n\r\n{}",
            400,
            &["INVALID_REQUEST"],
        ),
        row(
            "taken with basic",
            "POST /v1/process HTTP/1.1\r\nHost: g\r\nAuthorization: Basic BASIC\r\nContent-Length: 2\r\n\r\n{}",
            202,
            &["cache-control: no-store", "referrer-policy: no-referrer"],
        ),
        row(
            "malformed token",
            "POST /v1/process HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer gdr_x\r\nContent-Length: 2\r\n\r\n{}",
            401,
            &["www-authenticate: Bearer error=\"invalid_token\"", "INVALID_TOKEN"],
        ),
        row(
            "token in two places",
            "POST /v1/process?token=TOKEN HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer TOKEN\r\nContent-Length: 2\r\n\r\n{}",
            400,
            &["INVALID_REQUEST"],
        ),
        row(
            "two tokens in the URL",
            "POST /v1/process?token=TOKEN&token=TOKEN HTTP/1.1\r\nHost: g\r\nContent-Length: 2\r\n\r\n{}",
            400,
            &["INVALID_REQUEST"],
        ),
        row(
            "unknown path",
            "POST /v2/process HTTP/1.1\r\nHost: g\r\nContent-Length: 2\r\n\r\n{}",
            404,
            &["NOT_FOUND"],
        ),
        row(
            "unknown method",
            "GET /v1/process HTTP/1.1\r\nHost: g\r\n\r\n",
            405,
            &["allow: POST, PUT", "METHOD_NOT_ALLOWED"],
        ),
        row(
            "probe with another method",
            "POST /livez HTTP/1.1\r\nHost: g\r\nContent-Length: 0\r\n\r\n",
            405,
            &["allow: GET, HEAD"],
        ),
        row(
            "body announced too large",
            &post("Content-Length: 1048577\r\n\r\n"),
            413,
            &["BODY_TOO_LARGE", "\"limit_bytes\":1048576", "connection: close"],
        ),
        row(
            "URI too long",
            &format!("POST /v1/process?from={long} HTTP/1.1\r\nHost: g\r\n\r\n"),
            414,
            &["URI_TOO_LONG"],
        ),
        row(
            "unknown encoding",
            &post("Content-Encoding: br\r\nContent-Length: 2\r\n\r\n{}"),
            415,
            &["accept-encoding: gzip, deflate", "UNSUPPORTED_ENCODING"],
        ),
        row(
            "encoded twice",
            &post("Content-Encoding: gzip, gzip\r\nContent-Length: 2\r\n\r\n{}"),
            415,
            &["UNSUPPORTED_ENCODING"],
        ),
        row(
            "not what the encoding says",
            &post("Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"),
            400,
            &["ENCODING_BROKEN"],
        ),
        row(
            "unknown expectation",
            &post("Expect: coffee\r\nContent-Length: 2\r\n\r\n{}"),
            417,
            &["EXPECTATION_FAILED"],
        ),
        row(
            "broken chunk",
            &post("Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
            400,
            &["BODY_BROKEN"],
        ),
        row("garbage", "garbage\r\n\r\n", 400, &[]),
        row("bad header", "POST /v1/process HTTP/1.1\r\nHost : g\r\n\r\n", 400, &[]),
        row("two lengths", &post("Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"), 400, &[]),
        row(
            "length and chunks: the chunks count",
            &post("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            202,
            &[],
        ),
        row("too many headers", &post(&format!("{headers}\r\n")), 431, &[]),
        row("headers too large", &post(&format!("{oversized}\r\n")), 431, &[]),
        row(
            "taken",
            &post("Content-Length: 2\r\n\r\n{}"),
            202,
            &["\"triggered\":{\"created\":false,\"duplicate\":false}"],
        ),
        row(
            "taken by PUT",
            &post("Content-Length: 2\r\n\r\n{}").replace("POST", "PUT"),
            202,
            &["cache-control: no-store", "referrer-policy: no-referrer"],
        ),
        row(
            "taken in chunks",
            &post("Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
            202,
            &["\"id\":\""],
        ),
        row(
            "token in the URL",
            "POST /v1/process?token=TOKEN HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}",
            202,
            &["\"id\":\""],
        ),
        row(
            "not waiting",
            &post("Prefer: respond-async\r\nContent-Length: 2\r\n\r\n{}"),
            202,
            &["preference-applied: respond-async", "\"status\":\"accepted\""],
        ),
        row("empty body", &post("Content-Length: 0\r\n\r\n"), 202, &["\"id\":\""]),
        row("alive", "GET /livez HTTP/1.1\r\nHost: g\r\n\r\n", 200, &["ok"]),
        row(
            "described",
            "GET /openapi.json HTTP/1.1\r\nHost: g\r\n\r\n",
            200,
            &["content-type: application/json", "\"openapi\":\"3.1.0\""],
        ),
        row(
            "described, with another method",
            "POST /openapi.json HTTP/1.1\r\nHost: g\r\nContent-Length: 0\r\n\r\n",
            405,
            &["allow: GET, HEAD"],
        ),
        row(
            "ready",
            "GET /readyz?verbose HTTP/1.1\r\nHost: g\r\n\r\n",
            200,
            &["[+] broker ok", "[+] tokens ok"],
        ),
    ]
}

#[tokio::test]
async fn each_row_of_the_table_is_answered_as_it_says() -> anyhow::Result<()> {
    let stage = stage(Plan::default()).await?;
    for row in rows(&stage.token) {
        let started = Instant::now();
        let answer = raw(stage.gateway, row.request.as_bytes()).await?;
        let begin = format!("{} ", row.status);
        let status = answer.split_once(' ').map(|(_, rest)| rest.starts_with(&begin));
        assert_eq!(status, Some(true), "{}: {answer}", row.name);
        for text in row.contains {
            assert!(answer.contains(text), "{}: {text} is missing in {answer}", row.name);
        }
        assert!(started.elapsed() < ONE_SECOND, "{}: {:?}", row.name, started.elapsed());
        if row.status >= 400 && answer.contains("problem+json") {
            assert!(!answer.contains(&stage.token), "{}", row.name);
        }
    }
    Ok(())
}

#[tokio::test]
async fn everybody_who_may_not_come_in_reads_the_same() -> anyhow::Result<()> {
    let stage = stage(Plan::default()).await?;
    let deleted = stage.admin.token("deleted", "").await?;
    stage.admin.delete_token(&deleted).await?;
    let forbidden = api::Token {
        display_name: "header only".to_owned(),
        r#type: api::TokenType::Global.into(),
        url_parameter_allowed: Some(false),
        ..api::Token::default()
    };
    let request = api::CreateTokenRequest { token: Some(forbidden), ..Default::default() };
    let forbidden = stage.admin.tokens().create_token(request).await?.into_inner().secret;
    let by_header = send(stage.gateway, &forbidden, "{}").await?;
    assert_eq!(by_header.status, StatusCode::ACCEPTED);
    let mut unknown = stage.token.clone().into_bytes();
    unknown.swap(10, 11);
    let unknown = String::from_utf8(unknown)?;
    let sender = Sender::default();
    let mut bodies = Vec::new();
    for secret in ["", "x", &unknown, &deleted.secret, &forbidden] {
        let answer = sender.send_by_url(stage.gateway, secret, "{}").await?;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        bodies.push(answer.body);
    }
    let nothing = Request::post(format!("http://{}/v1/process", stage.gateway));
    bodies.push(sender.request(nothing.body(Full::default())?).await?.body);
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    Ok(())
}

#[tokio::test]
async fn who_may_not_come_in_is_told_before_the_body_is_asked_for() -> anyhow::Result<()> {
    let stage = stage(Plan::default()).await?;
    let head =
        "POST /v1/process HTTP/1.1\r\nHost: g\r\nExpect: 100-continue\r\nContent-Length: 2\r\n";
    let refused =
        raw(stage.gateway, format!("{head}Authorization: Bearer x\r\n\r\n").as_bytes()).await?;
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    let mut socket = TcpStream::connect(stage.gateway).await?;
    let head = format!("{head}Authorization: Bearer {}\r\n\r\n", stage.token);
    socket.write_all(head.as_bytes()).await?;
    let mut go_on = [0; 25];
    socket.read_exact(&mut go_on).await?;
    assert!(go_on.starts_with(b"HTTP/1.1 100 Continue"));
    Ok(())
}

#[tokio::test]
async fn an_answer_is_not_lost_with_a_body_that_nobody_wants() -> anyhow::Result<()> {
    let stage = stage(Plan::default()).await?;
    let sender = Sender::default();
    for _ in 0..20 {
        let refused = sender.send(stage.gateway, "wrong", vec![b' '; 200_000]).await?;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_closes_its_side_still_gets_its_answer() -> anyhow::Result<()> {
    let stage = stage(Plan::default()).await?;
    let mut socket = TcpStream::connect(stage.gateway).await?;
    let head = "POST /v1/process HTTP/1.1\r\nHost: g\r\nConnection: close\r\nContent-Length: 2\r\n";
    let request = format!("{head}Authorization: Bearer {}\r\n\r\n{{}}", stage.token);
    socket.write_all(request.as_bytes()).await?;
    socket.shutdown().await?;
    let mut answer = String::new();
    timeout(Duration::from_secs(5), socket.read_to_string(&mut answer)).await??;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn bodies_are_decoded_and_bounded() -> anyhow::Result<()> {
    let stage = stage(Plan::default()).await?;
    let gzip = |body: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body)?;
        encoder.finish()
    };
    let sender = Sender::default();
    let send = async |encoding: &str, kind: &str, body: Vec<u8>| {
        let request = Request::post(format!("http://{}/v1/process", stage.gateway))
            .header("authorization", format!("Bearer {}", stage.token))
            .header("content-encoding", encoding)
            .header("content-type", kind)
            .body(Full::new(body.into()))?;
        sender.request(request).await
    };
    let json = "application/json";
    let answer = send("gzip", json, gzip(payload("firing", "gzip").as_bytes())?).await?;
    assert_eq!(answer.status, StatusCode::CREATED);
    let answer = send("gzip", json, gzip(&vec![b' '; 50_000_000])?).await?;
    assert_eq!((answer.status, answer.code()), (StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE"));
    let most = |extra: usize| {
        let body = payload("firing", "most");
        [body.as_bytes(), &vec![b' '; 1024 * 1024 - body.len() + extra]].concat()
    };
    assert_eq!(send("identity", json, most(0)).await?.status, StatusCode::CREATED);
    assert_eq!(send("identity", json, most(1)).await?.status, StatusCode::PAYLOAD_TOO_LARGE);
    let form = "application/x-www-form-urlencoded";
    let answer = send("identity", form, payload("firing", "form").into_bytes()).await?;
    assert_eq!(answer.status, StatusCode::CREATED, "curl -d labels JSON as a form");
    let answer = send("identity", "image/png", b"\x89PNG firing".to_vec()).await?;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "what is no text counts as empty");
    Ok(())
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_answered_408() -> anyhow::Result<()> {
    let stage = stage(Plan::default()).await?;
    let head = "POST /v1/process HTTP/1.1\r\nHost: g\r\nContent-Length: 9\r\n";
    let request = format!("{head}Authorization: Bearer {}\r\n\r\n{{", stage.token);
    let answer = raw(stage.gateway, request.as_bytes()).await?;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("BODY_TIMEOUT"));
    Ok(())
}

#[tokio::test]
async fn without_a_worker_an_alert_is_taken_within_a_second_and_worked_on_later()
-> anyhow::Result<()> {
    let mut stage = stage(Plan::default()).await?;
    stage.rig.kill(Role::Worker(0)).await?;
    let started = Instant::now();
    let answer = send(stage.gateway, &stage.token, payload("firing", "a")).await?;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(answer.body["status"], "accepted");
    assert!(started.elapsed() < ONE_SECOND + Duration::from_millis(100), "{:?}", started.elapsed());
    stage.rig.restart(Role::Worker(0)).await?;
    let admin = &stage.admin;
    e2e::wait::eventually("the incident", async || {
        (admin.open_incidents().await.ok()?.len() == 1).then_some(())
    })
    .await
}

#[tokio::test]
async fn while_the_broker_is_silent_every_answer_is_503_within_a_second() -> anyhow::Result<()> {
    let stage = stage(Plan::default()).await?;
    let nats = nix::unistd::Pid::from_raw(i32::try_from(stage.rig.nats.pid().context("nats")?)?);
    nix::sys::signal::kill(nats, Signal::SIGSTOP)?;
    let asked = (0..20).map(async |_| {
        let started = Instant::now();
        let answer = send(stage.gateway, &stage.token, payload("firing", "a")).await?;
        anyhow::Ok((answer, started.elapsed()))
    });
    for asked in futures::future::join_all(asked).await {
        let (answer, took) = asked?;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{:?}", answer.body);
        assert!(answer.headers.contains_key("retry-after"));
        assert!(took < ONE_SECOND + Duration::from_millis(100), "{took:?}");
    }
    // Within two seconds the gateway cannot tell any more who is let in.
    e2e::wait::eventually("the gateway not to be ready", async || {
        let (status, _) = get(stage.gateway, "/readyz").await.ok()?;
        (status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await?;
    assert_eq!(get(stage.gateway, "/livez").await?.0, StatusCode::OK);
    nix::sys::signal::kill(nats, Signal::SIGCONT)?;
    e2e::wait::eventually("alerts to be taken again", async || {
        let answer = send(stage.gateway, &stage.token, payload("firing", "b")).await.ok()?;
        answer.status.is_success().then_some(())
    })
    .await
}

#[tokio::test]
async fn a_full_stream_is_told_and_heals_when_it_is_worked_off() -> anyhow::Result<()> {
    let args = ["--alerts-max-bytes", "200000"].map(str::to_owned).to_vec();
    let mut stage = stage(Plan { stream_args: args, ..Plan::default() }).await?;
    stage.rig.kill(Role::Worker(0)).await?;
    let sender = Sender::default();
    let big = format!("{{\"status\": \"firing\", \"key\": \"{}\"}}", "x".repeat(20_000));
    let full = e2e::wait::eventually("the stream to be full", async || {
        let answer = sender.send(stage.gateway, &stage.token, big.clone()).await.ok()?;
        (answer.status == StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    });
    assert_eq!(full.await?.code(), "STREAM_FULL");
    stage.rig.restart(Role::Worker(0)).await?;
    e2e::wait::eventually("room again", async || {
        let answer = sender.send(stage.gateway, &stage.token, big.clone()).await.ok()?;
        answer.status.is_success().then_some(())
    })
    .await
}

#[tokio::test]
async fn connections_and_broker_limits_are_kept() -> anyhow::Result<()> {
    let args = ["--max-connections", "3"].map(str::to_owned).to_vec();
    let stage = stage(Plan { gateway_args: args, ..Plan::default() }).await?;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(TcpStream::connect(stage.gateway).await?);
    }
    let request = b"GET /livez HTTP/1.1\r\nHost: g\r\n\r\n";
    e2e::wait::eventually("the fourth to be refused", async || {
        let answer = raw(stage.gateway, request).await;
        answer.map_or(true, |answer| answer.is_empty()).then_some(())
    })
    .await?;
    drop(held);
    e2e::wait::eventually("a place again", async || {
        raw(stage.gateway, request).await.ok()?.starts_with("HTTP/1.1 200").then_some(())
    })
    .await
}
