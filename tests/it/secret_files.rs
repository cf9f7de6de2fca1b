//! Commands that write a secret: no secret is made, or replaced, that has no place.

use std::path::Path;

use e2e::mount::Mount;
use e2e::process::{Process, program};
use e2e::up::{BOOTSTRAP, up};
use e2e::wait::eventually;
use nix::sys::signal::Signal;

#[tokio::test]
async fn a_secret_has_its_place_before_it_is_made() -> anyhow::Result<()> {
    let up = up().await?;
    let (folder, client) = (up.folder.path(), up.client());
    client.done(&format!("principal create ada {BOOTSTRAP}")).await?;
    let long = "x".repeat(256);
    let line = format!("token create long --global --secret-file {long}");
    let (code, text) = client.told(&line).await?;
    assert!(code == 1 && text.contains("cannot use"), "{text}");
    assert!(!client.done("token list").await?.contains(" long "), "it was not made");
    std::fs::create_dir(folder.join("sub"))?;
    up.process.signal(Signal::SIGSTOP)?;
    let meanwhile = async {
        eventually("both names to be taken", async || {
            (folder.join("one").exists() && folder.join("sub/two").exists()).then_some(())
        })
        .await?;
        let second = client.told("token create second --global --secret-file one").await?;
        std::fs::remove_dir_all(folder.join("sub"))?;
        up.process.signal(Signal::SIGCONT)?;
        anyhow::Ok(second)
    };
    let (first, lost, second) = tokio::join!(
        client.told("token create first --global --secret-file one"),
        client.told("token create lost --global --secret-file sub/two"),
        meanwhile
    );
    let ((first, says), (lost, shown), (second, text)) = (first?, lost?, second?);
    assert!(first == 0 && std::fs::read_to_string(folder.join("one"))?.len() == 54, "{says}");
    assert!(second == 1 && text.contains("another command writes one"), "{text}");
    assert!(lost == 1 && shown.contains("gdr_") && shown.contains("line above"), "{shown}");
    assert!(shown.contains("cannot use sub/two") && !shown.contains("another command"), "{shown}");
    let made = client.done("token list").await?;
    assert!(made.contains(" first ") && !made.contains(" second "), "{made}");
    Ok(())
}

#[tokio::test]
async fn what_a_killed_command_leaves_is_taken_over() -> anyhow::Result<()> {
    let up = up().await?;
    let (folder, client) = (up.folder.path(), up.client());
    let create = format!("principal create ada {BOOTSTRAP}");
    let credential = folder.join(".config/gander/credential");
    // It takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    let server = format!("http://{}", silent.local_addr()?);
    let kill = async |name: &str, line: &str, file: &Path| {
        let args = ["--server", &server].into_iter().chain(line.split_whitespace());
        let args: Vec<_> = args.map(str::to_owned).collect();
        let mut killed = Process::start(folder, name, &args)?;
        eventually("the name to be taken", async || file.exists().then_some(())).await?;
        killed.kill().await?;
        anyhow::ensure!(std::fs::read(file)?.is_empty(), "{line}");
        anyhow::Ok(())
    };
    kill("first", &create, &credential).await?;
    let (code, text) = client.told("team list").await?;
    assert!(code == 1 && text.contains("is empty, as an interrupted command leaves it"), "{text}");
    client.done(&create).await?;
    let token = "--global --secret-file token";
    kill("second", &format!("token create lost {token}"), &folder.join("token")).await?;
    client.done(&format!("token create kept {token}")).await?;
    assert_eq!(std::fs::read_to_string(folder.join("token"))?.len(), 54);
    Ok(())
}

#[tokio::test]
async fn a_secret_is_not_replaced_where_the_new_one_cannot_be_kept() -> anyhow::Result<()> {
    // The file is a mount of its own, as a container has it.
    let file = "printf old >\"$1/token\" && mount --bind \"$1/token\" \"$1/token\"";
    let Some(mount) = Mount::at("mounted", file).await? else {
        println!("not tested: no mount namespace can be made here");
        return Ok(());
    };
    let up = up().await?;
    let client = up.client();
    client.done(&format!("principal create ada {BOOTSTRAP}")).await?;
    client.done("token create t --global --secret-file token").await?;
    let before = client.done("token list").await?;
    let file = mount.place().join("token");
    let inside = mount.seen_by(&program()?)?;
    let ended = tokio::process::Command::new(inside)
        .args(["--server", &client.server, "token", "replace-secret", "t", "--secret-file"])
        .arg(&file)
        .env("HOME", up.folder.path())
        .output()
        .await?;
    let text = String::from_utf8(ended.stderr)?;
    assert!(ended.status.code() == Some(1) && text.contains("busy"), "{text}");
    assert_eq!(client.done("token list").await?, before, "the old secret works");
    let look = format!("cat {}; ls -A {}", file.display(), mount.place().display());
    assert_eq!(mount.shell(&look).await?, "oldtoken\n", "nothing is left beside it");
    Ok(())
}
