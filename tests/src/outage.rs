//! Power that is lost under a rig: for nats-server, for admin, or for the whole machine.
//!
//! Must not know who works with it meanwhile.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::timeout;

use crate::dice::Dice;
use crate::power::{Fate, Loss, Names, PowerDisk};
use crate::rig::{Plan, Rig, Role};

/// The changes of a disk under load in about a second, at most.
const STORE_CHANGES: usize = 1_000;
const DATA_CHANGES: usize = 200;
/// Where a disk has less to do, power is lost all the same.
const LONGEST: Duration = Duration::from_secs(2);

/// Who loses power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// nats-server and its store.
    Nats,
    /// Admin and its journal.
    Journal,
    /// Every process and both disks.
    Whole,
}

/// The disks of a rig that can lose power.
#[derive(Debug)]
pub struct Outage {
    store: PowerDisk,
    data: PowerDisk,
}

impl Outage {
    /// Makes the disks. None where there is no /dev/fuse, or this machine does not let us mount.
    ///
    /// # Errors
    /// They are mounted and cannot be served.
    pub async fn prepared(names: Names) -> anyhow::Result<Option<Self>> {
        let store = PowerDisk::mounted_at("store", names).await?;
        let data = PowerDisk::mounted_at("data", names).await?;
        Ok(store.zip(data).map(|(store, data)| Self { store, data }))
    }

    /// The plan with these disks.
    #[must_use]
    pub fn plan(&self, plan: Plan) -> Plan {
        let nats_disk = Some(Arc::clone(&self.store.mount));
        Plan { nats_disk, journal_disk: Some(Arc::clone(&self.data.mount)), ..plan }
    }

    /// Power is lost at a point that is drawn, with what was being written; gives what was not
    /// durable. It is back, and nothing has been started.
    ///
    /// # Errors
    /// A process had ended before.
    pub async fn lose(
        &self,
        rig: &mut Rig,
        of: Of,
        fate: Fate,
        dice: &mut Dice,
    ) -> anyhow::Result<Loss> {
        let disks = match of {
            Of::Nats => vec![&self.store],
            Of::Journal => vec![&self.data],
            Of::Whole => vec![&self.store, &self.data],
        };
        self.lost(of, dice).await;
        // From here on none of its disks answers, so nobody is told of anything that they hold.
        disks.iter().for_each(|disk| disk.lose());
        let roles = match of {
            Of::Nats => vec![],
            Of::Journal => vec![Role::Admin],
            Of::Whole => rig.roles(),
        };
        if of != Of::Journal {
            let pid = rig.nats.pid().context("nats-server has ended")?;
            kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGKILL)?;
        }
        for role in &roles {
            rig.running(*role)?.process.signal(Signal::SIGKILL)?;
        }
        disks.iter().for_each(|disk| disk.release());
        if of != Of::Journal {
            rig.nats.kill().await?;
        }
        for role in roles {
            rig.kill(role).await?;
        }
        let losses = disks.iter().map(|disk| disk.restore(fate, dice));
        Ok(losses.fold(Loss::default(), Loss::and))
    }

    async fn lost(&self, of: Of, dice: &mut Dice) {
        let (disk, most) = match of {
            Of::Nats => (&self.store, STORE_CHANGES),
            Of::Journal => (&self.data, DATA_CHANGES),
            Of::Whole if dice.once_in(2) => (&self.data, DATA_CHANGES),
            Of::Whole => (&self.store, STORE_CHANGES),
        };
        disk.lose_after(dice.below(most));
        let _ = timeout(LONGEST, disk.lost()).await;
    }

    /// Starts again what has lost power, all at once.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn start(&self, rig: &mut Rig, of: Of) -> anyhow::Result<()> {
        let roles = match of {
            Of::Nats => vec![],
            Of::Journal => vec![Role::Admin],
            Of::Whole => rig.roles(),
        };
        if of != Of::Journal {
            crate::wait::back_again(&mut rig.nats).await?;
        }
        for role in &roles {
            rig.launch(*role)?;
        }
        for role in roles {
            rig.ready(role).await?;
        }
        Ok(())
    }
}
