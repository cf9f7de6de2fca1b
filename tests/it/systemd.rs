//! What systemd is told, over a real socket, and the credentials that it hands over.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use e2e::process::Process;
use e2e::rig::{Plan, Rig, free_address};
use nix::sys::signal::Signal;
use runtime::nats::access::User;
use runtime::nats_server::{self, START_NOTE};
use tempfile::TempDir;
use tokio::net::{TcpStream, UnixDatagram};

const PATIENCE: Duration = Duration::from_secs(30);

async fn told(socket: &UnixDatagram) -> anyhow::Result<String> {
    let mut bytes = [0; 1024];
    let received = tokio::time::timeout(PATIENCE, socket.recv(&mut bytes));
    let length = received.await.context("systemd is told nothing more")??;
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

#[tokio::test]
async fn systemd_is_told_ready_alive_and_stopping() -> anyhow::Result<()> {
    let rig = Rig::planned(Plan { gateways: 0, workers: 0, ..Plan::default() }).await?;
    let folder = TempDir::new()?;
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path)?;
    // As systemd does it: readable through an access list, which shows as the group's bits.
    let credentials = folder.path().join("credentials");
    std::fs::create_dir(&credentials)?;
    std::fs::write(credentials.join("nats-url"), format!("{}\n", rig.nats.url()))?;
    std::fs::copy(rig.keys.file(User::Worker), credentials.join("nats-nkey"))?;
    for name in ["nats-url", "nats-nkey"] {
        let mode = std::fs::Permissions::from_mode(0o440);
        std::fs::set_permissions(credentials.join(name), mode)?;
    }
    let file = "nats-url = { file = \"$CREDENTIALS_DIRECTORY/nats-url\" }\n\
                nats-nkey-file = \"$CREDENTIALS_DIRECTORY/nats-nkey\"\n";
    std::fs::write(folder.path().join("gander.toml"), file)?;
    let ops = free_address()?.to_string();
    let args = ["worker", "--config", "gander.toml", "--ops-listen", &ops].map(str::to_owned);
    let variables = [
        ("NOTIFY_SOCKET", path.to_str().unwrap_or_default()),
        ("WATCHDOG_USEC", "200000"),
        ("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap_or_default()),
    ];
    let mut process = Process::start_with(folder.path(), "worker", &args, &variables)?;
    let first = told(&socket).await.with_context(|| process.log())?;
    assert!(first.starts_with("READY=1\n"), "{first}");
    for _ in 0..3 {
        assert_eq!(told(&socket).await?, "WATCHDOG=1\n");
    }
    process.signal(Signal::SIGTERM)?;
    loop {
        let next = told(&socket).await?;
        if next.starts_with("STOPPING=1\n") {
            break;
        }
        assert_eq!(next, "WATCHDOG=1\n");
    }
    assert_eq!(process.ended().await?, Some(0));
    Ok(())
}

#[tokio::test]
async fn a_store_that_takes_a_while_is_told_of_and_nobody_is_let_in_to_wait() -> anyhow::Result<()>
{
    let folder = TempDir::new()?;
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path)?;
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(nats_server::TOOLS_PATH);
    let server = nats_server::find(Some(&tools), None)?;
    // As long as nats-server with a large store, and longer than goes untold.
    let slow = folder.path().join("nats-server");
    let seconds = START_NOTE.as_secs() + 1;
    let server = server.canonicalize()?;
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] || sleep {seconds}\nexec {} \"$@\"\n",
        server.display()
    );
    std::fs::write(&slow, text)?;
    std::fs::set_permissions(&slow, std::fs::Permissions::from_mode(0o755))?;
    let http = free_address()?;
    let addresses = [free_address()?, http, free_address()?].map(|address| address.to_string());
    let [grpc, http_text, ops] = &addresses;
    let port = free_address()?.port().to_string();
    let args = ["up", "--data", "data", "--nats-server", "./nats-server", "--nats-port", &port];
    let listen = ["--grpc-listen", grpc, "--http-listen", http_text, "--ops-listen", ops];
    let args: Vec<_> = args.into_iter().chain(listen).map(str::to_owned).collect();
    let variables = [("NOTIFY_SOCKET", path.to_str().unwrap_or_default())];
    let mut process = Process::start_with(folder.path(), "up", &args, &variables)?;
    let first = told(&socket).await.with_context(|| process.log())?;
    assert!(first.starts_with("EXTEND_TIMEOUT_USEC=20000000\n"), "{first}");
    let early = TcpStream::connect(http).await.map(|_| ()).map_err(|error| error.kind());
    assert_eq!(early, Err(ErrorKind::ConnectionRefused));
    let next = told(&socket).await.with_context(|| process.log())?;
    assert!(next.starts_with("READY=1\n"), "{next}");
    assert!(process.log().contains("still opening its store, for 10 s"), "{}", process.log());
    TcpStream::connect(http).await?;
    process.signal(Signal::SIGTERM)?;
    assert_eq!(process.ended().await?, Some(0));
    Ok(())
}
