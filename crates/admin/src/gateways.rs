//! The gateways that a change must reach: those with a lease, and those of the build before, which
//! have none and only beat.
//!
//! Must not know what a change is.

use std::collections::{BTreeMap, BTreeSet};

use domain::id::InstanceId;
use domain::lease::PATIENCE;
use runtime::nats::members::Members;

use crate::leases::Leases;

/// The gateways. Cheap to clone.
#[derive(Clone)]
pub struct Gateways {
    /// Those with a lease.
    pub leases: Leases,
    /// Those that beat: of this build and of the one before.
    pub beats: Members,
}

impl Gateways {
    /// Waits until every gateway acts on this change or refuses everything.
    ///
    /// # Errors
    /// The time is up: these are not known to.
    pub async fn act_on(&self, sequence: u64) -> Result<(), Vec<InstanceId>> {
        let begun = self.leases.now();
        let leases = tokio::time::timeout(PATIENCE, self.leases.settled(sequence));
        let (settled, heard) = tokio::join!(leases, self.beats.all_at_least(sequence, PATIENCE));
        if settled.is_ok() && heard {
            return Ok(());
        }
        let beats = self.beats.living();
        let silent = beats.into_iter().filter(|(_, said)| *said < sequence).map(|(id, _)| id);
        let behind: BTreeSet<_> =
            self.leases.behind(sequence, begun).into_iter().chain(silent).collect();
        Err(behind.into_iter().collect())
    }

    /// Those that live, each with the change that it acts on.
    #[must_use]
    pub fn living(&self) -> BTreeMap<InstanceId, u64> {
        let mut living = self.beats.living();
        living.extend(self.leases.living());
        living
    }

    /// Waits until one comes, goes or says something else. Cancel-safe.
    pub async fn changed(&mut self) {
        tokio::select! {
            () = self.leases.changed() => {}
            () = self.beats.changed() => {}
        }
    }
}
