//! What the command line writes is all there, or it says that it is not.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};

use domain::secret::{Kind, Secret};
use e2e::process::program;
use runtime::secret_file;

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
