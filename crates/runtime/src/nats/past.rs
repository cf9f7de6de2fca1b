//! A part of a stream's past, read once: from a time or a place to what is last just now.
//!
//! Messages may expire while they are read; they are passed over. Must not know what the messages
//! say.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::datetime::from_nanos;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use async_nats::jetstream::consumer::{DeliverPolicy, ReplayPolicy};
use bytes::Bytes;
use domain::time::Timestamp;
use futures::StreamExt;

use super::{Error, Nats, request, timestamp};

/// Notices a dead consumer in half this time.
const EXPIRES: Duration = Duration::from_secs(4);
/// Silence this long makes us ask whether there is more: what was waiting may have expired.
const SILENCE: Duration = Duration::from_secs(1);

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// With what was stored at this time or later, by the clock of the server.
    Time(Timestamp),
    /// With this sequence, or the first after it.
    Sequence(u64),
}

/// A stored message with its headers.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// When it was stored, by the clock of the server.
    pub stored_at: Timestamp,
    /// Its subject.
    pub subject: String,
    /// Its content; empty where only headers are read.
    pub payload: Bytes,
    headers: Option<HeaderMap>,
}

impl Stored {
    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.as_ref()?.get(name).map(|value| value.as_str())
    }
}

/// Reads on until what was last when it got there.
pub struct Past {
    nats: Nats,
    stream: String,
    filter: String,
    headers_only: bool,
    since: Since,
    messages: Option<Box<Ordered>>,
    done: bool,
}

impl Nats {
    /// The messages of a stream whose subject fits the filter.
    #[must_use]
    pub fn past(&self, stream: &str, filter: &str, since: Since) -> Past {
        Past {
            nats: self.clone(),
            stream: stream.to_owned(),
            filter: filter.to_owned(),
            headers_only: false,
            since,
            messages: None,
            done: false,
        }
    }
}

impl Past {
    /// The same without the content of the messages.
    #[must_use]
    pub fn headers_only(self) -> Self {
        Self { headers_only: true, ..self }
    }

    /// The next message; none at the end.
    ///
    /// # Errors
    /// The broker cannot be reached.
    pub async fn next(&mut self) -> Result<Option<Stored>, Error> {
        while !self.done {
            let Some(messages) = self.messages.as_mut() else {
                let (messages, pending) = self.open().await?;
                self.done = pending == 0;
                self.messages = Some(Box::new(messages));
                continue;
            };
            match tokio::time::timeout(SILENCE, messages.next()).await {
                Ok(Some(message)) => {
                    if let Some(found) = self.accept(message.map_err(request)?)? {
                        return Ok(Some(found));
                    }
                }
                Ok(None) | Err(_) => self.messages = None,
            }
        }
        Ok(None)
    }

    /// Takes a message unless it is one that was read before: the client may start over.
    fn accept(&mut self, message: async_nats::jetstream::Message) -> Result<Option<Stored>, Error> {
        let info = message.info().map_err(request)?;
        let (sequence, stored_at) = (info.stream_sequence, timestamp(info.published));
        if matches!(self.since, Since::Sequence(next) if sequence < next) {
            return Ok(None);
        }
        self.done = info.pending == 0;
        self.since = Since::Sequence(sequence + 1);
        let (message, _) = message.split();
        let (payload, headers) = (message.payload, message.headers);
        let subject = message.subject.to_string();
        Ok(Some(Stored { sequence, stored_at, subject, payload, headers }))
    }

    async fn open(&mut self) -> Result<(Ordered, u64), Error> {
        let config = OrderedConfig {
            filter_subject: self.filter.clone(),
            deliver_policy: deliver_policy(self.since)?,
            replay_policy: ReplayPolicy::Instant,
            headers_only: self.headers_only,
            max_expires: EXPIRES,
            ..OrderedConfig::default()
        };
        let stream = self.nats.jetstream.get_stream_no_info(&self.stream).await.map_err(request)?;
        let consumer = stream.create_consumer(config).await.map_err(request)?;
        let pending = consumer.cached_info().num_pending;
        Ok((consumer.messages().await.map_err(request)?, pending))
    }
}

fn deliver_policy(since: Since) -> Result<DeliverPolicy, Error> {
    match since {
        Since::Sequence(first) => {
            Ok(DeliverPolicy::ByStartSequence { start_sequence: first.max(1) })
        }
        // The server counts nanoseconds in 64 bits.
        Since::Time(at) => {
            let micros = at.as_micros().clamp(0, i64::MAX / 1_000);
            let start_time = from_nanos(i128::from(micros) * 1_000).map_err(request)?;
            Ok(DeliverPolicy::ByStartTime { start_time })
        }
    }
}
