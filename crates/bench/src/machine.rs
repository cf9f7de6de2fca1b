//! The machine that a run is made on, and what processes use of it.
//!
//! Must not know what runs.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::sys::time::{TimeVal, TimeValLike};
use serde::Serialize;

/// What a figure of this run depends on.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The commit that was built; `-dirty` where it is not all.
    pub commit: String,
    /// The processor, as it names itself.
    pub processor: String,
    /// How many cores there are.
    pub cores: usize,
    /// The kernel.
    pub kernel: String,
    /// The nats-server.
    pub nats_server: String,
    /// How long a write of 4 KiB and its fsync take, median, microseconds.
    pub fsync_us: f64,
}

impl Machine {
    /// This one, with files in this folder.
    pub fn here(folder: &Path, nats_server: String) -> anyhow::Result<Self> {
        let about = std::fs::read_to_string("/proc/cpuinfo")?;
        let model = about.lines().find_map(|line| line.strip_prefix("model name"));
        Ok(Self {
            commit: said("git", &["describe", "--always", "--dirty", "--abbrev=7"])?,
            processor: model.unwrap_or_default().trim_start_matches(['\t', ' ', ':']).to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            kernel: said("uname", &["-r"])?,
            nats_server,
            fsync_us: fsync(folder)?,
        })
    }
}

/// What a program says.
pub fn said(program: &str, args: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program).args(args).output().context(program.to_owned())?;
    ensure!(output.status.success(), "{program} has failed");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// A folder in memory keeps nothing, and costs nothing: what is measured there says nothing.
pub fn on_a_disk(folder: &Path) -> anyhow::Result<()> {
    let kind = statfs(folder)?.filesystem_type();
    ensure!(
        kind != TMPFS_MAGIC,
        "{} is in memory, where an fsync costs nothing: set TMPDIR to a folder on a disk",
        folder.display()
    );
    Ok(())
}

fn fsync(folder: &Path) -> anyhow::Result<f64> {
    use std::io::Write;
    let mut file = tempfile::tempfile_in(folder)?;
    let mut took = Vec::new();
    for _ in 0..200 {
        let at = std::time::Instant::now();
        file.write_all(&[1; 4_096])?;
        file.sync_data()?;
        took.push(at.elapsed().as_secs_f64() * 1e6);
    }
    Ok(crate::median(&mut took))
}

/// USER_HZ, in which the kernel tells the time of processes.
const TICKS_PER_SECOND: f64 = 100.0;

/// How long a process has had a processor since its start, seconds.
pub fn processor_seconds(pid: i32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Its name comes before, in brackets, and may be anything.
    let (_, rest) = stat.rsplit_once(')').context("a process without a name")?;
    let field = |n: usize| rest.split_whitespace().nth(n).unwrap_or_default().parse::<f64>();
    Ok((field(11)? + field(12)?) / TICKS_PER_SECOND)
}

/// How long the processes that this one has started, and that have ended since, have had a processor,
/// seconds.
pub fn children_seconds() -> anyhow::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: TimeVal| time.num_microseconds() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// The time of all cores together since the start of the machine, in ticks.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    idle: f64,
    all: f64,
}

impl Cores {
    /// Until now.
    pub fn now() -> anyhow::Result<Self> {
        Self::read(&std::fs::read_to_string("/proc/stat")?)
    }

    fn read(stat: &str) -> anyhow::Result<Self> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu ")).context("no cores")?;
        // What guests had is in the time of users already.
        let times: Vec<f64> =
            line.split_whitespace().take(8).map(str::parse).collect::<Result<_, _>>()?;
        let [_, _, _, idle, waiting, ..] = times[..] else { anyhow::bail!("too few times") };
        Ok(Self { idle: idle + waiting, all: times.iter().sum() })
    }

    /// The share of the time since then in which they had nothing to do.
    pub fn idle_since(self, before: Self) -> f64 {
        (self.idle - before.idle) / (self.all - before.all).max(1.0)
    }
}

/// Bytes of what is shown as MiB.
const MIB: f64 = 1_024.0 * 1_024.0;

/// The memory that a process has now, MiB.
pub fn resident_mib(pid: i32) -> anyhow::Result<f64> {
    Ok(resident_bytes(pid)? as f64 / MIB)
}

/// The memory that a process has now, bytes.
pub fn resident_bytes(pid: i32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_that_wait_for_a_disk_are_idle() {
        let at =
            |text: &str| Cores::read(&format!("cpu  {text}\ncpu0 1 1 1 1 1 1 1 1 1 1")).unwrap();
        let (before, after) = (at("10 0 10 100 0 0 0 0 5 0"), at("60 5 20 120 5 5 5 0 50 0"));
        assert!((after.idle_since(before) - 0.25).abs() < 1e-9);
        assert!(Cores::read("cpu 1 2").is_err() && Cores::read("").is_err());
    }
}
