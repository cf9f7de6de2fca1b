//! `gander up` as a process, and client commands against it.
//!
//! Must not know what is tested with it.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use tempfile::TempDir;

use crate::process::{Process, run};
use crate::rig::free_address;
use crate::tools::nats_server;
use crate::wait::eventually;

/// What makes the first principal a Global Admin.
pub const BOOTSTRAP: &str = "--role global-admin --bootstrap-file data/bootstrap-credential";

/// A running `gander up`; its data are in `data` of its folder.
pub struct Up {
    /// The process.
    pub process: Process,
    /// Where it tells how it is.
    pub ops: SocketAddr,
    /// Where admin is.
    pub grpc: SocketAddr,
    /// Where it runs.
    pub folder: TempDir,
}

/// Starts it in a folder of its own.
///
/// # Errors
/// It did not come up.
pub async fn up() -> anyhow::Result<Up> {
    up_in(TempDir::new()?, "up").await
}

/// Starts it in this folder, with a log of this name.
///
/// # Errors
/// It did not come up.
pub async fn up_in(folder: TempDir, log: &str) -> anyhow::Result<Up> {
    let (ops, grpc) = (free_address()?, free_address()?);
    let args = [
        "up",
        "--data",
        "data",
        "--nats-server",
        &nats_server()?,
        "--nats-port",
        "0",
        "--http-listen",
        "127.0.0.1:0",
        "--grpc-listen",
        &grpc.to_string(),
        "--ops-listen",
        &ops.to_string(),
    ]
    .map(str::to_owned);
    let mut process = Process::start(folder.path(), log, &args)?;
    let up = eventually("everything to be up", async || {
        let up = process.log().contains("Stop with Ctrl-C");
        (up || !process.runs()).then_some(up)
    });
    let up = up.await.with_context(|| process.log())?;
    anyhow::ensure!(up, "not up: {}", process.log());
    Ok(Up { process, ops, grpc, folder })
}

impl Up {
    /// Client commands against it, run in its folder.
    pub fn client(&self) -> Client<'_> {
        Client { folder: self.folder.path(), server: format!("http://{}", self.grpc) }
    }

    /// Where the gateway is.
    pub fn gateway(&self) -> String {
        let says = self.process.log();
        let gateway = says.split_whitespace().find(|word| word.ends_with("/v1/process"));
        gateway.unwrap_or_default().trim_end_matches("/v1/process").to_owned()
    }

    /// Where nats-server is.
    pub fn nats(&self) -> String {
        let says = self.process.log();
        let nats = says.split_whitespace().find(|word| word.starts_with("nats://"));
        nats.unwrap_or_default().to_owned()
    }
}

/// Runs client commands.
pub struct Client<'a> {
    /// Where they run.
    pub folder: &'a Path,
    /// Where admin is.
    pub server: String,
}

impl Client<'_> {
    /// Runs a command; its exit code, and what it says.
    ///
    /// # Errors
    /// It could not be run.
    pub async fn told(&self, line: &str) -> anyhow::Result<(i32, String)> {
        let mut args = vec!["--server", &self.server];
        args.extend(line.split_whitespace());
        run(self.folder, None, &args).await
    }

    /// Runs a command that must do what it is told; what it says.
    ///
    /// # Errors
    /// It did not.
    pub async fn done(&self, line: &str) -> anyhow::Result<String> {
        let (code, text) = self.told(line).await?;
        anyhow::ensure!(code == 0, "{line}: {text}");
        Ok(text)
    }
}
