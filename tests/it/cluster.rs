//! A cluster of three nats-servers, as it is deployed: one may die, and its users have their rights.

use anyhow::Context;
use async_nats::jetstream::stream::ClusterInfo;
use async_nats::{ConnectOptions, Event};
use e2e::cluster;
use e2e::events::{connect, stored};
use e2e::rig::{Plan, Rig};
use e2e::wait::{PATIENCE, eventually};
use runtime::nats_server::NatsServer;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::kills::stage_of;

const STREAMS: [&str; 3] = ["GANDER_ALERTS", "GANDER_CONTROL", "GANDER_INCIDENTS"];

async fn group(url: &str, stream: &str) -> Option<ClusterInfo> {
    let mut stream = connect(url).await.ok()?.get_stream(stream).await.ok()?;
    stream.info().await.ok()?.cluster.clone()
}

fn server<'a>(rig: &'a mut Rig, name: &str) -> Option<&'a mut NatsServer> {
    let servers = std::iter::once(&mut rig.nats).chain(&mut rig.peers);
    servers.enumerate().find(|(n, _)| cluster::name(*n) == name).map(|(_, server)| server)
}

/// Kills the leader of the alerts in the middle of its work: the alerts that it acknowledged are on
/// another server, or they would be missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_with_a_server_of_three() -> anyhow::Result<()> {
    let plan = Plan { workers: 2, cluster: true, ..Plan::default() };
    let mut stage = stage_of(plan).await?;
    let url = stage.rig.nats_url();
    stage.progress("work of three servers").await?;
    let before = group(&url, STREAMS[0]).await.context("a leader of the alerts")?;
    let leader = before.leader.context("a leader of the alerts")?;
    assert_eq!(before.replicas.len(), cluster::SERVERS - 1);

    server(&mut stage.rig, &leader).context("the leader")?.kill().await?;
    let killed = Instant::now();
    stage.progress("work with two of three servers").await?;
    println!("{leader} killed; 100 alerts and a command more after {:?}", killed.elapsed());

    server(&mut stage.rig, &leader).context("the leader")?.restart().await?;
    eventually("the third server to have caught up", async || {
        for stream in STREAMS {
            let group = group(&url, stream).await?;
            group.replicas.iter().all(|replica| replica.current).then_some(())?;
        }
        Some(())
    })
    .await?;
    let (ledger, rig) = stage.settle().await?;
    println!("{} alerts acked, {} stored", ledger.acked.len(), ledger.stored.len());
    assert_eq!(ledger.violations(), Vec::<String>::new());
    a_subscriber_reads_events_and_writes_nothing(&rig).await
}

async fn a_subscriber_reads_events_and_writes_nothing(rig: &Rig) -> anyhow::Result<()> {
    let url = cluster::url(&rig.nats, "subscriber");
    assert!(!stored(&url, STREAMS[2], "gander.incidents.>").await?.is_empty());
    assert!(connect(&rig.nats.url()).await.is_err(), "nobody comes in without a password");

    let (tell, mut told) = mpsc::channel(8);
    let login = url.split(['/', ':', '@']).filter(|part| !part.is_empty()).collect::<Vec<_>>();
    let options = ConnectOptions::with_user_and_password(login[1].into(), login[2].into());
    let options = options.event_callback(move |event| {
        let tell = tell.clone();
        async move {
            if let Event::ServerError(error) = event {
                let _ = tell.send(error.to_string()).await;
            }
        }
    });
    let client = options.connect(rig.nats.url()).await?;
    client.publish("gander.alerts", "{}".into()).await?;
    client.flush().await?;
    let refused = tokio::time::timeout(PATIENCE, told.recv()).await?.unwrap_or_default();
    assert!(refused.to_lowercase().contains("permissions violation"), "{refused}");
    Ok(())
}
