//! Maintenance windows: what they hold back, what not, and until when.

use e2e::admin::{Admin, filter, in_seconds, payload, request_id};
use e2e::alerts::{Answer, send};
use e2e::events::incident_events;
use e2e::rig::{Rig, Role};
use http::StatusCode;
use tonic::Code;
use wire::proto::gander::admin::v1 as api;
use wire::timestamp::Timestamp;

/// A service with a filter, and who sends alerts to it.
struct Stage {
    rig: Rig,
    admin: Admin,
    service: api::Service,
    secret: String,
}

async fn stage() -> anyhow::Result<Stage> {
    let rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Payments").await?;
    let service = admin.service(&team, "Checkout", vec![filter("status")]).await?;
    let secret = admin.token("monitor", &service.name).await?.secret;
    Ok(Stage { rig, admin, service, secret })
}

impl Stage {
    async fn send(&mut self, status: &str, key: &str) -> anyhow::Result<Answer> {
        send(self.rig.gateway()?, &self.secret, payload(status, key)).await
    }

    async fn listed(&self, state: api::MaintenanceState) -> anyhow::Result<Vec<String>> {
        let parent = self.service.name.clone();
        let request =
            api::ListMaintenanceRequest { parent, state: state.into(), ..Default::default() };
        let page = self.admin.maintenance().list_maintenance(request).await?.into_inner();
        Ok(page.maintenance_windows.into_iter().map(|window| window.name).collect())
    }
}

fn ids(windows: &[&api::MaintenanceWindow]) -> serde_json::Value {
    windows.iter().map(|window| window.name.rsplit('/').next().unwrap_or_default()).collect()
}

/// That the alert was suppressed by exactly these windows.
fn check_suppressed(answer: &Answer, windows: &[&api::MaintenanceWindow]) {
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    assert_eq!(answer.body["suppressed"], ids(windows), "{}", answer.body);
    let nothing = serde_json::json!({"created": false, "duplicate": false});
    assert_eq!(answer.body["triggered"], nothing);
}

#[tokio::test]
async fn in_maintenance_alerts_trigger_nothing_and_resolve_until_it_is_ended() -> anyhow::Result<()>
{
    let mut stage = stage().await?;
    let created = stage.send("firing", "a").await?;
    assert_eq!(created.status, StatusCode::CREATED);
    assert_eq!(created.body.get("suppressed"), None);
    let window = stage.admin.window(&stage.service, None, &[]).await?;
    assert_eq!(window.state(), api::MaintenanceState::Active);
    for key in ["a", "b"] {
        check_suppressed(&stage.send("firing", key).await?, &[&window]);
    }
    assert_eq!(stage.send("quiet", "a").await?.body.get("suppressed"), None);
    let open = stage.admin.open_incidents().await?;
    assert_eq!((open.len(), open[0].occurrences), (1, 1), "nothing about it has changed");
    let resolved = stage.send("resolved", "a").await?;
    assert_eq!(
        (resolved.status, &resolved.body["resolved"]["resolved"]),
        (StatusCode::OK, &true.into())
    );
    check_suppressed(&stage.send("firing", "a").await?, &[&window]);

    for _ in 0..2 {
        let ended = stage.admin.end_window(&window.name).await?;
        assert_eq!(ended.state(), api::MaintenanceState::Ended);
    }
    assert_eq!(stage.send("firing", "a").await?.status, StatusCode::CREATED);
    let kinds: Vec<_> = incident_events(&stage.rig.nats_url()).await?;
    let kinds: Vec<_> = kinds.iter().map(|event| event.r#type.as_str()).collect();
    let expected =
        ["created", "resolved", "created"].map(|kind| format!("gander.incident.{kind}.v1"));
    assert_eq!(kinds, expected);
    Ok(())
}

#[tokio::test]
async fn tags_choose_alerts_windows_overlap_and_all_of_it_outlives_the_processes()
-> anyhow::Result<()> {
    let mut stage = stage().await?;
    let (admin, service) = (stage.admin.clone(), stage.service.clone());
    let tagged = admin.window(&service, None, &[&["FIRING", "trouble db"], &["backup"]]).await?;
    let upcoming = admin.window(&service, Some(600), &[]).await?;
    assert_eq!(stage.send("firing", "a").await?.status, StatusCode::CREATED, "no tag fits");
    check_suppressed(&stage.send("firing", "db1").await?, &[&tagged]);
    check_suppressed(&stage.send("firing", "Backup").await?, &[&tagged]);
    let other = admin.window(&service, None, &[]).await?;
    check_suppressed(&stage.send("firing", "db1").await?, &[&tagged, &other]);
    check_suppressed(&stage.send("firing", "a").await?, &[&other]);

    let cancelled = admin.end_window(&upcoming.name).await?;
    assert_eq!(cancelled.state(), api::MaintenanceState::Ended);
    let seconds = |time: Option<Timestamp>| time.unwrap_or_default().seconds;
    assert!(seconds(cancelled.end_time) < seconds(cancelled.start_time));
    admin.end_window(&tagged.name).await?;
    for role in [Role::Admin, Role::Worker(0)] {
        stage.rig.kill(role).await?;
        stage.rig.restart(role).await?;
    }
    stage.admin = Admin::connect(stage.rig.grpc(), &admin.credential).await?;
    assert_eq!(
        stage.listed(api::MaintenanceState::Active).await?,
        std::slice::from_ref(&other.name)
    );
    let ended = stage.listed(api::MaintenanceState::Ended).await?;
    assert_eq!(ended, [tagged.name, upcoming.name]);
    let gateway = stage.rig.gateway()?;
    let answer = e2e::wait::eventually("an outcome of the worker that is back", async || {
        let answer = send(gateway, &stage.secret, payload("firing", "db1")).await.ok()?;
        answer.body.get("suppressed").is_some().then_some(answer)
    });
    check_suppressed(&answer.await?, &[&other]);

    // What is gone with its service covers nothing and is not found.
    let name = service.name;
    let delete = api::DeleteServiceRequest { name, ..Default::default() };
    stage.admin.catalog().delete_service(delete).await?;
    let gone = stage.admin.end_window(&other.name).await;
    assert_eq!(gone.err().map(|status| status.code()), Some(Code::NotFound));
    assert!(stage.listed(api::MaintenanceState::Unspecified).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_repeated_request_makes_one_window_and_each_limit_names_its_field() -> anyhow::Result<()>
{
    let stage = stage().await?;
    let window = api::MaintenanceWindow {
        end_time: Some(in_seconds(60)),
        ..api::MaintenanceWindow::default()
    };
    let request = |window: api::MaintenanceWindow| api::CreateMaintenanceRequest {
        parent: stage.service.name.clone(),
        maintenance_window: Some(window),
        request_id: request_id(),
    };
    let (mut client, same) = (stage.admin.maintenance(), request(window.clone()));
    let made = client.create_maintenance(same.clone()).await?.into_inner();
    let _other = client.create_maintenance(request(window.clone())).await?;
    assert_eq!(client.create_maintenance(same).await?.into_inner(), made);
    assert_eq!(stage.listed(api::MaintenanceState::Active).await?.len(), 2);
    let name = stage.service.name.clone();
    let service = stage.admin.catalog().get_service(api::GetServiceRequest { name }).await?;
    assert!(service.into_inner().in_maintenance);

    let tags = |tag: &[&str], count| {
        let contains = tag.iter().map(|text| (*text).to_owned()).collect();
        vec![api::MaintenanceTag { contains }; count]
    };
    let with = |tags| api::MaintenanceWindow { tags, ..window.clone() };
    let long = "x".repeat(51);
    for (wrong, at, rule) in [
        (api::MaintenanceWindow::default(), "end_time", "required"),
        (
            api::MaintenanceWindow { start_time: in_the_past(), ..window.clone() },
            "start_time",
            "passed already",
        ),
        (
            api::MaintenanceWindow { end_time: in_the_past(), ..window.clone() },
            "end_time",
            "later than the start",
        ),
        (
            api::MaintenanceWindow {
                end_time: Some(in_seconds(366 * 86_400 + 60)),
                ..window.clone()
            },
            "end_time",
            "366 days",
        ),
        (with(tags(&["x"], 11)), "tags", "at most 10 tags"),
        (with(tags(&[], 1)), "tags[0].contains", "1 to 10 texts"),
        (with(tags(&["x"; 11], 1)), "tags[0].contains", "1 to 10 texts"),
        (with(tags(&["x", &long], 2)), "tags[0].contains[1]", "1 to 50 characters"),
        (with(tags(&[""], 1)), "tags[0].contains[0]", "1 to 50 characters"),
    ] {
        let status = client.create_maintenance(request(wrong)).await.expect_err(rule);
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        let said = status.message().strip_prefix(&format!("maintenance_window.{at}: "));
        assert!(said.is_some_and(|said| said.contains(rule)), "{at}: {status}");
    }
    Ok(())
}

#[tokio::test]
async fn windows_that_have_ended_make_room_for_others() -> anyhow::Result<()> {
    let stage = stage().await?;
    let window = api::MaintenanceWindow {
        end_time: Some(in_seconds(60)),
        ..api::MaintenanceWindow::default()
    };
    let request = |window: api::MaintenanceWindow| api::CreateMaintenanceRequest {
        parent: stage.service.name.clone(),
        maintenance_window: Some(window),
        request_id: request_id(),
    };
    let mut client = stage.admin.maintenance();
    let made = client.create_maintenance(request(window.clone())).await?.into_inner();
    for _ in 1..50 {
        client.create_maintenance(request(window.clone())).await?;
    }
    let full = client.create_maintenance(request(window)).await.expect_err("50 are there");
    assert!(
        full.code() == Code::InvalidArgument && full.message().contains("at most 50"),
        "{full}"
    );
    stage.admin.end_window(&made.name).await?;
    stage.admin.window(&stage.service, None, &[]).await?;
    let forgotten = stage.admin.end_window(&made.name).await;
    assert_eq!(forgotten.err().map(|status| status.code()), Some(Code::NotFound));
    Ok(())
}

fn in_the_past() -> Option<Timestamp> {
    let now = in_seconds(0);
    Some(Timestamp { seconds: now.seconds - 1, ..now })
}
