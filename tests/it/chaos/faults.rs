//! The faults: each with its name, where it can be, and what it does.
//!
//! A fault strikes while requests are under way, lasts as long as it is drawn to, and is over once
//! work was acknowledged again. Must not know what is judged.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use e2e::admin::payload;
use e2e::load::Kind;
use e2e::outage::Of;
use e2e::power::Fate;
use e2e::proxy::{Mode, Proxy};
use e2e::rig::Role;
use e2e::wait::{back_again, eventually};
use e2e::{alerts, cluster, disk::SmallDisk, process};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::turn::Turn;

/// The fewest requests under way when a fault strikes.
const UNDER_WAY: usize = 8;
/// Acknowledged alerts that show that it is over.
const WORK: usize = 20;
/// Answers while nothing can be stored.
const REFUSALS: usize = 32;
/// Commands that are acknowledged on a full disk, after which admin is taken to go on there.
const ROOM_FOR: usize = 100;
/// Files that a process may have open, and connections to it then.
const FEW: usize = 64;
/// How long a fault lasts: nobody need notice it, or leases run out and others take over.
const LASTS: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(500), Duration::from_millis(2_500)];

/// An installation that faults need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Two gateways and two workers behind proxies.
    Whole,
    /// The store of nats-server and the journal on small disks.
    Disks,
    /// The store of nats-server and what admin keeps on disks that can lose power.
    Power,
    /// Three nats-servers.
    Cluster,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Gateway,
    Worker,
    Admin,
    Nats,
}

/// What is between two parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    GatewaysNats,
    WorkersNats,
    AdminNats,
    ClientsGateways,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    Nats,
    Journal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Kill(Part),
    Pause(Part),
    /// Stopped in order and started again.
    Replace(Part),
    /// Restarted where it may have few files open, while many connect to it.
    FewFiles(Part),
    /// One worker less, until the other has taken over, and back.
    TakeOver,
    SlowBroker,
    Reset(Link),
    BlackHole(Link),
    FullDisk(Store),
    ReadOnly(Store),
    PowerLoss(Of),
    KillServer,
    PauseServer,
}

/// A fault by its name.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub name: &'static str,
    pub place: Place,
    /// How many of it come with one of the others.
    pub weight: usize,
    pub fault: Fault,
}

const fn row(name: &'static str, place: Place, weight: usize, fault: Fault) -> Row {
    Row { name, place, weight, fault }
}

/// All.
pub const TABLE: [Row; 32] = [
    row("kill-gateway", Place::Whole, 3, Fault::Kill(Part::Gateway)),
    row("kill-worker", Place::Whole, 3, Fault::Kill(Part::Worker)),
    row("kill-admin", Place::Whole, 3, Fault::Kill(Part::Admin)),
    row("kill-nats", Place::Whole, 3, Fault::Kill(Part::Nats)),
    row("pause-gateway", Place::Whole, 1, Fault::Pause(Part::Gateway)),
    row("pause-worker", Place::Whole, 1, Fault::Pause(Part::Worker)),
    row("pause-admin", Place::Whole, 1, Fault::Pause(Part::Admin)),
    row("pause-nats", Place::Whole, 1, Fault::Pause(Part::Nats)),
    row("replace-gateway", Place::Whole, 1, Fault::Replace(Part::Gateway)),
    row("replace-worker", Place::Whole, 1, Fault::Replace(Part::Worker)),
    row("take-over", Place::Whole, 1, Fault::TakeOver),
    row("few-files-gateway", Place::Whole, 1, Fault::FewFiles(Part::Gateway)),
    row("few-files-worker", Place::Whole, 1, Fault::FewFiles(Part::Worker)),
    row("few-files-admin", Place::Whole, 1, Fault::FewFiles(Part::Admin)),
    row("slow-broker", Place::Whole, 1, Fault::SlowBroker),
    row("reset-gateways-nats", Place::Whole, 1, Fault::Reset(Link::GatewaysNats)),
    row("reset-workers-nats", Place::Whole, 1, Fault::Reset(Link::WorkersNats)),
    row("reset-admin-nats", Place::Whole, 1, Fault::Reset(Link::AdminNats)),
    row("reset-clients-gateways", Place::Whole, 1, Fault::Reset(Link::ClientsGateways)),
    row("black-hole-gateways-nats", Place::Whole, 1, Fault::BlackHole(Link::GatewaysNats)),
    row("black-hole-workers-nats", Place::Whole, 1, Fault::BlackHole(Link::WorkersNats)),
    row("black-hole-admin-nats", Place::Whole, 1, Fault::BlackHole(Link::AdminNats)),
    row("black-hole-clients-gateways", Place::Whole, 1, Fault::BlackHole(Link::ClientsGateways)),
    row("full-disk-nats", Place::Disks, 1, Fault::FullDisk(Store::Nats)),
    row("full-disk-journal", Place::Disks, 1, Fault::FullDisk(Store::Journal)),
    row("read-only-nats", Place::Disks, 1, Fault::ReadOnly(Store::Nats)),
    row("read-only-journal", Place::Disks, 1, Fault::ReadOnly(Store::Journal)),
    row("power-nats", Place::Power, 1, Fault::PowerLoss(Of::Nats)),
    row("power-journal", Place::Power, 1, Fault::PowerLoss(Of::Journal)),
    row("power-whole", Place::Power, 1, Fault::PowerLoss(Of::Whole)),
    row("kill-server-of-three", Place::Cluster, 1, Fault::KillServer),
    row("pause-server-of-three", Place::Cluster, 1, Fault::PauseServer),
];

impl Turn {
    /// Lets a fault strike, and waits until it is over.
    pub async fn strike(&mut self, row: Row) -> anyhow::Result<()> {
        self.under_way(row.fault).await?;
        match row.fault {
            Fault::Kill(part) => self.kill(part).await?,
            Fault::Pause(part) => self.pause(part).await?,
            Fault::Replace(part) => {
                let role = self.role(part).context("a role is replaced")?;
                self.stage.terminate(role).await?;
                self.restart(role).await?;
            }
            Fault::FewFiles(part) => self.few_files(part).await?,
            Fault::TakeOver => self.take_over().await?,
            Fault::SlowBroker => self.slow_broker().await?,
            Fault::Reset(link) => self.proxies(link)?.into_iter().for_each(Proxy::reset),
            Fault::BlackHole(link) => self.black_hole(link).await?,
            Fault::FullDisk(store) => self.full_disk(store).await?,
            Fault::ReadOnly(store) => self.read_only(store).await?,
            Fault::PowerLoss(of) => self.power_loss(of).await?,
            Fault::KillServer => self.kill_server().await?,
            Fault::PauseServer => self.pause_server().await?,
        }
        self.work(&format!("work after {}", row.name)).await
    }

    async fn work(&self, what: &str) -> anyhow::Result<()> {
        self.stage.progress_of(WORK, what).await
    }

    async fn under_way(&self, fault: Fault) -> anyhow::Result<()> {
        let kind = match fault {
            Fault::Kill(Part::Admin) | Fault::Pause(Part::Admin) => Kind::Commands,
            Fault::PowerLoss(Of::Journal) => Kind::Commands,
            Fault::PowerLoss(Of::Nats | Of::Whole) => Kind::Alerts,
            Fault::Kill(_) | Fault::Pause(_) | Fault::Replace(_) | Fault::FewFiles(_) => {
                Kind::Alerts
            }
            Fault::TakeOver | Fault::SlowBroker | Fault::Reset(_) | Fault::BlackHole(_) => {
                Kind::Alerts
            }
            Fault::FullDisk(_) | Fault::ReadOnly(_) | Fault::KillServer | Fault::PauseServer => {
                Kind::Alerts
            }
        };
        eventually("requests under way", async || {
            (self.stage.load.in_flight(kind) >= UNDER_WAY).then_some(())
        })
        .await
    }

    /// One of the roles of a kind; none is nats-server.
    fn role(&mut self, part: Part) -> Option<Role> {
        match part {
            Part::Gateway => Some(Role::Gateway(self.draw.below(self.stage.rig.gateways.len()))),
            Part::Worker => Some(Role::Worker(self.draw.below(self.stage.rig.workers.len()))),
            Part::Admin => Some(Role::Admin),
            Part::Nats => None,
        }
    }

    fn lasts(&mut self) -> Duration {
        LASTS[self.draw.below(LASTS.len())]
    }

    async fn restart(&mut self, role: Role) -> anyhow::Result<()> {
        self.stage.rig.restart(role).await?;
        self.stage.follow_gateways()
    }

    async fn kill(&mut self, part: Part) -> anyhow::Result<()> {
        let Some(role) = self.role(part) else {
            self.stage.rig.nats.kill().await?;
            return back_again(&mut self.stage.rig.nats).await;
        };
        self.stage.rig.kill(role).await?;
        self.restart(role).await
    }

    async fn pause(&mut self, part: Part) -> anyhow::Result<()> {
        let Some(role) = self.role(part) else {
            let pid = self.stage.rig.nats.pid();
            let pid = paused(pid).await?;
            self.refusals().await?;
            return Ok(kill(pid, Signal::SIGCONT)?);
        };
        let pid = self.stage.rig.running(role)?.process.pid()?;
        let pid = paused(u32::try_from(pid.as_raw()).ok()).await?;
        sleep(self.lasts()).await;
        Ok(kill(pid, Signal::SIGCONT)?)
    }

    /// Nothing can be stored just now: waits until clients were told so, and keeps what they were
    /// told.
    async fn refusals(&mut self) -> anyhow::Result<()> {
        let load = &self.stage.load;
        load.watch();
        let enough = async || (load.watched() >= REFUSALS).then_some(());
        eventually("alerts to be refused", enough).await?;
        let seen = load.unwatch();
        self.silent.add(&seen);
        Ok(())
    }

    async fn few_files(&mut self, part: Part) -> anyhow::Result<()> {
        let role = self.role(part).context("a role has few files")?;
        self.stage.rig.kill(role).await?;
        self.stage.rig.run_program(Some(self.with_few_files()?));
        let restarted = self.restart(role).await;
        self.stage.rig.run_program(None);
        restarted?;
        let address = self.stage.rig.running(role)?.address;
        let mut crowd = Vec::new();
        for _ in 0..2 * FEW {
            crowd.push(TcpStream::connect(address).await?);
        }
        let pid = self.stage.rig.running(role)?.process.pid()?;
        eventually("all its files to be open", async || {
            let open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
            (open >= FEW).then_some(())
        })
        .await?;
        drop(crowd);
        // It goes on as it is once they have left.
        self.stage.rig.ready(role).await?;
        self.work("work with few files").await?;
        self.stage.rig.kill(role).await?;
        self.restart(role).await
    }

    fn with_few_files(&self) -> anyhow::Result<PathBuf> {
        let script = self.stage.rig.folder().join("few-files");
        let program = process::program()?;
        let text = format!("#!/bin/sh\nulimit -n {FEW}\nexec {} \"$@\"\n", program.display());
        fs::write(&script, text)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        Ok(script)
    }

    async fn take_over(&mut self) -> anyhow::Result<()> {
        let role = self.role(Part::Worker).context("a worker")?;
        self.stage.rig.kill(role).await?;
        self.stage.owners(1).await?;
        self.work("work with one worker less").await?;
        self.restart(role).await?;
        self.stage.owners(2).await
    }

    fn proxies(&self, link: Link) -> anyhow::Result<Vec<&Proxy>> {
        let links = self.stage.rig.links.as_ref().context("proxies are planned")?;
        Ok(match link {
            Link::GatewaysNats => links.gateways.iter().collect(),
            Link::WorkersNats => vec![&links.workers],
            Link::AdminNats => vec![&links.admin],
            Link::ClientsGateways => links.fronts.iter().collect(),
        })
    }

    fn set(&self, links: &[Link], mode: Mode) -> anyhow::Result<()> {
        for link in links {
            self.proxies(*link)?.into_iter().for_each(|proxy| proxy.set(mode));
        }
        Ok(())
    }

    async fn slow_broker(&mut self) -> anyhow::Result<()> {
        let all = [Link::GatewaysNats, Link::WorkersNats, Link::AdminNats];
        let late = Duration::from_millis(10 + self.draw.below(150) as u64);
        self.set(&all, Mode::Delay(late))?;
        self.work(&format!("work with a broker {late:?} away")).await?;
        self.set(&all, Mode::Pass)
    }

    async fn black_hole(&mut self, link: Link) -> anyhow::Result<()> {
        self.set(&[link], Mode::BlackHole)?;
        match link {
            Link::GatewaysNats => self.refusals().await?,
            Link::WorkersNats | Link::AdminNats | Link::ClientsGateways => {
                sleep(self.lasts()).await;
            }
        }
        self.set(&[link], Mode::Pass)
    }

    fn disk(&self, store: Store) -> anyhow::Result<&SmallDisk> {
        let disks = self.disks.as_ref().context("disks are planned")?;
        Ok(match store {
            Store::Nats => &disks.0,
            Store::Journal => &disks.1,
        })
    }

    async fn full_disk(&mut self, store: Store) -> anyhow::Result<()> {
        self.disk(store)?.fill().await?;
        match store {
            Store::Nats => self.refused().await?,
            Store::Journal => self.admin_ends().await?,
        }
        self.disk(store)?.empty().await?;
        match store {
            Store::Nats => back_again(&mut self.stage.rig.nats).await,
            Store::Journal => self.restart(Role::Admin).await,
        }
    }

    async fn read_only(&mut self, store: Store) -> anyhow::Result<()> {
        match store {
            Store::Nats => self.stage.rig.nats.kill().await?,
            Store::Journal => self.stage.rig.kill(Role::Admin).await?,
        }
        self.disk(store)?.read_only(true).await?;
        match store {
            Store::Nats => {
                // Whether it starts is its own matter.
                let _ = back_again(&mut self.stage.rig.nats).await;
                self.refused().await?;
                self.stage.rig.nats.kill().await?;
            }
            Store::Journal => {
                self.stage.rig.launch(Role::Admin)?;
                self.admin_ends().await?;
            }
        }
        self.disk(store)?.read_only(false).await?;
        match store {
            Store::Nats => back_again(&mut self.stage.rig.nats).await,
            Store::Journal => self.restart(Role::Admin).await,
        }
    }

    /// Waits until an alert is refused, as it must be.
    async fn refused(&mut self) -> anyhow::Result<()> {
        let gateway = self.stage.rig.fronts()?[0];
        let refused = eventually("alerts to be refused", async || {
            let answer = alerts::send(gateway, &self.stage.token, payload("probe", "full")).await;
            answer.ok().filter(|answer| !answer.status.is_success())
        })
        .await?;
        anyhow::ensure!(refused.status.as_u16() == 503, "refused with {:?}", refused.status);
        Ok(())
    }

    /// Admin ends on a disk that is full, unless there is room in its journal for a while, where other
    /// records were.
    async fn admin_ends(&mut self) -> anyhow::Result<()> {
        let (load, before) = (&self.stage.load, self.stage.load.acked().1);
        let goes_on = eventually("admin to end or to go on", async || {
            (load.acked().1 >= before + ROOM_FOR).then_some(())
        });
        let process = &mut self.stage.rig.running(Role::Admin)?.process;
        let ended = tokio::select! {
            code = process.ended() => Some(code?),
            on = goes_on => on.map(|()| None)?,
        };
        match ended {
            Some(code) => {
                anyhow::ensure!(code.is_some_and(|code| code > 0), "{code:?}: {}", process.log());
                Ok(())
            }
            None => self.stage.rig.kill(Role::Admin).await,
        }
    }

    async fn power_loss(&mut self, of: Of) -> anyhow::Result<()> {
        let outage = self.outage.as_ref().context("power is planned")?;
        let fate = Fate::drawn(&mut self.draw);
        let loss = outage.lose(&mut self.stage.rig, of, fate, &mut self.draw).await?;
        self.unsynced = self.unsynced.and(loss);
        outage.start(&mut self.stage.rig, of).await?;
        self.stage.follow_gateways()
    }

    async fn kill_server(&mut self) -> anyhow::Result<()> {
        let name = cluster::name(self.draw.below(cluster::SERVERS));
        self.stage.rig.server(&name).context("a server")?.kill().await?;
        self.work("work with two of three servers").await?;
        back_again(self.stage.rig.server(&name).context("a server")?).await?;
        cluster::caught_up(&self.stage.rig.nats_url()).await
    }

    async fn pause_server(&mut self) -> anyhow::Result<()> {
        let name = cluster::name(self.draw.below(cluster::SERVERS));
        let pid = self.stage.rig.server(&name).context("a server")?.pid();
        let pid = paused(pid).await?;
        let worked = self.work("work with two of three servers").await;
        kill(pid, Signal::SIGCONT)?;
        worked?;
        cluster::caught_up(&self.stage.rig.nats_url()).await
    }
}

/// Stops a process, and waits until it stands still.
async fn paused(pid: Option<u32>) -> anyhow::Result<Pid> {
    let pid = pid.and_then(|pid| i32::try_from(pid).ok()).context("it has ended")?;
    kill(Pid::from_raw(pid), Signal::SIGSTOP)?;
    eventually("a process to stand still", async || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.contains("\nState:\tT").then_some(())
    })
    .await?;
    Ok(Pid::from_raw(pid))
}
