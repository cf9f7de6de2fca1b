//! The Python programs of `examples/python`, against a real admin.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use e2e::admin::Admin;
use e2e::alerts::send;
use e2e::rig::{Rig, Role};
use e2e::tools::{output, python, tool};
use http::StatusCode;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A program of the examples, with the credential in a file.
fn program(rig: &Rig, admin: &Admin, name: &str) -> anyhow::Result<Command> {
    let credential = rig.folder().join("credential");
    std::fs::write(&credential, &admin.credential)?;
    let mut command = python(rig.folder())?;
    command
        .arg(root().join("examples/python").join(name))
        .env("GANDER_SERVER", rig.grpc().to_string())
        .env("GANDER_CREDENTIAL_FILE", credential);
    Ok(command)
}

/// Makes the stubs by the command of `docs/grpc.md`, and puts them beside the packages.
async fn with_stubs(rig: &Rig, command: &mut Command) -> anyhow::Result<()> {
    let page = std::fs::read_to_string(root().join("docs/grpc.md"))?;
    let start = page.find("python3 -m grpc_tools.protoc ").context("the command")?;
    let documented = page[start..].split("\n```").next().unwrap_or_default();
    let stubs = rig.folder().join("stubs").display().to_string();
    std::fs::create_dir_all(&stubs)?;
    let mut shell = Command::new("sh");
    shell.current_dir(root()).env("PYTHONPATH", tool("python")?).arg("-c");
    output(shell.arg(documented.replace("=stubs", &format!("={stubs}")))).await?;
    command.env("PYTHONPATH", format!("{stubs}:{}", tool("python")?.display()));
    Ok(())
}

/// A program that goes on printing; dropped, it is killed.
struct Printing(Child, Lines<BufReader<ChildStdout>>);

impl Printing {
    fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().context("piped")?;
        Ok(Self(child, BufReader::new(stdout).lines()))
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        let line = timeout(PATIENCE, self.1.next_line()).await.context("no line in time")?;
        line?.context("it has ended")
    }
}

fn alert(status: &str, key: &str) -> String {
    serde_json::json!({"status": status, "groupKey": key, "commonLabels": {"alertname": key}})
        .to_string()
}

/// The rest of the line that begins with this word.
fn said<'a>(text: &'a str, word: &str) -> anyhow::Result<Vec<&'a str>> {
    let line = text.lines().find_map(|line| line.strip_prefix(word));
    Ok(line.with_context(|| format!("{word} in {text}"))?.split_whitespace().collect())
}

#[tokio::test]
async fn the_documented_program_administers_tokens_and_reads_errors() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let mut manage = program(&rig, &admin, "admin.py")?;
    with_stubs(&rig, &mut manage).await?;
    let told = output(manage.arg("tokens")).await?;
    assert_eq!(said(&told, "token ")?[1], "prometheus", "{told}");
    assert_eq!(told.matches("token tokens/").count(), 1, "the other is deleted: {told}");
    let invalid = "refused INVALID_ARGUMENT INVALID_FIELD [('token.display_name', '";
    assert!(told.contains(invalid), "{told}");
    assert!(told.contains("refused ABORTED ETAG_MISMATCH []"), "{told}");
    let gateway = rig.gateway()?;
    let alive = said(&told, "secret ")?[0];
    assert_eq!(send(gateway, alive, alert("firing", "a")).await?.status, StatusCode::CREATED);
    for dead in said(&told, "dead ")? {
        assert_eq!(send(gateway, dead, "{}").await?.status, StatusCode::UNAUTHORIZED);
    }
    Ok(())
}

#[tokio::test]
async fn the_documented_program_resumes_a_watch_by_cursor() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let mut manage = program(&rig, &admin, "admin.py")?;
    with_stubs(&rig, &mut manage).await?;
    let told = output(manage.arg("tokens")).await?;
    let (secret, gateway) = (said(&told, "secret ")?[0], rig.gateway()?);
    let mut command = program(&rig, &admin, "admin.py")?;
    with_stubs(&rig, &mut command).await?;
    command.args(["watch", "cursor"]);

    // Without a cursor it sees what comes from when it watches; so send until it does.
    let mut watching = Printing::start(&mut command)?;
    let mut sent = 0;
    let first = loop {
        sent += 1;
        send(gateway, secret, alert("firing", &format!("early-{sent}"))).await?;
        if let Ok(line) = timeout(Duration::from_millis(200), watching.1.next_line()).await {
            break line?.context("it has ended")?;
        }
    };
    assert!(first.starts_with("gander.incident.created.v1 "), "{first}");
    let mut last = first;
    while !last.ends_with(&format!("early-{sent}")) {
        last = watching.line().await?;
    }

    // The channel breaks with admin; what comes meanwhile is not missed.
    rig.kill(Role::Admin).await?;
    for key in ["b", "c"] {
        let answer = send(gateway, secret, alert("firing", key)).await?;
        assert_eq!(answer.status, StatusCode::CREATED);
    }
    rig.restart(Role::Admin).await?;
    for key in ["b", "c"] {
        let line = watching.line().await?;
        assert!(line.starts_with("gander.incident.created.v1 ") && line.ends_with(key), "{line}");
    }

    // It is ended, and another process goes on where the cursor is.
    send(gateway, secret, alert("resolved", "b")).await?;
    let line = watching.line().await?;
    assert!(line.starts_with("gander.incident.resolved.v1 ") && line.ends_with('b'), "{line}");
    watching.0.kill().await?;
    send(gateway, secret, alert("resolved", "c")).await?;
    let mut again = Printing::start(&mut command)?;
    let mut line = again.line().await?;
    if line.ends_with('b') {
        // Killed between the line and its cursor: at least once.
        line = again.line().await?;
    }
    assert!(line.starts_with("gander.incident.resolved.v1 ") && line.ends_with('c'), "{line}");
    Ok(())
}

#[tokio::test]
async fn whatever_is_served_can_be_called_by_reflection_alone() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    for version in ["v1", "v1alpha"] {
        let mut reflect = program(&rig, &admin, "reflect.py")?;
        let told = output(reflect.args([version, &format!("by-{version}")])).await?;
        for (service, method) in [
            ("CatalogService", "CreateTeam"),
            ("TokenService", "ReplaceSecret"),
            ("PrincipalService", "ReplaceCredential"),
            ("IncidentService", "WatchIncidents"),
        ] {
            let methods = said(&told, &format!("service gander.admin.v1.{service} "))?;
            assert!(methods.contains(&method), "{told}");
        }
        assert_eq!(said(&told, "made ")?[1], format!("by-{version}"));
    }
    let request = wire::proto::gander::admin::v1::ListTeamsRequest::default();
    let teams = admin.catalog().list_teams(request).await?.into_inner().teams;
    let names: Vec<_> = teams.iter().map(|team| team.display_name.as_str()).collect();
    assert_eq!(names, ["by-v1", "by-v1alpha"]);
    Ok(())
}
