//! How far workers are, read from what they have stored.
//!
//! Must not know processes.

use e2e::events::{Broker, newest};
use wire::stored::worker::Checkpoint;
use wire::subject;

/// How many partitions there are where nothing else is said.
const PARTITIONS: u32 = 16;

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
pub async fn folded(broker: &Broker) -> anyhow::Result<Folded> {
    let mut all = Folded::default();
    for partition in 0..PARTITIONS {
        let subject = format!("gander.checkpoints.{partition}");
        if let Some(payload) = newest(broker, subject::INCIDENTS_STREAM, &subject).await? {
            let checkpoint = Checkpoint::decode(&payload)?;
            all.position = all.position.max(checkpoint.position.sequence);
            all.alerts += checkpoint.totals.alerts;
        }
    }
    Ok(all)
}

/// The number of the last message of alerts.
pub async fn last(broker: &Broker) -> anyhow::Result<u64> {
    let mut stream = broker.get_stream(subject::ALERTS_STREAM).await?;
    Ok(stream.info().await?.state.last_sequence)
}
