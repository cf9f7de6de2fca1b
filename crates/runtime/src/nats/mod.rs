//! NATS: the connection, and by file what is done over it.
//!
//! - `publish`: one message, with expectations; `batch`: many, all or none.
//! - `streams`: making and checking the streams. `reader`: reading them in order.
//! - `past`: a part of a stream's past, once. `get`: single messages from the leader.
//! - `copy`: streams as a whole, for backups. `leases`: until when gateways may use what they know.
//! - `members`: who is alive. `roll_call`: what they are.
//! - `reconnects`: when the connection was lost and made again.
//! - `access`: who may do what there, and as whom a process comes in.
//!
//! No other crate names the client. Deadlines are ours, not the client's.

pub mod access;
pub mod ask;
pub mod batch;
pub mod copy;
mod get;
mod leases;
pub mod members;
mod past;
pub mod publish;
mod reader;
mod reconnects;
mod roll_call;
pub mod streams;

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, HeaderMap, jetstream};
use bytes::Bytes;
use domain::time::Timestamp;
use futures::StreamExt;
use tokio::sync::watch;

use access::{Door, KeyError};
pub use past::{Past, Since, Stored};
pub use reader::{Envelope, Message, Reader, Start};
use reconnects::Reconnects;

/// The oldest nats-server that does one fsync for a whole atomic batch.
const OLDEST_SERVER: (u64, u64) = (2, 15);
const CONNECT_DEADLINE: Duration = Duration::from_secs(15);
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// How long a connection may take to be dropped.
const LEAVES: Duration = Duration::from_millis(200);
/// How long one may take to be closed: a server that stands still takes nothing, and no end of it comes.
const CLOSES: Duration = Duration::from_secs(1);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers.
    #[error(
        "cannot connect to nats-server at {url}: {reason}: is it running there? See --nats-url"
    )]
    Connect {
        /// Where.
        url: String,
        /// Why.
        reason: String,
    },
    /// It does not let this login in.
    #[error("nats-server at {url} lets nobody in by this login: {advice}; docs/nats.md says more")]
    Refused {
        /// Where.
        url: String,
        /// What to do.
        advice: String,
    },
    /// There is no key to come in by.
    #[error("there is no key for nats-server")]
    Key(#[from] KeyError),
    /// The server is too old.
    #[error(
        "nats-server 2.15 or newer is required, this one is {found}: older ones cannot store a batch with one fsync"
    )]
    TooOld {
        /// The version found.
        found: String,
    },
    /// A request to the broker failed.
    #[error("nats: {0}")]
    Request(String),
}

fn request(error: impl std::fmt::Display) -> Error {
    Error::Request(error.to_string())
}

fn timestamp(at: async_nats::datetime::DateTime) -> Timestamp {
    let micros = at.unix_timestamp_nanos().div_euclid(1_000);
    Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// A connection. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Nats {
    client: Client,
    jetstream: jetstream::Context,
    connected: watch::Receiver<()>,
    left: watch::Receiver<u64>,
    door: Arc<Door>,
}

impl Nats {
    /// Connects to one of the servers, under this name for people who look at the server's
    /// connections. Other servers of their cluster are found by themselves.
    ///
    /// # Errors
    /// Nobody answers or lets this login in for 15 s, or the server is too old.
    pub async fn connect(door: impl Into<Door>, name: &str) -> Result<Self, Error> {
        let door = door.into();
        door.key()?;
        let (tell, connected) = watch::channel(());
        let (leaves, left) = watch::channel(0);
        metrics::counter!("gander_nats_slow_consumers_total").increment(0);
        metrics::counter!("gander_nats_permission_violations_total").increment(0);
        let fail = |reason: String| Error::Connect { url: without_password(&door.url), reason };
        let (servers, options) = door.open().map_err(|error| fail(error.to_string()))?;
        let options = options
            .name(name)
            .ping_interval(PING_INTERVAL)
            .max_reconnects(None)
            .reconnect_delay_callback(|attempt| {
                Duration::from_millis(50 * u64::try_from(attempt.min(20)).unwrap_or(20))
            })
            .event_callback(move |event| {
                if matches!(event, Event::Connected) {
                    tell.send_replace(());
                }
                if matches!(event, Event::Disconnected | Event::Closed) {
                    leaves.send_modify(|n| *n += 1);
                }
                note(&event);
                async {}
            });
        let client = until_let_in(&door, &servers, &options).await?;
        let found = client.server_info().version;
        if !is_recent(&found) {
            return Err(Error::TooOld { found });
        }
        let jetstream = match door.api() {
            Some(prefix) => jetstream::with_prefix(client.clone(), prefix),
            None => jetstream::new(client.clone()),
        };
        Ok(Self { client, jetstream, connected, left, door: Arc::new(door) })
    }

    /// Another connection through the same door, served by the runtime that it is made on.
    ///
    /// # Errors
    /// As [`Nats::connect`].
    pub async fn another(&self, name: &str) -> Result<Self, Error> {
        Self::connect(Door::clone(&self.door), name).await
    }

    /// Whether the connection is up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    /// The longest message that the server takes, in bytes.
    #[must_use]
    pub fn max_payload(&self) -> usize {
        self.client.server_info().max_payload
    }

    /// Drops the connection and makes a new one; returns once nothing more goes into the old one. What
    /// the server has read from it already is done all the same.
    pub async fn reconnect(&self) {
        let mut left = self.left.clone();
        left.mark_unchanged();
        if self.is_connected() && self.client.force_reconnect().await.is_ok() {
            let _ = tokio::time::timeout(LEAVES, left.changed()).await;
        }
    }

    /// Ends the connection for all that use it, so that the end of its server is no loss to them; what
    /// was sent leaves first. A server that takes nothing any more is not waited for longer than 1 s.
    pub async fn close(&self) {
        let mut left = self.left.clone();
        left.mark_unchanged();
        let ends = async {
            let _ = self.client.flush().await;
            if self.client.drain().await.is_ok() {
                let _ = left.changed().await;
            }
        };
        if self.is_connected() {
            let _ = tokio::time::timeout(CLOSES, ends).await;
        }
    }

    /// Waits until the connection was lost and made again: what was asked before may get no answer.
    pub async fn reconnected(&self) {
        self.reconnects().changed().await;
    }

    /// Tells of each time from now on that the connection is made again.
    fn reconnects(&self) -> Reconnects {
        Reconnects::new(self.client.statistics(), self.connected.clone())
    }

    /// Sends a message that nobody need receive.
    pub async fn send(&self, subject: String, payload: Bytes) {
        let _ = self.client.publish(subject, payload).await;
    }

    /// Messages sent to this subject from here on.
    ///
    /// # Errors
    /// The connection is closed.
    pub async fn subscribe(&self, subject: String) -> Result<Subscription, Error> {
        let subscriber = self.client.subscribe(subject).await.map_err(request)?;
        self.client.flush().await.map_err(request)?;
        Ok(Subscription(subscriber))
    }
}

/// Messages of a subject, not kept anywhere.
#[derive(Debug)]
pub struct Subscription(async_nats::Subscriber);

impl Subscription {
    /// The next one; none when the connection is closed for good.
    pub async fn next(&mut self) -> Option<(String, Bytes)> {
        self.0.next().await.map(|message| (message.subject.to_string(), message.payload))
    }
}

/// Whether a server of this version does one fsync for a whole atomic batch.
#[must_use]
pub fn is_recent(version: &str) -> bool {
    let mut numbers = version.split(['.', '-']).map_while(|part| part.parse::<u64>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= OLDEST_SERVER
}

/// Asks until it is let in, or for 15 s.
async fn until_let_in(
    door: &Door,
    servers: &[async_nats::ServerAddr],
    options: &ConnectOptions,
) -> Result<Client, Error> {
    let url = without_password(&door.url);
    let mut last = Error::Connect { url: url.clone(), reason: "no answer".to_owned() };
    let mut told = false;
    let deadline = tokio::time::Instant::now() + CONNECT_DEADLINE;
    loop {
        match tokio::time::timeout_at(deadline, options.clone().connect(servers)).await {
            Ok(Ok(client)) => return Ok(client),
            Ok(Err(error)) if error.kind() == ConnectErrorKind::AuthorizationViolation => {
                last = Error::Refused { url: url.clone(), advice: door.advice() };
            }
            Ok(Err(error)) => {
                last = Error::Connect { url: url.clone(), reason: error.to_string() };
            }
            Err(_) => return Err(last),
        }
        if !told {
            tracing::warn!(url, reason = %last, "waiting for nats-server");
            told = true;
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(last);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What a server says where a user does what it may not, and what that was.
const VIOLATION: &str = "permissions violation";

/// Tells of what happens to a connection.
fn note(event: &Event) {
    if matches!(event, Event::SlowConsumer(_)) {
        metrics::counter!("gander_nats_slow_consumers_total").increment(1);
    }
    if let Event::ServerError(error) = event
        && error.to_string().to_lowercase().contains(VIOLATION)
    {
        metrics::counter!("gander_nats_permission_violations_total").increment(1);
        tracing::error!(
            %error,
            "nats-server refuses what this process needs: is its key that of its role, and are the accounts those of `gander nats accounts`?"
        );
        return;
    }
    if matches!(event, Event::Disconnected) {
        tracing::warn!("the connection to nats-server is lost");
    } else {
        tracing::debug!(%event, "nats connection");
    }
}

fn without_password(list: &str) -> String {
    let shown = list.split(',').map(|url| {
        let (scheme, rest) = url.split_at(url.find("://").map_or(0, |at| at + 3));
        format!("{scheme}{}", rest.rsplit('@').next().unwrap_or_default())
    });
    shown.collect::<Vec<_>>().join(",")
}

/// Headers of a message.
pub type Headers<'a> = &'a [(&'a str, String)];

fn header_map(headers: Headers<'_>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, value.as_str());
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_servers_are_refused() {
        assert!(["2.15.0", "2.16.1-beta", "3.0.0"].into_iter().all(is_recent));
        assert!(!["2.14.6", "unknown", ""].into_iter().any(is_recent));
    }

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        assert_eq!(without_password("nats://me:secret@host:4222"), "nats://host:4222");
        assert_eq!(without_password("host:4222"), "host:4222");
        assert_eq!(without_password("me:secret@host:4222"), "host:4222");
        assert_eq!(without_password("nats://a:p@ss@one,b:secret@two"), "nats://one,two");
        let list = "nats://me:secret@one:4222,nats://me:secret@two:4222";
        assert_eq!(without_password(list), "nats://one:4222,nats://two:4222");
    }
}
