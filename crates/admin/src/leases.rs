//! The leases of gateways as admin sees them, and waiting until every gateway acts on a change.
//!
//! Calls that wait share rounds: a round writes a mark, and ends when all gateways act on its change
//! or their leases have run out; whoever comes meanwhile with a later change is in the next one. So at
//! most one mark is new to a gateway at a time, however many calls there are. Must not know what a change is, nor decide:
//! `domain::lease` does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::id::InstanceId;
use domain::lease::{Mark, RUN_OUT, Standing, Watch};
use runtime::clock::Clock;
use runtime::nats::publish;
use runtime::nats::{Nats, Reader, Start};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};
use wire::stored::lease::{Entry, decode};
use wire::subject;

const QUEUE: usize = 1_024;
const DEADLINE: Duration = Duration::from_millis(1_000);
const BACK_OFF: Duration = Duration::from_millis(100);
/// The first change makes the bootstrap credential, which opens no gateway.
const BOOTSTRAP: u64 = 1;
const TIDIED: Duration = Duration::from_secs(10);

/// Why the leases cannot be followed any more: the process must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Leases of the bucket before are not known here; at the next start they are waited for.
    #[error("the bucket GANDER_LEASES was made anew while it was in use")]
    MadeAnew,
    /// Two that write marks would let gateways pass by the changes of the other.
    #[error("another admin writes into the bucket GANDER_LEASES")]
    Another,
}

/// Told once every gateway acts on a change that was relayed before it was asked.
struct Ask {
    change: u64,
    told: oneshot::Sender<()>,
}

/// The leases. Cheap to clone.
#[derive(Clone)]
pub struct Leases {
    seen: watch::Receiver<Watch>,
    asks: mpsc::Sender<Ask>,
    clock: Arc<dyn Clock>,
}

impl Leases {
    /// The future reads the leases and runs the rounds, for ever. `relayed` is the last change that is
    /// in GANDER_CONTROL.
    pub fn start(
        nats: &Nats,
        relayed: watch::Receiver<u64>,
        clock: Arc<dyn Clock>,
    ) -> (Self, impl Future<Output = Result<(), Error>> + Send + use<>) {
        let (seen, receiver) = watch::channel(Watch::default());
        let (asks, asked) = mpsc::channel(QUEUE);
        let leases = Self { seen: receiver.clone(), asks, clock: Arc::clone(&clock) };
        let (follower, nats) = (follow(nats.clone(), seen, Arc::clone(&clock)), nats.clone());
        let rounds = Rounds {
            nats,
            relayed,
            seen: receiver,
            clock,
            mark: Mark::default(),
            begun: false,
            settled: 0,
        };
        let running = async move {
            tokio::select! {
                () = follower => Ok(()),
                ended = rounds.run(asked) => ended,
            }
        };
        (leases, running)
    }

    /// Waits until every gateway acts on this change, which was relayed before, or refuses everything,
    /// for as long as that takes.
    pub async fn settled(&self, change: u64) {
        let (told, settled) = oneshot::channel();
        let asked = self.asks.send(Ask { change, told }).await.is_ok();
        if !(asked && settled.await.is_ok()) {
            // The process ends.
            std::future::pending::<()>().await;
        }
    }

    /// Those that held a lease at this time and have not said since that they act on this change.
    pub fn behind(&self, sequence: u64, since: Duration) -> Vec<InstanceId> {
        self.seen.borrow().behind(sequence, since)
    }

    /// The time by the clock of the leases.
    pub fn now(&self) -> Duration {
        self.clock.boot()
    }

    /// Those whose lease has not run out, each with the change that it acts on.
    pub fn living(&self) -> BTreeMap<InstanceId, u64> {
        self.seen.borrow().living(self.clock.boot())
    }

    /// Waits until an entry is read. Cancel-safe.
    pub async fn changed(&mut self) {
        if self.seen.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn follow(nats: Nats, seen: watch::Sender<Watch>, clock: Arc<dyn Clock>) {
    let start = Start::LastOfEachSubject;
    let mut reader = Reader::new(&nats, subject::LEASES_STREAM, subject::LEASES_ALL, start);
    let mut tick = interval(TIDIED);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            message = reader.next() => {
                let (revision, now) = (message.sequence, clock.boot());
                let entry = decode(&message.subject, &message.payload);
                seen.send_modify(|watch| match entry {
                    Some(Entry::Lease(gateway, applied)) => watch.lease(gateway, revision, applied, now),
                    Some(Entry::Left(gateway)) => watch.left(gateway, revision),
                    Some(Entry::Mark(_)) | None => watch.passed(revision),
                });
                if let Some(Entry::Left(gateway)) = entry {
                    tokio::spawn(tidy(nats.clone(), gateway, revision));
                }
            }
            _ = tick.tick() => {
                let mut old = vec![];
                seen.send_if_modified(|watch| {
                    old = watch.forget(clock.boot());
                    !old.is_empty()
                });
                for (gateway, revision) in old {
                    tokio::spawn(tidy(nats.clone(), gateway, revision));
                }
            }
        }
    }
}

async fn tidy(nats: Nats, gateway: InstanceId, revision: u64) {
    let tidied = tokio::time::timeout(DEADLINE, nats.tidy_lease(gateway, revision)).await;
    if let Ok(Err(error)) = tidied {
        tracing::debug!(%error, %gateway, "an old lease is not removed");
    }
}

impl Ask {
    fn tell(self) {
        let _ = self.told.send(());
    }
}

struct Rounds {
    nats: Nats,
    relayed: watch::Receiver<u64>,
    seen: watch::Receiver<Watch>,
    clock: Arc<dyn Clock>,
    /// The last mark that is known here.
    mark: Mark,
    /// Whether this process has written one.
    begun: bool,
    /// The change of the last round that has ended well: no gateway goes back behind it.
    settled: u64,
}

impl Rounds {
    async fn run(mut self, mut asked: mpsc::Receiver<Ask>) -> Result<(), Error> {
        self.begin().await?;
        while let Some(first) = asked.recv().await {
            let mut asks = vec![first];
            while let Ok(next) = asked.try_recv() {
                asks.push(next);
            }
            // Their changes were relayed before the last round began: they were only late to ask.
            let late = asks.extract_if(.., |ask| ask.change <= self.settled);
            late.for_each(Ask::tell);
            asks.retain(|ask| !ask.told.is_closed());
            if !asks.is_empty() && self.round(&asks).await? {
                self.settled = self.mark.sequence;
                asks.into_iter().for_each(Ask::tell);
            }
        }
        Ok(())
    }

    /// Writes the first mark: where the last one is of a history that was set back, no gateway could
    /// follow it.
    async fn begin(&mut self) -> Result<(), Error> {
        self.mark = loop {
            match self.nats.last_mark(DEADLINE).await {
                Ok(last) => break last,
                Err(error) => not_yet(&error),
            };
            tokio::time::sleep(BACK_OFF).await;
        };
        // Whoever holds a lease of a bucket before this one is not in it.
        if self.mark.revision == 0 && *self.relayed.borrow() > BOOTSTRAP {
            tokio::time::sleep(RUN_OUT).await;
        }
        while !self.write().await? {
            tokio::time::sleep(BACK_OFF).await;
        }
        Ok(())
    }

    /// Whether the round has ended well; not where nobody waits for it any more.
    async fn round(&mut self, asks: &[Ask]) -> Result<bool, Error> {
        let given_up = || asks.iter().all(|ask| ask.told.is_closed());
        while !given_up() && !self.write().await? {
            tokio::time::sleep(BACK_OFF).await;
        }
        while !given_up() {
            let standing = self.seen.borrow_and_update().standing(self.mark, self.clock.boot());
            let until = match standing {
                Standing::Settled => return Ok(true),
                Standing::Unread => Duration::MAX,
                Standing::Awaited { until, .. } => until,
            };
            // Looked at again at least that often, whether anybody waits.
            let pause = until.saturating_sub(self.clock.boot()).min(DEADLINE);
            let _ = tokio::time::timeout(pause, self.seen.changed()).await;
        }
        Ok(false)
    }

    /// Writes a mark after the last one; whether it is known to be stored. It never goes back: what
    /// was relayed stays so, and the expected revision keeps out a late one.
    async fn write(&mut self) -> Result<bool, Error> {
        let (sequence, read) = (*self.relayed.borrow(), self.seen.borrow().read());
        match self.nats.mark(sequence, self.mark.revision, DEADLINE).await {
            // What was read before it was sent was stored before it.
            Ok(revision) if revision <= read => Err(Error::MadeAnew),
            Ok(revision) => {
                self.mark = Mark { revision, sequence };
                self.begun = true;
                Ok(true)
            }
            // One of this admin that was thought lost, or of one before it; or it is in use.
            Err(publish::Error::Conflict(_)) => match self.nats.last_mark(DEADLINE).await {
                Ok(last) => self.found(last).map(|()| false),
                Err(error) => Ok(not_yet(&error)),
            },
            Err(error) => Ok(not_yet(&error)),
        }
    }

    fn found(&mut self, last: Mark) -> Result<(), Error> {
        if last.revision < self.mark.revision {
            return Err(Error::MadeAnew);
        }
        if self.begun && last.sequence > *self.relayed.borrow() {
            return Err(Error::Another);
        }
        self.mark = last;
        Ok(())
    }
}

fn not_yet(error: &dyn std::error::Error) -> bool {
    tracing::warn!(%error, "gateways are not asked yet to act on a change");
    false
}
