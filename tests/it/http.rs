//! What the gateway answers where more than one request or process is looked at; `status_rows` has
//! the rows of `docs/http-status.md`.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use e2e::admin::{Admin, filter, payload};
use e2e::alerts::{Sender, get, never_issued, send};
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
pub async fn raw(gateway: SocketAddr, request: &[u8]) -> anyhow::Result<String> {
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

pub struct Stage {
    pub rig: Rig,
    pub admin: Admin,
    pub gateway: SocketAddr,
    pub token: String,
}

pub async fn stage(plan: Plan) -> anyhow::Result<Stage> {
    let mut rig = Rig::planned(plan).await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("team").await?;
    admin.service(&team, "one", vec![filter("status")]).await?;
    let token = admin.token("monitor", "").await?.secret;
    let gateway = rig.gateway()?;
    Ok(Stage { rig, admin, gateway, token })
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
    let unknown = never_issued();
    let mistyped = format!("{}x", stage.token);
    let sender = Sender::default();
    let mut bodies = Vec::new();
    for secret in ["", "x", &mistyped, &unknown, &deleted.secret, &forbidden] {
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

/// A server of which nothing more is heard, while others of its cluster go on.
#[tokio::test]
async fn a_gateway_leaves_connections_to_the_broker_over_which_nothing_comes() -> anyhow::Result<()>
{
    let stage = stage(Plan { proxies: true, ..Plan::default() }).await?;
    let stored = async || {
        let answer = send(stage.gateway, &stage.token, payload("firing", "a")).await?;
        anyhow::Ok(answer.status.is_success().then_some(()))
    };
    stored().await?.context("the first alert is stored")?;
    stage.rig.links.as_ref().context("there are proxies")?.gateways[0].strand();
    let begun = Instant::now();
    let mut refused = 0;
    while stored().await?.is_none() {
        refused += 1;
        let lasts = begun.elapsed();
        // Pings alone would take 15 s to tell.
        anyhow::ensure!(lasts < Duration::from_secs(6), "{refused} alerts refused in {lasts:?}");
    }
    anyhow::ensure!(refused > 0, "nothing was stranded");
    Ok(())
}
