//! A disk that is small and can be full: a file system in memory, mounted for a few processes only.
//!
//! It needs `unshare` and `nsenter` (util-linux) and a kernel that lets this user make mount
//! namespaces. Must not know what is stored on it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Mounts a file system of `$1` at `$2`, says so, and keeps it until its input ends.
const HOLD: &str = "mount -t tmpfs -o size=$1 none \"$2\" && echo mounted && exec cat";

/// A small disk, mounted in a folder of its own. Dropped, it is gone.
#[derive(Debug)]
pub struct SmallDisk {
    folder: TempDir,
    mounted: PathBuf,
    holder: Child,
}

impl SmallDisk {
    /// Makes one of so many MiB, mounted as this name in its folder. None where this machine does
    /// not let us.
    ///
    /// # Errors
    /// A process or file operation failed.
    pub async fn mounted_at(name: &str, mebibytes: u32) -> anyhow::Result<Option<Self>> {
        let folder = TempDir::new()?;
        let mounted = folder.path().join(name);
        fs::create_dir_all(&mounted)?;
        let mut holder = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", HOLD, "sh"])
            .arg(format!("{mebibytes}m"))
            .arg(&mounted)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = holder.stdout.take().context("no output")?;
        let said = BufReader::new(output).lines().next_line().await?;
        Ok(said.map(|_| Self { folder, mounted, holder }))
    }

    /// The folder with the disk in it; the rest of it is on the ordinary disk.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A program that is this one, seeing the disk.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn seen_by(&self, program: &Path) -> anyhow::Result<PathBuf> {
        let name = program.file_name().context("a program has a name")?;
        let script = self.folder.path().join(name);
        let holder = self.holder.id().context("the disk is gone")?;
        let enter = format!("nsenter --target {holder} --user --mount --preserve-credentials");
        fs::write(&script, format!("#!/bin/sh\nexec {enter} {} \"$@\"\n", program.display()))?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        Ok(script)
    }

    /// Writes until there is no room.
    ///
    /// # Errors
    /// It cannot be run, or there is room left.
    pub async fn fill(&self) -> anyhow::Result<()> {
        let ballast = self.mounted.join("ballast");
        // Others may give room back meanwhile.
        let fill = format!(
            "for n in $(seq 100); do cat /dev/zero >> {0}; left=$(df --output=avail {0} | tail -1); \
             [ $left -eq 0 ] && break; done; echo $left",
            ballast.display()
        );
        let left = self.shell(&fill).await?;
        anyhow::ensure!(left.trim() == "0", "{left} KiB are left");
        Ok(())
    }

    /// Gives back what was filled.
    ///
    /// # Errors
    /// It cannot be run.
    pub async fn empty(&self) -> anyhow::Result<()> {
        self.shell(&format!("rm {}", self.mounted.join("ballast").display())).await.map(drop)
    }

    /// Lets nobody write to it from here on, or everybody again. Nobody may have a file of it open
    /// for writing.
    ///
    /// # Errors
    /// It cannot be run, or somebody has.
    pub async fn read_only(&self, so: bool) -> anyhow::Result<()> {
        let how = if so { "ro" } else { "rw" };
        let remount = format!("mount -o remount,{how} {}", self.mounted.display());
        self.shell(&remount).await.map(drop)
    }

    async fn shell(&self, command: &str) -> anyhow::Result<String> {
        let shell = self.seen_by(Path::new("/bin/sh"))?;
        let output = Command::new(shell).args(["-c", command]).output().await?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
