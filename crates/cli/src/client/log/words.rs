//! An entry of the API log in few words, as lists and tails show it.
//!
//! Must not know where an entry is from.

use wire::proto::gander::admin::v1 as api;

use super::super::names::Labels;
use crate::out::harmless;

/// Why there was no answer.
pub const GONE: &str = "the client went away before there was an answer";

/// What is said of a service in which nothing held.
pub const NOTHING: &str = "nothing matched";
/// Disabled ones are in no entry.
pub const NO_SERVICE: &str = "no service in reach that is not disabled";

/// The id.
pub fn id(entry: &api::ApiLogEntry) -> &str {
    entry.name.trim_start_matches("apiLogEntries/")
}

/// What people call the token; its id where it is gone.
pub fn token(entry: &api::ApiLogEntry) -> &str {
    match entry.token_display_name.as_str() {
        "" => entry.token.trim_start_matches("tokens/"),
        name => name,
    }
}

/// The text with what would drive a terminal escaped, and line breaks too.
pub fn one_line(text: &str) -> String {
    harmless(text).replace('\n', "\\n")
}

/// The text, or a dash for none.
pub fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// The status of the answer.
pub fn status(entry: &api::ApiLogEntry) -> String {
    let status = entry.answer.as_ref().map_or(0, |answer| answer.status);
    if status == 0 { "-".to_owned() } else { status.to_string() }
}

/// What it came to.
pub fn outcome(entry: &api::ApiLogEntry) -> String {
    entry.outcome().as_str_name().trim_start_matches("API_LOG_OUTCOME_").to_lowercase()
}

/// Why it came to that.
pub fn why(labels: &Labels, entry: &api::ApiLogEntry) -> String {
    use api::ApiLogOutcome as Outcome;
    match entry.outcome() {
        Outcome::Refused => {
            let answer = entry.answer.clone().unwrap_or_default();
            if answer.status == 0 { GONE.to_owned() } else { or_dash(&answer.code) }
        }
        Outcome::Pending => missing(entry),
        Outcome::Unmatched => unmatched(labels, entry),
        Outcome::Unspecified => "-".to_owned(),
        Outcome::Created
        | Outcome::Resolved
        | Outcome::Duplicate
        | Outcome::Suppressed
        | Outcome::Failed => happened(labels, entry),
    }
}

/// What is not there yet.
pub fn missing(entry: &api::ApiLogEntry) -> String {
    let missing = entry.missing.clone().unwrap_or_default();
    let partitions: Vec<_> = missing.partitions.iter().map(u32::to_string).collect();
    match (missing.call, partitions.as_slice()) {
        (true, []) => "the call is not there".to_owned(),
        (true, some) => format!("neither the call nor reasons of partitions {}", some.join(", ")),
        (false, some) => format!("no reasons yet of partitions {}", some.join(", ")),
    }
}

/// The first service in which that happened, and how many more there are.
fn happened(labels: &Labels, entry: &api::ApiLogEntry) -> String {
    let fits = |service: &&api::ServiceReasons| is_of(service, entry.outcome());
    let mut fitting = entry.services.iter().filter(fits);
    let Some(first) = fitting.next() else { return "-".to_owned() };
    let told = format!("{}: {}", labels.of(&first.service), verdict(first));
    match fitting.count() {
        0 => told,
        more => format!("{told} (and {more} more)"),
    }
}

fn is_of(service: &api::ServiceReasons, outcome: api::ApiLogOutcome) -> bool {
    use api::{ApiLogOutcome as Outcome, ResolveVerdict, TriggerVerdict};
    match outcome {
        Outcome::Created => service.trigger() == TriggerVerdict::Created,
        Outcome::Resolved => service.resolve() == ResolveVerdict::Resolved,
        Outcome::Duplicate => {
            service.trigger() == TriggerVerdict::Duplicate
                || service.resolve() == ResolveVerdict::Duplicate
        }
        Outcome::Suppressed => service.trigger() == TriggerVerdict::Suppressed,
        Outcome::Failed => service.failed,
        Outcome::Unspecified | Outcome::Refused | Outcome::Pending | Outcome::Unmatched => false,
    }
}

fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn unmatched(labels: &Labels, entry: &api::ApiLogEntry) -> String {
    let without_effect = entry
        .services
        .iter()
        .map(|one| (one, verdict(one)))
        .find(|(_, verdict)| verdict != NOTHING);
    match (without_effect, entry.unmatched_count) {
        (Some((service, verdict)), _) => format!("{}: {verdict}", labels.of(&service.service)),
        (None, 0) => NO_SERVICE.to_owned(),
        (None, 1) => "nothing matched in 1 service".to_owned(),
        (None, count) => format!("nothing matched in {count} services"),
    }
}

/// What came of a service.
pub fn verdict(service: &api::ServiceReasons) -> String {
    use api::{ResolveVerdict, TriggerVerdict};
    let (opened, closed) = (last(&service.triggered_incident), last(&service.resolved_incident));
    let windows: Vec<_> = service.maintenance_windows.iter().map(|name| last(name)).collect();
    let windows = windows.join(", ");
    let trigger = match service.trigger() {
        TriggerVerdict::Unspecified => String::new(),
        TriggerVerdict::Created if opened.is_empty() => "an incident would be created".to_owned(),
        TriggerVerdict::Created => format!("incident {opened} created"),
        TriggerVerdict::Duplicate => format!("incident {opened} is open already"),
        TriggerVerdict::Suppressed => format!("held back by maintenance {windows}"),
    };
    let resolve = match service.resolve() {
        ResolveVerdict::Unspecified => String::new(),
        ResolveVerdict::Resolved => format!("incident {closed} resolved"),
        ResolveVerdict::Duplicate => format!("incident {closed} was resolved before"),
    };
    let failed = if service.failed { "evaluation failed, the alert is parked" } else { "" };
    let all: Vec<_> = [trigger.as_str(), &resolve, failed].into_iter().collect();
    let all: Vec<_> = all.into_iter().filter(|text| !text.is_empty()).collect();
    if all.is_empty() { nothing(service).to_owned() } else { all.join("; ") }
}

/// Why nothing came of a service.
fn nothing(service: &api::ServiceReasons) -> &'static str {
    use api::FilterVerdict;
    let any = |wanted| service.filters.iter().any(|filter| filter.verdict() == wanted);
    if any(FilterVerdict::Resolves) {
        "a filter resolves, but no incident of its value is open"
    } else if any(FilterVerdict::ResolvesNothing) {
        "a filter resolves, but the payload has no value that names an episode"
    } else {
        NOTHING
    }
}
