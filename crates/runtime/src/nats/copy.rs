//! Streams as a whole: what a backup reads and a restore writes.
//!
//! Must not know what the messages say.

use std::time::Duration;

use super::batch::OF_BATCHES;
use super::publish::{self, Expect};
use super::streams::{Settings, Streams, alerts, control, incidents, partitions_of};
use super::{Error, Nats, request};
use wire::partition::Partitions;
use wire::stored::backup::Message;
use wire::subject;

/// The streams of Gander, in the order in which they are made.
pub const STREAMS: [&str; 3] =
    [subject::CONTROL_STREAM, subject::ALERTS_STREAM, subject::INCIDENTS_STREAM];
const DEADLINE: Duration = Duration::from_secs(10);

impl Nats {
    /// The version of the server.
    #[must_use]
    pub fn server_version(&self) -> String {
        self.client.server_info().version
    }

    /// How many partitions the streams that are there were made with.
    ///
    /// # Errors
    /// There are none, or the broker cannot be reached.
    pub async fn partitions(&self) -> Result<Partitions, Error> {
        let stream = self.jetstream.get_stream(subject::ALERTS_STREAM).await.map_err(request)?;
        partitions_of(&stream.cached_info().config)
    }

    /// Which of the streams are there.
    ///
    /// # Errors
    /// The broker cannot be reached.
    pub async fn streams_there(&self) -> Result<Vec<&'static str>, Error> {
        use async_nats::jetstream::context::GetStreamErrorKind;
        let mut there = Vec::new();
        for name in STREAMS {
            match self.jetstream.get_stream(name).await {
                Ok(_) => there.push(name),
                Err(error) => match error.kind() {
                    GetStreamErrorKind::JetStream(found) if found.code() == 404 => {}
                    GetStreamErrorKind::JetStream(_)
                    | GetStreamErrorKind::EmptyName
                    | GetStreamErrorKind::Request
                    | GetStreamErrorKind::InvalidStreamName => return Err(request(error)),
                },
            }
        }
        Ok(there)
    }

    /// Makes the streams so that alerts and incidents begin with these sequences.
    ///
    /// # Errors
    /// One is there already, or the broker cannot be reached.
    pub async fn create_streams(
        &self,
        settings: &Settings,
        first_alert: u64,
        first_incident: u64,
    ) -> Result<Streams, Error> {
        let first = |sequence: u64| (sequence > 1).then_some(sequence);
        for (mut config, first) in [
            (control(settings), None),
            (incidents(settings), first(first_incident)),
            (alerts(settings), first(first_alert)),
        ] {
            config.first_sequence = first;
            self.jetstream.create_stream(config).await.map_err(request)?;
        }
        self.ensure_streams(settings).await
    }

    /// Stores a message after the one with this sequence.
    ///
    /// # Errors
    /// See [`publish::Error`].
    pub async fn restore(&self, message: &Message, after: u64) -> Result<u64, publish::Error> {
        let mut headers = headers(message);
        let (name, value) = Expect::LastSequence(after).header();
        headers.insert(name, value.as_str());
        let (subject, payload) = (message.subject.clone(), message.payload.clone());
        self.request(self.reconnects(), subject, headers, payload, DEADLINE).await
    }

    /// Stores messages of a stream that takes batches, all or none.
    ///
    /// # Errors
    /// See [`publish::Error`].
    pub async fn restore_batch(
        &self,
        id: &str,
        messages: &[Message],
    ) -> Result<(), publish::Error> {
        let prepared = messages
            .iter()
            .map(|message| (message.subject.clone(), headers(message), message.payload.clone()));
        self.publish_prepared(id, prepared.collect(), DEADLINE).await.map(|_| ())
    }
}

/// Without what belonged to the moment of storing: sent again, a message would be part of a batch
/// that nobody ends, or refused.
fn headers(message: &Message) -> async_nats::HeaderMap {
    let mut map = async_nats::HeaderMap::new();
    let of_the_moment =
        |name: &str| name.starts_with(OF_BATCHES) || name.starts_with("Nats-Expected-");
    for (name, value) in message.headers.iter().filter(|(name, _)| !of_the_moment(name)) {
        map.append(name.as_str(), value.as_str());
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belonged_to_the_moment_of_storing_is_not_stored_again() {
        let names =
            ["Nats-Batch-Id", "Nats-TTL", "Nats-Batch-Commit", "Nats-Expected-Last-Sequence"];
        let headers = names.map(|name| (name.to_owned(), "1".to_owned())).to_vec();
        let message = Message {
            stream: subject::CONTROL_STREAM.to_owned(),
            sequence: 1,
            subject: String::new(),
            at_micros: 0,
            headers,
            payload: bytes::Bytes::new(),
        };
        let left: Vec<_> =
            super::headers(&message).iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(left, ["Nats-TTL"]);
    }
}
