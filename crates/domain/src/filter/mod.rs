//! API filters: their parts, their limits, and the reference meaning of matching.
//!
//! Layout: this file has the parts and their limits, `key` paths into payloads, `text` the
//! search without regard to case, `evaluate` the meaning, `explain` why it is so. Must not know
//! services or incidents.

mod evaluate;
mod explain;
mod key;
mod text;

use std::fmt;

use crate::id::FilterId;
use crate::name::DisplayName;

pub use evaluate::{
    MAX_DESCRIPTION, MAX_SOURCE, MAX_TITLE, MappedValue, Match, ResolveCandidate, Triggered,
    evaluate, source_name,
};
pub use explain::{Became, Explained, Looked, MAX_SHOWN, REDACTED, explain, explain_redacted};
pub use key::{Key, Step};
pub(crate) use text::lower_into;
pub use text::{contains_all, lower};

/// The most filters of a service.
pub const MAX_FILTERS: usize = 10;
/// The most conditions of a trigger.
pub const MAX_CONDITIONS: usize = 2;
/// The most items of a condition.
pub const MAX_ITEMS: usize = 10;
/// The most characters of an item.
pub const MAX_ITEM_CHARACTERS: usize = 50;
/// The most characters of a key.
pub const MAX_KEY_CHARACTERS: usize = 512;
/// The most steps of a key.
pub const MAX_KEY_STEPS: usize = 32;

/// Why a part of a filter is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too many filters.
    #[error("a service can have at most {MAX_FILTERS} filters")]
    Filters,
    /// Two filters with one id.
    #[error("two filters have the same id: leave it out for a new filter")]
    SameId,
    /// Two filters with one name.
    #[error("two filters have the same name: choose another one")]
    SameName,
    /// No condition, or too many.
    #[error("a trigger must have 1 to {MAX_CONDITIONS} conditions")]
    Conditions,
    /// No item, or too many.
    #[error("a condition must have 1 to {MAX_ITEMS} texts to contain")]
    Items,
    /// An item is empty or too long.
    #[error("a text to contain must have 1 to {MAX_ITEM_CHARACTERS} characters")]
    Item,
    /// A key is empty, too long or has too many steps.
    #[error(
        "a key must have 1 to {MAX_KEY_CHARACTERS} characters and at most {MAX_KEY_STEPS} steps"
    )]
    KeyLength,
    /// A key that cannot be read.
    #[error(
        "a key is names joined by dots, with [n], [*] or [\"odd.name\"]: this one breaks off at character {0}"
    )]
    Key(usize),
}

/// How urgent an incident is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Somebody is to be woken.
    High,
    /// It can wait.
    Low,
}

/// A text that a value must contain: 1 to 50 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    text: String,
    lower: String,
}

impl Item {
    /// Reads an item.
    ///
    /// # Errors
    /// It is empty or too long.
    pub fn parse(text: &str) -> Result<Self, Error> {
        match text.chars().count() {
            1..=MAX_ITEM_CHARACTERS => Ok(Self { text: text.to_owned(), lower: lower(text) }),
            _ => Err(Error::Item),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text as it is searched for: each character in its lower case.
    #[must_use]
    pub fn lower(&self) -> &str {
        &self.lower
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a payload must contain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Where to search; none for the whole payload.
    pub key: Option<Key>,
    /// What must be found there: all of them.
    pub contains: Vec<Item>,
}

impl Condition {
    /// A condition.
    ///
    /// # Errors
    /// It has no items or too many.
    pub fn new(key: Option<Key>, contains: Vec<Item>) -> Result<Self, Error> {
        match contains.len() {
            1..=MAX_ITEMS => Ok(Self { key, contains }),
            _ => Err(Error::Items),
        }
    }
}

/// The part of a filter that opens an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// The urgency of the incident.
    pub urgency: Urgency,
    /// The conditions; all must hold.
    pub conditions: Vec<Condition>,
    /// The key of the title.
    pub title_from: Option<Key>,
    /// The key of the description.
    pub description_from: Option<Key>,
    /// The key whose value identifies the episode.
    pub map_with: Option<Key>,
}

impl Trigger {
    /// A trigger.
    ///
    /// # Errors
    /// It has no conditions or too many.
    pub fn new(
        urgency: Urgency,
        conditions: Vec<Condition>,
        title_from: Option<Key>,
        description_from: Option<Key>,
        map_with: Option<Key>,
    ) -> Result<Self, Error> {
        match conditions.len() {
            1..=MAX_CONDITIONS => {
                Ok(Self { urgency, conditions, title_from, description_from, map_with })
            }
            _ => Err(Error::Conditions),
        }
    }
}

/// The part of a filter that closes an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolve {
    /// The condition that must hold.
    pub condition: Condition,
    /// The key whose value names the episode.
    pub mapped_with: Key,
}

/// An API filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Its id.
    pub id: FilterId,
    /// What people call it.
    pub name: DisplayName,
    /// What opens an incident.
    pub trigger: Trigger,
    /// What closes it.
    pub resolve: Option<Resolve>,
}

/// The filters of a service, in the order in which they are tried: at most 10, each with an id
/// and a name of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(Vec<Filter>);

impl Filters {
    /// Filters in order.
    ///
    /// # Errors
    /// There are too many, or two have one id or one name.
    pub fn new(filters: Vec<Filter>) -> Result<Self, Error> {
        if filters.len() > MAX_FILTERS {
            return Err(Error::Filters);
        }
        for (n, filter) in filters.iter().enumerate() {
            if filters[..n].iter().any(|before| before.id == filter.id) {
                return Err(Error::SameId);
            }
            if filters[..n].iter().any(|before| before.name == filter.name) {
                return Err(Error::SameName);
            }
        }
        Ok(Self(filters))
    }

    /// The filters in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Filter> {
        self.0.iter()
    }

    /// The filters in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Filter] {
        &self.0
    }
}

impl<'a> IntoIterator for &'a Filters {
    type Item = &'a Filter;
    type IntoIter = std::slice::Iter<'a, Filter>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
