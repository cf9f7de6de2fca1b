//! Random schedules: orders to workers, what gateways are sent, crashes, faults and changes, in any
//! order.
//!
//! Must not know what must hold.

use std::time::Duration;

use proptest::prelude::*;

use super::broker::{Fault, Model};
use super::gateway::{Gateway, Told};
use super::worker::{Order, Running, Worker};
use super::world::{Change, Recipe, Say, World};
use crate::fold::PartitionState;

const WORKERS: usize = 3;
const GATEWAYS: usize = 2;
/// No step of a worker is its last.
const IMMORTAL: u64 = u64::MAX;
/// Longer than all that any worker has been told takes.
const QUIET: Duration = Duration::from_secs(3_600);

/// One step of a schedule.
#[derive(Clone, Debug)]
pub enum Step {
    /// A gateway is sent something by clients that wait so many milliseconds.
    Send(usize, Vec<Recipe>, u64),
    /// A message comes in with a record that cannot be read.
    Broken(Recipe),
    /// A message comes in that cannot be read.
    Garbage,
    /// The configuration changes.
    Change(Change),
    /// A worker follows the configuration.
    Follow(usize),
    /// A gateway follows the configuration.
    FollowGateway(usize),
    /// A worker is told to do something.
    Order(usize, Order),
    /// A worker dies, and another takes its place.
    Crash(usize),
    /// A gateway dies, and another takes its place.
    CrashGateway(usize),
    /// A batch or message that nobody knows of arrives.
    Land(usize),
    /// The server that is read from next lacks so many messages.
    Behind(u64),
}

/// A schedule.
#[derive(Clone, Debug)]
pub struct Schedule {
    seed: u64,
    /// The most messages of a commit.
    messages: usize,
    faults: Vec<Fault>,
    read_faults: Vec<bool>,
    /// Each with the milliseconds that pass after it.
    steps: Vec<(Step, u64)>,
}

fn says() -> impl Strategy<Value = Say> {
    let value = || prop::option::of(0..3_u8);
    prop_oneof![
        6 => (value(), value()).prop_map(|(trigger, resolve)| Say::Mapped { trigger, resolve }),
        2 => (0..2_u8).prop_map(Say::Note),
        1 => Just(Say::Panic),
    ]
}

fn recipes() -> impl Strategy<Value = Recipe> {
    let after = prop_oneof![Just(-1_i64), Just(0), Just(1), Just(200), Just(400)];
    prop_oneof![
        12 => (0..11_u8, says(), after)
            .prop_map(|(reach, say, after)| Recipe::Alert { reach, say, after }),
        3 => (0..4_usize, 0..5_u8).prop_map(|(back, service)| Recipe::Resolve { back, service }),
        3 => (0..4_usize, 0..5_u8)
            .prop_map(|(back, service)| Recipe::Acknowledge { back, service }),
    ]
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => (0..5_u8).prop_map(Change::Delete),
        4 => (0..5_u8, any::<bool>()).prop_map(|(n, disabled)| Change::Disable(n, disabled)),
        4 => (0..5_u8, -300..300_i64, 1..900_i64, any::<bool>())
            .prop_map(|(n, ago, lasts, mapped)| Change::Maintain(n, ago, lasts, mapped)),
        2 => (0..5_u8).prop_map(Change::EndMaintenance),
        1 => (0..3_u8).prop_map(Change::DeleteTeam),
    ]
}

/// How long clients wait: mostly as long as it takes.
fn patience() -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(100_000_u64), 1 => 1..40_u64]
}

fn steps(changing: bool) -> impl Strategy<Value = Step> {
    let order = |order: BoxedStrategy<Order>| {
        (0..WORKERS, order).prop_map(|(worker, order)| Step::Order(worker, order)).boxed()
    };
    let change = move |change| if changing { Step::Change(change) } else { Step::Garbage };
    prop_oneof![
        8 => (0..GATEWAYS, prop::collection::vec(recipes(), 1..5), patience())
            .prop_map(|(gateway, recipes, patience)| Step::Send(gateway, recipes, patience)),
        1 => prop::option::of(0..2_u32)
            .prop_map(|partition| Step::Broken(Recipe::Broken { partition })),
        1 => Just(Step::Garbage),
        1 => (0..GATEWAYS).prop_map(Step::FollowGateway),
        1 => (0..GATEWAYS).prop_map(Step::CrashGateway),
        3 => changes().prop_map(change),
        2 => (0..WORKERS).prop_map(Step::Follow),
        6 => order((0..2_u32).prop_map(Order::Take).boxed()),
        1 => order((0..2_u32).prop_map(Order::Release).boxed()),
        10 => order((1..4_usize).prop_map(Order::Read).boxed()),
        2 => order(Just(Order::Idle).boxed()),
        2 => order(Just(Order::Purge).boxed()),
        2 => (0..WORKERS).prop_map(Step::Crash),
        2 => any::<u8>().prop_map(|n| Step::Land(n.into())),
        3 => (1..16_u64).prop_map(Step::Behind),
    ]
}

fn faults() -> impl Strategy<Value = Fault> {
    prop_oneof![
        6 => Just(Fault::None),
        3 => Just(Fault::AckLost),
        2 => Just(Fault::Lost),
        3 => Just(Fault::Late),
        1 => Just(Fault::Conflict),
        1 => Just(Fault::Unreachable),
        1 => Just(Fault::Refused),
    ]
}

/// Any schedule, with or without changes of the configuration.
pub fn schedules(changing: bool) -> impl Strategy<Value = Schedule> {
    let pauses = prop_oneof![4 => Just(0), 6 => 1..20_u64, 1 => 50..400_u64];
    (
        any::<u64>(),
        prop_oneof![7..14_usize, Just(1_000)],
        prop::collection::vec(faults(), 0..24),
        prop::collection::vec(prop::bool::weighted(0.2), 0..16),
        prop::collection::vec((steps(changing), pauses), 1..60),
    )
        .prop_map(|(seed, messages, faults, read_faults, steps)| Schedule {
            seed,
            messages,
            faults,
            read_faults,
            steps,
        })
}

/// What a schedule has led to.
pub struct Run {
    /// The broker.
    pub model: Model,
    /// The services.
    pub world: World,
    /// The partitions as the last worker has them.
    pub reached: Vec<PartitionState>,
    /// What the clients of gateways were told.
    pub told: Told,
}

/// Runs something in a time that passes only while all wait.
pub fn in_model_time<T>(run: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(run)
}

impl Schedule {
    /// Takes every step, then lets one worker finish while those before still believe that they
    /// own something.
    pub async fn run(self) -> Run {
        let model = Model::new(self.seed);
        model.state().faults = self.faults.into();
        model.state().read_faults = self.read_faults.into();
        let mut world = World::new().tracked();
        let start = |world: &World, n: u8| Worker::start(&model, world, n, IMMORTAL, self.messages);
        let mut workers: Vec<_> = (1..=3).map(|n| Running::start(start(&world, n))).collect();
        let mut born = 3;
        let told = Told::default();
        let gateway = |world: &World| Gateway::start(&model, world, &told);
        let mut gateways: Vec<_> = (0..GATEWAYS).map(|_| gateway(&world)).collect();
        for (step, pause) in self.steps {
            match step {
                Step::Send(n, recipes, patience) => {
                    gateways[n].take(world.records(&recipes), Duration::from_millis(patience));
                }
                Step::Broken(recipe) => {
                    model.append(world.batch(&[recipe]));
                }
                Step::FollowGateway(n) => gateways[n].follow(&world),
                Step::CrashGateway(n) => {
                    std::mem::replace(&mut gateways[n], gateway(&world)).kill();
                }
                Step::Garbage => {
                    model.append(bytes::Bytes::from_static(b"\xff\xff"));
                }
                Step::Change(change) => world.change(change),
                Step::Follow(n) => workers[n].order(Order::Follow(world.clone())),
                Step::Order(n, order) => workers[n].order(order),
                Step::Crash(n) => {
                    born += 1;
                    let next = Running::start(start(&world, born));
                    std::mem::replace(&mut workers[n], next).kill().await;
                }
                Step::Land(which) => model.land(which),
                Step::Behind(by) => model.state().behind = by,
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        tokio::time::sleep(QUIET).await;
        model.heal();
        for gateway in &gateways {
            gateway.works(&mut world).await;
        }
        let mut last = start(&world, born + 1);
        last.finish(&world).await.expect("nothing was skipped");
        model.land_all();
        last.finish(&world).await.expect("nothing was skipped");
        for worker in &workers {
            worker.order(Order::Follow(world.clone()));
            worker.order(Order::Read(64));
            worker.order(Order::Idle);
        }
        for worker in workers {
            worker.end().await.expect("nothing was skipped");
        }
        last.finish(&world).await.expect("nothing was skipped");
        let reached = last.owner.owned.into_values().map(|owned| owned.state).collect();
        Run { model, world, reached, told }
    }
}
