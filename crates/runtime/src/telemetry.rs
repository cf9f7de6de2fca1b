//! Logs and metrics of a process. Its traces are in `traces`.
//!
//! Lines of the log are written by a thread of their own: a process goes on where nobody reads them.
//!
//! Must not know what is logged. Dependencies are capped at info by code: at debug some of them
//! write headers, and with them secrets.

use std::io::IsTerminal;
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::Duration;

use domain::time::Timestamp;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{EnvFilter, FilterFn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

const OURS: [&str; 8] =
    ["domain", "matcher", "wire", "runtime", "admin", "gateway", "worker", "gander"];

/// Lines that wait to be written; more are dropped and counted.
const LINES: usize = 16_384;
/// How long the end of a process waits for what reads its log.
const LAST_LINES: Duration = Duration::from_secs(2);

/// What ends the thread that writes lines, once all of them are written.
static WRITING: Mutex<Option<WorkerGuard>> = Mutex::new(None);
/// Lines that were dropped.
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

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

/// Starts logging to standard error, until [`end_logs`]. A second call in one process changes nothing.
///
/// # Errors
/// The filter cannot be read.
pub fn start_logs(filter: &str, format: LogFormat) -> Result<(), Error> {
    let filter = EnvFilter::try_new(filter)?;
    let capped = FilterFn::new(|metadata| {
        let root = metadata.target().split("::").next().unwrap_or_default();
        OURS.contains(&root) || *metadata.level() <= LevelFilter::INFO
    });
    let (writer, writing) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES)
        .thread_name("log")
        .finish(std::io::stderr());
    let dropped = writer.error_counter();
    let lines = fmt::layer().with_writer(writer);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    let all = tracing_subscriber::registry().with(lines.with_filter(capped).with_filter(filter));
    if all.try_init().is_ok() {
        *WRITING.lock().expect("no holder of this lock panics") = Some(writing);
        let _ = DROPPED.set(dropped);
    }
    Ok(())
}

/// Waits until every line is written, the last thing that a process does; not for long where nobody
/// reads them.
pub fn end_logs() {
    let writing = WRITING.lock().expect("no holder of this lock panics").take();
    if let Some(writing) = writing {
        in_time(move || drop(writing));
    }
}

/// Does what may have to wait for a reader that never comes, and goes on all the same.
pub fn in_time(write: impl FnOnce() + Send + 'static) {
    let (done, end) = mpsc::channel();
    std::thread::spawn(move || {
        write();
        let _ = done.send(());
    });
    let _ = end.recv_timeout(LAST_LINES);
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

/// The metrics as they are now.
#[must_use]
pub fn render_metrics() -> String {
    let dropped = DROPPED.get().map_or(0, ErrorCounter::dropped_lines);
    metrics::counter!("gander_log_lines_dropped_total").absolute(dropped as u64);
    metrics().render()
}

/// Tells what runs and since when; starts recording.
pub fn tell_process(version: &'static str, started: Timestamp) {
    let _ = metrics();
    metrics::gauge!("gander_build_info", "version" => version).set(1.0);
    metrics::gauge!("process_start_time_seconds").set(started.as_micros() as f64 / 1e6);
}
