//! Leases: until when a gateway may use what it knows, and how long admin waits for those that do not
//! say that they act on a change. `docs/revocation.md` says why it holds.
//!
//! Both sides of the protocol, pure: `tests/lease` checks all of its courses. Must not know NATS, and
//! reads no clock: each side passes the time since its own machine started.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::InstanceId;

/// How long a lease lasts by the clock of its gateway, from before its renewal was sent.
pub const TERM: Duration = Duration::from_millis(2_000);
/// How long admin waits for a lease that is not renewed, by its own clock: a fifth more, so that the
/// two clocks may run at rates that differ by that.
pub const RUN_OUT: Duration = Duration::from_millis(2_400);
/// How long a call waits for gateways before it answers that this is still pending.
pub const PATIENCE: Duration = Duration::from_millis(4_000);
/// After this time without a renewal nobody needs to know of a lease any more.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// What admin writes into the bucket before it waits: the last change that calls wait for. A lease is
/// stored only beside the last mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mark {
    /// Its revision in the bucket; 0 where there is none yet.
    pub revision: u64,
    /// The number of the change.
    pub sequence: u64,
}

/// What a gateway asks to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Renewal {
    /// The last change that it acts on.
    pub applied: u64,
    /// The revision that the last mark must have for this to be stored.
    pub beside: u64,
    /// When it was sent, by the clock of the gateway: the lease counts from here.
    pub sent: Duration,
}

/// The lease as its gateway holds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Holder {
    mark: Mark,
    until: Duration,
}

impl Holder {
    /// The renewal to send now; none while the change of the last mark known is not applied.
    #[must_use]
    pub fn renewal(&self, applied: u64, now: Duration) -> Option<Renewal> {
        let current = applied >= self.mark.sequence;
        current.then_some(Renewal { applied, beside: self.mark.revision, sent: now })
    }

    /// This is the last mark, since a renewal was refused; false if it was known: then that was
    /// because others renew in the same moment.
    pub fn marked(&mut self, mark: Mark) -> bool {
        std::mem::replace(&mut self.mark, mark) != mark
    }

    /// A renewal was stored, and read after that, `last` is the last change that there is. The lease
    /// goes on only where that is applied.
    pub fn stored(&mut self, renewal: Renewal, applied: u64, last: u64) {
        if applied >= last {
            self.until = self.until.max(renewal.sent + TERM);
        }
    }

    /// What is looked up, if it may be used. The clock is read last: a gateway that stands still between the
    /// two finds that its lease has run out. What is looked up must not change between the two.
    pub fn current<T>(
        &self,
        look_up: impl FnOnce() -> T,
        clock: impl FnOnce() -> Duration,
    ) -> Option<T> {
        let found = look_up();
        self.holds(clock()).then_some(found)
    }

    /// Whether what is known may be used.
    #[must_use]
    pub fn holds(&self, now: Duration) -> bool {
        now < self.until
    }

    /// How old what is known may be; none before the first lease.
    #[must_use]
    pub fn age(&self, now: Duration) -> Option<Duration> {
        Some(now.saturating_sub(self.until.checked_sub(TERM)?))
    }

    /// Ends the lease.
    pub fn give_up(&mut self) {
        self.until = Duration::ZERO;
    }
}

/// Where the gateways stand with the change of a mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The bucket is not read as far as the mark: there may be leases that are not known.
    Unread,
    /// Some do not act on it yet, and may still hold a lease.
    Awaited {
        /// These.
        gateways: Vec<InstanceId>,
        /// When the first of their leases has run out.
        until: Duration,
    },
    /// Every gateway acts on it, or refuses everything.
    Settled,
}

/// The leases as admin sees them: read from the bucket in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Watch {
    leases: BTreeMap<InstanceId, Seen>,
    read: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Seen {
    revision: u64,
    applied: u64,
    /// By the clock of admin: after it was stored, and so after it was sent.
    at: Duration,
}

impl Watch {
    /// A lease was read.
    pub fn lease(&mut self, gateway: InstanceId, revision: u64, applied: u64, now: Duration) {
        self.leases.insert(gateway, Seen { revision, applied, at: now });
        self.passed(revision);
    }

    /// It was read that a gateway has stopped in order.
    pub fn left(&mut self, gateway: InstanceId, revision: u64) {
        self.leases.remove(&gateway);
        self.passed(revision);
    }

    /// Something else was read.
    pub fn passed(&mut self, revision: u64) {
        self.read = self.read.max(revision);
    }

    /// The last revision read.
    #[must_use]
    pub const fn read(&self) -> u64 {
        self.read
    }

    /// Where the gateways stand with the change of this mark. No lease that is stored after the mark
    /// lacks the change, so those before it are all that count, and they run out.
    #[must_use]
    pub fn standing(&self, mark: Mark, now: Duration) -> Standing {
        if self.read < mark.revision {
            return Standing::Unread;
        }
        let awaited = || self.leases.iter().filter(|(_, seen)| seen.awaited(mark.sequence, now));
        match awaited().map(|(_, seen)| seen.at + RUN_OUT).min() {
            Some(until) => {
                Standing::Awaited { gateways: awaited().map(|(id, _)| *id).collect(), until }
            }
            None => Standing::Settled,
        }
    }

    /// Those that may have held a lease at this time and have not said since that they act on this
    /// change.
    #[must_use]
    pub fn behind(&self, sequence: u64, at: Duration) -> Vec<InstanceId> {
        let behind = self.leases.iter().filter(|(_, seen)| seen.awaited(sequence, at));
        behind.map(|(id, _)| *id).collect()
    }

    /// Those whose lease has not run out, each with the change that it acts on.
    #[must_use]
    pub fn living(&self, now: Duration) -> BTreeMap<InstanceId, u64> {
        let living = self.leases.iter().filter(|(_, seen)| seen.lasts(now));
        living.map(|(id, seen)| (*id, seen.applied)).collect()
    }

    /// Forgets leases that nobody needs; gives each with its revision, to be removed from the bucket.
    pub fn forget(&mut self, now: Duration) -> Vec<(InstanceId, u64)> {
        let old = |seen: &Seen| now.saturating_sub(seen.at) >= FORGOTTEN;
        self.leases
            .extract_if(.., |_, seen| old(seen))
            .map(|(id, seen)| (id, seen.revision))
            .collect()
    }
}

impl Seen {
    fn lasts(&self, now: Duration) -> bool {
        now.saturating_sub(self.at) < RUN_OUT
    }

    fn awaited(&self, sequence: u64, now: Duration) -> bool {
        self.applied < sequence && self.lasts(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: InstanceId = InstanceId::from_bytes([1; 16]);
    const TWO: InstanceId = InstanceId::from_bytes([2; 16]);

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_lease_counts_from_before_its_renewal_was_sent() {
        let mut holder = Holder::default();
        assert!(!holder.holds(Duration::ZERO), "none before the first");
        let renewal = holder.renewal(7, seconds(10)).unwrap();
        holder.stored(renewal, 7, 7);
        assert!(holder.holds(seconds(12) - Duration::from_nanos(1)));
        assert!(!holder.holds(seconds(12)));
        let late = Renewal { sent: seconds(9), ..renewal };
        holder.stored(late, 7, 7);
        assert_eq!(holder.age(seconds(11)), Some(seconds(1)), "an older one takes nothing back");
        holder.give_up();
        assert!(!holder.holds(seconds(11)));
    }

    #[test]
    fn the_clock_is_read_after_what_is_known() {
        let mut holder = Holder::default();
        holder.stored(holder.renewal(7, seconds(10)).unwrap(), 7, 7);
        let clock = std::cell::Cell::new(seconds(11));
        assert_eq!(holder.current(|| "let in", || clock.get()), Some("let in"));
        let stands_still = || {
            clock.set(seconds(13));
            "let in"
        };
        assert_eq!(holder.current(stands_still, || clock.get()), None);
    }

    #[test]
    fn a_view_that_is_not_current_renews_nothing() {
        let mut holder = Holder::default();
        holder.marked(Mark { revision: 3, sequence: 8 });
        assert_eq!(holder.renewal(7, seconds(1)), None);
        let renewal = holder.renewal(8, seconds(1)).unwrap();
        assert_eq!(renewal.beside, 3);
        holder.stored(renewal, 8, 9);
        assert!(!holder.holds(seconds(1)), "there was a change since");
        holder.stored(renewal, 9, 9);
        assert!(holder.holds(seconds(1)), "it was applied meanwhile");
    }

    #[test]
    fn who_does_not_say_that_it_acts_on_a_change_is_waited_for_until_its_lease_has_run_out() {
        let mut watch = Watch::default();
        watch.lease(ONE, 1, 4, seconds(10));
        watch.lease(TWO, 2, 4, seconds(11));
        let mark = Mark { revision: 3, sequence: 5 };
        assert_eq!(watch.standing(mark, seconds(11)), Standing::Unread);
        watch.passed(3);
        let until = seconds(10) + RUN_OUT;
        let both = Standing::Awaited { gateways: vec![ONE, TWO], until };
        assert_eq!(watch.standing(mark, seconds(11)), both);
        watch.lease(TWO, 4, 5, seconds(12));
        let one = Standing::Awaited { gateways: vec![ONE], until };
        assert_eq!(watch.standing(mark, until - Duration::from_nanos(1)), one);
        assert_eq!(watch.standing(mark, until), Standing::Settled);
        assert_eq!(watch.living(until), BTreeMap::from([(TWO, 5)]));
    }

    #[test]
    fn who_has_left_is_not_waited_for_and_who_was_silent_for_long_is_forgotten() {
        let mut watch = Watch::default();
        watch.lease(ONE, 1, 4, seconds(10));
        watch.lease(TWO, 2, 4, seconds(10));
        watch.left(TWO, 3);
        assert_eq!(watch.behind(5, seconds(10)), [ONE]);
        assert_eq!(watch.forget(seconds(69)), []);
        assert_eq!(watch.forget(seconds(70)), [(ONE, 1)]);
        assert_eq!(
            watch.standing(Mark { revision: 3, sequence: 5 }, seconds(70)),
            Standing::Settled
        );
    }
}
