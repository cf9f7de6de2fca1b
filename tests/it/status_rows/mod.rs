//! Every row of the tables in `docs/http-status.md` over raw sockets: a row without a test fails, and
//! a test without a row. `table`: what is sent for each.

mod table;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::admin::request_id;
use e2e::http_status;
use e2e::rig::{Plan, Role};
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use wire::proto::gander::admin::v1 as api;

use crate::http::{Stage, raw, stage};
use table::{Test, get, post, tests};

#[test]
fn each_row_has_a_test_and_each_test_a_row() -> anyhow::Result<()> {
    let (rows, tests) = (http_status::rows(), tests("gdr_token_that_is_not_sent_here"));
    for row in &rows {
        let found = tests.iter().filter(|(name, _)| row.name().starts_with(name)).count();
        ensure!(found == 1, "{found} tests for the row {}", row.name());
    }
    for (name, test) in &tests {
        let found = rows.iter().filter(|row| row.name().starts_with(name)).count();
        ensure!(found == 1, "{found} rows for the test {name}");
        if let Test::Named(file, function) = test {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
            let text = std::fs::read_to_string(path).context(*file)?;
            ensure!(text.contains(&format!("fn {function}(")), "{file} has no {function}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn each_row_is_answered_as_it_says() -> anyhow::Result<()> {
    let stage = stage(Plan::default()).await?;
    for (name, test) in tests(&stage.token) {
        let Test::Sent(exchanges) = test else { continue };
        for exchange in exchanges {
            let started = Instant::now();
            let answer = raw(stage.gateway, &exchange.request).await?;
            let begin = format!("HTTP/1.1 {} ", exchange.status);
            let asked =
                String::from_utf8_lossy(&exchange.request[..exchange.request.len().min(200)]);
            ensure!(answer.starts_with(&begin), "{name}: {answer}\nfor {asked}");
            for text in exchange.has {
                ensure!(answer.contains(text), "{name}: no {text} in {answer}\nfor {asked}");
            }
            for text in exchange.lacks {
                ensure!(!answer.contains(text), "{name}: {text} in {answer}\nfor {asked}");
            }
            ensure!(!answer.contains(&stage.token), "{name}: the token in {answer}");
            ensure!(started.elapsed() < Duration::from_secs(2), "{name}: {:?}", started.elapsed());
        }
    }
    Ok(())
}

async fn check(stage: &Stage, request: &str, status: u16, has: &str) -> anyhow::Result<()> {
    let answer = raw(stage.gateway, request.as_bytes()).await?;
    let fits = answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(has);
    ensure!(fits, "no {status} with {has}: {answer}\nfor {request}");
    Ok(())
}

fn flags(flags: &[&str]) -> Plan {
    let gateway_args = flags.iter().map(|&flag| flag.to_owned()).collect();
    Plan { gateway_args, ..Plan::default() }
}

#[tokio::test]
async fn a_prefix_is_for_alerts_and_the_description_only() -> anyhow::Result<()> {
    let stage = stage(flags(&["--path-prefix", "/gander"])).await?;
    let alert = post(&stage.token, "", "{}");
    let prefixed = alert.replace("/v1/process", "/gander/v1/process");
    check(&stage, &prefixed, 202, "\"id\"").await?;
    check(&stage, &prefixed.replace("POST", "PUT"), 202, "\"id\"").await?;
    check(&stage, &alert, 404, "NOT_FOUND").await?;
    check(&stage, &get("/gander/openapi.json"), 200, "/gander/v1/process").await?;
    check(&stage, &get("/openapi.json"), 200, "/gander/v1/process").await?;
    check(&stage, &get("/livez"), 200, "ok").await?;
    check(&stage, &get("/gander/livez"), 404, "NOT_FOUND").await
}

#[tokio::test]
async fn tokens_of_the_right_shape_that_open_nothing_are_refused() -> anyhow::Result<()> {
    let stage = stage(Plan::default()).await?;
    let challenge = "www-authenticate: Bearer error=\"invalid_token\"\r\n";
    let deleted = stage.admin.token("deleted", "").await?;
    check(&stage, &post(&deleted.secret, "", "{}"), 202, "\"id\"").await?;
    stage.admin.delete_token(&deleted).await?;
    check(&stage, &post(&deleted.secret, "", "{}"), 401, challenge).await?;
    check(&stage, &post(&e2e::alerts::never_issued(), "", "{}"), 401, challenge).await
}

#[tokio::test]
async fn without_a_worker_the_outcome_is_waited_for_and_not_known() -> anyhow::Result<()> {
    let mut stage = stage(Plan::default()).await?;
    stage.rig.kill(Role::Worker(0)).await?;
    let started = Instant::now();
    let accepted = "\"status\":\"accepted\"";
    check(&stage, &post(&stage.token, "", "{}"), 202, accepted).await?;
    let took = started.elapsed();
    ensure!(took >= Duration::from_millis(800) && took < Duration::from_secs(2), "{took:?}");
    let started = Instant::now();
    check(&stage, &post(&stage.token, "Prefer: wait=0\r\n", "{}"), 202, accepted).await?;
    ensure!(started.elapsed() < Duration::from_millis(800), "{:?}", started.elapsed());
    Ok(())
}

#[tokio::test]
async fn while_the_broker_is_silent_alerts_are_refused_and_the_gateway_is_not_ready()
-> anyhow::Result<()> {
    let stage = stage(Plan::default()).await?;
    let nats = nix::unistd::Pid::from_raw(i32::try_from(stage.rig.nats.pid().context("nats")?)?);
    nix::sys::signal::kill(nats, Signal::SIGSTOP)?;
    let alert = post(&stage.token, "", "{}");
    let answer = raw(stage.gateway, alert.as_bytes()).await?;
    ensure!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 5\r\n"),
        "{answer}"
    );
    ensure!(answer.contains("BROKER_UNAVAILABLE"), "{answer}");
    e2e::wait::eventually("the gateway not to know tokens", async || {
        let answer = raw(stage.gateway, alert.as_bytes()).await.ok()?;
        (answer.contains("TOKENS_STALE") && answer.contains("retry-after: 5\r\n")).then_some(())
    })
    .await?;
    check(&stage, &get("/readyz"), 503, "\nnot ready").await?;
    let answer = raw(stage.gateway, get("/readyz").as_bytes()).await?;
    ensure!(answer.contains("] tokens failed: ") && !answer.contains("retry-after"), "{answer}");
    check(&stage, &get("/livez"), 200, "ok").await?;
    nix::sys::signal::kill(nats, Signal::SIGCONT)?;
    Ok(())
}

#[tokio::test]
async fn who_asks_too_often_is_told_so() -> anyhow::Result<()> {
    let limits =
        ["--rate-limit-token", "1", "--rate-limit-token-burst", "2", "--rate-limit-refused", "1"];
    let own = stage(flags(&limits)).await?;
    limited(&own, post("wrong", "", "{}"), 429).await?;
    check(&own, &post(&own.token, "", "{}"), 202, "\"id\"").await?;
    limited(&own, post(&own.token, "", "{}"), 429).await?;
    let shared = stage(flags(&["--rate-limit-address", "1"])).await?;
    limited(&shared, post(&shared.token, "", "{}"), 429).await?;
    let patient = shared.admin.token("patient", "").await?;
    let token = Some(api::Token {
        name: patient.name,
        unavailable_over_limit: Some(true),
        ..api::Token::default()
    });
    let (update_mask, request_id) = (None, request_id());
    let request = api::UpdateTokenRequest { token, update_mask, request_id };
    shared.admin.tokens().update_token(request).await?;
    limited(&shared, post(&patient.secret, "", "{}"), 503).await
}

/// That the request is refused for its number in the end.
async fn limited(stage: &Stage, request: String, status: u16) -> anyhow::Result<()> {
    e2e::wait::eventually("a refusal", async || {
        let answer = raw(stage.gateway, request.as_bytes()).await.ok()?;
        let says = answer.contains("RATE_LIMITED") && answer.contains("retry-after: 1\r\n");
        (answer.starts_with(&format!("HTTP/1.1 {status} ")) && says).then_some(())
    })
    .await
}

#[tokio::test]
async fn bodies_that_take_all_memory_are_refused() -> anyhow::Result<()> {
    let stage = stage(flags(&["--body-memory-max-bytes", "8388608"])).await?;
    let head =
        post(&stage.token, "", "").replace("Content-Length: 0", "Transfer-Encoding: chunked");
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut socket = TcpStream::connect(stage.gateway).await?;
        socket.write_all(head.as_bytes()).await?;
        held.push(socket);
    }
    e2e::wait::eventually("the memory to be taken", async || {
        let answer = raw(stage.gateway, post(&stage.token, "", "{}").as_bytes()).await.ok()?;
        let says = answer.contains("OVERLOADED") && answer.contains("retry-after: 5\r\n");
        (answer.starts_with("HTTP/1.1 503 ") && says).then_some(())
    })
    .await?;
    drop(held);
    e2e::wait::eventually("room again", async || {
        let answer = raw(stage.gateway, post(&stage.token, "", "{}").as_bytes()).await.ok()?;
        answer.starts_with("HTTP/1.1 202 ").then_some(())
    })
    .await
}

#[tokio::test]
async fn a_full_stream_is_told() -> anyhow::Result<()> {
    let args = ["--alerts-max-bytes", "200000"].map(str::to_owned).to_vec();
    let mut stage = stage(Plan { stream_args: args, ..Plan::default() }).await?;
    stage.rig.kill(Role::Worker(0)).await?;
    let big = post(&stage.token, "Prefer: wait=0\r\n", &"x".repeat(20_000));
    e2e::wait::eventually("the stream to be full", async || {
        let answer = raw(stage.gateway, big.as_bytes()).await.ok()?;
        let says = answer.contains("STREAM_FULL") && answer.contains("retry-after: 5\r\n");
        (answer.starts_with("HTTP/1.1 503 ") && says).then_some(())
    })
    .await
}

#[tokio::test]
async fn who_has_too_many_connections_is_not_served() -> anyhow::Result<()> {
    let stage = stage(flags(&["--max-connections-per-ip", "2"])).await?;
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(TcpStream::connect(stage.gateway).await?);
    }
    e2e::wait::eventually("the third to be closed", async || {
        let answer = raw(stage.gateway, get("/livez").as_bytes()).await;
        answer.map_or(true, |answer| answer.is_empty()).then_some(())
    })
    .await
}

/// What comes until the other side closes, and after how long.
async fn until_closed(mut socket: TcpStream, sent: &[u8]) -> anyhow::Result<(String, Duration)> {
    socket.write_all(sent).await?;
    let started = Instant::now();
    let mut all = Vec::new();
    timeout(Duration::from_secs(30), socket.read_to_end(&mut all)).await??;
    Ok((String::from_utf8_lossy(&all).into_owned(), started.elapsed()))
}

#[tokio::test]
async fn who_is_slow_or_silent_is_cut_off() -> anyhow::Result<()> {
    let stage = stage(Plan::default()).await?;
    let idle = |connection: &str| format!("GET /livez HTTP/1.1\r\nHost: g\r\n{connection}\r\n");
    let slow = post(&stage.token, "", "").replace("Length: 0", "Length: 9");
    let requests = [String::new(), "GET /livez HT".to_owned(), idle(""), slow];
    let asked = requests.map(async |request| {
        until_closed(TcpStream::connect(stage.gateway).await?, request.as_bytes()).await
    });
    let answers = futures::future::try_join_all(asked).await?;
    let starts = ["", "", "HTTP/1.1 200 ", "HTTP/1.1 408 "];
    for ((answer, took), start) in answers.iter().zip(starts) {
        ensure!(answer.starts_with(start) && answer.is_empty() == start.is_empty(), "{answer}");
        let seconds = took.as_secs_f64();
        ensure!((9.5..20.0).contains(&seconds), "{answer} after {seconds} s");
    }
    let late = &answers[3].0;
    ensure!(late.contains("BODY_TIMEOUT") && late.contains("connection: close\r\n"), "{late}");
    Ok(())
}

#[tokio::test]
async fn a_head_that_is_complete_after_the_stop_is_refused_and_idle_connections_end()
-> anyhow::Result<()> {
    let mut stage = stage(Plan::default()).await?;
    let (head, rest) = ("POST /v1/process HTTP/1.1\r\nHost: g\r\n", "Content-Length: 2\r\n\r\n{}");
    let mut begun = TcpStream::connect(stage.gateway).await?;
    begun.write_all(head.as_bytes()).await?;
    let mut idle = TcpStream::connect(stage.gateway).await?;
    idle.write_all(get("/livez").as_bytes()).await?;
    ensure!(idle.read(&mut [0; 1_024]).await? > 0, "it was served before");
    let gateway = &mut stage.rig.running(Role::Gateway(0))?.process;
    gateway.signal(Signal::SIGTERM)?;
    timeout(Duration::from_secs(5), async {
        while idle.read(&mut [0; 64]).await? > 0 {}
        anyhow::Ok(())
    })
    .await
    .context("an idle connection stays open")??;
    let rest = format!("Authorization: Bearer {}\r\n{rest}", stage.token);
    let (answer, _) = until_closed(begun, rest.as_bytes()).await?;
    let says = answer.contains("DRAINING") && answer.contains("retry-after: 5\r\n");
    ensure!(answer.starts_with("HTTP/1.1 503 ") && says, "{answer}");
    ensure!(answer.contains("connection: close\r\n"), "{answer}");
    ensure!(gateway.ended().await? == Some(0), "it ends well");
    Ok(())
}

/// Reads HTTP/2 frames to the end; whether there was a GOAWAY, and after how long it ended. Pings are
/// answered where that is wanted.
async fn frames_to_the_end(stage: &Stage, pong: bool) -> anyhow::Result<(bool, Duration)> {
    const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    // `GET http:/livez`, with the static table alone.
    const LIVEZ: &[u8] = b"\0\0\x0a\x01\x05\0\0\0\x01\x82\x86\x04\x06/livez";
    let mut socket = TcpStream::connect(stage.gateway).await?;
    socket.write_all(&[GREETING, LIVEZ].concat()).await?;
    let (started, mut goaway) = (Instant::now(), false);
    loop {
        let mut head = [0; 9];
        if socket.read_exact(&mut head).await.is_err() {
            return Ok((goaway, started.elapsed()));
        }
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        socket.read_exact(&mut payload).await?;
        goaway |= head[3] == 7;
        // Settings are confirmed once they have come.
        if (head[3], head[4]) == (4, 0) {
            socket.write_all(b"\0\0\0\x04\x01\0\0\0\0").await?;
        }
        if (head[3], head[4]) == (6, 0) && pong {
            socket.write_all(&[b"\0\0\x08\x06\x01\0\0\0\0", payload.as_slice()].concat()).await?;
        }
    }
}

#[tokio::test]
#[ignore = "two minutes of waiting: make hostile runs it"]
async fn http2_connections_that_are_idle_or_dead_end() -> anyhow::Result<()> {
    let stage = stage(Plan::default()).await?;
    let both = async {
        tokio::try_join!(frames_to_the_end(&stage, true), frames_to_the_end(&stage, false))
    };
    let (idle, dead) = timeout(Duration::from_secs(150), both).await??;
    let seconds = idle.1.as_secs_f64();
    ensure!(idle.0 && (59.0..130.0).contains(&seconds), "idle: GOAWAY {}, {seconds} s", idle.0);
    let seconds = dead.1.as_secs_f64();
    ensure!((20.0..60.0).contains(&seconds), "dead: {seconds} s");
    Ok(())
}
