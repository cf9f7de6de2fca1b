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

/// What a stream has.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    /// The number of its last message.
    pub last: u64,
    /// What its messages take, subjects and headers included, bytes.
    pub bytes: u64,
}

/// What a stream has now.
pub async fn stored(broker: &Broker, stream: &str) -> anyhow::Result<Stored> {
    let stream = broker.get_stream(stream).await?;
    let state = &stream.cached_info().state;
    Ok(Stored { last: state.last_sequence, bytes: state.bytes })
}
