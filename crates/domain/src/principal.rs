//! A principal: who administers Gander, with roles and one credential.
//!
//! Must not know the credential itself, only its digest, nor the other principals.

use std::collections::BTreeSet;

use crate::access::Role;
use crate::aggregate::{Entry, Life, Rejection, Stamp, check_version};
use crate::id::PrincipalId;
use crate::name::DisplayName;
use crate::secret::{Digest, LastFour};
use crate::time::Timestamp;

/// The most roles that one principal may have.
pub const MAX_ROLES: usize = 100;

/// A principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Its id.
    pub id: PrincipalId,
    /// What people call it.
    pub name: DisplayName,
    /// Its roles.
    pub roles: BTreeSet<Role>,
    /// The digest of its credential; none once its end is in the journal.
    pub digest: Option<Digest>,
    /// The end of its credential.
    pub last_four: LastFour,
    /// When its credential stops working.
    pub expires_at: Option<Timestamp>,
    /// When it was made and changed.
    pub life: Life,
}

impl Principal {
    /// Whether its time is over: see [`crate::token::Token::expired`].
    #[must_use]
    pub fn expired(&self, now: Timestamp) -> bool {
        self.digest.is_none() || self.expires_at.is_some_and(|at| at <= now)
    }

    /// Whether it can manage everything and always will: one such must remain.
    #[must_use]
    pub fn is_lasting_admin(&self) -> bool {
        self.digest.is_some() && is_lasting_admin(&self.roles, self.expires_at)
    }
}

fn is_lasting_admin(roles: &BTreeSet<Role>, expires_at: Option<Timestamp>) -> bool {
    roles.contains(&Role::GlobalAdmin) && expires_at.is_none()
}

/// What may be asked of a principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Make it.
    Create {
        /// What people call it.
        name: DisplayName,
        /// Whether another live principal has that name.
        name_taken: bool,
        /// Its roles.
        roles: BTreeSet<Role>,
        /// Whether all teams of the roles live.
        teams_live: bool,
        /// The digest of its credential.
        digest: Digest,
        /// The end of its credential.
        last_four: LastFour,
        /// When its credential stops working.
        expires_at: Option<Timestamp>,
        /// Whether the bootstrap credential asks: it may make only a lasting Global Admin.
        by_bootstrap: bool,
        /// The time of the command.
        now: Timestamp,
    },
    /// Change what is given.
    Update {
        /// The version that the caller knows, if it says so.
        expected: Option<u64>,
        /// The new name.
        name: Option<DisplayName>,
        /// Whether another live principal has that name.
        name_taken: bool,
        /// The new roles, all of them.
        roles: Option<BTreeSet<Role>>,
        /// Whether all teams of roles that it did not have live: one that was deleted since stands in
        /// what the caller has read.
        teams_live: bool,
        /// The new expiry; `Some(None)` for never.
        expires_at: Option<Option<Timestamp>>,
        /// Whether another lasting Global Admin lives.
        other_lasting_admin: bool,
        /// The time of the command.
        now: Timestamp,
    },
    /// Replace its credential.
    ReplaceCredential {
        /// The version that the caller knows, if it says so.
        expected: Option<u64>,
        /// The digest of the new one.
        digest: Digest,
        /// The end of the new one.
        last_four: LastFour,
        /// The time of the command.
        now: Timestamp,
    },
    /// Say for good that it has expired, where its time is over.
    Expire {
        /// The time of the command.
        now: Timestamp,
    },
    /// Delete it for good.
    Delete {
        /// The version that the caller knows, if it says so.
        expected: Option<u64>,
        /// Whether another lasting Global Admin lives.
        other_lasting_admin: bool,
    },
}

/// What has happened to a principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was made.
    Created {
        /// What people call it.
        name: DisplayName,
        /// Its roles.
        roles: BTreeSet<Role>,
        /// The digest of its credential.
        digest: Digest,
        /// The end of its credential.
        last_four: LastFour,
        /// When its credential stops working.
        expires_at: Option<Timestamp>,
    },
    /// It got another name.
    Renamed {
        /// The new name.
        name: DisplayName,
    },
    /// It got other roles.
    RolesReplaced {
        /// All its roles.
        roles: BTreeSet<Role>,
    },
    /// It got another expiry.
    ExpirySet {
        /// When its credential stops working.
        expires_at: Option<Timestamp>,
    },
    /// Its credential was replaced.
    CredentialReplaced {
        /// The digest of the new one.
        digest: Digest,
        /// The end of the new one.
        last_four: LastFour,
    },
    /// It has expired: see [`crate::token::Event::Expired`].
    Expired {
        /// The end of that credential.
        last_four: LastFour,
    },
    /// It was deleted for good.
    Deleted,
}

/// What the command leads to; no events where all is as asked already.
///
/// A credential that has expired stays so, as the secret of a token does.
///
/// # Errors
/// The command is refused in this state.
pub fn decide(state: &Entry<Principal>, command: Command) -> Result<Vec<Event>, Rejection> {
    match (state, command) {
        (Entry::Absent, command @ Command::Create { .. }) => create(command),
        (Entry::Live(_), Command::Create { .. }) | (Entry::Deleted, Command::Delete { .. }) => {
            Ok(vec![])
        }
        (Entry::Live(principal), command @ Command::Update { .. }) => update(principal, command),
        (
            Entry::Live(principal),
            Command::ReplaceCredential { expected, digest, last_four, now },
        ) => {
            check_version(&principal.life, expected)?;
            if principal.expired(now) {
                return Err(Rejection::Expired);
            }
            Ok(vec![Event::CredentialReplaced { digest, last_four }])
        }
        (Entry::Live(principal), Command::Expire { now }) => {
            let over = principal.digest.is_some() && principal.expired(now);
            let last_four = principal.last_four;
            Ok(if over { vec![Event::Expired { last_four }] } else { vec![] })
        }
        (Entry::Live(principal), Command::Delete { expected, other_lasting_admin }) => {
            check_version(&principal.life, expected)?;
            if principal.is_lasting_admin() && !other_lasting_admin {
                return Err(Rejection::LastGlobalAdmin);
            }
            Ok(vec![Event::Deleted])
        }
        (Entry::Absent | Entry::Deleted, _) => Err(Rejection::NotFound),
    }
}

fn create(command: Command) -> Result<Vec<Event>, Rejection> {
    let Command::Create {
        name,
        name_taken,
        roles,
        teams_live,
        digest,
        last_four,
        expires_at,
        by_bootstrap,
        now,
    } = command
    else {
        return Ok(vec![]);
    };
    if by_bootstrap && !is_lasting_admin(&roles, expires_at) {
        return Err(Rejection::FirstMustBeGlobalAdmin);
    }
    if !teams_live {
        return Err(Rejection::RoleTeamNotFound);
    }
    if name_taken {
        return Err(Rejection::NameTaken);
    }
    check_expiry(expires_at, now)?;
    Ok(vec![Event::Created { name, roles, digest, last_four, expires_at }])
}

fn update(principal: &Principal, command: Command) -> Result<Vec<Event>, Rejection> {
    let Command::Update {
        expected,
        name,
        name_taken,
        roles,
        teams_live,
        expires_at,
        other_lasting_admin,
        now,
    } = command
    else {
        return Ok(vec![]);
    };
    check_version(&principal.life, expected)?;
    if !teams_live {
        return Err(Rejection::RoleTeamNotFound);
    }
    let name = name.filter(|name| *name != principal.name);
    if name.is_some() && name_taken {
        return Err(Rejection::NameTaken);
    }
    let roles = roles.filter(|roles| *roles != principal.roles);
    let expires_at = expires_at.filter(|expires_at| *expires_at != principal.expires_at);
    if let Some(expires_at) = expires_at {
        if principal.expired(now) {
            return Err(Rejection::Expired);
        }
        check_expiry(expires_at, now)?;
    }
    let lasting = is_lasting_admin(
        roles.as_ref().unwrap_or(&principal.roles),
        expires_at.unwrap_or(principal.expires_at),
    );
    if principal.is_lasting_admin() && !lasting && !other_lasting_admin {
        return Err(Rejection::LastGlobalAdmin);
    }
    Ok([
        name.map(|name| Event::Renamed { name }),
        roles.map(|roles| Event::RolesReplaced { roles }),
        expires_at.map(|expires_at| Event::ExpirySet { expires_at }),
    ]
    .into_iter()
    .flatten()
    .collect())
}

fn check_expiry(expires_at: Option<Timestamp>, now: Timestamp) -> Result<(), Rejection> {
    match expires_at {
        Some(at) if at <= now => Err(Rejection::ExpiryInThePast),
        Some(_) | None => Ok(()),
    }
}

/// The principal after the event.
#[must_use]
pub fn evolve(
    state: Entry<Principal>,
    id: PrincipalId,
    event: &Event,
    stamp: &Stamp,
) -> Entry<Principal> {
    match event {
        Event::Created { name, roles, digest, last_four, expires_at } => Entry::Live(Principal {
            id,
            name: name.clone(),
            roles: roles.clone(),
            digest: Some(*digest),
            last_four: *last_four,
            expires_at: *expires_at,
            life: Life::begun(stamp),
        }),
        Event::Renamed { name } => {
            state.map(|principal| Principal { name: name.clone(), ..touched(principal, stamp) })
        }
        Event::RolesReplaced { roles } => {
            state.map(|principal| Principal { roles: roles.clone(), ..touched(principal, stamp) })
        }
        Event::ExpirySet { expires_at } => state
            .map(|principal| Principal { expires_at: *expires_at, ..touched(principal, stamp) }),
        Event::CredentialReplaced { digest, last_four } => state.map(|principal| Principal {
            digest: Some(*digest),
            last_four: *last_four,
            ..touched(principal, stamp)
        }),
        Event::Expired { last_four } => state.map(|principal| Principal {
            digest: None,
            last_four: *last_four,
            ..touched(principal, stamp)
        }),
        Event::Deleted => Entry::Deleted,
    }
}

fn touched(principal: Principal, stamp: &Stamp) -> Principal {
    Principal { life: principal.life.touched(stamp), ..principal }
}

#[cfg(test)]
#[path = "principal_tests.rs"]
mod tests;
