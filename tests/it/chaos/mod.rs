//! Faults under load, one after another: nothing acknowledged is lost, nothing is doubled, and whatever
//! clients are told is so.
//!
//! - [`faults`]: what can go wrong. [`turn`]: an installation in which it does. [`record`]: what it
//!   has come to. [`page`]: `docs/RELIABILITY.md`.
//!
//! A few faults in `make test`. `make chaos` goes on for MINUTES (10), with one FAULT or all, in the
//! order of a SEED, with JOBS installations at a time (1), and adds what each turn found to
//! `tests/chaos/ledger.json`.

mod faults;
mod page;
pub mod record;
mod turn;

use std::time::Duration;

use anyhow::Context;
use e2e::dice::Dice;
use e2e::ledger::Promise;
use e2e::load::Told;
use e2e::rig::Plan;
use e2e::stage::Stage;
use faults::{Place, Row, TABLE};
use record::Record;
use runtime::environment::variable;
use runtime::random::{Random, SystemRandom};
use tokio::time::Instant;

/// What `make test` tries.
const SHORT: [&str; 9] = [
    "kill-gateway",
    "kill-worker",
    "kill-admin",
    "kill-nats",
    "pause-nats",
    "pause-gateway",
    "black-hole-gateways-nats",
    "reset-clients-gateways",
    "replace-worker",
];

/// So often a turn has the faults of its place, since it takes seconds to begin and end.
const fn repeats(place: Place) -> usize {
    match place {
        Place::Whole => 1,
        Place::Disks => 2,
        Place::Power | Place::Cluster => 4,
    }
}

fn named(name: &str) -> anyhow::Result<Row> {
    let names = || TABLE.map(|row| row.name).join(", ");
    let row = TABLE.into_iter().find(|row| row.name == name);
    row.with_context(|| format!("{name} is no fault; there are {}", names()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_one_after_another_break_no_promise() -> anyhow::Result<()> {
    let mut faults = SHORT.map(named).into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let mut draw = Dice::new(seed()?);
    draw.shuffle(&mut faults);
    let mut record = Record::default();
    turn::play(&faults, draw, None, &mut record).await?;
    println!("{}\n{}", record.tables(), record.silence());
    assert_eq!(record.violations(), 0);
    assert!(record.revoked_tried > 0 && !record.silent.answers.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loss_of_power_breaks_no_promise() -> anyhow::Result<()> {
    let kinds = ["power-nats", "power-journal", "power-whole"].map(named);
    let kinds = kinds.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let mut faults = kinds.repeat(2);
    let mut draw = Dice::new(seed()?);
    draw.shuffle(&mut faults);
    let mut record = Record::default();
    turn::play(&faults, draw, None, &mut record).await?;
    println!("{}\n{}", record.tables(), record.silence());
    assert_eq!(record.violations(), 0);
    let tested = record.faults.values().any(|sum| sum.times > 0);
    assert!(record.unsynced > 0 || !tested, "there was nothing to lose");
    Ok(())
}

#[test]
#[ignore = "takes minutes: `make chaos`"]
fn the_campaign_breaks_no_promise() -> anyhow::Result<()> {
    let given = |name| variable(name).filter(|text| !text.is_empty());
    let minutes: f64 = given("MINUTES").map_or(Ok(10.0), |text| text.parse())?;
    let only = given("FAULT").unwrap_or_default();
    let only = only.split_terminator(',').map(named).collect::<anyhow::Result<Vec<_>>>()?;
    let jobs: u64 = given("JOBS").map_or(Ok(1), |text| text.parse())?;
    let seed = seed()?;
    let until = Instant::now() + Duration::from_secs_f64(60.0 * minutes);
    // Each has a seed of its own, so that what is drawn does not depend on who was faster; and threads of its
    // own, so that nobody's black hole lasts until another turn is judged, which takes seconds.
    let campaigns: Vec<_> = (0..jobs)
        .map(|job| {
            let only = only.clone();
            std::thread::spawn(move || {
                let mut builder = tokio::runtime::Builder::new_multi_thread();
                let runtime = builder.worker_threads(2).enable_all().build()?;
                runtime.block_on(campaign(seed + job, &only, until))
            })
        })
        .collect();
    let mut record = Record::here()?;
    // All of them to their end: one that fails must not end what another has begun.
    let ended: Vec<_> = campaigns.into_iter().map(std::thread::JoinHandle::join).collect();
    for of_job in ended {
        record.add(&of_job.map_err(|_| anyhow::anyhow!("a campaign panicked"))??);
    }
    let times: u64 = record.faults.values().map(|sum| sum.times).sum();
    println!("{}\n\n{}", record.tables(), record.silence());
    println!(
        "SEED={seed}: {times} faults in {} turns; {} alerts and {} commands acked, {} requests with deleted \
         tokens; added to {}",
        record.turns,
        record.alerts_acked,
        record.commands_acked,
        record.revoked_tried,
        record::LEDGER,
    );
    assert_eq!(record.violations(), 0, "promises were broken");
    Ok(())
}

/// Turn after turn until it is time to stop; each is added to the ledger when it has ended.
async fn campaign(seed: u64, only: &[Row], until: Instant) -> anyhow::Result<Record> {
    let mut draw = Dice::new(seed);
    let mut all = Record::here()?;
    while Instant::now() < until {
        let mut faults: Vec<_> = only.iter().copied().cycle().take(20).collect();
        if faults.is_empty() {
            faults = next(&all);
        }
        draw.shuffle(&mut faults);
        let of_turn = Dice::new(draw.below(usize::MAX) as u64);
        let mut turn = Record { seeds: vec![seed], ..Record::here()? };
        let begun = Instant::now();
        turn::play(&faults, of_turn, Some(until), &mut turn).await?;
        turn.seconds = begun.elapsed().as_secs();
        record::add(&turn)?;
        all.add(&turn);
        if all.faults.values().all(|sum| sum.times == 0) {
            break;
        }
    }
    Ok(all)
}

/// The faults of the place that has had the fewest.
fn next(record: &Record) -> Vec<Row> {
    let can = |place: &Place| {
        let of = |row: &&Row| row.place == *place;
        !TABLE
            .iter()
            .filter(of)
            .any(|row| record.faults.get(row.name).is_some_and(|sum| sum.not_tested.is_some()))
    };
    let places = [Place::Whole, Place::Disks, Place::Power, Place::Cluster].into_iter().filter(can);
    let place = places.min_by_key(|place| record.share(*place)).unwrap_or(Place::Whole);
    let rows = TABLE.into_iter().filter(|row| row.place == place);
    rows.flat_map(|row| vec![row; row.weight * repeats(place)]).collect()
}

/// What is drawn is the same for the same seed.
fn seed() -> anyhow::Result<u64> {
    if let Some(text) = variable("SEED").filter(|text| !text.is_empty()) {
        return text.parse().context("SEED is a number");
    }
    let mut bytes = [0; 8];
    SystemRandom.fill(&mut bytes);
    let seed = u64::from_le_bytes(bytes) >> 16;
    say(&format!("SEED={seed}"));
    Ok(seed)
}

#[expect(clippy::print_stdout, reason = "a campaign tells how far it has come")]
fn say(line: &str) {
    println!("{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_judge_notices_each_promise_that_is_broken() -> anyhow::Result<()> {
    let mut stage = Stage::start(Plan { workers: 2, ..Plan::default() }).await?;
    stage.revoke().await?;
    stage.progress("some alerts").await?;
    let (ledger, _rig) = stage.settle().await?;
    assert_eq!(ledger.violations(), Vec::<String>::new());

    let mut lost = ledger.clone();
    let id = lost.told.acked.first().cloned().unwrap_or_default();
    lost.stored.retain(|alert| alert.id != id);
    assert!(lost.violations().contains(&format!("acked alert lost: {id}")));

    let mut doubled = ledger.clone();
    let mut twin = doubled.events[0].clone();
    let twin_incident = twin.incident.get_or_insert_default();
    let episode = twin_incident.mapped_value.clone();
    "another".clone_into(&mut twin_incident.id);
    "another".clone_into(&mut twin.id);
    doubled.events.insert(1, twin);
    assert!(doubled.violations().contains(&format!("2 open incidents for {episode}")));

    let mut stored_twice = ledger.clone();
    stored_twice.stored.push(ledger.stored[0].clone());
    let found = format!("alert {} is stored twice", ledger.stored[0].id);
    assert!(stored_twice.violations().contains(&found));

    let mut unsent = ledger.clone();
    unsent.stored.retain(|alert| alert.episode != episode);
    let found = format!("events of {episode}, which nobody sent");
    assert!(unsent.violations().contains(&found));

    let mut illegal = ledger.clone();
    illegal.events.retain(|event| !event.r#type.contains("created"));
    assert!(illegal.broken().iter().any(|(promise, _)| *promise == Promise::HistoriesAreLegal));

    // What clients saw at once.
    let seen = |told: fn(&mut Told) -> &mut Vec<String>| {
        let mut ledger = ledger.clone();
        told(&mut ledger.told).push("seen".to_owned());
        ledger.broken().into_iter().map(|(promise, _)| promise).collect::<Vec<_>>()
    };
    assert_eq!(seen(|told| &mut told.let_in), [Promise::RevokedTokensAreOut]);
    assert_eq!(seen(|told| &mut told.outside), [Promise::AnswersAreDocumented]);
    assert_eq!(seen(|told| &mut told.late), [Promise::AnswersAreSoon]);

    let mut miscounted = ledger.clone();
    miscounted.totals[0].created += 1;
    // Of the partition, and of all.
    assert_eq!(miscounted.violations().len(), 2);

    let mut forgotten = ledger.clone();
    let is_there = forgotten.told.facts.iter().find(|(_, is_there)| **is_there);
    let fact = is_there.context("a command")?.0.clone();
    forgotten.found.retain(|found| *found != fact);
    assert_eq!(forgotten.violations(), [format!("{fact} is there 0 times")]);
    let mut revived = ledger.clone();
    revived.told.facts.insert("token gone".to_owned(), false);
    revived.found.push("token gone".to_owned());
    assert_eq!(revived.violations(), ["token gone is there 1 times"]);
    Ok(())
}
