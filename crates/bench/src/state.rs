//! How far workers are, read from what they have stored.
//!
//! Must not know processes.

use e2e::events::{connect, stored};
use wire::stored::worker::Checkpoint;
use wire::subject;

/// How far all partitions are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// The message of alerts up to which a partition is done, the one that is furthest: partitions to
    /// which nothing comes say how far they are once a second only.
    pub position: u64,
    /// Alerts that were folded, by all partitions together.
    pub alerts: u64,
}

/// How far all partitions are now.
pub async fn folded(url: &str) -> anyhow::Result<Folded> {
    let found = stored(url, subject::INCIDENTS_STREAM, "gander.checkpoints.*").await?;
    let mut all = Folded::default();
    for message in found {
        let checkpoint = Checkpoint::decode(&message.payload)?;
        all.position = all.position.max(checkpoint.position.sequence);
        all.alerts += checkpoint.totals.alerts;
    }
    Ok(all)
}

/// The number of the last message of alerts.
pub async fn last(url: &str) -> anyhow::Result<u64> {
    let mut stream = connect(url).await?.get_stream(subject::ALERTS_STREAM).await?;
    Ok(stream.info().await?.state.last_sequence)
}
