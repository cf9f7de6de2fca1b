//! Atomic batches: many messages of one stream, stored all or none with one group of fsyncs.
//!
//! Must not know what they say. A batch is fenced by the expectations of its messages, or by where in the
//! stream it has to begin.

use std::time::Duration;

use bytes::Bytes;

use super::publish::{Error, Expect};
use super::{Nats, header_map};

/// The most messages of a batch; the server's limit.
pub const MAX_MESSAGES: usize = 1_000;

/// What the headers that make messages a batch begin with.
pub const OF_BATCHES: &str = "Nats-Batch-";
/// The header of the last message of a batch.
pub const BATCH_COMMIT: &str = "Nats-Batch-Commit";
/// The header of every message of a batch.
pub const BATCH_ID: &str = "Nats-Batch-Id";

/// One message of a batch.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its subject.
    pub subject: String,
    /// Its headers.
    pub headers: Vec<(&'static str, String)>,
    /// Its content.
    pub payload: Bytes,
    /// What the last message of its subject must be.
    pub expect: Option<u64>,
}

/// A subject, headers of any name and a content.
type Prepared = (String, async_nats::HeaderMap, Bytes);

impl Nats {
    /// Stores the messages in their order, all or none; gives the sequence of the first.
    ///
    /// The id must be new for each attempt, at most 64 characters. After `TimedOut` and `Lost` the same
    /// messages may be sent again under another id if a fence is among them: at most one attempt
    /// is stored.
    ///
    /// # Errors
    /// See [`Error`]. `Conflict` means that a fence does not hold.
    pub async fn publish_batch(
        &self,
        id: &str,
        messages: &[Message],
        deadline: Duration,
    ) -> Result<u64, Error> {
        self.publish_prepared(id, messages.iter().map(prepared).collect(), deadline).await
    }

    /// As [`Self::publish_batch`], stored only right after the message of the stream with this sequence:
    /// that is the fence.
    ///
    /// # Errors
    /// See [`Error`]. `Conflict` means that another message is the last one.
    pub async fn publish_batch_after(
        &self,
        after: u64,
        id: &str,
        messages: &[Message],
        deadline: Duration,
    ) -> Result<u64, Error> {
        let mut messages: Vec<_> = messages.iter().map(prepared).collect();
        // The server takes this header on the first message of a batch only.
        if let Some((_, headers, _)) = messages.first_mut() {
            let (name, value) = Expect::LastSequence(after).header();
            headers.insert(name, value.as_str());
        }
        self.publish_prepared(id, messages, deadline).await
    }

    /// As [`Self::publish_batch`], with headers of any name.
    pub(super) async fn publish_prepared(
        &self,
        id: &str,
        mut messages: Vec<Prepared>,
        deadline: Duration,
    ) -> Result<u64, Error> {
        if !self.is_connected() {
            return Err(Error::Unreachable);
        }
        // From before the first message: a batch of which a part went into another connection is refused.
        let reconnects = self.reconnects();
        let count = messages.len();
        for (n, (_, headers, _)) in messages.iter_mut().enumerate() {
            headers.insert(BATCH_ID, id);
            headers.insert("Nats-Batch-Sequence", (n + 1).to_string().as_str());
        }
        let Some((subject, mut headers, payload)) = messages.pop() else {
            return Err(Error::Refused { code: 0, text: "an empty batch".to_owned() });
        };
        for (subject, headers, payload) in messages {
            let sent = self.client.publish_with_headers(subject, headers, payload);
            let sent = tokio::time::timeout(deadline, sent).await.map_err(|_| Error::TimedOut)?;
            sent.map_err(|error| Error::Refused { code: 0, text: error.to_string() })?;
        }
        headers.insert(BATCH_COMMIT, "1");
        let last_sequence = self.request(reconnects, subject, headers, payload, deadline).await?;
        Ok(last_sequence + 1 - count as u64)
    }
}

fn prepared(message: &Message) -> Prepared {
    let mut headers = header_map(&message.headers);
    if let Some((name, value)) = message.expect.map(|n| Expect::LastSubjectSequence(n).header()) {
        headers.insert(name, value.as_str());
    }
    (message.subject.clone(), headers, message.payload.clone())
}
