//! The ops listener of a role: metrics and probes.
//!
//! Must not know what a check looks at. `/livez` fails where a role stands still, and never for the
//! broker's sake: a restart would not help.

use std::fmt::Write as _;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::pulse::Pulse;
use crate::telemetry;

const MAX_CONNECTIONS: usize = 64;
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection is used; then a client makes another one.
const CONNECTION_LASTS: Duration = Duration::from_mins(1);
/// How long the last answer of one may take.
const LEAVE: Duration = Duration::from_secs(5);
/// After an error of accept, such as too many open files.
const BACK_OFF: Duration = Duration::from_millis(50);
const POLL: Duration = Duration::from_millis(10);

type Check = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What must hold for a role to be ready, and the heartbeats of roles.
#[derive(Clone, Default)]
pub struct Checks {
    checks: Arc<Mutex<Vec<(&'static str, Check)>>>,
    pulses: Arc<Mutex<Vec<(&'static str, Pulse)>>>,
}

impl Checks {
    /// Adds a check; its error says what is wrong.
    pub fn add(
        &self,
        name: &'static str,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) {
        self.checks.lock().expect("no holder of this lock panics").push((name, Box::new(check)));
    }

    /// The heartbeat of a role: the process lives as long as none stands still.
    #[must_use]
    pub fn pulse(&self, role: &'static str) -> Pulse {
        let pulse = Pulse::default();
        self.pulses.lock().expect("no holder of this lock panics").push((role, pulse.clone()));
        pulse
    }

    /// A role that is not ready until it says so with [`Checks::started`].
    pub fn starting(&self, role: &'static str) {
        self.add(role, || Err("starting".to_owned()));
    }

    /// The role has started.
    pub fn started(&self, role: &'static str) {
        let mut checks = self.checks.lock().expect("no holder of this lock panics");
        for (name, check) in checks.iter_mut() {
            if *name == role {
                *check = Box::new(|| Ok(()));
            }
        }
    }

    /// Whether all hold, and a line for each.
    #[must_use]
    pub fn ready(&self) -> (bool, String) {
        let mut all = true;
        let mut lines = String::new();
        for (name, check) in self.checks.lock().expect("no holder of this lock panics").iter() {
            let result = check();
            all &= result.is_ok();
            let _ = match result {
                Ok(()) => writeln!(lines, "[+] {name} ok"),
                Err(reason) => writeln!(lines, "[-] {name} failed: {reason}"),
            };
        }
        (all, lines)
    }

    /// Whether no role stands still; a line for each that does.
    #[must_use]
    pub fn alive(&self) -> (bool, String) {
        let mut lines = String::new();
        for (role, pulse) in self.pulses.lock().expect("no holder of this lock panics").iter() {
            if let Some(silent) = pulse.stands_still() {
                let _ = writeln!(lines, "[-] {role} stands still for {} s", silent.as_secs());
            }
        }
        (lines.is_empty(), lines)
    }

    /// Waits until this role has started, if it is one of this process.
    pub async fn role_started(&self, role: &str) {
        let starting = || {
            let checks = self.checks.lock().expect("no holder of this lock panics");
            checks.iter().any(|(name, check)| *name == role && check().is_err())
        };
        while starting() {
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until all hold.
    pub async fn all_ready(&self) {
        while !self.ready().0 {
            tokio::time::sleep(POLL).await;
        }
    }

    /// The answer to a probe; none if the path is no probe.
    #[must_use]
    pub fn probe(&self, path: &str, query: Option<&str>) -> Option<(StatusCode, String)> {
        match path {
            "/livez" => Some(match self.alive() {
                (true, _) => (StatusCode::OK, "ok\n".to_owned()),
                (false, lines) => (StatusCode::SERVICE_UNAVAILABLE, lines),
            }),
            "/readyz" => {
                let (ready, lines) = self.ready();
                let verbose = query.is_some_and(|query| query.split('&').any(|p| p == "verbose"));
                let short = if ready { "ok\n" } else { "not ready\n" };
                let body =
                    if verbose || !ready { format!("{lines}{short}") } else { short.to_owned() };
                let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                Some((status, body))
            }
            _ => None,
        }
    }
}

/// Serves `/metrics`, `/livez` and `/readyz` as long as the process lives, so that probes see the
/// drain.
pub async fn run(listener: TcpListener, checks: Checks) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(BACK_OFF).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            continue;
        };
        let checks = checks.clone();
        tokio::spawn(async move {
            serve(socket, checks).await;
            drop(permit);
        });
    }
}

/// Answers what is asked over a connection, for a while: who asks and never reads would keep its place for good.
async fn serve(socket: impl AsyncRead + AsyncWrite + Unpin, checks: Checks) {
    let service = service_fn(move |request| answer(request, checks.clone()));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = pin!(connection);
    if timeout(CONNECTION_LASTS, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(LEAVE, connection).await;
    }
}

async fn answer(
    request: Request<Incoming>,
    checks: Checks,
) -> Result<Response<Full<Bytes>>, http::Error> {
    let path = request.uri().path();
    let found = match path {
        "/metrics" => Some((StatusCode::OK, telemetry::render_metrics())),
        _ => checks.probe(path, request.uri().query()),
    };
    let (status, body) = match found {
        Some(_) if request.method() != Method::GET => {
            (StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned())
        }
        Some(found) => found,
        None => (StatusCode::NOT_FOUND, "try /metrics, /livez or /readyz\n".to_owned()),
    };
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")
        .body(Full::new(Bytes::from(body)))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::time::{Instant, advance};

    use super::*;
    use crate::pulse::STANDSTILL;

    fn livez(checks: &Checks) -> (u16, String) {
        let (status, text) = checks.probe("/livez", None).unwrap();
        (status.as_u16(), text)
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_reads_loses_its_connection() {
        let (mut client, server) = tokio::io::duplex(1024);
        let asks = async {
            for _ in 0..1_000 {
                client.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").await?;
            }
            std::io::Result::Ok(())
        };
        let begun = Instant::now();
        let served = async {
            serve(server, Checks::default()).await;
            begun.elapsed()
        };
        let both = timeout(CONNECTION_LASTS * 3, async { tokio::join!(asks, served) });
        let (asked, served) = both.await.expect("the connection ends");
        assert!(asked.is_err(), "it is closed before all was asked");
        assert!(served >= CONNECTION_LASTS && served <= CONNECTION_LASTS + LEAVE * 2, "{served:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_role_that_does_not_beat_is_named_and_the_process_does_not_live() {
        let checks = Checks::default();
        let [worker, admin, _not_started] = ["worker", "admin", "gateway"].map(|r| checks.pulse(r));
        checks.add("broker", || Err("not connected".to_owned()));
        worker.beat();
        advance(STANDSTILL).await;
        admin.beat();
        assert_eq!(livez(&checks), (200, "ok\n".to_owned()));
        advance(Duration::from_secs(3)).await;
        assert_eq!(livez(&checks), (503, "[-] worker stands still for 23 s\n".to_owned()));
        worker.beat();
        assert_eq!(livez(&checks), (200, "ok\n".to_owned()));
    }
}
