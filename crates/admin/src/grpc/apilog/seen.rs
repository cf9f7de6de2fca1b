//! Entries that were shown, so that none is shown twice: a part that was sent again after a timeout
//! may be stored far from the first.
//!
//! Must not know how entries are shown.

use std::collections::{HashSet, VecDeque};

use domain::id::AlertId;

/// The most that are remembered; the oldest are forgotten first.
const MOST: usize = 100_000;

/// Entries that were shown.
#[derive(Debug, Default)]
pub struct Seen {
    alerts: HashSet<AlertId>,
    order: VecDeque<AlertId>,
}

impl Seen {
    /// Remembers one; gives whether it was not known.
    pub fn add(&mut self, alert: AlertId) -> bool {
        if !self.alerts.insert(alert) {
            return false;
        }
        self.order.push_back(alert);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.alerts.remove(&oldest);
        }
        true
    }

    /// Whether it is known.
    pub fn has(&self, alert: AlertId) -> bool {
        self.alerts.contains(&alert)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let alert = |n: usize| AlertId::from_bytes((n as u128).to_be_bytes());
        let mut seen = Seen::default();
        assert!(seen.add(alert(0)) && !seen.add(alert(0)));
        assert!((1..=MOST).all(|n| seen.add(alert(n))));
        assert!(seen.has(alert(1)) && !seen.has(alert(0)));
        assert_eq!((seen.alerts.len(), seen.order.len()), (MOST, MOST));
    }
}
