//! Programs that nobody here wrote, fetched by `make setup`.
//!
//! Must not know what they are used for.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::process::Command;

/// The path of a tool.
///
/// # Errors
/// It was not fetched.
pub fn tool(name: &str) -> anyhow::Result<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools").join(name);
    anyhow::ensure!(path.exists(), "{} is missing: run `make setup`", path.display());
    Ok(path.canonicalize()?)
}

/// nats-server, as an option of a command takes it.
///
/// # Errors
/// It was not fetched.
pub fn nats_server() -> anyhow::Result<String> {
    Ok(tool("nats-server")?.to_string_lossy().into_owned())
}

/// Python in a folder, with the packages that were fetched; dropped, it is killed.
///
/// # Errors
/// They were not fetched.
pub fn python(folder: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new("python3");
    command.arg("-u").current_dir(folder).env("PYTHONPATH", tool("python")?).kill_on_drop(true);
    Ok(command)
}

/// A client that sends much, fetched by `make setup` or `sh tools/setup.sh hostile`; dropped, it is killed.
///
/// # Errors
/// It was not fetched.
pub fn sender(folder: &Path, name: &str) -> anyhow::Result<Command> {
    let home = tool(name)?;
    let mut command = Command::new(home.join(name));
    command.current_dir(folder).env("LD_LIBRARY_PATH", home).kill_on_drop(true);
    Ok(command)
}

/// What a program writes, on both ways; it must succeed.
///
/// # Errors
/// It does not; with what it wrote.
pub async fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().await.context("it cannot be started")?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    anyhow::ensure!(output.status.success(), "{} after: {text}", output.status);
    Ok(text)
}
