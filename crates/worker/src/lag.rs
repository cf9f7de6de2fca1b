//! How old the oldest alert is that waits to be worked on.
//!
//! Told from a task of its own, so that it also grows while a commit hangs. The clock serves this
//! number and ids, never a rule. Must not know how alerts are folded.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use domain::time::Timestamp;
use runtime::clock::Clock;
use tokio::time::{MissedTickBehavior, interval};
use wire::proto::gander::stored::v1::alert_record::Kind;
use wire::stored::alert::Batch;

const EVERY: Duration = Duration::from_secs(1);
const NOTHING: i64 = i64::MAX;

/// When the oldest alert that is not yet worked on was received. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Oldest(Arc<AtomicI64>);

impl Default for Oldest {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(NOTHING)))
    }
}

impl Oldest {
    /// This batch is the oldest one that waits; none: nothing waits.
    pub fn is(&self, batch: Option<&Batch>) {
        let first = batch.and_then(|batch| batch.records.first()?.kind.as_ref());
        let received = first.map_or(NOTHING, |kind| match kind {
            Kind::Alert(alert) => alert.received_at_micros,
            Kind::Resolve(command) | Kind::Acknowledge(command) => command.received_at_micros,
        });
        self.0.store(received, Ordering::Relaxed);
    }

    /// How old it is; nothing is old where nothing waits.
    fn age(&self, now: Timestamp) -> Duration {
        match self.0.load(Ordering::Relaxed) {
            NOTHING => Duration::ZERO,
            received => now.since(Timestamp::from_micros(received)),
        }
    }

    /// Tells it each second, for ever.
    pub async fn tell(self, clock: Arc<dyn Clock>) {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let age = self.age(clock.now()).as_secs_f64();
            metrics::gauge!("gander_worker_input_lag_seconds").set(age);
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::id::InstanceId;
    use wire::proto::gander::stored::v1::{Alert, AlertRecord};

    use super::*;

    fn batch(received_at_micros: i64) -> Batch {
        let alert = Alert { received_at_micros, ..Alert::default() };
        let record = AlertRecord { kind: Some(Kind::Alert(alert)), ..AlertRecord::default() };
        let instance = InstanceId::from_bytes([1; 16]);
        Batch { control_sequence: 0, instance, records: vec![record] }
    }

    #[test]
    fn what_waits_grows_older_and_what_is_done_is_not_old() {
        let oldest = Oldest::default();
        let age = |seconds: i64| oldest.age(Timestamp::from_micros(seconds * 1_000_000)).as_secs();
        assert_eq!(age(100), 0);
        oldest.is(Some(&batch(10_000_000)));
        assert_eq!((age(15), age(75)), (5, 65));
        assert_eq!(age(5), 0, "clocks differ");
        oldest.is(None);
        assert_eq!(age(100), 0);
    }
}
