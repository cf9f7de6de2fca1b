//! What a sender of alerts controls: the parts of a request, and what filters look for in it.
//!
//! An input for the parts of a request looks like one: the target, header lines, an empty line, the
//! body. Must not know connections: how requests are framed is the HTTP library's business.

use std::borrow::Cow;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use domain::filter::{Condition, Filter, Item, Key, Resolve, Trigger, Urgency};
use domain::id::{FilterId, ServiceId, TeamId};
use domain::json::{self, Json};
use domain::name::DisplayName;
use domain::payload::Payload;
use domain::reach::Reach;
use domain::secret;
use gateway::doors;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::de::IgnoredAny;

use crate::line;

const LIMIT: u64 = 64 * 1024;

struct Request<'a> {
    path: &'a str,
    query: Option<&'a str>,
    headers: HeaderMap,
    body: Bytes,
}

fn request(bytes: &[u8]) -> Request<'_> {
    let (target, mut rest) = line(bytes);
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let mut headers = HeaderMap::new();
    while headers.len() < 64 {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let (head, after) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
        rest = after;
        let Some(colon) = head.iter().position(|byte| *byte == b':') else { break };
        let name = HeaderName::from_bytes(&head[..colon]);
        let value = HeaderValue::from_bytes(head[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    Request { path, query, headers, body: Bytes::copy_from_slice(rest) }
}

/// What never waits for anything outside.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

/// The token of a request. What is read as one is never in what is kept of the request.
pub fn credential(bytes: &[u8]) {
    let request = request(bytes);
    let query = request.query.unwrap_or_default();
    if let Some(source) = doors::source(query) {
        assert!(source.chars().count() <= domain::filter::MAX_SOURCE);
    }
    let Some((secret, by_url)) = doors::credential(query, &request.headers) else { return };
    if secret::Secret::parse(secret::Kind::Token, &secret).is_err() {
        return;
    }
    let kept = doors::kept_uri(request.path, request.query);
    assert!(!by_url || !kept.contains(&secret), "{kept}");
    let kept = doors::kept_headers(&request.headers);
    let found = |(_, value): &(String, Bytes)| contains(value, secret.as_bytes());
    assert!(!kept.iter().any(found));
}

/// Taking encodings off: what comes out is never longer than the limit.
pub fn body(bytes: &[u8]) {
    let request = request(bytes);
    if let Some(decoded) = doors::decode(&request.headers, request.body, LIMIT) {
        assert!(decoded.len() as u64 <= LIMIT);
    }
}

/// Finding the payload in a body: it is the body, or part of it, or nothing.
pub fn content(bytes: &[u8]) {
    let request = request(bytes);
    let length = request.body.len();
    let payload = now(doors::payload(&request.headers, request.body));
    assert!(payload.len() <= length.max(1) * 3, "bytes that are no text are three each");
    let text = domain::payload::text(&payload);
    let payload = Payload::new(&text);
    let _ = (payload.json(), payload.lower());
}

/// What the API log keeps: never anything with the shape of a secret, but what only has it because a
/// secret inside was replaced.
pub fn redact(bytes: &[u8]) {
    let request = request(bytes);
    let kept = doors::kept_uri(request.path, request.query);
    assert!(!has_secret(kept.as_bytes()), "{kept}");
    for (name, value) in doors::kept_headers(&request.headers) {
        assert!(!has_secret(name.as_bytes()) && !has_secret(&value), "{name}");
    }
    let paths = ["a", "labels.instance", "alerts[*].annotations", "$[0]"];
    let paths: Vec<_> = paths.iter().filter_map(|path| Key::parse(path).ok()).collect();
    let decoded = doors::decode(&request.headers, request.body.clone(), LIMIT);
    for paths in [&[], paths.as_slice()] {
        if let Some(kept) =
            doors::kept_body(&request.headers, &request.body, decoded.as_ref(), paths)
        {
            assert!(!has_secret(&kept));
        }
    }
}

/// The other headers that are read: preferences, proxies, the place in a trace.
pub fn headers(bytes: &[u8]) {
    let request = request(bytes);
    let _ = doors::preference(&request.headers);
    let _ = doors::client(&request.headers);
    for value in request.headers.values().filter_map(|value| value.to_str().ok()) {
        let _ = doors::is_network(value);
        if let Some(parent) = wire::Traceparent::parse(value) {
            assert_eq!(wire::Traceparent::parse(&parent.to_string()), Some(parent));
            assert_eq!(wire::Traceparent::from_bytes(&parent.to_bytes()), Some(parent));
        }
    }
    let _ = wire::Traceparent::from_bytes(&request.body);
}

/// JSON: what is read is JSON to another reader too, and the other way round; written again it is
/// the same.
pub fn json(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Json::parse(text) {
        Ok(value) => {
            assert!(serde_json::from_str::<IgnoredAny>(text).is_ok(), "only we read it");
            let compact = value.compact();
            assert_eq!(Json::parse(&compact).as_ref(), Ok(&value));
            let _ = value.text();
        }
        Err(json::Error::Syntax(at)) => {
            assert!(at <= text.len());
            assert!(
                serde_json::from_str::<serde_json::Value>(text).is_err(),
                "only others read it"
            );
        }
        Err(json::Error::TooDeep) => {}
    }
}

/// A key, and below it JSON: what is put at a key is found there.
pub fn key(bytes: &[u8]) {
    let (text, rest) = line(bytes);
    let Ok(key) = Key::parse(text) else { return };
    assert_eq!(Key::parse(&key.to_string()).as_ref(), Ok(&key));
    let Ok(mut json) =
        std::str::from_utf8(rest).map_err(drop).and_then(|text| Json::parse(text).map_err(drop))
    else {
        return;
    };
    let _ = key.find(&json);
    key.replace(&mut json, &Json::Bool(true));
    assert!(key.find(&json).iter().all(|found| **found == Json::Bool(true)));
}

/// A filter in three lines, and below it a payload: a line is a key, a tab, texts with commas, a tab,
/// the key of the episode. Evaluating and explaining come to the same.
pub fn filter(bytes: &[u8]) {
    let (first, rest) = line(bytes);
    let (second, rest) = line(rest);
    let (third, rest) = line(rest);
    let lines = [first, second, third];
    let filters = (1..).zip(lines).filter_map(|(n, line)| filter_from(n, line));
    let Ok(filters) = domain::filter::Filters::new(filters.collect()) else { return };
    let text = domain::payload::text(rest);
    let payload = Payload::new(&text);
    let found = domain::filter::evaluate(filters.as_slice(), &payload, Some("source"));
    let entry = matcher::Entry {
        team: TeamId::from_bytes([1; 16]),
        service: ServiceId::from_bytes([2; 16]),
        shard: 0,
        disabled: false,
        filters: filters.clone().into(),
        maintenance: std::sync::Arc::default(),
    };
    assert_eq!(matcher::evaluate(&entry, &payload, Some("source")), found);
    // What means something to the reference, the index does not miss.
    let index = matcher::Index::of(std::iter::once(entry));
    let seen = index.find(Reach::Global, &payload, &mut matcher::Scratch::default());
    assert!(!seen.is_empty() || found == domain::filter::Match::default());
    let explained = domain::filter::explain(filters.as_slice(), &payload);
    let became = |wanted| explained.iter().find(move |one| one.became == wanted);
    let triggers = became(domain::filter::Became::Triggers).map(|one| one.filter.id);
    assert_eq!(triggers, found.trigger.as_ref().map(|trigger| trigger.filter));
    if let Some(trigger) = found.trigger {
        assert!(trigger.title.chars().count() <= domain::filter::MAX_TITLE);
        assert!(trigger.description.chars().count() <= domain::filter::MAX_DESCRIPTION);
    }
    let shown = Payload::new("{}");
    let _ = domain::filter::explain_redacted(filters.as_slice(), &payload, &shown);
}

fn filter_from(n: u8, line: &str) -> Option<Filter> {
    let mut parts = line.split('\t');
    let key = parts.next().filter(|text| !text.is_empty()).and_then(|text| Key::parse(text).ok());
    let items = parts.next()?.split(',').filter_map(|text| Item::parse(text).ok()).collect();
    let mapped = parts.next().and_then(|text| Key::parse(text).ok());
    let condition = Condition::new(key.clone(), items).ok()?;
    let resolve = mapped.clone().filter(|_| n == 2);
    let resolve = resolve.map(|mapped_with| Resolve { condition: condition.clone(), mapped_with });
    let conditions = vec![condition];
    let trigger = Trigger::new(Urgency::High, conditions, key.clone(), key, mapped).ok()?;
    let name = DisplayName::parse(&format!("filter {n}")).ok()?;
    Some(Filter { id: FilterId::from_bytes([n; 16]), name, trigger, resolve })
}

fn has_secret(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).replace(domain::filter::REDACTED, "*");
    matches!(secret::mask(text.as_bytes(), b""), Cow::Owned(_))
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
