//! How long an answer is waited for: who takes a connection and says nothing keeps nobody for good.
//!
//! Must not know what is asked.

use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use tokio::time::timeout;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Context, Poll, Service, StdError};
use tonic::transport::Channel;

use super::when;

/// Calls whose answer goes on as long as there is something to say: it only must begin in time.
const STREAMS: [&str; 5] = [
    "/gander.admin.v1.ApiLogService/ExportApiLogEntries",
    "/gander.admin.v1.ApiLogService/TailApiLogEntries",
    "/gander.admin.v1.AuditService/ExportAuditRecords",
    "/gander.admin.v1.AuditService/VerifyAudit",
    "/gander.admin.v1.IncidentService/WatchIncidents",
];

/// The most that an answer in one piece may be: more than the most that is read of it.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// Reads how long is waited, such as `30s`.
pub fn span(text: &str) -> Result<Duration, &'static str> {
    let span = when::span(text).ok().filter(|span| !span.is_zero());
    span.ok_or("must be a span such as 30s or 2m")
}

/// What comes of this, if it comes in time.
pub async fn within<T>(span: Duration, coming: impl Future<Output = T>) -> Result<T, Status> {
    timeout(span, coming).await.map_err(|_| silence(span))
}

fn silence(span: Duration) -> Status {
    Status::deadline_exceeded(format!(
        "no answer in {}: is it the right address, and not stopped? A change may be carried out all the same: look before you do it again; --timeout waits for longer",
        humantime::format_duration(span)
    ))
}

/// A connection over which each answer must come in time.
#[derive(Clone, Debug)]
pub struct Timed {
    channel: Channel,
    span: Duration,
}

impl Timed {
    /// Waits for so long.
    pub const fn new(channel: Channel, span: Duration) -> Self {
        Self { channel, span }
    }
}

impl Service<Request<Body>> for Timed {
    type Response = Response<Body>;
    type Error = StdError;
    type Future = BoxFuture<Self::Response, StdError>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        self.channel.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let span = self.span;
        let lasts = STREAMS.contains(&request.uri().path());
        let coming = self.channel.call(request);
        Box::pin(async move {
            let answer = async {
                let answer = coming.await?;
                if lasts {
                    return Ok::<_, StdError>(answer);
                }
                let (head, body) = answer.into_parts();
                let whole = Limited::new(body, MOST_BYTES).collect().await?;
                Ok(Response::from_parts(head, Body::new(whole)))
            };
            within(span, answer).await?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_longer_than_nothing() {
        assert_eq!(span("30s"), Ok(Duration::from_secs(30)));
        assert!(span("0s").is_err() && span("soon").is_err());
    }

    #[test]
    fn the_calls_whose_answer_lasts_are_those_of_the_contract() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto/gander/admin/v1");
        let mut found = Vec::new();
        for file in std::fs::read_dir(folder).unwrap() {
            let (text, mut of) = (std::fs::read_to_string(file.unwrap().path()).unwrap(), "");
            for line in text.lines().map(str::trim) {
                if let Some(service) = line.strip_prefix("service ") {
                    of = service.trim_end_matches(" {");
                } else if let Some((method, _)) = line
                    .strip_prefix("rpc ")
                    .filter(|_| line.contains("(stream "))
                    .and_then(|rpc| rpc.split_once('('))
                {
                    found.push(format!("/gander.admin.v1.{of}/{method}"));
                }
            }
        }
        found.sort();
        assert_eq!(found, STREAMS);
    }
}
