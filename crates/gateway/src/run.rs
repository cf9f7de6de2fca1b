//! How a gateway is put together.
//!
//! Must not know how requests are answered.

use std::sync::Arc;
use std::time::Duration;

use domain::id::InstanceId;
use runtime::ingest::{self, Ingest};
use runtime::lifecycle::Shutdown;
use runtime::listen::Listener;
use runtime::nats::{self, Nats};
use runtime::outcomes::Outcomes;
use runtime::own_thread::{self, on_own_thread};
use runtime::parts::Parts;
use runtime::random::id_bytes;
use runtime::view;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::stored::member::Role;

use crate::accept::serve;
use crate::config::{COMMIT_DEADLINE, Config};
use crate::http::{self, Handler, document};
use crate::last_use::LastUse;
use crate::lease;
use crate::log::{self, Log};
use crate::memory::Memory;
use crate::rate::Rates;
use crate::tokens::Tokens;

/// Bytes of a message of GANDER_ALERTS beside the bodies in it.
const BATCH_OVERHEAD: u64 = 64 * 1024;
/// About the most bytes of bodies in a message before the last one.
const BATCH_BYTES: u64 = 2 * 1024 * 1024;

/// Why a gateway stops.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server takes messages that are too small.
    #[error(
        "nats-server takes messages of at most {found} bytes, {needed} are needed: raise max_payload or lower --body-max-bytes"
    )]
    MaxPayload {
        /// What the server takes.
        found: u64,
        /// What is needed.
        needed: u64,
    },
    /// The broker cannot be reached at the start.
    #[error(transparent)]
    Nats(#[from] nats::Error),
    /// The tokens cannot be followed.
    #[error(transparent)]
    View(#[from] view::Error),
    /// A defect.
    #[error("what stores alerts has ended: the log says why")]
    Commits,
    /// There is no thread for the lease, or no more.
    #[error(transparent)]
    Thread(#[from] own_thread::Error),
}

/// Runs a gateway until it is asked to stop: then it is not ready, after a delay takes no new
/// connections, finishes the requests that are begun, and goes.
///
/// # Errors
/// See [`Error`].
pub async fn run(
    config: Config,
    listener: Listener,
    parts: Parts,
    shutdown: Shutdown,
) -> Result<(), Error> {
    let settings = ingest_settings(&config, parts.nats.max_payload())?;
    let me = InstanceId::from_bytes(id_bytes(parts.clock.now(), &*parts.random));
    let served = CancellationToken::new();
    let _served = served.clone().drop_guard();
    let (tokens, mut following) = follow(&parts, me, served.clone()).await?;
    let outcomes = Outcomes::listen(&parts.nats, me).await?;
    let applied = tokens.clone();
    let (ingest, commits) =
        Ingest::start(parts.nats.clone(), me, settings, move || applied.applied());
    let (log, last_use, beside) = Beside::start(&parts.nats, me);
    add_checks(&parts, &tokens, &shutdown);
    register_metrics();
    let draining = Shutdown { soft: CancellationToken::new(), hard: shutdown.hard.clone() };
    let (facts, known) = (parts.facts.clone(), tokens.clone());
    let member = move || facts.member(Role::Gateway, me, known.applied());
    parts.nats.answer_roll_calls(member).await?;
    let handler = Handler {
        config: Arc::new(config.clone()),
        rates: Arc::new(Rates::new(&config)),
        tokens,
        outcomes,
        ingest,
        log,
        last_use,
        memory: Memory::new(config.body_memory_max_bytes.max(config.body_max_bytes)),
        decoders: http::decoders(),
        partitions: parts.streams.partitions,
        clock: parts.clock,
        random: parts.random,
        document: document(&config).to_string().into(),
        checks: parts.checks.clone(),
        leaving: shutdown.soft.clone(),
        draining: draining.soft.clone(),
        tracer: parts.tracer,
        unstored: Arc::default(),
        counts: http::Counts::default(),
    };
    let pulse = parts.checks.pulse("gateway");
    parts.checks.started("gateway");
    let (commits, ended) = told(commits);
    let (leaving, hard) = (draining.soft.clone(), shutdown.hard.clone());
    if let Some(certificate) = listener.tls.clone() {
        tokio::spawn(certificate.follow(shutdown.soft.clone()));
    }
    tokio::spawn(drain_after(config.drain_delay_seconds, shutdown, draining.soft.clone()));
    let serving = async {
        tokio::select! {
            () = serve(listener, &config, handler, draining) => Ok(()),
            ended = &mut following => ended.unwrap_or(Err(own_thread::Error::Panicked.into())),
            () = ended_early(&ended, &leaving) => Err(Error::Commits),
        }
    };
    // All requests are on one thread: what blocks it stops this too.
    pulse.beating(serving).await?;
    let _ = commits.await;
    beside.finish(&hard).await;
    served.cancel();
    let _ = following.await;
    Ok(())
}

/// Who is let in, kept current until `stop` on a thread and a connection of their own: a renewal of the
/// lease waits behind no request, however many there are.
async fn follow(
    parts: &Parts,
    me: InstanceId,
    stop: CancellationToken,
) -> Result<(Tokens, JoinHandle<Result<(), Error>>), Error> {
    let (read, tokens) = oneshot::channel();
    let (nats, clock) = (parts.nats.clone(), Arc::clone(&parts.clock));
    let pulse = parts.checks.pulse("lease");
    let work = async move {
        let nats = nats.another("gander-gateway-lease").await?;
        let (tokens, follow) = Tokens::start(nats, me, clock).await?;
        let _ = read.send(tokens);
        Ok(pulse.beating(follow.run(stop)).await?)
    };
    let following = tokio::spawn(async { on_own_thread("lease", work).await? });
    match tokens.await {
        Ok(tokens) => Ok((tokens, following)),
        Err(_) => match following.await {
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) | Err(_) => Err(own_thread::Error::Panicked.into()),
        },
    }
}

/// A task, and what tells when it has ended, however that was.
fn told(work: impl Future<Output = ()> + Send + 'static) -> (JoinHandle<()>, CancellationToken) {
    let ended = CancellationToken::new();
    let guard = ended.clone().drop_guard();
    let task = tokio::spawn(async move {
        let _guard = guard;
        work.await;
    });
    (task, ended)
}

/// What stores alerts goes on for as long as anybody may send one: before, its end is a defect.
async fn ended_early(ended: &CancellationToken, leaving: &CancellationToken) {
    ended.cancelled().await;
    if leaving.is_cancelled() {
        std::future::pending().await
    }
}

/// How alerts are stored, where the server takes messages that are this long.
fn ingest_settings(config: &Config, max_payload: usize) -> Result<ingest::Settings, Error> {
    let needed = config.body_max_bytes + BATCH_OVERHEAD;
    let found = u64::try_from(max_payload).unwrap_or(u64::MAX);
    let room = found.checked_sub(needed).ok_or(Error::MaxPayload { found, needed })?;
    Ok(ingest::Settings {
        queue: config.ingest_queue_max_records,
        deadline: COMMIT_DEADLINE,
        message_bytes: usize::try_from(BATCH_BYTES.min(room)).unwrap_or(usize::MAX),
    })
}

/// Between the soft stop and the drain, load balancers have time to notice.
async fn drain_after(delay: Duration, shutdown: Shutdown, draining: CancellationToken) {
    shutdown.soft.cancelled().await;
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        () = shutdown.hard.cancelled() => {}
    }
    draining.cancel();
}

/// What is written beside the alerts: the API log and the times of last use.
struct Beside {
    tasks: [JoinHandle<()>; 2],
    served: CancellationToken,
}

impl Beside {
    fn start(nats: &Nats, me: InstanceId) -> (Log, LastUse, Self) {
        let (log, writing) = Log::start(nats.clone(), me);
        let (last_use, served) = (LastUse::default(), CancellationToken::new());
        let noting = last_use.clone().write(nats.clone(), me, served.clone());
        let tasks = [tokio::spawn(writing), tokio::spawn(noting)];
        (log, last_use, Self { tasks, served })
    }

    /// Waits until everything is written, once nothing more comes. Where the process has to stop at
    /// once, what is not is lost.
    async fn finish(self, hard: &CancellationToken) {
        self.served.cancel();
        for mut task in self.tasks {
            tokio::select! {
                _ = &mut task => {}
                () = hard.cancelled() => {
                    task.abort();
                    let _ = task.await;
                }
            }
        }
    }
}

/// What is counted is there from the start, so that its first increase is seen.
fn register_metrics() {
    metrics::counter!("gander_gateway_connections_refused_total").increment(0);
    metrics::gauge!("gander_gateway_connections").increment(0.0);
    http::register_metrics();
    lease::register_metrics();
    log::register_metrics();
}

fn add_checks(parts: &Parts, tokens: &Tokens, shutdown: &Shutdown) {
    parts.check_broker("broker");
    let tokens = tokens.clone();
    let check = move || {
        if tokens.is_current() { Ok(()) } else { Err("out of date".to_owned()) }
    };
    parts.checks.add("tokens", check);
    let draining = shutdown.soft.clone();
    let check = move || {
        if draining.is_cancelled() { Err("draining".to_owned()) } else { Ok(()) }
    };
    parts.checks.add("serving", check);
}
