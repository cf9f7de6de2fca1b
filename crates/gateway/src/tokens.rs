//! Who is let in, as the control stream says, and until when that is known to be current.
//!
//! Must not know HTTP.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use domain::directory::{Directory, Snapshot};
use domain::id::{InstanceId, TokenId};
use domain::lease::{Holder, Mark, Renewal};
use domain::reach::Reach;
use domain::secret::{Kind, Secret};
use domain::time::Timestamp;
use domain::token::Admission;
use runtime::clock::Clock;
use runtime::nats::Nats;
use runtime::nats::members::Role;
use runtime::view::{Error, Follower};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::lease::Lease;

const LEAVE_DEADLINE: Duration = Duration::from_millis(500);

/// A token that is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The token.
    pub token: TokenId,
    /// What it reaches.
    pub reach: Reach,
    /// When it was let in.
    pub at: Timestamp,
    /// Whether it is answered 503 beyond its limit.
    pub unavailable_over_limit: bool,
    /// Until when its calls are kept in the API log; none where this one is not kept.
    pub tracked_until: Option<Timestamp>,
}

/// Why nobody can be let in or refused: what this gateway knows may be out of date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tokens known here may be out of date")]
pub struct Stale;

struct Known {
    directory: Directory,
    lease: Holder,
}

/// Who is let in. Cheap to clone.
#[derive(Clone)]
pub struct Tokens {
    known: Arc<RwLock<Known>>,
    clock: Arc<dyn Clock>,
}

impl Tokens {
    /// Reads the tokens as they are now; [`Follow::run`] keeps them current. Nobody is let in
    /// without a lease.
    ///
    /// # Errors
    /// The broker cannot be reached, or a message cannot be read.
    pub async fn start(
        nats: Nats,
        me: InstanceId,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Follow), Error> {
        let (follower, directory) = Follower::start(&nats).await?;
        let known = Known { directory, lease: Holder::default() };
        let tokens = Self { known: Arc::new(RwLock::new(known)), clock: Arc::clone(&clock) };
        let control = follower.identity();
        let lease = Lease { nats, me, tokens: tokens.clone(), clock, control };
        lease.renew().await?;
        Ok((tokens, Follow { follower, lease }))
    }

    /// The token that this secret opens now; none if it opens none.
    ///
    /// # Errors
    /// It is not known to be current.
    pub fn check(&self, secret: &str, by_url: bool) -> Result<Option<Admitted>, Stale> {
        let Ok(secret) = Secret::parse(Kind::Token, secret) else {
            return Ok(None);
        };
        let digest = secret.digest();
        // Held over the look-up and the clock: nothing renews the lease between the two.
        let known = self.known.read().expect("no holder of this lock panics");
        let look_up = || {
            let at = self.clock.now();
            let token = known.directory.admitted(&digest, at);
            let token = token.filter(|token| token.url_parameter_allowed || !by_url)?;
            Some(Admitted {
                token: token.id,
                reach: token.reach,
                at,
                unavailable_over_limit: token.unavailable_over_limit,
                tracked_until: token.tracked(at),
            })
        };
        known.lease.current(look_up, || self.clock.boot()).ok_or(Stale)
    }

    /// Until when the calls of this token are kept; none where they are not, at this time.
    #[must_use]
    pub fn tracked_until(&self, token: TokenId, at: Timestamp) -> Option<Timestamp> {
        let known = self.known.read().expect("no holder of this lock panics");
        // Mostly nobody is tracked: then no token need be looked up.
        let tracks = known.directory.tracks_any();
        let token = tracks.then(|| known.directory.token(token))??;
        Admission::from(token).tracked(at)
    }

    /// Whether what is known is current.
    #[must_use]
    pub fn is_current(&self) -> bool {
        let known = self.known.read().expect("no holder of this lock panics");
        known.lease.holds(self.clock.boot())
    }

    /// Tells how old what is known may be.
    pub fn measure_age(&self) {
        let known = self.known.read().expect("no holder of this lock panics");
        if let Some(age) = known.lease.age(self.clock.boot()) {
            metrics::gauge!("gander_gateway_view_age_seconds").set(age.as_secs_f64());
        }
    }

    fn restore(&self, sequence: u64, snapshot: Snapshot) {
        let mut known = self.known.write().expect("no holder of this lock panics");
        known.directory.restore(sequence, snapshot);
    }

    /// The renewal to send now; none while it is known that something is not applied yet.
    pub fn renewal(&self, now: Duration) -> Option<Renewal> {
        let known = self.known.read().expect("no holder of this lock panics");
        known.lease.renewal(known.directory.sequence(), now)
    }

    /// This is the last mark; false if it was known.
    pub fn marked(&self, mark: Mark) -> bool {
        self.known.write().expect("no holder of this lock panics").lease.marked(mark)
    }

    /// The renewal is stored, and read after that, `last` is the end of the control stream.
    pub fn renewed(&self, renewal: Renewal, last: u64) {
        let applied = {
            let mut known = self.known.write().expect("no holder of this lock panics");
            let applied = known.directory.sequence();
            known.lease.stored(renewal, applied, last);
            applied
        };
        metrics::gauge!("gander_gateway_control_sequence").set(applied as f64);
        metrics::gauge!("gander_gateway_control_lag_commits")
            .set(last.saturating_sub(applied) as f64);
        self.measure_age();
    }

    fn give_up(&self) {
        self.known.write().expect("no holder of this lock panics").lease.give_up();
    }

    /// The control sequence applied.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.known.read().expect("no holder of this lock panics").directory.sequence()
    }
}

/// Keeps the tokens current.
pub struct Follow {
    follower: Follower,
    lease: Lease,
}

impl Follow {
    /// Applies changes as they come, and keeps the lease; told to stop, ends it, so that nobody waits
    /// for this gateway. From then on it lets nobody in.
    ///
    /// # Errors
    /// A change cannot be read, or GANDER_CONTROL is another one than that which was read.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Error> {
        let (applied, changes) = watch::channel(self.lease.tokens.applied());
        let following = async {
            loop {
                let (sequence, snapshot) = self.follower.next().await?;
                self.lease.tokens.restore(sequence, snapshot);
                applied.send_replace(sequence);
            }
        };
        let ended = tokio::select! {
            biased;
            () = stop.cancelled() => Ok(()),
            ended = following => ended,
            kept = self.lease.keep(changes) => kept,
        };
        let Lease { nats, me, tokens, .. } = self.lease;
        tokens.give_up();
        nats.end_lease(me).await;
        let _ = tokio::time::timeout(LEAVE_DEADLINE, nats.leave(Role::Gateway, me)).await;
        ended
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use domain::aggregate::{Actor, Entry, Life};
    use domain::name::DisplayName;
    use domain::token::{TRACKING_LASTS, Token};

    use super::*;

    #[derive(Default)]
    struct Set(AtomicI64);

    impl Clock for Set {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.0.load(Ordering::SeqCst))
        }

        fn boot(&self) -> Duration {
            Duration::ZERO
        }
    }

    fn tracked(secret: &Secret, until: Timestamp) -> Token {
        let began = Timestamp::default();
        Token {
            id: TokenId::from_bytes([1; 16]),
            name: DisplayName::parse("tracked").unwrap(),
            reach: Reach::Global,
            digest: Some(secret.digest()),
            last_four: secret.last_four(),
            expires_at: None,
            url_parameter_allowed: true,
            unavailable_over_limit: false,
            tracked_until: Some(until),
            life: Life { created_at: began, creator: Actor::System, updated_at: began, version: 1 },
        }
    }

    #[test]
    fn the_clock_ends_tracking_whatever_the_view_says() {
        let secret = Secret::from_random(Kind::Token, &[7; 32]);
        let until = Timestamp::default().plus(TRACKING_LASTS);
        let token = tracked(&secret, until);
        let mut directory = Directory::default();
        directory.restore(1, Snapshot::Token(token.id, Entry::Live(token)));
        let mut lease = Holder::default();
        let renewal = lease.renewal(1, Duration::ZERO).unwrap();
        lease.stored(renewal, 1, 1);
        let known = Known { directory, lease };
        let clock = Arc::new(Set::default());
        let tokens = Tokens { known: Arc::new(RwLock::new(known)), clock: clock.clone() };
        for (micros, expected) in [(-1, Some(until)), (0, None), (1, None)] {
            let now = until.as_micros() + micros;
            clock.0.store(now, Ordering::SeqCst);
            let admitted = tokens.check(secret.reveal(), false).unwrap().unwrap();
            assert_eq!((admitted.at.as_micros(), admitted.tracked_until), (now, expected));
        }
    }
}
