//! An API token: what it reaches, its life cycle, and when it opens the door.
//!
//! Must not know the secret itself, only its digest, nor whether its team or service lives.

use std::time::Duration;

use crate::aggregate::{Entry, Life, Rejection, Stamp, check_version};
use crate::id::TokenId;
use crate::name::DisplayName;
use crate::reach::Reach;
use crate::secret::{Digest, LastFour};
use crate::time::Timestamp;

/// For how long tracking is on after it was switched on (PRODUCT, section 7).
pub const TRACKING_LASTS: Duration = Duration::from_secs(48 * 60 * 60);

/// An API token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// What people call it.
    pub name: DisplayName,
    /// What it reaches, for good.
    pub reach: Reach,
    /// The digest of its secret; none once its end is in the journal.
    pub digest: Option<Digest>,
    /// The end of its secret.
    pub last_four: LastFour,
    /// When it stops working, for good.
    pub expires_at: Option<Timestamp>,
    /// Whether it may come as the URL parameter.
    pub url_parameter_allowed: bool,
    /// Whether alerts beyond its limit are answered 503, for senders that take 429 as final.
    pub unavailable_over_limit: bool,
    /// Until when its calls are kept in the API log; none while tracking is off.
    pub tracked_until: Option<Timestamp>,
    /// When it was made and changed.
    pub life: Life,
}

impl Token {
    /// Whether its time is over: once its end is in the journal, whatever the clock says.
    #[must_use]
    pub fn expired(&self, now: Timestamp) -> bool {
        self.digest.is_none() || Admission::from(self).expired(now)
    }

    /// Whether a call that is received at this time is kept in the API log. From the deadline on it is
    /// not, whether or not the end of tracking is in the journal yet.
    #[must_use]
    pub fn tracked(&self, now: Timestamp) -> bool {
        Admission::from(self).tracked(now).is_some()
    }
}

/// What lets an alert in, and how: all that is needed of a token for each of them, small enough to lie
/// where its secret is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The token.
    pub id: TokenId,
    /// What it reaches.
    pub reach: Reach,
    /// When it stops working, for good.
    pub expires_at: Option<Timestamp>,
    /// Whether it may come as the URL parameter.
    pub url_parameter_allowed: bool,
    /// Whether alerts beyond its limit are answered 503.
    pub unavailable_over_limit: bool,
    /// Until when its calls are kept in the API log.
    pub tracked_until: Option<Timestamp>,
}

impl From<&Token> for Admission {
    fn from(token: &Token) -> Self {
        Self {
            id: token.id,
            reach: token.reach,
            expires_at: token.expires_at,
            url_parameter_allowed: token.url_parameter_allowed,
            unavailable_over_limit: token.unavailable_over_limit,
            tracked_until: token.tracked_until,
        }
    }
}

impl Admission {
    /// Whether its time is over.
    #[must_use]
    pub fn expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// Until when calls are kept in the API log; none where one that is received at this time is not: see
    /// [`Token::tracked`].
    #[must_use]
    pub fn tracked(&self, now: Timestamp) -> Option<Timestamp> {
        self.tracked_until.filter(|until| now < *until)
    }
}

/// What may be asked of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Make it.
    Create {
        /// What people call it.
        name: DisplayName,
        /// Whether another live token of the same reach has that name.
        name_taken: bool,
        /// What it reaches.
        reach: Reach,
        /// Whether what it reaches lives.
        target_lives: bool,
        /// The digest of its secret.
        digest: Digest,
        /// The end of its secret.
        last_four: LastFour,
        /// When it stops working.
        expires_at: Option<Timestamp>,
        /// Whether it may come as the URL parameter.
        url_parameter_allowed: bool,
        /// Whether alerts beyond its limit are answered 503 in place of 429.
        unavailable_over_limit: bool,
        /// Whether its calls are tracked from the start.
        tracked: bool,
        /// The time of the command.
        now: Timestamp,
    },
    /// Change what is given.
    Update {
        /// The version that the caller knows, if it says so.
        expected: Option<u64>,
        /// The new name.
        name: Option<DisplayName>,
        /// Whether another live token of the same reach has that name.
        name_taken: bool,
        /// The new expiry; `Some(None)` for never.
        expires_at: Option<Option<Timestamp>>,
        /// Whether it may come as the URL parameter.
        url_parameter_allowed: Option<bool>,
        /// Whether alerts beyond its limit are answered 503 in place of 429.
        unavailable_over_limit: Option<bool>,
        /// Whether its calls are tracked; `true` where they are begins the time anew.
        tracked: Option<bool>,
        /// The time of the command.
        now: Timestamp,
    },
    /// Replace its secret.
    ReplaceSecret {
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
    /// End its tracking, whose time is over.
    EndTracking {
        /// The time of the command.
        now: Timestamp,
    },
    /// Delete it for good.
    Delete {
        /// The version that the caller knows, if it says so.
        expected: Option<u64>,
    },
}

/// What has happened to a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was made.
    Created {
        /// What people call it.
        name: DisplayName,
        /// What it reaches.
        reach: Reach,
        /// The digest of its secret.
        digest: Digest,
        /// The end of its secret.
        last_four: LastFour,
        /// When it stops working.
        expires_at: Option<Timestamp>,
        /// Whether it may come as the URL parameter.
        url_parameter_allowed: bool,
        /// Whether alerts beyond its limit are answered 503 in place of 429.
        unavailable_over_limit: bool,
        /// Until when its calls are tracked.
        tracked_until: Option<Timestamp>,
    },
    /// It got another name.
    Renamed {
        /// The new name.
        name: DisplayName,
    },
    /// It got another expiry.
    ExpirySet {
        /// When it stops working.
        expires_at: Option<Timestamp>,
    },
    /// The URL parameter was allowed or forbidden.
    UrlParameterSet {
        /// Whether it is allowed.
        allowed: bool,
    },
    /// The answer to alerts beyond its limit was chosen.
    OverLimitSet {
        /// Whether it is 503 in place of 429.
        unavailable: bool,
    },
    /// Tracking was switched on or off.
    TrackingSet {
        /// Until when its calls are tracked; none for off.
        until: Option<Timestamp>,
    },
    /// The time of its tracking is over.
    TrackingEnded,
    /// Its secret was replaced.
    SecretReplaced {
        /// The digest of the new one.
        digest: Digest,
        /// The end of the new one.
        last_four: LastFour,
    },
    /// It has expired: what it had for a secret opens nothing any more, also when the clock is set back.
    Expired {
        /// The end of that secret, which is shown on.
        last_four: LastFour,
    },
    /// It was deleted for good.
    Deleted,
}

/// What the command leads to; no events where all is as asked already.
///
/// A token that has expired stays so: neither a later expiry nor a new secret revives it.
///
/// # Errors
/// The command is refused in this state.
pub fn decide(state: &Entry<Token>, command: Command) -> Result<Vec<Event>, Rejection> {
    match (state, command) {
        (Entry::Absent, command @ Command::Create { .. }) => create(command),
        (Entry::Live(_), Command::Create { .. }) | (Entry::Deleted, Command::Delete { .. }) => {
            Ok(vec![])
        }
        (Entry::Live(token), command @ Command::Update { .. }) => update(token, command),
        (Entry::Live(token), Command::ReplaceSecret { expected, digest, last_four, now }) => {
            check_version(&token.life, expected)?;
            if token.expired(now) {
                return Err(Rejection::Expired);
            }
            Ok(vec![Event::SecretReplaced { digest, last_four }])
        }
        (Entry::Live(token), Command::Expire { now }) => {
            let over = token.digest.is_some() && token.expired(now);
            let last_four = token.last_four;
            Ok(if over { vec![Event::Expired { last_four }] } else { vec![] })
        }
        (Entry::Live(token), Command::EndTracking { now }) => {
            let over = token.tracked_until.is_some_and(|until| until <= now);
            Ok(if over { vec![Event::TrackingEnded] } else { vec![] })
        }
        (Entry::Live(token), Command::Delete { expected }) => {
            check_version(&token.life, expected)?;
            Ok(vec![Event::Deleted])
        }
        (Entry::Absent | Entry::Deleted, _) => Err(Rejection::NotFound),
    }
}

fn create(command: Command) -> Result<Vec<Event>, Rejection> {
    let Command::Create {
        name,
        name_taken,
        reach,
        target_lives,
        digest,
        last_four,
        expires_at,
        url_parameter_allowed,
        unavailable_over_limit,
        tracked,
        now,
    } = command
    else {
        return Ok(vec![]);
    };
    if !target_lives {
        return Err(Rejection::ParentNotFound);
    }
    if name_taken {
        return Err(Rejection::NameTaken);
    }
    check_expiry(expires_at, now)?;
    Ok(vec![Event::Created {
        name,
        reach,
        digest,
        last_four,
        expires_at,
        url_parameter_allowed,
        unavailable_over_limit,
        tracked_until: tracked.then(|| now.plus(TRACKING_LASTS)),
    }])
}

fn update(token: &Token, command: Command) -> Result<Vec<Event>, Rejection> {
    let Command::Update {
        expected,
        name,
        name_taken,
        expires_at,
        url_parameter_allowed,
        unavailable_over_limit,
        tracked,
        now,
    } = command
    else {
        return Ok(vec![]);
    };
    check_version(&token.life, expected)?;
    let name = name.filter(|name| *name != token.name);
    if name.is_some() && name_taken {
        return Err(Rejection::NameTaken);
    }
    let expires_at = expires_at.filter(|expires_at| *expires_at != token.expires_at);
    if let Some(expires_at) = expires_at {
        if token.expired(now) {
            return Err(Rejection::Expired);
        }
        check_expiry(expires_at, now)?;
    }
    let url = url_parameter_allowed.filter(|allowed| *allowed != token.url_parameter_allowed);
    let over = unavailable_over_limit.filter(|over| *over != token.unavailable_over_limit);
    let until = tracked.map(|tracked| tracked.then(|| now.plus(TRACKING_LASTS)));
    let until = until.filter(|until| *until != token.tracked_until);
    Ok([
        name.map(|name| Event::Renamed { name }),
        expires_at.map(|expires_at| Event::ExpirySet { expires_at }),
        url.map(|allowed| Event::UrlParameterSet { allowed }),
        over.map(|unavailable| Event::OverLimitSet { unavailable }),
        until.map(|until| Event::TrackingSet { until }),
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

/// The token after the event.
#[must_use]
pub fn evolve(state: Entry<Token>, id: TokenId, event: &Event, stamp: &Stamp) -> Entry<Token> {
    match event {
        Event::Created {
            name,
            reach,
            digest,
            last_four,
            expires_at,
            url_parameter_allowed,
            unavailable_over_limit,
            tracked_until,
        } => Entry::Live(Token {
            id,
            name: name.clone(),
            reach: *reach,
            digest: Some(*digest),
            last_four: *last_four,
            expires_at: *expires_at,
            url_parameter_allowed: *url_parameter_allowed,
            unavailable_over_limit: *unavailable_over_limit,
            tracked_until: *tracked_until,
            life: Life::begun(stamp),
        }),
        Event::Renamed { name } => {
            state.map(|token| Token { name: name.clone(), ..touched(token, stamp) })
        }
        Event::ExpirySet { expires_at } => {
            state.map(|token| Token { expires_at: *expires_at, ..touched(token, stamp) })
        }
        Event::UrlParameterSet { allowed } => {
            state.map(|token| Token { url_parameter_allowed: *allowed, ..touched(token, stamp) })
        }
        Event::OverLimitSet { unavailable } => state
            .map(|token| Token { unavailable_over_limit: *unavailable, ..touched(token, stamp) }),
        Event::TrackingSet { until } => {
            state.map(|token| Token { tracked_until: *until, ..touched(token, stamp) })
        }
        Event::TrackingEnded => {
            state.map(|token| Token { tracked_until: None, ..touched(token, stamp) })
        }
        Event::SecretReplaced { digest, last_four } => state.map(|token| Token {
            digest: Some(*digest),
            last_four: *last_four,
            ..touched(token, stamp)
        }),
        Event::Expired { last_four } => state.map(|token| Token {
            digest: None,
            last_four: *last_four,
            ..touched(token, stamp)
        }),
        Event::Deleted => Entry::Deleted,
    }
}

fn touched(token: Token, stamp: &Stamp) -> Token {
    Token { life: token.life.touched(stamp), ..token }
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
