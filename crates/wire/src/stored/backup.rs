//! The frames of a backup file.
//!
//! Must not know files or what the messages say.

use bytes::Bytes;
use prost::Message as _;

use super::{Error, VERSION, check_version, field, fixed};
use crate::proto::gander::stored::v1 as stored;

/// One frame: first a head, then messages, at last an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// How the backup was made.
    Head(Head),
    /// A message of a stream.
    Message(Message),
    /// That it is complete.
    End(End),
}

/// How a backup was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// When it was begun, microseconds since the Unix epoch.
    pub at_micros: i64,
    /// The version of Gander that made it.
    pub gander_version: String,
    /// The version of nats-server that it was read from.
    pub nats_version: String,
    /// Into how many parts teams are divided.
    pub partitions: u32,
}

/// A message of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The stream.
    pub stream: String,
    /// Its sequence there.
    pub sequence: u64,
    /// Its subject.
    pub subject: String,
    /// When it was stored, microseconds since the Unix epoch.
    pub at_micros: i64,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its content.
    pub payload: Bytes,
}

/// That a backup is complete, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The streams: name, number of messages, last sequence.
    pub streams: Vec<(String, u64, u64)>,
    /// The digest of all bytes before this frame.
    pub digest: [u8; 32],
}

impl Frame {
    /// The bytes of the frame.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        use stored::backup_frame::Kind;
        let kind = match self {
            Self::Head(head) => Kind::Head(stored::BackupHead {
                version: VERSION,
                at_micros: head.at_micros,
                gander_version: head.gander_version.clone(),
                nats_version: head.nats_version.clone(),
                partitions: head.partitions,
            }),
            Self::Message(message) => Kind::Message(message_to(message)),
            Self::End(end) => {
                let stream = |(name, messages, last): &(String, u64, u64)| stored::BackupStream {
                    name: name.clone(),
                    messages: *messages,
                    last_sequence: *last,
                };
                let streams = end.streams.iter().map(stream).collect();
                let digest = Bytes::copy_from_slice(&end.digest);
                Kind::End(stored::BackupEnd { streams, digest })
            }
        };
        stored::BackupFrame { kind: Some(kind) }.encode_to_vec().into()
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// The bytes are no frame that this build can read.
    pub fn decode(bytes: &Bytes) -> Result<Self, Error> {
        use stored::backup_frame::Kind;
        let frame = stored::BackupFrame::decode(bytes.clone())?;
        Ok(match frame.kind.ok_or(field("backup.kind"))? {
            Kind::Head(head) => {
                check_version(head.version)?;
                Self::Head(Head {
                    at_micros: head.at_micros,
                    gander_version: head.gander_version,
                    nats_version: head.nats_version,
                    partitions: head.partitions,
                })
            }
            Kind::Message(message) => Self::Message(message_from(message)),
            Kind::End(end) => {
                let stream = |s: stored::BackupStream| (s.name, s.messages, s.last_sequence);
                Self::End(End {
                    streams: end.streams.into_iter().map(stream).collect(),
                    digest: fixed(&end.digest, "backup.digest")?,
                })
            }
        })
    }
}

fn message_to(message: &Message) -> stored::BackupMessage {
    let header = |(name, value): &(String, String)| stored::BackupHeader {
        name: name.clone(),
        value: value.clone(),
    };
    stored::BackupMessage {
        stream: message.stream.clone(),
        sequence: message.sequence,
        subject: message.subject.clone(),
        at_micros: message.at_micros,
        headers: message.headers.iter().map(header).collect(),
        payload: message.payload.clone(),
    }
}

fn message_from(message: stored::BackupMessage) -> Message {
    Message {
        stream: message.stream,
        sequence: message.sequence,
        subject: message.subject,
        at_micros: message.at_micros,
        headers: message.headers.into_iter().map(|header| (header.name, header.value)).collect(),
        payload: message.payload,
    }
}
