//! What comes before a call is read: who calls, and a span for it, told to a collector.
//!
//! Whoever has no good credential is refused by the metadata alone: a message of 1 MiB takes 120 MiB once it
//! is read. What is set in a span leaves the installation: the method and the status, nothing that a caller
//! wrote. Must not know single methods.

use std::convert::Infallible;

use runtime::traces::{Kind, Span, Tracer};
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::codegen::{BoxFuture, Context, Poll, Service};
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tracing::Instrument;
use wire::{Traceparent, header};

use super::call::Calls;
use crate::access::TABLE;

/// A service whose callers are known, and whose calls have spans.
#[derive(Clone)]
pub struct Traced<S> {
    service: S,
    calls: Calls,
    tracer: Tracer,
}

tokio::task_local! {
    static PLACE: Option<Traceparent>;
}

/// Where the call that is being answered stands in a trace.
pub fn place() -> Option<Traceparent> {
    PLACE.try_with(|place| *place).ok().flatten()
}

impl<S> Traced<S> {
    /// Gives the calls of this service spans.
    pub fn new(service: S, calls: &Calls, tracer: &Tracer) -> Self {
        Self { service, calls: calls.clone(), tracer: tracer.clone() }
    }
}

impl<S: NamedService> NamedService for Traced<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Traced<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let metadata = MetadataMap::from_headers(request.headers().clone());
        let caller = self.calls.caller(&metadata);
        let (path, headers) = (request.uri().path(), request.headers());
        let mut span = start(&self.tracer, path, headers, caller.is_ok());
        if let Err(refused) = caller {
            let answer = refused.into_http();
            answered(&mut span, answer.headers());
            return Box::pin(async { Ok(answer) });
        }
        let call = self.service.call(request).instrument(span.for_logs());
        let call = PLACE.scope(span.context(), call);
        Box::pin(async move {
            let answer = call.await;
            if let Ok(answer) = &answer {
                answered(&mut span, answer.headers());
            }
            answer
        })
    }
}

/// Only methods that there are have spans: others are whatever the caller wrote. What the caller has
/// sampled counts only where its credential is good.
fn start(tracer: &Tracer, path: &str, headers: &HeaderMap, is_known: bool) -> Span {
    let found = path.strip_prefix("/gander.admin.v1.").and_then(|method| {
        TABLE.iter().find(|(name, _)| *name == method).and_then(|(name, _)| name.split_once('/'))
    });
    let Some((service, method)) = found else {
        return Span::default();
    };
    let mut values = headers.get_all(header::TRACEPARENT).iter();
    let value = values.next().filter(|_| values.next().is_none());
    let parent = value.and_then(|value| Traceparent::parse(value.to_str().ok()?));
    if !tracer.is_on() {
        return tracer.start("", Kind::Server, parent);
    }
    let parent = parent.filter(|parent| !parent.is_sampled() || is_known);
    let name = format!("gander.admin.v1.{service}/{method}");
    let mut span = tracer.start(name, Kind::Server, parent);
    span.set("rpc.system", || "grpc");
    span.set("rpc.service", || format!("gander.admin.v1.{service}"));
    span.set("rpc.method", || method);
    span
}

/// An answer that begins well has its status at the end, where it is not looked for.
fn answered(span: &mut Span, headers: &HeaderMap) {
    let code = Status::from_header_map(headers).map_or(Code::Ok, |status| status.code());
    span.set("rpc.grpc.status_code", || i64::from(i32::from(code)));
    // The codes that are errors of a server, by the conventions of OpenTelemetry.
    match code {
        Code::Unknown => span.fail("UNKNOWN"),
        Code::DeadlineExceeded => span.fail("DEADLINE_EXCEEDED"),
        Code::Unimplemented => span.fail("UNIMPLEMENTED"),
        Code::Internal => span.fail("INTERNAL"),
        Code::Unavailable => span.fail("UNAVAILABLE"),
        Code::DataLoss => span.fail("DATA_LOSS"),
        Code::Ok
        | Code::Cancelled
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unauthenticated => {}
    }
}
