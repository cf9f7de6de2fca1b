//! The services as the control stream has them, ready to be visited.
//!
//! Must not know tokens or principals: their changes only move the sequence.

use domain::aggregate::Entry;
use domain::directory::{Directory, Snapshot};
use matcher::Index;
use wire::partition::Partitions;

/// The live services, as of a control sequence.
#[derive(Debug)]
pub struct Catalog {
    /// The control sequence applied.
    pub sequence: u64,
    /// How many partitions there are.
    partitions: Partitions,
    /// The live services.
    pub index: Index,
}

impl Catalog {
    /// The catalog of a directory as it is.
    pub fn of(directory: &Directory, partitions: Partitions) -> Self {
        let index = Index::of(directory.services().map(|service| entry(service, partitions)));
        Self { sequence: directory.sequence(), partitions, index }
    }

    /// Applies a change; true if services may have gone.
    pub fn apply(&mut self, sequence: u64, snapshot: &Snapshot) -> bool {
        self.sequence = sequence;
        match snapshot {
            Snapshot::Service(_, Entry::Live(service)) => {
                self.index.put(entry(service, self.partitions))
            }
            Snapshot::Service(id, Entry::Deleted | Entry::Absent) => self.index.remove(*id),
            Snapshot::Team(id, Entry::Deleted | Entry::Absent) => self.index.remove_team(*id),
            Snapshot::Team(_, Entry::Live(_))
            | Snapshot::Token(..)
            | Snapshot::Principal(..)
            | Snapshot::Installation => return false,
        }
        !matches!(snapshot, Snapshot::Service(_, Entry::Live(_)))
    }
}

fn entry(service: &domain::service::Service, partitions: Partitions) -> matcher::Entry {
    matcher::Entry {
        team: service.team,
        service: service.id,
        shard: partitions.of(service.team).0,
        disabled: service.disabled,
        filters: std::sync::Arc::clone(&service.filters),
        maintenance: std::sync::Arc::clone(&service.maintenance),
    }
}
