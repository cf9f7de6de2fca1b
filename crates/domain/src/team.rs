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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Actor;
    use crate::time::Timestamp;

    fn name(text: &str) -> DisplayName {
        DisplayName::parse(text).unwrap()
    }

    fn created() -> Event {
        Event::Created { name: name("Payments") }
    }

    fn renamed(to: &str) -> Event {
        Event::Renamed { name: name(to) }
    }

    fn create(name_taken: bool) -> Command {
        Command::Create { name: name("Payments"), name_taken }
    }

    fn rename(to: &str, expected: Option<u64>, name_taken: bool) -> Command {
        Command::Rename { expected, name: name(to), name_taken }
    }

    fn stamp(sequence: u64) -> Stamp {
        let at = Timestamp::from_micros(i64::try_from(sequence).unwrap());
        Stamp { sequence, at, actor: Actor::System }
    }

    /// The state after these events, of the commits 1, 2, …
    fn given(events: &[Event]) -> Entry<Team> {
        let stamped = (1..).map(stamp).zip(events);
        stamped.fold(Entry::Absent, |state, (stamp, event)| {
            evolve(state, TeamId::from_bytes([1; 16]), event, &stamp)
        })
    }

    fn check(events: &[Event], when: Command, then: Result<&[Event], Rejection>) {
        let decided = decide(&given(events), when.clone());
        assert_eq!(decided, then.map(<[Event]>::to_vec), "{events:?} {when:?}");
    }

    /// What follows if the caller knows the version.
    fn then(fits: bool, events: &[Event]) -> Result<&[Event], Rejection> {
        if fits { Ok(events) } else { Err(Rejection::Changed) }
    }

    #[test]
    fn a_team_is_made_renamed_and_deleted() {
        check(&[], create(false), Ok(&[created()]));
        check(&[created()], rename("Billing", None, false), Ok(&[renamed("Billing")]));
        check(&[created()], Command::Delete { expected: None }, Ok(&[Event::Deleted]));
    }

    #[test]
    fn a_name_that_is_taken_is_refused() {
        check(&[], create(true), Err(Rejection::NameTaken));
        check(&[created()], rename("Billing", None, true), Err(Rejection::NameTaken));
    }

    #[test]
    fn what_is_as_asked_already_succeeds_without_events() {
        check(&[created()], create(true), Ok(&[]));
        check(&[created(), renamed("Billing")], create(false), Ok(&[]));
        check(&[created()], rename("Payments", None, true), Ok(&[]));
        check(&[created(), Event::Deleted], Command::Delete { expected: None }, Ok(&[]));
        check(&[created(), Event::Deleted], Command::Delete { expected: Some(1) }, Ok(&[]));
    }

    #[test]
    fn what_is_not_there_is_not_found_and_a_deleted_team_never_comes_back() {
        for state in [&[][..], &[created(), Event::Deleted]] {
            check(state, rename("Billing", None, false), Err(Rejection::NotFound));
        }
        check(&[], Command::Delete { expected: None }, Err(Rejection::NotFound));
        for name_taken in [false, true] {
            check(&[created(), Event::Deleted], create(name_taken), Err(Rejection::NotFound));
        }
        let state = given(&[created(), Event::Deleted, renamed("Billing")]);
        assert_eq!(state, Entry::Deleted);
    }

    #[test]
    fn a_caller_who_knows_another_version_is_refused() {
        let state = [created(), renamed("Billing")];
        for (expected, fits) in [(None, true), (Some(2), true), (Some(1), false), (Some(3), false)]
        {
            check(&state, rename("Payments", expected, false), then(fits, &[renamed("Payments")]));
            check(&state, rename("Billing", expected, false), then(fits, &[]));
            check(&state, Command::Delete { expected }, then(fits, &[Event::Deleted]));
        }
    }

    #[test]
    fn events_make_the_team_and_date_it() {
        let state = given(&[created(), renamed("Billing")]);
        let life = Life::begun(&stamp(1)).touched(&stamp(2));
        let expected = Team { id: TeamId::from_bytes([1; 16]), name: name("Billing"), life };
        assert_eq!(state, Entry::Live(expected));
        assert_eq!((life.created_at, life.updated_at, life.version), (stamp(1).at, stamp(2).at, 2));
    }
}
