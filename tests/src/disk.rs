//! A disk that is small and can be full: a file system in memory, mounted for a few processes only.
//!
//! Must not know what is stored on it.

use std::sync::Arc;

use crate::mount::Mount;

/// A small disk, mounted in a folder of its own. Dropped, it is gone.
#[derive(Debug)]
pub struct SmallDisk {
    /// Where it is.
    pub mount: Arc<Mount>,
}

impl SmallDisk {
    /// Makes one of so many MiB, mounted as this name in its folder. None where this machine does
    /// not let us.
    ///
    /// # Errors
    /// A process or file operation failed.
    pub async fn mounted_at(name: &str, mebibytes: u32) -> anyhow::Result<Option<Self>> {
        let command = format!("mount -t tmpfs -o size={mebibytes}m none \"$1\"");
        let mount = Mount::at(name, &command).await?;
        Ok(mount.map(|mount| Self { mount: Arc::new(mount) }))
    }

    /// Writes until there is no room.
    ///
    /// # Errors
    /// It cannot be run, or there is room left.
    pub async fn fill(&self) -> anyhow::Result<()> {
        // Others may give room back meanwhile.
        let fill = format!(
            "for n in $(seq 100); do cat /dev/zero >> {0}; left=$(df --output=avail {0} | tail -1); \
             [ $left -eq 0 ] && break; done; echo $left",
            self.ballast()
        );
        let left = self.mount.shell(&fill).await?;
        anyhow::ensure!(left.trim() == "0", "{left} KiB are left");
        Ok(())
    }

    /// Gives back what was filled.
    ///
    /// # Errors
    /// It cannot be run.
    pub async fn empty(&self) -> anyhow::Result<()> {
        self.mount.shell(&format!("rm {}", self.ballast())).await.map(drop)
    }

    /// Lets nobody write to it from here on, or everybody again. Nobody may have a file of it open
    /// for writing.
    ///
    /// # Errors
    /// It cannot be run, or somebody has.
    pub async fn read_only(&self, so: bool) -> anyhow::Result<()> {
        let how = if so { "ro" } else { "rw" };
        let remount = format!("mount -o remount,{how} {}", self.mount.place().display());
        self.mount.shell(&remount).await.map(drop)
    }

    fn ballast(&self) -> String {
        self.mount.place().join("ballast").display().to_string()
    }
}
