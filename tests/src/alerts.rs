//! HTTP: alerts as monitoring tools send them, and probes.
//!
//! Must not know what becomes of an alert.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use domain::secret::{Kind, RANDOM_BYTES, Secret};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use runtime::random::{Random, SystemRandom};
use serde_json::Value;

/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(5);

/// A token that looks like one in every way and that nobody was ever given.
#[must_use]
pub fn never_issued() -> String {
    let mut random = [0; RANDOM_BYTES];
    SystemRandom.fill(&mut random);
    Secret::from_random(Kind::Token, &random).reveal().to_owned()
}

/// What a sender gets.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; null where it is no JSON.
    pub body: Value,
}

impl Answer {
    /// The id of the alert.
    #[must_use]
    pub fn id(&self) -> &str {
        self.body["id"].as_str().unwrap_or_default()
    }

    /// The stable code of a problem.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// A client that keeps its connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sender(Client<HttpConnector, Full<Bytes>>);

impl Default for Sender {
    fn default() -> Self {
        // A gateway closes a connection that was idle for 10 s; one that is used in that moment breaks.
        let mut client = Client::builder(TokioExecutor::new());
        Self(client.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).build_http())
    }
}

impl Sender {
    /// Sends a request; waits at most 10 s.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn request(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        let answer = tokio::time::timeout(Duration::from_secs(10), async {
            let answer = self.0.request(request).await?;
            let (head, body) = answer.into_parts();
            anyhow::Ok((head, body.collect().await?.to_bytes()))
        });
        let (head, body) = answer.await.context("no answer in 10 s")??;
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    /// Sends a payload with a token in the header.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn send(
        &self,
        gateway: SocketAddr,
        token: &str,
        payload: impl Into<Bytes>,
    ) -> anyhow::Result<Answer> {
        let request = Request::post(format!("http://{gateway}/v1/process?from=test"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Full::new(payload.into()))?;
        self.request(request).await
    }

    /// Sends a payload with a token in the URL.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn send_by_url(
        &self,
        gateway: SocketAddr,
        token: &str,
        payload: impl Into<Bytes>,
    ) -> anyhow::Result<Answer> {
        let url = format!("http://{gateway}/v1/process?token={token}");
        self.request(Request::post(url).body(Full::new(payload.into()))?).await
    }
}

/// Sends a payload over a connection of its own.
///
/// # Errors
/// There is no answer.
pub async fn send(
    gateway: SocketAddr,
    token: &str,
    payload: impl Into<Bytes>,
) -> anyhow::Result<Answer> {
    Sender::default().send(gateway, token, payload).await
}

/// Reads a page as text.
///
/// # Errors
/// There is no answer.
pub async fn get(address: SocketAddr, path: &str) -> anyhow::Result<(StatusCode, String)> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let answer = client.get(format!("http://{address}{path}").parse()?).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
