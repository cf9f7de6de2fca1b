//! Waiting until something is so, never for a fixed time.
//!
//! Must not know what is waited for.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

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
