//! Trials: tokens that die while two gateways are asked with them all the time.
//!
//! Must not know what else can go wrong with a gateway.

use std::time::Duration;

use anyhow::ensure;
use domain::lease::RUN_OUT;
use e2e::admin::{Admin, request_id};
use e2e::alerts::Answer;
use e2e::barrage::Barrage;
use e2e::rig::Rig;
use futures::future::join_all;
use nix::sys::signal::Signal;
use runtime::environment::variable;
use tokio::time::Instant;
use wire::proto::gander::admin::v1 as api;

use super::record::{Gateway, Paused, Record, Spread};
use super::{Silence, addresses, assert_refused, unlimited};

/// Trials in `make test`.
const FEW: usize = 20;
/// Trials in `make revocation` where TRIALS says nothing else.
const MANY: usize = 1_000;
/// One trial with a gateway that is paused for so many without.
const TO_ONE_PAUSED: usize = 20;
/// Requests a second that each gateway has to answer.
const RATE: f64 = 500.0;
const CONNECTIONS: usize = 8;
/// Answers of each gateway in a trial, before the call and after it.
const ANSWERS: u64 = 30;
/// Requests to a gateway that stands still.
const WAITING: usize = 20;

/// How a token dies.
#[derive(Clone, Copy, Debug)]
enum Death {
    Deleted,
    Replaced,
    ServiceDeleted,
    TeamDeleted,
}

const DEATHS: [Death; 4] =
    [Death::Deleted, Death::Replaced, Death::ServiceDeleted, Death::TeamDeleted];

/// A token that will die.
struct Condemned {
    token: api::Token,
    death: Death,
}

impl Condemned {
    async fn make(admin: &Admin, n: usize) -> anyhow::Result<Self> {
        let (death, name) = (DEATHS[n % DEATHS.len()], format!("trial {n}"));
        let target = match death {
            Death::Deleted | Death::Replaced => String::new(),
            Death::TeamDeleted => admin.team(&name).await?.name,
            Death::ServiceDeleted => {
                let team = admin.team(&name).await?;
                admin.service(&team, "one", vec![]).await?.name
            }
        };
        Ok(Self { token: admin.token(&name, &target).await?, death })
    }

    /// Makes the call; says how long it took.
    async fn kill(&self, admin: &Admin) -> anyhow::Result<Duration> {
        let (name, request_id) = (self.token.target.clone(), request_id());
        let called = Instant::now();
        match self.death {
            Death::Deleted => admin.delete_token(&self.token).await?,
            Death::Replaced => drop(admin.replace_secret(&self.token).await?),
            Death::ServiceDeleted => {
                let request = api::DeleteServiceRequest { name, request_id, ..Default::default() };
                admin.catalog().delete_service(request).await?;
            }
            Death::TeamDeleted => {
                let request = api::DeleteTeamRequest { name, request_id, ..Default::default() };
                admin.catalog().delete_team(request).await?;
            }
        }
        Ok(called.elapsed())
    }
}

#[expect(clippy::print_stdout, reason = "how far it has come is told")]
async fn under_load(trials: usize) -> anyhow::Result<(Vec<Duration>, Vec<Gateway>)> {
    let mut rig = Rig::planned(unlimited(2)).await?;
    let admin = rig.first_admin().await?;
    let mut next = Condemned::make(&admin, 0).await?;
    let barrage = Barrage::start(&addresses(&mut rig)?, CONNECTIONS);
    let mut took = Vec::new();
    let begun = Instant::now();
    for n in 1..=trials {
        let number = barrage.aim(&next.token.secret);
        barrage.answered(false, ANSWERS).await?;
        took.push(next.kill(&admin).await?);
        barrage.dead(number);
        barrage.answered(true, ANSWERS).await?;
        next = Condemned::make(&admin, n).await?;
        if n % 100 == 0 {
            println!("{n} trials in {} s", begun.elapsed().as_secs());
        }
    }
    let lasted = begun.elapsed();
    let gateways = barrage.end();
    Ok((took, gateways.iter().map(|counts| Gateway::of(counts, lasted)).collect()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_no_gateway_lets_a_revoked_token_in() -> anyhow::Result<()> {
    let (took, gateways) = under_load(FEW).await?;
    let mut record = Record { trials: FEW, took: Spread::of(&took), ..Record::default() };
    record.gateways = gateways;
    println!("{}", record.lines());
    record.holds()
}

/// One gateway is paused: from the call, and from its last renewal, to the return; and how many that
/// it found waiting were let in.
async fn paused(trials: usize) -> anyhow::Result<Paused> {
    let stage = Silence::of(Rig::planned(unlimited(2)).await?).await?;
    let (mut took, mut after, mut accepted, mut requests) = (vec![], vec![], 0, 0);
    for n in 0..trials {
        let condemned = Condemned::make(&stage.admin, n).await?;
        stage.signal(Signal::SIGSTOP)?;
        took.push(condemned.kill(&stage.admin).await?);
        after.push(stage.since_the_last_renewal().await?);
        let sends = (0..WAITING).map(async |_| stage.send(1, &condemned.token).await);
        let mut waiting = Box::pin(join_all(sends));
        let _ = tokio::time::timeout(Duration::from_millis(100), &mut waiting).await;
        stage.signal(Signal::SIGCONT)?;
        let answers = waiting.await.into_iter().collect::<anyhow::Result<Vec<Answer>>>()?;
        requests += answers.len();
        accepted += answers.iter().filter(|answer| answer.status.is_success()).count();
        answers.iter().filter(|answer| !answer.status.is_success()).for_each(assert_refused);
        stage.serves_again().await?;
    }
    Ok(Paused { trials, requests, accepted, took: Spread::of(&took), after: Spread::of(&after) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes, and it writes a record: `make revocation`"]
async fn the_trials() -> anyhow::Result<()> {
    let trials = variable("TRIALS").map_or(Ok(MANY), |trials| trials.parse())?;
    let mut record = Record::here()?;
    let (took, gateways) = under_load(trials).await?;
    (record.trials, record.took, record.gateways) = (trials, Spread::of(&took), gateways);
    record.paused = paused(trials.div_ceil(TO_ONE_PAUSED)).await?;
    println!("{}", record.lines());
    record.write()?;
    record.holds()?;
    let rate = record.gateways.iter().map(|gateway| gateway.rate).fold(f64::MAX, f64::min);
    ensure!(rate >= RATE, "only {rate:.0} requests a second at a gateway");
    let earliest = Duration::from_millis(record.paused.after.least_ms);
    ensure!(earliest >= RUN_OUT - super::SLEWED, "a call returned {earliest:?} after a renewal");
    Ok(())
}
