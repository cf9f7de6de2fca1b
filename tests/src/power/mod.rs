//! A disk that can lose power: what was not synced is lost, kept or torn, as it is drawn.
//!
//! A file system in memory, served over FUSE for a few processes only ([`serve`]). It remembers which
//! changes of files ([`content`]) and names ([`tree`]) no fsync, and no write of a file opened with
//! `O_SYNC`, has made durable. Nothing is cached in the kernel, so each write comes here at once, and
//! shared maps of a file are refused rather than missed.
//!
//! Power is lost at a point that is told beforehand, between any two changes: from there on nobody is
//! answered any more, until they are killed. It needs /dev/fuse. Must not know what is stored on it.

pub mod content;
mod serve;
pub mod tree;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::Context;
use fuser::{Config, Session, SessionACL};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::dice::Dice;
use crate::mount::Mount;
use serve::{Server, Shared};

/// Threads that serve it: a sync of one keeps nobody else waiting.
const THREADS: usize = 4;
/// The descriptor of /dev/fuse in the process that keeps the mount.
const DEVICE: i32 = 3;
/// Opened there, since the kernel wants the two to be of one namespace.
const COMMAND: &str = "test -c /dev/fuse && exec 3<>/dev/fuse && \
     mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 power \"$1\"";

/// When a name becomes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// As with ext4, xfs and btrfs: a sync of any file makes all names before it durable, and a file
    /// that replaces another has its data before it has the name.
    WithFiles,
    /// As POSIX has it: only with a sync of their folder.
    WithFolders,
}

/// What happens to changes that are not durable when power is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// All are lost.
    Lost,
    /// Any of them may have got to the disk, sector by sector.
    Drawn,
}

impl Fate {
    /// One or the other.
    pub fn drawn(dice: &mut Dice) -> Self {
        if dice.once_in(3) { Self::Lost } else { Self::Drawn }
    }
}

/// What was not durable when power was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Writes and new lengths of files.
    pub writes: usize,
    /// Changes of names.
    pub names: usize,
}

impl Loss {
    /// Of both kinds.
    #[must_use]
    pub const fn changes(self) -> u64 {
        (self.writes + self.names) as u64
    }

    /// What two have lost.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self { writes: self.writes + other.writes, names: self.names + other.names }
    }
}

/// A disk that can lose power. Dropped, it is gone.
#[derive(Debug)]
pub struct PowerDisk {
    /// Where it is.
    pub mount: Arc<Mount>,
    shared: Arc<Shared>,
}

impl PowerDisk {
    /// Makes one, mounted as this name in its folder. None where there is no /dev/fuse, or this
    /// machine does not let us mount.
    ///
    /// # Errors
    /// It is mounted and cannot be served.
    pub async fn mounted_at(name: &str, names: Names) -> anyhow::Result<Option<Self>> {
        let Some(mount) = Mount::at(name, COMMAND).await? else { return Ok(None) };
        let device = device(&mount).context("the descriptor of /dev/fuse")?;
        let shared = Arc::new(Shared::new(names));
        let mut config = Config::default();
        // Whoever is in the namespace: the kernel sees to that.
        config.acl = SessionACL::All;
        config.n_threads = Some(THREADS);
        let server = Server::new(Arc::clone(&shared));
        let begin = move || Session::from_fd(server, device, SessionACL::All, config)?.spawn();
        // It waits for the kernel; nobody waits for its end, which is the end of the mount.
        let served = tokio::task::spawn_blocking(begin).await?;
        drop(served.context("FUSE")?);
        Ok(Some(Self { mount: Arc::new(mount), shared }))
    }

    /// Power is lost after so many more changes and syncs, at the latest when [`Self::lose`] is
    /// called.
    pub fn lose_after(&self, changes: usize) {
        self.shared.lose_after(changes);
    }

    /// Waits until power is lost.
    pub async fn lost(&self) {
        self.shared.lost().await;
    }

    /// Power is lost now, unless it was before.
    pub fn lose(&self) {
        self.shared.lose();
    }

    /// Lets everybody go who waits for an answer; they have been killed and do not see it.
    pub fn release(&self) {
        self.shared.release();
    }

    /// Power is back, and what survived is there. Who used it before has ended.
    pub fn restore(&self, fate: Fate, dice: &mut Dice) -> Loss {
        self.shared.restore(fate, dice)
    }

    /// How many changes and syncs there were.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.shared.changes()
    }
}

impl Drop for PowerDisk {
    fn drop(&mut self) {
        self.shared.lose();
        self.shared.release();
    }
}

/// The descriptor that the holder has opened.
fn device(mount: &Mount) -> anyhow::Result<OwnedFd> {
    let holder = i32::try_from(mount.holder()?)?;
    let holder = Pid::from_raw(holder).context("a process id")?;
    let holder = pidfd_open(holder, PidfdFlags::empty())?;
    Ok(pidfd_getfd(holder, DEVICE, PidfdGetfdFlags::empty())?)
}
