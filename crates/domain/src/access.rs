//! Roles and what each may do. Deny by default: what is not listed here is refused.
//!
//! Must not know the calls of any interface; these are rights, not methods.

use std::collections::BTreeSet;

use crate::id::TeamId;

/// What a principal is. It may be several; its rights are the union.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// May do everything everywhere.
    GlobalAdmin,
    /// Reads everything.
    Stakeholder,
    /// Manages the services and tokens of the team, and handles its incidents.
    TeamManager(TeamId),
    /// Reads the team and handles its incidents.
    Responder(TeamId),
    /// Reads the team.
    Observer(TeamId),
}

impl Role {
    /// The team that it is in; none for those everywhere.
    #[must_use]
    pub const fn team(self) -> Option<TeamId> {
        match self {
            Self::GlobalAdmin | Self::Stakeholder => None,
            Self::TeamManager(team) | Self::Responder(team) | Self::Observer(team) => Some(team),
        }
    }
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Manage teams, principals and Global tokens.
    ManageInstallation,
    /// Read principals, Global tokens and the audit log.
    ReadInstallation,
    /// Manage services, filters, maintenance windows, and Team and Service tokens of the team.
    ManageTeam(TeamId),
    /// Acknowledge and resolve incidents of the team.
    HandleIncidents(TeamId),
    /// Read the team, its services, tokens and incidents.
    ReadTeam(TeamId),
}

/// Whether somebody with these roles may do that.
#[must_use]
pub fn permits(roles: &BTreeSet<Role>, action: Action) -> bool {
    roles.iter().any(|role| role_permits(*role, action))
}

fn role_permits(role: Role, action: Action) -> bool {
    match (role, action) {
        (Role::GlobalAdmin, _)
        | (Role::Stakeholder, Action::ReadInstallation | Action::ReadTeam(_)) => true,
        (
            Role::TeamManager(own),
            Action::ManageTeam(team) | Action::HandleIncidents(team) | Action::ReadTeam(team),
        )
        | (Role::Responder(own), Action::HandleIncidents(team) | Action::ReadTeam(team))
        | (Role::Observer(own), Action::ReadTeam(team)) => own == team,
        (
            Role::Stakeholder | Role::TeamManager(_) | Role::Responder(_) | Role::Observer(_),
            Action::ManageInstallation
            | Action::ReadInstallation
            | Action::ManageTeam(_)
            | Action::HandleIncidents(_),
        ) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: TeamId = TeamId::from_bytes([1; 16]);
    const OTHER: TeamId = TeamId::from_bytes([2; 16]);

    fn check(role: Role, allowed: [bool; 8]) {
        let actions = [
            Action::ManageInstallation,
            Action::ReadInstallation,
            Action::ManageTeam(OWN),
            Action::HandleIncidents(OWN),
            Action::ReadTeam(OWN),
            Action::ManageTeam(OTHER),
            Action::HandleIncidents(OTHER),
            Action::ReadTeam(OTHER),
        ];
        let got = actions.map(|action| permits(&BTreeSet::from([role]), action));
        assert_eq!(got, allowed, "{role:?}");
    }

    #[test]
    fn each_role_may_do_what_the_table_says() {
        check(Role::GlobalAdmin, [true; 8]);
        check(Role::Stakeholder, [false, true, false, false, true, false, false, true]);
        check(Role::TeamManager(OWN), [false, false, true, true, true, false, false, false]);
        check(Role::Responder(OWN), [false, false, false, true, true, false, false, false]);
        check(Role::Observer(OWN), [false, false, false, false, true, false, false, false]);
    }

    #[test]
    fn rights_are_the_union_of_roles() {
        let roles = BTreeSet::from([Role::Observer(OWN), Role::Responder(OTHER)]);
        assert!(permits(&roles, Action::ReadTeam(OWN)));
        assert!(permits(&roles, Action::HandleIncidents(OTHER)));
        assert!(!permits(&roles, Action::HandleIncidents(OWN)));
        assert!(!permits(&BTreeSet::new(), Action::ReadTeam(OWN)));
    }
}
