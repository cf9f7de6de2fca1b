//! The ops listener of a role: metrics and probes.
//!
//! Must not know what a check looks at. `/livez` never fails for the broker's sake: a restart
//! would not help.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::telemetry;

const MAX_CONNECTIONS: usize = 64;
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// After an error of accept, such as too many open files.
const BACK_OFF: Duration = Duration::from_millis(50);
const POLL: Duration = Duration::from_millis(10);

type Check = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What must hold for a role to be ready.
#[derive(Clone, Default)]
pub struct Checks(Arc<Mutex<Vec<(&'static str, Check)>>>);

impl Checks {
    /// Adds a check; its error says what is wrong.
    pub fn add(
        &self,
        name: &'static str,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) {
        self.0.lock().expect("no holder of this lock panics").push((name, Box::new(check)));
    }

    /// A role that is not ready until it says so with [`Checks::started`].
    pub fn starting(&self, role: &'static str) {
        self.add(role, || Err("starting".to_owned()));
    }

    /// The role has started.
    pub fn started(&self, role: &'static str) {
        let mut checks = self.0.lock().expect("no holder of this lock panics");
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
        for (name, check) in self.0.lock().expect("no holder of this lock panics").iter() {
            let result = check();
            all &= result.is_ok();
            let _ = match result {
                Ok(()) => writeln!(lines, "[+] {name} ok"),
                Err(reason) => writeln!(lines, "[-] {name} failed: {reason}"),
            };
        }
        (all, lines)
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
            "/livez" => Some((StatusCode::OK, "ok\n".to_owned())),
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
            let service = service_fn(move |request| answer(request, checks.clone()));
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(socket), service)
                .await;
            drop(permit);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    checks: Checks,
) -> Result<Response<Full<Bytes>>, http::Error> {
    let path = request.uri().path();
    let found = match path {
        "/metrics" => Some((StatusCode::OK, telemetry::metrics().render())),
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
