//! How far a run is, for the person who looks on.
//!
//! Must not know what is done with what was measured.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::load::Load;
use super::schedule::Arrivals;
use super::tally::Tally;
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
/// are never idle, nothing else shows that it has too little of the processor. Beats are planned from
/// the begin, not from the one before, so that a second in which it stands still is as many late beats
/// as were due in it.
pub async fn beat(tally: &Mutex<Tally>) {
    let mut planned = Instant::now();
    loop {
        planned += BEAT;
        sleep_until(planned).await;
        let late = planned.elapsed().saturating_sub(TIMER);
        tally.lock().unwrap_or_else(PoisonError::into_inner).beats.record(late);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_generator_that_stands_still_is_late_for_every_beat_of_that_time() {
        let tally = Arc::new(Mutex::new(Tally::new(1)));
        let shared = Arc::clone(&tally);
        let beating = tokio::spawn(async move { beat(&shared).await });
        sleep_until(Instant::now() + BEAT).await;
        // This runtime has one thread, so nothing else goes on meanwhile.
        let stall = Duration::from_millis(500);
        std::thread::sleep(stall);
        sleep_until(Instant::now() + BEAT).await;
        beating.abort();
        let tally = tally.lock().unwrap();
        let found = tally.beats.percentiles().unwrap();
        assert!(found.count >= 50 && found.max_ms >= 480.0, "{found:?}");
        // Half of the beats of the stall are late by half of it, whatever few were in time.
        assert!(found.p50_ms >= 200.0, "{found:?}");
        assert_eq!(tally.late.count(), 0);
    }
}
