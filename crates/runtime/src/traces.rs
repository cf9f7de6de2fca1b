//! Traces: spans of what this process does, sent to a collector over OTLP.
//!
//! Off unless a collector is named; then a span costs a look at an `Option`. A collector that is
//! slow or gone costs spans and nothing else: the queue is bounded, what does not fit is dropped
//! and counted, and sending has threads of its own. A span holds what is handed to it: no log line
//! and no span of a library goes out. Must not know what spans are about.

mod queue;
mod span;

use std::time::Duration;

use http::Uri;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};

pub use span::{Kind, Moment, Span, Tracer};

/// How long one batch of spans may take to be sent, repeats included.
const EXPORT_DEADLINE: Duration = Duration::from_secs(5);
/// How long the last spans may take when the process stops.
const FLUSH: Duration = Duration::from_secs(2);

/// Where and what is sent.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The collector.
    pub endpoint: Endpoint,
    /// How many of the requests that bring no trace of their own are traced.
    pub ratio: Ratio,
}

/// The address of a collector that takes OTLP over gRPC, such as `http://127.0.0.1:4317`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Uri);

/// A part of all, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio(f64);

/// Why no traces can be sent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address of the collector cannot be used.
    #[error(
        "a collector is `http://HOST:PORT` or `https://HOST:PORT`, without user, path and query; headers go into OTEL_EXPORTER_OTLP_HEADERS"
    )]
    Endpoint,
    /// The exporter cannot be made.
    #[error("traces cannot be sent")]
    Exporter(#[from] ExporterBuildError),
    /// There is no thread for it.
    #[error("traces have no thread to be sent from")]
    Thread(#[from] std::io::Error),
}

/// A ratio that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("a ratio is a number from 0 to 1")]
pub struct NoRatio;

impl Endpoint {
    /// Reads an address.
    ///
    /// # Errors
    /// [`Error::Endpoint`]: it never repeats the address, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let uri: Uri = text.parse().map_err(|_| Error::Endpoint)?;
        let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
        let authority = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        let bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        if scheme && authority && bare { Ok(Self(uri)) } else { Err(Error::Endpoint) }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for Ratio {
    type Err = NoRatio;

    fn from_str(text: &str) -> Result<Self, NoRatio> {
        let ratio: f64 = text.parse().map_err(|_| NoRatio)?;
        if (0.0..=1.0).contains(&ratio) { Ok(Self(ratio)) } else { Err(NoRatio) }
    }
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The traces of a process. Dropped, it sends what is left, for at most 2 s.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    /// Where the connection to the collector lives; taken when it is dropped.
    runtime: Option<tokio::runtime::Runtime>,
}

impl Traces {
    /// Starts to send, under the name and version of this program. Nobody need listen yet.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn start(
        settings: &Settings,
        service: &'static str,
        version: &'static str,
    ) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("traces")
            .enable_all()
            .build()?;
        let entered = runtime.enter();
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(settings.endpoint.to_string())
            .with_timeout(EXPORT_DEADLINE);
        let exporter = match settings.endpoint.0.scheme_str() {
            Some("https") => {
                exporter.with_tls_config(ClientTlsConfig::new().with_enabled_roots()).build()?
            }
            Some(_) | None => exporter.build()?,
        };
        drop(entered);
        let resource = Resource::builder()
            .with_service_name(service)
            .with_attribute(opentelemetry::KeyValue::new("service.version", version))
            .build();
        let Ratio(ratio) = settings.ratio;
        let provider = SdkTracerProvider::builder()
            .with_span_processor(queue::processor(exporter))
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
            .with_resource(resource)
            .build();
        Ok(Self { provider, runtime: Some(runtime) })
    }

    /// What makes the spans of a part of the program.
    #[must_use]
    pub fn tracer(&self, part: &'static str) -> Tracer {
        Tracer::new(self.provider.tracer(part))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH) {
            tracing::warn!(%error, "the last traces may not have been sent");
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;
    use tokio::time::Instant;
    use wire::Traceparent;

    use super::*;

    #[test]
    fn addresses_of_collectors_are_plain() {
        for good in ["http://127.0.0.1:4317", "https://collector.example", "http://[::1]:4317/"] {
            assert!(Endpoint::parse(good).is_ok(), "{good}");
        }
        for bad in
            ["", "127.0.0.1:4317", "http://me:secret@host", "http://h/v1", "ftp://h", "http://h?a"]
        {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
        assert!(
            !Endpoint::parse("http://me:secret@host").unwrap_err().to_string().contains("secret")
        );
    }

    #[test]
    fn ratios_are_parts_of_all() {
        assert!(["0", "0.1", "1"].iter().all(|good| good.parse::<Ratio>().is_ok()));
        assert!(["", "-0.1", "1.1", "NaN", "inf"].iter().all(|bad| bad.parse::<Ratio>().is_err()));
    }

    fn traces(endpoint: &str, ratio: f64) -> Traces {
        let settings =
            Settings { endpoint: Endpoint::parse(endpoint).unwrap(), ratio: Ratio(ratio) };
        Traces::start(&settings, "test", "0").unwrap()
    }

    fn parent(sampled: bool) -> Traceparent {
        Traceparent::new([1; 16], [2; 8], sampled).unwrap()
    }

    #[test]
    fn what_the_sender_decided_holds_and_the_ratio_is_for_the_rest() {
        for (ratio, root) in [(0.0, false), (1.0, true)] {
            let traces = traces("http://127.0.0.1:1", ratio);
            let tracer = traces.tracer("test");
            let sampled = |parent| {
                let span = tracer.start("x", Kind::Server, parent);
                let context = span.context().unwrap();
                assert_ne!(Some(context), parent);
                (context.is_sampled(), context.trace_id())
            };
            assert_eq!(sampled(Some(parent(true))), (true, parent(true).trace_id()));
            assert_eq!(sampled(Some(parent(false))), (false, parent(false).trace_id()));
            assert_eq!(sampled(None).0, root);
        }
    }

    #[test]
    fn without_a_collector_a_trace_passes_through() {
        let span = Tracer::default().start("x", Kind::Server, Some(parent(true)));
        assert_eq!((span.context(), span.is_recording()), (Some(parent(true)), false));
        assert_eq!(Tracer::default().start("x", Kind::Server, None).context(), None);
    }

    #[tokio::test]
    async fn a_collector_that_is_not_there_costs_spans_and_nothing_else() {
        // Takes connections and never answers.
        let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", deaf.local_addr().unwrap());
        let recorder = PrometheusBuilder::new().build_recorder();
        let traces = traces(&endpoint, 1.0);
        let tracer = traces.tracer("test");
        let begun = Instant::now();
        metrics::with_local_recorder(&recorder, || {
            for _ in 0..3 * queue::MOST {
                drop(tracer.start("x", Kind::Server, None));
            }
        });
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        let told = recorder.handle().render();
        let dropped = format!(
            "gander_trace_spans_dropped_total{{reason=\"queue_full\"}} {}",
            2 * queue::MOST
        );
        assert!(told.contains(&dropped), "{told}");
        let begun = Instant::now();
        drop(traces);
        assert!(begun.elapsed() < FLUSH + Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}
