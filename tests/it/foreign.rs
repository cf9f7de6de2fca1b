//! Clients that nobody here wrote: Debian's Alertmanager, nats-py and the cloudevents package.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use e2e::admin::{filter, payload};
use e2e::alerts::{Sender, send};
use e2e::rig::{Rig, free_address};
use e2e::tools::{python, tool};
use e2e::wait::eventually;
use http::Request;
use http_body_util::Full;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use wire::proto::gander::admin::v1 as api;

/// The filter of `docs/filters.md` for Alertmanager.
fn alertmanager_filter() -> api::Filter {
    let mut filter = filter("alertmanager");
    let trigger = filter.trigger.get_or_insert_default();
    "commonLabels.alertname".clone_into(&mut trigger.title_from);
    "groupKey".clone_into(&mut trigger.map_with);
    "groupKey".clone_into(&mut filter.resolve.get_or_insert_default().mapped_with);
    filter
}

async fn alertmanager(rig: &mut Rig, token: &str) -> anyhow::Result<(Child, std::net::SocketAddr)> {
    let (gateway, address) = (rig.gateway()?, free_address()?);
    let config = format!(
        "route: {{receiver: gander, group_by: [alertname], group_wait: 100ms, group_interval: 100ms}}
receivers:
  - name: gander
    webhook_configs:
      - url: http://{gateway}/v1/process?from=Alertmanager
        send_resolved: true
        http_config: {{authorization: {{type: Bearer, credentials: {token}}}}}
"
    );
    std::fs::write(rig.folder().join("alertmanager.yml"), config)?;
    let log = std::fs::File::create(rig.folder().join("alertmanager.log"))?;
    let folder = rig.folder().display().to_string();
    let child = Command::new(tool("alertmanager/alertmanager")?)
        .current_dir(tool("alertmanager")?)
        .arg(format!("--config.file={folder}/alertmanager.yml"))
        .arg(format!("--storage.path={folder}/alertmanager"))
        .arg("--cluster.listen-address=")
        .arg(format!("--web.listen-address={address}"))
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()?;
    eventually("alertmanager", async || {
        e2e::alerts::get(address, "/-/ready").await.ok().filter(|(status, _)| status.is_success())
    })
    .await?;
    Ok((child, address))
}

async fn post(address: std::net::SocketAddr, ends_at: &str) -> anyhow::Result<()> {
    let alert = serde_json::json!([{
        "labels": {"alertname": "DiskFull", "instance": "db-1"},
        "annotations": {"summary": "the disk of db-1 is full"},
        "startsAt": "2026-01-01T00:00:00Z",
        "endsAt": ends_at,
    }]);
    let request = Request::post(format!("http://{address}/api/v2/alerts"))
        .header("content-type", "application/json")
        .body(Full::new(alert.to_string().into()))?;
    let answer = Sender::default().request(request).await?;
    anyhow::ensure!(answer.status.is_success(), "alertmanager says {}", answer.status);
    Ok(())
}

#[tokio::test]
async fn alertmanager_opens_and_closes_an_incident() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Payments").await?;
    let service = admin.service(&team, "Checkout", vec![alertmanager_filter()]).await?;
    let token = admin.token("alertmanager", &service.name).await?.secret;
    let (_child, address) = alertmanager(&mut rig, &token).await?;
    post(address, "2099-01-01T00:00:00Z").await?;
    let open = eventually("an open incident", async || admin.open_incidents().await.ok()?.pop());
    let open = open.await?;
    assert_eq!(open.title, "Alertmanager - DiskFull");
    assert!(open.mapped_value.contains("alertname=\"DiskFull\""), "{}", open.mapped_value);
    post(address, "2026-01-01T00:00:01Z").await?;
    eventually("the incident to be closed", async || {
        admin.open_incidents().await.ok()?.is_empty().then_some(())
    })
    .await
}

/// The Python program of `docs/events.md`, as it stands there.
fn documented_subscriber(folder: &Path) -> anyhow::Result<PathBuf> {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/events.md"))?;
    let program = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next());
    let path = folder.join("subscriber.py");
    std::fs::write(&path, program.context("docs/events.md has a Python program")?)?;
    Ok(path)
}

/// Waits until the consumer of the program has acknowledged everything.
async fn acknowledged(url: &str) -> anyhow::Result<()> {
    let stream = e2e::events::connect(url).await?.get_stream("GANDER_INCIDENTS").await?;
    eventually("the last acknowledgement", async || {
        let info = stream.consumer_info("pager").await.ok()?;
        (info.num_ack_pending == 0 && info.num_pending == 0).then_some(())
    })
    .await
}

/// What the program prints until a line ends like this; it is killed once that is acknowledged.
async fn lines(
    folder: &Path,
    program: &Path,
    url: &str,
    last: &str,
) -> anyhow::Result<Vec<String>> {
    let mut child =
        python(folder)?.arg(program).env("NATS_URL", url).stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().context("piped")?;
    let mut lines = BufReader::new(stdout).lines();
    let mut read: Vec<String> = Vec::new();
    let reading = async {
        while !read.last().is_some_and(|line| line.ends_with(last)) {
            read.push(lines.next_line().await?.context("the subscriber ended")?);
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(30), reading).await.context("events")??;
    acknowledged(url).await?;
    child.kill().await?;
    Ok(read)
}

#[tokio::test]
async fn a_python_subscriber_reads_cloudevents_by_a_durable_consumer() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Payments").await?;
    admin.service(&team, "Checkout", vec![filter("status")]).await?;
    let token = admin.token("monitor", &team.name).await?.secret;
    let (gateway, url) = (rig.gateway()?, rig.nats_url());
    for status in ["firing", "firing", "resolved"] {
        send(gateway, &token, payload(status, "größe")).await?;
    }
    send(gateway, &token, payload("firing", "last")).await?;
    let program = documented_subscriber(rig.folder())?;
    let first = lines(rig.folder(), &program, &url, "trouble last").await?;
    assert_eq!(first.len(), 4, "{first:?}");
    let kinds = ["created", "repeated", "resolved"];
    for (line, kind) in first.iter().zip(kinds) {
        assert!(line.starts_with(&format!("gander.incident.{kind}.v1 ")), "{line}");
        assert!(line.ends_with("test - trouble größe"), "{line}");
    }
    // It goes on where it was: the consumer is durable.
    send(gateway, &token, payload("firing", "next")).await?;
    let second = lines(rig.folder(), &program, &url, "trouble next").await?;
    assert_eq!(second.len(), 1, "{second:?}");
    Ok(())
}

#[test]
fn the_rust_program_of_the_page_is_the_one_that_the_demo_runs() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("../docs/events.md"))?;
    let program = std::fs::read_to_string(root.join("examples/subscriber.rs"))?;
    let code = program.split("\n\n").skip(1).collect::<Vec<_>>().join("\n\n");
    assert!(page.contains(&format!("```rust\n{code}```")), "docs/events.md differs");
    Ok(())
}
