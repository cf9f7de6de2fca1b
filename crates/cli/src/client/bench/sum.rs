//! From what was counted to what is told.
//!
//! Must not know how it is shown.

use std::path::Path;

use super::super::commands::BenchArgs;
use super::load::Load;
use super::report::{Alerts, Events, Latencies, Outcomes, Report, Token};
use super::schedule::Arrivals;
use super::tally::Tally;

/// A generator that is later than this has measured itself.
const LATE_MS: f64 = 10.0;

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
    };
    let outcomes = outcomes(&tally);
    let notes = notes(&alerts, &latencies, &outcomes, &tally);
    Report {
        run: load.run.clone(),
        gateway: args.gateway.clone(),
        http: if args.http2 { "2" } else { "1.1" },
        connections: args.connections,
        streams: if args.http2 { args.streams } else { 1 },
        rate: args.rate,
        mix: args.mix.to_string(),
        seconds: tenths(arrivals.lasted().as_secs_f64()),
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
        left_open: load.left_open(),
        notes,
        alerts,
    }
}

fn alerts(tally: &Tally, arrivals: &Arrivals) -> Alerts {
    let (sent, accepted, failed) = (tally.all_sent(), tally.all_accepted(), tally.all_failed());
    let lasted = arrivals.lasted();
    let answered = tally.last.map(|last| last.saturating_duration_since(arrivals.begun()));
    let per_second = |count: u64, over: std::time::Duration| {
        tenths(count as f64 / over.as_secs_f64().max(0.001))
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
) -> Vec<String> {
    let mut notes = Vec::new();
    let late = latencies.generator_late.filter(|late| late.p99_ms > LATE_MS);
    if let Some(late) = late {
        notes.push(format!(
            "the generator itself was late (p99 {:.1} ms): these latencies are its own in part; give it more of the processor, or a lower --rate",
            late.p99_ms
        ));
    }
    if alerts.not_sent > 0 {
        notes.push(format!(
            "{} alerts were due and not sent, as all connections were busy: more is asked for than is answered in time; a lower --rate, or more --connections",
            alerts.not_sent
        ));
    }
    let known = outcomes.created + outcomes.resolved + outcomes.duplicate + outcomes.suppressed;
    if outcomes.nothing > 0 && known == 0 {
        notes.push(
            "no filter matched any alert: gander bench --help has the one that fits".to_owned(),
        );
    }
    if tally.errors.keys().any(|how| how.starts_with("429")) {
        notes.push(
            "429: a token or an address has a limit (--rate-limit-token of the gateway, 1000 alerts a second): use more tokens, or raise it"
                .to_owned(),
        );
    }
    notes
}

/// With three decimals.
fn tenths(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}
