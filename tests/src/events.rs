//! What a subscriber reads and what is stored, over NATS alone.
//!
//! Must not know Gander's processes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::{self, Message};
use async_nats::{Client, ConnectOptions, HeaderMap, ServerAddr};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use wire::proto::gander::events::v1::IncidentEvent;

use crate::contract;

const PATIENCE: Duration = Duration::from_secs(20);

/// A message of a stream.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its sequence.
    pub sequence: u64,
    /// When it was stored, microseconds since the Unix epoch.
    pub at_micros: i64,
    /// Its subject.
    pub subject: String,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// Its content.
    pub payload: Bytes,
}

impl Stored {
    /// The incident event that it is, in every way as `docs/asyncapi.json` promises.
    ///
    /// # Errors
    /// It is none, or breaks a promise.
    pub fn event(&self) -> anyhow::Result<IncidentEvent> {
        let wrong = contract::violations(self);
        anyhow::ensure!(wrong.is_empty(), "{} breaks its promise: {wrong:?}", self.subject);
        serde_json::from_slice(&self.payload).context("an incident event")
    }
}

/// Connects to JetStream as any client does, to one of the servers of a list with commas.
///
/// # Errors
/// Nobody answers.
pub async fn connect(url: &str) -> anyhow::Result<jetstream::Context> {
    let servers: Vec<ServerAddr> = url.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let login = servers.iter().find_map(|server| Some((server.username()?, server.password()?)));
    let (user, password) = login.unwrap_or_default();
    let options = ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned());
    Ok(jetstream::new(options.connect(servers.clone()).await?))
}

/// The last message of a subject, if there is one. Unlike [`stored`] it makes no consumer, each of which
/// costs the server something with every change of the stream.
///
/// # Errors
/// It cannot be read.
pub async fn newest(broker: &Broker, stream: &str, subject: &str) -> anyhow::Result<Option<Bytes>> {
    use async_nats::jetstream::stream::LastRawMessageErrorKind as Kind;
    let stream = broker.get_stream_no_info(stream).await?;
    match stream.get_last_raw_message_by_subject(subject).await {
        Ok(message) => Ok(Some(message.payload)),
        Err(error) if matches!(error.kind(), Kind::NoMessageFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A connection to JetStream.
pub type Broker = jetstream::Context;

/// Stores a message.
///
/// # Errors
/// It is not acknowledged.
pub async fn put(
    broker: &Broker,
    subject: &'static str,
    headers: &[(&str, String)],
    payload: Bytes,
) -> anyhow::Result<()> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, value.as_str());
    }
    broker.publish_with_headers(subject, map, payload).await?.await?;
    Ok(())
}

/// Connects with the key that is in a file, as any client does.
///
/// # Errors
/// Nobody answers, or the key is not known there.
pub async fn connect_by_key(url: &str, key: &Path, inbox: &str) -> anyhow::Result<Client> {
    let seed = std::fs::read_to_string(key)?.trim().to_owned();
    let options = ConnectOptions::with_nkey(seed).custom_inbox_prefix(inbox);
    Ok(options.connect(url).await?)
}

/// The messages that are in a stream now, in order.
///
/// # Errors
/// They cannot be read.
pub async fn stored(url: &str, stream: &str, filter: &str) -> anyhow::Result<Vec<Stored>> {
    stored_by(&connect(url).await?, stream, filter).await
}

/// The same over a connection that there is.
///
/// # Errors
/// They cannot be read.
pub async fn stored_by(
    context: &jetstream::Context,
    stream: &str,
    filter: &str,
) -> anyhow::Result<Vec<Stored>> {
    let stream = context.get_stream(stream).await?;
    let config = pull::Config {
        filter_subject: filter.to_owned(),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::None,
        inactive_threshold: PATIENCE,
        ..pull::Config::default()
    };
    let mut consumer = stream.create_consumer(config).await?;
    let pending = usize::try_from(consumer.info().await?.num_pending)?;
    let messages = consumer.stream().heartbeat(Duration::from_secs(2)).messages().await?;
    let read = messages.take(pending).map(|message| read(&message?)).collect::<Vec<_>>();
    tokio::time::timeout(PATIENCE, read)
        .await
        .context("messages that are there")?
        .into_iter()
        .collect()
}

/// The messages of a stream from its first one on, for ever.
///
/// # Errors
/// They cannot be read.
pub async fn follow(
    url: &str,
    stream: &str,
    filter: &str,
) -> anyhow::Result<impl Stream<Item = anyhow::Result<Stored>> + Unpin + use<>> {
    let stream = connect(url).await?.get_stream(stream).await?;
    let config = pull::OrderedConfig {
        filter_subject: filter.to_owned(),
        deliver_policy: DeliverPolicy::All,
        ..pull::OrderedConfig::default()
    };
    let messages = stream.create_consumer(config).await?.messages().await?;
    Ok(messages.map(|message| read(&message?)))
}

/// The incident events that are stored now, in order.
///
/// # Errors
/// They cannot be read.
pub async fn incident_events(url: &str) -> anyhow::Result<Vec<IncidentEvent>> {
    let stored = stored(url, "GANDER_INCIDENTS", "gander.incidents.>").await?;
    stored.iter().map(Stored::event).collect()
}

fn read(message: &Message) -> anyhow::Result<Stored> {
    let headers = message.headers.iter().flat_map(|headers| headers.iter());
    let headers = headers
        .filter_map(|(name, values)| Some((name.to_string(), values.first()?.as_str().to_owned())));
    let info = message.info().map_err(anyhow::Error::from_boxed)?;
    Ok(Stored {
        sequence: info.stream_sequence,
        at_micros: i64::try_from(info.published.unix_timestamp_nanos() / 1_000)?,
        subject: message.subject.to_string(),
        headers: headers.collect(),
        payload: message.payload.clone(),
    })
}
