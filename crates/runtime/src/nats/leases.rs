//! The KV bucket GANDER_LEASES: leases of gateways, and the mark of admin beside which they are stored.
//!
//! Must not know the rules: `domain::lease` has them.

use std::time::Duration;

use bytes::Bytes;
use domain::id::InstanceId;
use domain::lease::{Mark, Renewal};
use wire::stored::lease::{Entry, decode, encode};
use wire::subject;

use super::publish::{self, Expect};
use super::{Error, Nats, request};

/// Of which subject the expected sequence is that of the last message.
const EXPECTED_OF: &str = "Nats-Expected-Last-Subject-Sequence-Subject";
const OPERATION: &str = "KV-Operation";
const LEAVE_DEADLINE: Duration = Duration::from_millis(500);

impl Nats {
    /// Stores a lease, if the last mark is the one that it is beside.
    ///
    /// # Errors
    /// `Conflict` means that there is another mark. See [`publish::Error`].
    pub async fn renew_lease(
        &self,
        gateway: InstanceId,
        renewal: Renewal,
        deadline: Duration,
    ) -> Result<u64, publish::Error> {
        let beside = [(EXPECTED_OF, subject::LEASES_MARK.to_owned())];
        let expect = Some(Expect::LastSubjectSequence(renewal.beside));
        let subject = subject::lease(gateway);
        self.publish(subject, &beside, encode(renewal.applied), expect, deadline).await
    }

    /// Removes a lease, so that nobody waits for it: the gateway must not use it any more.
    pub async fn end_lease(&self, gateway: InstanceId) {
        let removed = [(OPERATION, "DEL".to_owned())];
        let subject = subject::lease(gateway);
        let ended = self.publish(subject, &removed, Bytes::new(), None, LEAVE_DEADLINE).await;
        if let Err(error) = ended {
            tracing::debug!(%error, "the lease is not removed: it runs out");
        }
    }

    /// The last mark, as the leader of the bucket has it; one of revision 0 where there is none.
    ///
    /// # Errors
    /// The broker cannot be reached in time, or it is not a mark.
    pub async fn last_mark(&self, deadline: Duration) -> Result<Mark, Error> {
        let asked = self.last_of(subject::LEASES_STREAM, subject::LEASES_MARK);
        let found = tokio::time::timeout(deadline, asked).await;
        let Some(found) = found.unwrap_or(Err(request("no answer in time")))? else {
            return Ok(Mark::default());
        };
        match decode(&found.subject, &found.payload) {
            Some(Entry::Mark(sequence)) => Ok(Mark { revision: found.sequence, sequence }),
            Some(Entry::Lease(..) | Entry::Left(_)) | None => {
                Err(request("the mark in GANDER_LEASES cannot be read"))
            }
        }
    }

    /// Stores a mark after the one with this revision; gives its own revision.
    ///
    /// # Errors
    /// `Conflict` means that the one before is another. See [`publish::Error`].
    pub async fn mark(
        &self,
        sequence: u64,
        before: u64,
        deadline: Duration,
    ) -> Result<u64, publish::Error> {
        let (subject, expect) =
            (subject::LEASES_MARK.to_owned(), Some(Expect::LastSubjectSequence(before)));
        self.publish(subject, &[], encode(sequence), expect, deadline).await
    }

    /// Removes the entry of a gateway up to this revision; a later one stays.
    ///
    /// # Errors
    /// The broker cannot be reached.
    pub async fn tidy_lease(&self, gateway: InstanceId, revision: u64) -> Result<(), Error> {
        let stream = self.jetstream.get_stream_no_info(subject::LEASES_STREAM).await;
        let stream = stream.map_err(request)?;
        let purge = stream.purge().filter(subject::lease(gateway)).sequence(revision + 1);
        purge.await.map(|_| ()).map_err(request)
    }
}
