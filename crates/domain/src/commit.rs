//! A commit: what one command changed, as the journal keeps it.
//!
//! Must not know how it is stored, nor how its hash is made.

use crate::aggregate::{Actor, Stamp};
use crate::id::{PrincipalId, ServiceId, TeamId, TokenId};
use crate::secret::Digest;
use crate::time::Timestamp;
use crate::{principal, service, team, token};

/// One thing that happened, with the thing that it happened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// To a team.
    Team(TeamId, team::Event),
    /// To a service.
    Service(ServiceId, service::Event),
    /// To a token.
    Token(TokenId, token::Event),
    /// To a principal.
    Principal(PrincipalId, principal::Event),
    /// A bootstrap credential with this digest was written; an older one is dead.
    BootstrapIssued(Digest),
}

/// The aggregate that a commit touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A team.
    Team(TeamId),
    /// A service.
    Service(ServiceId),
    /// A token.
    Token(TokenId),
    /// A principal.
    Principal(PrincipalId),
    /// The installation as a whole.
    Installation,
}

impl Change {
    /// What it happened to.
    #[must_use]
    pub const fn subject(&self) -> Subject {
        match self {
            Self::Team(id, _) => Subject::Team(*id),
            Self::Service(id, _) => Subject::Service(*id),
            Self::Token(id, _) => Subject::Token(*id),
            Self::Principal(id, _) => Subject::Principal(*id),
            Self::BootstrapIssued(_) => Subject::Installation,
        }
    }
}

/// A request that may be asked again: its id and the digest of what it asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The id that the caller gave it.
    pub id: [u8; 16],
    /// The digest of its content.
    pub digest: [u8; 32],
}

/// One command that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its number, from 1, without gaps.
    pub sequence: u64,
    /// The hash of the record before it; zeros for the first.
    pub previous_hash: [u8; 32],
    /// When it was decided.
    pub at: Timestamp,
    /// Who asked for it.
    pub actor: Actor,
    /// The request, if it had an id.
    pub request: Option<Request>,
    /// What happened, all to one aggregate, at least one.
    pub changes: Vec<Change>,
}

impl Commit {
    /// When and by whom it was made.
    #[must_use]
    pub const fn stamp(&self) -> Stamp {
        Stamp { sequence: self.sequence, at: self.at, actor: self.actor }
    }
}
