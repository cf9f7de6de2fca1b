//! Traces: one from the sender over gateway and worker to the subscriber, at a real receiver.

use std::time::Duration;

use e2e::admin::{Admin, filter, payload, request_id};
use e2e::alerts::{Answer, Sender};
use e2e::collector::{Collector, Seen};
use e2e::events::{Stored, stored};
use e2e::rig::{Plan, Rig, Role};
use e2e::wait::eventually;
use http::{Request, StatusCode};
use http_body_util::Full;
use nix::sys::signal::Signal;
use tokio::time::Instant;
use wire::proto::gander::admin::v1 as api;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn traceparent(trace: &str, flags: &str) -> String {
    format!("00-{trace}-{SPAN}-{flags}")
}

async fn send(rig: &mut Rig, token: &str, trace: &str, payload: String) -> anyhow::Result<Answer> {
    let url = format!("http://{}/v1/process?from=canary-of-the-query", rig.gateway()?);
    let request = Request::post(url)
        .header("authorization", format!("Bearer {token}"))
        .header("traceparent", trace)
        .body(Full::new(payload.into()))?;
    Sender::default().request(request).await
}

struct Given {
    rig: Rig,
    admin: Admin,
    collector: Collector,
    token: String,
}

/// A rig that sends its traces, with a service whose filter understands [`payload`].
async fn given(more: &[&str]) -> anyhow::Result<Given> {
    let collector = Collector::start().await?;
    let more = more.iter().map(|&arg| arg.to_owned());
    let stream_args = collector.args().into_iter().chain(more).collect();
    let rig = Rig::planned(Plan { stream_args, ..Plan::default() }).await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Payments").await?;
    admin.service(&team, "Checkout", vec![filter("status")]).await?;
    let token = admin.token("monitor", &team.name).await?.secret;
    Ok(Given { rig, admin, collector, token })
}

async fn events(rig: &Rig) -> anyhow::Result<Vec<Stored>> {
    stored(&rig.nats_url(), "GANDER_INCIDENTS", "gander.incidents.>").await
}

#[tokio::test]
async fn one_trace_goes_from_the_sender_to_the_event() -> anyhow::Result<()> {
    let Given { mut rig, collector, token, .. } = given(&[]).await?;
    let answer = send(&mut rig, &token, &traceparent(TRACE, "01"), payload("firing", "a")).await?;
    assert_eq!(answer.status, StatusCode::CREATED);
    let received = collector.span(TRACE, "POST /v1/process").await?;
    let sent = collector.span(TRACE, "send gander.alerts").await?;
    let folded = collector.span(TRACE, "process gander.alerts").await?;
    let chain = [&received, &sent, &folded].map(|seen| (seen.parent(), seen.service.as_str()));
    let expected = [
        (SPAN.to_owned(), "gander-gateway"),
        (received.id(), "gander-gateway"),
        (sent.id(), "gander-worker"),
    ];
    assert_eq!(chain, expected);
    assert_eq!(received.attribute("http.response.status_code").as_deref(), Some("201"));
    assert_eq!(folded.attribute("gander.triggered.created").as_deref(), Some("true"));
    for seen in [&received, &folded] {
        assert_eq!(seen.attribute("gander.alert.id").as_deref(), Some(answer.id()));
        assert!(seen.span.end_time_unix_nano > seen.span.start_time_unix_nano);
    }
    let event = events(&rig).await?.remove(0);
    let place = format!("00-{TRACE}-{}-01", folded.id());
    assert_eq!((&event.headers["traceparent"], &event.headers["ce-traceparent"]), (&place, &place));
    Ok(())
}

#[tokio::test]
async fn an_error_answer_tells_its_trace_but_all_refused_tokens_are_answered_the_same()
-> anyhow::Result<()> {
    let Given { mut rig, collector, token, .. } = given(&[]).await?;
    let url = format!("http://{}/v1/process", rig.gateway()?);
    let request = Request::post(&url)
        .header("authorization", format!("Bearer {token}"))
        .header("traceparent", traceparent(TRACE, "01"))
        .header("content-encoding", "br");
    let answer = Sender::default().request(request.body(Full::default())?).await?;
    assert_eq!(
        (answer.code(), answer.body["trace_id"].as_str()),
        ("UNSUPPORTED_ENCODING", Some(TRACE))
    );
    let seen = collector.span(TRACE, "POST /v1/process").await?;
    assert_eq!(seen.attribute("error.type").as_deref(), Some("UNSUPPORTED_ENCODING"));
    let trace = traceparent(TRACE, "01");
    let refused = send(&mut rig, &token.replace("gdr_", "gdr_x"), &trace, String::new()).await?;
    let plain = Sender::default().send_by_url(rig.gateway()?, "gdr_x", "").await?;
    assert_eq!((refused.status, refused.body), (StatusCode::UNAUTHORIZED, plain.body));
    Ok(())
}

#[tokio::test]
async fn who_samples_decides_and_the_trace_goes_on_either_way() -> anyhow::Result<()> {
    let Given { mut rig, collector, token, .. } = given(&["--trace-sample-ratio", "0"]).await?;
    let other = TRACE.replace('0', "1");
    for (trace, flags, key) in [(TRACE, "00", "quiet"), (&other, "01", "told")] {
        send(&mut rig, &token, &traceparent(trace, flags), payload("firing", key)).await?;
    }
    // What is malformed is as if it were not there: a trace of the gateway's own, not sampled.
    send(&mut rig, &token, "00-nonsense-01", payload("firing", "own")).await?;
    collector.span(&other, "process gander.alerts").await?;
    let traces: Vec<_> = collector.spans().iter().map(Seen::trace).collect();
    assert!(traces.iter().all(|trace| *trace == other), "{traces:?}");
    let headers: Vec<_> =
        events(&rig).await?.iter().map(|e| e.headers["traceparent"].clone()).collect();
    assert!(headers[0].starts_with(&format!("00-{TRACE}-")) && headers[0].ends_with("-00"));
    assert!(headers[1].starts_with(&format!("00-{other}-")) && headers[1].ends_with("-01"));
    assert!(headers[2].ends_with("-00") && headers[2].len() == 55 && !headers[2].contains(TRACE));
    Ok(())
}

#[tokio::test]
async fn who_is_not_let_in_does_not_decide_what_is_traced() -> anyhow::Result<()> {
    let Given { mut rig, admin, collector, token } = given(&["--trace-sample-ratio", "0"]).await?;
    let stranger = traceparent(&TRACE.replace('0', "2"), "01");
    let get = Request::get(format!("http://{}/v1/process", rig.gateway()?));
    let get = get.header("traceparent", &stranger).body(Full::default())?;
    assert_eq!(Sender::default().request(get).await?.status, StatusCode::METHOD_NOT_ALLOWED);
    let refused = send(&mut rig, &token.replace("gdr_", "gdr_x"), &stranger, String::new()).await?;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let mut call = tonic::Request::new(api::ListTeamsRequest::default());
    call.metadata_mut().insert("traceparent", stranger.parse()?);
    let nobody = Admin::connect(rig.grpc(), &token).await?;
    assert!(nobody.catalog().list_teams(call).await.is_err());

    // Sent after them by the same processes, so theirs would have come first.
    send(&mut rig, &token, &traceparent(TRACE, "01"), payload("firing", "a")).await?;
    let mut call = tonic::Request::new(api::ListTeamsRequest::default());
    call.metadata_mut().insert("traceparent", traceparent(TRACE, "01").parse()?);
    admin.catalog().list_teams(call).await?;
    collector.span(TRACE, "POST /v1/process").await?;
    collector.span(TRACE, "gander.admin.v1.CatalogService/ListTeams").await?;
    let traces: Vec<_> = collector.spans().iter().map(Seen::trace).collect();
    assert!(traces.iter().all(|trace| trace == TRACE), "{traces:?}");
    Ok(())
}

#[tokio::test]
async fn without_a_collector_the_senders_trace_passes_through() -> anyhow::Result<()> {
    let mut rig = Rig::planned(Plan { log: "debug".to_owned(), ..Plan::default() }).await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Payments").await?;
    admin.service(&team, "Checkout", vec![filter("status")]).await?;
    let token = admin.token("monitor", &team.name).await?.secret;
    let place = traceparent(TRACE, "01");
    send(&mut rig, &token, &place, payload("firing", "a")).await?;
    send(&mut rig, &token, "", payload("firing", "b")).await?;
    let events = events(&rig).await?;
    assert_eq!(events[0].headers["traceparent"], place);
    assert!(!events[1].headers.contains_key("traceparent"));
    let log = rig.running(Role::Gateway(0))?.process.log();
    let line = log.lines().find(|line| line.contains("alert stored"));
    assert!(line.is_some_and(|line| line.contains(TRACE)), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_repeated_event_has_the_trace_of_the_last_alert() -> anyhow::Result<()> {
    let Given { mut rig, admin, collector, token } = given(&[]).await?;
    send(&mut rig, &token, &traceparent(TRACE, "01"), payload("firing", "a")).await?;
    // Stored while nobody works, so that they are worked on together.
    rig.kill(Role::Worker(0)).await?;
    let traces = ["1", "2", "3"].map(|n| TRACE.replace('0', n));
    for trace in &traces {
        send(&mut rig, &token, &traceparent(trace, "01"), payload("firing", "a")).await?;
    }
    rig.restart(Role::Worker(0)).await?;
    eventually("the repeats", async || {
        admin.open_incidents().await.ok()?.pop().filter(|incident| incident.occurrences == 4)
    })
    .await?;
    let last = events(&rig).await?.pop().unwrap_or_else(|| unreachable!("there are events"));
    let folded = collector.span(&traces[2], "process gander.alerts").await?;
    assert_eq!(last.headers["traceparent"], format!("00-{}-{}-01", traces[2], folded.id()));
    assert_eq!(last.event()?.alert_count, 3);
    // Each points to the one before it.
    for (n, trace) in traces.iter().enumerate().skip(1) {
        let folded = collector.span(trace, "process gander.alerts").await?;
        let before = collector.span(&traces[n - 1], "process gander.alerts").await?;
        assert_eq!(folded.span.links[0].span_id, before.span.span_id);
    }
    Ok(())
}

#[tokio::test]
async fn calls_of_admin_are_traced_down_to_the_event() -> anyhow::Result<()> {
    let Given { mut rig, admin, collector, token } = given(&["--trace-sample-ratio", "0"]).await?;
    send(&mut rig, &token, "", payload("firing", "a")).await?;
    let name = admin.open_incidents().await?.remove(0).name;
    let message = api::ResolveIncidentRequest { name, request_id: request_id() };
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("traceparent", traceparent(TRACE, "01").parse()?);
    admin.incidents().resolve_incident(request).await?;
    let called = collector.span(TRACE, "gander.admin.v1.IncidentService/ResolveIncident").await?;
    assert_eq!((called.parent().as_str(), called.service.as_str()), (SPAN, "gander-admin"));
    assert_eq!(called.attribute("rpc.grpc.status_code").as_deref(), Some("0"));
    let folded = collector.span(TRACE, "process gander.alerts").await?;
    assert_eq!(folded.parent(), called.id());
    let resolved = events(&rig).await?.pop().map(|event| event.headers["traceparent"].clone());
    assert_eq!(resolved, Some(format!("00-{TRACE}-{}-01", folded.id())));
    // A change of configuration is told with the trace of its call.
    let mut request = tonic::Request::new(api::DeleteTokenRequest {
        name: admin.token("short-lived", "").await?.name,
        ..Default::default()
    });
    let other = TRACE.replace('0', "1");
    request.metadata_mut().insert("traceparent", traceparent(&other, "01").parse()?);
    admin.tokens().delete_token(request).await?;
    let log = rig.running(Role::Admin)?.process.log();
    let line = log.lines().find(|line| line.contains(&other));
    assert!(line.is_some_and(|line| line.contains("a change is stored")), "{log}");
    Ok(())
}

#[tokio::test]
async fn no_secret_payload_or_query_is_in_a_span() -> anyhow::Result<()> {
    let Given { mut rig, admin, collector, token } = given(&["--trace-sample-ratio", "1"]).await?;
    let gateway = rig.gateway()?;
    let body = payload("firing", "canary-of-the-payload");
    send(&mut rig, &token, &traceparent(TRACE, "01"), body.clone()).await?;
    Sender::default().send_by_url(gateway, &token, body.clone()).await?;
    Sender::default().send_by_url(gateway, &format!("{token}x"), body).await?;
    // Paths and methods are whatever a client writes.
    let odd = Request::builder().method("CANARY-OF-THE-METHOD");
    let odd = odd.uri(format!("http://{gateway}/v1/process?token={token}"));
    Sender::default().request(odd.body(Full::default())?).await?;
    let odd = Request::get(format!("http://{gateway}/canary-of-the-path/{token}"));
    Sender::default().request(odd.body(Full::default())?).await?;
    assert!(Admin::connect(rig.grpc(), &token).await?.team("canary-of-the-team").await.is_err());
    // The last spans come when the process stops.
    for role in rig.roles() {
        let running = rig.running(role)?;
        running.process.signal(Signal::SIGTERM)?;
        assert_eq!(running.process.ended().await?, Some(0));
    }
    let names: Vec<_> = collector.spans().iter().map(|seen| seen.span.name.clone()).collect();
    for name in
        ["_OTHER /v1/process", "POST /v1/process", "gander.admin.v1.CatalogService/CreateTeam"]
    {
        assert!(names.iter().any(|known| known == name), "{name} is not in {names:?}");
    }
    let refused = collector
        .spans()
        .into_iter()
        .filter(|seen| seen.attribute("http.response.status_code").as_deref() == Some("401"));
    assert!(refused.count() > 0);
    let bytes = collector.bytes();
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    // The search finds what is there.
    assert!(holds("gander.alert.id"));
    for canary in [&token[4..40], &admin.credential[4..40], "canary", "CANARY", "?token", "from="] {
        assert!(!holds(canary), "{canary}");
    }
    Ok(())
}

#[tokio::test]
async fn a_collector_that_is_gone_slows_nothing() -> anyhow::Result<()> {
    let gone = e2e::rig::free_address()?;
    let stream_args = ["--otlp-endpoint", &format!("http://{gone}"), "--trace-sample-ratio", "1"];
    let stream_args = stream_args.iter().map(|&arg| arg.to_owned()).collect();
    let mut rig = Rig::planned(Plan { stream_args, ..Plan::default() }).await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Payments").await?;
    admin.service(&team, "Checkout", vec![filter("status")]).await?;
    let token = admin.token("monitor", &team.name).await?.secret;
    for n in 0..20 {
        let answer = send(&mut rig, &token, "", payload("firing", &n.to_string())).await?;
        assert_eq!(answer.status, StatusCode::CREATED);
    }
    let ops = rig.running(Role::Gateway(0))?.ops;
    eventually("spans that are told as dropped", async || {
        let told = e2e::alerts::get(ops, "/metrics").await.ok()?.1;
        let name = "gander_trace_spans_dropped_total{reason=\"not_taken\"} ";
        let count = told.lines().find_map(|line| line.strip_prefix(name))?.parse::<u64>().ok()?;
        (count > 0).then_some(())
    })
    .await?;
    let begun = Instant::now();
    let running = rig.running(Role::Gateway(0))?;
    running.process.signal(Signal::SIGTERM)?;
    assert_eq!(running.process.ended().await?, Some(0));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(running.process.log().matches("the collector does not take traces").count(), 1);
    Ok(())
}
