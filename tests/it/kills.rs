//! Real kills under load: nothing acknowledged is lost, nothing is doubled.
//!
//! 3 kills of each process; the variable KILLS sets another number. A kill counts only if at least
//! 8 requests were under way.

use e2e::admin::filter;
use e2e::events::{incident_events, stored};
use e2e::ledger::Ledger;
use e2e::load::{Kind, Load, Recorder};
use e2e::rig::{Plan, Rig, Role};
use e2e::wait::eventually;
use nix::sys::signal::Signal;
use wire::stored::worker::Checkpoint;

/// The fewest requests under way at a kill.
const UNDER_WAY: usize = 8;
const CLIENTS: usize = 16;
/// Acknowledged alerts between two kills, so that each meets a system at work.
const PROGRESS: usize = 100;

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Gateway,
    Worker(usize),
    Admin,
    Nats,
}

pub struct Stage {
    pub rig: Rig,
    pub load: Load,
    recorder: Recorder,
    /// One of the tokens that are used.
    pub token: String,
    admin: e2e::admin::Admin,
}

async fn stage() -> anyhow::Result<Stage> {
    stage_of(Plan { workers: 2, ..Plan::default() }).await
}

pub async fn stage_of(plan: Plan) -> anyhow::Result<Stage> {
    let rig = Rig::planned(plan).await?;
    let admin = rig.first_admin().await?;
    let mut tokens = Vec::new();
    for n in 0..4 {
        let team = admin.team(&format!("load {n}")).await?;
        let service = admin.service(&team, "one", vec![filter("status")]).await?;
        tokens.push(admin.token("load", &service.name).await?.secret);
    }
    let recorder = Recorder::start(&rig.nats_url()).await?;
    let mut rig = rig;
    let load = Load::start(rig.gateway()?, &tokens, CLIENTS, admin.clone(), rig.grpc());
    let token = tokens[0].clone();
    Ok(Stage { rig, load, recorder, token, admin })
}

impl Stage {
    /// Waits for work, kills in the middle of it, starts again.
    async fn kill(&mut self, victim: Victim) -> anyhow::Result<()> {
        let kind = if victim == Victim::Admin { Kind::Commands } else { Kind::Alerts };
        self.progress(&format!("work before killing {victim:?}")).await?;
        eventually("requests under way", async || {
            (self.load.in_flight(kind) >= UNDER_WAY).then_some(())
        })
        .await?;
        match victim {
            Victim::Gateway => self.roll(Role::Gateway(0)).await?,
            Victim::Worker(n) => self.roll(Role::Worker(n)).await?,
            Victim::Admin => self.roll(Role::Admin).await?,
            Victim::Nats => {
                self.rig.nats.kill().await?;
                self.rig.nats.restart().await?;
            }
        }
        self.follow_gateway()
    }

    /// Lets the clients know where the gateway is after it was started again.
    fn follow_gateway(&mut self) -> anyhow::Result<()> {
        let gateway = self.rig.gateway()?;
        *self.load.shared.gateway.lock().expect("no client panics") = gateway;
        Ok(())
    }

    /// Stops a process in order, starts it again as what the rig runs, and waits for work.
    pub async fn replace(&mut self, role: Role) -> anyhow::Result<()> {
        let process = &mut self.rig.running(role)?.process;
        process.signal(Signal::SIGTERM)?;
        let code = process.ended().await?;
        anyhow::ensure!(code == Some(0), "{role:?} ended with {code:?}: {}", process.log());
        self.rig.restart(role).await?;
        self.follow_gateway()?;
        self.progress(&format!("work after {role:?} was replaced")).await
    }

    /// Waits until alerts and a command were acknowledged.
    pub async fn progress(&self, what: &str) -> anyhow::Result<()> {
        let (alerts, commands) = self.load.acked();
        eventually(what, async || {
            let (now, commands_now) = self.load.acked();
            (now >= alerts + PROGRESS && commands_now > commands).then_some(())
        })
        .await
    }

    pub async fn roll(&mut self, role: Role) -> anyhow::Result<()> {
        self.rig.kill(role).await?;
        self.rig.restart(role).await
    }

    /// Stops the clients, waits until everything is folded, and gathers what there is.
    pub async fn settle(self) -> anyhow::Result<(Ledger, Rig)> {
        let Self { rig, load, recorder, admin, token: _ } = self;
        let (acked, acked_teams) = load.stop().await;
        let url = rig.nats_url();
        eventually("every alert to be folded", async || {
            let positions = positions(&url).await.ok()?;
            let slowest = positions.iter().min().copied().filter(|_| positions.len() == 16)?;
            (slowest >= last(&url).await.ok()? && recorder.last() >= slowest).then_some(())
        })
        .await?;
        let admin = e2e::admin::Admin::connect(rig.grpc(), &admin.credential).await?;
        let ledger = Ledger {
            acked,
            acked_teams,
            stored: recorder.stop().await?,
            events: incident_events(&url).await?,
            teams: teams(&admin).await?,
        };
        Ok((ledger, rig))
    }
}

async fn positions(url: &str) -> anyhow::Result<Vec<u64>> {
    let found = stored(url, "GANDER_INCIDENTS", "gander.checkpoints.*").await?;
    found.iter().map(|m| Ok(Checkpoint::decode(&m.payload)?.position.sequence)).collect()
}

async fn last(url: &str) -> anyhow::Result<u64> {
    let mut stream = e2e::events::connect(url).await?.get_stream("GANDER_ALERTS").await?;
    Ok(stream.info().await?.state.last_sequence)
}

pub async fn teams(admin: &e2e::admin::Admin) -> anyhow::Result<Vec<String>> {
    use wire::proto::gander::admin::v1::ListTeamsRequest;
    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListTeamsRequest { page_size: 1_000, page_token };
        let page = admin.catalog().list_teams(request).await?.into_inner();
        names.extend(page.teams.into_iter().map(|team| team.display_name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(names);
        }
    }
}

fn kills() -> anyhow::Result<usize> {
    Ok(runtime::environment::variable("KILLS").map_or(Ok(3), |text| text.parse())?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_or_doubled_by_kills() -> anyhow::Result<()> {
    let mut stage = stage().await?;
    let kills = kills()?;
    for round in 0..kills {
        for victim in [Victim::Gateway, Victim::Worker(round % 2), Victim::Admin, Victim::Nats] {
            stage.kill(victim).await?;
            let (alerts, commands) = stage.load.acked();
            println!(
                "{}/{kills} {victim:?} killed: {alerts} alerts, {commands} commands acked",
                round + 1
            );
        }
    }
    let (ledger, rig) = stage.settle().await?;
    println!(
        "{} kills, {} alerts acked, {} stored, {} events, {} commands acked",
        4 * kills,
        ledger.acked.len(),
        ledger.stored.len(),
        ledger.events.len(),
        ledger.acked_teams.len(),
    );
    assert_eq!(ledger.violations(), Vec::<String>::new());
    drop(rig);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_judge_notices_a_lost_alert_and_a_doubled_incident() -> anyhow::Result<()> {
    let stage = stage().await?;
    eventually("some alerts", async || (stage.load.acked().0 >= PROGRESS).then_some(())).await?;
    let (ledger, rig) = stage.settle().await?;
    assert_eq!(ledger.violations(), Vec::<String>::new());

    let mut lost = ledger.clone();
    let id = lost.acked.first().cloned().unwrap_or_default();
    lost.stored.remove(&id);
    assert!(lost.violations().contains(&format!("acked alert lost: {id}")));

    let mut doubled = ledger.clone();
    let mut twin = doubled.events[0].clone();
    let twin_incident = twin.incident.get_or_insert_default();
    let episode = twin_incident.mapped_value.clone();
    "another".clone_into(&mut twin_incident.id);
    "another".clone_into(&mut twin.id);
    doubled.events.push(twin);
    assert!(doubled.violations().contains(&format!("2 incidents for {episode}")));

    let mut forgotten = ledger.clone();
    forgotten.teams.retain(|team| Some(team) != ledger.acked_teams.first());
    assert_eq!(forgotten.violations().len(), 1);
    drop(rig);
    Ok(())
}
