//! Questions what an alert would come to: read, and how far they are answered. Beside the alerts
//! themselves they have a small part of the time, so the answer to one is made piece by piece.
//!
//! Must not know how they are asked, nor what is answered.

use bytes::Bytes;
use domain::id::ServiceId;
use wire::Partition;
use wire::stored::alert::{Alert, Content, decode_batch, record_from};

/// A question.
#[derive(Debug)]
pub struct Asked {
    /// The alert.
    pub alert: Alert,
    /// The configuration that it rests on, which must be known before it is answered.
    pub control_sequence: u64,
    /// The partitions still to tell of, each after this service; none before it is begun.
    pub rest: Option<Vec<(Partition, Option<ServiceId>)>>,
}

impl Asked {
    /// Reads a question; none where it cannot be read.
    pub fn read(question: &Bytes) -> Option<Self> {
        let batch = decode_batch(question).ok()?;
        let control_sequence = batch.control_sequence;
        match record_from(batch.records.into_iter().next()?).ok()?.content {
            Content::Alert(alert) => Some(Self { alert, control_sequence, rest: None }),
            Content::Resolve(_) | Content::Acknowledge(_) => None,
        }
    }

    /// Whether all of it is answered.
    pub fn is_done(&self) -> bool {
        self.rest.as_ref().is_some_and(Vec::is_empty)
    }
}
