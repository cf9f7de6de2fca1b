//! Logs and metrics of a process. Its traces are in `traces`.
//!
//! Must not know what is logged. Dependencies are capped at info by code: at debug some of them
//! write headers, and with them secrets.

use std::io::IsTerminal;
use std::sync::OnceLock;

use domain::time::Timestamp;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{EnvFilter, FilterFn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

const OURS: [&str; 8] =
    ["domain", "matcher", "wire", "runtime", "admin", "gateway", "worker", "gander"];

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A filter that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the log filter is levels such as `info` or `gateway=debug,info`")]
pub struct Error(#[from] tracing_subscriber::filter::ParseError);

/// A filter that can be read, as it was.
///
/// # Errors
/// It cannot be read.
pub fn log_filter(text: &str) -> Result<String, Error> {
    EnvFilter::try_new(text)?;
    Ok(text.to_owned())
}

/// Starts logging to standard error. A second call in one process changes nothing.
///
/// # Errors
/// The filter cannot be read.
pub fn start_logs(filter: &str, format: LogFormat) -> Result<(), Error> {
    let filter = EnvFilter::try_new(filter)?;
    let capped = FilterFn::new(|metadata| {
        let root = metadata.target().split("::").next().unwrap_or_default();
        OURS.contains(&root) || *metadata.level() <= LevelFilter::INFO
    });
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(capped).with_filter(filter))
        .try_init();
    Ok(())
}

/// The metrics of this process in Prometheus' text format; the first call starts recording.
#[must_use]
pub fn metrics() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];
        let counts = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0];
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &seconds)
            .and_then(|b| b.set_buckets_for_metric(Matcher::Suffix("_records".to_owned()), &counts))
            .and_then(|b| {
                b.set_buckets_for_metric(Matcher::Suffix("_messages".to_owned()), &counts)
            })
            .expect("there are buckets");
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        let _ = metrics::set_global_recorder(recorder);
        handle
    })
}

/// Tells what runs and since when; starts recording.
pub fn tell_process(version: &'static str, started: Timestamp) {
    let _ = metrics();
    metrics::gauge!("gander_build_info", "version" => version).set(1.0);
    metrics::gauge!("process_start_time_seconds").set(started.as_micros() as f64 / 1e6);
}
