//! Spans that wait to be sent: bounded, and counted where they are lost.
//!
//! The batches are the SDK's; it does not tell what it drops, so this counts around it. Must not
//! know what is in a span.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor,
};

/// The most spans that wait, those being sent included.
pub const MOST: usize = 4_096;
const BATCH: usize = 512;
const DELAY: Duration = Duration::from_secs(1);

/// Queues spans for an exporter.
pub fn processor(exporter: impl SpanExporter + 'static) -> impl SpanProcessor {
    metrics::counter!("gander_trace_spans_exported_total").increment(0);
    dropped("queue_full", 0);
    dropped("not_taken", 0);
    let waiting = Arc::new(AtomicUsize::new(0));
    let exporter =
        Counted { exporter, waiting: Arc::clone(&waiting), failing: AtomicBool::new(false) };
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(MOST)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(DELAY)
        .build();
    let next = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
    Bounded { next, waiting }
}

fn dropped(reason: &'static str, spans: usize) {
    metrics::counter!("gander_trace_spans_dropped_total", "reason" => reason)
        .increment(spans as u64);
}

#[derive(Debug)]
struct Bounded {
    next: BatchSpanProcessor,
    waiting: Arc<AtomicUsize>,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.next.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.waiting.fetch_add(1, Ordering::AcqRel) < MOST {
            self.next.on_end(span);
        } else {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            dropped("queue_full", 1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

#[derive(Debug)]
struct Counted<E> {
    exporter: E,
    waiting: Arc<AtomicUsize>,
    failing: AtomicBool,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let sent = self.exporter.export(batch).await;
        self.waiting.fetch_sub(spans, Ordering::AcqRel);
        let failed_before = self.failing.swap(sent.is_err(), Ordering::AcqRel);
        match &sent {
            Ok(()) => {
                metrics::counter!("gander_trace_spans_exported_total").increment(spans as u64);
                if failed_before {
                    tracing::info!("the collector takes traces again");
                }
            }
            Err(error) => {
                dropped("not_taken", spans);
                if !failed_before {
                    tracing::warn!(%error, "the collector does not take traces: they are dropped until it does");
                }
            }
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
