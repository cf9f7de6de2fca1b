//! Loss of power: what was acknowledged is there afterwards, whatever else was lost or torn.
//!
//! It needs /dev/fuse; where there is none, it says "not tested".

use std::collections::BTreeSet;

use bytes::Bytes;
use domain::id::AlertId;
use e2e::admin::payload;
use e2e::alerts::Sender;
use e2e::dice::Dice;
use e2e::events::stored;
use e2e::outage::{Of, Outage};
use e2e::power::{Fate, Names, PowerDisk};
use e2e::rig::Plan;
use e2e::rig::Rig;
use http::Request;
use http_body_util::Full;
use wire::stored::alert::{Content, decode_batch, record_from};

const NATS_CONFIG: &str = include_str!("../../deploy/nats.conf");
const SYNCED: &str = "  sync_interval: always\n";

#[expect(
    clippy::print_stdout,
    reason = "whoever reads that a test passed must know that it is none"
)]
fn not_tested() -> anyhow::Result<()> {
    println!("not tested: no /dev/fuse here");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_does_not_sync_loses_its_data() -> anyhow::Result<()> {
    let Some(disk) = PowerDisk::mounted_at("disk", Names::WithFiles).await? else {
        return not_tested();
    };
    let place = disk.mount.place().display().to_string();
    let write = format!(
        "cd {place} && echo durable > one && sync one && echo lost >> one && echo lost > two && cat *"
    );
    assert_eq!(disk.mount.shell(&write).await?, "durable\nlost\nlost\n");
    disk.lose();
    disk.release();
    disk.restore(Fate::Lost, &mut Dice::new(1));
    let left = disk.mount.shell(&format!("cd {place} && ls && cat *")).await?;
    assert_eq!(left, "one\ndurable\n");
    Ok(())
}

/// Sends alerts to gateways over nats-server with this configuration until so many are
/// acknowledged, loses power, and gives how many are not stored.
async fn lost_with(outage: &Outage, config: &str, count: usize) -> anyhow::Result<usize> {
    let nats_config = Some(config.to_owned());
    // Nobody takes away what is done.
    let plan = Plan { workers: 0, nats_config, ..Plan::default() };
    let mut rig = Rig::planned(outage.plan(plan)).await?;
    let token = rig.first_admin().await?.token("t", "").await?.secret;
    let (gateway, sender) = (rig.gateway()?, Sender::default());
    let mut acked = BTreeSet::new();
    for n in 0..count {
        let request = Request::post(format!("http://{gateway}/v1/process?wait=0"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(payload("firing", &n.to_string()))))?;
        let answer = sender.request(request).await?;
        anyhow::ensure!(answer.status.is_success(), "{answer:?}");
        acked.insert(answer.id().to_owned());
    }
    outage.lose(&mut rig, Of::Nats, Fate::Lost, &mut Dice::new(1)).await?;
    rig.nats.restart().await?;
    let mut found = BTreeSet::new();
    // The stream itself may be gone.
    for message in
        stored(&rig.nats_url(), "GANDER_ALERTS", "gander.alerts").await.unwrap_or_default()
    {
        for record in decode_batch(&message.payload)?.records {
            if let Content::Alert(alert) = record_from(record)?.content {
                found.insert(AlertId::to_string(&alert.id));
            }
        }
    }
    Ok(acked.difference(&found).count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nats_server_that_syncs_every_two_minutes_loses_what_one_that_always_does_keeps()
-> anyhow::Result<()> {
    const COUNT: usize = 50;
    anyhow::ensure!(NATS_CONFIG.contains(SYNCED), "the setting is not found");
    for (config, loses) in
        [(NATS_CONFIG.to_owned(), false), (NATS_CONFIG.replace(SYNCED, ""), true)]
    {
        let Some(outage) = Outage::prepared(Names::WithFiles).await? else { return not_tested() };
        let lost = lost_with(&outage, &config, COUNT).await?;
        let setting = if loses { "the default" } else { "always" };
        println!("sync_interval {setting}: {lost} of {COUNT} acknowledged alerts lost");
        assert_eq!(lost > 0, loses);
    }
    Ok(())
}
