//! The spans of a commit: one for each traced record in it, from the fold to the acknowledgement.
//!
//! Must not know how records are folded or stored.

use std::collections::BTreeMap;

use domain::id::AlertId;
use domain::incident::Flags;
use runtime::traces::{Kind, Moment, Span, Tracer};
use wire::{Traceparent, subject};

use crate::fold::Changes;

/// A record in a commit that somebody traces.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traced {
    /// Its id.
    pub id: Option<AlertId>,
    /// What it came to.
    pub flags: Flags,
    /// The traced record before it for which its event stands too.
    pub stands_for: Option<Traceparent>,
}

/// The spans of a commit, by where their records stand; dropped, they end.
#[derive(Default)]
pub struct Spans(BTreeMap<Traceparent, Span>);

impl Spans {
    /// Starts the spans of the traced records, each below the one of who stored it. The events of
    /// a record go on from its span.
    pub fn start(tracer: &Tracer, began: Moment, changes: &mut Changes) -> Self {
        if !tracer.is_on() {
            return Self::default();
        }
        let start = |(parent, traced): (&Traceparent, &Traced)| {
            let mut span = tracer.start_at(began, NAME, Kind::Consumer, Some(*parent));
            describe(&mut span, traced);
            (*parent, span)
        };
        let mut spans = Self(changes.traced.iter().map(start).collect());
        for (parent, traced) in &changes.traced {
            let before = traced.stands_for.and_then(|before| spans.context(before));
            if let (Some(before), Some(span)) = (before, spans.0.get_mut(parent)) {
                span.link(before);
            }
        }
        for event in &mut changes.events {
            event.trace = event.trace.map(|own| spans.context(own).unwrap_or(own));
        }
        spans
    }

    /// Ends them: what they stand for is not stored.
    pub fn fail(mut self, why: &'static str) {
        self.0.values_mut().for_each(|span| span.fail(why));
    }

    fn context(&self, parent: Traceparent) -> Option<Traceparent> {
        self.0.get(&parent)?.context()
    }
}

/// As the messaging conventions of OpenTelemetry name it: what is done, and with what.
const NAME: &str = "process gander.alerts";

fn describe(span: &mut Span, traced: &Traced) {
    span.set("messaging.system", || "nats");
    span.set("messaging.destination.name", || subject::ALERTS);
    span.set("messaging.operation.name", || "process");
    span.set("messaging.operation.type", || "process");
    if let Some(id) = traced.id {
        span.set("gander.alert.id", || id.to_string());
    }
    let flags = traced.flags;
    for (name, is_so) in [
        ("gander.triggered.created", flags.created),
        ("gander.triggered.duplicate", flags.trigger_duplicate),
        ("gander.resolved.resolved", flags.resolved),
        ("gander.resolved.duplicate", flags.resolve_duplicate),
        ("gander.acknowledged.acknowledged", flags.acknowledged),
        ("gander.acknowledged.duplicate", flags.acknowledge_duplicate),
        ("gander.suppressed", flags.suppressed),
        ("gander.failed", flags.failed),
    ] {
        if is_so {
            span.set(name, || true);
        }
    }
}
