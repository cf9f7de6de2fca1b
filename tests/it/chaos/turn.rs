//! A turn: an installation of its own, faults one after another, and what is judged in the end.
//!
//! Must not know what a fault does.

use std::sync::Arc;

use e2e::dice::Dice;
use e2e::disk::SmallDisk;
use e2e::rig::Plan;
use e2e::stage::Stage;
use tokio::time::Instant;

use super::faults::{Place, Row};
use super::record::{Record, Silent};
use super::say;

const MEBIBYTES: u32 = 96;
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
}

impl Turn {
    /// Starts one; none where this machine does not let us have its disks.
    async fn start(place: Place, draw: Dice) -> anyhow::Result<Option<Self>> {
        let disks = match place {
            Place::Disks => {
                let nats = SmallDisk::mounted_at("store", MEBIBYTES).await?;
                let journal = SmallDisk::mounted_at("data/journal", MEBIBYTES).await?;
                let Some(both) = nats.zip(journal) else { return Ok(None) };
                Some(both)
            }
            Place::Whole | Place::Cluster => None,
        };
        let plan = Plan {
            gateways: 2,
            workers: 2,
            cluster: place == Place::Cluster,
            proxies: place == Place::Whole,
            nats_disk: disks.as_ref().map(|disks| Arc::clone(&disks.0.mount)),
            journal_disk: disks.as_ref().map(|disks| Arc::clone(&disks.1.mount)),
            ..Plan::default()
        };
        let mut stage = Stage::start(plan).await?;
        stage.revoke().await?;
        Ok(Some(Self { stage, draw, silent: Silent::default(), disks }))
    }

    /// Ends it; gives which promises were broken, and how.
    async fn judge(self, record: &mut Record) -> Vec<(String, String)> {
        record.silent.merge(&self.silent);
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
    let Some(mut turn) = Turn::start(place, draw).await? else {
        for row in faults {
            record.not_tested(row.name, "no mount namespace can be made here");
        }
        return Ok(());
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
    wrong.extend(Box::pin(turn.judge(record)).await);
    record.turn(&struck, &wrong);
    if !wrong.is_empty() {
        say(&format!("after {struck:?}: {wrong:#?}\n{}", logs.join("\n")));
    }
    Ok(())
}
