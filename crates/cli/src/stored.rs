//! What a stopped installation has stored: its folder taken, its nats-server started for us alone.
//!
//! Must not know what is done with it.

use std::path::Path;

use runtime::environment;
use runtime::nats_server::{self, NatsServer};

/// How nats-server is configured on one machine.
pub const NATS_TEMPLATE: &str = include_str!("../../../deploy/nats.conf");

/// Whether `gander up` keeps its streams in this data folder.
pub fn has_streams(data: &Path) -> bool {
    data.join("nats").is_dir()
}

/// Starts nats-server on the streams in this data folder, on a port that nobody else knows.
pub async fn open_streams(data: &Path, program: Option<&Path>) -> anyhow::Result<NatsServer> {
    let search = environment::variable("PATH");
    let program = nats_server::find(program, search.as_deref())?;
    Ok(NatsServer::start(&program, &data.join("nats"), NATS_TEMPLATE, 0).await?)
}
