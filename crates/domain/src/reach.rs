//! What a token reaches.
//!
//! Must not know which services there are.

use crate::id::{ServiceId, TeamId};

/// What a token reaches, fixed at its creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Every service of every team.
    Global,
    /// Every service of one team.
    Team(TeamId),
    /// One service, with its team.
    Service(TeamId, ServiceId),
}

impl Reach {
    /// The team, unless it is all of them.
    #[must_use]
    pub const fn team(self) -> Option<TeamId> {
        match self {
            Self::Global => None,
            Self::Team(team) | Self::Service(team, _) => Some(team),
        }
    }
}
