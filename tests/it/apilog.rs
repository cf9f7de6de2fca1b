//! The API log, what the gateway writes of it: one part a call of a tracked token, without secrets,
//! and nothing of any other call.
//!
//! 300 calls while workers are killed; the variable CALLS sets another number, as `make log-kills` does.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use e2e::admin::{Admin, filter, payload};
use e2e::alerts::{Answer, Sender};
use e2e::events::{Stored, stored};
use e2e::files::{holding, stream_holding};
use e2e::rig::{Plan, Rig, Role};
use e2e::wait::{back_again, eventually};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Request, StatusCode};
use http_body_util::Full;
use nix::sys::signal::Signal;
use runtime::nats::Nats;
use tokio::task::JoinSet;
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::stored::v1::CallPart;
use wire::stored::apilog::{LogPart, Part};
use wire::subject::APILOG_STREAM;

use crate::apilog_read::pages;

async fn tracked(admin: &Admin, name: &str, target: &str) -> anyhow::Result<api::Token> {
    let token = admin.token(name, target).await?;
    admin.track(&token, true).await?;
    Ok(token)
}

/// Everything in the stream.
async fn messages(url: &str) -> anyhow::Result<Vec<Stored>> {
    stored(url, "GANDER_APILOG", "gander.apilog.*").await
}

/// How far apart a call may be stored that is sent again after a timeout: readers look so far.
const NEAR: u64 = 4_096;

/// What gateways have told: the calls by their ids. Of one that is stored twice, both are the same
/// and near each other.
async fn calls(url: &str) -> anyhow::Result<BTreeMap<String, CallPart>> {
    let mut calls: BTreeMap<String, (CallPart, u64)> = BTreeMap::new();
    for message in messages(url).await? {
        let part = LogPart::decode(&message.payload)?;
        if let Part::Call(call) = part.part {
            assert_eq!(message.headers["gander-part"], "call");
            assert_eq!(message.headers["gander-alert"], part.alert.to_string());
            assert_eq!(message.subject, format!("gander.apilog.{}", part.token));
            let alert = part.alert.to_string();
            if let Some((before, sequence)) = calls.get(&alert) {
                assert_eq!(*before, call, "{alert} was told in two ways");
                assert!(message.sequence - sequence <= NEAR, "{alert} was told twice, far apart");
            }
            calls.insert(alert, (call, message.sequence));
        }
    }
    Ok(calls.into_iter().map(|(alert, (call, _))| (alert, call)).collect())
}

/// The calls once there are so many.
async fn calls_once(url: &str, count: usize) -> anyhow::Result<BTreeMap<String, CallPart>> {
    eventually(&format!("{count} calls in the log"), async || {
        calls(url).await.ok().filter(|calls| calls.len() >= count)
    })
    .await
}

struct Stage {
    rig: Rig,
    url: String,
    gateway: SocketAddr,
    sender: Sender,
    token: String,
    target: String,
    admin: Admin,
}

async fn stage(gateway_args: &[&str]) -> anyhow::Result<Stage> {
    stage_of(gateway_args, &[], vec![filter("status")]).await
}

async fn stage_of(
    gateway_args: &[&str],
    worker_args: &[&str],
    filters: Vec<api::Filter>,
) -> anyhow::Result<Stage> {
    let args = |args: &[&str]| args.iter().map(|&arg| arg.to_owned()).collect();
    let (gateway_args, worker_args) = (args(gateway_args), args(worker_args));
    let mut rig = Rig::planned(Plan { gateway_args, worker_args, ..Plan::default() }).await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("team").await?;
    let service = admin.service(&team, "one", filters).await?;
    let token = tracked(&admin, "tracked", &service.name).await?.secret;
    let (url, gateway, target) = (rig.nats_url(), rig.gateway()?, service.name);
    Ok(Stage { rig, url, gateway, sender: Sender::default(), token, target, admin })
}

impl Stage {
    /// Sends what is told apart by its source.
    async fn send(
        &self,
        query: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::post(format!("http://{}/v1/process?{query}", self.gateway));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.sender.request(request.body(Full::new(body.into()))?).await
    }
}

fn gzip(text: &str) -> anyhow::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes())?;
    Ok(encoder.finish()?)
}

fn by_source(calls: BTreeMap<String, CallPart>) -> BTreeMap<String, CallPart> {
    calls.into_values().map(|call| (call.from.clone(), call)).collect()
}

fn header(call: &CallPart, name: &str) -> String {
    let found = call.headers.iter().find(|header| header.name == name);
    found.map_or_else(String::new, |h| String::from_utf8_lossy(&h.value).into_owned())
}

/// The token as `Basic` has it.
fn basic(token: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("x:{token}")))
}

/// One call for each kind of answer, told apart by their sources; all but the last are let in.
async fn send_each_kind(stage: &Stage) -> anyhow::Result<()> {
    let token = &stage.token;
    let (bearer, basic) = (format!("Bearer {token}"), basic(token));
    let auth = ("authorization", bearer.as_str());
    let by_url = format!("a=1&token={token}&from=url");
    let own = format!("{{\"note\": \"{token}\"}}");
    let form = format!("token={token}&a=b");
    let forwarded = [auth, ("x-forwarded-for", "203.0.113.9"), ("x-api-key", "hunter2")];
    let encoded = [auth, ("content-encoding", "gzip")];
    for (query, headers, body, status) in [
        ("from=plain", &forwarded[..], payload("firing", "a").into_bytes(), 201),
        (&by_url, &[], b"{}".to_vec(), 202),
        ("from=basic", &[("authorization", &basic)], b"{}".to_vec(), 202),
        ("from=header", &[auth, ("x-note", token)], b"{}".to_vec(), 202),
        ("from=own", &[auth], own.clone().into_bytes(), 202),
        ("from=form", &[auth], form.into_bytes(), 202),
        ("from=large", &[auth], vec![b'x'; 300 * 1024], 202),
        ("from=zipped", &encoded, gzip("{}")?, 202),
        ("from=hidden", &encoded, gzip(&own)?, 202),
        ("from=broken", &encoded, b"{}".to_vec(), 400),
        ("from=unknown", &[auth, ("content-encoding", "br")], b"{}".to_vec(), 415),
        ("from=too+large", &[auth], vec![b'x'; 1024 * 1024 + 1], 413),
        ("from=expect", &[auth, ("expect", "coffee")], b"{}".to_vec(), 417),
        ("from=wrong", &[("authorization", "Bearer gdr_x")], b"{}".to_vec(), 401),
    ] {
        let answer = stage.send(query, headers, body).await?;
        assert_eq!(answer.status.as_u16(), status, "{query}: {:?}", answer.body);
    }
    Ok(())
}

#[tokio::test]
async fn every_kind_of_answer_is_kept_without_the_token() -> anyhow::Result<()> {
    let stage = stage(&["--trusted-proxies", "127.0.0.1"]).await?;
    send_each_kind(&stage).await?;
    let calls = by_source(calls_once(&stage.url, 13).await?);
    assert_eq!(calls.len(), 13, "{:?}", calls.keys());

    let plain = &calls["plain"];
    assert_eq!((plain.status, plain.code.as_str(), plain.method.as_str()), (201, "", "POST"));
    assert_eq!((&plain.target, plain.client.as_str()), (&stage.target, "203.0.113.9"));
    assert_eq!(plain.body.as_deref(), Some(payload("firing", "a").as_bytes()));
    assert!(plain.partitions.is_power_of_two() && plain.duration_micros > 0);
    assert!(plain.answer.starts_with(b"{\"id\":"), "{:?}", plain.answer);
    assert_eq!(
        (header(plain, "x-api-key"), header(plain, "authorization")),
        ("REDACTED".into(), "REDACTED".into())
    );
    assert_eq!(calls["url"].uri, "/v1/process?a=1&token=REDACTED&from=url");
    assert_eq!(header(&calls["header"], "x-note"), "REDACTED");
    assert_eq!(calls["own"].body.as_deref(), Some(&b"{\"note\": \"REDACTED\"}"[..]));
    assert_eq!(calls["form"].body.as_deref(), Some(&b"token=REDACTED&a=b"[..]));
    assert!(calls["own"].body_redacted && calls["hidden"].body_redacted && !plain.body_redacted);
    assert_eq!(calls["large"].body.as_ref().map(Bytes::len), Some(256 * 1024));
    assert_eq!((calls["large"].body_cut, calls["large"].body_bytes), (true, 300 * 1024));
    assert_eq!(calls["zipped"].body.as_deref(), Some(&gzip("{}")?[..]));
    assert_eq!(calls["hidden"].body.as_deref(), Some(&b"{\"note\": \"REDACTED\"}"[..]));
    let refused = [
        ("broken", "ENCODING_BROKEN"),
        ("unknown", "UNSUPPORTED_ENCODING"),
        ("too large", "BODY_TOO_LARGE"),
        ("expect", "EXPECTATION_FAILED"),
    ];
    for (source, code) in refused {
        assert_eq!((calls[source].code.as_str(), calls[source].partitions), (code, 0));
    }
    assert_eq!((&calls["too large"].body, calls["too large"].body_bytes), (&None, 1024 * 1024 + 1));
    // Prefix and checksum aside, so that a part is found too; and as Basic has it.
    nowhere(&stage.url, &stage.token[4..40]).await?;
    nowhere(&stage.url, &basic(&stage.token)[16..60]).await
}

/// The text is in no part.
async fn nowhere(url: &str, text: &str) -> anyhow::Result<()> {
    for message in messages(url).await? {
        let found = message.payload.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!found, "{text}: {:?}", message.payload);
    }
    Ok(())
}

/// A filter that looks at what must not be seen, and one that looks at everything.
fn curious() -> Vec<api::Filter> {
    let condition =
        |key: &str| vec![api::Condition { key: key.to_owned(), contains: vec!["can".to_owned()] }];
    let of = |name: &str, key: &str| {
        let mut filter = filter(name);
        let trigger = filter.trigger.get_or_insert_default();
        (trigger.conditions, trigger.map_with) = (condition(key), "list[*].pw".to_owned());
        filter
    };
    vec![of("pin", "user.pin"), of("everything", "")]
}

/// How many reasons are in the log.
async fn told(url: &str) -> anyhow::Result<usize> {
    let parts = messages(url).await?.into_iter().map(|message| LogPart::decode(&message.payload));
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    Ok(parts.iter().filter(|part| matches!(part.part, Part::Reasons(_))).count())
}

#[tokio::test]
async fn values_at_paths_are_not_kept_and_limited_calls_are() -> anyhow::Result<()> {
    let args = ["--api-log-redact", "user.pin", "--api-log-redact", "list[*].pw"];
    let limit = ["--rate-limit-token", "1", "--rate-limit-token-burst", "4"];
    let stage = stage_of(&[&args[..], &limit[..]].concat(), &args, curious()).await?;
    let bearer = format!("Bearer {}", stage.token);
    let auth = ("authorization", bearer.as_str());
    let text = r#"{"user": {"pin": "canary", "n": 1.0}, "list": [{"pw": "canary"}]}"#;
    let kept = r#"{"user":{"pin":"REDACTED","n":1.0},"list":[{"pw":"REDACTED"}]}"#;
    stage.send("from=json", &[auth], text).await?;
    stage.send("from=zipped", &[auth, ("content-encoding", "gzip")], gzip(text)?).await?;
    stage.send("from=text", &[auth], "canary").await?;
    stage.send("from=broken", &[auth, ("content-encoding", "gzip")], text).await?;
    let mut sent = 4;
    eventually("the token to be limited", async || {
        let answer = stage.send("from=limited", &[auth], text).await.ok()?;
        sent += 1;
        (answer.status == StatusCode::TOO_MANY_REQUESTS).then_some(())
    })
    .await?;
    let calls = calls_once(&stage.url, sent).await?;
    assert_eq!(calls.len(), sent);
    assert!(calls.values().any(|call| call.status == 429 && call.code == "RATE_LIMITED"));
    let calls = by_source(calls);
    for source in ["json", "zipped"] {
        assert_eq!(calls[source].body.as_deref(), Some(kept.as_bytes()));
    }
    for source in ["text", "broken"] {
        assert_eq!((&calls[source].body, calls[source].body_cut), (&None, true));
    }
    let stored = calls.values().filter(|call| call.partitions != 0).count();
    eventually("reasons", async || (told(&stage.url).await.ok()? >= stored).then_some(())).await?;
    nowhere(&stage.url, "canary").await
}

#[tokio::test]
async fn what_the_broker_cannot_take_is_written_when_it_is_back() -> anyhow::Result<()> {
    let mut stage = stage(&[]).await?;
    let bearer = format!("Bearer {}", stage.token);
    stage.rig.nats.kill().await?;
    let mut refused = 0;
    eventually("the tokens to be out of date", async || {
        let answer = stage.send("", &[("authorization", &bearer)], "{}").await.ok()?;
        refused += usize::from(answer.code() == "BROKER_UNAVAILABLE");
        (answer.code() == "TOKENS_STALE").then_some(())
    })
    .await?;
    assert!(refused > 0);
    back_again(&mut stage.rig.nats).await?;
    let kept = calls_once(&stage.url, refused).await?;
    assert_eq!(kept.len(), refused);
    // They may have been stored: it is the reasons that tell.
    assert!(kept.values().all(|call| call.status == 503 && call.partitions != 0));
    Ok(())
}

#[tokio::test]
async fn nothing_is_written_while_tracking_is_off() -> anyhow::Result<()> {
    const CANARY: &str = "canary-in-the-mine";
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("team").await?;
    admin.service(&team, "one", vec![filter("status")]).await?;
    let never = admin.token("never", "").await?;
    let before = tracked(&admin, "no longer", "").await?;
    admin.track(&before, false).await?;
    let (gateway, sender, url) = (rig.gateway()?, Sender::default(), rig.nats_url());
    for n in 0..500 {
        let body = format!("{{\"note\": \"{CANARY}\", \"n\": {n}}}");
        for token in [&never, &before] {
            let answer = sender.send(gateway, &token.secret, body.clone()).await?;
            assert_eq!(answer.status, StatusCode::ACCEPTED);
        }
    }
    eventually("the alerts to be worked off", async || {
        stored(&url, "GANDER_ALERTS", "gander.alerts").await.ok()?.is_empty().then_some(())
    })
    .await?;
    assert_eq!(messages(&url).await?.len(), 0);
    // Stopped in order: a gateway has written then what it would write.
    for role in rig.roles() {
        let process = &mut rig.running(role)?.process;
        process.signal(Signal::SIGTERM)?;
        process.ended().await?;
    }
    assert_eq!(messages(&url).await?.len(), 0);
    let none = Vec::<PathBuf>::new();
    assert_eq!(stream_holding(rig.folder(), "GANDER_APILOG", CANARY)?, none);
    assert_eq!(holding(&rig.journal(), CANARY)?, none);
    Ok(())
}

fn wanted_calls() -> anyhow::Result<usize> {
    Ok(runtime::environment::variable("CALLS").map_or(Ok(300), |text| text.parse())?)
}

/// Sends so many calls one after the other; gives the ids that are in the answers and how many
/// answers there were.
async fn client(
    gateway: SocketAddr,
    token: String,
    name: usize,
    count: usize,
) -> anyhow::Result<(BTreeSet<String>, usize)> {
    let sender = Sender::default();
    let mut ids = BTreeSet::new();
    let mut answers = 0;
    for n in 0..count {
        let body = payload("firing", &format!("{name} {}", n % 5));
        let answer = sender.send(gateway, &token, body).await?;
        assert_ne!(answer.status, StatusCode::UNAUTHORIZED);
        answers += 1;
        if answer.status.is_success() {
            ids.insert(answer.id().to_owned());
        }
    }
    Ok((ids, answers))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_has_one_entry_while_workers_are_killed() -> anyhow::Result<()> {
    const CLIENTS: usize = 10;
    const KILLS: usize = 3;
    let unlimited = ["--rate-limit-token", "0"];
    let mut stage = stage(&unlimited).await?;
    let each = wanted_calls()?.div_ceil(CLIENTS);
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        clients.spawn(client(stage.gateway, stage.token.clone(), n, each));
    }
    let nats = Nats::connect(&stage.url, "test").await?;
    for kill in 1..=KILLS {
        // Two parts a call, about.
        let reached = u64::try_from(2 * each * CLIENTS * kill / (KILLS + 1))?;
        let mut last = 0;
        while last < reached {
            last = eventually("more parts in the log", async || {
                let (_, newest) = nats.bounds(APILOG_STREAM).await.ok()?;
                (newest > last).then_some(newest)
            })
            .await?;
        }
        stage.rig.kill(Role::Worker(0)).await?;
        stage.rig.restart(Role::Worker(0)).await?;
    }
    let (mut ids, mut answers) = (BTreeSet::new(), 0);
    while let Some(ended) = clients.join_next().await {
        let (own, count) = ended??;
        ids.extend(own);
        answers += count;
    }
    // What waits is written before the gateway ends.
    let gateway = &mut stage.rig.running(Role::Gateway(0))?.process;
    gateway.signal(Signal::SIGTERM)?;
    assert_eq!(gateway.ended().await?, Some(0), "{}", gateway.log());
    let kept = calls(&stage.url).await?;
    println!("{answers} calls answered, {} kept, {} alerts", kept.len(), ids.len());
    assert_eq!((answers, kept.len()), (each * CLIENTS, answers));
    assert!(ids.iter().all(|id| kept.contains_key(id)));
    let told = eventually("the reasons of every alert", async || {
        let all = pages(&stage.admin, &api::ApiLogFilter::default(), 1_000).await.ok()?;
        let all: Vec<_> = all.into_iter().flatten().collect();
        all.iter().all(|entry| entry.missing.is_none()).then_some(all)
    })
    .await?;
    let names: BTreeSet<_> = told.iter().map(|entry| &entry.name).collect();
    assert_eq!((told.len(), names.len()), (answers, answers));
    Ok(())
}
