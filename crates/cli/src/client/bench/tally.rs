//! What has come of the alerts so far.
//!
//! Must not know how it is shown.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::id::AlertId;
use tokio::time::Instant;

use super::answer::{Accepted, Failed};
use super::episodes::Task;
use super::latencies::Latencies;
use super::mix::Kind;
use super::pairs::{Happened, Pairs};

/// So many different errors are told apart.
const MAX_ERRORS: usize = 50;
/// What all others are counted as.
const OTHERS: &str = "others";

/// All that is counted and measured.
#[derive(Debug)]
pub struct Tally {
    /// Alerts that were sent, by kind.
    pub sent: [u64; 3],
    /// Alerts of each token: sent, and accepted.
    pub tokens: Vec<(u64, u64)>,
    /// Alerts that failed, by how.
    pub errors: BTreeMap<String, u64>,
    /// What became of those that waited for it.
    pub outcomes: Outcomes,
    /// From due to stored, of alerts that asked for no more; or to the end, of those not sent.
    pub ack: Latencies,
    /// From due to the outcome, of alerts that waited for it; or to the end, of those not sent.
    pub outcome: Latencies,
    /// From due to the event, of alerts that created or resolved an incident.
    pub event: Latencies,
    /// How late the generator sent what somebody was there to send.
    pub late: Latencies,
    /// How late the generator was for what it does every so often, whatever is sent.
    pub beats: Latencies,
    /// Alerts and their events.
    pub pairs: Pairs,
    /// When the last answer came.
    pub last: Option<Instant>,
}

/// What became of alerts that waited for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcomes {
    /// An incident was created.
    pub created: u64,
    /// An incident was resolved.
    pub resolved: u64,
    /// It named an incident that was there, or resolved before.
    pub duplicate: u64,
    /// A maintenance window suppressed it.
    pub suppressed: u64,
    /// Nothing: no filter matched.
    pub nothing: u64,
    /// Not known in the time that the gateway has.
    pub unknown: u64,
}

impl Tally {
    /// Nothing yet, of so many tokens.
    pub fn new(tokens: usize) -> Self {
        Self {
            sent: [0; 3],
            tokens: vec![(0, 0); tokens],
            errors: BTreeMap::new(),
            outcomes: Outcomes::default(),
            ack: Latencies::none(),
            outcome: Latencies::none(),
            event: Latencies::none(),
            late: Latencies::none(),
            beats: Latencies::none(),
            pairs: Pairs::default(),
            last: None,
        }
    }

    /// An alert goes out, so late where somebody was there to send it in time.
    pub fn sending(&mut self, kind: Kind, token: usize, late: Option<Duration>) {
        self.sent[kind as usize] += 1;
        self.tokens[token].0 += 1;
        if let Some(late) = late {
            self.late.record(late);
        }
    }

    /// An alert was stored.
    pub fn accepted(&mut self, task: Task, token: usize, due: Instant, accepted: Accepted) {
        let now = Instant::now();
        self.last = Some(now);
        self.tokens[token].1 += 1;
        let latencies = if task.waits { &mut self.outcome } else { &mut self.ack };
        latencies.record(now.saturating_duration_since(due));
        let must = accepted.outcome.is_some_and(|outcome| outcome.created || outcome.resolved);
        if task.waits {
            self.outcomes.count(accepted);
        }
        if must || (accepted.outcome.is_none() && task.kind != Kind::Repeat) {
            for took in self.pairs.answered(accepted.alert, due, must) {
                self.event.record(took);
            }
        }
    }

    /// An alert was refused, or not answered.
    pub fn failed(&mut self, Failed(how): Failed) {
        self.last = Some(Instant::now());
        let is_known = self.errors.len() < MAX_ERRORS || self.errors.contains_key(&how);
        let how = if is_known { how } else { OTHERS.to_owned() };
        *self.errors.entry(how).or_default() += 1;
    }

    /// An alert was due and nobody could send it until the end: it would have taken longer than it
    /// has waited.
    pub fn not_sent(&mut self, waits: bool, waited: Duration) {
        let latencies = if waits { &mut self.outcome } else { &mut self.ack };
        latencies.record(waited);
    }

    /// An event has come, of any alert.
    pub fn happened(&mut self, alert: AlertId, happened: Happened) {
        if let Some(took) = self.pairs.happened(alert, happened, Instant::now()) {
            self.event.record(took);
        }
    }

    /// How many alerts were sent.
    pub fn all_sent(&self) -> u64 {
        self.sent.iter().sum()
    }

    /// How many alerts were stored.
    pub fn all_accepted(&self) -> u64 {
        self.tokens.iter().map(|(_, accepted)| accepted).sum()
    }

    /// How many failed.
    pub fn all_failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

impl Outcomes {
    fn count(&mut self, accepted: Accepted) {
        let Some(outcome) = accepted.outcome else {
            self.unknown += 1;
            return;
        };
        self.created += u64::from(outcome.created);
        self.resolved += u64::from(outcome.resolved);
        self.duplicate += u64::from(outcome.duplicate);
        self.suppressed += u64::from(outcome.suppressed);
        let something =
            outcome.created || outcome.resolved || outcome.duplicate || outcome.suppressed;
        self.nothing += u64::from(!something);
    }
}
