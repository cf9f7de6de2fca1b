//! Publishing one message into a stream, acknowledged once it is stored.
//!
//! Must not know what it says. A timeout means that it is not known whether it is stored.

use std::time::Duration;

use async_nats::RequestErrorKind;
use bytes::Bytes;
use serde::Deserialize;

use super::reconnects::Reconnects;
use super::{Headers, Nats, header_map};

/// Why a message or a batch is not, or not known to be, stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The stream has moved on from what was expected; nothing is stored.
    #[error("the stream has moved on: {0}")]
    Conflict(String),
    /// The stream is full; nothing is stored.
    #[error("the stream is full")]
    Full,
    /// No answer in time: it may be stored now or later.
    #[error("no answer in time: it is not known whether it is stored")]
    TimedOut,
    /// The connection was lost meanwhile: it may be stored.
    #[error("the connection was lost meanwhile: it is not known whether it is stored")]
    Lost,
    /// The server is not there or has no such stream; nothing is known to be stored.
    #[error("the broker cannot be reached")]
    Unreachable,
    /// The server refuses it; nothing is stored.
    #[error("the broker refuses it: {text} ({code})")]
    Refused {
        /// The server's error code.
        code: u64,
        /// What it says.
        text: String,
    },
}

/// What the stream must look like for the message to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The last message of the stream has this sequence.
    LastSequence(u64),
    /// The last message of the subject has this sequence; 0 for none.
    LastSubjectSequence(u64),
}

impl Expect {
    pub(super) fn header(self) -> (&'static str, String) {
        match self {
            Self::LastSequence(n) => ("Nats-Expected-Last-Sequence", n.to_string()),
            Self::LastSubjectSequence(n) => ("Nats-Expected-Last-Subject-Sequence", n.to_string()),
        }
    }
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    seq: u64,
    error: Option<ReplyError>,
}

#[derive(Deserialize)]
struct ReplyError {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

const WRONG_LAST_SEQUENCE: u64 = 10071;
const WRONG_LAST_SEQUENCE_IN_FLIGHT: u64 = 10164;
const FULL: [u64; 3] = [10077, 10047, 10023];

/// Reads an acknowledgement.
pub(super) fn sequence(reply: &[u8]) -> Result<u64, Error> {
    let unreadable =
        |_| Error::Refused { code: 0, text: "an answer that cannot be read".to_owned() };
    let reply: Reply = serde_json::from_slice(reply).map_err(unreadable)?;
    match reply.error {
        None => Ok(reply.seq),
        Some(error) => Err(match error.err_code {
            WRONG_LAST_SEQUENCE | WRONG_LAST_SEQUENCE_IN_FLIGHT => {
                Error::Conflict(error.description)
            }
            code if FULL.contains(&code) => Error::Full,
            code => Error::Refused { code, text: error.description },
        }),
    }
}

impl Nats {
    /// Publishes a message; gives its sequence once it is stored.
    ///
    /// # Errors
    /// See [`Error`]. After `TimedOut` and `Lost` it may still be stored later, after `TimedOut`
    /// unless the connection is dropped.
    pub async fn publish(
        &self,
        subject: String,
        headers: Headers<'_>,
        payload: Bytes,
        expect: Option<Expect>,
        deadline: Duration,
    ) -> Result<u64, Error> {
        let mut headers = header_map(headers);
        if let Some((name, value)) = expect.map(Expect::header) {
            headers.insert(name, value.as_str());
        }
        self.request(self.reconnects(), subject, headers, payload, deadline).await
    }

    /// Sends a message whose acknowledgement tells of itself, or of a batch that it ends; lost from
    /// where `reconnects` begins.
    pub(super) async fn request(
        &self,
        mut reconnects: Reconnects,
        subject: String,
        headers: async_nats::HeaderMap,
        payload: Bytes,
        deadline: Duration,
    ) -> Result<u64, Error> {
        if !self.is_connected() {
            return Err(Error::Unreachable);
        }
        let request =
            async_nats::Request::new().headers(headers).payload(payload).timeout(Some(deadline));
        let sent = self.client.send_request(subject, request);
        let answer = async {
            let reply = tokio::time::timeout(deadline, sent).await.map_err(|_| Error::TimedOut)?;
            let reply = reply.map_err(|error| match error.kind() {
                RequestErrorKind::TimedOut => Error::TimedOut,
                RequestErrorKind::NoResponders => Error::Unreachable,
                RequestErrorKind::InvalidSubject
                | RequestErrorKind::MaxPayloadExceeded
                | RequestErrorKind::Other => Error::Refused { code: 0, text: error.to_string() },
            })?;
            sequence(&reply.payload)
        };
        unless_lost(answer, &mut reconnects).await
    }
}

/// What is answered, before all: what is known to be stored is not lost. A refusal says nothing where the
/// connection was made again meanwhile: it may rest on what went into the one before.
async fn unless_lost(
    answer: impl Future<Output = Result<u64, Error>>,
    reconnects: &mut Reconnects,
) -> Result<u64, Error> {
    let stored = tokio::select! {
        biased;
        stored = answer => stored,
        () = reconnects.changed() => return Err(Error::Lost),
    };
    match stored {
        Err(error) if reconnects.is_changed() => {
            tracing::debug!(%error, "an answer after the connection was lost");
            Err(Error::Lost)
        }
        known => known,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::Arc;
    use std::sync::atomic::Ordering::Relaxed;

    use async_nats::Statistics;
    use tokio::sync::watch;

    use super::*;

    const STORED: Result<u64, Error> = Ok(7);
    const FULL: Result<u64, Error> = Err(Error::Full);

    async fn check(
        answer: impl Future<Output = Result<u64, Error>>,
        reconnected: bool,
        expected: Result<u64, Error>,
    ) {
        let statistics = Arc::new(Statistics::default());
        let (_tell, told) = watch::channel(());
        let mut reconnects = Reconnects::new(Arc::clone(&statistics), told);
        statistics.connects.store(reconnected.into(), Relaxed);
        assert_eq!(unless_lost(answer, &mut reconnects).await, expected);
    }

    #[tokio::test]
    async fn what_is_acknowledged_is_stored_whatever_became_of_the_connection() {
        check(ready(STORED), true, STORED).await;
        check(ready(STORED), false, STORED).await;
        check(ready(FULL), true, Err(Error::Lost)).await;
        check(ready(FULL), false, FULL).await;
        check(pending(), true, Err(Error::Lost)).await;
    }
}
