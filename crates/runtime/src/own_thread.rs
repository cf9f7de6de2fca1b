//! Work on a thread of its own, beside which nothing else waits for its turn.
//!
//! Must not know what the work is.

use std::io;

use tokio::sync::oneshot;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine has no room for it.
    #[error("a thread cannot be started")]
    Start(#[from] io::Error),
    /// A defect: see the log.
    #[error("it panicked: see the log, and report it")]
    Panicked,
}

/// Does this work on a thread with a runtime of its own. The tasks that it spawns end with it. It goes on
/// where nobody waits for it any more.
///
/// # Errors
/// There can be no thread, or the work panicked.
pub async fn on_own_thread<T: Send + 'static>(
    name: &str,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Error> {
    let (done, ended) = oneshot::channel();
    let thread = move || {
        let ended = tokio::runtime::Builder::new_current_thread().enable_all().build().map(|own| {
            let ended = own.block_on(work);
            // What is on other threads for it is for nobody any more.
            own.shutdown_background();
            ended
        });
        let _ = done.send(ended);
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(thread)?;
    Ok(ended.await.map_err(|_| Error::Panicked)??)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn work_is_done_elsewhere_and_its_panic_is_told() {
        let here = thread::current().id();
        let there = on_own_thread("there", async {
            tokio::task::yield_now().await;
            thread::current().id()
        });
        assert_ne!(there.await.unwrap(), here);
        let ended = on_own_thread("panics", async { panic!("on purpose") }).await;
        assert!(matches!(ended, Err::<(), _>(Error::Panicked)));
    }
}
