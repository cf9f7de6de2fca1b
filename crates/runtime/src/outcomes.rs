//! What became of a record: awaited by who wrote it, sent by the workers.
//!
//! Must not know whether anybody answers a client with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use domain::id::{AlertId, InstanceId};
use domain::incident::Flags;
use tokio::sync::oneshot;
use wire::partition::PartitionSet;
use wire::stored::worker::{self, Outcome};
use wire::subject;

use crate::nats::{Error, Nats};

struct Waiting {
    missing: PartitionSet,
    flags: Flags,
    done: oneshot::Sender<Flags>,
}

type Table = Arc<Mutex<HashMap<AlertId, Waiting>>>;

/// Where outcomes are awaited. Cheap to clone.
#[derive(Clone, Default)]
pub struct Outcomes {
    table: Table,
}

/// One awaited outcome; dropped, it is no longer awaited.
pub struct Awaited {
    id: AlertId,
    table: Table,
    done: oneshot::Receiver<Flags>,
}

impl Outcomes {
    /// Listens for outcomes sent to this process.
    ///
    /// # Errors
    /// The connection is closed.
    pub async fn listen(nats: &Nats, instance: InstanceId) -> Result<Self, Error> {
        let mut incoming = nats.subscribe(subject::outcomes(instance)).await?;
        let outcomes = Self::default();
        let table = Arc::downgrade(&outcomes.table);
        tokio::spawn(async move {
            while let Some((_, payload)) = incoming.next().await {
                let Some(table) = table.upgrade() else { return };
                match worker::decode_outcomes(&payload) {
                    Ok(batch) => batch.iter().for_each(|outcome| note(&table, outcome)),
                    Err(error) => tracing::warn!(%error, "outcomes cannot be read"),
                }
            }
        });
        Ok(outcomes)
    }

    /// Awaits what becomes of a record in these partitions. To be called before it is stored.
    #[must_use]
    pub fn expect(&self, id: AlertId, partitions: PartitionSet) -> Awaited {
        let (done, receiver) = oneshot::channel();
        let waiting = Waiting { missing: partitions, flags: Flags::default(), done };
        self.table.lock().expect("no holder of this lock panics").insert(id, waiting);
        Awaited { id, table: Arc::clone(&self.table), done: receiver }
    }
}

fn note(table: &Table, outcome: &Outcome) {
    let mut table = table.lock().expect("no holder of this lock panics");
    let Some(waiting) = table.get_mut(&outcome.id) else {
        return;
    };
    waiting.flags = waiting.flags.union(outcome.flags);
    waiting.missing.0 &= !outcome.partitions.0;
    if waiting.missing.0 == 0
        && let Some(waiting) = table.remove(&outcome.id)
    {
        let _ = waiting.done.send(waiting.flags);
    }
}

impl Awaited {
    /// What became of it, over all its partitions. Never ends if it is never said.
    pub async fn outcome(&mut self) -> Flags {
        match (&mut self.done).await {
            Ok(flags) => flags,
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.table.lock().expect("no holder of this lock panics").remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_outcome_is_known_when_all_partitions_have_said_theirs() {
        let outcomes = Outcomes::default();
        let id = AlertId::from_bytes([1; 16]);
        let mut awaited = outcomes.expect(id, PartitionSet(0b101));
        let created = Flags { created: true, ..Flags::default() };
        let resolved = Flags { resolved: true, ..Flags::default() };
        note(&outcomes.table, &Outcome { id, partitions: PartitionSet(0b011), flags: created });
        assert_eq!(outcomes.table.lock().expect("not poisoned").len(), 1);
        note(&outcomes.table, &Outcome { id, partitions: PartitionSet(0b100), flags: resolved });
        assert_eq!(awaited.outcome().await, created.union(resolved));
    }

    #[test]
    fn what_is_no_longer_awaited_is_forgotten() {
        let outcomes = Outcomes::default();
        drop(outcomes.expect(AlertId::from_bytes([1; 16]), PartitionSet(1)));
        assert!(outcomes.table.lock().expect("not poisoned").is_empty());
    }
}
