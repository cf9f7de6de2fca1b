//! A full disk: what is told while it is full, and that nothing acknowledged is lost by it.
//!
//! They need a machine that lets this user make mount namespaces; the variable GANDER_TEST_NO_DISK goes
//! without them.

use std::sync::Arc;

use anyhow::Context;
use e2e::admin::{Admin, payload};
use e2e::alerts;
use e2e::disk::SmallDisk;
use e2e::load::SOON;
use e2e::rig::{Plan, Rig, Role};
use e2e::stage::Stage;
use e2e::wait::{back_again, eventually};
use runtime::environment;
use tokio::time::Instant;

/// Set, these tests are passed over.
const WITHOUT: &str = "GANDER_TEST_NO_DISK";

/// A small disk; none where these tests are to be passed over.
async fn disk(name: &str, mebibytes: u32) -> anyhow::Result<Option<SmallDisk>> {
    if environment::variable(WITHOUT).is_some() {
        return Ok(None);
    }
    let disk = SmallDisk::mounted_at(name, mebibytes).await?;
    let disk = disk.with_context(|| {
        format!(
            "no mount namespace can be made here, so a full disk is not tested: run the tests as a user \
             who may (in Docker: --cap-add SYS_ADMIN --security-opt apparmor=unconfined; elsewhere \
             unprivileged user namespaces), or set {WITHOUT}=1 to go without these tests"
        )
    })?;
    Ok(Some(disk))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_of_nats_server_refuses_alerts_and_loses_none() -> anyhow::Result<()> {
    let Some(disk) = disk("store", 64).await? else {
        println!("not tested: {WITHOUT} is set");
        return Ok(());
    };
    let plan = Plan { nats_disk: Some(Arc::clone(&disk.mount)), ..Plan::default() };
    let mut stage = Stage::start(plan).await?;
    stage.progress("work before the disk is full").await?;
    disk.fill().await?;

    let token = stage.token.clone();
    let gateway = stage.rig.gateway()?;
    let refused = eventually("alerts to be refused", async || {
        let asked = Instant::now();
        let answer = alerts::send(gateway, &token, payload("firing", "full")).await.ok()?;
        assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
        (!answer.status.is_success()).then_some(answer)
    })
    .await?;
    assert_eq!(refused.status.as_u16(), 503, "{:?}", refused.body);
    assert!(refused.headers.contains_key("retry-after"));

    disk.empty().await?;
    back_again(&mut stage.rig.nats).await?;
    stage.progress("work after there is room again").await?;
    let (ledger, _rig) = stage.settle().await?;
    assert_eq!(ledger.violations(), Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_full_disk_of_the_journal_ends_admin_and_loses_no_command() -> anyhow::Result<()> {
    let Some(disk) = disk("data/journal", 16).await? else {
        println!("not tested: {WITHOUT} is set");
        return Ok(());
    };
    let plan = Plan { journal_disk: Some(Arc::clone(&disk.mount)), ..Plan::default() };
    let mut rig = Rig::planned(plan).await?;
    let admin = rig.first_admin().await?;
    admin.team("before").await?;
    disk.fill().await?;

    let mut made = Vec::new();
    for n in 0.. {
        let name = format!("team {n}");
        match admin.team(&name).await {
            Ok(_) => made.push(name),
            Err(_) => break,
        }
    }
    let code = rig.running(Role::Admin)?.process.ended().await?;
    assert_eq!(code, Some(1), "{}", rig.running(Role::Admin)?.process.log());

    disk.empty().await?;
    rig.restart(Role::Admin).await?;
    let admin = Admin::connect(rig.grpc(), &admin.credential).await?;
    let teams = admin.teams().await?;
    let lost: Vec<_> = made.iter().filter(|name| !teams.contains(name)).collect();
    assert_eq!(lost, Vec::<&String>::new());
    admin.team("after").await?;
    Ok(())
}
