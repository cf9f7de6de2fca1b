//! Answers as bytes: taken apart, and judged by `docs/http-status.md`.
//!
//! Must not know what was asked.

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::http_status::{Errors, Header, Problem};

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The code of a problem; empty where it is none.
    #[must_use]
    pub fn code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Takes the first answer off the bytes; none where it is not whole. `bodiless`: to a HEAD.
///
/// # Errors
/// It is no answer.
pub fn first(bytes: &[u8], bodiless: bool) -> anyhow::Result<Option<(Answer, &[u8])>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).context("a head that is no text")?;
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let rest = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "));
    let status = rest.and_then(|rest| rest.get(..3)).with_context(|| format!("{line:?}"))?;
    let status = status.parse().with_context(|| format!("{line:?}"))?;
    let header = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        Some((name.to_ascii_lowercase(), value.to_owned()))
    };
    let headers: Vec<_> = lines.filter_map(header).collect();
    let mut answer = Answer { status, headers, body: vec![] };
    let length = match answer.header("content-length") {
        _ if bodiless || status == 100 => 0,
        Some(length) => length.parse().context("content-length")?,
        None => bail!("{status} without content-length"),
    };
    let body = &bytes[end + 4..];
    let Some(whole) = body.get(..length) else { return Ok(None) };
    answer.body = whole.to_owned();
    Ok(Some((answer, &body[length..])))
}

/// Whether the page describes this answer.
///
/// # Errors
/// It does not: why.
pub fn judge(errors: &Errors, answer: &Answer, secret: &str) -> anyhow::Result<()> {
    let status = answer.status;
    if answer.header("cache-control").is_none() {
        return below(errors, answer);
    }
    ensure!(answer.header("cache-control") == Some("no-store"), "cache-control");
    ensure!(answer.header("referrer-policy") == Some("no-referrer"), "referrer-policy");
    ensure!(answer.header("date").is_some(), "no date");
    let found = |text: &[u8]| text.windows(secret.len()).any(|window| window == secret.as_bytes());
    ensure!(!found(&answer.body), "it repeats the token");
    match answer.header("content-type") {
        Some("application/json") => {
            let body: Value = serde_json::from_slice(&answer.body).context("no JSON")?;
            let known = body["id"].is_string() || body["openapi"].is_string();
            ensure!(known && (200..=202).contains(&status), "{status} {body}");
        }
        Some("text/plain; charset=utf-8") => ensure!(status == 200, "a probe says {status}"),
        Some("application/problem+json") => problem(errors, answer)?,
        other => bail!("{status} with {other:?}"),
    }
    Ok(())
}

fn below(errors: &Errors, answer: &Answer) -> anyhow::Result<()> {
    let status = answer.status;
    ensure!(errors.below.contains(&status), "{status} without the headers of all answers");
    ensure!(answer.header("connection") == Some("close"), "{status} keeps the connection");
    ensure!(answer.header("content-length") == Some("0"), "{status} has a body");
    let only = ["connection", "content-length", "date"];
    let more = answer.headers.iter().find(|(name, _)| !only.contains(&name.as_str()));
    ensure!(more.is_none(), "{status} has {more:?}");
    Ok(())
}

fn problem(errors: &Errors, answer: &Answer) -> anyhow::Result<()> {
    let body: Value = serde_json::from_slice(&answer.body).context("no JSON")?;
    let (status, code) = (answer.status, answer.code());
    ensure!(body["status"] == status && body["type"] == "about:blank", "{body}");
    let same = |row: &&Problem| row.0 == status && row.1 == code;
    let has = |(name, value): &Header| {
        let found = answer.header(name);
        found.is_some() && value.as_ref().is_none_or(|value| found == Some(value.as_str()))
    };
    let rows: Vec<_> = errors.gander.iter().filter(same).collect();
    ensure!(!rows.is_empty(), "{status} {code} is no row");
    let fits = rows.iter().any(|(_, _, headers)| headers.iter().all(has));
    ensure!(fits, "{status} {code} without its headers: {:?}", answer.headers);
    Ok(())
}
