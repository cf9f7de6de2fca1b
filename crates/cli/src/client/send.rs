//! `gander send`: an alert, as a monitoring tool sends it.
//!
//! Must not know what becomes of it.

use std::path::Path;

use anyhow::Context;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tonic::Status;

use super::commands::SendArgs;
use super::tls::Version;
use super::{Connect, Output, Usage, advice, clear, deadline, read_payload, read_secret};
use crate::out::{say, write_foreign};

/// The most that is read of an answer, in bytes: those of gateways are far shorter.
const MOST_BYTES: usize = 64 * 1024;

/// Carries it out: shows the status and the answer; fails unless it is 2xx.
pub async fn run(connect: &Connect, args: &SendArgs) -> anyhow::Result<()> {
    let payload = read_payload(&args.file)?;
    let token = read_token(&args.token_file)?;
    let from = args.from.as_ref().map(|from| {
        let encoded: String = form_urlencoded::byte_serialize(from.as_bytes()).collect();
        format!("?from={encoded}")
    });
    let url = base(&args.gateway);
    let request = Request::post(format!("{url}/v1/process{}", from.unwrap_or_default()))
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(payload)))
        .context("--gateway is no URL")?;
    clear::allow("--gateway", request.uri(), connect.insecure)?;
    let client =
        Client::builder(TokioExecutor::new()).build(connect.tls.for_http(url, Version::Http1)?);
    let answer = async {
        let answer = client.request(request).await.map_err(|error| {
            let advice = advice::on_sending(&error, url);
            Status::unavailable(format!("no answer of a gateway at {url}: {advice}"))
        })?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await;
        let body = body.map_err(|_| Status::unavailable(format!(
            "the answer breaks off, or is longer than those of a gateway: is there one at {url}? If so, send the alert again"
        )))?;
        Ok::<_, Status>((status, body.to_bytes()))
    };
    let (status, body) = deadline::within(connect.timeout, answer).await??;
    if connect.output == Output::Table {
        say(&status.to_string());
    }
    write_foreign(&[&body[..], b"\n"].concat());
    match status.as_u16() {
        200..=299 => Ok(()),
        401 => Err(Status::unauthenticated("the token is not good: see the answer above").into()),
        503 => {
            Err(Status::unavailable("the alert is not known to be stored: send it again").into())
        }
        _ => anyhow::bail!("the alert was not accepted"),
    }
}

/// Where a gateway is, without the path of alerts: `gander up` prints the whole address.
pub fn base(gateway: &str) -> &str {
    gateway.trim_end_matches('/').trim_end_matches("/v1/process")
}

/// Reads the secret of a token.
pub fn read_token(file: &Path) -> anyhow::Result<String> {
    let token = read_secret(file)?;
    if token.starts_with("gdp_") {
        let text = "--token-file has the credential of a principal (gdp_…): alerts need a token (gdr_…), which `gander token create` makes";
        return Err(Usage(text).into());
    }
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let text = "the file of --token-file must hold a token (gdr_...) and nothing else, as `gander token create` writes it";
        return Err(Usage(text).into());
    }
    Ok(token)
}
