//! A team: what may happen to it, and what follows.
//!
//! Must not know services or tokens: that they die with their team is read, not done.

use crate::aggregate::{Entry, Life, Rejection, Stamp, check_version};
use crate::id::TeamId;
use crate::name::DisplayName;

/// A team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Team {
    /// Its id.
    pub id: TeamId,
    /// What people call it.
    pub name: DisplayName,
    /// When it was made and changed.
    pub life: Life,
}

/// What may be asked of a team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Make it.
    Create {
        /// What people call it.
        name: DisplayName,
        /// Whether another live team has that name.
        name_taken: bool,
    },
    /// Give it another name.
    Rename {
        /// The version that the caller knows, if it says so.
        expected: Option<u64>,
        /// The new name.
        name: DisplayName,
        /// Whether another live team has that name.
        name_taken: bool,
    },
    /// Delete it for good.
    Delete {
        /// The version that the caller knows, if it says so.
        expected: Option<u64>,
    },
}

/// What has happened to a team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was made.
    Created {
        /// What people call it.
        name: DisplayName,
    },
    /// It got another name.
    Renamed {
        /// The new name.
        name: DisplayName,
    },
    /// It was deleted for good.
    Deleted,
}

/// What the command leads to; no events where all is as asked already.
///
/// # Errors
/// The command is refused in this state.
pub fn decide(state: &Entry<Team>, command: Command) -> Result<Vec<Event>, Rejection> {
    match (state, command) {
        (Entry::Absent, Command::Create { name_taken: true, .. }) => Err(Rejection::NameTaken),
        (Entry::Absent, Command::Create { name, .. }) => Ok(vec![Event::Created { name }]),
        (Entry::Live(_), Command::Create { .. }) | (Entry::Deleted, Command::Delete { .. }) => {
            Ok(vec![])
        }
        (Entry::Live(team), Command::Rename { expected, name, name_taken }) => {
            check_version(&team.life, expected)?;
            if team.name == name {
                return Ok(vec![]);
            }
            if name_taken { Err(Rejection::NameTaken) } else { Ok(vec![Event::Renamed { name }]) }
        }
        (Entry::Live(team), Command::Delete { expected }) => {
            check_version(&team.life, expected)?;
            Ok(vec![Event::Deleted])
        }
        (Entry::Absent | Entry::Deleted, _) => Err(Rejection::NotFound),
    }
}

/// The team after the event.
#[must_use]
pub fn evolve(state: Entry<Team>, id: TeamId, event: &Event, stamp: &Stamp) -> Entry<Team> {
    match event {
        Event::Created { name } => {
            Entry::Live(Team { id, name: name.clone(), life: Life::begun(stamp) })
        }
        Event::Renamed { name } => {
            state.map(|team| Team { name: name.clone(), life: team.life.touched(stamp), ..team })
        }
        Event::Deleted => Entry::Deleted,
    }
}
