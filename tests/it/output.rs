//! What the command line writes is all there, or it says that it is not.

use std::fs::File;
use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};

use domain::secret::{Kind, Secret};
use e2e::alerts::{get, send};
use e2e::process::{program, run};
use e2e::rig::{Rig, free_address};
use e2e::tools::nats_server;
use e2e::wait::{PATIENCE, eventually};
use http::StatusCode;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime::nats::access::User;
use runtime::secret_file;
use tokio::process::Child;

/// The exit code, and what is said on standard error.
fn written_to(output: impl Into<Stdio>) -> anyhow::Result<(Option<i32>, String)> {
    let mut command = Command::new(program()?);
    command.args(["config", "example"]).env_clear().stdin(Stdio::null());
    let ended = command.stdout(output).stderr(Stdio::piped()).output()?;
    Ok((ended.status.code(), String::from_utf8(ended.stderr)?))
}

#[test]
fn a_result_that_cannot_be_written_is_an_error() -> anyhow::Result<()> {
    let full = File::options().write(true).open("/dev/full")?;
    let (code, said) = written_to(full)?;
    assert!(code == Some(1) && said.starts_with("error: the result cannot be written"), "{said}");
    Ok(())
}

#[test]
fn a_reader_that_has_gone_away_is_no_error() -> anyhow::Result<()> {
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    assert_eq!(written_to(writer)?, (Some(0), String::new()));
    Ok(())
}

/// A gateway that says once that it does not know whether the alert is stored.
fn refusing() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || -> std::io::Result<()> {
        let (mut client, _) = listener.accept()?;
        let mut head = Vec::new();
        while !head.ends_with(b"{}") {
            let mut byte = [0];
            client.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        client.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}")
    });
    Ok(address)
}

#[test]
fn what_a_command_came_to_does_not_depend_on_who_looks_on() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (alert, token) = (folder.path().join("alert"), folder.path().join("token"));
    std::fs::write(&alert, "{}")?;
    let secret = Secret::from_random(Kind::Token, &[7; 32]);
    secret_file::write(&token, secret.reveal())?;
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let ended = Command::new(program()?)
        .arg("send")
        .arg(&alert)
        .arg("--token-file")
        .arg(&token)
        .args(["--gateway", &format!("http://{}", refusing()?)])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()?;
    let said = String::from_utf8(ended.stderr)?;
    assert!(ended.status.code() == Some(6) && said.contains("send it again"), "{said}");
    Ok(())
}

/// Somebody who takes connections, and sends each this much once it has said something.
fn saying(answer: Vec<u8>) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        let mut clients = Vec::new();
        while let Ok((mut client, _)) = listener.accept() {
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(&answer);
            clients.push(client);
        }
    });
    Ok(address)
}

/// A command line in a folder with a credential, a token and an alert.
async fn told(folder: &Path, line: &str) -> anyhow::Result<(i32, String)> {
    let credential = Secret::from_random(Kind::Credential, &[7; 32]);
    secret_file::write(&folder.join("credential"), credential.reveal())?;
    let token = Secret::from_random(Kind::Token, &[7; 32]);
    secret_file::write(&folder.join("token"), token.reveal())?;
    std::fs::write(folder.join("alert"), "{}")?;
    let args: Vec<_> = line.split_whitespace().collect();
    run(folder, None, &args).await
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for_for_good() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let silent = saying(vec![])?;
    for line in [
        format!("team list --credential-file credential --server http://{silent}"),
        format!("incident tail --credential-file credential --server http://{silent}"),
        format!("send alert --token-file token --gateway http://{silent}"),
    ] {
        let (code, text) = told(folder.path(), &format!("{line} --timeout 1s")).await?;
        assert!(code == 6 && text.contains("no answer in 1s"), "{line}: {code} {text}");
    }
    let head = b"HTTP/1.1 201 Created\r\ncontent-length: 65537\r\n\r\n";
    let long = saying([&head[..], &[b' '; 65537]].concat())?;
    let line = format!("send alert --token-file token --gateway http://{long}");
    let (code, text) = told(folder.path(), &line).await?;
    assert!(code == 6 && text.contains("longer than those of a gateway"), "{code} {text}");
    Ok(())
}

#[tokio::test]
async fn a_secret_in_the_wrong_place_is_not_repeated() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let token = Secret::from_random(Kind::Token, &[7; 32]);
    let (code, text) = told(folder.path(), &format!("token list {}", token.reveal())).await?;
    assert!(code == 2 && text.contains("'(a secret)'"), "{text}");
    assert!(!text.contains(&token.reveal()[4..40]), "{text}");
    std::fs::write(folder.path().join("key"), format!("{} = 1\n", token.reveal()))?;
    for (line, wanted) in [
        ("config check gateway SECRET", 1),
        ("config check gateway --http-listen SECRET", 1),
        ("config check gateway --config SECRET", 1),
        ("config check gateway --config key", 1),
        ("config print gateway SECRET", 1),
        ("up --nats-server SECRET", 2),
        ("up --config SECRET", 2),
        ("up --config key", 2),
        ("gateway --nats-nkey-file SECRET", 2),
    ] {
        let line = line.replace("SECRET", token.reveal());
        let (code, text) = told(folder.path(), &line).await?;
        assert!(code == wanted && text.contains("(a secret)"), "{line}: {code} {text}");
        assert!(!text.contains(&token.reveal()[4..40]), "{line}: {text}");
    }
    for wrong in ["", "gdr_a\ngdr_b", "\0\0"] {
        secret_file::write(&folder.path().join("wrong"), wrong)?;
        let (code, text) = told(folder.path(), "send alert --token-file wrong").await?;
        assert!(code == 2 && text.contains("--token-file must hold a token"), "{text}");
    }
    Ok(())
}

/// A pipe that nobody reads, with no room left.
fn full_pipe() -> anyhow::Result<(PipeReader, PipeWriter)> {
    let (reader, mut writer) = std::io::pipe()?;
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    loop {
        match writer.write(&[b'x'; 1024]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error.into()),
        }
    }
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok((reader, writer))
}

/// Starts what has a log that nobody reads, and waits until it is ready.
async fn unread(
    folder: &Path,
    args: &[&str],
    ops: SocketAddr,
) -> anyhow::Result<(Child, PipeReader)> {
    let (reader, writer) = full_pipe()?;
    let child = tokio::process::Command::new(program()?)
        .args(args)
        .args(["--log", "debug", "--ops-listen", &ops.to_string()])
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .kill_on_drop(true)
        .spawn()?;
    eventually("a role that is ready", async || {
        (get(ops, "/readyz").await.ok()?.0 == StatusCode::OK).then_some(())
    })
    .await?;
    Ok((child, reader))
}

/// It ends in order when it is told to.
async fn ends(child: &mut Child) -> anyhow::Result<()> {
    let pid = child.id().unwrap_or_default();
    kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGTERM)?;
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await??;
    assert_eq!(ended.code(), Some(0), "in order");
    Ok(())
}

#[tokio::test]
async fn a_gateway_whose_log_nobody_reads_serves_and_ends() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let token = rig.first_admin().await?.token("t", "").await?.secret;
    let (http, ops) = (free_address()?, free_address()?);
    let key = rig.keys.file(User::Gateway).display().to_string();
    let (listen, url) = (http.to_string(), rig.nats.url());
    let args = ["gateway", "--http-listen", &listen, "--nats-url", &url, "--nats-nkey-file", &key];
    let (mut gateway, _reader) = unread(rig.folder(), &args, ops).await?;
    for _ in 0..50 {
        let sent = send(http, &token, "{}").await?;
        assert!(sent.status.is_success(), "{sent:?}");
    }
    assert_eq!(get(ops, "/livez").await?.0, StatusCode::OK);
    assert!(get(ops, "/metrics").await?.1.contains("gander_log_lines_dropped_total 0"));
    ends(&mut gateway).await
}

#[tokio::test]
async fn everything_at_once_ends_where_nobody_reads_that_it_has_stopped() -> anyhow::Result<()> {
    let (folder, ops, grpc) = (tempfile::tempdir()?, free_address()?, free_address()?);
    let server = nats_server()?;
    let grpc = grpc.to_string();
    let listen = ["--http-listen", "127.0.0.1:0", "--grpc-listen", &grpc];
    let args = ["up", "--data", "data", "--nats-server", &server, "--nats-port", "0"];
    let (mut up, _reader) = unread(folder.path(), &[&args[..], &listen].concat(), ops).await?;
    ends(&mut up).await
}
