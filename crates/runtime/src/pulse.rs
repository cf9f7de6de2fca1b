//! The heartbeat of a role: it beats in the task that does the role's work, so that it stops with it.
//!
//! A part that waits goes on beating, however long: for a broker that is away, for a commit that is
//! sent again. One that blocks its thread does not. Must not know who listens.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

/// A role that has not beaten for this long stands still.
pub const STANDSTILL: Duration = Duration::from_secs(20);
const BEAT: Duration = Duration::from_secs(1);

/// A heartbeat. Cheap to clone; the default one is nobody's.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<Mutex<Option<Instant>>>);

impl Pulse {
    /// Does a part's work and beats meanwhile. Before it and after it no beat is expected.
    pub fn beating<T>(self, part: impl Future<Output = T>) -> impl Future<Output = T> {
        // A role is a large future.
        let mut part = Box::pin(part);
        async move {
            let _beating = Beating(self.clone());
            let mut tick = interval(BEAT);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = tick.tick() => self.beat(),
                    done = part.as_mut() => return done,
                }
            }
        }
    }

    /// Beats once, for work that is long and never waits.
    pub fn beat(&self) {
        self.set(Some(Instant::now()));
    }

    /// For how long it has not beaten, where that is too long.
    #[must_use]
    pub fn stands_still(&self) -> Option<Duration> {
        let last = *self.0.lock().expect("no holder of this lock panics");
        last.map(|last| last.elapsed()).filter(|silent| *silent > STANDSTILL)
    }

    fn set(&self, last: Option<Instant>) {
        *self.0.lock().expect("no holder of this lock panics") = last;
    }
}

/// Dropped, no beat is expected any more: the part has ended, or its task is no more.
struct Beating(Pulse);

impl Drop for Beating {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_goes_on_beating_and_who_has_ended_need_not() {
        let pulse = Pulse::default();
        let heard = pulse.clone();
        pulse
            .clone()
            .beating(async move {
                sleep(STANDSTILL * 5).await;
                assert_eq!(heard.stands_still(), None, "it only waits");
            })
            .await;
        sleep(STANDSTILL * 2).await;
        assert_eq!(pulse.stands_still(), None, "it has ended");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_silent_for_too_long_stands_still_until_the_next_beat() {
        let pulse = Pulse::default();
        pulse.beat();
        advance(STANDSTILL).await;
        assert_eq!(pulse.stands_still(), None);
        let silent = STANDSTILL + Duration::from_secs(1);
        advance(Duration::from_secs(1)).await;
        assert_eq!(pulse.stands_still(), Some(silent));
        pulse.beat();
        assert_eq!(pulse.stands_still(), None);
    }

    #[test]
    fn a_thread_that_is_blocked_beats_no_more() {
        let pulse = Pulse::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let heard = pulse.clone();
        runtime.block_on(pulse.clone().beating(async move {
            sleep(BEAT / 10).await;
            let before = *heard.0.lock().unwrap();
            std::thread::sleep(BEAT * 3 / 2);
            assert_eq!(*heard.0.lock().unwrap(), before, "nobody else beats for it");
        }));
        assert_eq!(pulse.stands_still(), None);
    }
}
