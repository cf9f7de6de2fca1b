//! Parts of the API log that were not written: counted each, told at most once a second.
//!
//! Must not know why.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const COUNTER: &str = "gander_api_log_lost_parts_total";
/// The shortest time between two lines of the log.
const QUIET: Duration = Duration::from_secs(1);

/// What was lost.
#[derive(Debug, Default)]
pub struct Lost(Mutex<Count>);

#[derive(Debug, Default)]
struct Count {
    all: u64,
    told: u64,
    told_at: Option<Instant>,
}

/// Counts from 0, so that the first is seen as an increase.
pub fn register_metrics() {
    metrics::counter!(COUNTER).increment(0);
}

impl Lost {
    /// Counts so many.
    pub fn add(&self, parts: u64) {
        metrics::counter!(COUNTER).increment(parts);
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        count.all += parts;
        let now = Instant::now();
        if count.told_at.is_none_or(|at| now >= at + QUIET) {
            count.told_at = Some(now);
            count.tell();
        }
    }

    /// Tells what is not told yet.
    pub fn tell(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).tell();
    }

    /// How many there were.
    #[cfg(test)]
    pub fn count(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}

impl Count {
    fn tell(&mut self) {
        let parts = self.all - self.told;
        self.told = self.all;
        if parts > 0 {
            tracing::warn!(parts, "parts of the API log are lost");
        }
    }
}
