//! When alerts are due: at a constant rate, whatever became of those before.
//!
//! Who sends takes the next one that is due, and learns since when. Where all are busy, what is due
//! waits, and the time of its wait is part of what is measured: a server that stands still for a
//! second is seen by each alert of this second, not by the few that were under way (coordinated
//! omission). Must not know what is sent.

use std::sync::OnceLock;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use tokio::sync::{Semaphore, TryAcquireError};
use tokio::time::Instant;

/// How often it is looked whether the run is to end.
const LOOK: Duration = Duration::from_millis(50);
/// How long what was due at the very end may wait to be taken.
const GRACE: Duration = Duration::from_millis(20);
const NANOS: u128 = 1_000_000_000;

/// A constant rate for some time.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    rate: u32,
    seconds: u32,
}

/// An alert that is due.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    /// Since when.
    pub at: Instant,
    /// Somebody was there to send it: if it is late, the generator is.
    pub awaited: bool,
}

impl Schedule {
    /// So many a second, for so many seconds.
    pub const fn new(rate: u32, seconds: u32) -> Self {
        Self { rate, seconds }
    }

    /// After which time this one is due; the first is at once.
    fn due(self, number: u64) -> Duration {
        let nanos = u128::from(number) * NANOS / u128::from(self.rate);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many are due after this time.
    fn count(self, elapsed: Duration) -> u64 {
        let due = elapsed.as_nanos() * u128::from(self.rate) / NANOS + 1;
        u64::try_from(due).unwrap_or(u64::MAX).min(self.total())
    }

    fn total(self) -> u64 {
        u64::from(self.rate) * u64::from(self.seconds)
    }

    fn lasts(self) -> Duration {
        Duration::from_secs(u64::from(self.seconds))
    }
}

/// Alerts as they become due.
#[derive(Debug)]
pub struct Arrivals {
    schedule: Schedule,
    begun: Instant,
    /// What is due and not taken.
    waiting: Semaphore,
    due: AtomicU64,
    taken: AtomicU64,
    stopped: AtomicBool,
    lasted: OnceLock<Duration>,
    /// After which time nothing is taken any more.
    closed: OnceLock<Duration>,
}

impl Arrivals {
    /// Begins.
    pub fn begin(schedule: Schedule) -> Self {
        Self {
            schedule,
            begun: Instant::now(),
            waiting: Semaphore::new(0),
            due: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            lasted: OnceLock::new(),
            closed: OnceLock::new(),
        }
    }

    /// When it began.
    pub const fn begun(&self) -> Instant {
        self.begun
    }

    /// Says what is due, until the end. It needs a thread of its own: the timers of tokio are
    /// a millisecond late, as late as some answers.
    pub fn pace(&self) {
        loop {
            let elapsed = self.begun.elapsed();
            let count = self.schedule.count(elapsed);
            let fresh = count - self.due.swap(count, Relaxed);
            self.waiting.add_permits(usize::try_from(fresh).unwrap_or_default());
            if elapsed >= self.schedule.lasts() || self.stopped.load(Relaxed) {
                self.lasted.get_or_init(|| elapsed);
                break;
            }
            let end = self.schedule.lasts().min(self.schedule.due(count));
            std::thread::sleep(end.saturating_sub(self.begun.elapsed()).min(LOOK));
        }
        let ends = Instant::now() + GRACE;
        while self.waiting.available_permits() > 0 && Instant::now() < ends {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.waiting.close();
        self.closed.get_or_init(|| self.begun.elapsed());
    }

    /// Ends it early.
    pub fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }

    /// Whether it was ended early.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }

    /// How long alerts have become due.
    pub fn lasted(&self) -> Duration {
        self.lasted.get().copied().unwrap_or_else(|| self.begun.elapsed())
    }

    /// The next one, when it is due; none at the end.
    pub async fn next(&self) -> Option<Due> {
        let awaited = match self.waiting.try_acquire() {
            Ok(permit) => {
                permit.forget();
                false
            }
            Err(TryAcquireError::NoPermits) => {
                self.waiting.acquire().await.ok()?.forget();
                true
            }
            Err(TryAcquireError::Closed) => return None,
        };
        let number = self.taken.fetch_add(1, Relaxed);
        Some(Due { at: self.begun + self.schedule.due(number), awaited })
    }

    /// How many were due so far.
    pub fn due(&self) -> u64 {
        self.due.load(Relaxed)
    }

    /// How many are due and not taken.
    pub fn waiting(&self) -> u64 {
        self.due().saturating_sub(self.taken.load(Relaxed))
    }

    /// Once it has ended: how long each that nobody took had waited then.
    pub fn left(&self) -> impl Iterator<Item = Duration> {
        let closed = self.closed.get().copied().unwrap_or_default();
        let left = self.taken.load(Relaxed)..self.due();
        left.map(move |number| closed.saturating_sub(self.schedule.due(number)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn what_is_due_is_evenly_spread() {
        let schedule = Schedule::new(3, 2);
        let due: Vec<_> = (0..6).map(|number| schedule.due(number).as_millis()).collect();
        assert_eq!(due, [0, 333, 666, 1_000, 1_333, 1_666]);
        for number in 0..6 {
            assert_eq!(schedule.count(schedule.due(number) + Duration::from_nanos(1)), number + 1);
        }
        assert_eq!(schedule.count(Duration::from_secs(60)), 6);
        let most = Schedule::new(1_000_000, 86_400);
        assert_eq!(most.count(Duration::MAX), most.total());
    }

    /// How late each alert was answered by senders of which each stands still before its first, and
    /// how long each waited that was left.
    async fn latencies(
        schedule: Schedule,
        senders: usize,
        stall: Duration,
    ) -> (Vec<Duration>, Vec<Duration>) {
        let arrivals = Arc::new(Arrivals::begin(schedule));
        let found = Arc::new(Mutex::new(Vec::new()));
        let pacer = Arc::clone(&arrivals);
        let pacer = tokio::task::spawn_blocking(move || pacer.pace());
        let senders = (0..senders).map(|_| {
            let (arrivals, found) = (Arc::clone(&arrivals), Arc::clone(&found));
            tokio::spawn(async move {
                let mut stall = Some(stall);
                while let Some(due) = arrivals.next().await {
                    if let Some(stall) = stall.take() {
                        tokio::time::sleep(stall).await;
                    }
                    found.lock().unwrap().push(due.at.elapsed());
                }
            })
        });
        for sender in senders.collect::<Vec<_>>() {
            sender.await.unwrap();
        }
        pacer.await.unwrap();
        let found = found.lock().unwrap().clone();
        let left: Vec<_> = arrivals.left().collect();
        assert_eq!(left.len() as u64, arrivals.waiting());
        (found, left)
    }

    #[tokio::test]
    async fn a_server_that_stands_still_is_seen_by_all_that_was_due_meanwhile() {
        let stall = Duration::from_millis(400);
        let (found, left) = latencies(Schedule::new(500, 1), 1, stall).await;
        assert_eq!((found.len(), left.len()), (500, 0));
        // Those of the first half of the 400 ms waited for 200 ms and more: 100 of them.
        let long = found.iter().filter(|took| **took >= stall / 2).count();
        assert!(long >= 100, "{long}");
        assert!(found.iter().any(|took| *took >= stall));
    }

    #[tokio::test]
    async fn what_nobody_took_until_the_end_is_known_and_how_long_it_waited() {
        let stall = Duration::from_millis(1_500);
        let (found, left) = latencies(Schedule::new(100, 1), 2, stall).await;
        assert_eq!((found.len(), left.len()), (2, 98));
        // The third was due after 20 ms, the last after 990 ms.
        assert!(left[0] >= Duration::from_millis(980), "{left:?}");
        assert!(left[97] >= Duration::from_millis(10) && left[97] < left[0], "{left:?}");
    }

    #[tokio::test]
    async fn it_can_be_ended_early() {
        let arrivals = Arc::new(Arrivals::begin(Schedule::new(10, 86_400)));
        let pacer = Arc::clone(&arrivals);
        let pacer = tokio::task::spawn_blocking(move || pacer.pace());
        assert!(arrivals.next().await.is_some_and(|due| due.at == arrivals.begun()));
        arrivals.stop();
        pacer.await.unwrap();
        while arrivals.next().await.is_some() {}
        assert!(arrivals.due() < 10_000);
    }
}
