//! Why an alert came to what it came to in a service, as the API shows it.
//!
//! Must not know rights, nor how reasons are kept.

use domain::filter::{Became, Explained, Item, Looked};
use domain::id::{IncidentId, ServiceId, TeamId};
use domain::incident::{ResolveVerdict, TriggerVerdict, Verdict};
use domain::maintenance::WindowIds;

use crate::proto::gander::admin::v1 as api;

/// What an alert came to in a service, and why.
#[derive(Clone, Copy, Debug)]
pub struct Reasons<'a> {
    /// The team of the service.
    pub team: TeamId,
    /// The service.
    pub service: ServiceId,
    /// The maintenance windows that cover the alert.
    pub windows: WindowIds,
    /// What its filters found.
    pub filters: &'a [Explained<'a>],
    /// What the alert came to.
    pub verdict: Verdict,
    /// The incident that was created, or of which the trigger is a duplicate.
    pub triggered: Option<IncidentId>,
    /// The incident that was resolved, or of which the resolve is a duplicate.
    pub resolved: Option<IncidentId>,
}

/// Reasons as they are shown.
#[must_use]
pub fn service_reasons(of: &Reasons<'_>) -> api::ServiceReasons {
    let name = format!("teams/{}/services/{}", of.team, of.service);
    let incident =
        |id: Option<IncidentId>| id.map(|id| format!("{name}/incidents/{id}")).unwrap_or_default();
    let (trigger, resolve) = match of.verdict {
        Verdict::Evaluated(trigger, resolve) => (trigger, resolve),
        Verdict::Disabled | Verdict::Failed => (TriggerVerdict::None, ResolveVerdict::None),
    };
    let windows = of.windows.iter().map(|window| format!("{name}/maintenances/{window}"));
    api::ServiceReasons {
        maintenance_windows: windows.collect(),
        filters: of.filters.iter().map(filter_reasons).collect(),
        trigger: trigger_to(trigger).into(),
        triggered_incident: incident(of.triggered),
        resolve: resolve_to(resolve).into(),
        resolved_incident: incident(of.resolved),
        failed: of.verdict == Verdict::Failed,
        service: name,
    }
}

/// What a filter found, as it is shown.
#[must_use]
pub fn filter_reasons(explained: &Explained<'_>) -> api::FilterReasons {
    let verdict = match explained.became {
        Became::Nothing => api::FilterVerdict::Unspecified,
        Became::Triggers => api::FilterVerdict::Triggers,
        Became::AfterAnother => api::FilterVerdict::AfterAnother,
        Became::Resolves => api::FilterVerdict::Resolves,
        Became::ResolvesNothing => api::FilterVerdict::ResolvesNothing,
    };
    api::FilterReasons {
        filter: explained.filter.id.to_string(),
        display_name: explained.filter.name.to_string(),
        conditions: explained.conditions.iter().map(condition_reasons).collect(),
        resolve_condition: explained.resolve.as_ref().map(condition_reasons),
        verdict: verdict.into(),
        mapped_value: explained.mapped.clone().unwrap_or_default(),
    }
}

fn condition_reasons(looked: &Looked<'_>) -> api::ConditionReasons {
    api::ConditionReasons {
        key: looked.condition.key.as_ref().map(ToString::to_string).unwrap_or_default(),
        contains: looked.condition.contains.iter().map(ToString::to_string).collect(),
        holds: looked.holds,
        values: u32::try_from(looked.values).unwrap_or(u32::MAX),
        found: looked.found.clone().unwrap_or_default(),
        missing: looked.missing.map(Item::as_str).unwrap_or_default().to_owned(),
    }
}

const fn trigger_to(verdict: TriggerVerdict) -> api::TriggerVerdict {
    match verdict {
        TriggerVerdict::Created => api::TriggerVerdict::Created,
        TriggerVerdict::Duplicate => api::TriggerVerdict::Duplicate,
        TriggerVerdict::Suppressed => api::TriggerVerdict::Suppressed,
        TriggerVerdict::None => api::TriggerVerdict::Unspecified,
    }
}

const fn resolve_to(verdict: ResolveVerdict) -> api::ResolveVerdict {
    match verdict {
        ResolveVerdict::Resolved => api::ResolveVerdict::Resolved,
        ResolveVerdict::Duplicate => api::ResolveVerdict::Duplicate,
        ResolveVerdict::None => api::ResolveVerdict::Unspecified,
    }
}

#[cfg(test)]
mod tests {
    use domain::filter::{Condition, Filter, Key, Trigger, Urgency, explain};
    use domain::id::{FilterId, MaintenanceId};
    use domain::name::DisplayName;
    use domain::payload::Payload;

    use super::*;

    const TEAM: TeamId = TeamId::from_bytes([1; 16]);
    const SERVICE: ServiceId = ServiceId::from_bytes([2; 16]);

    fn filter() -> Filter {
        let items = ["firing", "disk"].map(|item| Item::parse(item).unwrap());
        let condition = Condition::new(Some(Key::parse("$.a[0]").unwrap()), items.into()).unwrap();
        let id = Some(Key::parse("id").unwrap());
        let trigger = Trigger::new(Urgency::High, vec![condition], None, None, id).unwrap();
        let (id, name) = (FilterId::from_bytes([3; 16]), DisplayName::parse("Disk").unwrap());
        Filter { id, name, trigger, resolve: None }
    }

    #[test]
    fn a_filter_is_shown_with_what_it_looked_at() {
        let filters = [filter()];
        let payload = r#"{"a": ["Firing"], "id": "h1"}"#;
        let shown = filter_reasons(&explain(&filters, &Payload::new(payload))[0]);
        let condition = api::ConditionReasons {
            key: "$.a[0]".to_owned(),
            contains: vec!["firing".to_owned(), "disk".to_owned()],
            holds: false,
            values: 1,
            found: "Firing".to_owned(),
            missing: "disk".to_owned(),
        };
        let expected = api::FilterReasons {
            filter: filters[0].id.to_string(),
            display_name: "Disk".to_owned(),
            conditions: vec![condition],
            resolve_condition: None,
            verdict: api::FilterVerdict::Unspecified.into(),
            mapped_value: "h1".to_owned(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_service_is_shown_with_names_of_resources() {
        let (window, incident) =
            (MaintenanceId::from_bytes([4; 16]), IncidentId::from_bytes([5; 16]));
        let of = Reasons {
            team: TEAM,
            service: SERVICE,
            windows: [window].into_iter().collect(),
            filters: &[],
            verdict: Verdict::Evaluated(TriggerVerdict::Suppressed, ResolveVerdict::Resolved),
            triggered: None,
            resolved: Some(incident),
        };
        let shown = service_reasons(&of);
        let name = format!("teams/{TEAM}/services/{SERVICE}");
        assert_eq!(shown.maintenance_windows, [format!("{name}/maintenances/{window}")]);
        assert_eq!(shown.resolved_incident, format!("{name}/incidents/{incident}"));
        assert_eq!((shown.triggered_incident.as_str(), shown.failed), ("", false));
        assert_eq!(shown.trigger(), api::TriggerVerdict::Suppressed);
        assert_eq!(shown.resolve(), api::ResolveVerdict::Resolved);
        assert!(service_reasons(&Reasons { verdict: Verdict::Failed, ..of }).failed);
    }
}
