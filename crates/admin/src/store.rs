//! The one writer of configuration.
//!
//! Takes commands in turn, decides each on the state that the ones before have left, appends
//! what they give as one group to the journal, relays it to GANDER_CONTROL, answers. A failing
//! journal ends the process. Must not know gRPC.

use std::sync::{Arc, RwLock};

use domain::aggregate::{Actor, Rejection};
use domain::commit::{Change, Commit, Request, Subject};
use domain::directory::Directory;
use domain::time::Timestamp;
use runtime::clock::Clock;
use runtime::journal::checkpoint::{self, Checkpoints, Signed};
use runtime::journal::{self, Head, Journal, Records};
use runtime::nats;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::audit::{moment, record_to};
use wire::stored::control::encode_commit;

use crate::relay::{Relay, Sent};
use crate::requests::{Before, Requests};

/// The most commands that wait.
const QUEUE: usize = 1_024;
/// The most commands in one group.
const GROUP: usize = 256;

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

/// Writes what commands lead to.
pub struct Writer {
    /// Where commits are kept.
    pub journal: Box<dyn Journal>,
    /// What signs how far it is.
    pub checkpoints: Checkpoints,
    /// What brings them to GANDER_CONTROL.
    pub relay: Relay,
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
    sent: Sent,
    done: Answer,
    span: tracing::Span,
}

impl Decided {
    /// Says that it is stored, to the log and to who asked.
    fn stored(self) {
        let Self { commit, done, span, .. } = self;
        let sequence = commit.sequence;
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
        let records: Vec<_> = decided.iter().map(|one| one.sent.record()).collect();
        let at = moment(self.clock.now());
        let begun = Instant::now();
        let appended = tokio::task::spawn_blocking(move || -> Result<Self, Fatal> {
            let head = self.journal.append(expected.sequence, &records)?;
            // Before anybody is told: so whatever is in GANDER_CONTROL was signed.
            self.checkpoints.sign(head, &at)?;
            Ok(self)
        });
        let appended = appended.await.map_err(|panic| journal::Error::Failed(panic.to_string()))?;
        metrics::histogram!("gander_admin_journal_seconds").record(begun.elapsed().as_secs_f64());
        appended
    }

    /// Relays the commits of a group, and answers each command once what it rests on is stored.
    /// Who is not answered is told that nothing is known.
    async fn publish(
        &self,
        group: Group,
        relayed: &watch::Sender<u64>,
        stop: &CancellationToken,
    ) -> Result<(), Fatal> {
        let commits: Vec<_> = group.decided.iter().map(|one| one.sent.clone()).collect();
        let mut waiting = group.decided.into_iter().peekable();
        let stored = |last| {
            relayed.send_replace(last);
            while let Some(one) = waiting.next_if(|one| one.commit.sequence <= last) {
                one.stored();
            }
        };
        let begun = Instant::now();
        self.relay.store(&commits, stop, stored).await?;
        if !commits.is_empty() {
            metrics::histogram!("gander_admin_relay_seconds").record(begun.elapsed().as_secs_f64());
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
            if let Some(known) = self.repeat(&command, at) {
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
            let left = self.directory.snapshot(commit.changes[0].subject());
            let sent = Sent::new(&commit, record, &left);
            group.decided.push(Decided { commit, sent, done, span: command.span });
        }
        group
    }

    /// The answer to a request that was carried out before.
    fn repeat(&self, command: &Command, now: Timestamp) -> Option<Result<Done, Error>> {
        Some(match self.requests.before(command.actor, command.request?, now)? {
            Before::Same(known) => {
                Ok(Done { sequence: known.sequence, repeat_of: Some(known.subject) })
            }
            Before::Another => Err(Error::RequestReused),
        })
    }
}
