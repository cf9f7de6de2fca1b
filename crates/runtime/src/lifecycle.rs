//! How a process stops: first softly, then at once; and as a failure when a part of it dies.
//!
//! Must not know the parts.

use std::fmt::Display;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::notify;

/// The two stages of stopping, handed down to every part.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Finish what is begun, take nothing new.
    pub soft: CancellationToken,
    /// Stop now.
    pub hard: CancellationToken,
}

/// Runs the parts of a process until all have ended.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    shutdown: Shutdown,
    tracker: TaskTracker,
    failure: Arc<Mutex<Option<String>>>,
}

/// A part of the process died.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

impl Lifecycle {
    /// What tells the parts to stop.
    #[must_use]
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// Runs a part. If it ends with an error, or ends before it was asked to, the process stops
    /// and fails.
    pub fn spawn<E: Display + Send + 'static>(
        &self,
        name: &'static str,
        part: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let lifecycle = self.clone();
        let part = tokio::spawn(part);
        self.tracker.spawn(async move {
            let ended = part.await;
            let asked = lifecycle.shutdown.soft.is_cancelled();
            match ended {
                Ok(Ok(())) if asked => {}
                Ok(Ok(())) => lifecycle.fail(format!("{name} ended unasked")),
                Ok(Err(error)) => lifecycle.fail(format!("{name}: {error:#}")),
                Err(panic) => lifecycle.fail(format!("{name} panicked: {panic}")),
            }
        });
    }

    fn fail(&self, reason: String) {
        tracing::error!(reason, "a part of the process died; stopping");
        self.failure.lock().expect("no holder of this lock panics").get_or_insert(reason);
        self.shutdown.soft.cancel();
    }

    /// Waits for SIGTERM or SIGINT or the death of a part; then lets the parts drain for at most
    /// `drain`, a second signal cutting that short; then stops them.
    ///
    /// # Errors
    /// A part died.
    pub async fn run(self, drain: Duration) -> Result<(), Failure> {
        let (Ok(mut term), Ok(mut int)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            return Err(Failure("signals cannot be received".to_owned()));
        };
        let mut signalled = async || tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} };
        tokio::select! {
            () = signalled() => tracing::info!("stopping: finishing what is begun; a second signal stops at once"),
            () = self.shutdown.soft.cancelled() => {}
        }
        self.shutdown.soft.cancel();
        notify::stopping();
        self.tracker.close();
        tokio::select! {
            () = self.tracker.wait() => {}
            () = signalled() => tracing::warn!("stopping at once"),
            () = tokio::time::sleep(drain) => tracing::warn!(seconds = drain.as_secs(), "the drain took too long; stopping at once"),
        }
        self.shutdown.hard.cancel();
        let _ = tokio::time::timeout(Duration::from_millis(500), self.tracker.wait()).await;
        let failure = self.failure.lock().expect("no holder of this lock panics").take();
        failure.map_or(Ok(()), |reason| Err(Failure(reason)))
    }
}
