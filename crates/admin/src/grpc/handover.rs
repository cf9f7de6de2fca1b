//! Records that admin puts among the alerts: handed over to the owners of their partitions, whose
//! outcome is awaited.
//!
//! Must not know what a record means or who asked for it.

use std::time::Duration;

use domain::incident::Flags;
use runtime::ingest::Ingest;
use runtime::outcomes::Outcomes;
use tonic::Status;
use wire::partition::Partitions;
use wire::stored::alert::{Content, Record};

use super::error;
use super::traced::place;

const OUTCOME_DEADLINE: Duration = Duration::from_secs(2);

/// Hands records over. Cheap to clone.
#[derive(Clone)]
pub struct Handover {
    /// Where records are stored.
    pub ingest: Ingest,
    /// Where outcomes are awaited.
    pub outcomes: Outcomes,
    /// How many partitions there are.
    pub partitions: Partitions,
}

impl Handover {
    /// Stores a record and gives what it came to, once its owners have stored that.
    ///
    /// # Errors
    /// `UNAVAILABLE`: it may be carried out later, or not at all.
    pub async fn carry_out(&self, content: Content) -> Result<Flags, Status> {
        let covered = content.partitions(self.partitions);
        let partition = content.team().map(|team| self.partitions.of(team));
        let mut awaited = self.outcomes.expect(content.id(), covered);
        let record = Record { partition, outcome_wanted: true, content, trace: place() };
        let stored = self.ingest.store(record, covered, ()).await;
        stored.map_err(|_| error::unavailable("it is not known to be carried out: ask again"))?;
        tokio::time::timeout(OUTCOME_DEADLINE, awaited.outcome())
            .await
            .map_err(|_| error::outcome_pending())
    }
}
