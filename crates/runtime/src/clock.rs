//! Clocks. Only this file reads one.
//!
//! Must not know what the time is for.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use domain::time::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The time of day, UTC.
    fn now(&self) -> Timestamp;
    /// Time since the machine started, sleep included; never goes back.
    fn boot(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the time of day")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn boot(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
    }
}

/// A clock whose time of day never goes back, so that what has expired stays so when the machine's
/// clock is set back.
#[derive(Debug, Default)]
pub struct Monotone<C> {
    clock: C,
    latest: AtomicI64,
}

impl<C: Clock> Clock for Monotone<C> {
    fn now(&self) -> Timestamp {
        let now = self.clock.now().as_micros();
        Timestamp::from_micros(self.latest.fetch_max(now, Ordering::SeqCst).max(now))
    }

    fn boot(&self) -> Duration {
        self.clock.boot()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Set(AtomicI64);

    impl Clock for Set {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.0.load(Ordering::SeqCst))
        }

        fn boot(&self) -> Duration {
            Duration::ZERO
        }
    }

    #[test]
    fn time_stands_still_while_the_machine_is_behind() {
        let clock = Monotone::<Set>::default();
        let told = [5, 9, 3, 8, 10].map(|micros| {
            clock.clock.0.store(micros, Ordering::SeqCst);
            clock.now().as_micros()
        });
        assert_eq!(told, [5, 9, 9, 9, 10]);
    }
}
