//! Ways in for fuzz targets: the parts of a request, read as `process` reads them.
//!
//! Must not be used by anything else.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use domain::filter::Key;
use http::HeaderMap;

use super::{body, content, credential, prefer, redact};
use crate::client;

/// The token that a request carries, and whether it is in the URL.
#[must_use]
pub fn credential(query: &str, headers: &HeaderMap) -> Option<(String, bool)> {
    let mut query = credential::query(query);
    let sent = credential::credential(headers, &mut query).ok()?;
    Some((sent.secret, sent.by_url))
}

/// The source that a query names.
#[must_use]
pub fn source(query: &str) -> Option<String> {
    credential::query(query).from
}

/// A body without its encoding.
#[must_use]
pub fn decode(headers: &HeaderMap, body: Bytes, limit: u64) -> Option<Bytes> {
    let encoding = body::encoding(headers).ok()?;
    body::decode(body, encoding, limit).ok()
}

/// The payload in a decoded body.
pub async fn payload(headers: &HeaderMap, body: Bytes) -> Bytes {
    content::payload(headers, body).await
}

/// What is kept of path and query.
#[must_use]
pub fn kept_uri(path: &str, query: Option<&str>) -> String {
    redact::uri(path, query)
}

/// What is kept of the headers: names and values.
#[must_use]
pub fn kept_headers(headers: &HeaderMap) -> Vec<(String, Bytes)> {
    let kept = redact::headers(headers).into_iter();
    kept.map(|header| (header.name, header.value)).collect()
}

/// What is kept of a body, where it may be kept.
#[must_use]
pub fn kept_body(
    headers: &HeaderMap,
    received: &Bytes,
    decoded: Option<&Bytes>,
    paths: &[Key],
) -> Option<Vec<u8>> {
    let plain = body::encoding(headers) == Ok(body::Encoding::Identity);
    redact::body(received, plain, decoded, paths).map(|kept| kept.bytes)
}

/// How long an answer may wait, and whether the alert is not waited for.
#[must_use]
pub fn preference(headers: &HeaderMap) -> (Option<std::time::Duration>, bool) {
    let prefer = prefer::prefer(headers);
    (prefer.wait, prefer.respond_async)
}

/// Who sent a request, where everybody near is a trusted proxy.
#[must_use]
pub fn client(headers: &HeaderMap) -> IpAddr {
    let trusted = ["127.0.0.0/8", "10.0.0.0/8", "::1", "2001:db8::/32"];
    let trusted: Vec<_> = trusted.iter().filter_map(|network| network.parse().ok()).collect();
    client::address(Ipv4Addr::LOCALHOST.into(), headers, &trusted)
}

/// Whether a text is an address or a network.
#[must_use]
pub fn is_network(text: &str) -> bool {
    let network = text.parse::<client::Network>();
    let inside = |network: &client::Network| network.contains(Ipv4Addr::LOCALHOST.into());
    network.as_ref().map(inside).is_ok()
}
