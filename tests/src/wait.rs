//! Waiting until something is so, never for a fixed time.
//!
//! Must not know why.

use std::time::Duration;

use runtime::nats_server::NatsServer;
use tokio::time::{Instant, timeout, timeout_at};

/// How long tests wait for what must happen.
pub const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(10);

/// Asks until there is an answer.
///
/// # Errors
/// There is none within [`PATIENCE`]; `what` says what was missing.
pub async fn eventually<T>(
    what: &str,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // An answer that never comes is waited for as long.
        if let Ok(Some(found)) = timeout_at(deadline, ask()).await {
            return Ok(found);
        }
        anyhow::ensure!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Starts a nats-server again on its store.
///
/// # Errors
/// It does not start, or not within [`PATIENCE`].
pub async fn back_again(server: &mut NatsServer) -> anyhow::Result<()> {
    let started = timeout(PATIENCE, server.restart()).await;
    Ok(started.map_err(|_| anyhow::anyhow!("nats-server is not back in {PATIENCE:?}"))??)
}
