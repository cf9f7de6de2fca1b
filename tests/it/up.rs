//! `gander up` and the roles as processes: what they start, say and leave behind.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use e2e::alerts::get;
use e2e::events::connect_by_key;
use e2e::process::{Process, run};
use e2e::rig::{Plan, Rig, Role};
use e2e::tools::{nats_server, tool};
use e2e::up::{BOOTSTRAP, Client, Up, up, up_in};
use e2e::wait::{PATIENCE, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime::nats::Nats;
use runtime::nats_server::NatsServer;
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

/// After which a message that is not taken waits for those before it.
const STUCK: Duration = Duration::from_secs(1);

/// The children of a process that still run.
fn children(parent: Pid) -> Vec<Pid> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect()
}

fn runs(pid: &Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

#[tokio::test]
async fn ctrl_c_stops_everything_and_nothing_is_lost_by_it() -> anyhow::Result<()> {
    let mut up = up().await?;
    let server = children(up.process.pid()?);
    assert_eq!(server.len(), 1);
    eventually("the first steps to be told", async || {
        up.process.log().contains("gander principal create ada --role global-admin").then_some(())
    })
    .await?;
    let metrics = get(up.ops, "/metrics").await?.1;
    assert!(metrics.contains("gander_durability_level{level=\"power-safe\"} 1"), "{metrics}");
    up.process.signal(Signal::SIGINT)?;
    assert_eq!(up.process.ended().await?, Some(0), "{}", up.process.log());
    assert!(up.process.log().ends_with("Gander has stopped.\n"), "{}", up.process.log());
    assert!(!up.process.log().contains("is lost"), "its end is no loss: {}", up.process.log());
    assert!(!runs(&server[0]));
    Ok(())
}

#[tokio::test]
async fn a_second_ctrl_c_stops_at_once() -> anyhow::Result<()> {
    let mut up = up().await?;
    // A request that is begun keeps the gateway from ending by itself.
    let says = up.process.log();
    let address = says.split("http://").nth(1).and_then(|rest| rest.split('/').next());
    let mut slow = tokio::net::TcpStream::connect(address.unwrap_or_default()).await?;
    tokio::io::AsyncWriteExt::write_all(&mut slow, b"POST /v1/process HTTP/1.1\r\n").await?;
    let server = children(up.process.pid()?);
    let started = Instant::now();
    up.process.signal(Signal::SIGINT)?;
    eventually("the first to be taken", async || {
        up.process.log().contains("finishing what is begun").then_some(())
    })
    .await?;
    up.process.signal(Signal::SIGINT)?;
    up.process.ended().await?;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(!runs(&server[0]));
    Ok(())
}

#[tokio::test]
async fn a_second_one_on_the_same_data_is_refused_before_it_touches_anything() -> anyhow::Result<()>
{
    let up = up().await?;
    let free = ["--nats-port", "0", "--http-listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0"];
    let program = nats_server()?;
    let args = [&["up", "--data", "data", "--nats-server", &program], &free[..]].concat();
    let before = std::fs::read(up.folder.path().join("data/nats/nats.conf"))?;
    let (code, text) = run(up.folder.path(), None, &args).await?;
    assert!(code == 1 && text.contains("another process uses"), "{text}");
    assert_eq!(std::fs::read(up.folder.path().join("data/nats/nats.conf"))?, before);
    assert_eq!(children(up.process.pid()?).len(), 1);
    Ok(())
}

#[tokio::test]
async fn killed_it_leaves_no_child_behind() -> anyhow::Result<()> {
    let mut up = up().await?;
    let server = children(up.process.pid()?);
    up.process.kill().await?;
    eventually("nats-server to be gone", async || (!runs(&server[0])).then_some(())).await
}

#[tokio::test]
async fn when_nats_server_dies_everything_stops_as_a_failure() -> anyhow::Result<()> {
    let mut up = up().await?;
    let server = children(up.process.pid()?);
    kill(server[0], Signal::SIGKILL)?;
    assert_eq!(up.process.ended().await?, Some(1));
    assert!(up.process.log().contains("error: nats-server ended"), "{}", up.process.log());
    Ok(())
}

#[tokio::test]
async fn streams_of_a_build_before_accounts_are_taken_over() -> anyhow::Result<()> {
    let mut up = up().await?;
    let client = up.client();
    client.done(&format!("principal create ada {BOOTSTRAP}")).await?;
    client.done("team create Payments").await?;
    client.done("service create Payments/Checkout").await?;
    client.done("filter add Payments/Checkout am --when status=firing --map-with key").await?;
    client.done("token create t --service Payments/Checkout --secret-file token").await?;
    std::fs::write(up.folder.path().join("alert.json"), e2e::admin::payload("firing", "a"))?;
    let send = |up: &Up| format!("send --gateway {} --token-file token alert.json", up.gateway());
    let sent = client.done(&send(&up)).await?;
    assert!(sent.starts_with("201 Created"), "{sent}");
    up.process.signal(Signal::SIGINT)?;
    assert_eq!(up.process.ended().await?, Some(0), "{}", up.process.log());
    // As such a build has left it: one account, no keys.
    let nats = up.folder.path().join("data/nats");
    std::fs::rename(nats.join("store/jetstream/GANDER"), nats.join("store/jetstream/$G"))?;
    std::fs::remove_dir_all(nats.join("keys"))?;
    let again = up_in(up.folder, "again").await?;
    let sent = again.client().done(&send(&again)).await?;
    assert!(sent.starts_with("200 OK"), "the incident is open: {sent}");
    assert!(again.process.log().contains("are taken over"), "{}", again.process.log());
    Ok(())
}

#[tokio::test]
async fn nobody_comes_in_at_its_nats_server_without_a_key() -> anyhow::Result<()> {
    let up = up().await?;
    assert!(async_nats::connect(up.nats()).await.is_err());
    let keys = up.folder.path().join("data/nats/keys");
    let operator = keys.join("operator.nk");
    connect_by_key(&up.nats(), &operator, "_INBOX_operator").await?;
    let config = std::fs::read_to_string(up.folder.path().join("data/nats/nats.conf"))?;
    for file in std::fs::read_dir(keys)? {
        let file = file?;
        assert_eq!(file.metadata()?.permissions().mode() & 0o777, 0o600, "{file:?}");
        assert!(!config.contains(std::fs::read_to_string(file.path())?.trim()), "{file:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_next_command_that_is_shown_finds_admin_where_it_is() -> anyhow::Result<()> {
    let up = up().await?;
    let next = eventually("the next command", async || {
        let says = up.process.log();
        says.lines().find(|line| line.contains("gander principal create ada")).map(str::to_owned)
    });
    let server = format!(" --server http://{}", up.grpc);
    let next = next.await?;
    assert!(next.ends_with(&server), "{next}");
    Ok(())
}

#[tokio::test]
async fn a_person_does_everything_with_the_command_line() -> anyhow::Result<()> {
    let up = up().await?;
    let (folder, client) = (up.folder.path(), up.client());
    let gateway = up.gateway();
    client.done(&format!("principal create ada {BOOTSTRAP}")).await?;
    assert!(!folder.join("data/bootstrap-credential").exists());
    client.done("team create Payments").await?;
    let sam = "principal create sam --role team-manager:Payments --secret-file sam";
    assert!(client.done(sam).await?.contains("team-manager:Payments"));
    client.done("service create Payments/Search --credential-file sam").await?;
    let listed = client.done("principal list").await?;
    assert!(listed.contains("  global-admin  ") && !listed.contains("deleted"), "{listed}");
    client.done("principal delete sam").await?;
    let did = client.done("audit list --limit 2").await?;
    assert!(did.contains("sam") && !did.contains("principals/"), "who did it is named: {did}");
    let (code, refused) = client.told("principal create me --role global-admin").await?;
    assert!(code == 2 && refused.contains("whoever asks"), "{refused}");
    client.done("service create Payments/Checkout").await?;
    let filter = "filter add Payments/Checkout am --when status=firing --map-with key";
    client.done(&format!("{filter} --resolve-when status=resolved --resolve-with key")).await?;
    let token = "token create t --service Payments/Checkout --secret-file token --expires 30d";
    client.done(token).await?;
    std::fs::write(folder.join("alert.json"), e2e::admin::payload("firing", "a"))?;
    let send = format!("send --gateway {gateway} --token-file token alert.json");
    let sent = client.done(&send).await?;
    assert!(sent.starts_with("201 Created"), "{sent}");
    let listed = client.done("incident list --team Payments --output json").await?;
    let listed: serde_json::Value = serde_json::from_str(&listed)?;
    let id = listed[0]["id"].as_str().unwrap_or_default().to_owned();
    assert!(client.done(&format!("incident resolve {id}")).await?.contains("resolved"));
    client.done("maintenance create Payments/Checkout --for 2h --tag firing,a --tag b").await?;
    assert!(client.done("service list").await?.contains("maintenance"));
    let listed = client.done("maintenance list --state active --output json").await?;
    let listed: serde_json::Value = serde_json::from_str(&listed)?;
    let window = listed[0]["name"].as_str().unwrap_or_default().to_owned();
    let sent = client.done(&send).await?;
    assert!(sent.starts_with("202") && sent.contains("suppressed"), "{sent}");
    let id = window.rsplit('/').next().unwrap_or_default();
    let shown = client.done(&format!("maintenance get {id}")).await?;
    assert!(shown.contains("active") && shown.contains("firing + a or b"), "{shown}");
    assert!(client.done(&format!("maintenance end {id}")).await?.contains("ended"));
    client.done("maintenance create Payments/Checkout --start 1h --end 2h").await?;
    let listed = client.done("maintenance list --service Payments/Checkout").await?;
    assert!(listed.contains("upcoming") && listed.contains("ended"), "{listed}");
    let sent = client.done(&send).await?;
    assert!(sent.starts_with("201 Created"), "{sent}");
    client.done("token update t --name renamed --url-parameter forbid --expires never").await?;
    client.done("token replace-secret renamed --secret-file token").await?;
    client.done("principal create kim --role observer:Payments --secret-file kim").await?;
    assert!(client.done("--credential-file kim service list").await?.contains("Payments/Checkout"));
    client.done("principal update kim --role stakeholder --expires 1h").await?;
    client.done("token delete renamed").await?;
    client.done("filter remove Payments/Checkout am").await?;
    client.done("service disable Payments/Checkout").await?;
    client.done("team rename Payments Billing").await?;
    client.done("service delete Billing/Checkout").await?;
    client.done("team delete Billing").await?;
    assert!(client.done("completions bash").await?.contains("gander"));
    Ok(())
}

#[tokio::test]
async fn a_tail_names_what_was_made_after_it_began() -> anyhow::Result<()> {
    let up = up().await?;
    let (folder, client) = (up.folder.path(), up.client());
    client.done(&format!("principal create ada {BOOTSTRAP}")).await?;
    client.done("team create Payments").await?;
    let args = ["--server", &client.server, "incident", "tail"].map(str::to_owned);
    let tail = Process::start(folder, "tail", &args)?;
    std::fs::write(folder.join("alert.json"), e2e::admin::payload("firing", "a"))?;
    let mut sent = 0;
    let mut make = async || {
        sent += 1;
        let service = format!("Payments/Late{sent}");
        client.done(&format!("service create {service}")).await?;
        client
            .done(&format!("filter add {service} am --when status=firing --map-with key"))
            .await?;
        let create = format!("token create t{sent} --service {service} --secret-file t{sent}");
        client.done(&create).await?;
        let send = format!("send --gateway {} --token-file t{sent} alert.json", up.gateway());
        client.done(&send).await.map(drop)
    };
    // Until it has begun, it may have read the names after they were made.
    eventually("the tail to have begun", async || {
        make().await.ok()?;
        tail.log().contains("Payments/Late").then_some(())
    })
    .await?;
    make().await?;
    let last = format!("Payments/Late{sent}");
    eventually("a name of what is newer", async || tail.log().contains(&last).then_some(()))
        .await?;
    assert!(!tail.log().contains("(deleted)"), "{}", tail.log());
    for line in ["maintenance end Payments/Late1", "incident resolve Payments/Late1"] {
        let (code, text) = client.told(line).await?;
        assert!(code == 3 && text.contains("there is no"), "{line}: {code} {text}");
    }
    Ok(())
}

#[tokio::test]
async fn the_folder_of_nats_server_may_have_quotes_in_its_name() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let template = include_str!("../../deploy/nats.conf").replace("{{accounts}}", "");
    let at = folder.path().join("a \"b\" \\c");
    let server = NatsServer::start(&tool("nats-server")?, &at, &template, 0, |_| {}).await?;
    assert!(at.join("store").is_dir());
    server.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_connection_to_a_server_that_stands_still_is_closed_all_the_same() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let template = include_str!("../../deploy/nats.conf").replace("{{accounts}}", "");
    let program = tool("nats-server")?;
    let server = NatsServer::start(&program, folder.path(), &template, 0, |_| {}).await?;
    let nats = Nats::connect(&server.url(), "test").await?;
    let pid = i32::try_from(server.pid().context("no nats-server")?)?;
    kill(Pid::from_raw(pid), Signal::SIGSTOP)?;
    let piece = Bytes::from(vec![0; 64 * 1024]);
    let sends = async || timeout(STUCK, nats.send("test".to_owned(), piece.clone())).await;
    while sends().await.is_ok() {}
    timeout(PATIENCE, nats.close()).await.context("it waits for the server")?;
    kill(Pid::from_raw(pid), Signal::SIGCONT)?;
    server.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_done_is_said_with_its_exit_code() -> anyhow::Result<()> {
    let up = up().await?;
    let client = up.client();
    let (code, text) = client.told("team list").await?;
    assert!(code == 1 && text.contains("--bootstrap-file"), "{text}");
    client.done(&format!("principal create ada {BOOTSTRAP}")).await?;
    client.done("team create Payments").await?;
    client.done("service create Payments/Checkout").await?;
    client.done("filter add Payments/Checkout am --when status=firing").await?;
    std::fs::write(up.folder.path().join("file"), "\n")?;
    for (line, code, says) in [
        ("team list --credential-file nowhere", 1, "nowhere"),
        ("team delete Nobody", 3, "there is no team \"Nobody\": see `gander team list`"),
        ("service delete Nobody/Checkout", 3, "see `gander team list`"),
        ("audit list --token x", 3, "of what is deleted say the id"),
        ("team create Payments", 5, "the name is taken"),
        (
            "filter add Payments/Checkout am --when status=firing",
            2,
            "two filters have the same name",
        ),
        ("filter remove Payments/Checkout nobody", 3, "see `gander filter list Payments/Checkout`"),
        ("filter add Payments/Checkout x --when nothing", 2, "KEY=TEXT"),
        ("filter add Payments/Checkout x --when a[=b", 2, "breaks off at character"),
        ("filter add Payments/Checkout x --when a.=1", 2, "breaks off at character"),
        ("service create Checkout", 2, "TEAM/SERVICE"),
        ("maintenance create Payments/Checkout", 2, "--for"),
        ("maintenance create Payments/Checkout --for 2h --end 2h", 2, "cannot be used"),
        ("maintenance create Payments/Checkout --for never", 2, "a span"),
        ("maintenance create Payments/Checkout --for 367d", 2, "at most 366 days"),
        ("maintenance create Payments/Checkout --for 1h --tag a,,b", 2, "1 to 50 characters"),
        ("maintenance end 01a20e18-6be7-7ae1-9eba-24fad35824c3", 3, "there is no maintenance"),
        ("principal create x --role king", 2, "a role is"),
        ("token create", 2, "required"),
        ("token create t", 2, "--global"),
        ("token create t --global --expires yesterday", 2, "30d"),
        ("token create x --global --secret-file file/x", 1, "cannot use file/x"),
        ("token create x --global --secret-file file", 1, "is there already"),
        ("principal create x --role observer", 2, "of which team"),
        ("principal create x --role global-admin:Payments", 2, "no team"),
        ("token update t", 2, "say what is to change"),
        ("token update t --name x", 3, "there is no token"),
    ] {
        let (found, text) = client.told(line).await?;
        assert!(found == code && text.contains(says), "{line}: {found} {text}");
    }
    assert!(!client.done("token list").await?.contains(" x "), "no secret that cannot be kept");
    let mistyped = client.told("token delete x").await?.1;
    assert!(!mistyped.contains("deleted"), "its id would not help: {mistyped}");
    let nowhere = Client { server: "http://127.0.0.1:1".to_owned(), ..up.client() };
    let (code, text) = nowhere.told("team list").await?;
    assert!(code == 6 && text.contains("is it running"), "{code} {text}");
    let client = up.client();
    let (code, text) = client.told(&format!("principal create again {BOOTSTRAP}")).await?;
    assert!(code == 1 && text.contains("is there already"), "{text}");
    Ok(())
}

/// Its ports are its own: nothing else may use them meanwhile.
#[tokio::test]
async fn the_demo_shows_what_it_says() -> anyhow::Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/demo/run.sh");
    let output = tokio::process::Command::new("sh").arg(script).output().await?;
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{shown}{}", String::from_utf8_lossy(&output.stderr));
    // `make demo` prints two lines before.
    assert!(shown.lines().count() <= 58, "{shown}");
    for text in ["201 Created", "created.v1", "repeated.v1", "resolved.v1", "Done."] {
        assert!(shown.contains(text), "{text} is missing in {shown}");
    }
    Ok(())
}

#[tokio::test]
async fn a_listener_that_others_reach_must_be_asked_for() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let args = ["gateway", "--http-listen", "0.0.0.0:0"];
    let (code, text) = run(folder.path(), None, &args).await?;
    assert!(code != 0 && text.contains("--insecure-listen"), "{text}");
    let (code, text) = run(folder.path(), None, &["gateway", "--body-max-bytes", "many"]).await?;
    assert!(code == 2 && text.contains("--body-max-bytes"), "{text}");
    let args = ["up", "--nats-server", "/nowhere", "--nats-port", "0"];
    let (code, text) = run(folder.path(), None, &args).await?;
    assert!(code != 0 && text.contains("make setup"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_stopping_gateway_finishes_what_is_begun() -> anyhow::Result<()> {
    let mut rig = Rig::planned(Plan::default()).await?;
    let admin = rig.first_admin().await?;
    let token = admin.token("t", "").await?.secret;
    let gateway = rig.gateway()?;
    let mut socket = tokio::net::TcpStream::connect(gateway).await?;
    let head = "POST /v1/process HTTP/1.1\r\nHost: g\r\nContent-Length: 2\r\n";
    let head = format!("{head}Authorization: Bearer {token}\r\n\r\n{{");
    tokio::io::AsyncWriteExt::write_all(&mut socket, head.as_bytes()).await?;
    let running = rig.running(Role::Gateway(0))?;
    let ops = running.ops;
    // The begun request is inside once the gateway has counted its connection.
    eventually("the connection", async || {
        get(ops, "/metrics").await.ok()?.1.contains("gander_gateway_connections 1").then_some(())
    })
    .await?;
    running.process.signal(Signal::SIGTERM)?;
    eventually("the drain to show", async || {
        let (status, text) = get(ops, "/readyz").await.ok()?;
        (!status.is_success() && text.contains("draining")).then_some(())
    })
    .await?;
    eventually("no new connections to be taken", async || {
        tokio::net::TcpStream::connect(gateway).await.is_err().then_some(())
    })
    .await?;
    tokio::io::AsyncWriteExt::write_all(&mut socket, b"}").await?;
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut socket, &mut answer).await?;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(rig.running(Role::Gateway(0))?.process.ended().await?, Some(0));
    Ok(())
}
