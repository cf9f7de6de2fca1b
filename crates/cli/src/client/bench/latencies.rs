//! How long things took, by percentile.
//!
//! Must not know what took so long.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// What takes longer counts as this, in microseconds: a day.
const MAX_MICROS: u64 = 24 * 60 * 60 * 1_000_000;
/// So many digits of a latency are right.
const DIGITS: u8 = 3;

/// Latencies of one kind.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

/// What they come to, in milliseconds. Each is at most 0.1 % over what was measured.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Percentiles {
    /// How many were measured.
    pub count: u64,
    /// Half of them took at most this long.
    pub p50_ms: f64,
    /// 90 % of them.
    pub p90_ms: f64,
    /// 99 % of them.
    pub p99_ms: f64,
    /// 99.9 % of them.
    pub p99_9_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Latencies {
    /// None yet.
    pub fn none() -> Self {
        let histogram = Histogram::new_with_bounds(1, MAX_MICROS, DIGITS);
        Self(histogram.expect("these bounds are good"))
    }

    /// Takes one in.
    pub fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// What they come to; nothing where there are none.
    pub fn percentiles(&self) -> Option<Percentiles> {
        let at = |share| in_ms(self.0.value_at_quantile(share));
        (self.count() > 0).then(|| Percentiles {
            count: self.count(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p99_9_ms: at(0.999),
            max_ms: in_ms(self.0.max()),
        })
    }
}

/// Milliseconds with three decimals; far below where a float is not exact.
fn in_ms(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut latencies = Latencies::none();
        assert!(latencies.percentiles().is_none());
        (1..=1_000).for_each(|ms| latencies.record(Duration::from_millis(ms)));
        let found = latencies.percentiles().unwrap();
        let shown = [found.p50_ms, found.p90_ms, found.p99_ms, found.p99_9_ms, found.max_ms];
        for (found, expected) in shown.into_iter().zip([500.0, 900.0, 990.0, 999.0, 1_000.0]) {
            assert!((found - expected).abs() <= expected / 1_000.0, "{found} {expected}");
        }
        assert_eq!(found.count, 1_000);
        latencies.record(Duration::MAX);
        assert!(latencies.percentiles().unwrap().max_ms > 86_000_000.0);
    }
}
