//! Commands of administrators, each durable and known to every gateway before it is answered.
//!
//! Must not know how they are stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use e2e::admin::Admin;
use e2e::rig::{Plan, Rig};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::progress::Progress;

/// How long each number of clients is measured.
const LASTS: Duration = Duration::from_secs(8);
/// How many clients ask at a time, each over a connection of its own.
const CLIENTS: [usize; 2] = [1, 64];

/// Commands by so many clients.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// How many clients.
    pub clients: usize,
    /// Commands a second.
    pub per_second: f64,
}

/// A row for each number of clients.
pub async fn rows(progress: &Progress) -> anyhow::Result<Vec<Row>> {
    let plan = Plan { workers: 0, log: "warn".to_owned(), ..Plan::default() };
    let rig = Rig::planned(plan).await?;
    let first = rig.first_admin().await?;
    let made = Arc::new(AtomicUsize::new(0));
    let mut rows = Vec::new();
    for clients in CLIENTS {
        progress.say(&format!("admin: {clients} clients"));
        let mut working = JoinSet::new();
        let until = Instant::now() + LASTS;
        for _ in 0..clients {
            let admin = Admin::connect(rig.grpc(), &first.credential).await?;
            working.spawn(work(admin, Arc::clone(&made), until));
        }
        let (before, at) = (made.load(Ordering::Relaxed), Instant::now());
        while let Some(ended) = working.join_next().await {
            ended??;
        }
        let done = made.load(Ordering::Relaxed) - before;
        rows.push(Row { clients, per_second: done as f64 / at.elapsed().as_secs_f64() });
    }
    Ok(rows)
}

/// Makes teams, one after the other.
async fn work(admin: Admin, made: Arc<AtomicUsize>, until: Instant) -> anyhow::Result<()> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    while Instant::now() < until {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        admin.team(&format!("team {number}")).await?;
        made.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
