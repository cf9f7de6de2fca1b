//! Metrics, rules, dashboard and runbooks: what one names, the others have.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use e2e::admin::{filter, payload};
use e2e::alerts::get;
use e2e::certificates::Authority;
use e2e::collector::Collector;
use e2e::process::run;
use e2e::rig::{Plan, Rig};
use e2e::tools::tool;
use e2e::wait::eventually;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(root().join(path)).with_context(|| path.to_owned())
}

/// Runs promtool on a file; what it says is wrong fails the test.
fn promtool(act: &str, file: &Path) -> anyhow::Result<()> {
    let said = Command::new(tool("promtool")?).args([act, "rules"]).arg(file).output()?;
    let said_text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    anyhow::ensure!(said.status.success(), "{said_text}");
    Ok(())
}

#[test]
fn every_rule_fires_when_it_should_and_only_then() -> anyhow::Result<()> {
    promtool("check", &root().join("deploy/prometheus/rules.yml"))?;
    promtool("test", &root().join("deploy/prometheus/rules_test.yml"))
}

/// The values of a key in a file of rules, which is written a key a line.
fn values(rules: &str, key: &str) -> Vec<String> {
    let lines = rules.lines().map(|line| line.trim().trim_start_matches("- "));
    lines.filter_map(|line| Some(line.strip_prefix(key)?.trim().to_owned())).collect()
}

#[test]
fn every_rule_has_a_runbook_a_test_and_a_severity_and_every_runbook_a_rule() -> anyhow::Result<()> {
    let rules = read("deploy/prometheus/rules.yml")?;
    let names = values(&rules, "alert:");
    assert!(!names.is_empty());
    let urls: Vec<_> = names.iter().map(|name| format!("docs/runbooks/{name}.md")).collect();
    assert_eq!(values(&rules, "runbook_url:"), urls);
    let severities = values(&rules, "severity:");
    assert_eq!(severities.len(), names.len());
    assert!(severities.iter().all(|severity| severity == "critical" || severity == "warning"));
    let pages = std::fs::read_dir(root().join("docs/runbooks"))?;
    let pages = pages.map(|page| Ok(page?.file_name().to_string_lossy().into_owned()));
    let pages: BTreeSet<_> = pages.collect::<anyhow::Result<_>>()?;
    assert_eq!(pages, names.iter().map(|name| format!("{name}.md")).collect());
    let tests = read("deploy/prometheus/rules_test.yml")?;
    for name in &names {
        let page = read(&format!("docs/runbooks/{name}.md"))?;
        let heads: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(heads, ["What it means", "What users see", "Look at", "Do", "Verify"], "{name}");
        let cases: Vec<_> = tests.split("alertname: ").skip(1).collect();
        let own = cases.iter().filter(|case| case.lines().next() == Some(name));
        let quiet: BTreeSet<_> = own.map(|case| case.contains("exp_alerts: []")).collect();
        assert_eq!(quiet.len(), 2, "{name} is not tested both ways");
    }
    Ok(())
}

/// The expressions of the dashboard, with its variables as Grafana would fill them.
fn expressions() -> anyhow::Result<Vec<String>> {
    fn collect(value: &Value, into: &mut Vec<String>) {
        let members = value.as_object().into_iter().flatten();
        for (name, member) in members {
            into.extend(member.as_str().filter(|_| name == "expr").map(str::to_owned));
            collect(member, into);
        }
        value.as_array().into_iter().flatten().for_each(|item| collect(item, into));
    }
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/gander.json")?)?;
    let mut found = Vec::new();
    collect(&dashboard, &mut found);
    anyhow::ensure!(found.len() > 20, "the dashboard has few expressions: {found:?}");
    let fill = |text: &String| text.replace("$__rate_interval", "1m").replace("$job", "gander.*");
    Ok(found.iter().map(fill).collect())
}

#[test]
fn every_expression_of_the_dashboard_can_be_read() -> anyhow::Result<()> {
    let mut rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for (n, expression) in expressions()?.iter().enumerate() {
        assert!(!expression.contains('$'), "{expression} has a variable that is not known");
        let quoted = serde_json::to_string(expression)?;
        rules.push_str(&format!(
            "      - record: dashboard:expression:{n}\n        expr: {quoted}\n"
        ));
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("rules.yml");
    std::fs::write(&file, rules)?;
    promtool("check", &file)
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = |word: &&str| word.starts_with("gander_") || word.starts_with("process_");
    let plain = |word: &str| {
        let parts = ["_bucket", "_sum", "_count"];
        let part = parts.iter().find_map(|part| word.strip_suffix(part));
        part.unwrap_or(word).to_owned()
    };
    words.filter(ours).map(plain).collect()
}

/// The metrics of the table in `docs/operating.md`, each with its type.
fn documented() -> anyhow::Result<BTreeMap<String, String>> {
    let page = read("docs/operating.md")?;
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows = rows.filter(|row| row.starts_with("gander_") || row.starts_with("process_"));
    let row = |row: &str| {
        let (name, rest) = row.split_once(['`', '{'])?;
        let kind = rest.split('|').nth(1)?.trim().split(',').next()?;
        Some((name.to_owned(), kind.to_owned()))
    };
    rows.map(|text| row(text).with_context(|| text.to_owned())).collect()
}

/// The metrics that roles tell, each with its type.
async fn told(rig: &mut Rig) -> anyhow::Result<BTreeMap<String, String>> {
    let mut told = BTreeMap::new();
    for role in rig.roles() {
        let page = get(rig.running(role)?.ops, "/metrics").await?.1;
        let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        told.extend(types.map(|(name, kind)| (name.to_owned(), kind.to_owned())));
    }
    Ok(told)
}

/// Sends an alert with the command line, which trusts the authority in the folder.
async fn send_over_tls(folder: &Path, gateway: SocketAddr, token: &str) -> anyhow::Result<()> {
    std::fs::write(folder.join("alert.json"), payload("firing", "a"))?;
    let file = folder.join("token");
    std::fs::write(&file, token)?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
    let url = format!("https://{gateway}");
    let args =
        ["send", "--gateway", &url, "--ca-file", "ca.pem", "--token-file", "token", "alert.json"];
    let (code, said) = run(folder, None, &args).await?;
    anyhow::ensure!(code == 0, "{said}");
    Ok(())
}

#[tokio::test]
async fn what_is_told_is_documented_and_what_is_asked_for_is_told() -> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let folder = tempfile::tempdir()?;
    let authority = Authority::new("the test's own")?;
    let (pair, _) = authority.issue(folder.path(), "http")?;
    authority.write(&folder.path().join("ca.pem"))?;
    let (certificate, key) = (pair.certificate.display(), pair.key.display());
    let gateway_args =
        ["--http-tls-cert", &certificate.to_string(), "--http-tls-key", &key.to_string()];
    let gateway_args = gateway_args.iter().map(|&arg| arg.to_owned()).collect();
    let stream_args = collector.args();
    let plan = Plan { gateway_args, stream_args, ..Plan::default() };
    let mut rig = Rig::planned(plan).await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Payments").await?;
    admin.service(&team, "Checkout", vec![filter("status")]).await?;
    let token = admin.token("monitor", &team.name).await?.secret;
    send_over_tls(folder.path(), rig.gateway()?, &token).await?;
    let documented = documented()?;
    // Some are told each second or each ten.
    let mut last = BTreeMap::new();
    let _ = eventually("all of them", async || {
        last = told(&mut rig).await.ok()?;
        documented.keys().all(|name| last.contains_key(name)).then_some(())
    })
    .await;
    assert_eq!(last, documented, "left: told, right: documented");
    let rules = read("deploy/prometheus/rules.yml")?;
    let asked = values(&rules, "expr:").join("\n") + &expressions()?.join("\n");
    let asked = names(&asked);
    let missing: Vec<_> = asked.iter().filter(|name| !last.contains_key(*name)).collect();
    assert!(missing.is_empty(), "asked for and not told: {missing:?}");
    Ok(())
}
