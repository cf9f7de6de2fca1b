//! The main job: from a webhook to an incident event at a subscriber.

use e2e::admin::{filter, next_event, payload};
use e2e::alerts::send;
use e2e::events::{incident_events, stored};
use e2e::rig::{Plan, Rig, Role};
use http::StatusCode;
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::events::v1::{IncidentStatus, ResolveReason};

#[tokio::test]
async fn an_alert_opens_repeats_and_closes_one_incident() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Payments").await?;
    let service = admin.service(&team, "Checkout", vec![filter("status")]).await?;
    let token = admin.token("monitor", &service.name).await?;
    let gateway = rig.gateway()?;

    let created = send(gateway, &token.secret, payload("firing", "a")).await?;
    assert_eq!(created.status, StatusCode::CREATED);
    assert_eq!(created.body["triggered"], serde_json::json!({"created": true, "duplicate": false}));
    let repeated = send(gateway, &token.secret, payload("firing", "a")).await?;
    assert_eq!(repeated.status, StatusCode::OK);
    assert_eq!(repeated.body["triggered"]["duplicate"], true);
    let open = admin.open_incidents().await?;
    assert_eq!(
        (open.len(), open[0].occurrences, open[0].title.as_str()),
        (1, 2, "test - trouble a")
    );
    let resolved = send(gateway, &token.secret, payload("resolved", "a")).await?;
    assert_eq!(resolved.status, StatusCode::OK);
    assert_eq!(
        resolved.body["resolved"],
        serde_json::json!({"resolved": true, "duplicate": false})
    );
    let again = send(gateway, &token.secret, payload("resolved", "a")).await?;
    assert_eq!(
        (again.status, &again.body["resolved"]["duplicate"]),
        (StatusCode::OK, &true.into())
    );
    let unmatched = send(gateway, &token.secret, payload("quiet", "a")).await?;
    assert_eq!(unmatched.status, StatusCode::ACCEPTED);

    let messages = stored(&rig.nats_url(), "GANDER_INCIDENTS", "gander.incidents.>").await?;
    let types: Vec<_> = messages.iter().map(|m| m.headers["ce-type"].as_str()).collect();
    let kinds = ["created", "repeated", "resolved"].map(|k| format!("gander.incident.{k}.v1"));
    assert_eq!(types, kinds);
    let ids: Vec<_> = team.name.split('/').chain(service.name.split('/')).collect();
    for (message, kind) in messages.iter().zip(["created", "repeated", "resolved"]) {
        let event = message.event()?;
        assert_eq!(message.subject, format!("gander.incidents.{kind}.{}.{}", ids[1], ids[5]));
        assert_eq!(message.headers["ce-id"], event.id);
        assert_eq!(message.headers["gander-incident"], open[0].id);
        assert_eq!(event.incident.as_ref().map(|i| i.id.as_str()), Some(open[0].id.as_str()));
    }
    let last = messages[2].event()?.incident.unwrap_or_default();
    assert_eq!(last.status(), IncidentStatus::Resolved);
    assert_eq!(last.alert, created.id());
    assert_eq!(messages[2].event()?.alert.map(|alert| alert.id), Some(resolved.id().to_owned()));
    Ok(())
}

#[tokio::test]
async fn a_watcher_that_resumes_by_cursor_misses_nothing() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Payments").await?;
    let service = admin.service(&team, "Checkout", vec![filter("status")]).await?;
    let token = admin.token("monitor", "").await?;
    let mut watching = admin.watch("").await?;
    let gateway = rig.gateway()?;
    send(gateway, &token.secret, payload("firing", "a")).await?;
    let (_, cursor) = next_event(&mut watching).await?;
    drop(watching);
    for key in ["b", "c"] {
        send(gateway, &token.secret, payload("firing", key)).await?;
    }
    let mut resumed = admin.watch(&cursor).await?;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let (event, _) = next_event(&mut resumed).await?;
        seen.push(event.incident.unwrap_or_default().mapped_value);
    }
    assert_eq!(seen, ["b", "c"]);

    // A watcher whose credential dies is put out.
    let observer = admin.principal("o", &[&format!("observer:{}", team.name)]).await?;
    let watcher = e2e::admin::Admin::connect(rig.grpc(), &observer.credential).await?;
    let mut watching = watcher.watch("").await?;
    let name = observer.name;
    admin
        .principals()
        .delete_principal(api::DeletePrincipalRequest { name, ..Default::default() })
        .await?;
    send(gateway, &token.secret, payload("firing", "d")).await?;
    let ended = next_event(&mut watching).await.err().map(|status| status.code());
    assert_eq!(ended, Some(tonic::Code::Unauthenticated));
    drop(service);
    Ok(())
}

#[tokio::test]
async fn a_principal_resolves_an_unmapped_incident() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Payments").await?;
    let mut unmapped = filter("any");
    unmapped.resolve = None;
    unmapped.trigger.get_or_insert_default().map_with = String::new();
    admin.service(&team, "Checkout", vec![unmapped]).await?;
    let token = admin.token("monitor", &team.name).await?;
    let gateway = rig.gateway()?;
    send(gateway, &token.secret, payload("firing", "a")).await?;
    let duplicate = send(gateway, &token.secret, payload("firing", "a")).await?;
    assert_eq!(duplicate.status, StatusCode::OK, "the same bytes within 5 minutes are one");
    let name = admin.open_incidents().await?.remove(0).name;
    let request = api::ResolveIncidentRequest { name, ..Default::default() };
    for _ in 0..2 {
        let resolved = admin.incidents().resolve_incident(request.clone()).await?.into_inner();
        assert_eq!(resolved.resolve_reason(), ResolveReason::Principal);
    }
    assert_eq!(admin.open_incidents().await?.len(), 0);
    let third = send(gateway, &token.secret, payload("firing", "a")).await?;
    assert_eq!(third.status, StatusCode::CREATED, "a resolved incident takes no more alerts");
    Ok(())
}

#[tokio::test]
async fn a_disabled_service_gets_nothing_and_a_deleted_one_leaves_nothing_open()
-> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Payments").await?;
    let mut service = admin.service(&team, "Checkout", vec![filter("status")]).await?;
    let token = admin.token("monitor", &team.name).await?;
    let gateway = rig.gateway()?;
    send(gateway, &token.secret, payload("firing", "a")).await?;
    service.disabled = true;
    let service = admin.update_service(service, "disabled").await?;
    for status in ["firing", "resolved"] {
        let answer = send(gateway, &token.secret, payload(status, "a")).await?;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{status}");
    }
    assert_eq!(admin.open_incidents().await?[0].occurrences, 1);
    let name = service.name;
    admin
        .catalog()
        .delete_service(api::DeleteServiceRequest { name, ..Default::default() })
        .await?;
    let url = rig.nats_url();
    let last = e2e::wait::eventually("the incident to be resolved", async || {
        incident_events(&url).await.ok()?.pop().filter(|e| e.r#type.contains("resolved"))
    });
    let last = last.await?.incident.unwrap_or_default();
    assert_eq!(last.resolve_reason(), ResolveReason::ServiceDeleted);
    Ok(())
}

#[tokio::test]
async fn two_gateways_and_two_workers_make_one_incident_of_each_episode() -> anyhow::Result<()> {
    let mut rig = Rig::planned(Plan { gateways: 2, workers: 2, ..Plan::default() }).await?;
    let admin = rig.first_admin().await?;
    let mut keys = 0;
    for n in 0..6 {
        let team = admin.team(&format!("team {n}")).await?;
        admin.service(&team, "one", vec![filter("status")]).await?;
        keys += 1;
    }
    let token = admin.token("everything", "").await?;
    let gateways = [rig.running(Role::Gateway(0))?.address, rig.running(Role::Gateway(1))?.address];
    let sending =
        (0..40).map(|n| {
            let secret = token.secret.clone();
            async move {
                send(gateways[n % 2], &secret, payload("firing", &format!("k{}", n % 4))).await
            }
        });
    for answer in futures::future::join_all(sending).await {
        assert!(answer?.status.is_success());
    }
    let url = rig.nats_url();
    e2e::wait::eventually("every incident", async || {
        let open = admin.open_incidents().await.ok()?;
        let all: u64 = open.iter().map(|incident| incident.occurrences).sum();
        (all == 40 * keys).then_some(())
    })
    .await?;
    let events = incident_events(&url).await?;
    let created = events.iter().filter(|event| event.r#type.contains("created")).count();
    assert_eq!(created as u64, 4 * keys);
    Ok(())
}
