//! `gander status`: what it shows while things are well, and while they are not.

use e2e::admin::{filter, payload};
use e2e::alerts::send;
use e2e::certificates::Authority;
use e2e::events::connect;
use e2e::process::run;
use e2e::rig::{Plan, Rig, Role};
use e2e::wait::{back_again, eventually};
use futures::StreamExt;
use tempfile::TempDir;
use wire::proto::gander::admin::v1 as api;

fn codes(status: &api::GetStatusResponse) -> Vec<&str> {
    status.problems.iter().map(|problem| problem.code.as_str()).collect()
}

async fn until(
    admin: &e2e::admin::Admin,
    wanted: &[&str],
) -> anyhow::Result<api::GetStatusResponse> {
    eventually(&format!("the problems {wanted:?}"), async || {
        admin.status().await.ok().filter(|status| codes(status) == wanted)
    })
    .await
}

#[tokio::test]
async fn a_killed_worker_shows_and_what_waits_for_it() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Payments").await?;
    let service = admin.service(&team, "Checkout", vec![filter("f")]).await?;
    let token = admin.token("t", &service.name).await?.secret;
    let well = until(&admin, &[]).await?;
    let roles: Vec<_> = well.members.iter().map(api::Member::role).collect();
    assert_eq!(roles, [api::MemberRole::Admin, api::MemberRole::Gateway, api::MemberRole::Worker]);
    for member in &well.members {
        assert!(member.answered && member.pid > 0 && member.start_time.is_some(), "{member:?}");
        assert_eq!(member.version, env!("CARGO_PKG_VERSION"));
        assert_eq!(member.durability, "power-safe");
        assert_eq!(member.control_sequence, well.journal_sequence, "{member:?}");
    }
    let pid = u32::try_from(rig.running(Role::Worker(0))?.process.pid()?.as_raw())?;
    assert_eq!(well.members[2].pid, pid);
    assert_eq!(well.partitions.len(), 16);
    assert!(well.partitions.iter().all(|one| one.owner == well.members[2].instance));
    let names: Vec<_> = well.streams.iter().map(|stream| stream.name.as_str()).collect();
    assert_eq!(names, ["GANDER_CONTROL", "GANDER_ALERTS", "GANDER_INCIDENTS", "GANDER_APILOG"]);
    assert_eq!(well.streams[0].messages, well.journal_sequence);
    assert!(well.streams[1].max_bytes > 0);

    rig.kill(Role::Worker(0)).await?;
    let gateway = rig.gateway()?;
    let answer = send(gateway, &token, payload("firing", "a")).await?;
    assert_eq!(answer.status, 202);
    let ill = until(&admin, &["NO_WORKER", "ALERTS_WAIT"]).await?;
    assert!(ill.partitions.iter().all(|one| !one.owner_alive && one.input_lag == 1), "{ill:?}");
    assert!(ill.oldest_waiting_time.is_some());
    let file = rig.folder().join("credential");
    runtime::secret_file::write(&file, &admin.credential)?;
    let server = format!("http://{}", rig.grpc());
    let line = ["--server", &server, "--credential-file", "credential", "status", "--check"];
    let (code, text) = run(rig.folder(), None, &line).await?;
    assert_eq!(code, 1, "{text}");
    for says in ["GANDER_ALERTS", "error   NO_WORKER: no worker is alive", "alerts wait since"] {
        assert!(text.contains(says), "{says} is missing in {text}");
    }
    let (code, text) = run(rig.folder(), None, &line[..5]).await?;
    assert_eq!(code, 0, "{text}");

    rig.restart(Role::Worker(0)).await?;
    let well = until(&admin, &[]).await?;
    assert!(well.partitions.iter().all(|one| one.owner_alive), "{well:?}");
    let (code, text) = run(rig.folder(), None, &line).await?;
    assert!(code == 0 && text.contains("Nothing is wrong."), "{text}");
    Ok(())
}

#[tokio::test]
async fn only_parked_records_are_counted_by_subject() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let client = connect(&rig.nats_url()).await?.client();
    // Control has a subject for each thing that is configured, which the server would list.
    let mut asked = client.subscribe("$JS.API.STREAM.INFO.*").await?;
    client.flush().await?;
    admin.status().await?;
    let mut seen = std::collections::BTreeMap::new();
    while seen.len() < 4 {
        let next = tokio::time::timeout(std::time::Duration::from_secs(10), asked.next()).await?;
        let next = next.unwrap_or_else(|| unreachable!("the client lives"));
        let lists = String::from_utf8_lossy(&next.payload).contains("subjects_filter");
        *seen.entry(next.subject.to_string()).or_insert(false) |= lists;
    }
    let names: Vec<_> = seen.iter().filter(|(_, lists)| **lists).map(|(name, _)| name).collect();
    assert_eq!(names, ["$JS.API.STREAM.INFO.GANDER_INCIDENTS"]);
    Ok(())
}

#[tokio::test]
async fn an_older_process_counts_by_its_heartbeat_alone() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    until(&admin, &[]).await?;
    let client = connect(&rig.nats_url()).await?.client();
    let id = e2e::admin::request_id();
    // What every version sends: eight bytes. A sequence that is never behind.
    let number = (u64::MAX - 1).to_be_bytes().to_vec();
    let status = eventually("the heartbeat to be heard", async || {
        let subject = format!("gander.members.gateway.{id}");
        client.publish(subject, number.clone().into()).await.ok()?;
        admin.status().await.ok().filter(|status| codes(status) == ["NO_ANSWER"])
    })
    .await?;
    let silent: Vec<_> = status.members.iter().filter(|member| !member.answered).collect();
    assert_eq!((silent.len(), silent[0].instance.as_str()), (1, id.as_str()));
    assert_eq!(silent[0].role(), api::MemberRole::Gateway);
    assert_eq!(silent[0].control_sequence, u64::MAX - 1);
    Ok(())
}

#[tokio::test]
async fn it_is_told_while_the_broker_is_down() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    until(&admin, &[]).await?;
    rig.nats.kill().await?;
    let status = eventually("the loss to show", async || {
        let status = admin.status().await.ok()?;
        codes(&status).contains(&"BROKER_UNAVAILABLE").then_some(status)
    })
    .await?;
    assert!(status.journal_sequence > 0 && status.streams.is_empty(), "{status:?}");
    back_again(&mut rig.nats).await?;
    until(&admin, &[]).await?;
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_not_admin_is_named_as_such() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    runtime::secret_file::write(&rig.folder().join("credential"), &admin.credential)?;
    let broker = rig.nats.url().replace("nats://", "");
    for address in [rig.gateway()?.to_string(), broker] {
        let server = format!("http://{address}");
        let line = ["--server", &server, "--credential-file", "credential", "team", "list"];
        let (code, text) = run(rig.folder(), None, &line).await?;
        assert!(code != 0 && text.contains("is --server the port of"), "{code} {text}");
    }
    Ok(())
}

#[tokio::test]
async fn certificates_are_of_the_role_that_serves_with_them() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let (pair, _) = Authority::new("the test's own")?.issue(folder.path(), "http")?;
    let [certificate, key] = [&pair.certificate, &pair.key].map(|path| path.display().to_string());
    let gateway_args = ["--http-tls-cert", &certificate, "--http-tls-key", &key];
    let gateway_args = gateway_args.map(str::to_owned).to_vec();
    let mut rig = Rig::planned(Plan { gateway_args, ..Plan::default() }).await?;
    let status = rig.first_admin().await?.status().await?;
    for member in &status.members {
        let shown: Vec<_> = member.certificates.iter().map(|one| one.listener.as_str()).collect();
        let serves = member.role() == api::MemberRole::Gateway;
        assert_eq!(shown, if serves { vec!["http"] } else { vec![] });
        assert!(member.certificates.iter().all(|one| one.expire_time.is_some()));
    }
    assert!(rig.running(Role::Gateway(0))?.process.runs());
    Ok(())
}
