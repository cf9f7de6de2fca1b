//! The services as the control stream has them, ready to be visited.
//!
//! Must not know tokens or principals: their changes only move the sequence.

use domain::aggregate::Entry;
use domain::directory::{Directory, Snapshot};
use matcher::Index;

/// The live services, as of a control sequence.
#[derive(Debug, Default)]
pub struct Catalog {
    /// The control sequence applied.
    pub sequence: u64,
    /// The live services.
    pub index: Index,
}

impl Catalog {
    /// The catalog of a directory as it is.
    pub fn of(directory: &Directory) -> Self {
        let mut catalog = Self { sequence: directory.sequence(), index: Index::default() };
        directory.services().for_each(|service| catalog.index.put(entry(service)));
        catalog
    }

    /// Applies a change; true if services may have gone.
    pub fn apply(&mut self, sequence: u64, snapshot: &Snapshot) -> bool {
        self.sequence = sequence;
        match snapshot {
            Snapshot::Service(_, Entry::Live(service)) => self.index.put(entry(service)),
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

fn entry(service: &domain::service::Service) -> matcher::Entry {
    matcher::Entry {
        team: service.team,
        service: service.id,
        disabled: service.disabled,
        filters: std::sync::Arc::clone(&service.filters),
        maintenance: std::sync::Arc::clone(&service.maintenance),
    }
}
