//! Connections to a gateway, each for as many requests at a time as it is asked for.
//!
//! Must not know when alerts are due, nor what is in them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::Status;

use super::super::tls::Version;
use super::super::{Connect, advice, clear, send};
use super::answer::{self, Accepted, Failed};

/// Who has no answer by then counts as that; gateways answer within a second.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// So many connections are opened at a time.
const OPENED_AT_ONCE: usize = 64;
/// The longest answer that is read.
const ANSWER_BYTES: usize = 64 * 1024;
/// The source that alerts name: it stands in the titles of incidents.
const FROM: &str = "gander-bench";

/// A gateway, over so many connections.
pub struct Gateway {
    /// Each keeps one connection in its pool. It may open a second one for a moment, where a request
    /// comes before the pool has the first one back.
    clients: Vec<Client<HttpsConnector<HttpConnector>, Full<Bytes>>>,
    base: String,
    alerts: Uri,
}

impl Gateway {
    /// Nothing is opened yet.
    pub fn new(
        connect: &Connect,
        gateway: &str,
        connections: usize,
        version: Version,
    ) -> anyhow::Result<Self> {
        let base = send::base(gateway).to_owned();
        let alerts: Uri =
            format!("{base}/v1/process?from={FROM}").parse().context("--gateway is no URL")?;
        anyhow::ensure!(alerts.host().is_some(), "--gateway is no URL: say http://HOST:PORT");
        clear::allow("--gateway", &alerts, connect.insecure)?;
        let connector = connect.tls.for_http(&base, version)?;
        let client = |_| {
            Client::builder(TokioExecutor::new())
                .http2_only(version == Version::Http2)
                .pool_max_idle_per_host(1)
                .build(connector.clone())
        };
        Ok(Self { clients: (0..connections).map(client).collect(), base, alerts })
    }

    /// Opens every connection, so that no alert waits for that.
    pub async fn open(self: &Arc<Self>) -> anyhow::Result<()> {
        let mut opening = JoinSet::new();
        for connection in 0..self.clients.len() {
            if opening.len() >= OPENED_AT_ONCE {
                opening.join_next().await.transpose()?.transpose()?;
            }
            let gateway = Arc::clone(self);
            opening.spawn(async move { gateway.probe(connection).await });
        }
        while let Some(opened) = opening.join_next().await {
            opened??;
        }
        Ok(())
    }

    /// Asks over a connection for anything: who answers is there.
    async fn probe(&self, connection: usize) -> anyhow::Result<()> {
        let request = Request::get(format!("{}/livez", self.base)).body(Full::default())?;
        let what = match timeout(PATIENCE, self.exchange(connection, request)).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(Broken::Client(error))) => advice::on_sending(&error, &self.base),
            Ok(Err(Broken::Body)) => "its answer breaks off",
            Err(_) => "it takes the connection and says nothing",
        };
        let text = format!("no answer of a gateway at {}: {what}", self.base);
        Err(Status::unavailable(text).into())
    }

    /// Sends an alert over a connection.
    pub async fn send(
        &self,
        connection: usize,
        token: &HeaderValue,
        payload: Vec<u8>,
        waits: bool,
    ) -> Result<Accepted, Failed> {
        let request = Request::post(self.alerts.clone())
            .header(AUTHORIZATION, token)
            .header(CONTENT_TYPE, "application/json");
        let request = if waits { request } else { request.header("prefer", "respond-async") };
        let request = request.body(Full::new(Bytes::from(payload)));
        let request = request.expect("the address is good, and so are these headers");
        match timeout(PATIENCE, self.exchange(connection, request)).await {
            Ok(Ok((status, body))) => answer::read(status, &body),
            Ok(Err(Broken::Client(error))) if error.is_connect() => failed("no connection"),
            Ok(Err(Broken::Client(_) | Broken::Body)) => failed("the connection broke"),
            Err(_) => failed("no answer in 10 s"),
        }
    }

    async fn exchange(
        &self,
        connection: usize,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), Broken> {
        let answer = self.clients[connection].request(request).await.map_err(Broken::Client)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
        Ok((status, body.map_err(|_| Broken::Body)?.to_bytes()))
    }
}

enum Broken {
    Client(legacy::Error),
    Body,
}

fn failed<T>(how: &str) -> Result<T, Failed> {
    Err(Failed(how.to_owned()))
}
