//! What can be found wrong with a role's settings before a port is opened or a file is written.
//!
//! Must not know where a setting comes from.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use runtime::nats::access::Key;
use runtime::tls::{self, Certificate};
use runtime::{data_folder, environment, listen, nats_server};

use crate::args::{Act, Common, NatsArgs, UpArgs};

/// What cannot hold together in the settings of a role, whatever this machine is like: no role is
/// started with it.
pub fn contradictions(act: &Act) -> Vec<String> {
    let (gateway, common) = match act {
        Act::Up(args) => (&args.gateway, &args.common),
        Act::Gateway(args) => (&args.gateway, &args.common),
        Act::Admin(_)
        | Act::Worker(_)
        | Act::Backup { .. }
        | Act::Nats { .. }
        | Act::Config { .. }
        | Act::Man { .. }
        | Act::Completions { .. }
        | Act::Client(_) => return vec![],
    };
    gateway.contradictions(Duration::from_secs(common.drain_seconds))
}

/// All that is wrong with the settings of a role; nothing for other commands.
pub fn problems(act: &Act) -> Vec<String> {
    let found = match act {
        Act::Up(args) => up(args),
        Act::Admin(args) if args.act.is_some() => vec![],
        Act::Admin(args) => {
            let listeners = [grpc(&args.admin), ops(&args.common)];
            let files = vec![certificate(args.admin.certificate()), folder(&args.data)];
            all([listening(&listeners, &args.common), nats(&args.nats), files])
        }
        Act::Gateway(args) => {
            let listeners = [http(&args.gateway), ops(&args.common)];
            let files = vec![certificate(args.gateway.certificate())];
            all([listening(&listeners, &args.common), nats(&args.nats), files])
        }
        Act::Worker(args) => all([listening(&[ops(&args.common)], &args.common), nats(&args.nats)]),
        Act::Backup { .. }
        | Act::Nats { .. }
        | Act::Config { .. }
        | Act::Man { .. }
        | Act::Completions { .. }
        | Act::Client(_) => vec![],
    };
    let found = found.into_iter().filter_map(Result::err).map(|error| format!("{error:#}"));
    contradictions(act).into_iter().chain(found).collect()
}

type Found = Vec<anyhow::Result<()>>;

fn all<const N: usize>(parts: [Found; N]) -> Found {
    parts.into_iter().flatten().collect()
}

fn up(args: &UpArgs) -> Found {
    let listeners = [grpc(&args.admin), http(&args.gateway), ops(&args.common)];
    let search = environment::variable("PATH");
    let program = nats_server::find(args.nats_server.as_deref(), search.as_deref());
    let program = program.map(drop).context("nats-server");
    let certificates = [args.admin.certificate(), args.gateway.certificate()].map(certificate);
    let copies = (args.streams.replicas == 1).then_some(());
    let copies = copies.context("replicas: `gander up` has one nats-server, so it must be 1");
    let files = vec![folder(&args.data), program, copies];
    all([listening(&listeners, &args.common), certificates.into(), files])
}

fn certificate(loaded: Result<Option<Certificate>, tls::Error>) -> anyhow::Result<()> {
    Ok(loaded.map(drop)?)
}

/// A listener as it is set.
#[derive(Clone, Copy)]
struct Listening {
    key: &'static str,
    address: Option<SocketAddr>,
    /// Whether it has TLS; none where it cannot have it.
    tls: Option<bool>,
}

fn grpc(config: &admin::Config) -> Listening {
    let tls = Some(config.tls_cert.is_some());
    Listening { key: "grpc-listen", address: Some(config.listen), tls }
}

fn http(config: &gateway::Config) -> Listening {
    let tls = Some(config.tls_cert.is_some());
    Listening { key: "http-listen", address: Some(config.listen), tls }
}

fn ops(common: &Common) -> Listening {
    Listening { key: "ops-listen", address: common.ops_listen, tls: None }
}

/// Each address may be listened on, and each is of one listener only.
fn listening(listeners: &[Listening], common: &Common) -> Found {
    let insecure = common.insecure_listen;
    let said: Vec<_> = listeners.iter().filter_map(|one| Some((one, one.address?))).collect();
    let allowed = said.iter().map(|(one, address)| {
        let allowed = match one.tls {
            Some(tls) => listen::allow_tls(*address, tls, insecure),
            None => listen::allow(*address, insecure),
        };
        allowed.context(one.key)
    });
    let twice = said.iter().enumerate().filter_map(|(n, (one, address))| {
        let same = |(_, other): &&(&Listening, SocketAddr)| other == address;
        let (other, _) = said[..n].iter().find(same).filter(|_| address.port() != 0)?;
        Some(Err(anyhow::anyhow!("{}: {address} is that of {} too", one.key, other.key)))
    });
    allowed.chain(twice).collect()
}

fn nats(args: &NatsArgs) -> Found {
    let key = args.login.nats_nkey_file.as_deref().map(|file| {
        anyhow::ensure!(
            !args.nats_url.contains('@'),
            "nats-nkey-file: nats-url has a user and a password already: one login is enough"
        );
        Key::read(file).map(drop).context("nats-nkey-file")
    });
    let authorities = args.login.nats_ca_file.as_deref().map(|file| {
        fs::File::open(file).map(drop).with_context(|| format!("nats-ca-file: {}", file.display()))
    });
    let monitor = args.nats_monitor_url.as_deref().map(|url| {
        let uri: http::Uri = url.parse().context("nats-monitor-url is no URL")?;
        anyhow::ensure!(uri.scheme_str() == Some("http"), "nats-monitor-url begins with http://");
        Ok(())
    });
    monitor.into_iter().chain(key).chain(authorities).collect()
}

/// A folder that is there, or can be made.
fn folder(path: &Path) -> anyhow::Result<()> {
    let there = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let is_folder = fs::metadata(there).with_context(|| format!("data: {}", there.display()))?;
    anyhow::ensure!(is_folder.is_dir(), "data: {} is no folder", there.display());
    if path.is_dir() {
        data_folder::check_own(path).context("data")?;
    }
    data_folder::check_complete(path).context("data")
}
