//! Why filters come to what they come to in a payload: what each condition looked at and missed.
//!
//! For people; `evaluate` alone decides. Says the same as it, always: both look through the same
//! eyes, and a property compares them. Must not know services, incidents or who asks.

use super::evaluate::{CUT, Seen, cut};
use super::{Condition, Filter, Item};
use crate::payload::Payload;
use crate::secret;

/// The most characters of a value that is shown, the mark of a cut included.
pub const MAX_SHOWN: usize = 200;

/// So many characters of a value are looked through for secrets. The last of them may be the beginning
/// of one that is not seen to its end, so they are not shown.
const LOOKED_AT: usize = 2_048;
/// What stands in the place of a value that must not be seen.
pub const REDACTED: &str = "REDACTED";

/// What became of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// Not all of its conditions hold.
    Nothing,
    /// Its trigger holds and it is the first: it decides.
    Triggers,
    /// Its trigger holds, but a filter before it decides.
    AfterAnother,
    /// Its resolve condition holds and it names an episode. Such a filter does not trigger.
    Resolves,
    /// Its resolve condition holds, but the payload has no value that names an episode.
    ResolvesNothing,
}

/// What a condition found in a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked<'f> {
    /// The condition.
    pub condition: &'f Condition,
    /// How many values its key has: 0 where there is none or the payload is no JSON, 1 without a
    /// key.
    pub values: usize,
    /// The value that was looked at, as it is shown: of several the one that holds, else the first.
    pub found: Option<String>,
    /// Whether it holds.
    pub holds: bool,
    /// The first text that does not occur in that value.
    pub missing: Option<&'f Item>,
}

/// What a filter found in a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained<'f> {
    /// The filter.
    pub filter: &'f Filter,
    /// What the conditions of its trigger found.
    pub conditions: Vec<Looked<'f>>,
    /// What its resolve condition found, if it has one.
    pub resolve: Option<Looked<'f>>,
    /// What became of it.
    pub became: Became,
    /// The value that names the episode, as it is shown: of the resolve part where that holds, else
    /// of the trigger.
    pub mapped: Option<String>,
}

/// Why these filters, in their order, come to what they come to in the payload.
#[must_use]
pub fn explain<'f>(filters: &'f [Filter], payload: &Payload<'_>) -> Vec<Explained<'f>> {
    explain_redacted(filters, payload, payload)
}

/// The same, with values shown as they are in `shown`: the payload where parts are replaced that
/// must not be seen. What holds and what is missing follows from the payload itself.
#[must_use]
pub fn explain_redacted<'f>(
    filters: &'f [Filter],
    payload: &Payload<'_>,
    shown: &Payload<'_>,
) -> Vec<Explained<'f>> {
    let seen = Looking { seen: Seen::new(payload), shown: Seen::new(shown) };
    let mut decided = false;
    let one = |filter| {
        let explained = of_filter(&seen, filter, decided);
        decided |= explained.became == Became::Triggers;
        explained
    };
    filters.iter().map(one).collect()
}

/// A payload, and what may be shown of it.
struct Looking<'p, 'a, 'b> {
    seen: Seen<'p, 'a>,
    shown: Seen<'p, 'b>,
}

/// `decided`: whether a filter before it decides.
fn of_filter<'f>(
    looking: &Looking<'_, '_, '_>,
    filter: &'f Filter,
    decided: bool,
) -> Explained<'f> {
    let trigger = &filter.trigger;
    let conditions: Vec<_> = trigger.conditions.iter().map(|one| look(looking, one)).collect();
    let resolve = filter.resolve.as_ref().map(|resolve| look(looking, &resolve.condition));
    let resolves = filter.resolve.as_ref().filter(|_| resolve.as_ref().is_some_and(|r| r.holds));
    let key = match resolves {
        Some(resolve) => Some(&resolve.mapped_with),
        None => trigger.map_with.as_ref(),
    };
    let value = key.and_then(|key| looking.seen.episode(key)).filter(|value| !value.is_empty());
    let became = match (resolves, &value) {
        (Some(_), Some(_)) => Became::Resolves,
        (Some(_), None) => Became::ResolvesNothing,
        (None, _) if !conditions.iter().all(|one| one.holds) => Became::Nothing,
        (None, _) if decided => Became::AfterAnother,
        (None, _) => Became::Triggers,
    };
    let visible = key.and_then(|key| looking.shown.episode(key));
    let mapped = value.map(|_| visible.map_or_else(|| REDACTED.to_owned(), |value| shown(&value)));
    Explained { filter, conditions, resolve, became, mapped }
}

fn look<'f>(looking: &Looking<'_, '_, '_>, condition: &'f Condition) -> Looked<'f> {
    let Looking { seen, shown: visible } = looking;
    let Some(key) = &condition.key else {
        let missing = first_missing(condition, seen.payload.lower());
        let found = Some(shown(visible.payload.text));
        return Looked { condition, values: 1, found, holds: missing.is_none(), missing };
    };
    let values = seen.json.map(|json| key.find(json)).unwrap_or_default();
    let visible = visible.json.map(|json| key.find(json)).unwrap_or_default();
    let mut looked =
        Looked { condition, values: values.len(), found: None, holds: false, missing: None };
    for (n, value) in values.iter().enumerate() {
        let missing = seen.payload.in_lower(value, |text| first_missing(condition, text));
        if n == 0 || missing.is_none() {
            let found = visible.get(n).filter(|_| visible.len() == values.len());
            let found = found.map_or_else(|| REDACTED.to_owned(), |value| shown(&value.text()));
            let (found, holds) = (Some(found), missing.is_none());
            looked = Looked { found, holds, missing, ..looked };
        }
        if looked.holds {
            break;
        }
    }
    looked
}

fn first_missing<'f>(condition: &'f Condition, lower: &str) -> Option<&'f Item> {
    condition.contains.iter().find(|item| !lower.contains(item.lower()))
}

/// A value as it is shown: reasons are kept, and a secret of Gander that somebody sent in a payload
/// must not be kept with them. It is masked before the value is cut, since a part of a secret may be
/// enough.
fn shown(text: &str) -> String {
    let end = text.char_indices().nth(LOOKED_AT).map_or(text.len(), |(at, _)| at);
    let masked = secret::mask(&text.as_bytes()[..end], REDACTED.as_bytes());
    let masked = String::from_utf8_lossy(&masked);
    if end == text.len() {
        return cut(masked.chars(), MAX_SHOWN);
    }
    let seen = masked.floor_char_boundary(masked.len().saturating_sub(secret::LONGEST - 1));
    cut(masked[..seen].chars().chain([CUT]), MAX_SHOWN)
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
