//! The index of filters is made anew on another thread while alerts are evaluated.
//!
//! Until then changes since it was made are in force by themselves, at a cost for each alert. Must not
//! know what is in an index.

use std::time::Duration;

use matcher::{Index, Rebuilt};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until};

/// For how many times as long as it took to make an index none is made: changes without end leave most
/// of the machine to alerts.
const SHARE: u32 = 4;
/// After a defect changes are in force by themselves for so long.
const AFTER_DEFECT: Duration = Duration::from_secs(60);

/// What makes the index anew.
#[derive(Debug)]
pub struct Rebuilding {
    under_way: Option<JoinHandle<Rebuilt>>,
    began: Instant,
    not_before: Instant,
}

impl Rebuilding {
    /// Nothing is made yet.
    pub fn new() -> Self {
        let now = Instant::now();
        Self { under_way: None, began: now, not_before: now }
    }

    /// An index that was made of this one as it is or was a while ago. Waits for ever while nothing
    /// changes. Cancel-safe.
    pub async fn next(&mut self, index: &Index) -> Rebuilt {
        loop {
            if let Some(under_way) = &mut self.under_way {
                let made = under_way.await;
                self.under_way = None;
                self.not_before = Instant::now() + SHARE * self.began.elapsed();
                match made {
                    Ok(made) => return made,
                    Err(error) => {
                        tracing::error!(%error, "the index of filters cannot be made anew: report it");
                        self.not_before += AFTER_DEFECT;
                    }
                }
            }
            if index.fresh() == 0 {
                std::future::pending::<()>().await;
            }
            sleep_until(self.not_before).await;
            let work = index.rebuild();
            self.began = Instant::now();
            self.under_way = Some(spawn_blocking(move || work.run()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::id::{ServiceId, TeamId};
    use matcher::Entry;

    use super::*;

    fn entry(n: u8) -> Entry {
        Entry {
            team: TeamId::from_bytes([1; 16]),
            service: ServiceId::from_bytes([n; 16]),
            shard: 0,
            disabled: false,
            filters: Arc::default(),
            maintenance: Arc::default(),
        }
    }

    #[tokio::test]
    async fn what_changes_meanwhile_is_taken_in_by_the_next_one() {
        let (mut index, mut rebuilding) = (Index::default(), Rebuilding::new());
        index.put(entry(1));
        let under_way = rebuilding.next(&index);
        let made = under_way.await;
        index.put(entry(2));
        drop(index.adopt(made));
        assert_eq!((index.fresh(), index.compiled().entries().len()), (1, 1));
        let made = rebuilding.next(&index).await;
        drop(index.adopt(made));
        assert_eq!((index.fresh(), index.compiled().entries().len()), (0, 2));
        let idle = tokio::time::timeout(Duration::from_millis(20), rebuilding.next(&index));
        assert!(idle.await.is_err(), "nothing has changed");
    }

    #[tokio::test]
    async fn one_that_was_not_waited_for_to_the_end_is_not_lost() {
        let (mut index, mut rebuilding) = (Index::default(), Rebuilding::new());
        index.put(entry(1));
        loop {
            let turn = tokio::time::timeout(Duration::ZERO, rebuilding.next(&index)).await;
            if let Ok(made) = turn {
                drop(index.adopt(made));
                break;
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(index.fresh(), 0);
    }
}
