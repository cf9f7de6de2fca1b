//! Requests: where they go, one endpoint a file, and what all answers share.
//!
//! - `process`: alerts. `credential`, `body`, `content`, `prefer`: what a request carries, parsed.
//! - `answer`, `problem`: what goes back. `openapi`: all of this, described.
//! - `call`, `redact`: what the API log keeps of a call, without secrets.
//! - `doors`: ways in for fuzz targets.
//! - `trace`: what a collector of traces is told.
//!
//! Must not know connections.

mod answer;
mod body;
mod call;
mod content;
mod credential;
pub mod doors;
mod openapi;
mod prefer;
mod problem;
mod process;
mod redact;
mod trace;

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use domain::id::TokenId;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version, header, request,
};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use metrics::{Counter, Histogram};
use runtime::clock::Clock;
use runtime::ingest::Ingest;
use runtime::ops::Checks;
use runtime::outcomes::Outcomes;
use runtime::places::{Places, counted};
use runtime::random::Random;
use runtime::traces::{Span, Tracer};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use wire::partition::Partitions;

use crate::client;
use crate::config::{Config, DISCARD_BYTES, DISCARD_TIMEOUT, LEAST_MEMORY, MAX_URI};
use crate::last_use::LastUse;
use crate::log::Log;
use crate::memory::{Memory, Share};
use crate::rate::{Rates, Wait};
use crate::tokens::Tokens;
use crate::unstored::Unstored;
pub use body::decoders;
use call::Call;
pub use openapi::document;
use problem::Problem;

/// Headers that every answer has.
const COMMON: [(HeaderName, &str); 2] =
    [(header::CACHE_CONTROL, "no-store"), (header::REFERRER_POLICY, "no-referrer")];

/// What answers requests.
pub struct Handler {
    /// Settings.
    pub config: Arc<Config>,
    /// How much one may ask for.
    pub rates: Arc<Rates>,
    /// Who is let in.
    pub tokens: Tokens,
    /// Where outcomes are awaited.
    pub outcomes: Outcomes,
    /// Where alerts are stored.
    pub ingest: Ingest,
    /// Where calls of tracked tokens are kept.
    pub log: Log,
    /// Where uses of tokens are noted.
    pub last_use: LastUse,
    /// Memory for bodies.
    pub memory: Memory,
    /// Turns to be decoded.
    pub decoders: Places<TokenId>,
    /// How many partitions there are.
    pub partitions: Partitions,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for ids.
    pub random: Arc<dyn Random>,
    /// The description of this interface, JSON.
    pub document: Bytes,
    /// Whether this process is ready.
    pub checks: Checks,
    /// Cancelled once the process is told to stop: clients are to go elsewhere.
    pub leaving: CancellationToken,
    /// Cancelled once it takes nothing any more.
    pub draining: CancellationToken,
    /// What makes spans.
    pub tracer: Tracer,
    /// Where it is noted whether alerts are stored.
    pub unstored: Arc<Unstored>,
    /// What is counted of each alert.
    pub counts: Counts,
}

/// What is counted of each alert; looked up once, not for each of them.
pub struct Counts {
    accepted: Counter,
    answer_seconds: Histogram,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            accepted: metrics::counter!("gander_gateway_accepted_total"),
            answer_seconds: metrics::histogram!("gander_gateway_answer_seconds"),
        }
    }
}

/// Counts refused requests from 0.
pub fn register_metrics() {
    Problem::register_metrics();
}

type Answer = Response<Full<Bytes>>;

/// For addresses that ask without a valid token.
const REFUSED_OFTEN: &str = "too many requests without a valid token came from this address: send a valid one, or wait as long as Retry-After says";

impl Handler {
    /// Answers a request that came over a connection from `peer`.
    pub async fn handle(&self, peer: IpAddr, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let mut body = Some(body);
        let mut span = self.span(&head);
        let mut kept = None;
        let logs = span.for_logs();
        let routed = {
            // Pinned where it is: a future that is moved into another one takes its room twice.
            let routing = pin!(self.route(peer, &head, &mut body, &mut span, &mut kept));
            routing.instrument(logs).await
        };
        let ended = match body {
            // Who waits to be told to go on sends nothing once the answer is another one.
            Some(body) if !head.headers.contains_key(header::EXPECT) => {
                body::discard(body, DISCARD_BYTES, DISCARD_TIMEOUT).await
            }
            Some(body) => body.is_end_stream(),
            None => true,
        };
        let code = routed.as_ref().err().map(|problem| problem.code());
        let mut answer = routed.unwrap_or_else(|problem| {
            metrics::counter!("gander_gateway_refused_total", "code" => problem.code())
                .increment(1);
            let client = self.client(peer, &head.headers);
            tracing::debug!(client.address = %client, code = problem.code(), "a request is refused");
            problem.answer(span.context().filter(|_| self.tracer.is_on()))
        });
        trace::answered(&mut span, answer.status(), code);
        if let Some(kept) = kept {
            // Put aside, as its call is: few requests have one, and the others are not to take its room.
            Box::pin(kept.answered(&answer, code)).await;
        }
        let headers = answer.headers_mut();
        if !ended {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        for (name, value) in COMMON {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if self.leaving.is_cancelled() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if head.version == Version::HTTP_2 {
            // HTTP/2 has frames for that (RFC 9113, section 8.2.2).
            headers.remove(header::CONNECTION);
        }
        answer
    }

    /// The address that a request came from.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        client::address(peer, headers, &self.config.trusted_proxies)
    }

    /// What somebody who is not let in is told: `problem`, and where it is that they have no valid
    /// token, only as long as they do not ask too often.
    fn refuse(&self, peer: IpAddr, headers: &HeaderMap, problem: Problem) -> Problem {
        let counts = matches!(problem, Problem::NoToken | Problem::InvalidToken);
        let Some(rate) = self.rates.refused.as_ref().filter(|_| counts) else {
            return problem;
        };
        match rate.take(&counted(self.client(peer, headers))) {
            Ok(()) => problem,
            Err(Wait(seconds)) => {
                Problem::RateLimited { seconds, detail: REFUSED_OFTEN, unavailable: false }
            }
        }
    }

    /// The span of the request; only those for alerts have one, probes have not.
    fn span(&self, head: &request::Parts) -> Span {
        let prefix = self.config.path_prefix.as_str();
        if head.uri.path().strip_prefix(prefix) == Some(process::PATH) {
            let route = || format!("{prefix}{}", process::PATH);
            trace::start(&self.tracer, head, route, || process::is_admitted(self, head))
        } else {
            Span::default()
        }
    }

    /// Memory for a body of this length, of the limit where it is not known; and a look whether what
    /// is in it would find room in the queue, so that nothing is read in vain.
    fn room_for(&self, token: TokenId, length: Option<u64>) -> Result<Share, Problem> {
        let limit = self.config.body_max_bytes;
        let bytes = length.map_or(limit, |length| length.min(limit)).max(LEAST_MEMORY);
        let share = self.memory.take(token, bytes).filter(|_| self.ingest.has_room(token));
        share.ok_or(Problem::Overloaded)
    }

    /// Takes the body where it is wanted.
    async fn route(
        &self,
        peer: IpAddr,
        head: &request::Parts,
        body: &mut Option<Incoming>,
        span: &mut Span,
        kept: &mut Option<Box<Call>>,
    ) -> Result<Answer, Problem> {
        let uri = &head.uri;
        let length = uri.path().len() + uri.query().map_or(0, str::len);
        if length > MAX_URI {
            return Err(Problem::UriTooLong);
        }
        let below = uri.path().strip_prefix(self.config.path_prefix.as_str());
        if below == Some(process::PATH) {
            return match head.method {
                Method::POST | Method::PUT => {
                    process::process(self, peer, head, body, span, kept).await
                }
                _ => Err(Problem::MethodNotAllowed("POST, PUT")),
            };
        }
        let found = if below == Some(openapi::PATH) || uri.path() == openapi::PATH {
            Some(answer::document(self.document.clone()))
        } else {
            let probe = self.checks.probe(uri.path(), uri.query());
            probe.map(|(status, text)| answer::text(status, text))
        };
        match found {
            Some(_) if head.method != Method::GET && head.method != Method::HEAD => {
                Err(Problem::MethodNotAllowed("GET, HEAD"))
            }
            Some(answer) => Ok(answer),
            None => Err(Problem::NotFound),
        }
    }
}
