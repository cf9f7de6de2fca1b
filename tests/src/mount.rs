//! A file system that a few processes see and nobody else: mounted in a namespace of its own, in a
//! folder that is on the ordinary disk for all others.
//!
//! It needs `unshare`, `nsenter` and `mount` (util-linux) and a kernel that lets this user make mount
//! namespaces. Must not know what is mounted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A mounted file system. Dropped, or its process killed, it is gone.
#[derive(Debug)]
pub struct Mount {
    folder: TempDir,
    place: PathBuf,
    holder: Child,
}

impl Mount {
    /// Runs a command in a new namespace that mounts something at `$1`, and keeps what it did. None
    /// where this machine does not let us.
    ///
    /// # Errors
    /// A process or file operation failed.
    pub async fn at(name: &str, command: &str) -> anyhow::Result<Option<Self>> {
        let folder = TempDir::new()?;
        let place = folder.path().join(name);
        fs::create_dir_all(&place)?;
        // It says so, and ends when its input does, however this process ends.
        let command = format!("{command} && echo mounted && exec cat");
        let mut holder = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", &command, "sh"])
            .arg(&place)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = holder.stdout.take().context("no output")?;
        let said = BufReader::new(output).lines().next_line().await?;
        Ok(said.map(|_| Self { folder, place, holder }))
    }

    /// The folder with the mounted one in it; the rest of it is on the ordinary disk.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where it is mounted.
    #[must_use]
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// The process that keeps it.
    ///
    /// # Errors
    /// It has ended.
    pub fn holder(&self) -> anyhow::Result<u32> {
        self.holder.id().context("the mount is gone")
    }

    /// A program that is this one, seeing what is mounted.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn seen_by(&self, program: &Path) -> anyhow::Result<PathBuf> {
        let name = program.file_name().context("a program has a name")?;
        let script = self.folder.path().join(name);
        let holder = self.holder()?;
        let enter = format!("nsenter --target {holder} --user --mount --preserve-credentials");
        let text = script.with_extension("text");
        fs::write(&text, format!("#!/bin/sh\nexec {enter} {} \"$@\"\n", program.display()))?;
        // By a process of its own: a child that another test starts meanwhile would have the file open to
        // write for a moment, and what is open to write cannot be run.
        let mut install = std::process::Command::new("install");
        let made = install.args(["-m", "755"]).args([&text, &script]).status()?;
        anyhow::ensure!(made.success(), "install: {made}");
        Ok(script)
    }

    /// Runs a command that sees what is mounted; gives what it writes.
    ///
    /// # Errors
    /// It cannot be run, or fails.
    pub async fn shell(&self, command: &str) -> anyhow::Result<String> {
        let shell = self.seen_by(Path::new("/bin/sh"))?;
        let output = Command::new(shell).args(["-c", command]).output().await?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
