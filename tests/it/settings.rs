//! Settings from flags, variables and the configuration file, and what `gander config` says of them.

use std::path::Path;

use e2e::alerts::get;
use e2e::process::{Process, run, run_with};
use e2e::rig::free_address;
use e2e::tools::nats_server;
use e2e::wait::eventually;
use tempfile::TempDir;

const FILE: &str = "gander.toml";

/// Who said a setting of the gateway, and what, by the program itself.
async fn told(
    folder: &Path,
    setting: &str,
    flags: &[&str],
    variables: &[(&str, &str)],
) -> anyhow::Result<(String, String)> {
    let line = ["--output", "json", "config", "print", "gateway"];
    let (code, text) = run_with(folder, None, &[&line[..], flags].concat(), variables).await?;
    anyhow::ensure!(code == 0, "{text}");
    let rows: serde_json::Value = serde_json::from_str(&text)?;
    let row = rows.as_array().into_iter().flatten().find(|row| row["setting"] == setting);
    let shown = |key: &str| row.and_then(|row| row[key].as_str()).unwrap_or("-").to_owned();
    Ok((shown("value"), shown("source")))
}

#[tokio::test]
async fn a_flag_wins_over_its_variable_over_the_file_over_the_default() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    std::fs::write(folder.path().join(FILE), "drain-seconds = 3\n[gateway]\ndrain-seconds = 4\n")?;
    let (file, variable) = (("GANDER_CONFIG", FILE), ("GANDER_DRAIN_SECONDS", "5"));
    let flag = ["--drain-seconds", "6"];
    let by_flag = ["--config", FILE];
    for (flags, variables, value, source) in [
        (&flag[..], &[file, variable][..], "6", "flag"),
        (&[], &[file, variable], "5", "GANDER_DRAIN_SECONDS"),
        (&[], &[file], "4", "gander.toml:3"),
        (&by_flag, &[], "4", "gander.toml:3"),
        (&by_flag, &[("GANDER_CONFIG", "nowhere")], "4", "gander.toml:3"),
        (&[], &[], "10", "default"),
    ] {
        let found = told(folder.path(), "drain-seconds", flags, variables).await?;
        assert_eq!(found, (value.to_owned(), source.to_owned()));
    }
    Ok(())
}

#[tokio::test]
async fn everything_runs_by_a_file_alone() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let ops = free_address()?;
    let text = format!(
        "data = \"elsewhere\"\nnats-server = \"{}\"\nnats-port = 0\npartitions = 4\n\
         http-listen = \"127.0.0.1:0\"\ngrpc-listen = \"127.0.0.1:0\"\nlog-format = \"json\"\n\
         # A setting of a role that is not run here.\nnats-url = \"nats://other:4222\"\n\
         [up]\nops-listen = \"{ops}\"\n[gateway]\nops-listen = \"127.0.0.1:1\"\n",
        nats_server()?
    );
    std::fs::write(folder.path().join(FILE), text)?;
    let args = ["up", "--config", FILE].map(str::to_owned);
    let process = Process::start(folder.path(), "up", &args)?;
    eventually("everything to be up", async || {
        process.log().contains("Stop with Ctrl-C").then_some(())
    })
    .await?;
    assert!(get(ops, "/readyz").await?.0.is_success());
    assert!(folder.path().join("elsewhere/journal").exists());
    assert!(process.log().contains("{\"timestamp\""), "{}", process.log());
    Ok(())
}

#[tokio::test]
async fn a_file_with_a_problem_stops_every_role_before_anything_opens() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    std::fs::write(folder.path().join(FILE), "body-max-byts = 5\n[worker]\nlog = \"x=y\"\n")?;
    for role in ["up", "admin", "gateway", "worker"] {
        let (code, text) = run(folder.path(), None, &[role, "--config", FILE]).await?;
        assert_eq!(code, 2, "{role}: {text}");
        for says in ["gander.toml:1:", "did you mean body-max-bytes?", "gander.toml:3: log:"] {
            assert!(text.contains(says), "{role}: {text}");
        }
    }
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 1, "nothing else was written");
    let (code, text) = run(folder.path(), None, &["worker", "--config", "nowhere"]).await?;
    assert!(code == 2 && text.contains("nowhere: it cannot be read"), "{text}");
    Ok(())
}

#[tokio::test]
async fn check_tells_all_that_is_wrong_and_no_secret() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let path = folder.path();
    let text = "nats-url = \"nats://me:hunter2@h:4222\"\nhttp-listen = \"0.0.0.0:8080\"\n\
                ops-listen = \"0.0.0.0:8080\"\nnats-monitor-url = \"h:8222\"\n";
    std::fs::write(path.join(FILE), text)?;
    let (code, text) = run(path, None, &["config", "check", "--config", FILE]).await?;
    assert!(code == 0 && text.contains("nothing is wrong"), "{text}");
    let line = ["config", "check", "gateway", "--config", FILE];
    let (code, text) = run(path, None, &line).await?;
    assert_eq!(code, 1, "{text}");
    for says in [
        "http-listen: 0.0.0.0:8080 is reachable",
        "ops-listen: 0.0.0.0:8080 is reachable",
        "ops-listen: 0.0.0.0:8080 is that of http-listen too",
        "nats-monitor-url",
        "4 problems",
    ] {
        assert!(text.contains(says), "{says} is missing in {text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
    let variables = [("GANDER_BODY_MAX_BYTES", "many"), ("GANDER_REPLICAS", "9")];
    let (code, text) = run_with(path, None, &["config", "check", "gateway"], &variables).await?;
    assert!(code == 1 && text.contains("GANDER_BODY_MAX_BYTES: invalid digit"), "{text}");
    assert!(text.contains("GANDER_REPLICAS: 9 is not in 1..=5"), "{text}");
    let (code, text) = run(path, None, &["config", "print", "--config", FILE]).await?;
    assert!(code == 0 && text.contains("nats://***@h:4222"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    Ok(())
}

#[tokio::test]
async fn the_example_is_a_good_file() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let (code, text) = run(folder.path(), None, &["config", "example"]).await?;
    assert_eq!(code, 0);
    assert_eq!(text, include_str!("../../deploy/gander.toml"));
    std::fs::write(folder.path().join(FILE), text)?;
    let line = ["config", "check", "worker", "--config", FILE];
    let (code, text) = run(folder.path(), None, &line).await?;
    assert_eq!(code, 0, "{text}");
    let (_, help) = run(folder.path(), None, &["config", "check", "--help"]).await?;
    let examples = help.lines().filter_map(|line| line.trim().strip_prefix("gander "));
    let examples: Vec<_> = examples.map(|line| line.replace("/etc/gander/", "")).collect();
    assert_eq!(examples.len(), 2, "{help}");
    for line in examples {
        let words: Vec<_> = line.split_whitespace().collect();
        let (code, text) = run(folder.path(), None, &words).await?;
        assert_eq!(code, 0, "{line}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn settings_that_cannot_hold_together_are_refused() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let path = folder.path();
    let file = "drain-seconds = 10\ndrain-delay-seconds = 10\nrate-limit-token-burst = 9\n";
    std::fs::write(path.join(FILE), file)?;
    let says = ["drain-delay-seconds: must be below", "rate-limit-token-burst: must be at least"];
    for (line, expected) in [
        (&["gateway"][..], 2),
        (&["up"], 2),
        (&["config", "check"], 1),
        (&["config", "check", "up"], 1),
    ] {
        let (code, text) = run(path, None, &[line, &["--config", FILE]].concat()).await?;
        let all = says.iter().all(|says| text.contains(says));
        assert!(code == expected && all, "{line:?}: {code} {text}");
    }
    let (code, text) = run(path, None, &["config", "check", "worker", "--config", FILE]).await?;
    assert_eq!(code, 0, "a worker has none of them: {text}");
    assert_eq!(std::fs::read_dir(path)?.count(), 1, "nothing else was written");
    Ok(())
}

#[tokio::test]
async fn who_cannot_start_is_told_which_setting_to_change() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let taken = listener.local_addr()?.to_string();
    for (role, setting) in
        [("admin", "--grpc-listen"), ("gateway", "--http-listen"), ("worker", "--ops-listen")]
    {
        let (code, text) = run(folder.path(), None, &[role, setting, &taken]).await?;
        let says =
            format!("cannot listen on {taken}: is another process there? Give another {setting}");
        assert!(code == 1 && text.contains(&says), "{role}: {code} {text}");
    }
    let data = folder.path().join("data").display().to_string();
    let port = listener.local_addr()?.port().to_string();
    let program = nats_server()?;
    let mut args = vec!["up", "--data", &data, "--nats-server", &program, "--nats-port", &port];
    for setting in ["--grpc-listen", "--http-listen", "--ops-listen"] {
        args.extend([setting, "127.0.0.1:0"]);
    }
    let (code, text) = run(folder.path(), None, &args).await?;
    let says = "is another process there? Give another --nats-port";
    assert!(code == 1 && text.contains(says), "{code} {text}");
    let args = ["worker", "--ops-listen", "127.0.0.1:0", "--nats-url", "nats://127.0.0.1:many"];
    let (code, text) = run(folder.path(), None, &args).await?;
    let (begins, ends) =
        ("cannot connect to nats-server at ", "is it running there? See --nats-url");
    assert!(code == 1 && text.contains(begins) && text.contains(ends), "{code} {text}");
    Ok(())
}

#[tokio::test]
async fn a_role_is_not_helped_with_options_of_clients() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    for line in [&["gateway", "--help"][..], &["admin", "recover", "--help"]] {
        let (code, text) = run(folder.path(), None, line).await?;
        assert!(code == 0 && text.contains("--config"), "{text}");
        assert!(!text.contains("--server") && !text.contains("--credential-file"), "{text}");
    }
    let (_, text) = run(folder.path(), None, &["team", "list", "--help"]).await?;
    assert!(text.contains("--server") && !text.contains("--config"), "{text}");
    Ok(())
}

#[tokio::test]
async fn pages_and_completions_are_read_by_those_who_read_them() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let path = folder.path();
    let (code, text) = run(path, None, &["man", "--folder", "man1"]).await?;
    assert_eq!(code, 0, "{text}");
    let pages = std::fs::read_dir(path.join("man1"))?.collect::<Result<Vec<_>, _>>()?;
    assert!(pages.len() > 40);
    let reads = |program: &str, args: &[&str]| {
        std::process::Command::new(program).args(args).current_dir(path).output().ok()
    };
    // Where they are not installed, the structure is still checked beside the code.
    for page in &pages {
        let page = page.path().display().to_string();
        if let Some(output) = reads("groff", &["-man", "-Tutf8", "-ww", &page]) {
            let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success() && complaint.is_empty(), "{page}: {complaint}");
        }
    }
    for shell in ["bash", "zsh", "fish"] {
        let (code, script) = run(path, None, &["completions", shell]).await?;
        assert!(code == 0 && script.contains("config") && script.contains("status"), "{shell}");
        std::fs::write(path.join(shell), script)?;
        if let Some(output) = reads(shell, &["-n", shell]) {
            assert!(output.status.success(), "{shell}: {output:?}");
        }
    }
    Ok(())
}
