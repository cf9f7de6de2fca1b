//! A world around both sides of a lease: a bucket, a wire on which nothing need arrive or arrive in
//! order, clocks of different rates, crashes.
//!
//! It has no rule of its own but what the broker does: what gateways and admin do is `domain::lease`.
//! Nothing is said of pauses: whoever does nothing while time passes stands still. A call returns as soon
//! as it may, since nothing can go wrong before that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::id::InstanceId;
use domain::lease::{Holder, Mark, Renewal, Standing, Watch};
use stateright::{Model, Property};

/// How far the clocks go in a tick: that of admin by this much,
const ADMIN_TICK: Duration = Duration::from_millis(1_200);
/// those of gateways by a sixth less, the slowest that is allowed for, or as far.
const GATEWAY_TICKS: [Duration; 2] = [Duration::from_millis(1_000), Duration::from_millis(1_200)];
/// A clock that is slower than is allowed for.
const TOO_SLOW: Duration = Duration::from_millis(900);

/// What is done wrong, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The lease counts from its acknowledgement.
    CountedFromAck,
    /// The lease counts before it is acknowledged.
    AckNotAwaited,
    /// The broker stores a renewal beside any mark.
    Unconditional,
    /// Admin does not read as far as its mark.
    Unread,
    /// Admin waits a tick less than it should.
    Impatient,
    /// The broker stores a mark after any other.
    LateMark,
    /// The clock of a gateway is slower than is allowed for.
    SlowClock,
    /// The clock is read before the token is looked up.
    ClockFirst,
    /// A gateway renews its lease although it does not act on the change of the mark.
    Behind,
}

/// How far the world goes.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    pub gateways: usize,
    pub changes: u64,
    pub ticks: u32,
    /// Stops and crashes of anybody.
    pub crashes: u8,
    /// Whether admin may give up a mark that is still on its way.
    pub late_marks: bool,
    /// Whether somebody asks gateways to be let in.
    pub asks: bool,
    /// Whether what was sent once may arrive twice.
    pub twins: bool,
    /// The most entries that are stored, one after the other.
    pub writes: u64,
    pub wrong: Option<Wrong>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    tick: u32,
    /// The last change in GANDER_CONTROL.
    head: u64,
    bucket: Bucket,
    wire: BTreeSet<Letter>,
    gateways: Vec<Gateway>,
    admin: Admin,
    crashes: u8,
    asked: Option<Asked>,
    /// Whether somebody was let in by what was dead already.
    let_in: bool,
}

/// Somebody who asks a gateway to be let in, between the two things that it looks at. What it knows
/// does not change meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Asked {
    gateway: usize,
    /// The last change that what was looked up has.
    seen: u64,
    /// Whether there was a lease.
    held: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Bucket {
    last: u64,
    mark: Mark,
    /// By gateway the revision, and what is applied; none once it has left.
    leases: BTreeMap<InstanceId, (u64, Option<u64>)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Gateway {
    id: InstanceId,
    applied: u64,
    holder: Holder,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Admin {
    start: u8,
    watch: Watch,
    mark: Mark,
    call: Call,
    /// The last change whose call has returned.
    returned: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Call {
    #[default]
    None,
    Stored(u64),
    Marking(u64),
    Waiting(u64, Mark),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Letter {
    Renewal(InstanceId, Renewal),
    Renewed(InstanceId, Renewal),
    Mark { start: u8, sequence: u64, before: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Tick,
    Arrive(Letter),
    /// Arrives, and will arrive again.
    Twin(Letter),
    Apply(usize),
    Renew(usize),
    /// Stops in order and starts anew.
    Replace(usize),
    /// Dies and starts anew.
    Crash(usize),
    /// A change is stored, and its mark is sent.
    Commit,
    /// The mark is sent again.
    Mark,
    GiveUpMark,
    Read,
    CrashAdmin,
    /// A gateway looks at the first of two things: what it knows, and its lease.
    Ask(usize),
    /// It looks at the second, and lets in or not.
    Answer,
}

impl Lease {
    fn clock(&self, world: &World, gateway: usize) -> Duration {
        let slow = self.wrong == Some(Wrong::SlowClock);
        if slow { TOO_SLOW * world.tick } else { GATEWAY_TICKS[gateway] * world.tick }
    }

    fn admin_clock(&self, world: &World) -> Duration {
        ADMIN_TICK * world.tick
    }

    fn arrive(&self, world: &mut World, letter: Letter) {
        world.wire.remove(&letter);
        match letter {
            Letter::Renewal(id, renewal) => self.renewal_arrives(world, id, renewal),
            Letter::Renewed(id, renewal) => self.renewed(world, id, renewal),
            Letter::Mark { start, sequence, before } => {
                if world.bucket.mark.revision != before && self.wrong != Some(Wrong::LateMark) {
                    return;
                }
                let mark = Mark { revision: world.bucket.next(), sequence };
                world.bucket.mark = mark;
                let admin = &mut world.admin;
                if let Call::Marking(change) = admin.call
                    && (start, true) == (admin.start, sequence >= change)
                {
                    admin.mark = mark;
                    admin.call = Call::Waiting(change, mark);
                }
            }
        }
    }

    /// The answer comes at once, which lets the gateway serve for longest; a later one is the same
    /// as a gateway that does nothing meanwhile, unless the lease counts from it.
    fn renewal_arrives(&self, world: &mut World, id: InstanceId, renewal: Renewal) {
        let beside = world.bucket.mark.revision == renewal.beside;
        if beside || self.wrong == Some(Wrong::Unconditional) {
            let revision = world.bucket.next();
            world.bucket.leases.insert(id, (revision, Some(renewal.applied)));
            if self.wrong == Some(Wrong::CountedFromAck) {
                world.wire.insert(Letter::Renewed(id, renewal));
            } else {
                self.renewed(world, id, renewal);
            }
        } else if let Some(gateway) = world.gateways.iter_mut().find(|gateway| gateway.id == id) {
            gateway.holder.marked(world.bucket.mark);
        }
    }

    /// What is read of the end of GANDER_CONTROL after that may be of a server that was overtaken:
    /// nothing here rests on it.
    fn renewed(&self, world: &mut World, id: InstanceId, renewal: Renewal) {
        let Some(n) = world.gateways.iter().position(|gateway| gateway.id == id) else {
            return;
        };
        // Late is as good as lost: the next one is on its way.
        if world.is_asked(n) {
            return;
        }
        let now = self.clock(world, n);
        let from_ack = self.wrong == Some(Wrong::CountedFromAck);
        let renewal = if from_ack { Renewal { sent: now, ..renewal } } else { renewal };
        let gateway = &mut world.gateways[n];
        gateway.holder.stored(renewal, gateway.applied, 0);
    }

    fn renew(&self, world: &mut World, n: usize) -> bool {
        let now = self.clock(world, n);
        let Gateway { id, applied, holder } = world.gateways[n].clone();
        // One that is late may arrive after another one was sent; two at a time are of no use.
        let now_sent = |letter: &Letter| matches!(letter, Letter::Renewal(of, sent) if (*of, sent.sent) == (id, now));
        if world.wire.iter().any(now_sent) {
            return false;
        }
        // One that is behind makes a renewal as if it were not.
        let behind = self.wrong == Some(Wrong::Behind);
        let renewal = holder.renewal(if behind { u64::MAX } else { applied }, now);
        let Some(renewal) = renewal.map(|renewal| Renewal { applied, ..renewal }) else {
            return false;
        };
        // One that says nothing new at the same time changes nothing.
        let stored = world.bucket.leases.get(&id).is_some_and(|(_, said)| *said == Some(applied));
        if stored && holder.age(now) == Some(Duration::ZERO) {
            return false;
        }
        if self.wrong == Some(Wrong::AckNotAwaited) {
            world.gateways[n].holder.stored(renewal, applied, 0);
        }
        world.wire.insert(Letter::Renewal(id, renewal))
    }

    fn returns(&self, world: &mut World) {
        let Call::Waiting(change, mark) = world.admin.call else { return };
        let unread = self.wrong == Some(Wrong::Unread);
        let mark = if unread { Mark { revision: 0, ..mark } } else { mark };
        let early = u32::from(self.wrong == Some(Wrong::Impatient));
        let now = self.admin_clock(world) + ADMIN_TICK * early;
        let settled = world.admin.watch.standing(mark, now) == Standing::Settled;
        if settled {
            world.admin.returned = change;
            world.admin.call = Call::None;
        }
    }

    fn holds(&self, world: &World, n: usize) -> bool {
        world.gateways[n].holder.holds(self.clock(world, n))
    }

    fn ask(&self, world: &mut World, n: usize) -> bool {
        let (seen, held) = (world.gateways[n].applied, self.holds(world, n));
        world.asked.replace(Asked { gateway: n, seen, held }).is_none()
    }

    fn answer(&self, world: &mut World) -> bool {
        let Some(Asked { gateway, mut seen, mut held }) = world.asked.take() else { return false };
        if self.wrong == Some(Wrong::ClockFirst) {
            seen = world.gateways[gateway].applied;
        } else {
            held = self.holds(world, gateway);
        }
        world.let_in |= held && seen < world.admin.returned;
        true
    }

    fn serves_without(&self, world: &World, change: u64) -> bool {
        (0..self.gateways).any(|n| self.holds(world, n) && world.gateways[n].applied < change)
    }
}

/// What a gateway has said last; nothing where it has stopped in order.
type Entry = (InstanceId, Option<u64>);

impl Bucket {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// What a reader that has read this far reads next: with its revision a lease, or the mark.
    fn after(&self, read: u64) -> Option<(u64, Option<Entry>)> {
        let leases = self.leases.iter();
        let leases = leases.map(|(id, (revision, said))| (*revision, Some((*id, *said))));
        let all = leases.chain([(self.mark.revision, None)]);
        all.filter(|(revision, _)| *revision > read).min_by_key(|(revision, _)| *revision)
    }
}

impl World {
    fn is_asked(&self, n: usize) -> bool {
        self.asked.is_some_and(|asked| asked.gateway == n)
    }

    fn read(&mut self, now: Duration) -> bool {
        let watch = &mut self.admin.watch;
        match self.bucket.after(watch.read()) {
            Some((revision, Some((id, Some(applied))))) => watch.lease(id, revision, applied, now),
            Some((revision, Some((id, None)))) => watch.left(id, revision),
            Some((revision, None)) => watch.passed(revision),
            None => return false,
        }
        true
    }

    /// Another process: what it loads may be as old as can be.
    fn start_anew(&mut self, n: usize) {
        self.crashes -= 1;
        let id = instance(n, self.crashes + 1);
        self.gateways[n] = Gateway { id, applied: 1, holder: Holder::default() };
        self.asked.take_if(|asked| asked.gateway == n);
    }

    fn replace(&mut self, n: usize) {
        let id = self.gateways[n].id;
        self.gateways[n].holder.give_up();
        let revision = self.bucket.next();
        self.bucket.leases.insert(id, (revision, None));
        self.start_anew(n);
    }

    /// The same request is asked again.
    fn crash_admin(&mut self) {
        self.crashes -= 1;
        let Admin { start, call, returned, .. } = self.admin;
        let call = match call {
            Call::None => Call::None,
            Call::Stored(change) | Call::Marking(change) | Call::Waiting(change, _) => {
                Call::Stored(change)
            }
        };
        let start = start + 1;
        self.admin = Admin { start, call, returned, ..Admin::default() };
    }

    fn mark(&mut self) -> bool {
        let Call::Stored(change) = self.admin.call else { return false };
        let Admin { start, mark, .. } = self.admin;
        let (sequence, before) = (self.head, mark.revision);
        self.admin.call = Call::Marking(change);
        self.wire.insert(Letter::Mark { start, sequence, before })
    }

    /// It was refused, or no answer came: the last mark is read.
    fn give_up_mark(&mut self, late: bool) -> bool {
        let Call::Marking(change) = self.admin.call else { return false };
        if !late && self.wire.iter().any(|letter| matches!(letter, Letter::Mark { .. })) {
            return false;
        }
        self.admin.call = Call::Stored(change);
        self.admin.mark = self.bucket.mark;
        true
    }
}

fn instance(n: usize, life: u8) -> InstanceId {
    let n = u8::try_from(n).expect("there are few");
    InstanceId::from_bytes([n * 16 + life; 16])
}

impl Model for Lease {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let gateway = |n| Gateway { id: instance(n, 0), applied: 1, holder: Holder::default() };
        vec![World {
            tick: 0,
            head: 1,
            bucket: Bucket::default(),
            wire: BTreeSet::new(),
            gateways: (0..self.gateways).map(gateway).collect(),
            admin: Admin::default(),
            crashes: self.crashes,
            asked: None,
            let_in: false,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        use Action::{
            Answer, Apply, Arrive, Ask, Commit, Crash, CrashAdmin, GiveUpMark, Mark, Read, Renew,
            Replace, Tick, Twin,
        };
        actions.extend(world.wire.iter().map(|letter| Arrive(*letter)));
        if self.twins {
            actions.extend(world.wire.iter().map(|letter| Twin(*letter)));
        }
        actions.extend([Tick, Commit, Mark, GiveUpMark, Read]);
        let free = || (0..self.gateways).filter(|n| !world.is_asked(*n));
        actions.extend(free().flat_map(|n| [Apply(n), Renew(n)]));
        if self.asks {
            actions.extend(free().map(Ask).chain([Answer]));
        }
        if world.crashes > 0 {
            actions.push(CrashAdmin);
            actions.extend((0..self.gateways).flat_map(|n| [Replace(n), Crash(n)]));
        }
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        let happens = match action {
            Action::Tick => {
                world.tick += 1;
                true
            }
            Action::Arrive(letter) => {
                self.arrive(&mut world, letter);
                true
            }
            Action::Twin(letter) => {
                self.arrive(&mut world, letter);
                world.wire.insert(letter);
                world != *before
            }
            Action::Apply(n) => {
                let gateway = &mut world.gateways[n];
                gateway.applied += u64::from(gateway.applied < world.head);
                world.gateways[n] != before.gateways[n]
            }
            Action::Renew(n) => self.renew(&mut world, n),
            Action::Replace(n) => {
                world.replace(n);
                true
            }
            Action::Crash(n) => {
                world.start_anew(n);
                true
            }
            Action::Commit => {
                let free = world.admin.call == Call::None && world.head <= self.changes;
                if free {
                    world.head += 1;
                    world.admin.call = Call::Stored(world.head);
                    world.mark();
                }
                free
            }
            Action::Mark => world.mark(),
            Action::GiveUpMark => world.give_up_mark(self.late_marks),
            Action::Read => {
                let now = self.admin_clock(&world);
                world.read(now)
            }
            Action::CrashAdmin => {
                world.crash_admin();
                true
            }
            Action::Ask(n) => self.ask(&mut world, n),
            Action::Answer => self.answer(&mut world),
        };
        self.returns(&mut world);
        happens.then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(super::HOLDS, |lease: &Self, world: &World| {
                !lease.serves_without(world, world.admin.returned)
            }),
            Property::always(super::LETS_IN, |_, world: &World| !world.let_in),
            Property::always(super::AFTER_THE_MARK, |_, world: &World| {
                let mark = world.bucket.mark;
                let fine = |(revision, said): &(u64, Option<u64>)| {
                    *revision < mark.revision || said.is_none_or(|said| said >= mark.sequence)
                };
                world.bucket.leases.values().all(fine)
            }),
            Property::sometimes(super::PAST, |_, world: &World| {
                let held = world.bucket.leases.values().any(|(_, said)| *said == Some(1));
                let behind = world.gateways.iter().any(|gateway| gateway.applied == 1);
                world.admin.returned > 1 && held && behind
            }),
            Property::sometimes(super::SERVES, |lease: &Self, world: &World| {
                world.admin.returned > 1 && (0..lease.gateways).any(|n| lease.holds(world, n))
            }),
        ]
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.tick <= self.ticks && world.bucket.last <= self.writes
    }
}
