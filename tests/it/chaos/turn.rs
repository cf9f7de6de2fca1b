//! A turn: an installation of its own, faults one after another, and what is judged in the end.
//!
//! Must not know what a fault does.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use anyhow::ensure;

use e2e::dice::Dice;
use e2e::disk::SmallDisk;
use e2e::outage::Outage;
use e2e::power::{Loss, Names};
use e2e::rig::Plan;
use e2e::stage::Stage;
use tokio::time::Instant;

use super::faults::{Place, Row};
use super::record::{Record, Silent, root};
use super::say;

/// As much as is stored in a turn, several times.
const MEBIBYTES: u32 = 384;
/// What is broken where nothing is acknowledged afterwards.
pub const STUCK: &str = "no recovery";

/// An installation and what is drawn for it.
pub struct Turn {
    pub stage: Stage,
    pub draw: Dice,
    /// What was answered while nothing could be stored.
    pub silent: Silent,
    /// For nats-server and for the journal.
    pub disks: Option<(SmallDisk, SmallDisk)>,
    /// Disks that can lose power.
    pub outage: Option<Outage>,
    /// What was not durable when power was lost.
    pub unsynced: Loss,
}

impl Turn {
    /// Starts one, or says why it cannot be had here.
    async fn start(place: Place, draw: Dice) -> anyhow::Result<Result<Self, &'static str>> {
        let (mut disks, mut outage) = (None, None);
        let mut plan = Plan {
            gateways: 2,
            workers: 2,
            cluster: place == Place::Cluster,
            proxies: place == Place::Whole,
            ..Plan::default()
        };
        match place {
            Place::Disks => {
                let nats = SmallDisk::mounted_at("store", MEBIBYTES).await?;
                let journal = SmallDisk::mounted_at("data/journal", MEBIBYTES).await?;
                let Some(both) = nats.zip(journal) else {
                    return Ok(Err("no mount namespace can be made here"));
                };
                plan.nats_disk = Some(Arc::clone(&both.0.mount));
                plan.journal_disk = Some(Arc::clone(&both.1.mount));
                disks = Some(both);
            }
            Place::Power => {
                let Some(prepared) = Outage::prepared(Names::WithFiles).await? else {
                    return Ok(Err("no /dev/fuse here"));
                };
                plan = prepared.plan(plan);
                outage = Some(prepared);
            }
            Place::Whole | Place::Cluster => {}
        }
        let mut stage = Stage::start(plan).await?;
        stage.revoke().await?;
        let (silent, unsynced) = (Silent::default(), Loss::default());
        Ok(Ok(Self { stage, draw, silent, disks, outage, unsynced }))
    }

    /// Keeps what processes have written, for who looks for what went wrong. What is on a disk of its own
    /// is seen by its process only.
    fn keep(&self) -> anyhow::Result<PathBuf> {
        let now = std::time::UNIX_EPOCH.elapsed()?.as_secs();
        let kept = root().join("target/chaos").join(now.to_string());
        std::fs::create_dir_all(&kept)?;
        let rig = &self.stage.rig;
        let mut from = vec![rig.folder().to_owned(), rig.nats.log()];
        if let (Some((store, _)), Some(pid)) = (&self.disks, rig.nats.pid()) {
            from.push(format!("/proc/{pid}/root{}", store.mount.folder().display()).into());
        }
        let copied = Command::new("cp").arg("-a").args(from).arg(&kept).status()?;
        ensure!(copied.success(), "cp ends with {copied}");
        Ok(kept)
    }

    /// Ends it; gives which promises were broken, and how.
    async fn judge(self, record: &mut Record) -> Vec<(String, String)> {
        record.silent.merge(&self.silent);
        record.unsynced += self.unsynced.changes();
        match self.stage.settle().await {
            Ok((ledger, _rig)) => {
                record.told(&ledger);
                let broken = ledger.broken().into_iter();
                broken.map(|(promise, what)| (promise.to_string(), what)).collect()
            }
            Err(error) => vec![(STUCK.to_owned(), format!("to settle: {error:#}"))],
        }
    }
}

/// Lets faults strike in this order until it is time to stop, judges, and records it.
pub async fn play(
    faults: &[Row],
    draw: Dice,
    until: Option<Instant>,
    record: &mut Record,
) -> anyhow::Result<()> {
    let Some(place) = faults.first().map(|row| row.place) else { return Ok(()) };
    let mut turn = match Turn::start(place, draw).await? {
        Ok(turn) => turn,
        Err(why) => {
            faults.iter().for_each(|row| record.not_tested(row.name, why));
            return Ok(());
        }
    };
    turn.stage.progress("work before any fault").await?;
    let mut struck: Vec<&str> = Vec::new();
    let mut wrong = Vec::new();
    for row in faults {
        if until.is_some_and(|until| Instant::now() >= until) {
            break;
        }
        struck.push(row.name);
        let begun = Instant::now();
        let struck_down = match turn.stage.rig.unharmed() {
            Ok(()) => turn.strike(*row).await,
            Err(error) => Err(error),
        };
        if let Err(error) = struck_down {
            wrong.push((STUCK.to_owned(), format!("{}: {error:#}", row.name)));
            break;
        }
        let (alerts, commands) = turn.stage.load.acked();
        say(&format!(
            "{}/{} of a turn: {:.1} s for {}; {alerts} alerts, {commands} commands acked in it",
            struck.len(),
            faults.len(),
            begun.elapsed().as_secs_f64(),
            row.name,
        ));
    }
    if let Err(error) = turn.stage.rig.unharmed() {
        wrong.push((STUCK.to_owned(), format!("in the end: {error:#}")));
    }
    let logs = turn.stage.rig.logs();
    if !wrong.is_empty() {
        say(&format!("kept: {:?}", turn.keep()));
    }
    wrong.extend(Box::pin(turn.judge(record)).await);
    record.turn(&struck, &wrong);
    if !wrong.is_empty() {
        say(&format!("after {struck:?}: {wrong:#?}\n{}", logs.join("\n")));
    }
    Ok(())
}
