//! What is asked over a connection, so that one over which nothing is asked can be closed.
//!
//! Must not know what is asked, nor how a connection is closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What is asked over a connection.
#[derive(Debug, Default)]
pub struct Activity {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

impl Activity {
    /// Waits until nothing has been asked for a while: for `first` where nothing ever was, else for
    /// `idle`. It looks only now and then, so that a request costs two additions and no timer.
    pub async fn is_idle(&self, first: Duration, idle: Duration) {
        let mut before = (0, 0);
        loop {
            tokio::time::sleep(if before.0 == 0 { first } else { idle }).await;
            let load = |count: &AtomicUsize| count.load(Ordering::Relaxed);
            let now = (load(&self.begun), load(&self.ended));
            if now == before && now.0 == now.1 {
                return;
            }
            before = now;
        }
    }
}

/// A request in hand, also one that its client has taken back.
#[derive(Debug)]
pub struct InHand(Arc<Activity>);

impl InHand {
    /// Counts a request until it is dropped.
    #[must_use]
    pub fn begin(activity: &Arc<Activity>) -> Self {
        activity.begun.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const FIRST: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_once_nothing_was_asked_for_long() {
        let activity = Arc::new(Activity::default());
        let started = Instant::now();
        activity.is_idle(FIRST, IDLE).await;
        assert_eq!(started.elapsed(), FIRST, "nothing was ever asked");

        let started = Instant::now();
        let in_hand = InHand::begin(&activity);
        let asking = async {
            tokio::time::sleep(IDLE * 3).await;
            drop(in_hand);
            tokio::time::sleep(IDLE / 2).await;
            drop(InHand::begin(&activity));
        };
        let ((), ()) = tokio::join!(activity.is_idle(FIRST, IDLE), asking);
        let idle_from = IDLE * 7 / 2;
        let took = started.elapsed();
        assert!(took >= idle_from + IDLE && took <= idle_from + IDLE * 2, "{took:?}");
    }
}
