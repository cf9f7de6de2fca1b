//! `gander bench`: what it counts is what happened.

use std::path::Path;

use anyhow::Context;
use e2e::admin::Admin;
use e2e::certificates::Authority;
use e2e::events::stored;
use e2e::process::{Process, run};
use e2e::rig::{Plan, Rig, free_address};
use nix::sys::signal::Signal;
use runtime::secret_file;
use serde_json::Value;
use wire::proto::gander::admin::v1 as api;

/// The filter that the help of `gander bench` names.
fn fitting() -> api::Filter {
    let mut filter = e2e::admin::filter("bench");
    if let Some(trigger) = &mut filter.trigger {
        trigger.title_from = "alertname".to_owned();
        trigger.map_with = "alertname".to_owned();
    }
    if let Some(resolve) = &mut filter.resolve {
        resolve.mapped_with = "alertname".to_owned();
    }
    filter
}

/// One service with one filter; the files of a credential and of a token of each type.
async fn stage(plan: Plan, filters: Vec<api::Filter>) -> anyhow::Result<(Rig, Admin)> {
    let rig = Rig::planned(plan).await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Payments").await?;
    let service = admin.service(&team, "Checkout", filters).await?;
    let folder = rig.folder();
    secret_file::write(&folder.join("credential"), &admin.credential)?;
    for (file, target) in [("global", ""), ("team", &*team.name), ("service", &service.name)] {
        let token = admin.token(file, target).await?;
        secret_file::write(&folder.join(file), &token.secret)?;
    }
    Ok((rig, admin))
}

/// What a run reports, and its exit code.
async fn bench(folder: &Path, gateway: &str, args: &[&str]) -> anyhow::Result<(i32, Value)> {
    let line = ["--output", "json", "bench", "--quiet", "--gateway", gateway];
    let (code, text) = run(folder, None, &[&line[..], args].concat()).await?;
    let report = text.get(text.find('{').context(text.clone())?..).unwrap_or_default();
    let end = report.rfind('}').context("no report")?;
    Ok((code, serde_json::from_str(&report[..=end]).context(text.clone())?))
}

fn count(report: &Value, pointer: &str) -> u64 {
    report.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer}: {report}"))
}

const TOKENS: [&str; 6] =
    ["--token-file", "global", "--token-file", "team", "--token-file", "service"];

/// Runs it at 200 alerts a second with a token of each type, and compares what it says with what
/// is stored.
async fn check(args: &[&str], http: &str) -> anyhow::Result<()> {
    let (mut rig, admin) = stage(Plan::default(), vec![fitting()]).await?;
    let gateway = format!("http://{}", rig.gateway()?);
    let server = format!("http://{}", rig.grpc());
    let line = ["--server", &server, "--credential-file", "credential", "--rate", "200"];
    let args = [&line[..], &["--seconds", "2"], &TOKENS, args].concat();
    let (code, report) = bench(rig.folder(), &gateway, &args).await?;
    let at = |pointer: &str| count(&report, pointer);
    assert_eq!((code, report["http"].as_str()), (0, Some(http)), "{report}");
    assert_eq!((at("/alerts/due"), at("/alerts/failed")), (400, 0), "{report}");
    let sent = at("/alerts/sent");
    assert_eq!((sent + at("/alerts/not_sent"), at("/alerts/accepted")), (400, sent), "{report}");
    let kinds = ["triggers", "repeats", "resolves"].map(|kind| at(&format!("/alerts/{kind}")));
    assert!(kinds.iter().sum::<u64>() == sent && kinds.iter().all(|kind| *kind > 0), "{report}");
    for (n, file) in TOKENS.iter().skip(1).step_by(2).enumerate() {
        assert_eq!(report["tokens"][n]["file"], *file);
        assert!(at(&format!("/tokens/{n}/accepted")) > 0, "{report}");
    }
    let measured = ["ack", "outcome"].map(|kind| at(&format!("/latencies/{kind}/count")));
    // What was not sent counts with what it has waited.
    assert_eq!(measured.iter().sum::<u64>(), 400);
    assert!(measured[0].abs_diff(measured[1]) <= 6, "{report}");

    // One incident for each trigger, though half of them were not told what became of them.
    let [triggers, _, resolves] = kinds;
    assert_eq!((at("/events/created"), at("/events/missing")), (triggers, 0), "{report}");
    assert_eq!(at("/events/resolved"), resolves, "{report}");
    assert_eq!(at("/latencies/event/count"), triggers + resolves);
    assert_eq!((at("/outcomes/nothing"), at("/outcomes/suppressed")), (0, 0), "{report}");
    let events = async |kind: &str| {
        let subject = format!("gander.incidents.{kind}.>");
        anyhow::Ok(stored(&rig.nats_url(), "GANDER_INCIDENTS", &subject).await?.len() as u64)
    };
    assert_eq!(events("created").await?, triggers);
    // What the run had left open is resolved behind it.
    assert_eq!(at("/left_open"), 0);
    e2e::wait::eventually("everything to be resolved", async || {
        (events("resolved").await.ok()? == triggers).then_some(())
    })
    .await?;
    assert!(admin.open_incidents().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn what_it_counts_is_what_is_stored() -> anyhow::Result<()> {
    check(&[], "1.1").await
}

#[tokio::test]
async fn it_speaks_http_2() -> anyhow::Result<()> {
    check(&["--http2", "--connections", "2", "--streams", "8"], "2").await
}

#[tokio::test]
async fn it_speaks_tls_and_says_where_no_filter_matches() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new("the test's own")?;
    let (pair, _) = authority.issue(folder.path(), "http")?;
    let [certificate, key] = [&pair.certificate, &pair.key].map(|path| path.display().to_string());
    let gateway_args =
        ["--http-tls-cert", &certificate, "--http-tls-key", &key].map(str::to_owned).to_vec();
    let (mut rig, _admin) = stage(Plan { gateway_args, ..Plan::default() }, vec![]).await?;
    authority.write(&rig.folder().join("ca.pem"))?;
    let gateway = format!("https://{}", rig.gateway()?);
    for http2 in [&[][..], &["--http2"]] {
        let line = ["--ca-file", "ca.pem", "--token-file", "team", "--rate", "100"];
        let args = [&line[..], &["--seconds", "1", "--connections", "4"], http2].concat();
        let (code, report) = bench(rig.folder(), &gateway, &args).await?;
        let at = |pointer: &str| count(&report, pointer);
        assert_eq!((code, at("/alerts/accepted")), (0, at("/alerts/sent")), "{report}");
        assert!(at("/outcomes/nothing") > 0, "{report}");
        assert!(report["notes"].to_string().contains("no filter matched"), "{report}");
        // There is no credential here, and it says so.
        assert_eq!(report["events"], Value::Null);
        let why = report["events_missing_because"].as_str().unwrap_or_default();
        assert!(why.contains("--credential-file"), "{report}");
    }
    Ok(())
}

#[tokio::test]
async fn payloads_of_files_are_sent_as_they_are() -> anyhow::Result<()> {
    let (mut rig, _admin) = stage(Plan::default(), vec![fitting()]).await?;
    let gateway = format!("http://{}", rig.gateway()?);
    let text = r#"{"status": "{{status}}", "alertname": "disk {{episode}}"}"#;
    std::fs::write(rig.folder().join("alert.json"), text)?;
    let args = ["--payload", "alert.json", "--token-file", "team", "--mix", "1:1:1"];
    let args =
        [&args[..], &["--rate", "60", "--seconds", "1", "--outcome-percent", "100"]].concat();
    let (code, report) = bench(rig.folder(), &gateway, &args).await?;
    let at = |pointer: &str| count(&report, pointer);
    assert_eq!((code, at("/alerts/accepted")), (0, at("/alerts/sent")), "{report}");
    // On a busy machine a gateway does not know all of them in time.
    let (told, unknown) = (at("/outcomes/created"), at("/outcomes/unknown"));
    assert!(told <= at("/alerts/triggers") && at("/alerts/triggers") <= told + unknown, "{report}");
    let nats = rig.nats_url();
    e2e::wait::eventually("an incident for each trigger", async || {
        let created = stored(&nats, "GANDER_INCIDENTS", "gander.incidents.created.>");
        let created = created.await.ok()?;
        let is_titled = |payload: &[u8]| {
            String::from_utf8_lossy(payload).contains("gander-bench - disk bench-")
        };
        assert!(created.iter().all(|event| is_titled(&event.payload)));
        (created.len() as u64 == at("/alerts/triggers")).then_some(())
    })
    .await
}

#[tokio::test]
async fn ended_early_it_shows_what_was_measured() -> anyhow::Result<()> {
    let (mut rig, _admin) = stage(Plan::default(), vec![fitting()]).await?;
    let gateway = format!("http://{}", rig.gateway()?);
    let args = ["bench", "--gateway", &gateway, "--token-file", "team", "--rate", "20"];
    let args = [&args[..], &["--seconds", "86400"]].concat().into_iter().map(str::to_owned);
    let mut process = Process::start(rig.folder(), "bench", &args.collect::<Vec<_>>())?;
    e2e::wait::eventually("progress", async || {
        process.log().contains(" wait for a connection").then_some(())
    })
    .await?;
    process.signal(Signal::SIGINT)?;
    assert_eq!(process.ended().await?, Some(0), "{}", process.log());
    let log = process.log();
    for text in ["HTTP/1.1, ended early", "LATENCY IN MS", "events: not measured: no credential"] {
        assert!(log.contains(text), "{log}");
    }
    Ok(())
}

#[tokio::test]
async fn where_nothing_is_accepted_it_fails_and_says_why() -> anyhow::Result<()> {
    let (mut rig, admin) = stage(Plan::default(), vec![]).await?;
    let gateway = format!("http://{}", rig.gateway()?);
    let token = admin.token("dead", "").await?;
    secret_file::write(&rig.folder().join("dead"), &token.secret)?;
    admin.delete_token(&token).await?;
    let args = ["--token-file", "dead", "--rate", "10", "--seconds", "1"];
    let (code, report) = bench(rig.folder(), &gateway, &args).await?;
    let refused = count(&report, "/errors/401 INVALID_TOKEN");
    assert_eq!((code, refused), (1, count(&report, "/alerts/sent")), "{report}");

    let check = async |args: &[&str], code: i32, says: &str| {
        let args = [&["bench", "--token-file", "team", "--seconds", "1"], args].concat();
        let (ended, said) = run(rig.folder(), None, &args).await?;
        assert!(ended == code && said.contains(says), "{args:?}: {ended} {said}");
        assert!(!said.contains(&token.secret) && !said.contains(&admin.credential), "{said}");
        anyhow::Ok(())
    };
    let nothing = format!("http://{}", free_address()?);
    check(&["--gateway", &nothing], 6, "is it running?").await?;
    check(&["--gateway", "http://192.0.2.1"], 2, "--insecure").await?;
    check(&["--gateway", "nowhere/"], 1, "--gateway is no URL").await?;
    check(&["--rate", "0"], 2, "1..=1000000").await?;
    check(&["--mix", "0:1:1"], 2, "TRIGGER:REPEAT:RESOLVE").await?;
    check(&["--payload", "absent"], 1, "cannot read absent").await?;
    let lots = ["--http2", "--connections", "10000", "--streams", "100"];
    check(&lots, 2, "--connections times --streams").await?;
    check(&["--token-file", "credential"], 2, "gdp_").await
}
