//! Alerts that are not stored, for the log: that it begins, how many while it lasts, that it is over.
//!
//! At most a line a second, however many alerts come. Must not know what the senders are told.

use std::sync::Mutex;
use std::time::Duration;

use runtime::ingest;
use tokio::time::Instant;

/// The time between two lines, and how long alerts must be stored again until it counts as over.
const EVERY: Duration = Duration::from_secs(1);

/// What is not told yet of alerts that are not stored.
#[derive(Debug, Default)]
pub struct Unstored(Mutex<Option<Trouble>>);

/// Alerts are not stored.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    told: Instant,
    last: Instant,
    untold: u64,
}

impl Unstored {
    /// Notes what became of an alert, and tells it when it is time.
    pub fn note(&self, failed: Option<&ingest::Error>) {
        let now = Instant::now();
        match failed {
            Some(error) => {
                if let Some(alerts) = self.failed(now) {
                    tracing::warn!(%error, alerts, "alerts are not known to be stored");
                }
            }
            None => {
                if let Some(alerts) = self.stored(now) {
                    tracing::info!(alerts, "alerts are stored again");
                }
            }
        }
    }

    /// One more; gives how many to tell of, if it is time.
    fn failed(&self, now: Instant) -> Option<u64> {
        let mut trouble = self.0.lock().expect("no holder of this lock panics");
        let before = trouble.unwrap_or(Trouble { told: now, last: now, untold: 0 });
        let untold = before.untold + 1;
        let tell = trouble.is_none() || now.duration_since(before.told) >= EVERY;
        *trouble = Some(match tell {
            true => Trouble { told: now, last: now, untold: 0 },
            false => Trouble { told: before.told, last: now, untold },
        });
        tell.then_some(untold)
    }

    /// One is stored; gives how many were not told of, if it is over with that.
    fn stored(&self, now: Instant) -> Option<u64> {
        let mut trouble = self.0.lock().expect("no holder of this lock panics");
        let over = trouble.filter(|trouble| now.duration_since(trouble.last) >= EVERY)?;
        *trouble = None;
        Some(over.untold)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_thousand_alerts_a_second_are_a_line_a_second() {
        let unstored = Unstored::default();
        assert_eq!(unstored.stored(Instant::now()), None, "nothing was wrong");
        let mut told = Vec::new();
        for _ in 0..3_500 {
            told.extend(unstored.failed(Instant::now()));
            advance(Duration::from_millis(1)).await;
        }
        assert_eq!(told, [1, 1_000, 1_000, 1_000]);
        assert_eq!(unstored.stored(Instant::now()), None, "one that is stored is no end yet");
        advance(EVERY).await;
        assert_eq!(unstored.stored(Instant::now()), Some(499));
        assert_eq!(unstored.stored(Instant::now()), None, "that is told once");
        assert_eq!(unstored.failed(Instant::now()), Some(1), "and then it begins anew");
    }
}
