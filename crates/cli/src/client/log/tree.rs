//! One entry of the API log for a person: what was asked and answered, and why, filter by filter.
//!
//! Whatever came from outside is escaped. Must not know where an entry is from.

use wire::proto::gander::admin::v1 as api;

use super::super::names::Labels;
use super::super::shown_time;
use super::body;
use super::indent::indented;
use super::reasons;
use super::replay;
use super::words::{self, missing, one_line, or_dash, outcome, verdict};
use crate::out::{Colour, harmless, painted, say};

/// The most lines of a body.
const BODY_LINES: usize = 60;

/// Shows an entry.
pub fn tell(labels: &Labels, entry: &api::ApiLogEntry) {
    lines(labels, entry).iter().for_each(|line| say(line.trim_end()));
}

fn lines(labels: &Labels, entry: &api::ApiLogEntry) -> Vec<String> {
    let mut lines = head(labels, entry);
    lines.extend(request(entry));
    lines.extend(answer(entry));
    lines.extend([String::new(), "Why".to_owned()]);
    lines.extend(no_json(entry).map(|line| format!("  {line}")));
    lines.extend(services(labels, entry).into_iter().map(|line| format!("  {line}")));
    lines
}

/// Said of a whole body that is text and no JSON.
fn no_json(entry: &api::ApiLogEntry) -> Option<&'static str> {
    let request = entry.request.as_ref().filter(|request| !request.body_cut)?;
    let is_form =
        |header: &api::ApiLogHeader| header.name == "content-type" && header.value.contains("form");
    let body = body::decoded(request).filter(|_| !request.headers.iter().any(is_form))?;
    (!replay::is_json(&body)).then_some("the payload is no JSON: no key finds anything in it")
}

/// Shows only why, of an alert that has not come.
pub fn why(labels: &Labels, entry: &api::ApiLogEntry) {
    say(&format!("It would be: {}", painted(&outcome(entry), colour(entry.outcome()))));
    services(labels, entry).iter().for_each(|line| say(&format!("  {}", line.trim_end())));
}

fn services(labels: &Labels, entry: &api::ApiLogEntry) -> Vec<String> {
    let mut lines: Vec<_> =
        entry.services.iter().flat_map(|service| reasons(labels, service)).collect();
    lines.extend(rest(entry));
    lines
}

fn head(labels: &Labels, entry: &api::ApiLogEntry) -> Vec<String> {
    let reach = match entry.target.as_str() {
        "" if entry.request.is_none() => "-",
        "" => "everything",
        target => labels.of(target),
    };
    let rows = [
        ("Alert", words::id(entry).to_owned()),
        ("Time", shown_time(entry.receive_time.as_ref())),
        ("Token", one_line(&format!("{}, reaches {reach}", words::token(entry)))),
        ("From", one_line(&or_dash(&entry.from))),
        ("Outcome", painted(&outcome(entry), colour(entry.outcome()))),
    ];
    rows.into_iter().map(|(field, value)| format!("{field:<8}  {value}")).collect()
}

/// The colour of an outcome.
pub const fn colour(outcome: api::ApiLogOutcome) -> Colour {
    use api::ApiLogOutcome as Outcome;
    match outcome {
        Outcome::Created | Outcome::Resolved => Colour::Green,
        Outcome::Failed | Outcome::Refused => Colour::Red,
        Outcome::Suppressed | Outcome::Unmatched | Outcome::Pending => Colour::Yellow,
        Outcome::Duplicate | Outcome::Unspecified => Colour::None,
    }
}

fn request(entry: &api::ApiLogEntry) -> Vec<String> {
    let mut lines = vec![String::new(), "Request".to_owned()];
    let Some(request) = &entry.request else {
        lines.push("  it is not there".to_owned());
        return lines;
    };
    let line = format!("  {} {}  from {}", request.method, request.uri, request.client);
    lines.push(one_line(&line));
    for header in &request.headers {
        lines.push(one_line(&format!("  {}: {}", header.name, header.value)));
    }
    let cut = if request.body_cut { ", of which this is the beginning" } else { "" };
    match body::decoded(request) {
        Some(body) => {
            lines.push(format!("  ({} bytes{cut})", request.body_bytes));
            lines.extend(text(&body));
        }
        None if request.body_cut => lines.push("  (the body is left out)".to_owned()),
        None => lines.push("  (the body was not read)".to_owned()),
    }
    lines
}

fn answer(entry: &api::ApiLogEntry) -> Vec<String> {
    let mut lines = vec![String::new(), "Answer".to_owned()];
    match &entry.answer {
        Some(answer) if answer.status == 0 => lines.push(format!("  {}", words::GONE)),
        Some(answer) => {
            let millis = answer.duration_micros.div_ceil(1_000);
            lines.push(one_line(&format!("  {} {}  in {millis} ms", answer.status, answer.code)));
            lines.extend(text(&answer.body));
        }
        None => lines.push("  it is not there".to_owned()),
    }
    lines
}

/// A body, JSON a member a line, otherwise as it was sent.
fn text(body: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(body);
    let text = indented(&text).unwrap_or_else(|| text.into_owned());
    let count = text.lines().count();
    let shown = text.lines().take(BODY_LINES).map(|line| format!("  {}", harmless(line)));
    let mut lines: Vec<_> = shown.collect();
    if count > BODY_LINES {
        lines.push(format!("  … {} more lines: see --body", count - BODY_LINES));
    }
    lines
}

/// What there is beside the services that are shown.
fn rest(entry: &api::ApiLogEntry) -> Vec<String> {
    let mut lines = Vec::new();
    let shown = entry.services.iter().filter(|one| verdict(one) == words::NOTHING).count();
    let more = entry.unmatched_count.saturating_sub(u64::try_from(shown).unwrap_or(0));
    if more > 0 {
        lines.push(format!("nothing matched in {more} more services: see --unmatched"));
    }
    if entry.missing.is_some() {
        lines.push(painted(&format!("not all is there: {}", missing(entry)), Colour::Yellow));
    }
    if entry.cut {
        lines.push("some was left out, since it is over 3 MiB".to_owned());
    }
    if entry.left_out_count > 0 {
        lines.push(format!("something matched in {} more services", entry.left_out_count));
    }
    if lines.is_empty() && entry.services.is_empty() {
        let refused = entry.outcome() == api::ApiLogOutcome::Refused;
        let none = words::NO_SERVICE;
        lines.push(if refused { "nothing was stored: see the answer" } else { none }.to_owned());
    }
    lines
}
