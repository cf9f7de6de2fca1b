//! Atomic batches: many messages of one stream, stored all or none with one group of fsyncs.
//!
//! Must not know what they say. A batch is fenced by the expectations of its messages.

use std::time::Duration;

use bytes::Bytes;

use super::publish::{Error, Expect};
use super::{Nats, header_map};

/// The most messages of a batch; the server's limit.
pub const MAX_MESSAGES: usize = 1_000;

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
        if !self.is_connected() {
            return Err(Error::Unreachable);
        }
        let Some((last, before)) = messages.split_last() else {
            return Err(Error::Refused { code: 0, text: "an empty batch".to_owned() });
        };
        for (n, message) in before.iter().enumerate() {
            let headers = headers(id, n + 1, message);
            let sent = self.client.publish_with_headers(
                message.subject.clone(),
                headers,
                message.payload.clone(),
            );
            let sent = tokio::time::timeout(deadline, sent).await.map_err(|_| Error::TimedOut)?;
            sent.map_err(|error| Error::Refused { code: 0, text: error.to_string() })?;
        }
        let mut headers = headers(id, messages.len(), last);
        headers.insert("Nats-Batch-Commit", "1");
        let commit = self.request(last.subject.clone(), headers, last.payload.clone(), deadline);
        let last_sequence = commit.await?;
        Ok(last_sequence + 1 - messages.len() as u64)
    }
}

fn headers(id: &str, number: usize, message: &Message) -> async_nats::HeaderMap {
    let mut headers = header_map(&message.headers);
    if let Some((name, value)) = message.expect.map(|n| Expect::LastSubjectSequence(n).header()) {
        headers.insert(name, value.as_str());
    }
    headers.insert("Nats-Batch-Id", id);
    headers.insert("Nats-Batch-Sequence", number.to_string().as_str());
    headers
}
