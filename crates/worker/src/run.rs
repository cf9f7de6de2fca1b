//! The loop of a worker: take partitions, read, fold, commit, tell; repeat.
//!
//! One task owns everything, so that nothing is shared. Must not know how any of it is done.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::filter::Key;
use domain::id::InstanceId;
use runtime::lifecycle::Shutdown;
use runtime::nats::ask::{Question, Questions};
use runtime::nats::members::{BEAT, Members, Role};
use runtime::nats::{self, Message, Nats, Reader, Start};
use runtime::ops::Checks;
use runtime::own_thread::{self, on_own_thread};
use runtime::parts::Parts;
use runtime::random::id_bytes;
use runtime::view::{self, Follower};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use wire::stored::member;
use wire::subject;

use crate::asked::Asked;
use crate::catalog::{Catalog, warn_of};
use crate::commit::Committed;
use crate::membership::wanted;
use crate::owner::Owner;
use crate::rebuilding::Rebuilding;
use crate::takeover;

const IDLE_CHECKPOINT: Duration = Duration::from_secs(1);
/// The most questions that wait: who asks has given up on older ones.
const ASKED: usize = 8;
/// How long who asks waits for answers.
const EXPLAIN_PATIENCE: Duration = Duration::from_secs(2);
/// For how long at a time questions are answered, but for the service that is begun.
const EXPLAIN_TURN: Duration = Duration::from_millis(50);
const EXPLAIN_PAUSE: Duration = Duration::from_millis(5);
/// For how many times as long as it took to answer questions none is answered.
const EXPLAIN_SHARE: u32 = 4;
/// For how many times as long as the last fold and its commit took more may gather while nobody waits for an
/// outcome, and for how long at most: a commit costs the broker about as much, however little is in it.
const GATHER_SHARE: u32 = 12;
const GATHER: Duration = Duration::from_millis(30);
const PURGE: Duration = Duration::from_secs(5);
/// After a fence was lost, the other worker is given this long to show itself.
const GRACE: Duration = Duration::from_millis(500);

/// Settings of a worker.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Config {
    /// For how many seconds after the first, identical payloads of an incident without a mapped
    /// value are duplicates, 0 to 86,400. The same for all workers.
    #[arg(
        long,
        env = "GANDER_IDENTICAL_WINDOW_SECONDS",
        value_name = "SECONDS",
        default_value_t = 300,
        value_parser = clap::value_parser!(u64).range(0..=86_400)
    )]
    pub identical_window_seconds: u64,

    /// Paths whose values are not shown in the API log; the same as of the gateways.
    #[arg(skip)]
    pub api_log_redact: Vec<Key>,
}

/// Why a worker stops: a person must look at it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server takes messages that are too small.
    #[error(
        "nats-server takes messages of at most {found} bytes, {LEAST_MAX_PAYLOAD} are needed: raise max_payload"
    )]
    MaxPayload {
        /// What the server takes.
        found: usize,
    },
    /// A partition cannot be owned without risk.
    #[error(transparent)]
    Takeover(#[from] takeover::Error),
    /// The configuration cannot be followed.
    #[error(transparent)]
    View(#[from] view::Error),
    /// The broker cannot be reached at the start.
    #[error(transparent)]
    Nats(#[from] nats::Error),
    /// There is no thread to work on, or no more.
    #[error(transparent)]
    Thread(#[from] own_thread::Error),
}

/// Runs a worker until it is asked to stop.
///
/// # Errors
/// See [`Error`].
pub async fn run(config: Config, parts: Parts, shutdown: Shutdown) -> Result<(), Error> {
    let found = parts.nats.max_payload();
    if found < LEAST_MAX_PAYLOAD {
        return Err(Error::MaxPayload { found });
    }
    parts.check_broker("worker broker");
    let Parts { clock, random, nats, streams, checks, tracer, facts } = parts;
    register_metrics();
    let ids = Arc::clone(&clock);
    let fresh_id = Box::new(move || id_bytes(ids.now(), &*random));
    let me = InstanceId::from_bytes(fresh_id());
    let members = nats.members(Role::Worker).await?;
    let (follower, directory) = Follower::start(&nats).await?;
    let catalog = Catalog::of(&directory, streams.partitions);
    warn_of(catalog.index.compiled().unselective());
    let mut owner = Owner::new(nats.clone(), me, streams, matcher::evaluate, fresh_id, catalog);
    owner.identical_window = Duration::from_secs(config.identical_window_seconds);
    owner.redact = config.api_log_redact;
    owner.tracer = tracer;
    let pulse = checks.pulse("worker");
    owner.pulse = pulse.clone();
    let lag = tokio::spawn(owner.oldest.clone().tell(clock));
    let applied = Arc::new(AtomicU64::new(owner.catalog.sequence));
    let known = Arc::clone(&applied);
    let member = move || facts.member(member::Role::Worker, me, known.load(Ordering::Relaxed));
    nats.answer_roll_calls(member).await?;
    let mut worker = Worker {
        owner,
        checks,
        members,
        follower,
        applied,
        reader: None,
        questions: nats.questions(subject::EXPLAIN).await?,
        asked: VecDeque::new(),
        explain_after: Instant::now(),
        take_after: Instant::now(),
        gather_until: Instant::now(),
        rebuilding: Rebuilding::new(),
    };
    let beat = tokio::spawn(beat(nats.clone(), me));
    // Folding never waits: it keeps neither the connection to the broker nor heartbeats nor probes from
    // their turn, however large an alert is.
    let work = pulse.beating(async move { worker.run(&shutdown).await });
    let ended = on_own_thread("worker", work).await;
    beat.abort();
    lag.abort();
    nats.leave(Role::Worker, me).await;
    ended?
}

/// An event with the longest description, payload and title, each byte of it escaped, is shorter.
const LEAST_MAX_PAYLOAD: usize = 256 * 1024;

/// Until when more may gather after a commit that took so long.
fn gather_until(began: Instant, ended: Instant) -> Instant {
    ended + GATHER.min(GATHER_SHARE * (ended - began))
}

/// What is counted is there from the start, so that its first increase is seen.
fn register_metrics() {
    for name in [
        "gander_worker_events_total",
        "gander_worker_parked_total",
        "gander_worker_input_gaps_total",
        "gander_worker_fences_lost_total",
        "gander_api_log_lost_parts_total",
    ] {
        metrics::counter!(name).increment(0);
    }
}

async fn beat(nats: Nats, me: InstanceId) {
    let mut tick = interval(BEAT);
    loop {
        tick.tick().await;
        nats.beat(Role::Worker, me, 0).await;
    }
}

struct Worker {
    owner: Owner<Nats>,
    checks: Checks,
    members: Members,
    follower: Follower,
    /// The control sequence applied, for who asks.
    applied: Arc<AtomicU64>,
    reader: Option<Reader>,
    /// What alerts would come to.
    questions: Questions,
    /// Questions that are not answered yet.
    asked: VecDeque<(Question, Asked, Instant)>,
    /// No question is answered before this.
    explain_after: Instant,
    take_after: Instant,
    /// What nobody waits for is not folded before this.
    gather_until: Instant,
    rebuilding: Rebuilding,
}

enum Woken {
    Control(u64, domain::directory::Snapshot),
    Rebuilt(matcher::Rebuilt),
    Input(Message),
    Asked(Question),
    Explain,
    Members,
    Tick,
    Purge,
    More,
    Stop,
}

impl Worker {
    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Error> {
        let mut tick = interval(IDLE_CHECKPOINT);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut purge = interval(PURGE);
        purge.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Who lives has said so by then: a newcomer takes its share, not everything.
        tokio::time::sleep(2 * BEAT).await;
        self.take_partitions().await?;
        self.checks.started("worker");
        loop {
            match self.wait(&mut tick, &mut purge, shutdown).await? {
                Woken::Stop => return Ok(()),
                Woken::Control(sequence, snapshot) => {
                    self.owner.apply(sequence, &snapshot);
                    self.applied.store(sequence, Ordering::Relaxed);
                }
                Woken::Rebuilt(made) => self.owner.catalog.adopt(made),
                Woken::Input(message) => self.read(&message),
                Woken::Asked(question) => self.ask(question),
                Woken::Explain | Woken::More => {}
                Woken::Members => self.take_partitions().await?,
                Woken::Tick => {
                    self.take_partitions().await?;
                    let committed = self.owner.commit_idle(&shutdown.hard).await;
                    self.after(committed);
                    self.owner.measure();
                }
                Woken::Purge => self.owner.purge().await,
            }
            self.fold(&shutdown.hard).await;
            self.explain().await;
        }
    }

    /// Folds and commits what has arrived, unless more may gather.
    async fn fold(&mut self, hard: &CancellationToken) {
        let began = Instant::now();
        if self.owner.may_gather() && began < self.gather_until {
            return;
        }
        let committed = self.owner.fold(hard).await;
        self.after(committed);
        self.gather_until = gather_until(began, Instant::now());
    }

    /// Lets a question wait; the oldest goes where there are too many.
    fn ask(&mut self, question: Question) {
        if let Some(asked) = Asked::read(&question.payload) {
            while self.asked.len() >= ASKED {
                self.asked.pop_front();
            }
            self.asked.push_back((question, asked, Instant::now() + EXPLAIN_PATIENCE));
        }
    }

    /// Answers what is asked for a while, as far as the configuration is known and somebody waits.
    async fn explain(&mut self) {
        let began = Instant::now();
        if self.asked.is_empty() || began < self.explain_after {
            return;
        }
        self.asked.retain(|(_, _, until)| began < *until);
        let enough = || began.elapsed() >= EXPLAIN_TURN;
        for (question, asked, _) in &mut self.asked {
            for answer in self.owner.explain(asked, enough).unwrap_or_default() {
                question.answer(answer).await;
            }
            if enough() {
                break;
            }
        }
        self.asked.retain(|(_, asked, _)| !asked.is_done());
        // Alerts come first: explaining has a small part of the time.
        let pause = EXPLAIN_PAUSE.max(EXPLAIN_SHARE * began.elapsed());
        self.explain_after = Instant::now() + pause;
    }

    async fn wait(
        &mut self,
        tick: &mut tokio::time::Interval,
        purge: &mut tokio::time::Interval,
        shutdown: &Shutdown,
    ) -> Result<Woken, Error> {
        let reading = self.owner.has_room();
        let input = async {
            match &mut self.reader {
                Some(reader) if reading => reader.next().await,
                Some(_) | None => std::future::pending().await,
            }
        };
        let gathered = async {
            if self.owner.may_gather() {
                sleep_until(self.gather_until).await;
            }
        };
        // The rare first and the endless last: input may always be there.
        Ok(tokio::select! {
            biased;
            () = shutdown.soft.cancelled() => Woken::Stop,
            _ = purge.tick() => Woken::Purge,
            _ = tick.tick() => Woken::Tick,
            () = self.members.changed() => Woken::Members,
            changed = self.follower.next() => {
                let (sequence, snapshot) = changed?;
                Woken::Control(sequence, snapshot)
            }
            made = self.rebuilding.next(&self.owner.catalog.index) => Woken::Rebuilt(made),
            Some(question) = self.questions.next() => Woken::Asked(question),
            () = sleep_until(self.explain_after), if !self.asked.is_empty() => Woken::Explain,
            message = input => Woken::Input(message),
            () = gathered, if self.owner.has_more() => Woken::More,
        })
    }

    /// Lets go what others should own, takes what this worker should.
    async fn take_partitions(&mut self) -> Result<(), Error> {
        let living = self.members.living();
        let wanted = wanted(self.owner.me, living.into_keys(), self.owner.streams.partitions);
        self.owner.owned.retain(|partition, _| wanted.contains(partition));
        if Instant::now() < self.take_after {
            return Ok(());
        }
        let mut taken = 0;
        for partition in wanted {
            if self.owner.owned.contains_key(&partition) {
                continue;
            }
            match self.owner.take(partition).await {
                Ok(()) => taken += 1,
                Err(error) if error.is_transient() => {
                    tracing::warn!(partition = partition.0, %error, "a partition is not taken yet");
                    self.take_after = Instant::now() + GRACE;
                    if !error.is_conflict() {
                        break;
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        if taken > 0 {
            tracing::info!(taken, owned = self.owner.owned.len(), "partitions are taken");
            self.restart_reading();
        }
        Ok(())
    }

    fn restart_reading(&mut self) {
        self.reader = self.owner.restart().map(|sequence| {
            let start = Start::Sequence(sequence);
            Reader::new(&self.owner.broker, subject::ALERTS_STREAM, subject::ALERTS, start)
        });
    }

    fn read(&mut self, message: &Message) {
        self.owner.push(message);
        while self.owner.has_room() {
            let Some(message) = self.reader.as_mut().and_then(Reader::try_next) else {
                return;
            };
            self.owner.push(&message);
        }
    }

    /// After a lost fence, what was folded on top of it is read again.
    fn after(&mut self, committed: Committed) {
        if committed == Committed::FenceLost {
            self.take_after = Instant::now() + GRACE;
            self.restart_reading();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_gathers_for_a_share_of_the_last_commit_and_never_for_long() {
        let began = Instant::now();
        for (took, gathers) in [(0, 0), (1, 12), (2, 24), (3, 30), (5_000, 30)] {
            let ended = began + Duration::from_millis(took);
            assert_eq!(gather_until(began, ended) - ended, Duration::from_millis(gathers));
        }
    }
}
