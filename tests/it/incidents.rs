//! Incidents over gRPC and at the command line: read, listed, acknowledged, resolved, followed.

use std::os::unix::fs::PermissionsExt;

use anyhow::Context;
use e2e::admin::{Admin, filter, next_event, payload};
use e2e::alerts::send;
use e2e::events::incident_events;
use e2e::process::{Process, run};
use e2e::rig::{Plan, Rig, Role};
use e2e::wait::eventually;
use nix::sys::signal::Signal;
use runtime::clock::{Clock, SystemClock};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::events::v1::{Incident, IncidentStatus, ResolveReason, Urgency};

/// A team with a service, a token for it, and where alerts are sent.
struct Stage {
    rig: Rig,
    admin: Admin,
    team: api::Team,
    service: api::Service,
    secret: String,
}

async fn stage() -> anyhow::Result<Stage> {
    let rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Payments").await?;
    let service = admin.service(&team, "Checkout", vec![filter("status")]).await?;
    let secret = admin.token("monitor", &team.name).await?.secret;
    Ok(Stage { rig, admin, team, service, secret })
}

impl Stage {
    async fn says(&mut self, status: &str, key: &str) -> anyhow::Result<()> {
        let gateway = self.rig.gateway()?;
        let answer = send(gateway, &self.secret, payload(status, key)).await?;
        anyhow::ensure!(answer.status.is_success(), "{status} {key}: {}", answer.status);
        Ok(())
    }

    /// Opens an incident; gives its resource name.
    async fn opened(&mut self, key: &str) -> anyhow::Result<String> {
        self.says("firing", key).await?;
        let open = self.admin.open_incidents().await?;
        let found = open.into_iter().find(|incident| incident.mapped_value == key);
        Ok(found.unwrap_or_default().name)
    }

    async fn kill_admin(&mut self) -> anyhow::Result<()> {
        self.rig.kill(Role::Admin).await
    }

    async fn start_admin(&mut self) -> anyhow::Result<()> {
        self.rig.restart(Role::Admin).await?;
        self.admin = Admin::connect(self.rig.grpc(), &self.admin.credential).await?;
        Ok(())
    }
}

fn code<T>(result: Result<T, Status>) -> Option<Code> {
    result.err().map(|status| status.code())
}

fn kind(event_type: &str) -> &str {
    event_type.trim_start_matches("gander.incident.").trim_end_matches(".v1")
}

#[tokio::test]
async fn an_acknowledged_incident_stays_open_until_it_is_resolved() -> anyhow::Result<()> {
    let mut stage = stage().await?;
    let mut watching = stage.admin.watch("").await?;
    let name = stage.opened("a").await?;
    let me = stage.admin.incident(&name).await?;
    assert_eq!((me.status(), me.acknowledge_time), (IncidentStatus::Open, None));

    let acknowledged = stage.admin.acknowledge(&name).await?;
    assert_eq!(acknowledged.status(), IncidentStatus::Open);
    assert!(acknowledged.acknowledge_time.is_some());
    assert!(acknowledged.acknowledger.starts_with("principals/"));
    let responder = format!("responder:{}", stage.team.name);
    let responder = stage.admin.principal("kim", &[&responder]).await?.credential;
    let responder = Admin::connect(stage.rig.grpc(), &responder).await?;
    assert_eq!(responder.acknowledge(&name).await?, acknowledged, "the first one stays");

    stage.says("firing", "a").await?;
    let repeated = stage.admin.incident(&name).await?;
    assert_eq!((repeated.occurrences, &repeated.acknowledger), (2, &acknowledged.acknowledger));
    stage.says("resolved", "a").await?;
    let resolved = stage.admin.incident(&name).await?;
    assert_eq!(resolved.resolve_reason(), ResolveReason::Alert);
    assert_eq!(resolved.acknowledge_time, acknowledged.acknowledge_time);
    let refused = stage.admin.acknowledge(&name).await.err();
    let refused = refused.map(|status| (status.code(), status.message().to_owned()));
    let says = "the incident is resolved: only an open one can be acknowledged".to_owned();
    assert_eq!(refused, Some((Code::FailedPrecondition, says)));

    let stored = incident_events(&stage.rig.nats_url()).await?;
    let kinds: Vec<_> = stored.iter().map(|event| kind(&event.r#type)).collect();
    assert_eq!(kinds, ["created", "acknowledged", "repeated", "resolved"]);
    assert_eq!((stored[1].alert_count, &stored[1].alert), (0, &None));
    assert_eq!(stored[1].incident.as_ref(), Some(&acknowledged));
    for event in stored {
        assert_eq!(next_event(&mut watching).await?.0, event, "a watcher sees the same");
    }
    Ok(())
}

/// The code and the reason of a refusal.
fn reason<T>(result: Result<T, Status>) -> Option<(Code, String)> {
    let status = result.err()?;
    Some((status.code(), status.get_details_error_info()?.reason))
}

#[tokio::test]
async fn a_request_id_is_for_one_request() -> anyhow::Result<()> {
    let mut stage = stage().await?;
    let (one, other) = (stage.opened("a").await?, stage.opened("b").await?);
    let acknowledge = async |name: &str, request_id: &str| {
        let (name, request_id) = (name.to_owned(), request_id.to_owned());
        let request = api::AcknowledgeIncidentRequest { name, request_id };
        stage.admin.incidents().acknowledge_incident(request).await
    };
    let id = e2e::admin::request_id();
    acknowledge(&one, &id).await?;
    acknowledge(&one, &id).await?;
    let refused = Some((Code::InvalidArgument, "INVALID_FIELD".to_owned()));
    assert_eq!(reason(acknowledge(&other, &id).await), refused);
    let resolve = api::ResolveIncidentRequest { name: one.clone(), request_id: id.clone() };
    assert_eq!(reason(stage.admin.incidents().resolve_incident(resolve).await), refused);
    assert_eq!(stage.admin.incident(&other).await?.acknowledge_time, None);
    acknowledge(&other, &e2e::admin::request_id()).await?;
    Ok(())
}

#[tokio::test]
async fn what_is_stored_and_not_confirmed_is_told_from_a_broker_that_is_gone() -> anyhow::Result<()>
{
    let mut stage = stage().await?;
    let name = stage.opened("a").await?;
    stage.rig.kill(Role::Worker(0)).await?;
    let pending = Some((Code::Unavailable, "OUTCOME_PENDING".to_owned()));
    assert_eq!(reason(stage.admin.acknowledge(&name).await), pending);
    stage.rig.restart(Role::Worker(0)).await?;
    eventually("the stored acknowledgement", async || {
        stage.admin.incident(&name).await.ok()?.acknowledge_time.map(drop)
    })
    .await
}

#[tokio::test]
async fn one_principal_takes_no_watch_from_others() -> anyhow::Result<()> {
    let stage = stage().await?;
    let mut watches = Vec::new();
    for _ in 0..32 {
        watches.push(stage.admin.watch("").await?);
    }
    let refused = Some((Code::ResourceExhausted, "TOO_MANY_WATCHES".to_owned()));
    let asked = api::WatchIncidentsRequest::default();
    assert_eq!(reason(stage.admin.incidents().watch_incidents(asked).await), refused);
    let other = stage.admin.principal("kim", &["stakeholder"]).await?.credential;
    Admin::connect(stage.rig.grpc(), &other).await?.watch("").await?;
    watches.pop();
    eventually("the place of the one that is closed", async || stage.admin.watch("").await.ok())
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_quiet_watch_tells_that_time_passes() -> anyhow::Result<()> {
    let mut stage = stage().await?;
    let name = stage.opened("a").await?;
    let mut watching = stage.admin.watch("").await?;
    let since = |message: Option<api::WatchIncidentsResponse>| {
        let (sequence, since) = message?
            .cursor
            .split_once('-')
            .map(|(a, b)| (a.to_owned(), i64::from_str_radix(b, 16)))?;
        Some((sequence, since.ok()?))
    };
    let begun = since(watching.message().await?);
    stage.admin.acknowledge(&name).await?;
    let event = since(watching.message().await?);
    // Nothing comes for 15 s.
    let quiet = since(watching.message().await?);
    assert!(begun < event, "{begun:?} {event:?}");
    let (Some(event), Some(quiet)) = (event, quiet) else {
        anyhow::bail!("each message has a cursor");
    };
    assert_eq!(event.0, quiet.0);
    assert!(quiet.1 - event.1 > 10_000_000, "{event:?} {quiet:?}");
    Ok(())
}

#[tokio::test]
async fn incidents_that_cannot_be_are_not_looked_for() -> anyhow::Result<()> {
    let stage = stage().await?;
    // In the year 10889, and in 1970.
    for id in ["ffffffff-ffff-8a53-acee-f662c7e66bd5", "00000000-0000-8a53-acee-f662c7e66bd5"] {
        for parent in ["teams/-/services/-", &stage.service.name] {
            let name = format!("{parent}/incidents/{id}");
            let status = stage.admin.incident(&name).await.err();
            let said = status.map(|status| status.message().to_owned()).unwrap_or_default();
            assert_eq!(said, format!("there is no such incident: {name}"));
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_command_reaches_only_what_its_name_says() -> anyhow::Result<()> {
    // With one partition both teams have the same owner.
    let stream_args = ["--partitions", "1"].map(str::to_owned).to_vec();
    let mut rig = Rig::planned(Plan { stream_args, ..Plan::default() }).await?;
    let admin = rig.first_admin().await?;
    let (own, other) = (admin.team("own").await?, admin.team("other").await?);
    let service = admin.service(&own, "one", vec![filter("status")]).await?;
    admin.service(&other, "one", vec![filter("status")]).await?;
    let token = admin.token("other", &other.name).await?;
    send(rig.gateway()?, &token.secret, payload("firing", "a")).await?;
    let incident = admin.open_incidents().await?.remove(0);
    let manager = admin.principal("m", &[&format!("team-manager:{}", own.name)]).await?;
    let manager = Admin::connect(rig.grpc(), &manager.credential).await?;
    let disguised = format!("{}/incidents/{}", service.name, incident.id);
    assert_eq!(code(manager.acknowledge(&disguised).await), Some(Code::NotFound));
    assert_eq!(code(manager.resolve(&disguised).await), Some(Code::NotFound));
    assert_eq!(code(manager.incident(&disguised).await), Some(Code::NotFound));
    assert_eq!(admin.incident(&incident.name).await?, incident, "nothing has happened to it");
    Ok(())
}

/// Every page of a list.
async fn pages(
    admin: &Admin,
    asked: api::ListIncidentsRequest,
) -> Result<Vec<Vec<Incident>>, Status> {
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = api::ListIncidentsRequest { page_token, ..asked.clone() };
        let page = admin.incidents().list_incidents(request).await?.into_inner();
        all.push(page.incidents);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(all);
        }
    }
}

/// The mapped values of all that a list shows.
async fn listed(admin: &Admin, asked: api::ListIncidentsRequest) -> Result<Vec<String>, Status> {
    let all = pages(admin, asked).await?.into_iter().flatten();
    Ok(all.map(|incident| incident.mapped_value).collect())
}

fn asked(which: api::ListedIncidents) -> api::ListIncidentsRequest {
    api::ListIncidentsRequest { status: which.into(), ..Default::default() }
}

#[tokio::test]
async fn open_incidents_are_listed_by_what_is_asked() -> anyhow::Result<()> {
    let mut stage = stage().await?;
    let mut names = Vec::new();
    for key in ["a", "b", "c"] {
        names.push(stage.opened(key).await?);
    }
    stage.admin.acknowledge(&names[1]).await?;
    let mut low = filter("low");
    low.trigger.get_or_insert_default().urgency = Urgency::Low.into();
    let basket = stage.admin.service(&stage.team, "Basket", vec![low]).await?;
    let elsewhere = stage.admin.team("elsewhere").await?;
    stage.says("firing", "d").await?;

    let admin = &stage.admin;
    let open = api::ListedIncidents::Open;
    let (default, explicit) = (
        listed(admin, api::ListIncidentsRequest::default()).await?,
        listed(admin, asked(open)).await?,
    );
    assert_eq!((default.len(), default), (5, explicit));
    let acknowledged = listed(admin, asked(api::ListedIncidents::Acknowledged)).await?;
    assert_eq!(acknowledged, ["b"]);
    let unacknowledged = listed(admin, asked(api::ListedIncidents::Unacknowledged)).await?;
    assert_eq!(unacknowledged, ["a", "c", "d", "d"]);
    let low = api::ListIncidentsRequest { urgency: Urgency::Low.into(), ..asked(open) };
    assert_eq!(listed(admin, low).await?, ["d"]);
    for (parent, expected) in
        [(&stage.service.name, 4), (&basket.name, 1), (&stage.team.name, 5), (&elsewhere.name, 0)]
    {
        let within = api::ListIncidentsRequest { parent: parent.clone(), ..asked(open) };
        assert_eq!(listed(admin, within).await?.len(), expected, "{parent}");
    }
    let small = api::ListIncidentsRequest { page_size: 2, ..asked(open) };
    let sizes: Vec<_> = pages(admin, small).await?.iter().map(Vec::len).collect();
    assert_eq!(sizes, [2, 2, 1]);
    let wrong = api::ListIncidentsRequest { resolved_since: Some(now()), ..asked(open) };
    assert_eq!(code(listed(admin, wrong).await), Some(Code::InvalidArgument));
    let wrong = api::ListIncidentsRequest { status: 9, ..Default::default() };
    assert_eq!(code(listed(admin, wrong).await), Some(Code::InvalidArgument));
    Ok(())
}

fn now() -> wire::timestamp::Timestamp {
    wire::event::time(SystemClock.now())
}

#[tokio::test]
async fn resolved_incidents_are_read_and_listed_from_their_events() -> anyhow::Result<()> {
    let mut stage = stage().await?;
    let mut names = Vec::new();
    for key in ["a", "b", "c", "d", "e"] {
        names.push(stage.opened(key).await?);
    }
    // The order is that of the resolutions, not of the creations.
    for name in names.iter().rev() {
        stage.admin.resolve(name).await?;
    }
    let between = now();
    let again = stage.opened("a").await?;
    let last = stage.opened("f").await?;
    stage.admin.resolve(&last).await?;

    let admin = &stage.admin;
    let resolved = asked(api::ListedIncidents::Resolved);
    assert_eq!(listed(admin, resolved.clone()).await?, ["e", "d", "c", "b", "a", "f"]);
    let small = api::ListIncidentsRequest { page_size: 4, ..resolved.clone() };
    let sizes: Vec<_> = pages(admin, small.clone()).await?.iter().map(Vec::len).collect();
    assert_eq!(sizes, [4, 2]);
    assert_eq!(listed(admin, small.clone()).await?, ["e", "d", "c", "b", "a", "f"]);
    let before = api::ListIncidentsRequest { resolved_until: Some(between), ..small.clone() };
    assert_eq!(listed(admin, before).await?, ["e", "d", "c", "b", "a"]);
    let after = api::ListIncidentsRequest { resolved_since: Some(between), ..small.clone() };
    assert_eq!(listed(admin, after).await?, ["f"]);
    let low = api::ListIncidentsRequest { urgency: Urgency::Low.into(), ..small.clone() };
    assert_eq!(listed(admin, low).await?, Vec::<String>::new());
    let page_token = admin.incidents().list_incidents(small).await?.into_inner().next_page_token;
    let other = api::ListIncidentsRequest { page_token, ..asked(api::ListedIncidents::Open) };
    assert_eq!(code(admin.incidents().list_incidents(other).await), Some(Code::InvalidArgument));

    // The state of the first episode of "a" has gone to the second one.
    let first = admin.incident(&names[0]).await?;
    assert_eq!((first.status(), &first.name), (IncidentStatus::Resolved, &names[0]));
    assert_eq!(admin.incident(&again).await?.status(), IncidentStatus::Open);
    let by_id = format!("teams/-/services/-/incidents/{}", first.id);
    assert_eq!(admin.incident(&by_id).await?, first);
    assert_eq!(code(admin.acknowledge(&names[0]).await), Some(Code::NotFound), "forgotten");
    assert_eq!(code(admin.resolve(&names[0]).await), Some(Code::NotFound), "forgotten");
    assert_eq!(admin.resolve(&names[1]).await?.status(), IncidentStatus::Resolved);
    // A value over 512 bytes is known by its digest alone.
    let long = "x".repeat(600);
    stage.says("firing", &long).await?;
    let open = stage.admin.open_incidents().await?;
    let long = open.iter().find(|incident| incident.mapped_value.starts_with("blake3:"));
    let long = long.cloned().unwrap_or_default();
    assert_eq!(stage.admin.incident(&long.name).await?, long);
    Ok(())
}

#[tokio::test]
async fn a_watcher_goes_on_by_cursor_when_admin_is_killed() -> anyhow::Result<()> {
    let mut stage = stage().await?;
    let first = stage.admin.watch("").await?.message().await?.unwrap_or_default();
    assert!(first.event.is_none() && !first.cursor.is_empty(), "{first:?}");
    let mut cursor = first.cursor;
    let mut seen = Vec::new();
    for keys in [["a", "b"], ["c", "d"]] {
        stage.kill_admin().await?;
        for key in keys {
            stage.says("firing", key).await?;
        }
        stage.start_admin().await?;
        let mut watching = stage.admin.watch(&cursor).await?;
        let resumed = watching.message().await?.unwrap_or_default();
        assert_eq!((resumed.event, &resumed.cursor), (None, &cursor), "no further than it was");
        // The second event is read only after the next kill.
        let (event, after) = next_event(&mut watching).await?;
        seen.push(event.incident.unwrap_or_default().mapped_value);
        cursor = after;
    }
    let mut watching = stage.admin.watch(&cursor).await?;
    while seen.len() < 4 {
        let (event, _) = next_event(&mut watching).await?;
        seen.push(event.incident.unwrap_or_default().mapped_value);
    }
    assert_eq!(seen, ["a", "b", "c", "d"]);
    Ok(())
}

/// A file with the credential as client commands read it.
fn credential(stage: &Stage) -> anyhow::Result<String> {
    let file = stage.rig.folder().join("credential");
    std::fs::write(&file, &stage.admin.credential)?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
    Ok(file.display().to_string())
}

#[tokio::test]
async fn a_tail_reconnects_by_itself_and_misses_nothing() -> anyhow::Result<()> {
    let mut stage = stage().await?;
    let cursor = stage.admin.watch("").await?.message().await?.unwrap_or_default().cursor;
    let (server, file) = (format!("http://{}", stage.rig.grpc()), credential(&stage)?);
    let args = ["incident", "tail", "--cursor", &cursor, "--output", "json", "--timeout", "5s"];
    let args = [&["--server", &server, "--credential-file", &file], &args[..]].concat();
    let args: Vec<_> = args.into_iter().map(str::to_owned).collect();
    let mut tail = Process::start(stage.rig.folder(), "tail", &args)?;
    let told = |tail: &Process| {
        let log = tail.log();
        let events = log.lines().filter_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(message["event"]["incident"]["mappedValue"].as_str()?.to_owned())
        });
        events.collect::<Vec<_>>()
    };
    stage.says("firing", "a").await?;
    eventually("the first event", async || (told(&tail) == ["a"]).then_some(())).await?;
    let times = |text: &str| tail.log().matches(text).count();
    for (key, count) in [("b", 2), ("c", 3)] {
        let before = times("waiting to resume");
        stage.kill_admin().await?;
        eventually("the tail to notice", async || {
            (times("waiting to resume") > before).then_some(())
        })
        .await?;
        stage.says("firing", key).await?;
        stage.start_admin().await?;
        eventually("the tail to go on", async || (told(&tail).len() == count).then_some(()))
            .await
            .with_context(|| format!("{}\n{}", tail.log(), stage.rig.logs().join("\n")))?;
    }
    assert_eq!(told(&tail), ["a", "b", "c"]);
    // It stands still: the connection is there, and nobody says a word.
    let before = (times("waiting to resume"), times("resumed"));
    let admin = &stage.rig.running(Role::Admin)?.process;
    admin.signal(Signal::SIGSTOP)?;
    let noticed = eventually("the tail to notice", async || {
        (times("waiting to resume") > before.0).then_some(())
    });
    let noticed = noticed.await;
    admin.signal(Signal::SIGCONT)?;
    noticed?;
    let resumed = async || (times("resumed") > before.1).then_some(());
    eventually("the tail to go on", resumed).await?;
    eventually("an alert to be let in", async || stage.says("firing", "d").await.ok()).await?;
    eventually("its event", async || told(&tail).contains(&"d".to_owned()).then_some(())).await?;
    tail.kill().await
}

#[tokio::test]
async fn a_person_handles_incidents_with_the_command_line() -> anyhow::Result<()> {
    let mut stage = stage().await?;
    let name = stage.opened("a").await?;
    let id = name.rsplit('/').next().unwrap_or_default().to_owned();
    let (server, file) = (format!("http://{}", stage.rig.grpc()), credential(&stage)?);
    let folder = stage.rig.folder().to_owned();
    let told = async |line: &str| {
        let mut args = vec!["--server", &server, "--credential-file", &file, "incident"];
        args.extend(line.split_whitespace());
        run(&folder, None, &args).await
    };
    for (line, says) in [
        ("list --service Payments/Checkout", "Payments/Checkout"),
        ("list --status unacknowledged --urgency high", &id),
        (&format!("ack {id}"), "acknowledged"),
        (&format!("acknowledge {name}"), "acknowledged"),
        ("list --status acknowledged --team Payments", &id),
        (&format!("get {id}"), "by first"),
        (&format!("resolve {id}"), "resolved"),
        ("list --status resolved --since 1h", &id),
        (&format!("get {name}"), "trouble a"),
    ] {
        let (code, text) = told(line).await?;
        assert!(code == 0 && text.contains(says), "{line}: {code} {text}");
    }
    for line in ["list", "list --status unacknowledged", "list --status resolved --until 1h"] {
        let (code, text) = told(line).await?;
        assert!(code == 0 && !text.contains(&id), "{line}: {text}");
    }
    for (line, code, says) in [
        (&*format!("ack {id}"), 5, "only an open one"),
        ("list --since 1h", 2, "--status resolved"),
        ("list --team Payments --service Payments/Checkout", 2, "cannot be used with"),
        ("list --status resolved --since tomorrow", 2, "how long ago"),
        ("get 01a20e18-6be7-8a53-acee-f662c7e66bd5", 3, "there is no such incident: teams/-/"),
        ("get abc", 3, "there is no incident \"abc\": give its id (a UUID) or resource name"),
        ("ack abc", 3, "there is no incident \"abc\""),
    ] {
        let (found, text) = told(line).await?;
        assert!(found == code && text.contains(says), "{line}: {found} {text}");
    }
    Ok(())
}
