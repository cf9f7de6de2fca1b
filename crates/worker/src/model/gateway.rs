//! Gateways: the loop that they store records with, over the model, and what their clients are told.
//!
//! Must not know workers, nor what must hold.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::id::AlertId;
use runtime::ingest::{Error, Ingest, Settings};
use tokio::task::JoinHandle;
use wire::stored::alert::{Content, Record};

use super::broker::Model;
use super::world::{GATEWAY, Recipe, Say, World, streams};

const SETTINGS: Settings =
    Settings { queue: 8, deadline: Duration::from_millis(800), message_bytes: 600 };
/// So often a record is tried where nothing goes wrong any more; the first may meet what is left of it.
const ATTEMPTS: usize = 5;
/// No step of a gateway is its last; it is killed from outside.
const IMMORTAL: u64 = u64::MAX;

/// What a client is told: the sequence of its record's message, or why there is none; nothing where it
/// has gone away or the gateway was killed.
type Answer = Option<Result<u64, Error>>;

/// What was told of each record.
#[derive(Clone, Debug, Default)]
pub struct Told(Arc<Mutex<BTreeMap<AlertId, Answer>>>);

impl Told {
    /// All of it.
    pub fn all(&self) -> BTreeMap<AlertId, Answer> {
        self.0.lock().unwrap().clone()
    }

    fn note(&self, id: AlertId, said: Answer) {
        self.0.lock().unwrap().insert(id, said);
    }
}

/// A gateway that runs by itself.
pub struct Gateway {
    ingest: Ingest,
    applied: Arc<AtomicU64>,
    commits: JoinHandle<()>,
    told: Told,
}

impl Gateway {
    /// Starts one that has seen the configuration as it is.
    pub fn start(model: &Model, world: &World, told: &Told) -> Self {
        let applied = Arc::new(AtomicU64::new(world.sequence()));
        let known = Arc::clone(&applied);
        let known = move || known.load(Ordering::SeqCst);
        let (ingest, commits) = Ingest::start(model.connect(IMMORTAL), GATEWAY, SETTINGS, known);
        Self { ingest, applied, commits: tokio::spawn(commits), told: told.clone() }
    }

    /// Follows the configuration to its end.
    pub fn follow(&self, world: &World) {
        self.applied.store(world.sequence(), Ordering::SeqCst);
    }

    /// Takes records, each from a client of its own that waits no longer than this.
    pub fn take(&self, records: Vec<Record>, patience: Duration) {
        for record in records {
            let id = match &record.content {
                Content::Alert(alert) => alert.id,
                Content::Resolve(command) | Content::Acknowledge(command) => command.id,
            };
            self.told.note(id, None);
            let partitions = record.content.partitions(streams().partitions);
            let (ingest, told) = (self.ingest.clone(), self.told.clone());
            tokio::spawn(async move {
                let stored =
                    tokio::time::timeout(patience, ingest.store(record, partitions, ())).await;
                told.note(id, stored.ok());
            });
        }
    }

    /// Kills it where it is.
    pub fn kill(self) {
        assert!(!self.commits.is_finished(), "a gateway does not end by itself");
        self.commits.abort();
    }

    /// Stores a record, since its broker is well again.
    pub async fn works(&self, world: &mut World) {
        assert!(!self.commits.is_finished(), "a gateway does not end by itself");
        let alert = Recipe::Alert { reach: 0, say: Say::Note(0), after: 1 };
        for _ in 0..ATTEMPTS {
            let Some(record) = world.records(&[alert]).pop() else { continue };
            let partitions = record.content.partitions(streams().partitions);
            if self.ingest.store(record, partitions, ()).await.is_ok() {
                return;
            }
            tokio::time::sleep(SETTINGS.deadline).await;
        }
        panic!("a gateway does not go on");
    }
}
