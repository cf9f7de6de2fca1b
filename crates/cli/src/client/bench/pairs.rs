//! Which event belongs to which alert, and how long it took.
//!
//! An event may be here before the answer that has the id of its alert. Must not know where events
//! come from.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use domain::id::AlertId;
use tokio::time::Instant;

/// So many alerts and events at most are remembered, of each; then the oldest is forgotten.
const MAX: usize = 1 << 18;

/// An event that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// An incident was created.
    Created,
    /// An incident was resolved.
    Resolved,
}

/// Alerts and events that wait for each other.
#[derive(Debug, Default)]
pub struct Pairs {
    alerts: Recent<Instant>,
    early: Recent<Vec<(Happened, Instant)>>,
    /// Alerts without an event so far, and whether it was answered that one is to come.
    waiting: HashMap<AlertId, bool>,
    missing: usize,
    created: u64,
    resolved: u64,
    last: Option<Instant>,
}

/// What was put in last.
#[derive(Debug)]
struct Recent<T> {
    things: HashMap<AlertId, T>,
    order: VecDeque<AlertId>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { things: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T> Recent<T> {
    fn entry(&mut self, alert: AlertId, or: T) -> &mut T {
        if !self.things.contains_key(&alert) {
            self.order.push_back(alert);
            if self.order.len() > MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.things.remove(&oldest);
            }
        }
        self.things.entry(alert).or_insert(or)
    }
}

impl Pairs {
    /// An alert was accepted that may lead to events, or must; gives the latencies of those that
    /// have come.
    pub fn answered(&mut self, alert: AlertId, due: Instant, must: bool) -> Vec<Duration> {
        self.alerts.entry(alert, due);
        let early = self.early.things.remove(&alert).unwrap_or_default();
        if early.is_empty() && self.waiting.len() < MAX {
            self.waiting.insert(alert, must);
            self.missing += usize::from(must);
        }
        early.into_iter().map(|(happened, at)| self.pair(happened, due, at)).collect()
    }

    /// An event has come; gives its latency where the alert is known.
    pub fn happened(
        &mut self,
        alert: AlertId,
        happened: Happened,
        at: Instant,
    ) -> Option<Duration> {
        let Some(due) = self.alerts.things.get(&alert).copied() else {
            self.early.entry(alert, vec![]).push((happened, at));
            return None;
        };
        if self.waiting.remove(&alert) == Some(true) {
            self.missing -= 1;
        }
        Some(self.pair(happened, due, at))
    }

    fn pair(&mut self, happened: Happened, due: Instant, at: Instant) -> Duration {
        match happened {
            Happened::Created => self.created += 1,
            Happened::Resolved => self.resolved += 1,
        }
        self.last = Some(at);
        at.saturating_duration_since(due)
    }

    /// Incidents that were created, by events.
    pub const fn created(&self) -> u64 {
        self.created
    }

    /// Incidents that were resolved, by events.
    pub const fn resolved(&self) -> u64 {
        self.resolved
    }

    /// How many alerts have no event so far of which it was answered that one is to come.
    pub const fn missing(&self) -> usize {
        self.missing
    }

    /// How many alerts have no event so far of which one may come.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// When the last event came.
    pub const fn last(&self) -> Option<Instant> {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(number: u32) -> AlertId {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        AlertId::from_bytes(bytes)
    }

    #[tokio::test]
    async fn an_event_is_paired_whether_it_or_the_answer_is_first() {
        let (mut pairs, due) = (Pairs::default(), Instant::now());
        let after = |ms| due + Duration::from_millis(ms);
        assert!(pairs.answered(alert(1), due, true).is_empty());
        assert!(pairs.answered(alert(3), due, false).is_empty());
        assert_eq!((pairs.missing(), pairs.waiting()), (1, 2));
        let took = pairs.happened(alert(1), Happened::Created, after(7));
        assert_eq!(took, Some(Duration::from_millis(7)));
        // In a second service.
        assert!(pairs.happened(alert(1), Happened::Created, after(8)).is_some());

        assert_eq!(pairs.happened(alert(2), Happened::Resolved, after(3)), None);
        assert_eq!(pairs.answered(alert(2), due, true), [Duration::from_millis(3)]);
        assert_eq!((pairs.missing(), pairs.created(), pairs.resolved()), (0, 2, 1));
        assert_eq!((pairs.waiting(), pairs.last()), (1, Some(after(3))));
    }

    #[tokio::test]
    async fn events_of_others_take_bounded_memory() {
        let (mut pairs, now) = (Pairs::default(), Instant::now());
        for number in 0..=u32::try_from(MAX).unwrap() + 10 {
            assert_eq!(pairs.happened(alert(number), Happened::Created, now), None);
        }
        assert_eq!((pairs.early.things.len(), pairs.early.order.len()), (MAX, MAX));
        assert!(pairs.answered(alert(0), now, false).is_empty());
        assert_eq!(pairs.created(), 0);
    }
}
