//! Maintenance windows of a service: an alert that one covers triggers nothing there.
//!
//! Time edges are those of the alert's arrival. A window that has ended is kept for a while with
//! its end, so that an alert that came before the end and is worked on later is still covered.
//! Must not know services or incidents, nor what an alert would trigger.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::aggregate::{Rejection, Stamp};
use crate::filter::{Item, MAX_ITEMS, contains_all};
use crate::id::MaintenanceId;
use crate::payload::Payload;
use crate::time::Timestamp;

/// The most windows that a service keeps.
pub const MAX_WINDOWS: usize = 50;
/// The most bytes of all texts in the windows that a service keeps: with its filters they must fit
/// into one message of any broker.
pub const MAX_TEXT_BYTES: usize = 128 * 1024;
/// The most days that a window lasts.
pub const MAX_DAYS: u64 = 366;
/// The most tags of a window.
pub const MAX_TAGS: usize = 10;
/// How long after its end a window is kept, unless others need the room.
pub const MEMORY: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The most windows that are named for one alert.
pub const MAX_NAMED: usize = 10;

/// Why tags are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too many tags.
    #[error("a maintenance window can have at most {MAX_TAGS} tags")]
    Tags,
    /// No texts, or too many.
    #[error("a tag must have 1 to {MAX_ITEMS} texts to contain")]
    Texts,
}

/// Texts that must all occur in a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(Vec<Item>);

impl Tag {
    /// A tag.
    ///
    /// # Errors
    /// It has no texts or too many.
    pub fn new(texts: Vec<Item>) -> Result<Self, Error> {
        match texts.len() {
            1..=MAX_ITEMS => Ok(Self(texts)),
            _ => Err(Error::Texts),
        }
    }

    /// The texts.
    #[must_use]
    pub fn texts(&self) -> &[Item] {
        &self.0
    }
}

/// Which payloads a window is for: those that a tag fits, without tags every one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(Vec<Tag>);

impl Tags {
    /// Tags.
    ///
    /// # Errors
    /// There are too many.
    pub fn new(tags: Vec<Tag>) -> Result<Self, Error> {
        if tags.len() > MAX_TAGS { Err(Error::Tags) } else { Ok(Self(tags)) }
    }

    /// The tags.
    #[must_use]
    pub fn as_slice(&self) -> &[Tag] {
        &self.0
    }

    fn fit(&self, payload: &Payload<'_>) -> bool {
        let fits = |tag: &Tag| contains_all(payload.lower(), &tag.0);
        self.0.is_empty() || self.0.iter().any(fits)
    }

    fn bytes(&self) -> usize {
        self.0.iter().flat_map(|tag| &tag.0).map(|text| text.as_str().len()).sum()
    }
}

/// Where a window is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has not begun.
    Upcoming,
    /// It has begun and not ended.
    Active,
    /// It has ended, was ended, or was cancelled.
    Ended,
}

/// A maintenance window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its id.
    pub id: MaintenanceId,
    /// When it begins; this moment is in it.
    pub start: Timestamp,
    /// When it ends or was ended; this moment is not in it. Before the start if it was cancelled.
    pub end: Timestamp,
    /// Which payloads it is for.
    pub tags: Arc<Tags>,
    /// The commit that made it.
    pub made: Stamp,
}

impl Window {
    /// Where it is in its life at this time.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> State {
        if self.end <= now {
            State::Ended
        } else if self.start <= now {
            State::Active
        } else {
            State::Upcoming
        }
    }

    /// Whether it covers an alert that was received at this time with this payload.
    #[must_use]
    pub fn covers(&self, at: Timestamp, payload: &Payload<'_>) -> bool {
        self.start <= at && at < self.end && self.tags.fit(payload)
    }
}

/// The windows of a service that are kept, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Windows(BTreeMap<MaintenanceId, Window>);

impl FromIterator<Window> for Windows {
    fn from_iter<T: IntoIterator<Item = Window>>(windows: T) -> Self {
        Self(windows.into_iter().map(|window| (window.id, window)).collect())
    }
}

impl Windows {
    /// The windows, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Window> {
        self.0.values()
    }

    /// The window, if it is kept.
    #[must_use]
    pub fn get(&self, id: MaintenanceId) -> Option<&Window> {
        self.0.get(&id)
    }

    /// The windows that cover an alert that was received at this time with this payload.
    #[must_use]
    pub fn covering(&self, at: Timestamp, payload: &Payload<'_>) -> WindowIds {
        self.iter().filter(|window| window.covers(at, payload)).map(|window| window.id).collect()
    }

    /// Whether one of them is active.
    #[must_use]
    pub fn active(&self, now: Timestamp) -> bool {
        self.iter().any(|window| window.state(now) == State::Active)
    }

    /// Applies an event.
    pub fn evolve(&mut self, event: &Event, stamp: &Stamp) {
        match event {
            Event::Created { id, start, end, tags, forgotten } => {
                self.0.retain(|id, _| !forgotten.contains(id));
                let (tags, made) = (Arc::clone(tags), *stamp);
                self.0.insert(*id, Window { id: *id, start: *start, end: *end, tags, made });
            }
            Event::Ended { id, at } => {
                if let Some(window) = self.0.get_mut(id) {
                    window.end = *at;
                }
            }
        }
    }

    /// Which windows are forgotten where another one with these tags is made: those that ended
    /// long ago, and of the others that have ended as many as it takes, the earliest first.
    fn make_room(&self, tags: &Tags, now: Timestamp) -> Result<Vec<MaintenanceId>, Rejection> {
        let mut ended: Vec<_> = self.iter().filter(|w| w.state(now) == State::Ended).collect();
        ended.sort_by_key(|window| (window.end, window.id));
        let mut count = self.0.len() + 1;
        let mut bytes = self.iter().map(|window| window.tags.bytes()).sum::<usize>() + tags.bytes();
        let mut forgotten = Vec::new();
        for window in ended {
            let full = count > MAX_WINDOWS || bytes > MAX_TEXT_BYTES;
            if !full && now.since(window.end) <= MEMORY {
                break;
            }
            count -= 1;
            bytes -= window.tags.bytes();
            forgotten.push(window.id);
        }
        let fits = count <= MAX_WINDOWS && bytes <= MAX_TEXT_BYTES;
        if fits { Ok(forgotten) } else { Err(Rejection::TooManyWindows) }
    }
}

/// What may be asked of the windows of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Make one.
    Create {
        /// Its id.
        id: MaintenanceId,
        /// When it begins; none for now.
        start: Option<Timestamp>,
        /// When it ends.
        end: Timestamp,
        /// Which payloads it is for.
        tags: Arc<Tags>,
        /// The time.
        now: Timestamp,
    },
    /// End one at once; one that has not begun is cancelled.
    End {
        /// Its id.
        id: MaintenanceId,
        /// The time.
        now: Timestamp,
    },
}

/// What has happened to the windows of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// One was made.
    Created {
        /// Its id.
        id: MaintenanceId,
        /// When it begins.
        start: Timestamp,
        /// When it ends.
        end: Timestamp,
        /// Which payloads it is for.
        tags: Arc<Tags>,
        /// The windows that are forgotten with it.
        forgotten: Vec<MaintenanceId>,
    },
    /// One was ended, or cancelled before it began.
    Ended {
        /// Its id.
        id: MaintenanceId,
        /// When.
        at: Timestamp,
    },
}

/// What the command leads to; no events where all is as asked already.
///
/// # Errors
/// The command is refused in this state.
pub fn decide(windows: &Windows, command: Command) -> Result<Vec<Event>, Rejection> {
    match command {
        Command::Create { id, .. } if windows.get(id).is_some() => Ok(vec![]),
        Command::Create { id, start, end, tags, now } => {
            let start = start.unwrap_or(now);
            check_times(start, end, now)?;
            let forgotten = windows.make_room(&tags, now)?;
            Ok(vec![Event::Created { id, start, end, tags, forgotten }])
        }
        Command::End { id, now } => match windows.get(id).map(|window| window.state(now)) {
            None => Err(Rejection::NotFound),
            Some(State::Ended) => Ok(vec![]),
            Some(State::Upcoming | State::Active) => Ok(vec![Event::Ended { id, at: now }]),
        },
    }
}

fn check_times(start: Timestamp, end: Timestamp, now: Timestamp) -> Result<(), Rejection> {
    if start < now {
        return Err(Rejection::StartInThePast);
    }
    if end <= start {
        return Err(Rejection::EndNotAfterStart);
    }
    let longest = Duration::from_secs(MAX_DAYS * 24 * 60 * 60);
    if end.since(start) > longest { Err(Rejection::WindowTooLong) } else { Ok(()) }
}

/// The ids of windows that held something back: of more than ten the first ten, which are those
/// that were made first. So few that they are copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowIds([Option<MaintenanceId>; MAX_NAMED]);

impl FromIterator<MaintenanceId> for WindowIds {
    fn from_iter<T: IntoIterator<Item = MaintenanceId>>(ids: T) -> Self {
        let ids: BTreeSet<_> = ids.into_iter().collect();
        let mut first = [None; MAX_NAMED];
        first.iter_mut().zip(ids).for_each(|(place, id)| *place = Some(id));
        Self(first)
    }
}

impl WindowIds {
    /// No windows.
    #[must_use]
    pub const fn none() -> Self {
        Self([None; MAX_NAMED])
    }

    /// The ids in their order.
    pub fn iter(&self) -> impl Iterator<Item = MaintenanceId> {
        self.0.iter().flatten().copied()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0[0].is_none()
    }

    /// These and those, whichever come first.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        if other.is_empty() { self } else { self.iter().chain(other.iter()).collect() }
    }
}

#[cfg(test)]
#[path = "maintenance_tests.rs"]
mod tests;
