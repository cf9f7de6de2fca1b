//! An installation under load, for tests that break something: they break it, wait for work, and in
//! the end the ledger is judged.
//!
//! Must not know what is broken.

use std::collections::BTreeSet;

use anyhow::Context;
use async_nats::jetstream::stream::Config;
use nix::sys::signal::Signal;
use tokio::time::timeout;
use wire::stored::worker::Checkpoint;

use crate::admin::{Admin, filter};
use crate::events::{connect, incident_events, stored};
use crate::ledger::{Ledger, fact};
use crate::load::{Load, Mix, Recorder};
use crate::rig::{Plan, Rig, Role};
use crate::wait::{PATIENCE, eventually};

const CLIENTS: usize = 16;
const TEAMS: usize = 4;
/// Clients that delete tokens.
const REVOKING: usize = 2;
/// Acknowledged alerts that count as work.
const PROGRESS: usize = 100;
const PARTITIONS: usize = 16;

/// An installation at work.
#[derive(Debug)]
pub struct Stage {
    /// Its processes.
    pub rig: Rig,
    /// Its clients.
    pub load: Load,
    /// One of the tokens that are used.
    pub token: String,
    recorder: Recorder,
    admin: Admin,
}

impl Stage {
    /// Starts what is planned, and clients that send alerts and commands.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn start(plan: Plan) -> anyhow::Result<Self> {
        let mut rig = Rig::planned(plan).await?;
        let admin = rig.first_admin().await?;
        let mut tokens = Vec::new();
        for n in 0..TEAMS {
            let team = admin.team(&format!("load {n}")).await?;
            let service = admin.service(&team, "one", vec![filter("status")]).await?;
            tokens.push(admin.token("load", &service.name).await?.secret);
        }
        if rig.has_peers() {
            keep_alerts(&rig.nats_url()).await?;
        }
        let recorder = Recorder::start(&rig.nats_url()).await?;
        let (fronts, grpc) = (rig.fronts()?, rig.grpc());
        let load = Load::start(fronts, &tokens, CLIENTS, Mix::Resolves, &admin, grpc);
        let token = tokens[0].clone();
        Ok(Self { rig, load, token, recorder, admin })
    }

    /// From here on clients also delete tokens and try them again.
    ///
    /// # Errors
    /// There can be no service for them.
    pub async fn revoke(&mut self) -> anyhow::Result<()> {
        let team = self.admin.team("revoked").await?;
        let service = self.admin.service(&team, "one", vec![filter("status")]).await?;
        self.load.revoke(REVOKING, &service.name, &self.admin, self.rig.grpc());
        Ok(())
    }

    /// Lets the clients know where the gateways are after one was started again.
    ///
    /// # Errors
    /// One is stopped.
    pub fn follow_gateways(&mut self) -> anyhow::Result<()> {
        self.load.follow(self.rig.fronts()?);
        Ok(())
    }

    /// Stops a process in order, starts it again as what the rig runs, and waits for work.
    ///
    /// # Errors
    /// It does not stop in order, or there is no work.
    pub async fn replace(&mut self, role: Role) -> anyhow::Result<()> {
        self.terminate(role).await?;
        self.rig.restart(role).await?;
        self.follow_gateways()?;
        self.progress(&format!("work after {role:?} was replaced")).await
    }

    /// Stops a process in order.
    ///
    /// # Errors
    /// It does not stop in order.
    pub async fn terminate(&mut self, role: Role) -> anyhow::Result<()> {
        let process = &mut self.rig.running(role)?.process;
        process.signal(Signal::SIGTERM)?;
        let ended = timeout(PATIENCE, process.ended()).await;
        let code = ended.with_context(|| format!("{role:?} goes on: {}", process.log()))??;
        anyhow::ensure!(code == Some(0), "{role:?} ended with {code:?}: {}", process.log());
        Ok(())
    }

    /// Waits until alerts and a command were acknowledged.
    ///
    /// # Errors
    /// None were.
    pub async fn progress(&self, what: &str) -> anyhow::Result<()> {
        self.progress_of(PROGRESS, what).await
    }

    /// Waits until so many alerts and a command were acknowledged.
    ///
    /// # Errors
    /// None were.
    pub async fn progress_of(&self, count: usize, what: &str) -> anyhow::Result<()> {
        let (alerts, commands) = self.load.acked();
        eventually(what, async || {
            let (now, commands_now) = self.load.acked();
            (now >= alerts + count && commands_now > commands).then_some(())
        })
        .await
    }

    /// Waits until this worker owns every partition, or none.
    ///
    /// # Errors
    /// It does not come to that.
    pub async fn owners(&self, count: usize) -> anyhow::Result<()> {
        let url = self.rig.nats_url();
        eventually(&format!("{count} owners of the partitions"), async || {
            let found = checkpoints(&url).await.ok()?;
            let owners: BTreeSet<_> = found.iter().map(|found| found.owner).collect();
            (found.len() == PARTITIONS && owners.len() == count).then_some(())
        })
        .await
    }

    /// Stops the clients, waits until everything is folded, and gathers what there is.
    ///
    /// # Errors
    /// It does not come to an end, or cannot be read.
    pub async fn settle(self) -> anyhow::Result<(Ledger, Rig)> {
        let Self { rig, load, recorder, admin, token: _ } = self;
        let told = timeout(3 * PATIENCE, load.stop()).await.context("clients go on")?;
        let url = rig.nats_url();
        let folded = eventually("every alert to be folded", async || {
            let found = checkpoints(&url).await.ok()?;
            let slowest = found.iter().map(|found| found.position.sequence).min()?;
            let done = found.len() == PARTITIONS && slowest >= last(&url).await.ok()?;
            (done && recorder.last() >= slowest).then_some(())
        });
        if let Err(error) = folded.await {
            let positions = checkpoints(&url)
                .await
                .map(|found| found.iter().map(|found| found.position.sequence).collect::<Vec<_>>());
            let (last, logs) = (last(&url).await, rig.logs().join("\n"));
            let recorded = (recorder.last(), recorder.stop().await.err());
            anyhow::bail!(
                "{error:#}: positions {positions:?}, the last {last:?}, recorded {recorded:?}\n{logs}"
            );
        }
        let admin = Admin::connect(rig.grpc(), &admin.credential).await?;
        let found = found(&admin, told.facts.keys()).await?;
        let totals = checkpoints(&url).await?.iter().map(|found| found.totals).collect();
        let (stored, events) = (recorder.stop().await?, incident_events(&url).await?);
        Ok((Ledger { told, stored, events, totals, found }, rig))
    }
}

/// Lets nobody purge alerts: with servers of a cluster, workers can go on for longer than the recorder
/// is cut off, and it would miss what was purged.
async fn keep_alerts(url: &str) -> anyhow::Result<()> {
    let nats = connect(url).await?;
    let mut stream = nats.get_stream("GANDER_ALERTS").await?;
    let config = stream.info().await?.config.clone();
    nats.update_stream(Config { deny_purge: true, ..config }).await?;
    Ok(())
}

async fn checkpoints(url: &str) -> anyhow::Result<Vec<Checkpoint>> {
    let found = stored(url, "GANDER_INCIDENTS", "gander.checkpoints.*").await?;
    found.iter().map(|m| Ok(Checkpoint::decode(&m.payload)?)).collect()
}

async fn last(url: &str) -> anyhow::Result<u64> {
    let mut stream = connect(url).await?.get_stream("GANDER_ALERTS").await?;
    Ok(stream.info().await?.state.last_sequence)
}

/// What there is of teams and tokens, and of filters of the services that facts name.
async fn found(admin: &Admin, facts: impl Iterator<Item = &String>) -> anyhow::Result<Vec<String>> {
    let mut found: Vec<_> = admin.teams().await?.iter().map(|name| fact::team(name)).collect();
    found.extend(admin.all_tokens().await?.iter().map(|name| fact::token(name)));
    let services: BTreeSet<&str> =
        facts.filter_map(|fact| fact.split_once(" of ")).map(|(_, service)| service).collect();
    for service in services {
        let filters = admin.filters(service).await?;
        found.extend(filters.iter().map(|name| fact::filter(service, name)));
    }
    Ok(found)
}
