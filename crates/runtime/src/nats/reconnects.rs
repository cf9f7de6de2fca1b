//! When a connection was lost and made again.
//!
//! Must not know who asks, or what was under way.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use async_nats::Statistics;
use tokio::sync::watch;

/// Tells of each time from its making on that the connection was made again.
pub(super) struct Reconnects {
    statistics: Arc<Statistics>,
    told: watch::Receiver<()>,
    connects: u64,
}

impl Reconnects {
    /// From now on. `told` changes some time after each connection, so also after this one: how many
    /// there were the client knows at once. It counts before it tells, so nobody who is told finds the
    /// old number.
    pub(super) fn new(statistics: Arc<Statistics>, mut told: watch::Receiver<()>) -> Self {
        // Before it is counted: what is counted and told of in between is not to be missed.
        told.mark_unchanged();
        let connects = statistics.connects.load(Relaxed);
        Self { statistics, told, connects }
    }

    /// Whether it was made again since [`Self::changed`] last told so.
    pub(super) fn is_changed(&self) -> bool {
        self.statistics.connects.load(Relaxed) != self.connects
    }

    /// Waits until it was made again; of several times it may tell once. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        loop {
            let connects = self.statistics.connects.load(Relaxed);
            if connects != self.connects {
                self.connects = connects;
                return;
            }
            if self.told.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Whether it tells of something, with nothing else to happen.
    async fn tells(reconnects: &mut Reconnects) -> bool {
        tokio::select! {
            biased;
            () = reconnects.changed() => true,
            () = tokio::task::yield_now() => false,
        }
    }

    #[tokio::test]
    async fn the_news_of_a_connection_that_was_there_before_is_not_another_one() {
        let statistics = Arc::new(Statistics::default());
        let (tell, told) = watch::channel(());
        statistics.connects.store(1, Relaxed);
        let mut reconnects = Reconnects::new(Arc::clone(&statistics), told);
        assert!(!tells(&mut reconnects).await);
        tell.send_replace(());
        assert!(!tells(&mut reconnects).await, "the first connection is told of late");
        statistics.connects.store(2, Relaxed);
        tell.send_replace(());
        assert!(reconnects.is_changed());
        assert!(tells(&mut reconnects).await);
        assert!(!tells(&mut reconnects).await && !reconnects.is_changed(), "told of once");
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let statistics = Arc::new(Statistics::default());
        let (tell, told) = watch::channel(());
        let mut reconnects = Reconnects::new(Arc::clone(&statistics), told);
        // Of its own, so that it looks again only when it is woken.
        let waiting = tokio::spawn(async move { reconnects.changed().await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "nothing has happened");
        statistics.connects.store(1, Relaxed);
        tell.send_replace(());
        tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap();
    }
}
