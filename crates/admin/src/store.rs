//! The one writer of configuration.
//!
//! Takes commands in turn, decides each on the state that the ones before have left, appends
//! what they give as one group to the journal, relays it to GANDER_CONTROL, answers. A failing
//! journal ends the process. Must not know gRPC.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use bytes::Bytes;
use domain::aggregate::{Actor, Rejection};
use domain::commit::{Change, Commit, Request, Subject};
use domain::directory::{Directory, Snapshot};
use domain::time::Timestamp;
use runtime::clock::Clock;
use runtime::journal::checkpoint::{self, Checkpoints, Signed};
use runtime::journal::{self, Head, Journal, Records};
use runtime::nats::publish::{self, Expect};
use runtime::nats::{self, Nats};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use wire::audit::{moment, record_to};
use wire::stored::control::{encode_commit, encode_message};
use wire::subject;

/// The most commands that wait.
const QUEUE: usize = 256;
/// The most commands in one group.
const GROUP: usize = 128;
/// How long a repeated request is known.
const REQUEST_MEMORY: Duration = Duration::from_secs(24 * 60 * 60);
const RELAY_DEADLINE: Duration = Duration::from_secs(2);
const BACK_OFF: Duration = Duration::from_millis(500);

/// What it leads to in a state and at a time, which is that of the commit: a command may have waited.
type Decide = Box<dyn FnOnce(&Directory, Timestamp) -> Result<Vec<Change>, Rejection> + Send>;

/// A command: who asks, the request if it has an id, and what it leads to.
pub struct Command {
    /// Who asks.
    pub actor: Actor,
    /// The request, if it has an id.
    pub request: Option<Request>,
    /// What it leads to in the state that it meets.
    pub decide: Decide,
    /// Where it is told from: with the id of its trace, if it has one.
    pub span: tracing::Span,
}

/// A command that was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// The number of the commit, or of the last one where nothing had to change.
    pub sequence: u64,
    /// What an earlier request with the same id touched, if this is a repeat.
    pub repeat_of: Option<Subject>,
}

/// Why a command was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is refused.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The request id was used for something else.
    #[error("the request id was used for another request")]
    RequestReused,
    /// It is not known to be carried out in time.
    #[error("it is not known to be carried out")]
    Unavailable,
}

/// Why the store ends: the process must end with it.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// Its head cannot be signed.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// GANDER_CONTROL has something else than the journal.
    #[error(
        "commit {0} in the journal is not the one in GANDER_CONTROL: somebody else writes there; keep both and decide which is right"
    )]
    Diverged(u64),
    /// The broker refuses.
    #[error(transparent)]
    Nats(#[from] nats::Error),
    /// The process stops; what is in the journal is relayed at the next start.
    #[error("the process stops")]
    Stopping,
}

type Job = (Command, Answer);

/// Takes commands, and shows what is configured. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
    shown: Arc<RwLock<Directory>>,
    records: Arc<dyn Records>,
    relayed: watch::Receiver<u64>,
    signed: Signed,
}

impl Store {
    /// Carries out a command: it is durable in the journal and stored in GANDER_CONTROL when
    /// this returns.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn execute(&self, command: Command) -> Result<Done, Error> {
        let (done, answer) = oneshot::channel();
        self.jobs.try_send((command, done)).map_err(|_| Error::Unavailable)?;
        answer.await.map_err(|_| Error::Unavailable)?
    }

    /// Reads what is configured, as far as it is durable.
    pub fn read<T>(&self, read: impl FnOnce(&Directory) -> T) -> T {
        read(&self.shown.read().expect("no holder of this lock panics"))
    }

    /// The journal's records. Those after the number of what [`Self::read`] shows may not last.
    pub fn records(&self) -> Arc<dyn Records> {
        Arc::clone(&self.records)
    }

    /// The checkpoints: what [`Self::relayed`] tells is covered by them.
    pub const fn signed(&self) -> &Signed {
        &self.signed
    }

    /// The number of the last commit that is known to be in GANDER_CONTROL, as it grows.
    pub fn relayed(&self) -> watch::Receiver<u64> {
        self.relayed.clone()
    }
}

/// What is known of a request that was carried out.
#[derive(Clone, Copy, Debug)]
struct Remembered {
    digest: [u8; 32],
    at: Timestamp,
    sequence: u64,
    subject: Subject,
}

/// Requests that were carried out within the last 24 hours, by who asked and the id.
#[derive(Debug, Default)]
pub struct Requests(HashMap<(String, [u8; 16]), Remembered>);

impl Requests {
    /// Remembers the request of a commit.
    pub fn note(&mut self, commit: &Commit) {
        let (Some(request), Some(change)) = (commit.request, commit.changes.first()) else {
            return;
        };
        let known = Remembered {
            digest: request.digest,
            at: commit.at,
            sequence: commit.sequence,
            subject: change.subject(),
        };
        self.0.insert(key(commit.actor, request.id), known);
    }

    fn repeat(&self, command: &Command, now: Timestamp) -> Option<Result<Done, Error>> {
        let request = command.request?;
        let known = self.0.get(&key(command.actor, request.id))?;
        if now.since(known.at) > REQUEST_MEMORY {
            return None;
        }
        if known.digest != request.digest {
            return Some(Err(Error::RequestReused));
        }
        Some(Ok(Done { sequence: known.sequence, repeat_of: Some(known.subject) }))
    }

    fn forget(&mut self, now: Timestamp) {
        self.0.retain(|_, known| now.since(known.at) <= REQUEST_MEMORY);
    }
}

fn key(actor: Actor, id: [u8; 16]) -> (String, [u8; 16]) {
    (format!("{actor:?}"), id)
}

/// Writes what commands lead to.
pub struct Writer {
    /// Where commits are kept.
    pub journal: Box<dyn Journal>,
    /// What signs how far it is.
    pub checkpoints: Checkpoints,
    /// The connection.
    pub nats: Nats,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// What is configured.
    pub directory: Directory,
    /// Requests carried out lately.
    pub requests: Requests,
}

type Answer = oneshot::Sender<Result<Done, Error>>;

/// What a group of commands leads to.
#[derive(Default)]
struct Group {
    decided: Vec<Decided>,
    /// Answers that need no commit of their own. They may rest on commits of the group, so they
    /// wait until these are stored.
    settled: Vec<(Answer, Result<Done, Error>)>,
}

struct Decided {
    commit: Commit,
    record: Bytes,
    snapshot: Snapshot,
    done: Answer,
    span: tracing::Span,
}

impl Writer {
    /// Starts to take commands; the future runs until the process stops.
    pub fn start(
        self,
        stop: CancellationToken,
    ) -> (Store, impl Future<Output = Result<(), Fatal>> + Send) {
        let (jobs, receiver) = mpsc::channel(QUEUE);
        let shown = Arc::new(RwLock::new(self.directory.clone()));
        let records = self.journal.records();
        // Whatever the journal had was relayed before.
        let (known, relayed) = watch::channel(self.directory.sequence());
        let signed = self.checkpoints.shown();
        let store = Store { jobs, shown: Arc::clone(&shown), records, relayed, signed };
        (store, self.run(receiver, shown, known, stop))
    }

    async fn run(
        mut self,
        mut jobs: mpsc::Receiver<Job>,
        shown: Arc<RwLock<Directory>>,
        relayed: watch::Sender<u64>,
        stop: CancellationToken,
    ) -> Result<(), Fatal> {
        loop {
            let first = tokio::select! {
                first = jobs.recv() => first,
                () = stop.cancelled() => return Ok(()),
            };
            let Some(first) = first else { return Ok(()) };
            let mut commands = vec![first];
            while commands.len() < GROUP
                && let Ok(next) = jobs.try_recv()
            {
                commands.push(next);
            }
            self.requests.forget(self.clock.now());
            let expected = self.journal.head();
            let group = self.decide(commands, expected);
            self = self.append(expected, &group.decided).await?;
            for one in &group.decided {
                shown.write().expect("no holder of this lock panics").apply(&one.commit);
            }
            match self.publish(group, &relayed, &stop).await {
                Err(Fatal::Stopping) => return Ok(()),
                published => published?,
            }
        }
    }

    async fn append(mut self, expected: Head, decided: &[Decided]) -> Result<Self, Fatal> {
        if decided.is_empty() {
            return Ok(self);
        }
        let records: Vec<_> = decided.iter().map(|one| one.record.clone()).collect();
        let at = moment(self.clock.now());
        let appended = tokio::task::spawn_blocking(move || -> Result<Self, Fatal> {
            let head = self.journal.append(expected.sequence, &records)?;
            // Before anybody is told: so whatever is in GANDER_CONTROL was signed.
            self.checkpoints.sign(head, &at)?;
            Ok(self)
        });
        appended.await.map_err(|panic| journal::Error::Failed(panic.to_string()))?
    }

    /// Relays the commits of a group, and answers each command once what it rests on is stored.
    /// Who is not answered is told that nothing is known.
    async fn publish(
        &self,
        group: Group,
        relayed: &watch::Sender<u64>,
        stop: &CancellationToken,
    ) -> Result<(), Fatal> {
        for Decided { commit, record, snapshot, done, span } in group.decided {
            let sequence = commit.sequence;
            relay(&self.nats, &commit, record, &snapshot, stop).await?;
            relayed.send_replace(sequence);
            tracing::debug!(parent: &span, change = sequence, changes = ?commit.changes, "stored");
            let told = record_to(&commit, [0; 32], None);
            let kinds: Vec<_> = told.changes.iter().map(|change| change.kind.as_str()).collect();
            tracing::info!(
                parent: &span,
                change = sequence,
                actor = told.actor,
                kind = kinds.join(","),
                resource = told.resource,
                "a change is stored"
            );
            let _ = done.send(Ok(Done { sequence, repeat_of: None }));
        }
        for (done, result) in group.settled {
            let _ = done.send(result);
        }
        Ok(())
    }

    /// Decides commands in their order, each on the state that the ones before have left.
    fn decide(&mut self, commands: Vec<Job>, mut head: Head) -> Group {
        let mut group = Group::default();
        for (command, done) in commands {
            // Who gave up was told that nothing is known: then nothing need happen.
            if done.is_closed() {
                continue;
            }
            let at = self.clock.now();
            if let Some(known) = self.requests.repeat(&command, at) {
                group.settled.push((done, known));
                continue;
            }
            let changes = match (command.decide)(&self.directory, at) {
                Ok(changes) if changes.is_empty() => {
                    let sequence = self.directory.sequence();
                    group.settled.push((done, Ok(Done { sequence, repeat_of: None })));
                    continue;
                }
                Ok(changes) => changes,
                Err(rejection) => {
                    group.settled.push((done, Err(rejection.into())));
                    continue;
                }
            };
            let commit = Commit {
                sequence: head.sequence + 1,
                previous_hash: head.hash,
                at,
                actor: command.actor,
                request: command.request,
                changes,
            };
            let record = encode_commit(&commit);
            head = head.after(&record);
            self.directory.apply(&commit);
            self.requests.note(&commit);
            let snapshot = self.directory.snapshot(commit.changes[0].subject());
            group.decided.push(Decided { commit, record, snapshot, done, span: command.span });
        }
        group
    }
}

/// Stores a commit in GANDER_CONTROL at its own number, however long that takes.
pub async fn relay(
    nats: &Nats,
    commit: &Commit,
    record: Bytes,
    snapshot: &Snapshot,
    stop: &CancellationToken,
) -> Result<(), Fatal> {
    let subject = subject::control(commit.changes[0].subject());
    let message = encode_message(record.clone(), snapshot);
    loop {
        let expect = Some(Expect::LastSequence(commit.sequence - 1));
        let sent = nats.publish(subject.clone(), &[], message.clone(), expect, RELAY_DEADLINE);
        match sent.await {
            Ok(sequence) if sequence == commit.sequence => return Ok(()),
            Ok(_) => return Err(Fatal::Diverged(commit.sequence)),
            Err(error @ publish::Error::Conflict(_)) => {
                tracing::warn!(%error, commit = commit.sequence, "a commit is not relayed yet");
                match crate::start::stored_record(nats, commit.sequence).await {
                    Ok(stored) if stored == record => return Ok(()),
                    Ok(_) => return Err(Fatal::Diverged(commit.sequence)),
                    // In a cluster a server that is behind may say that there is none: asked again.
                    Err(error) => tracing::warn!(%error, "it is not known what is there"),
                }
            }
            Err(error) => {
                tracing::warn!(%error, commit = commit.sequence, "a commit is not relayed yet")
            }
        }
        tokio::select! {
            () = tokio::time::sleep(BACK_OFF) => {}
            () = stop.cancelled() => return Err(Fatal::Stopping),
        }
    }
}
