//! Who is alive: each gateway and worker says so a few times a second, with a number.
//!
//! Nothing is stored. For workers it is liveness only. Gateways have leases; they beat for an admin of
//! the build before, which knows no other way to wait for them, and admin waits for the beats of
//! gateways of that build. Must not know what the number means; for gateways it is the control
//! sequence applied.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use domain::id::InstanceId;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::{Error, Nats};

/// How often a member says that it is alive.
pub const BEAT: Duration = Duration::from_millis(250);
/// A member that was not heard for this long counts as dead.
pub const PATIENCE: Duration = Duration::from_secs(2);

const BARRIERS: usize = 64;

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A gateway.
    Gateway,
    /// A worker.
    Worker,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Worker => "worker",
        }
    }
}

const LEAVING: u64 = u64::MAX;

impl Nats {
    /// Says that this member is alive, and its number.
    pub async fn beat(&self, role: Role, id: InstanceId, number: u64) {
        let subject = format!("gander.members.{}.{id}", role.name());
        self.send(subject, Bytes::copy_from_slice(&number.to_be_bytes())).await;
    }

    /// Says that this member goes, so that others need not wait to notice.
    pub async fn leave(&self, role: Role, id: InstanceId) {
        self.beat(role, id, LEAVING).await;
        let _ = self.client.flush().await;
    }

    /// Follows the living members of a role until the process ends.
    ///
    /// # Errors
    /// The connection is closed.
    pub async fn members(&self, role: Role) -> Result<Members, Error> {
        let subject = format!("gander.members.{}.*", role.name());
        let mut beats = self.subscribe(subject).await?;
        let mut reconnects = self.reconnects();
        let (listening, since) = watch::channel(Instant::now());
        let (sender, receiver) = watch::channel(BTreeMap::new());
        let (barrier, mut barriers) = mpsc::channel::<oneshot::Sender<()>>(BARRIERS);
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(BEAT);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut ticked = Instant::now();
            while !sender.is_closed() {
                tokio::select! {
                    biased;
                    // Nobody was heard while there was no connection.
                    () = reconnects.changed() => {
                        listening.send_replace(Instant::now());
                    }
                    beat = beats.next() => match beat {
                        Some((subject, payload)) => note(&sender, &subject, &payload),
                        None => return,
                    },
                    // Every beat that has arrived is noted.
                    Some(done) = barriers.recv() => {
                        let _ = done.send(());
                    }
                    _ = tick.tick() => {
                        // A process that stood still has not listened.
                        if ticked.elapsed() > PATIENCE / 2 {
                            listening.send_replace(Instant::now());
                        } else {
                            forget(&sender);
                        }
                        ticked = Instant::now();
                    }
                }
            }
        });
        Ok(Members { heard: receiver, since, barrier })
    }
}

type Heard = BTreeMap<InstanceId, (u64, Instant)>;

fn note(sender: &watch::Sender<Heard>, subject: &str, payload: &[u8]) {
    let id = subject.rsplit('.').next().and_then(|id| InstanceId::parse(id).ok());
    let number = payload.try_into().map(u64::from_be_bytes);
    let (Some(id), Ok(number)) = (id, number) else {
        return;
    };
    let now = Instant::now();
    sender.send_if_modified(|heard| {
        if number == LEAVING {
            return heard.remove(&id).is_some();
        }
        heard.insert(id, (number, now)).is_none_or(|(before, _)| before != number)
    });
}

fn forget(sender: &watch::Sender<Heard>) {
    sender.send_if_modified(|heard| {
        let before = heard.len();
        heard.retain(|_, (_, at)| at.elapsed() < PATIENCE);
        heard.len() != before
    });
}

/// The living members of a role.
#[derive(Clone, Debug)]
pub struct Members {
    heard: watch::Receiver<Heard>,
    /// Since when they have been listened to without a break.
    since: watch::Receiver<Instant>,
    /// Answered once every beat that has arrived is noted.
    barrier: mpsc::Sender<oneshot::Sender<()>>,
}

impl Members {
    /// Each with its last number.
    #[must_use]
    pub fn living(&self) -> BTreeMap<InstanceId, u64> {
        self.heard.borrow().iter().map(|(id, (number, _))| (*id, *number)).collect()
    }

    /// Waits until one comes, goes or says another number. Cancel-safe.
    pub async fn changed(&mut self) {
        if self.heard.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until every member that may be alive has said at least this number; false if the
    /// time is up. Who was listened to for less than [`PATIENCE`] may be alive without having
    /// been heard.
    pub async fn all_at_least(&self, number: u64, patience: Duration) -> bool {
        let reached = async {
            let mut since = *self.since.borrow();
            loop {
                tokio::time::sleep_until(since + PATIENCE).await;
                let (done, noted) = oneshot::channel();
                if self.barrier.send(done).await.is_err() || noted.await.is_err() {
                    return false;
                }
                let mut heard = self.heard.clone();
                let all = |heard: &Heard| heard.values().all(|(said, _)| *said >= number);
                if heard.wait_for(all).await.is_err() {
                    return false;
                }
                let before = std::mem::replace(&mut since, *self.since.borrow());
                if before == since {
                    return true;
                }
            }
        };
        tokio::time::timeout(patience, reached).await.unwrap_or(false)
    }
}
