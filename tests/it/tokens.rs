//! API tokens: what each type reaches, and that a dead one stays dead.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use e2e::admin::{Admin, filter, payload};
use e2e::alerts::{Sender, send};
use e2e::rig::{Plan, Rig, Role};
use e2e::wait::{back_again, eventually};
use http::StatusCode;
use nix::sys::signal::Signal;
use wire::proto::gander::admin::v1 as api;

/// How many incidents are open in each service, by name.
async fn open(admin: &Admin) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut open = BTreeMap::new();
    for incident in admin.open_incidents().await? {
        let service = incident.name.split("/incidents/").next().unwrap_or_default().to_owned();
        *open.entry(service).or_default() += 1;
    }
    Ok(open)
}

#[tokio::test]
async fn each_type_reaches_what_it_says_and_nothing_else() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let mut teams = Vec::new();
    let mut services = Vec::new();
    let mut other = filter("other");
    other.trigger.get_or_insert_default().conditions[0].contains = vec!["never".to_owned()];
    for n in 0..3 {
        let team = admin.team(&format!("team {n}")).await?;
        services.push(admin.service(&team, "one", vec![filter("status")]).await?.name);
        services
            .push(admin.service(&team, "two", vec![other.clone(), filter("second")]).await?.name);
        admin.service(&team, "deaf", vec![other.clone()]).await?;
        teams.push(team.name);
    }
    let gateway = rig.gateway()?;
    let cases = [
        ("", services.clone()),
        (teams[1].as_str(), services[2..4].to_vec()),
        (services[5].as_str(), services[5..].to_vec()),
    ];
    for (n, (target, reached)) in cases.iter().enumerate() {
        let token = admin.token(&format!("token {n}"), target).await?;
        let answer = send(gateway, &token.secret, payload("firing", "same")).await?;
        assert_eq!(answer.status, StatusCode::CREATED, "{target}");
        let expected = reached.iter().map(|service| (service.clone(), 1)).collect();
        assert_eq!(open(&admin).await?, expected, "{target}");
        let answer = send(gateway, &token.secret, payload("resolved", "same")).await?;
        assert_eq!(answer.body["resolved"]["resolved"], true, "{target}");
        assert_eq!(open(&admin).await?.len(), 0, "{target}");
    }
    Ok(())
}

#[tokio::test]
async fn a_token_that_was_deleted_or_replaced_is_dead_when_the_call_returns() -> anyhow::Result<()>
{
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let sender = Sender::default();
    let gateway = rig.gateway()?;
    let mut dead = Vec::new();
    for n in 0..10 {
        let token = admin.token(&format!("token {n}"), "").await?;
        assert_eq!(sender.send(gateway, &token.secret, "{}").await?.status, StatusCode::ACCEPTED);
        let fresh = admin.replace_secret(&token).await?;
        assert_eq!(
            sender.send(gateway, &token.secret, "{}").await?.status,
            StatusCode::UNAUTHORIZED
        );
        assert_eq!(sender.send(gateway, &fresh.secret, "{}").await?.status, StatusCode::ACCEPTED);
        admin.delete_token(&fresh).await?;
        let refused = sender.send_by_url(gateway, &fresh.secret, "{}").await?;
        assert_eq!((refused.status, refused.code()), (StatusCode::UNAUTHORIZED, "INVALID_TOKEN"));
        dead.extend([token.secret, fresh.secret]);
    }
    all_dead(&mut rig, &dead).await
}

#[tokio::test]
async fn the_hour_of_the_last_use_is_told() -> anyhow::Result<()> {
    const HOUR: i64 = 60 * 60;
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let (used, unused) = (admin.token("used", "").await?, admin.token("unused", "").await?);
    assert_eq!(used.last_use_time, None);
    let gateway = rig.gateway()?;
    send(gateway, &used.secret, "{}").await?;
    send(gateway, &unused.secret[1..], "{}").await?;
    let get = async |admin: &Admin, token: &api::Token| {
        let request = api::GetTokenRequest { name: token.name.clone() };
        Ok::<_, anyhow::Error>(admin.tokens().get_token(request).await?.into_inner())
    };
    let told = async |admin: &Admin| {
        eventually("the last use", async || get(admin, &used).await.ok()?.last_use_time).await
    };
    let at = told(&admin).await?;
    let made = used.create_time.context("a time")?.seconds;
    assert!(at.seconds % HOUR == 0 && (made - at.seconds).abs() <= HOUR, "{at:?} {made}");
    // Admin keeps nothing of it, and has it again after a restart.
    rig.kill(Role::Admin).await?;
    rig.restart(Role::Admin).await?;
    let admin = Admin::connect(rig.grpc(), &admin.credential).await?;
    assert_eq!(told(&admin).await?, at);
    assert_eq!(get(&admin, &unused).await?.last_use_time, None);
    Ok(())
}

/// A gateway that stands still is waited for, and goes on without letting the dead token in.
#[tokio::test]
async fn a_gateway_that_stands_still_lets_no_dead_token_in() -> anyhow::Result<()> {
    let mut rig = Rig::planned(Plan { gateways: 2, ..Plan::default() }).await?;
    let admin = rig.first_admin().await?;
    let sender = Sender::default();
    let addresses = [rig.gateway()?, rig.running(Role::Gateway(1))?.address];
    for stands_still in [Duration::from_millis(1_000), Duration::from_millis(3_000)] {
        let token = admin.token(&format!("{stands_still:?}"), "").await?;
        for gateway in addresses {
            assert_eq!(
                sender.send(gateway, &token.secret, "{}").await?.status,
                StatusCode::ACCEPTED
            );
        }
        rig.running(Role::Gateway(1))?.process.signal(Signal::SIGSTOP)?;
        let mut deleting = Box::pin(admin.delete_token(&token));
        let first = tokio::time::timeout(stands_still, &mut deleting).await;
        let returned = first.is_ok();
        // Where the call has returned, these begin after it, and wait where nobody answers yet.
        let sends = (0..50).map(async |_| sender.send(addresses[1], &token.secret, "{}").await);
        let mut waiting = Box::pin(futures::future::join_all(sends));
        if returned {
            let _ = tokio::time::timeout(Duration::from_millis(50), &mut waiting).await;
        }
        rig.running(Role::Gateway(1))?.process.signal(Signal::SIGCONT)?;
        match first {
            Ok(deleted) => deleted?,
            Err(_) => deleting.await?,
        }
        for answer in waiting.await {
            assert_ne!(answer?.status, StatusCode::ACCEPTED, "after {stands_still:?}");
        }
        for _ in 0..10 {
            for gateway in addresses {
                let answer = sender.send(gateway, &token.secret, "{}").await?;
                let refused = [StatusCode::UNAUTHORIZED, StatusCode::SERVICE_UNAVAILABLE];
                assert!(
                    refused.contains(&answer.status),
                    "{} after {stands_still:?}",
                    answer.status
                );
            }
        }
    }
    Ok(())
}

async fn all_dead(rig: &mut Rig, dead: &[String]) -> anyhow::Result<()> {
    let gateway = rig.gateway()?;
    let sender = Sender::default();
    for secret in dead {
        assert_eq!(sender.send(gateway, secret, "{}").await?.status, StatusCode::UNAUTHORIZED);
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_dead_token_stays_dead_through_restarts_and_an_old_copy_of_the_journal()
-> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let replaced = admin.token("replaced", "").await?;
    let deleted = admin.token("deleted", "").await?;
    rig.kill(Role::Admin).await?;
    let old = rig.folder().join("old-journal");
    copy(&rig.journal(), &old)?;
    rig.restart(Role::Admin).await?;
    let admin = Admin::connect(rig.grpc(), &admin.credential).await?;
    let alive = admin.replace_secret(&replaced).await?;
    admin.delete_token(&deleted).await?;
    let dead = [replaced.secret.clone(), deleted.secret.clone()];
    all_dead(&mut rig, &dead).await?;

    // Every process anew.
    for role in rig.roles() {
        rig.kill(role).await?;
    }
    rig.nats.kill().await?;
    back_again(&mut rig.nats).await?;
    for role in rig.roles() {
        rig.restart(role).await?;
    }
    all_dead(&mut rig, &dead).await?;

    // The journal as it was before the tokens died.
    rig.kill(Role::Admin).await?;
    std::fs::remove_dir_all(rig.journal())?;
    copy(&old, &rig.journal())?;
    rig.restart(Role::Admin).await?;
    rig.kill(Role::Gateway(0)).await?;
    rig.restart(Role::Gateway(0)).await?;
    all_dead(&mut rig, &dead).await?;
    let admin = Admin::connect(rig.grpc(), &admin.credential).await?;
    let again = admin.token("after the old copy", "").await?;

    // No journal at all: it is rebuilt from the stream.
    rig.kill(Role::Admin).await?;
    std::fs::remove_dir_all(rig.journal())?;
    rig.restart(Role::Admin).await?;
    let admin = Admin::connect(rig.grpc(), &admin.credential).await?;
    admin.token("after no copy", "").await?;
    all_dead(&mut rig, &dead).await?;
    let gateway = rig.gateway()?;
    for secret in [&alive.secret, &again.secret] {
        assert_eq!(send(gateway, secret, "{}").await?.status, StatusCode::ACCEPTED);
    }
    Ok(())
}

#[tokio::test]
async fn tokens_die_with_what_they_reach_and_when_they_expire() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("team").await?;
    let one = admin.service(&team, "one", vec![]).await?;
    let of_service = admin.token("s", &one.name).await?;
    let of_team = admin.token("t", &team.name).await?;
    let gateway = rig.gateway()?;
    let status =
        async |token: &api::Token| anyhow::Ok(send(gateway, &token.secret, "{}").await?.status);
    assert_eq!(status(&of_service).await?, StatusCode::ACCEPTED);
    let request = api::DeleteServiceRequest { name: one.name, ..Default::default() };
    admin.catalog().delete_service(request).await?;
    assert_eq!(status(&of_service).await?, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&of_team).await?, StatusCode::ACCEPTED);
    let request = api::DeleteTeamRequest { name: team.name, ..Default::default() };
    admin.catalog().delete_team(request).await?;
    assert_eq!(status(&of_team).await?, StatusCode::UNAUTHORIZED);

    let soon = std::time::SystemTime::UNIX_EPOCH.elapsed()? + std::time::Duration::from_secs(2);
    let token = api::Token {
        display_name: "brief".to_owned(),
        r#type: api::TokenType::Global.into(),
        expire_time: Some(wire::timestamp::Timestamp {
            seconds: i64::try_from(soon.as_secs())?,
            nanos: 0,
        }),
        ..api::Token::default()
    };
    let request = api::CreateTokenRequest { token: Some(token), ..Default::default() };
    let brief = admin.tokens().create_token(request).await?.into_inner();
    e2e::wait::eventually("the token to expire", async || {
        (status(&brief).await.ok()? == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await?;
    let revived = admin.replace_secret(&brief).await;
    assert!(revived.is_err(), "an expired token stays dead");
    Ok(())
}

#[tokio::test]
async fn a_repeated_request_has_its_effect_once() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let request_id = e2e::admin::request_id();
    let make = async |name: &str| {
        let token = api::Token {
            display_name: name.to_owned(),
            r#type: api::TokenType::Global.into(),
            ..api::Token::default()
        };
        let request =
            api::CreateTokenRequest { token: Some(token), request_id: request_id.clone() };
        admin.tokens().create_token(request).await
    };
    let first = make("one").await?.into_inner();
    assert_eq!(first.secret.len(), 53);
    let again = make("one").await?.into_inner();
    assert_eq!((again.name, again.secret.as_str()), (first.name, ""));
    let other = make("two").await.err().map(|status| status.code());
    assert_eq!(other, Some(tonic::Code::InvalidArgument));
    Ok(())
}
