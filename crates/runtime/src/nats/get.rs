//! Single messages, read from the leader of a stream, never from a copy that may be behind.
//!
//! Must not know what they say.

use async_nats::jetstream::stream::{LastRawMessageErrorKind, RawMessageErrorKind};

use super::{Error, Message, Nats, request, timestamp};

impl Nats {
    /// The last message of a subject.
    ///
    /// # Errors
    /// The broker cannot be reached.
    pub async fn last_of(&self, stream: &str, subject: &str) -> Result<Option<Message>, Error> {
        let stream = self.jetstream.get_stream_no_info(stream).await.map_err(request)?;
        match stream.get_last_raw_message_by_subject(subject).await {
            Ok(found) => Ok(Some(Message {
                sequence: found.sequence,
                stored_at: timestamp(found.time),
                subject: found.subject.to_string(),
                payload: found.payload,
                pending: 0,
            })),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(request(error)),
        }
    }

    /// The message with this sequence; none if it is not there.
    ///
    /// # Errors
    /// The broker cannot be reached.
    pub async fn get(&self, stream: &str, sequence: u64) -> Result<Option<Message>, Error> {
        let stream = self.jetstream.get_stream_no_info(stream).await.map_err(request)?;
        match stream.get_raw_message(sequence).await {
            Ok(found) => Ok(Some(Message {
                sequence,
                stored_at: timestamp(found.time),
                subject: found.subject.to_string(),
                payload: found.payload,
                pending: 0,
            })),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(request(error)),
        }
    }

    /// Removes the message with this sequence, so that nothing of it is left on the disk of the
    /// server once this returns.
    ///
    /// # Errors
    /// It is not there, or the broker cannot be reached.
    pub async fn delete(&self, stream: &str, sequence: u64) -> Result<(), Error> {
        let stream = self.jetstream.get_stream_no_info(stream).await.map_err(request)?;
        stream.delete_message(sequence).await.map(|_| ()).map_err(request)
    }

    /// Removes the messages of a stream that are older than this sequence.
    ///
    /// # Errors
    /// The broker cannot be reached.
    pub async fn purge_before(&self, stream: &str, sequence: u64) -> Result<(), Error> {
        let stream = self.jetstream.get_stream_no_info(stream).await.map_err(request)?;
        stream.purge().sequence(sequence).await.map(|_| ()).map_err(request)
    }
}
