//! Three nats-servers that are one cluster, with the configuration that Kubernetes gets.
//!
//! Must not know who uses them.

use std::path::Path;

use anyhow::Context;
use async_nats::jetstream::stream::ClusterInfo;
use futures::future::try_join_all;
use runtime::nats_server::NatsServer;
use wire::subject::{ALERTS_STREAM, CONTROL_STREAM, INCIDENTS_STREAM};

use crate::events::connect;
use crate::rig::free_address;
use crate::wait::eventually;

const CONFIG: &str = include_str!("../../deploy/kubernetes/base/nats.conf");
/// How many servers there are, and the copies of each stream.
pub const SERVERS: usize = 3;
/// What is not the same on one machine: all else is tested as it is deployed.
const LOCAL: [(&str, &str); 3] = [
    ("0.0.0.0:4222", "\"{{address}}\""),
    ("0.0.0.0:8222", "\"{{monitor}}\""),
    ("/data", "\"{{store}}\""),
];
const ACCOUNTS: &str = "include nats-accounts.conf";

/// Starts them with these accounts, each with a folder of its own.
///
/// # Errors
/// One does not start, or the configuration has changed so that it cannot be run here.
pub async fn start(
    program: &Path,
    folder: &Path,
    accounts: &str,
) -> anyhow::Result<Vec<NatsServer>> {
    let routes: Vec<String> =
        (0..SERVERS).map(|_| Ok(free_address()?.to_string())).collect::<anyhow::Result<_>>()?;
    let servers = (0..SERVERS).map(|n| {
        let (config, home) = (config(n, &routes, accounts), folder.join(name(n)));
        async move { Ok(NatsServer::start(program, &home, &config?, 0, |_| {}).await?) }
    });
    try_join_all(servers).await
}

/// What a server is called.
#[must_use]
pub fn name(n: usize) -> String {
    format!("nats-{n}")
}

/// The servers that hold a stream, as its leader sees them; none while there is no leader.
pub async fn group(url: &str, stream: &str) -> Option<ClusterInfo> {
    let mut stream = connect(url).await.ok()?.get_stream(stream).await.ok()?;
    stream.info().await.ok()?.cluster.clone()
}

/// Waits until every server has all of the streams.
///
/// # Errors
/// One has not.
pub async fn caught_up(url: &str) -> anyhow::Result<()> {
    eventually("every server to have caught up", async || {
        for stream in [ALERTS_STREAM, CONTROL_STREAM, INCIDENTS_STREAM] {
            let group = group(url, stream).await?;
            group.replicas.iter().all(|replica| replica.current).then_some(())?;
        }
        Some(())
    })
    .await
}

fn config(n: usize, routes: &[String], accounts: &str) -> anyhow::Result<String> {
    let mut own: Vec<(String, String)> = vec![
        ("$POD_NAME".to_owned(), name(n)),
        ("0.0.0.0:6222".to_owned(), format!("\"{}\"", routes[n])),
        (ACCOUNTS.to_owned(), accounts.to_owned()),
    ];
    own.extend(
        routes
            .iter()
            .enumerate()
            .map(|(m, route)| (format!("{}.nats:6222", name(m)), route.clone())),
    );
    own.extend(LOCAL.map(|(from, to)| (from.to_owned(), to.to_owned())));
    own.iter().try_fold(CONFIG.to_owned(), |config, (from, to)| {
        let once = config.matches(from.as_str()).count() == 1;
        once.then(|| config.replace(from.as_str(), to))
            .with_context(|| format!("{from} is not there once"))
    })
}
