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
    /// Until when its calls are kept in the API log.
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
        let token = known.directory.admitted(&digest, self.clock.now());
        let admitted = token.filter(|token| token.url_parameter_allowed || !by_url).map(|token| {
            Admitted { token: token.id, reach: token.reach, tracked_until: token.tracked_until }
        });
        // The clock is read last: what was looked up was current when it was looked up.
        if self.clock.boot() < known.current_until { Ok(admitted) } else { Err(Stale) }
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
