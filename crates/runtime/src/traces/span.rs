//! Spans, recorded or not, and the place in a trace that goes on from them.
//!
//! Must not know where spans go.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId, TraceState,
    Tracer as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::SdkTracer;
use wire::Traceparent;

use crate::clock::{Clock, SystemClock};

/// What a span is to its neighbours.
pub use opentelemetry::trace::SpanKind as Kind;

/// Makes spans; the default one makes none and passes traces through. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<SdkTracer>);

/// When something began; nothing where nobody asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment(Option<SystemTime>);

/// A span. It ends when it is dropped.
#[derive(Debug, Default)]
pub struct Span {
    /// Put aside: it is large, and mostly nobody traces.
    span: Option<Box<opentelemetry_sdk::trace::Span>>,
    context: Option<Traceparent>,
}

impl Tracer {
    pub(super) const fn new(tracer: SdkTracer) -> Self {
        Self(Some(tracer))
    }

    /// Whether any spans are made.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Now, for [`Tracer::start_at`].
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment(self.0.as_ref().map(|_| {
            let micros = u64::try_from(SystemClock.now().as_micros()).unwrap_or(0);
            UNIX_EPOCH + Duration::from_micros(micros)
        }))
    }

    /// Starts a span below this parent; without one, a trace begins.
    #[must_use]
    pub fn start(
        &self,
        name: impl Into<Cow<'static, str>>,
        kind: Kind,
        parent: Option<Traceparent>,
    ) -> Span {
        self.start_at(Moment::default(), name, kind, parent)
    }

    /// The same, of something that began before.
    #[must_use]
    pub fn start_at(
        &self,
        Moment(began): Moment,
        name: impl Into<Cow<'static, str>>,
        kind: Kind,
        parent: Option<Traceparent>,
    ) -> Span {
        let Some(tracer) = &self.0 else {
            return Span { span: None, context: parent };
        };
        let mut builder = tracer.span_builder(name).with_kind(kind);
        builder.start_time = began;
        let above = Context::new();
        let above = match parent {
            Some(parent) => above.with_remote_span_context(context_of(parent)),
            None => above,
        };
        let span = tracer.build_with_context(builder, &above);
        let context = traceparent_of(span.span_context()).or(parent);
        Span { span: Some(Box::new(span)), context }
    }
}

impl Span {
    /// Where what follows from this stands in the trace; none where nobody traces it.
    #[must_use]
    pub const fn context(&self) -> Option<Traceparent> {
        self.context
    }

    /// Whether what is set here goes anywhere.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.span.as_ref().is_some_and(|span| span.is_recording())
    }

    /// Sets an attribute. Only what nobody need keep secret: no payload, no query, no header.
    pub fn set<V: Into<Value>>(&mut self, key: &'static str, value: impl FnOnce() -> V) {
        if let Some(span) = self.span.as_mut().filter(|span| span.is_recording()) {
            span.set_attribute(KeyValue::new(key, value()));
        }
    }

    /// Says that it failed, with a kind of error from a fixed set.
    pub fn fail(&mut self, kind: &'static str) {
        if let Some(span) = &mut self.span {
            span.set_attribute(KeyValue::new("error.type", kind));
            span.set_status(Status::error(""));
        }
    }

    /// Points to a span of which this one is not the child.
    pub fn link(&mut self, to: Traceparent) {
        if let Some(span) = &mut self.span {
            span.add_link(context_of(to), Vec::new());
        }
    }

    /// Puts the trace's id on the log lines of what runs in it; nothing without a trace.
    #[must_use]
    pub fn for_logs(&self) -> tracing::Span {
        match self.context {
            // At the highest level, so that no filter takes the id from a line that is written.
            Some(context) => tracing::error_span!("trace", trace_id = %context.trace_id()),
            None => tracing::Span::none(),
        }
    }
}

fn context_of(parent: Traceparent) -> SpanContext {
    SpanContext::new(
        TraceId::from_bytes(parent.trace_bytes()),
        SpanId::from_bytes(parent.span_bytes()),
        TraceFlags::default().with_sampled(parent.is_sampled()),
        true,
        TraceState::default(),
    )
}

fn traceparent_of(context: &SpanContext) -> Option<Traceparent> {
    let (trace, span) = (context.trace_id().to_bytes(), context.span_id().to_bytes());
    Traceparent::new(trace, span, context.is_sampled())
}
