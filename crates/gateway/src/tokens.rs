//! Who is let in, as the control stream says, and until when that is known to be current.
//!
//! Must not know HTTP.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use domain::directory::{Directory, Snapshot};
use domain::id::{InstanceId, TokenId};
use domain::reach::Reach;
use domain::secret::{Kind, Secret};
use domain::time::Timestamp;
use domain::token::Token;
use runtime::clock::Clock;
use runtime::lifecycle::Shutdown;
use runtime::nats::Nats;
use runtime::nats::members::{BEAT, Role};
use runtime::view::{Error, Follower};
use wire::subject;

/// How long a view that was seen to be current may be used. Less than the time after which the
/// others count a silent gateway as dead, so that they never wait for less than this.
const CURRENT_FOR: Duration = Duration::from_millis(1_800);

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
    current_until: Duration,
}

/// Who is let in. Cheap to clone.
#[derive(Clone)]
pub struct Tokens {
    known: Arc<RwLock<Known>>,
    clock: Arc<dyn Clock>,
}

impl Tokens {
    /// Reads the tokens as they are now; [`Follow::run`] keeps them current. Nobody is let in
    /// before this gateway has said that it lives.
    ///
    /// # Errors
    /// The broker cannot be reached, or a message cannot be read.
    pub async fn start(
        nats: Nats,
        me: InstanceId,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Follow), Error> {
        let (follower, directory) = Follower::start(&nats).await?;
        let known = Known { directory, current_until: Duration::ZERO };
        let tokens = Self { known: Arc::new(RwLock::new(known)), clock };
        let mut follow = Follow { nats, me, follower, tokens: tokens.clone() };
        follow.renew().await;
        Ok((tokens, follow))
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
        let known = self.known.read().expect("no holder of this lock panics");
        let at = self.clock.now();
        let token = known.directory.admitted(&digest, at);
        let admitted =
            token.filter(|token| token.url_parameter_allowed || !by_url).map(|token| Admitted {
                token: token.id,
                reach: token.reach,
                at,
                unavailable_over_limit: token.unavailable_over_limit,
                tracked_until: tracked_until(token, at),
            });
        // The clock is read last: what was looked up was current when it was looked up.
        if self.clock.boot() < known.current_until { Ok(admitted) } else { Err(Stale) }
    }

    /// Until when the calls of this token are kept; none where they are not, at this time.
    #[must_use]
    pub fn tracked_until(&self, token: TokenId, at: Timestamp) -> Option<Timestamp> {
        let known = self.known.read().expect("no holder of this lock panics");
        tracked_until(known.directory.token(token)?, at)
    }

    /// Whether what is known is current.
    #[must_use]
    pub fn is_current(&self) -> bool {
        let known = self.known.read().expect("no holder of this lock panics");
        self.clock.boot() < known.current_until
    }

    fn measure_age(&self, now: Duration) {
        let known = self.known.read().expect("no holder of this lock panics");
        let Some(seen) = known.current_until.checked_sub(CURRENT_FOR) else {
            return;
        };
        metrics::gauge!("gander_gateway_view_age_seconds")
            .set(now.saturating_sub(seen).as_secs_f64());
    }

    fn restore(&self, sequence: u64, snapshot: Snapshot) {
        let mut known = self.known.write().expect("no holder of this lock panics");
        known.directory.restore(sequence, snapshot);
    }

    fn renew(&self, until: Duration) {
        self.known.write().expect("no holder of this lock panics").current_until = until;
    }

    /// The control sequence applied.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.known.read().expect("no holder of this lock panics").directory.sequence()
    }
}

/// From the deadline on it is not tracked, whatever is known here of its end.
fn tracked_until(token: &Token, at: Timestamp) -> Option<Timestamp> {
    token.tracked_until.filter(|_| token.tracked(at))
}

/// Keeps the tokens current.
pub struct Follow {
    nats: Nats,
    me: InstanceId,
    follower: Follower,
    tokens: Tokens,
}

impl Follow {
    /// Applies changes as they come and says so; a few times a second makes sure that none is
    /// missing, and only then extends the time for which what is known may be used.
    ///
    /// # Errors
    /// A change cannot be read.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), Error> {
        let mut tick = tokio::time::interval(BEAT);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.hard.cancelled() => break,
                change = self.follower.next() => {
                    let (sequence, snapshot) = change?;
                    self.tokens.restore(sequence, snapshot);
                    self.nats.beat(Role::Gateway, self.me, sequence).await;
                }
                _ = tick.tick() => self.renew().await,
            }
        }
        self.nats.leave(Role::Gateway, self.me).await;
        Ok(())
    }

    /// First says that this gateway lives, then asks how far the control stream is: a commit
    /// stored after that finds that admin waits for this gateway.
    async fn renew(&mut self) {
        let begun = self.tokens.clock.boot();
        self.nats.beat(Role::Gateway, self.me, self.tokens.applied()).await;
        self.tokens.measure_age(begun);
        let asked = self.nats.bounds(subject::CONTROL_STREAM);
        let answer = tokio::select! {
            answer = tokio::time::timeout(CURRENT_FOR, asked) => answer,
            () = self.nats.reconnected() => return,
        };
        let Ok(Ok((_, last))) = answer else {
            return;
        };
        let applied = self.tokens.applied();
        metrics::gauge!("gander_gateway_control_sequence").set(applied as f64);
        metrics::gauge!("gander_gateway_control_lag_commits")
            .set(last.saturating_sub(applied) as f64);
        if applied >= last {
            self.tokens.renew(begun + CURRENT_FOR);
            self.tokens.measure_age(begun);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use domain::aggregate::{Actor, Entry, Life};
    use domain::name::DisplayName;
    use domain::token::TRACKING_LASTS;

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
            digest: secret.digest(),
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
        let known = Known { directory, current_until: Duration::from_secs(1) };
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
