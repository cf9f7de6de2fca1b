//! API filters in their stored form.
//!
//! Must not know the administrative interface's form of a filter.

use domain::filter::{Condition, Filter, Filters, Item, Key, Resolve, Trigger, Urgency};
use domain::id::FilterId;
use domain::name::DisplayName;

use super::{Error, field, fixed};
use crate::proto::gander::stored::v1 as stored;

/// The stored form of filters.
#[must_use]
pub fn filters_to(filters: &Filters) -> Vec<stored::Filter> {
    filters.iter().map(to).collect()
}

/// Reads stored filters.
///
/// # Errors
/// A rule of filters is broken.
pub fn filters_from(filters: Vec<stored::Filter>) -> Result<Filters, Error> {
    let filters = filters.into_iter().map(from).collect::<Result<Vec<_>, _>>()?;
    Filters::new(filters).map_err(|_| field("filters"))
}

fn to(filter: &Filter) -> stored::Filter {
    stored::Filter {
        id: filter.id.as_bytes().to_vec().into(),
        display_name: filter.name.to_string(),
        trigger: Some(trigger_to(&filter.trigger)),
        resolve: filter.resolve.as_ref().map(|resolve| stored::Resolve {
            condition: Some(condition_to(&resolve.condition)),
            mapped_with: resolve.mapped_with.to_string(),
        }),
    }
}

fn trigger_to(trigger: &Trigger) -> stored::Trigger {
    let text = |key: &Option<Key>| key.as_ref().map(ToString::to_string).unwrap_or_default();
    let urgency = match trigger.urgency {
        Urgency::High => stored::Urgency::High,
        Urgency::Low => stored::Urgency::Low,
    };
    stored::Trigger {
        urgency: urgency.into(),
        conditions: trigger.conditions.iter().map(condition_to).collect(),
        title_from: text(&trigger.title_from),
        description_from: text(&trigger.description_from),
        map_with: text(&trigger.map_with),
    }
}

fn condition_to(condition: &Condition) -> stored::Condition {
    stored::Condition {
        key: condition.key.as_ref().map(ToString::to_string).unwrap_or_default(),
        contains: condition.contains.iter().map(ToString::to_string).collect(),
    }
}

fn from(filter: stored::Filter) -> Result<Filter, Error> {
    let resolve = filter.resolve.map(resolve_from).transpose()?;
    Ok(Filter {
        id: FilterId::from_bytes(fixed(&filter.id, "filter.id")?),
        name: DisplayName::parse(&filter.display_name).map_err(|_| field("filter.name"))?,
        trigger: trigger_from(filter.trigger.ok_or(field("filter.trigger"))?)?,
        resolve,
    })
}

fn trigger_from(trigger: stored::Trigger) -> Result<Trigger, Error> {
    let urgency = match trigger.urgency() {
        stored::Urgency::High => Urgency::High,
        stored::Urgency::Low => Urgency::Low,
        stored::Urgency::Unspecified => return Err(field("trigger.urgency")),
    };
    let conditions =
        trigger.conditions.into_iter().map(condition_from).collect::<Result<Vec<_>, _>>()?;
    Trigger::new(
        urgency,
        conditions,
        key(&trigger.title_from)?,
        key(&trigger.description_from)?,
        key(&trigger.map_with)?,
    )
    .map_err(|_| field("trigger"))
}

fn resolve_from(resolve: stored::Resolve) -> Result<Resolve, Error> {
    Ok(Resolve {
        condition: condition_from(resolve.condition.ok_or(field("resolve.condition"))?)?,
        mapped_with: key(&resolve.mapped_with)?.ok_or(field("resolve.mapped_with"))?,
    })
}

fn condition_from(condition: stored::Condition) -> Result<Condition, Error> {
    let items = condition.contains.iter().map(|item| Item::parse(item));
    let items = items.collect::<Result<Vec<_>, _>>().map_err(|_| field("condition.contains"))?;
    Condition::new(key(&condition.key)?, items).map_err(|_| field("condition"))
}

fn key(text: &str) -> Result<Option<Key>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    Key::parse(text).map(Some).map_err(|_| field("key"))
}
