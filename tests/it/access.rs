//! Who may do what at nats-server: each role is refused what it must not do, by a list that was
//! written without the product's table of rights.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use async_nats::{Client, ConnectOptions, Event};
use e2e::admin::{filter, payload};
use e2e::alerts::{get, send};
use e2e::certificates::Authority;
use e2e::events::connect;
use e2e::process::{Process, run};
use e2e::rig::{Plan, Rig, Role, free_address};
use e2e::tools::tool;
use e2e::wait::eventually;
use runtime::nats::Nats;
use runtime::nats::access::{Door, Key, User};
use runtime::nats_server::NatsServer;
use runtime::secret_file;
use tempfile::TempDir;
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(10);
const STREAMS: [&str; 6] = [
    "GANDER_CONTROL",
    "GANDER_ALERTS",
    "GANDER_INCIDENTS",
    "GANDER_APILOG",
    "KV_GANDER_LAST_USE",
    "KV_GANDER_LEASES",
];
/// What is stored, and by whom; nobody else may.
const STORED: [(&str, &[&str]); 10] = [
    ("gander.control.team.x", &["admin", "operator"]),
    ("gander.alerts", &["admin", "gateway", "operator"]),
    ("gander.incidents.created.x.y", &["worker", "operator"]),
    ("gander.state.0.x", &["worker", "operator"]),
    ("gander.checkpoints.0", &["worker", "operator"]),
    ("gander.parked.0", &["worker", "operator"]),
    ("gander.apilog.x", &["gateway", "worker"]),
    ("$KV.GANDER_LAST_USE.x", &["gateway"]),
    ("$KV.GANDER_LEASES.gateway.x", &["gateway"]),
    ("$KV.GANDER_LEASES.mark", &["admin"]),
];
/// What is said and asked past the streams, and by whom.
const SAID: [(&str, &[&str]); 5] = [
    ("gander.members.gateway.x", &["gateway"]),
    ("gander.members.worker.x", &["worker"]),
    ("gander.outcomes.x", &["worker"]),
    ("gander.roll-call", &["admin"]),
    ("gander.explain", &["admin"]),
];
/// Who hears it.
const HEARD: [(&str, &[&str]); 5] = [
    ("gander.members.gateway.*", &["admin"]),
    ("gander.members.worker.*", &["admin", "worker"]),
    ("gander.outcomes.*", &["admin", "gateway"]),
    ("gander.roll-call", &["gateway", "worker"]),
    ("gander.explain", &["worker"]),
];
/// Who reads a stream: makes a consumer, and is given messages.
const READ: [(&str, &[&str]); 6] = [
    ("GANDER_CONTROL", &["admin", "gateway", "worker", "operator"]),
    ("GANDER_ALERTS", &["worker", "operator"]),
    ("GANDER_INCIDENTS", &["admin", "worker", "operator"]),
    ("GANDER_APILOG", &["admin"]),
    ("KV_GANDER_LAST_USE", &["admin"]),
    ("KV_GANDER_LEASES", &["admin"]),
];
/// Who asks for single messages of a stream.
const GOT: [(&str, &[&str]); 6] = [
    ("GANDER_CONTROL", &["admin", "operator"]),
    ("GANDER_ALERTS", &["admin", "operator"]),
    ("GANDER_INCIDENTS", &["admin", "worker", "operator"]),
    ("GANDER_APILOG", &["admin"]),
    ("KV_GANDER_LAST_USE", &["admin"]),
    ("KV_GANDER_LEASES", &["admin", "gateway"]),
];
const ROLES: [&str; 4] = ["admin", "gateway", "worker", "operator"];

/// The rows that are not of this role.
fn foreign<'a>(
    role: &'a str,
    rows: &'a [(&'static str, &'static [&'static str])],
) -> impl Iterator<Item = &'static str> + 'a {
    rows.iter().filter(move |(_, by)| !by.contains(&role)).map(|(what, _)| *what)
}

/// Requests of JetStream that this role must not make.
fn requests(role: &str) -> Vec<String> {
    let mut all = vec!["ACCOUNT.PURGE.GANDER".to_owned(), "SERVER.REMOVE".to_owned()];
    for stream in STREAMS {
        all.push(format!("STREAM.DELETE.{stream}"));
        all.push(format!("STREAM.SNAPSHOT.{stream}"));
        all.push(format!("STREAM.RESTORE.{stream}"));
        if (role, stream) != ("admin", "GANDER_INCIDENTS") {
            all.push(format!("STREAM.MSG.DELETE.{stream}"));
        }
        if ![("worker", "GANDER_ALERTS"), ("admin", "KV_GANDER_LEASES")].contains(&(role, stream)) {
            all.push(format!("STREAM.PURGE.{stream}"));
        }
        if !["admin", "operator"].contains(&role) {
            all.push(format!("STREAM.CREATE.{stream}"));
        }
        if role != "operator" {
            all.push(format!("STREAM.UPDATE.{stream}"));
            all.push(format!("CONSUMER.DURABLE.CREATE.{stream}.x"));
            all.push(format!("CONSUMER.LIST.{stream}"));
        }
    }
    for stream in foreign(role, &READ) {
        all.push(format!("CONSUMER.CREATE.{stream}"));
        all.push(format!("CONSUMER.CREATE.{stream}.x"));
        all.push(format!("CONSUMER.DELETE.{stream}.x"));
        if role != "operator" {
            all.push(format!("CONSUMER.INFO.{stream}.x"));
        }
        all.push(format!("CONSUMER.CREATE.{stream}.x.gander.alerts"));
        all.push(format!("CONSUMER.MSG.NEXT.{stream}.x"));
        all.push(format!("DIRECT.GET.{stream}"));
    }
    all.extend(foreign(role, &GOT).map(|stream| format!("STREAM.MSG.GET.{stream}")));
    all
}

/// Subjects that this role must not publish to.
fn unsaid(role: &str) -> Vec<String> {
    let mut all: Vec<String> = foreign(role, &STORED).map(str::to_owned).collect();
    all.extend(foreign(role, &SAID).map(str::to_owned));
    for request in requests(role) {
        all.push(format!("$JS.API.{request}"));
        all.push(format!("$JS.gander.API.{request}"));
    }
    all.extend(ROLES.map(|other| format!("_INBOX_{other}.x")));
    all.extend(["_INBOX.x", "$SYS.REQ.SERVER.PING", "$JS.FC.x", "x"].map(str::to_owned));
    all
}

/// Subjects that this role must not listen to.
fn unheard(role: &str) -> Vec<String> {
    let mut all: Vec<String> = foreign(role, &HEARD).map(str::to_owned).collect();
    let inboxes = ROLES.iter().filter(|other| **other != role);
    all.extend(inboxes.map(|other| format!("_INBOX_{other}.>")));
    let wide = [">", "_INBOX.>", "gander.>", "gander.alerts", "gander.control.>", "$JS.>", "_R_.>"];
    all.extend(wide.map(str::to_owned));
    all.extend(["gander.incidents.>", "gander.apilog.*", "$KV.>", "$SYS.>"].map(str::to_owned));
    all
}

/// A client that comes in by a role's key, and what nats-server refuses it.
async fn comes_in(rig: &Rig, role: &str) -> anyhow::Result<(Client, mpsc::Receiver<String>)> {
    let (sender, refused) = mpsc::channel(1_000);
    let seed = std::fs::read_to_string(rig.folder().join(format!("keys/{role}.nk")))?;
    let options = ConnectOptions::with_nkey(seed.trim().to_owned())
        .custom_inbox_prefix(format!("_INBOX_{role}"))
        .event_callback(move |event| {
            if let Event::ServerError(error) = event {
                let _ = sender.try_send(error.to_string());
            }
            async {}
        });
    Ok((options.connect(rig.nats.url()).await?, refused))
}

/// What was refused next is this.
async fn refused(told: &mut mpsc::Receiver<String>, what: &str) -> anyhow::Result<()> {
    let next = tokio::time::timeout(PATIENCE, told.recv()).await;
    let next = next.with_context(|| format!("{what} is not refused"))?.context("an event")?;
    let quoted = what.split('"').nth(1).unwrap_or_default().to_lowercase();
    assert!(next.to_lowercase().contains(&format!("\"{quoted}\"")), "{what}: {next}");
    Ok(())
}

#[tokio::test]
async fn each_role_is_refused_what_it_must_not_do() -> anyhow::Result<()> {
    let rig = Rig::planned(Plan { gateways: 0, workers: 0, ..Plan::default() }).await?;
    for role in ROLES {
        let (client, mut told) = comes_in(&rig, role).await?;
        let (unsaid, unheard) = (unsaid(role), unheard(role));
        for subject in &unsaid {
            client.publish(subject.clone(), "x".into()).await?;
            refused(&mut told, &format!("{role}: to publish \"{subject}\"")).await?;
        }
        for subject in &unheard {
            let _heard = client.subscribe(subject.clone()).await?;
            refused(&mut told, &format!("{role}: to hear \"{subject}\"")).await?;
        }
        println!("{role}: {} subjects not said, {} not heard", unsaid.len(), unheard.len());
    }
    Ok(())
}

/// Where the client library has its consumer replaced after a silence, no test gets: the requests that
/// it makes then are let through.
#[tokio::test]
async fn each_reader_may_replace_its_consumer() -> anyhow::Result<()> {
    let rig = Rig::planned(Plan { gateways: 0, workers: 0, ..Plan::default() }).await?;
    for (stream, by) in READ.iter().filter(|(stream, _)| *stream != "KV_GANDER_LEASES") {
        for role in *by {
            let (client, mut told) = comes_in(&rig, role).await?;
            let api =
                if ["gateway", "worker"].contains(role) { "$JS.gander.API" } else { "$JS.API" };
            let config = format!(
                "{{\"stream_name\": \"{stream}\", \"config\": {{\"name\": \"x\", \"ack_policy\": \"none\"}}}}"
            );
            let requests = [("CREATE", config), ("INFO", String::new()), ("DELETE", String::new())];
            for (request, content) in requests {
                let asked = format!("{api}.CONSUMER.{request}.{stream}.x");
                let answer = client.request(asked.clone(), content.into()).await?.payload;
                let answer = String::from_utf8(answer.to_vec())?;
                assert!(!answer.contains("\"error\""), "{role} {asked}: {answer}");
            }
            assert!(told.try_recv().is_err());
        }
    }
    Ok(())
}

/// What a role may say, with somebody else's subject for the answer: the server would write there.
#[tokio::test]
async fn no_role_has_the_server_write_what_it_must_not() -> anyhow::Result<()> {
    let rig = Rig::planned(Plan { gateways: 0, workers: 0, ..Plan::default() }).await?;
    rig.first_admin().await?;
    let context = connect(&rig.nats_url()).await?;
    let last = async |stream: &str| {
        anyhow::Ok(context.get_stream(stream).await?.cached_info().state.last_sequence)
    };
    let asks = [
        ("gateway", "gander.alerts"),
        ("gateway", "gander.apilog.x"),
        ("gateway", "$JS.gander.API.STREAM.INFO.GANDER_CONTROL"),
        ("gateway", "$JS.gander.API.CONSUMER.MSG.NEXT.GANDER_CONTROL.x"),
        ("worker", "gander.checkpoints.0"),
        ("worker", "$JS.gander.API.STREAM.INFO.GANDER_ALERTS"),
        ("worker", "$JS.gander.API.STREAM.MSG.GET.GANDER_INCIDENTS"),
    ];
    let control = last("GANDER_CONTROL").await?;
    for (role, asked) in asks {
        let client = comes_in(&rig, role).await?.0;
        let before = [last("GANDER_INCIDENTS").await?, last("GANDER_ALERTS").await?];
        let targets = foreign(role, &STORED);
        for target in targets {
            client.publish_with_reply(asked, target, "{}".into()).await?;
        }
        let deliver = "{\"stream_name\": \"GANDER_CONTROL\", \"config\": {\"name\": \"x\",
            \"deliver_subject\": \"gander.control.team.x\", \"ack_policy\": \"none\"}}";
        let push = "$JS.gander.API.CONSUMER.CREATE.GANDER_CONTROL.x";
        client.publish(push, deliver.into()).await?;
        // What was asked before it is answered by then.
        let answer = client.request("$JS.gander.API.STREAM.INFO.GANDER_CONTROL", "".into());
        let answer = String::from_utf8(answer.await?.payload.to_vec())?;
        assert!(answer.contains("\"subjects\":[\"gander.control"), "{answer}");
        let after = [last("GANDER_INCIDENTS").await?, last("GANDER_ALERTS").await?];
        assert_eq!(last("GANDER_CONTROL").await?, control, "{role} by {asked}");
        match role {
            "gateway" => assert_eq!(after[0], before[0], "{role} by {asked}"),
            _ => assert_eq!(after[1], before[1], "{role} by {asked}"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_key_that_is_not_known_says_what_to_do() -> anyhow::Result<()> {
    let rig = Rig::planned(Plan { gateways: 0, workers: 0, ..Plan::default() }).await?;
    let (url, ops) = (rig.nats.url(), free_address()?.to_string());
    let worker = |key: &str| {
        ["worker", "--nats-url", &url, "--nats-nkey-file", key, "--ops-listen", &ops]
            .map(str::to_owned)
    };
    let ends = async |key: &str| {
        let args = worker(key);
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        run(rig.folder(), None, &args).await
    };
    let (code, text) = ends("nowhere.nk").await?;
    assert!(code == 2 && text.contains("nats-nkey-file: cannot use nowhere.nk"), "{code} {text}");
    secret_file::write(&rig.folder().join("other.nk"), "hunter2")?;
    let (code, text) = ends("other.nk").await?;
    assert!(code == 2 && text.contains("`gander nats keys` makes one"), "{code} {text}");
    assert!(!text.contains("hunter2"), "{text}");
    let keys = "nats keys --folder others".split(' ').collect::<Vec<_>>();
    let (code, made) = run(rig.folder(), None, &keys).await?;
    assert_eq!(code, 0, "{made}");
    let (code, text) = ends("others/worker.nk").await?;
    assert!(code == 1 && text.contains("lets nobody in by this login"), "{code} {text}");
    let public = made.lines().find_map(|line| line.strip_prefix("NATS_WORKER_NKEY="));
    let public = public.context("the key of the worker")?;
    assert!(text.contains(&format!("does it have {public} for NATS_WORKER_NKEY")), "{text}");
    Ok(())
}

#[tokio::test]
async fn what_is_refused_at_work_is_logged_and_counted() -> anyhow::Result<()> {
    let rig = Rig::planned(Plan { gateways: 0, workers: 0, ..Plan::default() }).await?;
    let ops = free_address()?;
    let key = rig.keys.file(User::Gateway).display().to_string();
    let (url, listen) = (rig.nats.url(), ops.to_string());
    let args = ["worker", "--nats-url", &url, "--nats-nkey-file", &key, "--ops-listen", &listen]
        .map(str::to_owned);
    let process = Process::start(rig.folder(), "mistaken", &args)?;
    eventually("the refusal to be told", async || {
        process.log().contains("nats-server refuses what this process needs").then_some(())
    })
    .await?;
    let metrics = get(ops, "/metrics").await?.1;
    let count = metrics
        .lines()
        .find_map(|line| line.strip_prefix("gander_nats_permission_violations_total "));
    assert!(count.context("it is counted")?.parse::<u64>()? > 0, "{metrics}");
    Ok(())
}

#[tokio::test]
async fn a_key_is_replaced_while_its_role_runs() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Payments").await?;
    admin.service(&team, "Checkout", vec![filter("status")]).await?;
    let (token, gateway) = (admin.token("monitor", "").await?.secret, rig.gateway()?);
    let config = rig.folder().join("nats/nats.conf");
    let keys = rig.folder().join("fresh");
    let (code, made) = run(rig.folder(), None, &["nats", "keys", "--folder", "fresh"]).await?;
    assert_eq!(code, 0, "{made}");
    let file = rig.keys.file(User::Gateway);
    let (old, new) = (Key::read(&file)?.public(), Key::read(&keys.join("gateway.nk"))?.public());
    std::fs::copy(keys.join("gateway.nk"), &file)?;
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(&config, text.replace(&old, &new))?;
    let pid = rig.nats.pid().context("nats-server runs")?;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(pid)?),
        nix::sys::signal::Signal::SIGHUP,
    )?;
    let running = rig.running(Role::Gateway(0))?;
    eventually("the old key to be shut out", async || {
        running.process.log().contains("the connection to nats-server is lost").then_some(())
    })
    .await?;
    eventually("an alert to be stored by the new key", async || {
        let answer = send(gateway, &token, payload("firing", "x")).await.ok()?;
        answer.status.is_success().then_some(())
    })
    .await?;
    Ok(())
}

/// A nats-server with a certificate for this machine.
async fn with_tls(folder: &Path, authority: &Authority) -> anyhow::Result<NatsServer> {
    let pair = authority.issue(folder, "nats")?.0;
    let (cert, key) = (pair.certificate.display().to_string(), pair.key.display().to_string());
    let template = include_str!("../../deploy/nats.conf").replace("{{accounts}}", "");
    let template = format!("{template}\ntls {{ cert_file: \"{cert}\", key_file: \"{key}\" }}\n");
    let program = tool("nats-server")?;
    Ok(NatsServer::start(&program, &folder.join("nats"), &template, 0, |_| {}).await?)
}

#[tokio::test]
async fn the_certificate_of_nats_server_is_checked() -> anyhow::Result<()> {
    runtime::tls::install_provider();
    let folder = TempDir::new()?;
    let (ours, others) = (Authority::new("ours")?, Authority::new("others")?);
    let server = with_tls(folder.path(), &ours).await?;
    for (authority, name) in [(&ours, "ours.pem"), (&others, "others.pem")] {
        authority.write(&folder.path().join(name))?;
    }
    let by = async |url: &str, file: &str| {
        let ca_file = Some(folder.path().join(file));
        let door = Door { ca_file, ..Door::from(url) };
        tokio::time::timeout(Duration::from_secs(20), Nats::connect(door, "test")).await
    };
    let url = server.url();
    let other_name = url.replace("127.0.0.1", "127.0.0.2");
    by(&url, "ours.pem").await?.context("its authority is known")?;
    let (unknown, elsewhere) = tokio::join!(
        by(&url, "others.pem"),
        // The same server by a name that the certificate does not have.
        by(&other_name, "ours.pem"),
    );
    assert!(unknown?.is_err() && elsewhere?.is_err());
    Ok(())
}

#[tokio::test]
async fn the_key_of_an_operator_makes_a_backup_and_that_of_a_role_does_not() -> anyhow::Result<()> {
    let rig = Rig::planned(Plan { gateways: 0, workers: 0, ..Plan::default() }).await?;
    rig.first_admin().await?;
    let url = rig.nats.url();
    let backup = async |file: &str, key: &str| {
        let args = ["backup", "create", file, "--nats-url", &url, "--nats-nkey-file", key];
        run(rig.folder(), None, &args).await
    };
    let (code, text) = backup("all.backup", "keys/operator.nk").await?;
    assert_eq!(code, 0, "{text}");
    let (code, text) = backup("other.backup", "keys/gateway.nk").await?;
    assert!(code == 1 && !rig.folder().join("other.backup").exists(), "{text}");
    Ok(())
}

#[tokio::test]
async fn what_the_command_writes_is_what_is_deployed_and_nats_server_takes_it() -> anyhow::Result<()>
{
    let folder = TempDir::new()?;
    let gander = async |line: &str| {
        let (code, text) = run(folder.path(), None, &line.split(' ').collect::<Vec<_>>()).await?;
        anyhow::ensure!(code == 0, "{line}: {text}");
        anyhow::Ok(text)
    };
    let accounts = gander("nats accounts").await?;
    assert_eq!(accounts, include_str!("../../deploy/nats-accounts.conf"));
    let two = "--subscriber billing --subscriber pager";
    std::fs::write(
        folder.path().join("nats-accounts.conf"),
        gander(&format!("nats accounts {two}")).await?,
    )?;
    std::fs::write(folder.path().join("nats.conf"), include_str!("../../deploy/nats-server.conf"))?;
    let variables = gander(&format!("nats keys --folder keys {two}")).await?;
    assert_eq!(variables, gander(&format!("nats keys --folder keys {two}")).await?, "made once");
    let filled_in = gander("nats accounts --keys keys").await?;
    assert!(!filled_in.contains("$NATS_") && !filled_in.contains("\nSU"), "{filled_in}");
    let program = tool("nats-server")?;
    let mut command = tokio::process::Command::new(program);
    command.args(["-t", "-c", "nats.conf"]).current_dir(folder.path());
    command.envs(variables.lines().filter_map(|line| line.split_once('=')));
    command.env("NATS_LISTEN", "127.0.0.1:0").env("NATS_MONITOR", "127.0.0.1:0");
    command.env("NATS_STORE", folder.path().join("store"));
    e2e::tools::output(&mut command).await?;
    Ok(())
}
