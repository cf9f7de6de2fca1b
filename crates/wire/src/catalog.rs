//! Filters and tags as the API shows them.
//!
//! Must not know rights, and not how they are stored.

use domain::filter::{Condition, Filter, Key, Urgency};
use domain::maintenance::Tag;

use crate::proto::gander::admin::v1 as api;
use crate::proto::gander::events::v1 as events;

/// A filter as it is shown.
#[must_use]
pub fn filter_to(filter: &Filter) -> api::Filter {
    let text = |key: &Option<Key>| key.as_ref().map(ToString::to_string).unwrap_or_default();
    let urgency = match filter.trigger.urgency {
        Urgency::High => events::Urgency::High,
        Urgency::Low => events::Urgency::Low,
    };
    api::Filter {
        id: filter.id.to_string(),
        display_name: filter.name.to_string(),
        trigger: Some(api::Trigger {
            urgency: urgency.into(),
            conditions: filter.trigger.conditions.iter().map(condition_to).collect(),
            title_from: text(&filter.trigger.title_from),
            description_from: text(&filter.trigger.description_from),
            map_with: text(&filter.trigger.map_with),
        }),
        resolve: filter.resolve.as_ref().map(|resolve| api::Resolve {
            condition: Some(condition_to(&resolve.condition)),
            mapped_with: resolve.mapped_with.to_string(),
        }),
    }
}

/// A tag of a maintenance window as it is shown.
#[must_use]
pub fn tag_to(tag: &Tag) -> api::MaintenanceTag {
    api::MaintenanceTag { contains: tag.texts().iter().map(ToString::to_string).collect() }
}

fn condition_to(condition: &Condition) -> api::Condition {
    api::Condition {
        key: condition.key.as_ref().map(ToString::to_string).unwrap_or_default(),
        contains: condition.contains.iter().map(ToString::to_string).collect(),
    }
}
