//! The services as the control stream has them, ready to be visited.
//!
//! Must not know tokens or principals: their changes only move the sequence.

use domain::aggregate::Entry;
use domain::directory::{Directory, Snapshot};
use domain::id::{FilterId, ServiceId};
use matcher::{Index, Rebuilt};
use wire::partition::Partitions;

/// So many filters are named where there are more of a kind.
const SOME: usize = 10;

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

    /// Takes an index of filters that was made anew, and tells of those that it cannot speed up.
    pub fn adopt(&mut self, made: Rebuilt) {
        let before = self.index.adopt(made);
        let unselective = self.index.compiled().unselective();
        if unselective.len() > before.unselective().len() {
            warn_of(unselective);
        }
        // Of many filters it takes a while, and alerts wait.
        tokio::task::spawn_blocking(move || drop(before));
    }
}

/// Filters without a text of their own: many payloads cost a look at each of them.
pub fn warn_of(unselective: &[(ServiceId, FilterId)]) {
    if unselective.is_empty() {
        return;
    }
    let some = unselective.iter().take(SOME);
    let some: Vec<_> = some.map(|(service, filter)| format!("{filter} of {service}")).collect();
    tracing::warn!(
        filters = unselective.len(),
        some = some.join(", "),
        "filters look only for what many others look for: each alert that has it costs a look at all of them (docs/filters.md#cost)"
    );
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
