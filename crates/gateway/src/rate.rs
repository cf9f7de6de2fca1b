//! How much one token, and one address with or without one, may ask for: token buckets with bounded
//! memory.
//!
//! Must not know HTTP.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::id::TokenId;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{NotUntil, Quota, RateLimiter};

use crate::config::Config;

/// The most keys that have a bucket of their own; about 5 MB.
const MAX_KEYS: usize = 65_536;
/// After how many requests buckets that are full again are forgotten.
const TIDY_EVERY: usize = 10_000;
/// How many seconds' worth of alerts or refusals an address may use at once.
const ADDRESS_BURST: u32 = 10;
/// How many calls of a token the API log has a second that were refused for its limit.
const LIMITED_KEPT: u32 = 1;

/// How many seconds to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait(pub u64);

/// The limits of a gateway; none where they are switched off.
pub struct Rates {
    /// Alerts by token.
    pub tokens: Option<Rate<TokenId>>,
    /// Calls by token that the API log has although they are beyond the limit.
    limited_kept: Option<Rate<TokenId>>,
    /// Alerts by address.
    pub addresses: Option<Rate<IpAddr>>,
    /// Requests without a valid token by address.
    pub refused: Option<Rate<IpAddr>>,
}

impl Rates {
    /// As the settings say.
    pub fn new(config: &Config) -> Self {
        let (rate, burst) = (config.rate_limit_token, config.rate_limit_token_burst);
        let by_address = |rate: u32| {
            Rate::new(rate, rate.saturating_mul(ADDRESS_BURST), DefaultClock::default())
        };
        Self {
            tokens: Rate::new(rate, burst, DefaultClock::default()),
            limited_kept: Rate::new(LIMITED_KEPT, LIMITED_KEPT, DefaultClock::default()),
            addresses: by_address(config.rate_limit_address),
            refused: by_address(config.rate_limit_refused),
        }
    }
}

impl Rates {
    /// Whether the API log has a call that is beyond the limit of its token: one that sends as fast as
    /// it can is not to drive out what others have there.
    pub fn keeps_limited(&self, token: &TokenId) -> bool {
        self.limited_kept.as_ref().is_some_and(|rate| rate.take(token).is_ok())
    }
}

/// Governor's limiters name the instants of their own clock otherwise.
type Plain<C> = NoOpMiddleware<<C as Clock>::Instant>;

/// A bucket for each key.
pub struct Rate<K: Hash + Eq + Clone, C: Clock = DefaultClock> {
    keyed: RateLimiter<K, DashMapStateStore<K>, C, Plain<C>>,
    /// For all, while there are too many keys.
    shared: RateLimiter<NotKeyed, InMemoryState, C, Plain<C>>,
    clock: C,
    asked: AtomicUsize,
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Rate<K, C> {
    /// So many a second on average, so many at once; none where it is 0.
    pub fn new(per_second: u32, burst: u32, clock: C) -> Option<Self> {
        let rate = NonZeroU32::new(per_second)?;
        let quota = Quota::per_second(rate).allow_burst(NonZeroU32::new(burst).unwrap_or(rate));
        Some(Self {
            keyed: RateLimiter::new(quota, DashMapStateStore::default(), clock.clone()),
            shared: RateLimiter::direct_with_clock(quota, clock.clone()),
            clock,
            asked: AtomicUsize::new(0),
        })
    }

    /// Takes one out of the bucket.
    ///
    /// # Errors
    /// It is empty.
    pub fn take(&self, key: &K) -> Result<(), Wait> {
        if self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(TIDY_EVERY) {
            self.keyed.retain_recent();
        }
        let taken = if self.keyed.len() < MAX_KEYS {
            self.keyed.check_key(key)
        } else {
            self.shared.check()
        };
        taken.map_err(|not_until| self.wait(&not_until))
    }

    fn wait(&self, not_until: &NotUntil<C::Instant>) -> Wait {
        let wait = not_until.wait_time_from(self.clock.now());
        Wait(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    #[test]
    fn a_bucket_is_emptied_and_fills_again() {
        let clock = FakeRelativeClock::default();
        let rate = Rate::new(2, 3, clock.clone()).unwrap();
        for _ in 0..3 {
            assert_eq!(rate.take(&"a"), Ok(()));
        }
        assert_eq!(rate.take(&"a"), Err(Wait(1)));
        assert_eq!(rate.take(&"b"), Ok(()), "another key has another bucket");
        clock.advance(Duration::from_millis(500));
        assert_eq!(rate.take(&"a"), Ok(()));
        assert_eq!(rate.take(&"a"), Err(Wait(1)));
    }

    #[test]
    fn of_calls_beyond_the_limit_the_log_has_one_a_second() {
        let rates = Rates::new(&crate::config::parsed(""));
        let [one, other] = [1, 2].map(|n| TokenId::from_bytes([n; 16]));
        let kept = (0..1_000).filter(|_| rates.keeps_limited(&one)).count();
        assert!((1..=10).contains(&kept), "{kept}");
        assert!(rates.keeps_limited(&other), "another token has its own");
    }

    #[test]
    fn nothing_is_counted_where_the_rate_is_nought() {
        assert!(Rate::<u8, _>::new(0, 10, FakeRelativeClock::default()).is_none());
    }

    #[test]
    fn memory_is_bounded_and_freed() {
        let clock = FakeRelativeClock::default();
        let rate = Rate::new(1, 2, clock.clone()).unwrap();
        let taken = (0..MAX_KEYS * 2).filter(|key| rate.take(key).is_ok()).count();
        assert_eq!(rate.keyed.len(), MAX_KEYS);
        assert_eq!(taken, MAX_KEYS + 2, "the others share a bucket");
        clock.advance(Duration::from_secs(10));
        for _ in 0..TIDY_EVERY {
            let _ = rate.take(&0);
        }
        assert!(rate.keyed.len() < 10, "{}", rate.keyed.len());
    }
}
