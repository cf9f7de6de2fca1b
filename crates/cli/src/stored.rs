//! The nats-server of one machine: its store, its keys, and how it is configured.
//!
//! Must not know what is done with it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use runtime::environment;
use runtime::nats::access::{Door, Keys, Subscriber, User, accounts};
use runtime::nats_server::{self, NatsServer, START_NOTE};
use runtime::notify;
use runtime::random::SystemRandom;

use crate::out::complain;

/// How nats-server is configured on one machine.
const TEMPLATE: &str = include_str!("../../../deploy/nats.conf");
/// The folders of streams: of the account that has them, and of the one that builds before accounts
/// had.
const STREAMS: &str = "store/jetstream/GANDER";
const STREAMS_BEFORE: &str = "store/jetstream/$G";

/// Whether `gander up` keeps its streams in this data folder.
pub fn has_streams(data: &Path) -> bool {
    data.join("nats").is_dir()
}

/// A running nats-server, and the keys of its users.
pub struct Broker {
    pub server: NatsServer,
    keys: Keys,
}

impl Broker {
    /// Starts it on the streams in this data folder; a port of 0 is one that nobody else knows.
    pub async fn start(data: &Path, program: Option<&Path>, port: u16) -> anyhow::Result<Self> {
        let search = environment::variable("PATH");
        let program = nats_server::find(program, search.as_deref())?;
        let folder = data.join("nats");
        let subscribers = [Subscriber::usual()];
        let keys = Keys::ensure(&folder.join("keys"), &subscribers, &SystemRandom)?;
        let template = TEMPLATE.replace("{{accounts}}", &keys.filled_in(&accounts(&subscribers)));
        take_over(&folder).context("streams of a build before")?;
        let server = NatsServer::start(&program, &folder, &template, port, still_opening).await?;
        Ok(Self { server, keys })
    }

    /// The way in for a user.
    pub fn door(&self, user: User) -> Door {
        let key = Some((user, self.keys.file(user)));
        Door { url: self.server.url(), ca_file: None, key }
    }
}

fn still_opening(waited: Duration) {
    notify::opening(2 * START_NOTE);
    complain(&format!(
        "nats-server is still opening its store, for {} s now: it takes longest after it was killed",
        waited.as_secs()
    ));
}

/// Moves the streams to the account that has them now, once.
fn take_over(folder: &Path) -> std::io::Result<()> {
    let (before, now) = (folder.join(STREAMS_BEFORE), folder.join(STREAMS));
    if before.is_dir() && now.exists() {
        return Err(std::io::Error::other(format!(
            "{} and {} both have streams: a build before accounts has run again; move one away",
            before.display(),
            now.display()
        )));
    }
    if before.is_dir() {
        fs::rename(&before, &now)?;
        if let Some(parent) = now.parent() {
            fs::File::open(parent)?.sync_all()?;
        }
        tracing::info!("the streams of a build before accounts are taken over");
    }
    Ok(())
}
