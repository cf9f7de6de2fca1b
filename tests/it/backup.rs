//! The drill: a backup while everything works, restored where there is nothing, and used.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use async_nats::jetstream;
use e2e::admin::{Admin, filter, payload};
use e2e::alerts::send;
use e2e::events;
use e2e::ledger::Ledger;
use e2e::load::{Load, Mix, Recorder};
use e2e::process::{Process, run, run_with};
use e2e::rig::{Rig, free_address};
use e2e::tools::{nats_server, tool};
use e2e::wait::eventually;
use futures::future::try_join_all;
use http::StatusCode;
use runtime::backup_file;
use runtime::nats_server::NatsServer;
use wire::proto::gander::admin::v1::Token;
use wire::proto::gander::events::v1::IncidentEvent;

const INCIDENTS: &str = "GANDER_INCIDENTS";
const EVENTS: &str = "gander.incidents.>";

async fn gander(rig: &Rig, line: &str) -> anyhow::Result<(i32, String)> {
    let args: Vec<_> = line.split_whitespace().collect();
    run(rig.folder(), None, &args).await
}

async fn done(rig: &Rig, line: &str) -> anyhow::Result<String> {
    let (code, text) = gander(rig, line).await?;
    anyhow::ensure!(code == 0, "{line}: {code}: {text}");
    Ok(text)
}

/// What was restored, running.
struct Up {
    _process: Process,
    http: SocketAddr,
    grpc: SocketAddr,
    nats: String,
    data: PathBuf,
}

async fn up(rig: &Rig, data: &str) -> anyhow::Result<Up> {
    let (http, grpc, nats) = (free_address()?, free_address()?, free_address()?);
    let line = format!(
        "up --data {data} --nats-server {} --nats-port {} --http-listen {http} --grpc-listen {grpc} --ops-listen {}",
        nats_server()?,
        nats.port(),
        free_address()?
    );
    let args: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
    let process = Process::start(rig.folder(), data, &args)?;
    eventually("everything to be up", async || {
        process.log().contains("Stop with Ctrl-C").then_some(())
    })
    .await
    .map_err(|error| error.context(process.log()))?;
    let data = rig.folder().join(data);
    Ok(Up { _process: process, http, grpc, nats: format!("nats://{nats}"), data })
}

impl Up {
    /// The incident events, as an operator reads them.
    async fn read(&self) -> anyhow::Result<(Vec<u64>, Vec<IncidentEvent>)> {
        let key = self.data.join("nats/keys/operator.nk");
        let client = events::connect_by_key(&self.nats, &key, "_INBOX_operator").await?;
        read_by(&jetstream::new(client)).await
    }
}

async fn read(url: &str) -> anyhow::Result<(Vec<u64>, Vec<IncidentEvent>)> {
    read_by(&events::connect(url).await?).await
}

async fn read_by(context: &jetstream::Context) -> anyhow::Result<(Vec<u64>, Vec<IncidentEvent>)> {
    let stored = events::stored_by(context, INCIDENTS, EVENTS).await?;
    let sequences = stored.iter().map(|message| message.sequence).collect();
    Ok((sequences, stored.iter().map(events::Stored::event).collect::<Result<_, _>>()?))
}

fn counted(events: &[IncidentEvent]) -> u64 {
    events.iter().map(|event| event.alert_count).sum()
}

struct Stage {
    rig: Rig,
    admin: Admin,
    steady: Token,
    gateway: SocketAddr,
}

async fn stage() -> anyhow::Result<Stage> {
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("steady").await?;
    let service = admin.service(&team, "one", vec![filter("status")]).await?;
    let steady = admin.token("steady", &service.name).await?;
    let gateway = rig.gateway()?;
    let opened = send(gateway, &steady.secret, payload("firing", "steady")).await?;
    assert_eq!(opened.status, StatusCode::CREATED);
    Ok(Stage { rig, admin, steady, gateway })
}

/// The headers of batches in a backup, by stream.
fn batch_headers(file: &Path) -> anyhow::Result<BTreeSet<(String, String)>> {
    let mut file = backup_file::Reader::open(file)?;
    let mut found = BTreeSet::new();
    while let Some(message) = file.message()? {
        let headers = message.headers.into_iter().map(|(name, _)| name);
        let of_batches = headers.filter(|name| name.starts_with("Nats-Batch-"));
        found.extend(of_batches.map(|name| (message.stream.clone(), name)));
    }
    Ok(found)
}

#[tokio::test]
async fn a_backup_of_a_running_installation_is_restored_and_goes_on() -> anyhow::Result<()> {
    let Stage { rig, admin, steady, gateway } = stage().await?;
    let mut tokens = Vec::new();
    for n in 0..3 {
        let team = admin.team(&format!("load {n}")).await?;
        let service = admin.service(&team, "one", vec![filter("status")]).await?;
        tokens.push(admin.token("load", &service.name).await?.secret);
    }
    // So many changes at a time that they are stored in batches.
    let names: Vec<_> = (0..64).map(|n| format!("idle {n}")).collect();
    try_join_all(names.iter().map(|name| admin.team(name))).await?;
    let before = admin.open_incidents().await?.remove(0);
    let recorder = Recorder::start(&rig.nats_url()).await?;
    let load = Load::start(vec![gateway], &tokens, 8, Mix::Triggers, &admin, rig.grpc());
    eventually("work", async || (load.acked().0 > 300).then_some(())).await?;
    let acked = load.acked().0 as u64;
    let create = format!("backup create all.backup --nats-url {}", rig.nats_url());
    let told = done(&rig, &create).await?;
    assert!(told.contains("whole: backup of"), "{told}");
    // What tells where a commit ends: without it a backup could cut one in half.
    // Of the configuration they are left out: a build before could not restore it.
    let names = ["Nats-Batch-Commit", "Nats-Batch-Id", "Nats-Batch-Sequence"];
    let kept = names.map(|name| (INCIDENTS.to_owned(), name.to_owned()));
    assert_eq!(batch_headers(&rig.folder().join("all.backup"))?, kept.into());
    let sent = send(gateway, &steady.secret, payload("firing", "late")).await?;
    assert_eq!(sent.status, StatusCode::CREATED, "after the backup");
    load.stop().await;
    let stored = recorder.stop().await?.len() as u64 + 2;
    let old = read(&rig.nats_url()).await?.0;
    assert_eq!(done(&rig, "backup verify all.backup").await?, told);
    let restore = format!(
        "backup restore all.backup --data new --secrets keep --nats-server {}",
        nats_server()?
    );
    done(&rig, &restore).await?;
    let again = gander(&rig, &restore).await?;
    assert!(again.0 == 1 && again.1.contains("is not empty"), "{again:?}");
    let up = up(&rig, "new").await?;
    let admin = Admin::connect(up.grpc, &admin.credential).await?;
    let open = admin.open_incidents().await?;
    assert!(open.contains(&before), "{before:?} is open as it was");
    assert!(!open.iter().any(|incident| incident.mapped_value == "late"));
    let repeated = send(up.http, &steady.secret, payload("firing", "steady")).await?;
    assert_eq!(repeated.status, StatusCode::OK, "{:?}", repeated.body);
    assert_eq!(repeated.body["triggered"]["duplicate"], true);
    let found = eventually("what was accepted before the backup", async || {
        let (sequences, events) = up.read().await.ok()?;
        (counted(&events) > acked + 1).then_some((sequences, events))
    });
    let (sequences, events) = found.await?;
    assert!(counted(&events) <= stored + 1, "nothing is counted twice");
    assert!(sequences[0] > old[old.len() - 1], "a cursor of before misses none");
    let ledger = Ledger { events, ..Ledger::default() };
    let wrong: Vec<_> = ledger.violations();
    assert_eq!(wrong, Vec::<String>::new());
    let resolved = send(up.http, &steady.secret, payload("resolved", "steady")).await?;
    assert_eq!(resolved.body["resolved"]["resolved"], true, "{:?}", resolved.body);
    runtime::secret_file::write(&rig.folder().join("credential"), &admin.credential)?;
    let verify = format!("audit verify --server http://{} --credential-file credential", up.grpc);
    assert!(done(&rig, &verify).await?.contains("whole:"));
    assert!(admin.team("after the restore").await.is_ok());
    Ok(())
}

#[tokio::test]
async fn secrets_that_may_be_dead_are_revoked_by_a_restore() -> anyhow::Result<()> {
    let Stage { rig, admin, steady, .. } = stage().await?;
    let create = format!("backup create all.backup --nats-url {}", rig.nats_url());
    done(&rig, &create).await?;
    admin.delete_token(&steady).await?;
    let tools = nats_server()?;
    let unsaid = gander(&rig, "backup restore all.backup --data new").await?;
    assert!(unsaid.0 == 2 && unsaid.1.contains("--secrets"), "{unsaid:?}");
    done(
        &rig,
        &format!("backup restore all.backup --data new --secrets revoke --nats-server {tools}"),
    )
    .await?;
    let up = up(&rig, "new").await?;
    let dead = send(up.http, &steady.secret, payload("firing", "x")).await?;
    assert_eq!(dead.status, StatusCode::UNAUTHORIZED);
    let dead = Admin::connect(up.grpc, &admin.credential).await?;
    assert!(dead.team("no").await.is_err());
    let bootstrap = std::fs::read_to_string(up.data.join("bootstrap-credential"))?;
    let bootstrap = Admin::connect(up.grpc, bootstrap.trim()).await?;
    let again = bootstrap.principal("again", &["global-admin"]).await?.credential;
    let again = Admin::connect(up.grpc, &again).await?;
    let fresh = again.replace_secret(&steady).await?;
    assert_eq!(fresh.name, steady.name);
    let taken = send(up.http, &fresh.secret, payload("firing", "steady")).await?;
    assert_eq!(taken.status, StatusCode::OK, "the incident is still open");
    Ok(())
}

#[tokio::test]
async fn a_backup_that_was_changed_or_cut_is_refused_and_streams_are_never_overwritten()
-> anyhow::Result<()> {
    let Stage { rig, .. } = stage().await?;
    let url = rig.nats_url();
    done(&rig, &format!("backup create all.backup --nats-url {url}")).await?;
    let there = gander(&rig, &format!("backup create all.backup --nats-url {url}")).await?;
    let says = "error: all.backup is there already: name another file\n";
    assert_eq!(there, (1, says.to_owned()));
    let onto = format!("backup restore all.backup --data new --secrets keep --nats-url {url}");
    let onto = gander(&rig, &onto).await?;
    assert!(onto.0 == 1 && onto.1.contains("there are streams of Gander already"), "{onto:?}");
    let file = rig.folder().join("all.backup");
    let good = std::fs::read(&file)?;
    let places: BTreeSet<_> = (0..good.len()).step_by(good.len() / 10 + 1).collect();
    for at in places {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&file, &bad)?;
        let told = gander(&rig, "backup verify all.backup").await?;
        assert!(told.0 == 1 && !told.1.contains("whole: backup"), "byte {at}: {told:?}");
        std::fs::write(&file, &good[..at])?;
        let told = gander(&rig, "backup restore all.backup --data other --secrets keep").await?;
        assert!(told.0 == 1 && !rig.folder().join("other").exists(), "cut at {at}: {told:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_backup_that_does_not_fit_together_gets_no_name() -> anyhow::Result<()> {
    let Stage { rig, .. } = stage().await?;
    let url = rig.nats_url();
    let context = events::connect(&url).await?;
    context.publish("gander.control.team.nobody", "no commit".into()).await?.await?;
    let told = gander(&rig, &format!("backup create all.backup --nats-url {url}")).await?;
    assert!(told.0 == 1 && told.1.contains("does not fit together"), "{told:?}");
    let left = std::fs::read_dir(rig.folder())?;
    let left = left.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    assert_eq!(left.filter(|name| name.starts_with("all.backup")).count(), 0);
    Ok(())
}

#[tokio::test]
async fn a_restore_that_was_killed_is_refused_until_it_is_deleted() -> anyhow::Result<()> {
    let Stage { rig, .. } = stage().await?;
    done(&rig, &format!("backup create all.backup --nats-url {}", rig.nats_url())).await?;
    let restore = format!(
        "backup restore all.backup --data new --secrets revoke --nats-server {}",
        nats_server()?
    );
    let args: Vec<_> = restore.split_whitespace().map(str::to_owned).collect();
    let mut process = Process::start(rig.folder(), "restore", &args)?;
    let new = rig.folder().join("new");
    eventually("the restore to begin to write", async || {
        new.join("journal").exists().then_some(())
    })
    .await?;
    process.kill().await?;
    assert!(new.join("restore-incomplete").exists(), "it had ended: {}", process.log());
    for (line, says) in [
        ("up --data new", 2),
        ("admin --data new", 2),
        ("admin recover --data new", 1),
        ("audit verify --data new", 1),
        ("backup create again.backup --data new", 1),
        ("config check up --data new", 1),
        (restore.as_str(), 1),
    ] {
        let (code, text) = gander(&rig, line).await?;
        assert_eq!(code, says, "{line}: {text}");
        assert!(text.contains("a restore into"), "{line}: {text}");
        assert!(text.contains("has not ended") && text.contains("delete this folder"), "{text}");
    }
    std::fs::remove_dir_all(&new)?;
    let told = done(&rig, &restore).await?;
    assert!(told.contains("restored; the head") && told.contains("All secrets are revoked"));
    assert!(!new.join("restore-incomplete").exists());
    done(&rig, &format!("audit verify --data new --nats-server {}", nats_server()?)).await?;
    Ok(())
}

/// A nats-server that lets in only who has a password, and the file with its URL.
async fn with_password(rig: &Rig, name: &str) -> anyhow::Result<(NatsServer, String)> {
    let template = include_str!("../../deploy/nats.conf").replace("{{accounts}}", "");
    let template = format!("{template}\nauthorization {{ user: me, password: hunter2 }}\n");
    let program = tool("nats-server")?;
    let server =
        NatsServer::start(&program, &rig.folder().join(name), &template, 0, |_| {}).await?;
    let url = server.url().replace("nats://", "nats://me:hunter2@");
    runtime::secret_file::write(&rig.folder().join(format!("{name}-url")), &url)?;
    Ok((server, url))
}

/// The sequences of incident events in a stream, first and last.
async fn bounds(url: &str) -> anyhow::Result<(u64, u64)> {
    let sequences = read(url).await?.0;
    let first = sequences.first().copied().unwrap_or_default();
    Ok((first, sequences.last().copied().unwrap_or_default()))
}

#[tokio::test]
async fn each_restore_has_sequences_that_none_before_had() -> anyhow::Result<()> {
    let Stage { rig, .. } = stage().await?;
    let url = rig.nats_url();
    done(&rig, &format!("backup create all.backup --nats-url {url}")).await?;
    let mut last = bounds(&url).await?.1;
    let restored = async |backup: &str, name: &str| {
        let (server, url) = with_password(&rig, name).await?;
        let restore = format!("backup restore {backup} --data data-{name} --secrets keep");
        done(&rig, &format!("{restore} --nats-url-file {name}-url")).await?;
        let (first, last) = bounds(&url).await?;
        anyhow::Ok((server, first, last))
    };
    let mut servers = Vec::new();
    for (backup, name) in [("all.backup", "one"), ("all.backup", "two"), ("two.backup", "three")] {
        let (server, first, end) = restored(backup, name).await?;
        assert!(first > last && end >= first, "{name}: {first} is not behind {last}");
        last = end;
        done(&rig, &format!("backup create {name}.backup --nats-url-file {name}-url")).await?;
        servers.push(server);
    }
    let verify = "audit verify --data data-three --nats-url-file three-url";
    assert!(done(&rig, verify).await?.contains("whole:"));
    Ok(())
}

#[tokio::test]
async fn a_url_with_a_password_comes_from_a_file_that_nobody_else_reads() -> anyhow::Result<()> {
    let Stage { rig, .. } = stage().await?;
    let file = rig.folder().join("url");
    runtime::secret_file::write(&file, &rig.nats_url())?;
    // The file wins over the variable, as a flag does.
    let create = ["backup", "create", "all.backup", "--nats-url-file", "url"];
    let nowhere = [("GANDER_NATS_URL", "nats://127.0.0.1:1")];
    let (code, text) = run_with(rig.folder(), None, &create, &nowhere).await?;
    assert_eq!(code, 0, "{text}");
    // A restore is never led by a variable that was meant for something else.
    let here = [("GANDER_NATS_URL", rig.nats_url())];
    let here = here.each_ref().map(|(name, value)| (*name, value.as_str()));
    let tools = nats_server()?;
    let restore = ["backup", "restore", "all.backup", "--data", "new", "--secrets", "keep"];
    let restore = [&restore[..], &["--nats-server", &tools]].concat();
    let (code, text) = run_with(rig.folder(), None, &restore, &here).await?;
    assert_eq!(code, 0, "{text}");
    assert!(rig.folder().join("new/nats").is_dir());
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644))?;
    for line in [
        "backup create other.backup --nats-url-file url",
        "backup restore all.backup --data other --secrets keep --nats-url-file url",
        "audit verify --data new --nats-url-file url",
    ] {
        let (code, text) = gander(&rig, line).await?;
        assert!(code == 1 && text.contains("others can read url"), "{line}: {text}");
        let (code, text) = gander(&rig, &format!("{line} --nats-url nats://h")).await?;
        assert!(code == 2 && text.contains("cannot be used with"), "{line}: {text}");
    }
    assert!(!rig.folder().join("other").exists(), "nothing was begun");
    Ok(())
}
