//! What the HTTP side needs from the rest: who a token belongs to, and a place for alerts.
//!
//! Must not know how either is done.

use std::sync::Arc;

use domain::id::TokenId;
use domain::incident::Flags;
use domain::reach::Reach;
use domain::secret::Digest;
use domain::time::Timestamp;
use futures::future::BoxFuture;
use runtime::clock::Clock;
use runtime::ops::Checks;
use runtime::random::Random;
use wire::stored::alert::Alert;

/// A token that opens the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Its id.
    pub token: TokenId,
    /// What it reaches.
    pub reach: Reach,
    /// Whether it may come as the URL parameter.
    pub url_allowed: bool,
}

/// The view of tokens is not known to be current, so nobody can be let in or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the view of tokens is not known to be current")]
pub struct Stale;

/// Who may come in.
pub trait Tokens: Send + Sync {
    /// The token that this secret opens at this time.
    fn admitted(&self, digest: &Digest, now: Timestamp) -> Option<Admitted>;

    /// Whether what [`Tokens::admitted`] said a moment ago may be relied on.
    ///
    /// # Errors
    /// The view is not loaded, or others may no longer wait for it.
    fn current(&self) -> Result<(), Stale>;
}

/// Why an alert is not known to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotStored {
    /// There is no room, here or at the broker.
    #[error("there is no room for the alert")]
    Full,
    /// The broker did not say in time that it is stored.
    #[error("the broker did not answer in time")]
    TimedOut,
    /// The broker cannot be reached or refuses.
    #[error("the broker cannot be reached")]
    Disconnected,
    /// This process stops.
    #[error("the process stops")]
    Draining,
}

/// What became of a stored alert, over all services. It may never be known.
pub type Outcome = BoxFuture<'static, Flags>;

/// Where alerts are put.
pub trait Inbox: Send + Sync {
    /// Stores an alert; done once it survives a crash of every process. Gives what tells its
    /// outcome, which is only sent where it is `wanted`.
    fn store(&self, alert: Alert, wanted: bool) -> BoxFuture<'static, Result<Outcome, NotStored>>;
}

/// All of it.
#[derive(Clone)]
pub struct Ports {
    /// Who may come in.
    pub tokens: Arc<dyn Tokens>,
    /// Where alerts are put.
    pub inbox: Arc<dyn Inbox>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for ids.
    pub random: Arc<dyn Random>,
    /// What must hold for `/readyz`.
    pub checks: Checks,
}
