//! From what was counted to what is told.
//!
//! Must not know how it is shown.

use std::path::Path;

use super::super::commands::BenchArgs;
use super::latencies::Percentiles;
use super::load::Load;
use super::report::{Alerts, Events, Latencies, Outcomes, Report, Token};
use super::schedule::Arrivals;
use super::tally::Tally;

/// A generator that is later than this has measured itself.
const LATE_MS: f64 = 10.0;
/// One that once stood still for so long has too, though a long run does not show it in a percentile.
const STILL_MS: f64 = 500.0;
/// Beyond one failure in so many alerts, latencies leave out what matters.
const FAILED_OF: u64 = 1_000;

/// Sums up a run; `unwatched` says why events were not measured, or not to the end.
pub fn report(
    args: &BenchArgs,
    load: &Load,
    arrivals: &Arrivals,
    unwatched: Option<String>,
    watched: bool,
) -> Report {
    let tally = load.tally();
    let alerts = alerts(&tally, arrivals);
    let latencies = Latencies {
        ack: tally.ack.percentiles(),
        outcome: tally.outcome.percentiles(),
        event: tally.event.percentiles(),
        generator_late: tally.late.percentiles(),
        generator_beat: tally.beats.percentiles(),
    };
    let outcomes = outcomes(&tally);
    let left_open = load.left_open();
    let notes = notes(&alerts, &latencies, &outcomes, &tally, left_open);
    Report {
        run: load.run.clone(),
        gateway: args.gateway.clone(),
        http: if args.http2 { "2" } else { "1.1" },
        connections: args.connections,
        streams: if args.http2 { args.streams } else { 1 },
        rate: args.rate,
        mix: args.mix.to_string(),
        seconds: rounded(arrivals.lasted().as_secs_f64()),
        ended_early: arrivals.is_stopped(),
        errors: tally.errors.clone(),
        tokens: tokens(args, &tally),
        outcomes,
        events: watched.then(|| Events {
            created: tally.pairs.created(),
            resolved: tally.pairs.resolved(),
            missing: tally.pairs.missing(),
        }),
        events_missing_because: unwatched,
        latencies,
        left_open,
        notes,
        alerts,
    }
}

fn alerts(tally: &Tally, arrivals: &Arrivals) -> Alerts {
    let (sent, accepted, failed) = (tally.all_sent(), tally.all_accepted(), tally.all_failed());
    let lasted = arrivals.lasted();
    let answered = tally.last.map(|last| last.saturating_duration_since(arrivals.begun()));
    let per_second = |count: u64, over: std::time::Duration| {
        rounded(count as f64 / over.as_secs_f64().max(0.001))
    };
    let [triggers, repeats, resolves] = tally.sent;
    Alerts {
        due: arrivals.due(),
        sent,
        not_sent: arrivals.waiting(),
        accepted,
        failed,
        given_up: sent.saturating_sub(accepted + failed),
        triggers,
        repeats,
        resolves,
        sent_per_second: per_second(sent, lasted),
        accepted_per_second: per_second(accepted, answered.unwrap_or(lasted).max(lasted)),
    }
}

fn outcomes(tally: &Tally) -> Outcomes {
    let outcomes = tally.outcomes;
    Outcomes {
        created: outcomes.created,
        resolved: outcomes.resolved,
        duplicate: outcomes.duplicate,
        suppressed: outcomes.suppressed,
        nothing: outcomes.nothing,
        unknown: outcomes.unknown,
    }
}

fn tokens(args: &BenchArgs, tally: &Tally) -> Vec<Token> {
    let label = |path: &Path| {
        path.file_name().map_or_else(|| "-".to_owned(), |name| name.to_string_lossy().into_owned())
    };
    let counted = args.token_files.iter().zip(&tally.tokens);
    let token = |(path, (sent, accepted)): (&std::path::PathBuf, &(u64, u64))| Token {
        file: label(path),
        sent: *sent,
        accepted: *accepted,
    };
    counted.map(token).collect()
}

fn notes(
    alerts: &Alerts,
    latencies: &Latencies,
    outcomes: &Outcomes,
    tally: &Tally,
    left_open: usize,
) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(late(latencies));
    if alerts.not_sent > 0 {
        notes.push(format!(
            "{} alerts were due and not sent, as all connections were busy: more is asked for than is answered in time; a lower --rate, or more --connections. They count in ack and outcome with what they had waited at the end, which is less than they would have taken",
            alerts.not_sent
        ));
    }
    if alerts.failed > alerts.sent / FAILED_OF {
        notes.push(format!(
            "{} of {} alerts failed: how long that took is in no row, so latencies are those of the others",
            alerts.failed, alerts.sent
        ));
    }
    let known = outcomes.created + outcomes.resolved + outcomes.duplicate + outcomes.suppressed;
    let is_unmatched = outcomes.nothing > 0 && known == 0;
    if is_unmatched {
        notes.push("no filter matched any alert: gander bench --help has one that fits".to_owned());
    }
    if tally.errors.keys().any(|how| how.starts_with("429")) {
        notes.push(
            "429: a token or an address has a limit (--rate-limit-token of the gateway, 1000 alerts a second): use more tokens, or raise it"
                .to_owned(),
        );
    }
    if left_open > 0 && !is_unmatched {
        notes.push(format!(
            "up to {left_open} incidents are left open in each service: gander incident list"
        ));
    }
    notes
}

/// Whether the generator has measured itself.
fn late(latencies: &Latencies) -> Option<String> {
    let both = [latencies.generator_late, latencies.generator_beat];
    let most = |of: fn(&Percentiles) -> f64| both.iter().flatten().map(of).fold(0.0, f64::max);
    let (p99, max) = (most(|late| late.p99_ms), most(|late| late.max_ms));
    let how = match (p99 > LATE_MS, max > STILL_MS) {
        (true, _) => format!("was late (p99 {p99:.1} ms)"),
        (false, true) => format!("stood still once ({max:.1} ms)"),
        (false, false) => return None,
    };
    Some(format!(
        "the generator itself {how}: these latencies are its own in part; give it more of the processor, or a lower --rate"
    ))
}

/// With three decimals.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::super::answer::Failed;
    use super::*;

    fn check(
        alerts: Alerts,
        latencies: Latencies,
        outcomes: Outcomes,
        left_open: usize,
        expected: &[&str],
    ) {
        let found = notes(&alerts, &latencies, &outcomes, &Tally::new(1), left_open);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}");
        }
    }

    #[test]
    fn what_makes_figures_doubtful_is_said() {
        let (alerts, latencies, outcomes) =
            (Alerts::default, Latencies::default, Outcomes::default);
        check(alerts(), latencies(), outcomes(), 0, &[]);
        let late = |p99_ms| {
            let late = Percentiles { p99_ms, ..Percentiles::default() };
            Latencies { generator_late: Some(late), ..Latencies::default() }
        };
        check(alerts(), late(LATE_MS), outcomes(), 0, &[]);
        check(alerts(), late(LATE_MS + 0.1), outcomes(), 0, &["the generator itself was late"]);
        let beat = |p99_ms, max_ms| {
            let beat = Percentiles { p99_ms, max_ms, ..Percentiles::default() };
            Latencies { generator_beat: Some(beat), ..late(0.1) }
        };
        check(alerts(), beat(LATE_MS, STILL_MS), outcomes(), 0, &[]);
        check(alerts(), beat(900.0, 1_000.0), outcomes(), 0, &["itself was late (p99 900.0 ms)"]);
        check(alerts(), beat(0.1, 1_000.0), outcomes(), 0, &["stood still once (1000.0 ms)"]);
        let failed = |failed| Alerts { sent: 10_000, failed, ..alerts() };
        check(failed(10), latencies(), outcomes(), 0, &[]);
        check(failed(11), latencies(), outcomes(), 0, &["11 of 10000 alerts failed"]);
        let behind = Alerts { not_sent: 3, ..alerts() };
        check(behind, latencies(), outcomes(), 0, &["3 alerts were due and not sent"]);
        let nothing = Outcomes { nothing: 3, ..outcomes() };
        check(alerts(), latencies(), nothing, 7, &["no filter matched"]);
        let some = Outcomes { nothing: 3, created: 1, ..outcomes() };
        check(alerts(), latencies(), some, 7, &["up to 7 incidents"]);
    }

    #[test]
    fn a_limit_of_a_token_is_explained() {
        let mut tally = Tally::new(1);
        tally.failed(Failed("429 RATE_LIMITED".to_owned()));
        let (alerts, latencies) = (Alerts::default(), Latencies::default());
        let found = notes(&alerts, &latencies, &Outcomes::default(), &tally, 0);
        assert!(found.len() == 1 && found[0].contains("--rate-limit-token"), "{found:?}");
    }
}
