//! Recorded calls, evaluated with the filters of now.
//!
//! Compares what filters come to, not what became of it: whether an incident is open now is another
//! matter. Must not know how filters are evaluated.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use domain::json::Json;
use wire::proto::gander::admin::v1 as api;

use super::super::names::Labels;
use super::super::{Connect, Output, explain};
use super::{Client, body, named};
use crate::out::{Colour, harmless, json_line, painted, say};

/// Replays entries, one after the other. One that cannot be asked for does not keep the others from it.
pub async fn run(
    connect: &Connect,
    labels: &Labels,
    client: &mut Client,
    entries: &[String],
) -> anyhow::Result<()> {
    let mut errors = Vec::new();
    for entry in entries {
        let told = match replayed(labels, client, entry).await {
            Ok(told) => told,
            Err(error) => {
                let told = Told::not(harmless(&explain(&error)));
                errors.push(error);
                told
            }
        };
        tell(connect, &harmless(entry), &told);
    }
    // The exit code is that of the last one.
    let failed = errors.len();
    errors.pop().map_or(Ok(()), Err).with_context(|| {
        format!("{failed} of {} entries could not be asked for, the last because", entries.len())
    })
}

async fn replayed(labels: &Labels, client: &mut Client, entry: &str) -> anyhow::Result<Told> {
    let request = api::GetApiLogEntryRequest { name: named(entry)?, ..Default::default() };
    let then = client.get_api_log_entry(request).await?.into_inner();
    let payload = match payload(&then) {
        Err(why) => return Ok(Told::not(why.to_owned())),
        Ok(payload) => payload,
    };
    let (token, from) = (then.token.clone(), then.from.clone());
    let request = api::ExplainAlertRequest { token, payload, from };
    let now = client.explain_alert(request).await?.into_inner();
    Ok(compare(labels, &then, &now))
}

/// What there is to tell of an entry.
struct Told {
    /// Whether it comes to something else; none where it cannot be replayed.
    differs: Option<bool>,
    lines: Vec<String>,
}

impl Told {
    /// It is not replayed, and why.
    fn not(why: String) -> Self {
        Self { differs: None, lines: vec![why] }
    }
}

fn tell(connect: &Connect, name: &str, told: &Told) {
    if connect.output == Output::Json {
        let (differs, lines) = (told.differs, &told.lines);
        let told = serde_json::json!({"name": name, "differs": differs, "lines": lines});
        say(&json_line(&told).unwrap_or_default());
        return;
    }
    let word = match told.differs {
        None => painted("not replayed", Colour::Yellow),
        Some(false) => "the same".to_owned(),
        Some(true) => painted("differs", Colour::Red),
    };
    say(&format!("{}  {word}", name.trim_start_matches("apiLogEntries/")));
    told.lines.iter().for_each(|line| say(&format!("  {line}")));
}

/// The payload as the filters saw it.
fn payload(then: &api::ApiLogEntry) -> Result<bytes::Bytes, &'static str> {
    let request = then.request.as_ref().ok_or("the call is missing in the log")?;
    let failed = then.answer.as_ref().is_some_and(|answer| answer.status >= 400);
    if failed || then.outcome() == api::ApiLogOutcome::Refused {
        return Err("it was refused then");
    }
    if then.missing.is_some() {
        return Err("not all of its reasons are in the log");
    }
    let says = |name: &str, text: &str| {
        let mut named = request.headers.iter().filter(|header| header.name == name);
        named.any(|header| header.value.to_ascii_lowercase().contains(text))
    };
    let encoded = ["gzip", "deflate"].into_iter().any(|how| says("content-encoding", how));
    match body::decoded(request) {
        None => Err("its body was not kept"),
        Some(_) if request.body_cut => Err("its body was cut"),
        Some(_) if then.cut => Err("some of it is left out for its size"),
        Some(_) if request.body_redacted => Err("parts of its body are redacted"),
        Some(body) if encoded && Some(&body) == request.body.as_ref() && !is_json(&body) => {
            Err("its body cannot be decoded")
        }
        // Senders such as curl label JSON as a form, and the gateway takes it as JSON.
        Some(body) if says("content-type", "form") && !is_json(&body) => Err("its body is a form"),
        Some(body) => Ok(body),
    }
}

/// Whether keys find anything in the body.
pub fn is_json(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    std::str::from_utf8(body).is_ok_and(|text| Json::parse(text).is_ok())
}

/// In which services filters come to something else.
fn compare(labels: &Labels, then: &api::ApiLogEntry, now: &api::ApiLogEntry) -> Told {
    let (before, after) = (by_service(then), by_service(now));
    let names: BTreeSet<_> = before.keys().chain(after.keys()).copied().collect();
    let of = |all: &BTreeMap<&str, String>, name| {
        all.get(name).cloned().unwrap_or_else(|| "nothing".to_owned())
    };
    let mut lines = Vec::new();
    for name in names {
        let (before, after) = (of(&before, name), of(&after, name));
        if before != after {
            let name = harmless(labels.of(name));
            lines.push(format!("{name}: {before} then, {after} now"));
        }
    }
    let missing = now.missing.as_ref().map_or(0, |missing| missing.partitions.len());
    let differs = !lines.is_empty();
    if missing > 0 {
        lines.push(format!("{missing} partitions did not answer: is a worker running?"));
    }
    Told { differs: Some(differs), lines }
}

/// What the filters of each service came to; those that came to nothing are left out.
fn by_service(entry: &api::ApiLogEntry) -> BTreeMap<&str, String> {
    let all = entry.services.iter().map(|service| (service.service.as_str(), came_to(service)));
    all.filter(|(_, came_to)| came_to != "nothing").collect()
}

fn came_to(service: &api::ServiceReasons) -> String {
    let called = |verdict: api::FilterVerdict, word: &str| {
        let mut found = service.filters.iter().filter(move |filter| filter.verdict() == verdict);
        found.next().map(|filter| format!("{word} by {:?}", filter.display_name))
    };
    let suppressed = service.trigger() == api::TriggerVerdict::Suppressed;
    let trigger = if suppressed { "suppressed" } else { "triggered" };
    let words = [
        called(api::FilterVerdict::Triggers, trigger),
        called(api::FilterVerdict::Resolves, "resolved"),
        service.failed.then(|| "failed".to_owned()),
    ];
    let words: Vec<_> = words.into_iter().flatten().collect();
    if words.is_empty() { "nothing".to_owned() } else { harmless(&words.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(services: &[(&str, api::FilterVerdict)]) -> api::ApiLogEntry {
        let service = |(name, verdict): &(&str, api::FilterVerdict)| {
            let verdict = (*verdict).into();
            let display_name = "am".to_owned();
            let filter = api::FilterReasons { display_name, verdict, ..Default::default() };
            let (service, filters) = ((*name).to_owned(), vec![filter]);
            api::ServiceReasons { service, filters, ..Default::default() }
        };
        let services = services.iter().map(service).collect();
        api::ApiLogEntry { services, ..Default::default() }
    }

    #[test]
    fn only_services_where_it_comes_to_something_else_are_told() {
        use api::FilterVerdict::{Resolves, Triggers, Unspecified};
        let then = entry(&[("a", Triggers), ("b", Unspecified), ("c", Resolves)]);
        let labels = Labels::default();
        let same = compare(&labels, &then, &entry(&[("a", Triggers), ("c", Resolves)]));
        assert_eq!((same.differs, same.lines.len()), (Some(false), 0));
        let told = compare(&labels, &then, &entry(&[("a", Triggers), ("b", Triggers)]));
        assert_eq!(told.differs, Some(true));
        assert_eq!(
            told.lines,
            ["b: nothing then, triggered by \"am\" now", "c: resolved by \"am\" then, nothing now"]
        );
    }

    #[test]
    fn what_was_not_kept_as_it_was_seen_is_not_replayed() {
        let header = |name: &str, value: &str| api::ApiLogHeader {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let call = |headers: Vec<api::ApiLogHeader>, body: Option<&'static [u8]>, body_cut| {
            let body = body.map(bytes::Bytes::from_static);
            let request =
                Some(api::ApiLogRequest { headers, body, body_cut, ..Default::default() });
            payload(&api::ApiLogEntry { request, ..Default::default() })
        };
        assert!(call(vec![], Some(b"{}"), false).is_ok());
        assert!(call(vec![], None, false).is_err());
        assert!(call(vec![], Some(b"{}"), true).is_err());
        assert!(call(vec![header("content-encoding", "gzip")], Some(b"\x1f\x8b"), false).is_err());
        let form = header("content-type", "application/x-www-form-urlencoded");
        assert!(call(vec![form], Some(b"payload=1"), false).is_err());
    }

    #[test]
    fn what_cannot_come_to_the_same_is_not_replayed() {
        let body = Some(bytes::Bytes::from_static(b"{}"));
        let request = api::ApiLogRequest { body, ..Default::default() };
        let fine = || api::ApiLogEntry { request: Some(request.clone()), ..Default::default() };
        assert!(payload(&fine()).is_ok());
        let missing = api::MissingParts { call: false, partitions: vec![1] };
        assert!(payload(&api::ApiLogEntry { missing: Some(missing), ..fine() }).is_err());
        assert!(payload(&api::ApiLogEntry { cut: true, ..fine() }).is_err());
        let redacted = Some(api::ApiLogRequest { body_redacted: true, ..request.clone() });
        let redacted = api::ApiLogEntry { request: redacted, ..fine() };
        assert_eq!(payload(&redacted), Err("parts of its body are redacted"));
        let gone = api::ApiLogOutcome::Refused.into();
        for (status, outcome) in [(429, 0), (503, 0), (0, gone)] {
            let answer = Some(api::ApiLogAnswer { status, ..Default::default() });
            let refused = api::ApiLogEntry { answer, outcome, ..fine() };
            assert_eq!(payload(&refused), Err("it was refused then"), "{status}");
        }
    }
}
