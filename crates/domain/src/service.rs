//! A service of a team: its API filters, its maintenance windows, and whether it is disabled.
//!
//! Must not know whether its team lives, nor its tokens or incidents.

use std::sync::Arc;

use crate::aggregate::{Entry, Life, Rejection, Stamp, check_version};
use crate::filter::Filters;
use crate::id::{ServiceId, TeamId};
use crate::maintenance::{self, Windows};
use crate::name::DisplayName;

/// A service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its id.
    pub id: ServiceId,
    /// Its team, for good.
    pub team: TeamId,
    /// What people call it.
    pub name: DisplayName,
    /// While disabled: nothing is created, resolved or logged.
    pub disabled: bool,
    /// Its API filters, in the order in which they are tried.
    pub filters: Arc<Filters>,
    /// Its maintenance windows.
    pub maintenance: Arc<Windows>,
    /// When it was made and changed.
    pub life: Life,
}

/// What may be asked of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Make it.
    Create {
        /// Its team.
        team: TeamId,
        /// Whether that team lives.
        team_lives: bool,
        /// What people call it.
        name: DisplayName,
        /// Whether another live service of the team has that name.
        name_taken: bool,
        /// Whether it begins disabled.
        disabled: bool,
        /// Its filters.
        filters: Arc<Filters>,
    },
    /// Change what is given.
    Update {
        /// The version that the caller knows, if it says so.
        expected: Option<u64>,
        /// The new name.
        name: Option<DisplayName>,
        /// Whether another live service of the team has that name.
        name_taken: bool,
        /// Whether it is to be disabled.
        disabled: Option<bool>,
        /// The new filters, all of them.
        filters: Option<Arc<Filters>>,
    },
    /// Change its maintenance windows.
    Maintenance(maintenance::Command),
    /// Delete it for good.
    Delete {
        /// The version that the caller knows, if it says so.
        expected: Option<u64>,
    },
}

/// What has happened to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was made.
    Created {
        /// Its team.
        team: TeamId,
        /// What people call it.
        name: DisplayName,
        /// Whether it begins disabled.
        disabled: bool,
        /// Its filters.
        filters: Arc<Filters>,
    },
    /// It got another name.
    Renamed {
        /// The new name.
        name: DisplayName,
    },
    /// It was disabled or enabled.
    DisabledSet {
        /// Whether it is disabled.
        disabled: bool,
    },
    /// It got other filters.
    FiltersReplaced {
        /// All its filters.
        filters: Arc<Filters>,
    },
    /// Its maintenance windows changed.
    Maintenance(maintenance::Event),
    /// It was deleted for good.
    Deleted,
}

/// What the command leads to; no events where all is as asked already.
///
/// # Errors
/// The command is refused in this state.
pub fn decide(state: &Entry<Service>, command: Command) -> Result<Vec<Event>, Rejection> {
    match (state, command) {
        (Entry::Absent, Command::Create { team_lives: false, .. }) => {
            Err(Rejection::ParentNotFound)
        }
        (Entry::Absent, Command::Create { name_taken: true, .. }) => Err(Rejection::NameTaken),
        (Entry::Absent, Command::Create { team, name, disabled, filters, .. }) => {
            Ok(vec![Event::Created { team, name, disabled, filters }])
        }
        (Entry::Live(_), Command::Create { .. }) | (Entry::Deleted, Command::Delete { .. }) => {
            Ok(vec![])
        }
        (Entry::Live(service), command @ Command::Update { .. }) => update(service, command),
        (Entry::Live(service), Command::Maintenance(command)) => {
            let events = maintenance::decide(&service.maintenance, command)?;
            Ok(events.into_iter().map(Event::Maintenance).collect())
        }
        (Entry::Live(service), Command::Delete { expected }) => {
            check_version(&service.life, expected)?;
            Ok(vec![Event::Deleted])
        }
        (Entry::Absent | Entry::Deleted, _) => Err(Rejection::NotFound),
    }
}

fn update(service: &Service, command: Command) -> Result<Vec<Event>, Rejection> {
    let Command::Update { expected, name, name_taken, disabled, filters } = command else {
        return Ok(vec![]);
    };
    check_version(&service.life, expected)?;
    let name = name.filter(|name| *name != service.name);
    if name.is_some() && name_taken {
        return Err(Rejection::NameTaken);
    }
    let disabled = disabled.filter(|disabled| *disabled != service.disabled);
    let filters = filters.filter(|filters| *filters != service.filters);
    Ok([
        name.map(|name| Event::Renamed { name }),
        disabled.map(|disabled| Event::DisabledSet { disabled }),
        filters.map(|filters| Event::FiltersReplaced { filters }),
    ]
    .into_iter()
    .flatten()
    .collect())
}

/// The service after the event.
#[must_use]
pub fn evolve(
    state: Entry<Service>,
    id: ServiceId,
    event: &Event,
    stamp: &Stamp,
) -> Entry<Service> {
    match event {
        Event::Created { team, name, disabled, filters } => Entry::Live(Service {
            id,
            team: *team,
            name: name.clone(),
            disabled: *disabled,
            filters: Arc::clone(filters),
            maintenance: Arc::default(),
            life: Life::begun(stamp),
        }),
        Event::Renamed { name } => {
            state.map(|service| Service { name: name.clone(), ..touched(service, stamp) })
        }
        Event::DisabledSet { disabled } => {
            state.map(|service| Service { disabled: *disabled, ..touched(service, stamp) })
        }
        Event::FiltersReplaced { filters } => {
            state.map(|service| Service { filters: Arc::clone(filters), ..touched(service, stamp) })
        }
        Event::Maintenance(event) => state.map(|mut service| {
            Arc::make_mut(&mut service.maintenance).evolve(event, stamp);
            touched(service, stamp)
        }),
        Event::Deleted => Entry::Deleted,
    }
}

fn touched(service: Service, stamp: &Stamp) -> Service {
    Service { life: service.life.touched(stamp), ..service }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
