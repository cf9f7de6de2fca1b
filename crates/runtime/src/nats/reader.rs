//! Reading a stream in order, without acknowledgements and without gaps.
//!
//! Whatever happens to the connection, the next message is the one after the last. Must not know
//! what the messages say.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use async_nats::jetstream::consumer::{DeliverPolicy, ReplayPolicy};
use bytes::Bytes;
use domain::time::Timestamp;
use futures::{FutureExt, StreamExt};

use super::reconnects::Reconnects;
use super::{Error, Nats, request, timestamp};

/// Notices a dead consumer in half this time.
const EXPIRES: Duration = Duration::from_secs(4);
const BACK_OFF: Duration = Duration::from_millis(100);
/// Reading what is there, silence this long makes us ask whether there is more: what was waiting
/// may have been replaced or have expired meanwhile.
const SILENCE: Duration = Duration::from_secs(1);

/// A stored message.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// When it was stored, by the clock of the server.
    pub stored_at: Timestamp,
    /// Its subject.
    pub subject: String,
    /// Its content.
    pub payload: Bytes,
    /// How many more were waiting behind it when it was sent.
    pub pending: u64,
}

/// What was stored around the content of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// When it was stored, microseconds since the Unix epoch.
    pub at_micros: i64,
    /// Its headers.
    pub headers: Vec<(String, String)>,
}

/// Where reading starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At this sequence, or the first after it.
    Sequence(u64),
    /// With the last message of each subject, in the order of the stream; then what comes.
    LastOfEachSubject,
    /// With what comes from here on.
    New,
}

/// Reads on for ever.
pub struct Reader {
    nats: Nats,
    stream: String,
    filter: String,
    start: Start,
    headers_only: bool,
    last: u64,
    /// The headers of the message that was read last, and when it was stored.
    around: (Option<HeaderMap>, i128),
    messages: Option<Box<Ordered>>,
    reconnects: Reconnects,
}

impl Reader {
    /// A reader of the messages of a stream whose subject fits the filter.
    #[must_use]
    pub fn new(nats: &Nats, stream: &str, filter: &str, start: Start) -> Self {
        Self {
            nats: nats.clone(),
            stream: stream.to_owned(),
            filter: filter.to_owned(),
            start,
            headers_only: false,
            last: 0,
            around: (None, 0),
            messages: None,
            reconnects: nats.reconnects(),
        }
    }

    /// The same without the content of the messages.
    #[must_use]
    pub fn headers_only(self) -> Self {
        Self { headers_only: true, ..self }
    }

    /// The next message. Waits for it as long as it takes. Cancel-safe.
    pub async fn next(&mut self) -> Message {
        loop {
            match self.step().await {
                Ok(Some(message)) => return message,
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(stream = self.stream, %error, "reading a stream is interrupted");
                    self.messages = None;
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }

    /// Whether it has a consumer now.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.messages.is_some()
    }

    /// What was stored around the message that was read last.
    #[must_use]
    pub fn envelope(&self) -> Envelope {
        let (headers, at_nanos) = &self.around;
        let all = headers.iter().flat_map(HeaderMap::iter).flat_map(|(name, values)| {
            values.iter().map(move |value| (name.to_string(), value.to_string()))
        });
        let at_micros = i64::try_from(at_nanos / 1_000).unwrap_or(i64::MAX);
        Envelope { at_micros, headers: all.collect() }
    }

    /// The next message of those that are stored; none after the last of them. Asked again, it
    /// looks whether more have come.
    ///
    /// # Errors
    /// The broker cannot be reached.
    pub async fn next_stored(&mut self) -> Result<Option<Message>, Error> {
        loop {
            if self.messages.is_none() {
                let (messages, pending) = self.open().await?;
                if pending == 0 {
                    return Ok(None);
                }
                self.messages = Some(Box::new(messages));
            }
            match tokio::time::timeout(SILENCE, self.step()).await {
                Ok(Ok(Some(message))) => {
                    if message.pending == 0 {
                        self.messages = None;
                    }
                    return Ok(Some(message));
                }
                Ok(Ok(None)) => {}
                Ok(Err(_)) | Err(_) => self.messages = None,
            }
        }
    }

    /// The next message if it has arrived already.
    pub fn try_next(&mut self) -> Option<Message> {
        loop {
            match self.messages.as_mut()?.next().now_or_never()?? {
                Ok(message) => {
                    if let Ok(Some(message)) = self.accept(message) {
                        return Some(message);
                    }
                }
                Err(_) => {
                    self.messages = None;
                    return None;
                }
            }
        }
    }

    async fn step(&mut self) -> Result<Option<Message>, Error> {
        if self.messages.is_none() {
            let (messages, _) = self.open().await?;
            self.messages = Some(Box::new(messages));
        }
        let Some(messages) = self.messages.as_mut() else {
            return Ok(None);
        };
        tokio::select! {
            biased;
            received = messages.next() => {
                let received = received.ok_or(Error::Request("the consumer ended".to_owned()))?;
                let received = received.map_err(request)?;
                self.accept(received)
            }
            // The server may have restarted and forgotten the consumer: a new one sooner than
            // the missing heartbeat would tell.
            () = self.reconnects.changed() => {
                self.messages = None;
                Ok(None)
            }
        }
    }

    /// Takes a message unless it is one that was read before.
    fn accept(
        &mut self,
        received: async_nats::jetstream::Message,
    ) -> Result<Option<Message>, Error> {
        let info = received.info().map_err(request)?;
        if info.stream_sequence <= self.last {
            return Ok(None);
        }
        let (sequence, pending, published) = (info.stream_sequence, info.pending, info.published);
        let received = received.message;
        self.last = sequence;
        self.around = (received.headers, published.unix_timestamp_nanos());
        Ok(Some(Message {
            sequence,
            stored_at: timestamp(published),
            subject: received.subject.into_string(),
            payload: received.payload,
            pending,
        }))
    }

    async fn open(&mut self) -> Result<(Ordered, u64), Error> {
        let deliver_policy = match (self.last, self.start) {
            (0, Start::LastOfEachSubject) => DeliverPolicy::LastPerSubject,
            (0, Start::New) => DeliverPolicy::New,
            (0, Start::Sequence(first)) => {
                DeliverPolicy::ByStartSequence { start_sequence: first.max(1) }
            }
            (last, _) => DeliverPolicy::ByStartSequence { start_sequence: last + 1 },
        };
        let config = OrderedConfig {
            filter_subject: self.filter.clone(),
            deliver_policy,
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

impl Nats {
    /// The messages that are in the stream now, as a reader from this start would meet them.
    ///
    /// # Errors
    /// The broker cannot be reached.
    pub async fn read_all(
        &self,
        stream: &str,
        filter: &str,
        start: Start,
    ) -> Result<Vec<Message>, Error> {
        let mut reader = Reader::new(self, stream, filter, start);
        let mut found = Vec::new();
        while let Some(message) = reader.next_stored().await? {
            let done = message.pending == 0;
            found.push(message);
            if done {
                break;
            }
        }
        Ok(found)
    }
}
