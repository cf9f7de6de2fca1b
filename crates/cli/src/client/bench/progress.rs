//! How far a run is, for the person who looks on.
//!
//! Must not know what is done with what was measured.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::load::Load;
use super::schedule::Arrivals;
use crate::out;

/// How often the line of a terminal is written anew.
const SECOND: Duration = Duration::from_secs(1);
/// After how many seconds there is a further line where no terminal is.
const LINES: u64 = 5;

/// Shows it until it is dropped.
pub async fn show(load: &Load, arrivals: &Arrivals) {
    let is_terminal = out::is_watched();
    let mut next = arrivals.begun();
    for second in 1_u64.. {
        next += SECOND;
        sleep_until(next).await;
        if is_terminal {
            out::rewrite(&line(load, arrivals));
        } else if second.is_multiple_of(LINES) {
            out::complain(&line(load, arrivals));
        }
    }
}

/// Ends the line of a terminal, if there is one.
pub fn end() {
    if out::is_watched() {
        out::rewrite("");
    }
}

fn line(load: &Load, arrivals: &Arrivals) -> String {
    let tally = load.tally();
    let p99 = |latencies: &super::latencies::Latencies| {
        latencies
            .percentiles()
            .map_or_else(|| "-".to_owned(), |found| format!("{:.1}", found.p99_ms))
    };
    format!(
        "{} s: {} sent, {} accepted, {} failed, {} wait for a connection; p99 in ms: ack {}, outcome {}, event {}",
        arrivals.begun().elapsed().as_secs(),
        tally.all_sent(),
        tally.all_accepted(),
        tally.all_failed(),
        arrivals.waiting(),
        p99(&tally.ack),
        p99(&tally.outcome),
        p99(&tally.event),
    )
}

/// How often it is looked whether this process is behind.
const BEAT: Duration = Duration::from_millis(10);
/// What timers are late by themselves.
const TIMER: Duration = Duration::from_millis(1);

/// Notes how late this process does what is to be done at a time, until it is dropped: where senders
/// are never idle, nothing else shows that it has too little of the processor.
pub async fn beat(load: &Load) {
    loop {
        let planned = Instant::now() + BEAT;
        sleep_until(planned).await;
        let late = planned.elapsed().saturating_sub(TIMER);
        load.tally().late.record(late);
    }
}
