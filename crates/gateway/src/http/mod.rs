//! Requests: where they go, one endpoint a file, and what all answers share.
//!
//! - `process`: alerts. `credential`, `body`, `content`, `prefer`: what a request carries, parsed.
//! - `answer`, `problem`: what goes back.
//!
//! Must not know connections.

mod answer;
mod body;
mod content;
mod credential;
mod prefer;
mod problem;
mod process;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header, request};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use runtime::clock::Clock;
use runtime::ingest::Ingest;
use runtime::ops::Checks;
use runtime::outcomes::Outcomes;
use runtime::random::Random;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use wire::partition::Partitions;

use crate::config::{Config, DISCARD_BYTES, DISCARD_TIMEOUT, MAX_URI, MEMORY_PIECE};
use crate::tokens::Tokens;
use problem::Problem;

/// What answers requests. Cheap to clone.
#[derive(Clone)]
pub struct Handler {
    /// Settings.
    pub config: Config,
    /// Who is let in.
    pub tokens: Tokens,
    /// Where outcomes are awaited.
    pub outcomes: Outcomes,
    /// Where alerts are stored.
    pub ingest: Ingest,
    /// Memory for bodies, in pieces of [`MEMORY_PIECE`].
    pub memory: Arc<Semaphore>,
    /// How many partitions there are.
    pub partitions: Partitions,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for ids.
    pub random: Arc<dyn Random>,
    /// Whether this process is ready.
    pub checks: Checks,
    /// Cancelled once the process stops.
    pub draining: CancellationToken,
}

type Answer = Response<Full<Bytes>>;

impl Handler {
    /// Answers a request.
    pub async fn handle(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let mut body = Some(body);
        let routed = self.route(&head, &mut body).await;
        let ended = match body {
            // Who waits to be told to go on sends nothing once the answer is another one.
            Some(body) if !head.headers.contains_key(header::EXPECT) => {
                body::discard(body, DISCARD_BYTES, DISCARD_TIMEOUT).await
            }
            Some(body) => body.is_end_stream(),
            None => true,
        };
        let mut answer = routed.unwrap_or_else(|problem| {
            metrics::counter!("gander_gateway_refused_total", "code" => problem.code())
                .increment(1);
            problem.answer()
        });
        let headers = answer.headers_mut();
        if !ended {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        if self.draining.is_cancelled() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }

    /// Memory for a body of this length; of the limit where it is not known.
    fn memory_for(&self, length: Option<u64>) -> Result<OwnedSemaphorePermit, Problem> {
        let limit = self.config.body_limit;
        let pieces = length.map_or(limit, |length| length.min(limit)).div_ceil(MEMORY_PIECE).max(1);
        let pieces = u32::try_from(pieces).unwrap_or(u32::MAX);
        Arc::clone(&self.memory).try_acquire_many_owned(pieces).map_err(|_| Problem::Overloaded)
    }

    /// Takes the body where it is wanted.
    async fn route(
        &self,
        head: &request::Parts,
        body: &mut Option<Incoming>,
    ) -> Result<Answer, Problem> {
        let uri = &head.uri;
        let length = uri.path().len() + uri.query().map_or(0, str::len);
        if length > MAX_URI {
            return Err(Problem::UriTooLong);
        }
        if uri.path().strip_prefix(self.config.path_prefix.as_str()) == Some("/v1/process") {
            return match head.method {
                Method::POST | Method::PUT => process::process(self, head, body).await,
                _ => Err(Problem::MethodNotAllowed("POST, PUT")),
            };
        }
        match self.checks.probe(uri.path(), uri.query()) {
            Some(_) if head.method != Method::GET && head.method != Method::HEAD => {
                Err(Problem::MethodNotAllowed("GET, HEAD"))
            }
            Some((status, text)) => Ok(answer::text(status, text)),
            None => Err(Problem::NotFound),
        }
    }
}
