//! The reference meaning of API filters: what they find in a payload.
//!
//! Plain and slow by intent; the index must give exactly the same answers. Must not know open
//! incidents: which candidate resolves one is decided elsewhere.

use std::borrow::Cow;
use std::fmt;

use super::{Condition, Filter, Key, Trigger, Urgency, contains_all};
use crate::id::FilterId;
use crate::json::Json;
use crate::name::is_unprintable;
use crate::payload::Payload;

/// The most characters of a title, the mark of a cut included.
pub const MAX_TITLE: usize = 1_024;
/// The most characters of a description, the mark of a cut included.
pub const MAX_DESCRIPTION: usize = 15_000;
/// The most characters of a source name.
pub const MAX_SOURCE: usize = 100;

/// Mapped values longer than this many bytes are compared by digest.
const MAX_MAPPED_BYTES: usize = 512;
/// The mark of a cut.
pub(super) const CUT: char = '…';

/// A value that identifies an episode within a service. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MappedValue {
    /// The value, at most 512 bytes.
    Text(String),
    /// The BLAKE3 digest of a longer one.
    Digest([u8; 32]),
}

impl MappedValue {
    /// The mapped value with this text; none if it is empty.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        match text.len() {
            0 => None,
            1..=MAX_MAPPED_BYTES => Some(Self::Text(text.to_owned())),
            _ => Some(Self::Digest(blake3::hash(text.as_bytes()).into())),
        }
    }

    /// Bytes that no other mapped value has.
    #[must_use]
    pub fn key_bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => [b"t", text.as_bytes()].concat(),
            Self::Digest(digest) => [b"d", &digest[..]].concat(),
        }
    }
}

impl fmt::Display for MappedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Digest(digest) => write!(f, "blake3:{}", blake3::Hash::from(*digest)),
        }
    }
}

/// A filter whose resolve part holds, with the episode that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveCandidate {
    /// The filter.
    pub filter: FilterId,
    /// The episode.
    pub value: MappedValue,
}

/// The filter that decides the incident, and what it makes of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Triggered {
    /// The filter.
    pub filter: FilterId,
    /// The urgency of the incident.
    pub urgency: Urgency,
    /// Its title.
    pub title: String,
    /// Its description.
    pub description: String,
    /// The episode; none for an unmapped incident.
    pub mapped: Option<MappedValue>,
}

/// What the filters of a service find in a payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// The filters whose resolve part holds and names an episode, in order.
    pub resolves: Vec<ResolveCandidate>,
    /// The first filter whose trigger holds and whose resolve part does not.
    pub trigger: Option<Triggered>,
}

/// What these filters, in their order, find in the payload that came from that source.
#[must_use]
pub fn evaluate(filters: &[Filter], payload: &Payload<'_>, from: Option<&str>) -> Match {
    let seen = Seen::new(payload);
    let mut found = Match::default();
    for filter in filters {
        let resolve = filter.resolve.as_ref().filter(|resolve| seen.holds(&resolve.condition));
        if let Some(resolve) = resolve {
            let value = seen.mapped(&resolve.mapped_with);
            found.resolves.extend(value.map(|value| ResolveCandidate { filter: filter.id, value }));
        } else if found.trigger.is_none()
            && filter.trigger.conditions.iter().all(|condition| seen.holds(condition))
        {
            found.trigger = Some(seen.triggered(filter.id, &filter.trigger, from));
        }
    }
    found
}

/// A payload as conditions and keys look into it.
pub(super) struct Seen<'p, 'a> {
    pub(super) payload: &'p Payload<'a>,
    pub(super) json: Option<&'p Json<'a>>,
}

impl<'p, 'a> Seen<'p, 'a> {
    pub(super) fn new(payload: &'p Payload<'a>) -> Self {
        Self { payload, json: payload.json() }
    }

    fn holds(&self, condition: &Condition) -> bool {
        match &condition.key {
            None => contains_all(self.payload.lower(), &condition.contains),
            Some(key) => self.payload.any_has(key, &condition.contains),
        }
    }

    fn first(&self, key: &Key) -> Option<Cow<'p, str>> {
        key.find(self.json?).first().map(|value| value.text())
    }

    /// The value that names an episode; a null names none.
    pub(super) fn episode(&self, key: &Key) -> Option<Cow<'p, str>> {
        match key.find(self.json?).first() {
            Some(Json::Null) | None => None,
            Some(value) => Some(value.text()),
        }
    }

    fn mapped(&self, key: &Key) -> Option<MappedValue> {
        MappedValue::new(&self.episode(key)?)
    }

    fn triggered(&self, filter: FilterId, trigger: &Trigger, from: Option<&str>) -> Triggered {
        let title = trigger.title_from.as_ref().and_then(|key| self.first(key));
        let title = match (title, from) {
            (Some(value), Some(from)) => format!("{from} - {value}"),
            (Some(value), None) => value.into_owned(),
            (None, Some(from)) => format!("Incident from {from}"),
            (None, None) => "Incident from unknown source".to_owned(),
        };
        let printable = title.chars().filter(|character| !is_unprintable(*character));
        let description = trigger.description_from.as_ref().and_then(|key| self.first(key));
        let description = description.unwrap_or(Cow::Borrowed(self.payload.text));
        Triggered {
            filter,
            urgency: trigger.urgency,
            title: cut(printable, MAX_TITLE),
            description: cut(description.chars(), MAX_DESCRIPTION),
            mapped: trigger.map_with.as_ref().and_then(|key| self.mapped(key)),
        }
    }
}

/// At most this many characters; if there are more, the last of them is the mark of the cut.
pub(super) fn cut(characters: impl Iterator<Item = char>, most: usize) -> String {
    let mut text: String = String::new();
    let mut before_last = 0;
    for (n, character) in characters.enumerate() {
        if n == most {
            text.truncate(before_last);
            text.push(CUT);
            break;
        }
        before_last = text.len();
        text.push(character);
    }
    text
}

/// The name of a source as it is kept: without control characters, at most 100 characters; none
/// if nothing is left.
#[must_use]
pub fn source_name(text: &str) -> Option<String> {
    let printable = text.trim().chars().filter(|character| !is_unprintable(*character));
    let name: String = printable.take(MAX_SOURCE).collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
