//! What all configured things share: who changed them, when, and why a change is refused.
//!
//! Must not know any single kind of thing.

use crate::id::PrincipalId;
use crate::maintenance::{MAX_DAYS, MAX_TEXT_BYTES, MAX_WINDOWS};
use crate::time::Timestamp;

/// Who asked for a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A principal.
    Principal(PrincipalId),
    /// The one-time credential of a new installation.
    Bootstrap,
    /// Gander itself.
    System,
}

/// When and by whom a commit was made, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The number of the commit in the journal, from 1.
    pub sequence: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// Who asked for it.
    pub actor: Actor,
}

/// When a thing was made and last changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub creator: Actor,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// The number of its last commit; what an etag is made of.
    pub version: u64,
}

impl Life {
    /// The life of a thing that this commit made.
    #[must_use]
    pub const fn begun(stamp: &Stamp) -> Self {
        Self {
            created_at: stamp.at,
            creator: stamp.actor,
            updated_at: stamp.at,
            version: stamp.sequence,
        }
    }

    /// The same life after this commit.
    #[must_use]
    pub const fn touched(self, stamp: &Stamp) -> Self {
        Self { updated_at: stamp.at, version: stamp.sequence, ..self }
    }
}

/// A thing by its id: never made, there, or deleted for good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Entry<T> {
    /// It was never made.
    #[default]
    Absent,
    /// It is there.
    Live(T),
    /// It was deleted and never comes back.
    Deleted,
}

impl<T> Entry<T> {
    /// The thing, if it is there.
    pub const fn live(&self) -> Option<&T> {
        match self {
            Self::Live(thing) => Some(thing),
            Self::Absent | Self::Deleted => None,
        }
    }

    /// The same entry with the thing changed by `change`; others stay as they are.
    #[must_use]
    pub fn map(self, change: impl FnOnce(T) -> T) -> Self {
        match self {
            Self::Live(thing) => Self::Live(change(thing)),
            Self::Absent => Self::Absent,
            Self::Deleted => Self::Deleted,
        }
    }
}

/// Why a command is refused. Nothing has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no such thing.
    #[error("it does not exist")]
    NotFound,
    /// What it would belong to does not exist.
    #[error("what it would belong to does not exist")]
    ParentNotFound,
    /// A role would be in a team that does not exist.
    #[error("a team of its roles does not exist")]
    RoleTeamNotFound,
    /// The caller knows an older version.
    #[error("it has changed meanwhile: read it again")]
    Changed,
    /// A live sibling has that name.
    #[error("the name is taken: choose another one")]
    NameTaken,
    /// Somebody must remain who can manage everything.
    #[error("the last global admin without an expiry cannot be removed: make another one first")]
    LastGlobalAdmin,
    /// It has expired for good.
    #[error("it has expired and stays so: make a new one")]
    Expired,
    /// The time of expiry has passed already.
    #[error("the time of expiry has passed already: choose a later one")]
    ExpiryInThePast,
    /// The first principal must be a Global Admin without an expiry.
    #[error("the first principal must be a global admin without an expiry")]
    FirstMustBeGlobalAdmin,
    /// A maintenance window would begin before it is made.
    #[error("the start has passed already: leave it out to begin now")]
    StartInThePast,
    /// A maintenance window would end before it begins.
    #[error("the end must be later than the start")]
    EndNotAfterStart,
    /// A maintenance window would last too long.
    #[error("a maintenance window must last at most {MAX_DAYS} days")]
    WindowTooLong,
    /// The service has as many maintenance windows as it may have.
    #[error(
        "a service can have at most {MAX_WINDOWS} maintenance windows that have not ended, with at most {} KiB of texts: end some first",
        MAX_TEXT_BYTES / 1024
    )]
    TooManyWindows,
}

/// Refuses if the caller expects another version than this.
pub(crate) fn check_version(life: &Life, expected: Option<u64>) -> Result<(), Rejection> {
    match expected {
        Some(version) if version != life.version => Err(Rejection::Changed),
        Some(_) | None => Ok(()),
    }
}
