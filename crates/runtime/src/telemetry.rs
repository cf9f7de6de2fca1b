//! Logs and metrics of a process.
//!
//! Must not know what is logged. Dependencies are capped at info by code: at debug some of them
//! write headers, and with them secrets.

use std::io::IsTerminal;
use std::sync::OnceLock;

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
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
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
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &seconds)
            .expect("there are buckets");
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        let _ = metrics::set_global_recorder(recorder);
        handle
    })
}
