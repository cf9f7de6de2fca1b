//! What is told at the end of a run, as JSON or for people.
//!
//! Must not know how it was measured.

use std::collections::BTreeMap;

use serde::Serialize;

use super::latencies::Percentiles;
use crate::out::{complain, harmless, say, table};

/// All of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The name of the run; those of its incidents begin with it.
    pub run: String,
    /// Where alerts were sent.
    pub gateway: String,
    /// The version of HTTP: `1.1` or `2`.
    pub http: &'static str,
    /// How many connections there were.
    pub connections: u32,
    /// How many requests at a time there were on each.
    pub streams: u32,
    /// How many alerts were to be due each second.
    pub rate: u32,
    /// How many triggered, repeated and resolved, as asked for.
    pub mix: String,
    /// For how long alerts were due, in seconds.
    pub seconds: f64,
    /// Whether it was ended before its time.
    pub ended_early: bool,
    /// Alerts.
    pub alerts: Alerts,
    /// Alerts that were refused or not answered, by status and code, or by what happened.
    pub errors: BTreeMap<String, u64>,
    /// By token.
    pub tokens: Vec<Token>,
    /// What became of the alerts that waited for it.
    pub outcomes: Outcomes,
    /// Events at a subscriber; null where they were not measured.
    pub events: Option<Events>,
    /// Why events were not measured, or not to the end.
    pub events_missing_because: Option<String>,
    /// Latencies.
    pub latencies: Latencies,
    /// How many of the incidents are still open, as far as is known.
    pub left_open: usize,
    /// What is to be known of these figures.
    pub notes: Vec<String>,
}

/// How many alerts there were.
#[derive(Debug, Default, Serialize)]
pub struct Alerts {
    /// They were due.
    pub due: u64,
    /// They were sent.
    pub sent: u64,
    /// They were due while all connections were busy, until the end.
    pub not_sent: u64,
    /// They were answered 2xx: stored.
    pub accepted: u64,
    /// They were refused or not answered; `errors` says how.
    pub failed: u64,
    /// Their answer was not waited for.
    pub given_up: u64,
    /// They were sent to open an incident.
    pub triggers: u64,
    /// They were sent to repeat one.
    pub repeats: u64,
    /// They were sent to resolve one.
    pub resolves: u64,
    /// So many were sent each second.
    pub sent_per_second: f64,
    /// So many were stored each second: until the last answer.
    pub accepted_per_second: f64,
}

/// A token.
#[derive(Debug, Serialize)]
pub struct Token {
    /// The name of its file, without the folder.
    pub file: String,
    /// Alerts that were sent with it.
    pub sent: u64,
    /// Those that were stored.
    pub accepted: u64,
}

/// What became of the alerts that waited for it; one may have done several of these.
#[derive(Debug, Default, Serialize)]
pub struct Outcomes {
    /// They created an incident.
    pub created: u64,
    /// They resolved one.
    pub resolved: u64,
    /// They named one that was there, or resolved before.
    pub duplicate: u64,
    /// A maintenance window suppressed them.
    pub suppressed: u64,
    /// No filter matched.
    pub nothing: u64,
    /// The gateway did not know in time.
    pub unknown: u64,
}

/// Events of alerts of this run, over all services that their tokens reach.
#[derive(Debug, Serialize)]
pub struct Events {
    /// Incidents that were created.
    pub created: u64,
    /// Incidents that were resolved.
    pub resolved: u64,
    /// Alerts that were answered to have created or resolved an incident, without an event so far.
    pub missing: usize,
}

/// Latencies, from the time at which an alert was due; null where there are none.
#[derive(Debug, Default, Serialize)]
pub struct Latencies {
    /// To the answer that it is stored; of alerts that were not sent, to the end.
    pub ack: Option<Percentiles>,
    /// To the answer with the outcome, or that it is not known in time; of alerts that were not
    /// sent, to the end.
    pub outcome: Option<Percentiles>,
    /// To the event at a subscriber that an incident was created or resolved.
    pub event: Option<Percentiles>,
    /// How late the generator itself sent, where a connection was free.
    pub generator_late: Option<Percentiles>,
    /// How late the generator was for what it does every 10 ms, whatever is sent.
    pub generator_beat: Option<Percentiles>,
}

impl Report {
    /// Shows it to a person.
    pub fn show(&self) {
        let early = if self.ended_early { ", ended early" } else { "" };
        say(&format!(
            "{}: {:.1} s at {} alerts a second, mix {}, to {} over {} connections, HTTP/{}{early}",
            self.run, self.seconds, self.rate, self.mix, self.gateway, self.connections, self.http
        ));
        say("");
        self.show_alerts();
        say("");
        self.show_latencies();
        say("");
        let outcomes = &self.outcomes;
        say(&format!(
            "outcomes: created {}, resolved {}, duplicate {}, suppressed {}, nothing {}, not known in time {}",
            outcomes.created,
            outcomes.resolved,
            outcomes.duplicate,
            outcomes.suppressed,
            outcomes.nothing,
            outcomes.unknown
        ));
        if let Some(events) = &self.events {
            say(&format!(
                "events: created {}, resolved {}, missing {}",
                events.created, events.resolved, events.missing
            ));
        }
        if let Some(why) = &self.events_missing_because {
            let how = if self.events.is_some() { "to the end" } else { "measured" };
            say(&harmless(&format!("events: not {how}: {why}")));
        }
        self.notes.iter().for_each(|note| complain(&format!("note: {note}")));
    }

    fn show_alerts(&self) {
        let alerts = &self.alerts;
        let row = |what: &str, count: u64| vec![what.to_owned(), count.to_string(), String::new()];
        let with = |what: &str, count: u64, rate: f64| {
            vec![what.to_owned(), count.to_string(), format!("{rate:.1}")]
        };
        let mut rows = vec![
            row("due", alerts.due),
            with("sent", alerts.sent, alerts.sent_per_second),
            row("  to trigger", alerts.triggers),
            row("  to repeat", alerts.repeats),
            row("  to resolve", alerts.resolves),
            with("accepted", alerts.accepted, alerts.accepted_per_second),
        ];
        if self.tokens.len() > 1 {
            rows.extend(
                self.tokens
                    .iter()
                    .map(|token| row(&format!("  with {}", token.file), token.accepted)),
            );
        }
        rows.push(row("failed", alerts.failed));
        rows.extend(self.errors.iter().map(|(how, count)| row(&format!("  {how}"), *count)));
        rows.push(row("not sent", alerts.not_sent));
        if alerts.given_up > 0 {
            rows.push(row("given up", alerts.given_up));
        }
        table(&["ALERTS", "COUNT", "A SECOND"], rows);
    }

    fn show_latencies(&self) {
        let latencies = &self.latencies;
        let row = |what: &str, found: &Option<Percentiles>| {
            let Some(found) = found else {
                return vec![what.to_owned(), "0".to_owned()];
            };
            let times = [found.p50_ms, found.p90_ms, found.p99_ms, found.p99_9_ms, found.max_ms];
            let times = times.into_iter().map(|ms| format!("{ms:.1}"));
            [what.to_owned(), found.count.to_string()].into_iter().chain(times).collect()
        };
        let head = ["LATENCY IN MS", "COUNT", "P50", "P90", "P99", "P99.9", "MAX"];
        table(
            &head,
            vec![
                row("ack", &latencies.ack),
                row("outcome", &latencies.outcome),
                row("event", &latencies.event),
                row("generator late", &latencies.generator_late),
                row("generator beat", &latencies.generator_beat),
            ],
        );
    }
}
