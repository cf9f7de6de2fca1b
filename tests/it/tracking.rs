//! Tracking ends by itself: at its deadline, whatever anybody knows of it, and once.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use e2e::admin::{Admin, filter, payload, request_id};
use e2e::alerts::{Sender, send};
use e2e::clock::later;
use e2e::events::{incident_events, stored};
use e2e::files::{holding, stream_holding};
use e2e::rig::{Rig, Role};
use e2e::wait::eventually;
use http::StatusCode;
use nix::sys::signal::Signal;
use pbjson_types::FieldMask;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::proto::gander::admin::v1 as api;

const LOG: &str = "GANDER_APILOG";
const CANARY: &str = "canary-in-the-mine";

async fn token(admin: &Admin, name: &str) -> anyhow::Result<api::Token> {
    let request = api::GetTokenRequest { name: name.to_owned() };
    Ok(admin.tokens().get_token(request).await?.into_inner())
}

/// The records of the audit log of this kind, by their actors.
async fn records(admin: &Admin, kind: &str) -> anyhow::Result<Vec<String>> {
    let kinds = vec![kind.to_owned()];
    let request = api::ListAuditRecordsRequest { kinds, ..Default::default() };
    let page = admin.audit().list_audit_records(request).await?.into_inner();
    Ok(page.audit_records.into_iter().map(|record| record.actor).collect())
}

/// How many parts are in the API log.
async fn logged(rig: &Rig) -> anyhow::Result<usize> {
    Ok(stored(&rig.nats_url(), LOG, "gander.apilog.*").await?.len())
}

/// Sends canaries whose incidents nobody needs, so that only the log could hold them.
async fn canaries(gateway: SocketAddr, secret: &str) -> anyhow::Result<()> {
    let sender = Sender::default();
    for n in 0..1_000 {
        let body = format!("{{\"note\": \"{CANARY}\", \"n\": {n}}}");
        assert_eq!(sender.send(gateway, secret, body).await?.status, StatusCode::ACCEPTED);
    }
    Ok(())
}

fn told_of_clock(rig: &mut Rig) -> anyhow::Result<bool> {
    let log = rig.running(Role::Admin)?.process.log();
    Ok(log.contains("the clock is behind the last change"))
}

/// Waits until the worker is done with every alert.
async fn worked_off(url: &str) -> anyhow::Result<()> {
    eventually("the alerts to be worked off", async || {
        stored(url, "GANDER_ALERTS", "gander.alerts").await.ok()?.is_empty().then_some(())
    })
    .await
}

#[tokio::test]
async fn tracking_ends_at_its_deadline_whatever_is_known_of_it_and_once() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let mut admin = rig.first_admin().await?;
    let team = admin.team("Payments").await?;
    admin.service(&team, "Checkout", vec![filter("status")]).await?;
    let made = admin.token("monitor", &team.name).await?;
    let on = admin.track(&made, true).await?;
    assert!(on.tracking == Some(true) && on.tracking_expire_time.is_some());
    send(rig.gateway()?, &made.secret, payload("firing", "early")).await?;
    eventually("both parts of the entry", async || (logged(&rig).await.ok()? == 2).then_some(()))
        .await?;

    // Nobody tells the gateway that the time is over: it sees that itself. Nor the worker, which was
    // away and finds a call of before and one of after.
    rig.kill(Role::Admin).await?;
    rig.kill(Role::Worker(0)).await?;
    send(rig.gateway()?, &made.secret, payload("firing", "in time")).await?;
    eventually("the call", async || (logged(&rig).await.ok()? == 3).then_some(())).await?;
    rig.kill(Role::Gateway(0)).await?;
    rig.run_program(Some(later(rig.folder(), "+48h")?));
    rig.restart(Role::Gateway(0)).await?;
    send(rig.gateway()?, &made.secret, payload("firing", CANARY)).await?;
    rig.restart(Role::Worker(0)).await?;
    let url = rig.nats_url();
    worked_off(&url).await?;
    let opened = incident_events(&url).await?;
    let opened = opened.iter().filter(|event| event.r#type == "gander.incident.created.v1").count();
    assert_eq!(opened, 3);
    assert_eq!(logged(&rig).await?, 4, "both parts of the call in time, nothing of the one after");
    canaries(rig.gateway()?, &made.secret).await?;
    worked_off(&url).await?;
    assert_eq!(logged(&rig).await?, 4);
    assert_eq!(stream_holding(rig.folder(), LOG, "in time")?.len(), 1, "what is there is found");
    assert_eq!(stream_holding(rig.folder(), LOG, CANARY)?, Vec::<PathBuf>::new());
    assert_eq!(holding(&rig.journal(), CANARY)?, Vec::<PathBuf>::new());

    // Admin was down at that moment: the end is made up for, once.
    for _ in 0..2 {
        rig.restart(Role::Admin).await?;
        admin = Admin::connect(rig.grpc(), &admin.credential).await?;
        eventually("the end of tracking", async || {
            let actors = records(&admin, "token.tracking_ended").await.ok()?;
            (actors == ["system"]).then_some(())
        })
        .await?;
        let ended = token(&admin, &made.name).await?;
        assert_eq!((ended.tracking, ended.tracking_expire_time), (Some(false), None));
        rig.kill(Role::Admin).await?;
    }
    rig.restart(Role::Admin).await?;
    admin = Admin::connect(rig.grpc(), &admin.credential).await?;
    admin.track(&made, true).await?;
    send(rig.gateway()?, &made.secret, payload("firing", "again")).await?;
    eventually("tracking to be on again", async || (logged(&rig).await.ok()? == 6).then_some(()))
        .await?;
    let actors = records(&admin, "token.tracking_set").await?;
    assert!(actors.len() == 2 && actors.iter().all(|actor| actor.starts_with("principals/")));

    // The clock is set right again: who looks after it is told.
    assert!(!told_of_clock(&mut rig)?);
    rig.kill(Role::Admin).await?;
    rig.run_program(None);
    rig.restart(Role::Admin).await?;
    assert!(told_of_clock(&mut rig)?);
    Ok(())
}

#[tokio::test]
async fn a_call_that_ends_after_tracking_was_switched_off_leaves_nothing() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Payments").await?;
    let made = admin.token("monitor", &team.name).await?;
    for whole in [true, false] {
        admin.track(&made, true).await?;
        let mut call = TcpStream::connect(rig.gateway()?).await?;
        let head = format!(
            "POST /v1/process HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {}\r\n\
             Connection: close\r\nContent-Length: 8\r\n\r\ncana",
            made.secret
        );
        call.write_all(head.as_bytes()).await?;
        let before = logged(&rig).await?;
        send(rig.gateway()?, &made.secret, "{}").await?;
        // What was sent before on another connection is known to the gateway now.
        eventually("that call", async || (logged(&rig).await.ok()? == before + 2).then_some(()))
            .await?;
        admin.track(&made, false).await?;
        if whole {
            call.write_all(b"ries").await?;
            let mut answer = String::new();
            call.read_to_string(&mut answer).await?;
            assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        }
        drop(call);
    }
    // A gateway that is told to stop has written what it would write.
    let gateway = &mut rig.running(Role::Gateway(0))?.process;
    gateway.signal(Signal::SIGTERM)?;
    gateway.ended().await?;
    assert_eq!(logged(&rig).await?, 4);
    assert_eq!(stream_holding(rig.folder(), LOG, "cana")?, Vec::<PathBuf>::new());
    Ok(())
}

#[tokio::test]
async fn what_is_read_and_sent_back_does_not_begin_the_time_anew() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let made = admin.token("monitor", "").await?;
    let on = admin.track(&made, true).await?;
    let until = on.tracking_expire_time.context("a deadline")?;
    let renamed = api::Token { display_name: "renamed".to_owned(), ..on.clone() };
    for paths in [vec![], vec!["*".to_owned()]] {
        let (token, update_mask) = (Some(renamed.clone()), Some(FieldMask { paths }));
        let token = token.map(|token| api::Token { etag: String::new(), ..token });
        let request = api::UpdateTokenRequest { token, update_mask, request_id: request_id() };
        let sent_back = admin.tokens().update_token(request).await?.into_inner();
        assert_eq!(sent_back.tracking_expire_time.as_ref(), Some(&until));
    }
    let again = admin.track(&made, true).await?;
    assert_ne!(again.tracking_expire_time.as_ref(), Some(&until), "named, it begins anew");
    let off = admin.track(&made, false).await?;
    assert_eq!((off.tracking, off.tracking_expire_time), (Some(false), None));
    Ok(())
}
