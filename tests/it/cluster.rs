//! A cluster of three nats-servers, as it is deployed: one may die, and its users have their rights.

use std::collections::BTreeSet;

use anyhow::Context as _;
use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::{self, Context};
use e2e::cluster;
use e2e::events::{connect, connect_by_key};
use e2e::rig::{Plan, Rig};
use e2e::stage::Stage;
use futures::{StreamExt, TryStreamExt};
use tokio::time::Instant;
use wire::subject;

const INCIDENTS: &str = subject::INCIDENTS_STREAM;
const STREAMS: [&str; 3] = [subject::ALERTS_STREAM, subject::CONTROL_STREAM, INCIDENTS];

/// A message that somebody might send: its subject, its content, and where the answer is to go.
type Attempt = (String, String, Option<String>);

/// Kills the leader of the alerts in the middle of its work: the alerts that it acknowledged are on
/// another server, or they would be missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_with_a_server_of_three() -> anyhow::Result<()> {
    let plan = Plan { workers: 2, cluster: true, ..Plan::default() };
    let mut stage = Stage::start(plan).await?;
    let url = stage.rig.nats_url();
    stage.progress("work of three servers").await?;
    let before = cluster::group(&url, STREAMS[0]).await.context("a leader of the alerts")?;
    let leader = before.leader.context("a leader of the alerts")?;
    assert_eq!(before.replicas.len(), cluster::SERVERS - 1);

    stage.rig.server(&leader).context("the leader")?.kill().await?;
    let killed = Instant::now();
    let progress = stage.progress("work with two of three servers").await;
    progress.with_context(|| stage.rig.logs().join("\n"))?;
    println!("{leader} killed; 100 alerts and a command more after {:?}", killed.elapsed());

    e2e::wait::back_again(stage.rig.server(&leader).context("the leader")?).await?;
    cluster::caught_up(&url).await?;
    let (ledger, rig) = stage.settle().await?;
    println!("{} alerts acked, {} stored", ledger.told.acked.len(), ledger.stored.len());
    assert_eq!(ledger.violations(), Vec::<String>::new());
    a_subscriber_reads_events_and_writes_nothing(&rig).await
}

/// A durable consumer, as `docs/events.md` has an operator make it.
async fn durable(ours: &Context, name: &str) -> anyhow::Result<PullConsumer> {
    let config = pull::Config {
        durable_name: Some(name.to_owned()),
        filter_subject: subject::EVENTS_ALL.to_owned(),
        ..pull::Config::default()
    };
    Ok(ours.get_stream(INCIDENTS).await?.create_consumer(config).await?)
}

async fn a_subscriber_reads_events_and_writes_nothing(rig: &Rig) -> anyhow::Result<()> {
    assert!(connect(&rig.nats.url()).await.is_err(), "nobody comes in without a login");
    let ours = connect(&rig.nats_url()).await?;
    durable(&ours, "subscriber").await?;
    let other = durable(&ours, "other").await?;
    let given = other.fetch().max_messages(1).messages().await?.next().await;
    let given = given.context("an event")?.map_err(anyhow::Error::from_boxed)?;
    let of_other = given.reply.clone().context("where it is acknowledged")?.to_string();

    let key = rig.folder().join("keys/subscriber.nk");
    let client = connect_by_key(&rig.nats.url(), &key, "_INBOX").await?;
    let theirs = jetstream::with_domain(client.clone(), "gander");
    let own: PullConsumer = theirs.get_consumer_from_stream("subscriber", INCIDENTS).await?;
    reads(&own, 5).await?;
    let before = stored(&ours).await?;
    for (subject, content, answer) in attempts(&of_other) {
        match answer {
            Some(answer) => client.publish_with_reply(subject, answer, content.into()).await?,
            None => client.publish(subject, content.into()).await?,
        }
    }
    client.flush().await?;
    // What was asked before it is answered by then.
    reads(&own, 1).await?;
    assert_eq!(stored(&ours).await?, before);
    let info = ours.get_stream(INCIDENTS).await?.consumer_info("other").await?;
    let (delivered, waiting) = (info.delivered.consumer_sequence, info.num_ack_pending);
    assert_eq!((delivered, waiting), (1, 1), "the consumer of somebody else is as it was");
    Ok(())
}

/// What is stored, by what nobody but a subscriber would change now: how far the streams are, and the
/// consumers with a name. GANDER_INCIDENTS by its number of messages, for checkpoints are replaced.
async fn stored(ours: &Context) -> anyhow::Result<([u64; 3], BTreeSet<String>)> {
    let [alerts, control, incidents] = STREAMS.map(|name| ours.get_stream(name));
    let (alerts, control, mut incidents) = (alerts.await?, control.await?, incidents.await?);
    let names: BTreeSet<String> = incidents.consumer_names().try_collect().await?;
    let named = ["subscriber", "other", "push"].map(str::to_owned);
    let named = named.into_iter().filter(|name| names.contains(name)).collect();
    let far = [alerts, control].map(|stream| stream.cached_info().state.last_sequence);
    Ok(([far[0], far[1], incidents.info().await?.state.messages], named))
}

/// Reads events in their order and acknowledges them.
async fn reads(own: &PullConsumer, count: usize) -> anyhow::Result<()> {
    let mut messages = own.fetch().max_messages(count).messages().await?;
    let mut read = 0;
    while let Some(message) = messages.next().await {
        let message = message.map_err(anyhow::Error::from_boxed)?;
        assert!(message.subject.starts_with("gander.incidents."), "{}", message.subject);
        message.double_ack().await.map_err(anyhow::Error::from_boxed)?;
        read += 1;
    }
    assert_eq!(read, count);
    Ok(())
}

/// What a subscriber might try: to write, and to have the server write for it.
fn attempts(of_other: &str) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    let targets = [
        subject::ALERTS,
        "gander.control.team.x",
        "gander.incidents.created.x.y",
        "gander.state.0.x",
        "gander.checkpoints.0",
        "gander.parked.0",
    ];
    for target in targets {
        attempts.push((target.to_owned(), String::new(), None));
        for api in ["$JS.API", "$JS.gander.API"] {
            for request in ["MSG.NEXT", "INFO"] {
                let asked = format!("{api}.CONSUMER.{request}.{INCIDENTS}.subscriber");
                attempts.push((asked, String::new(), Some(target.to_owned())));
            }
            let config = format!(
                r#"{{"stream_name": "{INCIDENTS}", "config": {{"name": "push", "durable_name": "push",
                "deliver_subject": "{target}", "ack_policy": "none", "deliver_policy": "all"}}}}"#
            );
            for form in ["CREATE", "DURABLE.CREATE"] {
                let asked = format!("{api}.CONSUMER.{form}.{INCIDENTS}.push");
                attempts.push((asked, config.clone(), None));
            }
        }
        attempts.push((of_other.to_owned(), "+ACK".to_owned(), Some(target.to_owned())));
    }
    for api in ["$JS.API", "$JS.gander.API"] {
        for request in ["MSG.NEXT", "DELETE"] {
            let asked = format!("{api}.CONSUMER.{request}.{INCIDENTS}.other");
            attempts.push((asked, String::new(), Some("_INBOX.x".to_owned())));
        }
        attempts.push((format!("{api}.STREAM.PURGE.{INCIDENTS}"), String::new(), None));
    }
    attempts
}
