//! Tracking ends by itself: at its deadline, whatever anybody knows of it, and once.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::Context;
use e2e::admin::{Admin, filter, payload, request_id};
use e2e::alerts::send;
use e2e::events::{incident_events, stored};
use e2e::process;
use e2e::rig::{Rig, Role};
use e2e::tools::tool;
use e2e::wait::eventually;
use pbjson_types::FieldMask;
use wire::proto::gander::admin::v1 as api;

/// The program as it would run that much later.
fn later(rig: &Rig, by: &str) -> anyhow::Result<PathBuf> {
    let path = rig.folder().join(format!("gander{by}"));
    let library = tool("faketime/libfaketimeMT.so.1")?;
    let program = process::program()?;
    let script = format!(
        "#!/bin/sh\nLD_PRELOAD='{}' FAKETIME='{by}' FAKETIME_DONT_FAKE_MONOTONIC=1 exec '{}' \"$@\"\n",
        library.display(),
        program.display(),
    );
    std::fs::write(&path, script)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

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
    Ok(stored(&rig.nats_url(), "GANDER_APILOG", "gander.apilog.*").await?.len())
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

    // Nobody tells the gateway that the time is over: it sees that itself.
    rig.kill(Role::Admin).await?;
    rig.kill(Role::Gateway(0)).await?;
    rig.run_program(Some(later(&rig, "+48h")?));
    rig.restart(Role::Gateway(0)).await?;
    let answer = send(rig.gateway()?, &made.secret, payload("firing", "late")).await?;
    assert_eq!(answer.status, 201);
    let events = incident_events(&rig.nats_url()).await?;
    assert_eq!(events.len(), 2, "the worker is done with it");
    assert_eq!(logged(&rig).await?, 2, "nothing of a call after the deadline");

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
    eventually("tracking to be on again", async || (logged(&rig).await.ok()? == 4).then_some(()))
        .await?;
    let actors = records(&admin, "token.tracking_set").await?;
    assert!(actors.len() == 2 && actors.iter().all(|actor| actor.starts_with("principals/")));
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
