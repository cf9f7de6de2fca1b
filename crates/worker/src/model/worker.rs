//! A worker as the loop drives it, but by orders: it does each, then folds what waits.
//!
//! Must not know what others do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::id::InstanceId;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::Partition;

use super::broker::{Connection, Model};
use super::world::{self, World};
use crate::commit::Committed;
use crate::owner::Owner;
use crate::takeover;

/// What a worker is told to do.
#[derive(Clone, Debug)]
pub enum Order {
    /// Take a partition.
    Take(u32),
    /// Let a partition go.
    Release(u32),
    /// Read so many messages.
    Read(usize),
    /// Follow the configuration to its end.
    Follow(World),
    /// Store the places of partitions that only passed over messages.
    Idle,
    /// Remove the input that is done.
    Purge,
}

/// A worker in the same task as its caller.
pub struct Worker {
    /// What it does with its partitions.
    pub owner: Owner<Connection>,
    model: Model,
    next: Option<u64>,
}

impl Worker {
    /// A worker that sees the configuration as it is, and dies after so many steps.
    pub fn start(model: &Model, world: &World, n: u8, steps: u64, messages: usize) -> Self {
        let me = InstanceId::from_bytes([n; 16]);
        let counter = Arc::new(AtomicU64::new(1));
        let fresh_id = move || {
            let mut id = [n; 16];
            id[..8].copy_from_slice(&counter.fetch_add(1, Ordering::Relaxed).to_be_bytes());
            id
        };
        let connection = model.connect(steps);
        let catalog = world.catalog();
        let (streams, evaluate) = (world::streams(), world::evaluate);
        let fresh_id = Box::new(fresh_id);
        let mut owner = Owner::new(connection, me, streams, evaluate, fresh_id, catalog);
        owner.room.messages = messages;
        // What is lost is known by the broker here, so everything must be tried.
        owner.losses.pause = Duration::ZERO;
        Self { owner, model: model.clone(), next: None }
    }

    /// Does as it is told, then folds.
    pub async fn obey(&mut self, order: Order) -> Result<(), takeover::Error> {
        let hard = CancellationToken::new();
        match order {
            Order::Take(partition) => {
                let partition = Partition(partition);
                if !self.owner.owned.contains_key(&partition) {
                    match self.owner.take(partition).await {
                        Ok(()) => self.next = self.owner.restart(),
                        Err(error) if error.is_transient() => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            Order::Release(partition) => {
                self.owner.owned.remove(&Partition(partition));
            }
            Order::Read(count) => self.read(count),
            Order::Follow(world) => self.follow(&world),
            Order::Idle => {
                let committed = self.owner.commit_idle(&hard).await;
                self.after(committed);
            }
            Order::Purge => self.owner.purge().await,
        }
        let committed = self.owner.fold(&hard).await;
        self.after(committed);
        Ok(())
    }

    fn after(&mut self, committed: Committed) {
        if committed == Committed::FenceLost {
            self.next = self.owner.restart();
        }
    }

    fn read(&mut self, count: usize) {
        for _ in 0..count {
            let message = self.next.and_then(|from| self.model.input(from));
            if let Some(message) = message.filter(|_| self.owner.has_room()) {
                self.next = Some(message.sequence + 1);
                self.owner.push(&message);
            }
        }
    }

    fn follow(&mut self, world: &World) {
        for (sequence, snapshot) in (1..).zip(&world.control) {
            if sequence > self.owner.catalog.sequence {
                self.owner.apply(sequence, snapshot);
            }
        }
    }

    /// Takes all partitions, however often that takes, and does all there is to do.
    pub async fn finish(&mut self, world: &World) -> Result<(), takeover::Error> {
        self.obey(Order::Follow(world.clone())).await?;
        loop {
            for partition in 0..world::PARTITIONS {
                self.obey(Order::Take(partition)).await?;
            }
            while self.next.is_some_and(|from| self.model.input(from).is_some()) {
                self.obey(Order::Read(8)).await?;
            }
            while self.owner.has_more() {
                self.obey(Order::Read(0)).await?;
            }
            self.obey(Order::Idle).await?;
            if self.owner.owned.len() == usize::try_from(world::PARTITIONS).unwrap() {
                return Ok(());
            }
        }
    }
}

/// A worker that runs by itself.
pub struct Running {
    orders: mpsc::UnboundedSender<Order>,
    task: JoinHandle<Result<(), takeover::Error>>,
}

impl Running {
    /// Starts it.
    pub fn start(mut worker: Worker) -> Self {
        let (orders, mut received) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            while let Some(order) = received.recv().await {
                worker.obey(order).await?;
            }
            Ok(())
        });
        Self { orders, task }
    }

    /// Orders it to do something after all that it was told before.
    pub fn order(&self, order: Order) {
        let _ = self.orders.send(order);
    }

    /// Kills it where it is; what it had in memory is gone.
    pub async fn kill(self) {
        if self.task.is_finished() {
            self.end().await.expect("nothing was skipped");
        } else {
            self.task.abort();
        }
    }

    /// Lets it do all that it was told.
    pub async fn end(self) -> Result<(), takeover::Error> {
        drop(self.orders);
        self.task.await.expect("a worker does not panic")
    }
}
