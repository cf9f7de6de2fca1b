//! Follows Gander's incident events with a durable consumer. Speaks only NATS: knows nothing of
//! Gander but `docs/events.md`, where this program stands.
#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::time::Duration;

use anyhow::Context;
use async_nats::ConnectOptions;
use async_nats::jetstream::{self, AckKind, consumer};
use futures::StreamExt;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_else(|| "nats://127.0.0.1:4222".to_owned());
    // The key by which nats-server knows this program, where it wants one.
    let options = match args.next() {
        Some(file) => {
            let key = std::fs::read_to_string(&file).with_context(|| format!("the key {file}"))?;
            ConnectOptions::with_nkey(key.trim().to_owned())
        }
        None => ConnectOptions::new(),
    };
    let client = options.custom_inbox_prefix("_INBOX_operator").connect(url).await?;
    let stream = jetstream::new(client).get_stream("GANDER_INCIDENTS").await?;
    let config = consumer::pull::Config {
        durable_name: Some("pager".to_owned()),
        filter_subject: "gander.incidents.>".to_owned(),
        deliver_policy: consumer::DeliverPolicy::All,
        ack_policy: consumer::AckPolicy::Explicit,
        ack_wait: Duration::from_secs(30),
        max_deliver: -1,
        max_ack_pending: 1,
        ..Default::default()
    };
    let consumer = stream.get_or_create_consumer("pager", config).await?;
    let mut messages = consumer.messages().await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        let answer = match apply(&message.payload) {
            Ok(()) => AckKind::Ack,
            Err(_) => AckKind::Nak(Some(Duration::from_secs(5))),
        };
        message.double_ack_with(answer).await.map_err(|error| anyhow::anyhow!(error))?;
    }
    Ok(())
}

/// The effect: in your own code in one transaction with the note that `id` is done, and nothing
/// if it was noted before.
fn apply(data: &[u8]) -> anyhow::Result<()> {
    let event: serde_json::Value = serde_json::from_slice(data)?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let (incident, kind) = (&event["incident"], text(&event["type"]));
    let (id, title) = (text(&incident["id"]), text(&incident["title"]));
    println!("{kind}  {id}  x{}  {title}", text(&incident["occurrences"]));
    Ok(())
}
