//! Loss of power: what was acknowledged is there afterwards, whatever else was lost or torn.
//!
//! It needs /dev/fuse; where there is none, it says "not tested".

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Context;
use bytes::Bytes;
use domain::id::AlertId;
use e2e::admin::payload;
use e2e::alerts::Sender;
use e2e::dice::Dice;
use e2e::events::stored;
use e2e::outage::{Of, Outage};
use e2e::power::{Fate, Names, PowerDisk};
use e2e::rig::Plan;
use e2e::rig::Rig;
use http::Request;
use http_body_util::Full;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime::environment::variable;
use runtime::journal::{Journal, SledJournal};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use wire::stored::alert::{Content, decode_batch, record_from};

const NATS_CONFIG: &str = include_str!("../../deploy/nats.conf");
const SYNCED: &str = "  sync_interval: always\n";

#[expect(
    clippy::print_stdout,
    reason = "whoever reads that a test passed must know that it is none"
)]
fn not_tested() -> anyhow::Result<()> {
    println!("not tested: no /dev/fuse here");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_does_not_sync_loses_its_data() -> anyhow::Result<()> {
    let Some(disk) = PowerDisk::mounted_at("disk", Names::WithFiles).await? else {
        return not_tested();
    };
    let place = disk.mount.place().display().to_string();
    let write = format!(
        "cd {place} && echo durable > one && sync one && echo lost >> one && echo lost > two && cat *"
    );
    assert_eq!(disk.mount.shell(&write).await?, "durable\nlost\nlost\n");
    disk.lose();
    disk.release();
    disk.restore(Fate::Lost, &mut Dice::new(1));
    let left = disk.mount.shell(&format!("cd {place} && ls && cat *")).await?;
    assert_eq!(left, "one\ndurable\n");
    Ok(())
}

/// Sends alerts to gateways over nats-server with this configuration until so many are
/// acknowledged, loses power, and gives how many are not stored.
async fn lost_with(outage: &Outage, config: &str, count: usize) -> anyhow::Result<usize> {
    let nats_config = Some(config.to_owned());
    // Nobody takes away what is done.
    let plan = Plan { workers: 0, nats_config, ..Plan::default() };
    let mut rig = Rig::planned(outage.plan(plan)).await?;
    let token = rig.first_admin().await?.token("t", "").await?.secret;
    let (gateway, sender) = (rig.gateway()?, Sender::default());
    let mut acked = BTreeSet::new();
    for n in 0..count {
        let request = Request::post(format!("http://{gateway}/v1/process?wait=0"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(payload("firing", &n.to_string()))))?;
        let answer = sender.request(request).await?;
        anyhow::ensure!(answer.status.is_success(), "{answer:?}");
        acked.insert(answer.id().to_owned());
    }
    outage.lose(&mut rig, Of::Nats, Fate::Lost, &mut Dice::new(1)).await?;
    e2e::wait::back_again(&mut rig.nats).await?;
    let mut found = BTreeSet::new();
    // The stream itself may be gone.
    for message in
        stored(&rig.nats_url(), "GANDER_ALERTS", "gander.alerts").await.unwrap_or_default()
    {
        for record in decode_batch(&message.payload)?.records {
            if let Content::Alert(alert) = record_from(record)?.content {
                found.insert(AlertId::to_string(&alert.id));
            }
        }
    }
    Ok(acked.difference(&found).count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nats_server_that_syncs_every_two_minutes_loses_what_one_that_always_does_keeps()
-> anyhow::Result<()> {
    const COUNT: usize = 50;
    anyhow::ensure!(NATS_CONFIG.contains(SYNCED), "the setting is not found");
    for (config, loses) in
        [(NATS_CONFIG.to_owned(), false), (NATS_CONFIG.replace(SYNCED, ""), true)]
    {
        let Some(outage) = Outage::prepared(Names::WithFiles).await? else { return not_tested() };
        let lost = lost_with(&outage, &config, COUNT).await?;
        let setting = if loses { "the default" } else { "always" };
        println!("sync_interval {setting}: {lost} of {COUNT} acknowledged alerts lost");
        assert_eq!(lost > 0, loses);
    }
    Ok(())
}

/// Where the child writes, and whether it also syncs the file of sled.
const JOURNAL: &str = "GANDER_TEST_JOURNAL";
const FLUSH_ONLY: &str = "GANDER_TEST_FLUSH_ONLY";
const SEED: u64 = 1;
/// Power is lost before so many changes of the disk.
const JOURNAL_CHANGES: usize = 60;
/// How often in `make test`; the variable says otherwise.
const LOSSES: &str = "POWER_LOSSES";

#[test]
#[ignore = "the tests below run it, on a disk that loses power"]
fn appends_until_it_is_killed() -> anyhow::Result<()> {
    let journal = PathBuf::from(variable(JOURNAL).context(JOURNAL)?);
    let mut says = std::io::stdout().lock();
    if variable(FLUSH_ONLY).is_some() {
        let database = sled::Config::new().path(journal).flush_every_ms(None).open()?;
        writeln!(says, "\nhas {}", database.len())?;
        for n in database.len() as u64.. {
            database.insert(n.to_be_bytes(), vec![1; 400])?;
            database.flush()?;
            writeln!(says, "acked {}", n + 1)?;
        }
        return Ok(());
    }
    let mut journal = SledJournal::open(&journal)?;
    let mut head = journal.head().sequence;
    anyhow::ensure!(journal.read(0, usize::MAX)?.len() as u64 == head, "records are missing");
    writeln!(says, "\nhas {head}")?;
    loop {
        let record = vec![1; 100 + usize::try_from(head % 7)? * 700];
        head = journal.append(head, &[record.into()])?.sequence;
        writeln!(says, "acked {head}")?;
    }
}

/// What a child said: how many records it found, and how many it has acknowledged.
#[derive(Clone, Copy, Default)]
struct Said {
    has: Option<u64>,
    acked: Option<u64>,
}

/// Lets a child append until power is lost, after so many changes of the disk.
async fn append(disk: &PowerDisk, flush_only: bool, changes: usize) -> anyhow::Result<Said> {
    let mut child = Command::new(disk.mount.seen_by(&std::env::current_exe()?)?);
    child.env(JOURNAL, disk.mount.place().join("journal"));
    if flush_only {
        child.env(FLUSH_ONLY, "1");
    }
    child.args(["--exact", "power::appends_until_it_is_killed", "--ignored", "--nocapture"]);
    child.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    disk.lose_after(changes);
    let mut child = child.spawn()?;
    let pid = Pid::from_raw(i32::try_from(child.id().context("it has ended")?)?);
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    let listen = async {
        let mut said = Said::default();
        while let Some(line) = lines.next_line().await? {
            match line.split_once(' ') {
                Some(("has", number)) => said.has = Some(number.parse()?),
                Some(("acked", number)) => said.acked = Some(number.parse()?),
                Some(_) | None => {}
            }
        }
        anyhow::Ok(said)
    };
    let cut = async {
        tokio::select! {
            () = disk.lost() => kill(pid, Signal::SIGKILL)?,
            status = child.wait() => anyhow::bail!("it has ended by itself: {}", status?),
        }
        disk.release();
        Ok(())
    };
    let (said, cut) = tokio::join!(listen, cut);
    cut?;
    child.wait().await?;
    said
}

/// How many records that were acknowledged are not there after losses of power; none where it is
/// not tested.
async fn lost_records(flush_only: bool, losses: u64) -> anyhow::Result<Option<u64>> {
    let Some(disk) = PowerDisk::mounted_at("disk", Names::WithFiles).await? else {
        return Ok(None);
    };
    let (mut acked, mut lost) = (0_u64, 0_u64);
    for case in 0..losses {
        let mut dice = Dice::of_case(SEED, case);
        let said = append(&disk, flush_only, dice.below(JOURNAL_CHANGES)).await;
        let said = said.with_context(|| format!("case {case}, {acked} records before"))?;
        if let Some(has) = said.has {
            lost += acked.saturating_sub(has);
            acked = said.acked.unwrap_or(has);
        }
        let fate = if flush_only { Fate::Lost } else { Fate::drawn(&mut dice) };
        disk.restore(fate, &mut dice);
    }
    Ok(Some(lost))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_keeps_what_it_acknowledged_where_sled_alone_would_not() -> anyhow::Result<()> {
    let losses = variable(LOSSES).map_or(Ok(20), |text| text.parse())?;
    let Some(lost) = lost_records(false, losses).await? else { return not_tested() };
    println!("{losses} losses of power: {lost} records of the journal lost");
    assert_eq!(lost, 0);
    let lost = lost_records(true, 10).await?.unwrap_or(0);
    println!("10 losses of power: {lost} records of sled without fsync lost");
    assert!(lost > 0);
    Ok(())
}
