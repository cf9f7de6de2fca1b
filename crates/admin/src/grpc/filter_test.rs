//! Filters tried on a payload, without any effect: pure, from what is configured.
//!
//! Must not know open incidents: who wants these to count asks the owners of the partitions.

use std::sync::Arc;

use domain::access::Action;
use domain::filter::{Filters, Triggered, evaluate, explain, source_name};
use domain::id::{ServiceId, TeamId};
use domain::incident::{ResolveVerdict, TriggerVerdict, Verdict};
use domain::maintenance::{WindowIds, Windows};
use domain::payload::{self, Payload};
use tonic::{Request, Response, Status};
use wire::proto::gander::admin::v1 as api;
use wire::reasons::{Reasons, service_reasons};

use super::call::Calls;
use super::convert::{filters_from, service_name};
use super::error;
use crate::access::About;

/// What is tried.
struct Tried {
    team: TeamId,
    service: ServiceId,
    disabled: bool,
    filters: Arc<Filters>,
    maintenance: Arc<Windows>,
}

impl Calls {
    /// Tries filters on a payload.
    pub fn try_filters(
        &self,
        request: Request<api::TestFilterRequest>,
    ) -> Result<Response<api::TestFilterResponse>, Status> {
        let method = "CatalogService/TestFilter";
        let (caller, message) = self.admit(request, method, |_| Ok(About::default()))?;
        let mut tried = self.tried(&message.service, |team| caller.may(Action::ReadTeam(team)))?;
        if message.service.is_empty() || !message.filters.is_empty() {
            tried.filters = Arc::new(filters_from(&message.filters, || self.fresh_id())?);
        }
        let text = payload::text(&message.payload);
        let payload = Payload::new(&text);
        let from = source_name(&message.from);
        let found = evaluate(tried.filters.as_slice(), &payload, from.as_deref());
        let windows = match &found.trigger {
            Some(_) => tried.maintenance.covering(self.now(), &payload),
            None => WindowIds::default(),
        };
        let trigger = match &found.trigger {
            None => TriggerVerdict::None,
            Some(_) if !windows.is_empty() => TriggerVerdict::Suppressed,
            Some(_) => TriggerVerdict::Created,
        };
        let mut reasons = service_reasons(&Reasons {
            team: tried.team,
            service: tried.service,
            windows,
            filters: &explain(tried.filters.as_slice(), &payload),
            // Without incidents there is nothing to resolve; what would be named, filters tell.
            verdict: Verdict::Evaluated(trigger, ResolveVerdict::None),
            triggered: None,
            resolved: None,
        });
        if message.service.is_empty() {
            reasons.service.clear();
        }
        let (reasons, disabled) = (Some(reasons), tried.disabled);
        let would_be = found.trigger.filter(|_| trigger == TriggerVerdict::Created);
        Ok(Response::new(response(reasons, disabled, would_be)))
    }

    /// The service of this name, or where it is empty one without filters.
    fn tried(&self, name: &str, may_read: impl Fn(TeamId) -> bool) -> Result<Tried, Status> {
        if name.is_empty() {
            return Ok(Tried {
                team: TeamId::from_bytes([0; 16]),
                service: ServiceId::from_bytes([0; 16]),
                disabled: false,
                filters: Arc::default(),
                maintenance: Arc::default(),
            });
        }
        let (team, id) = service_name(name, "service")?;
        if !may_read(team) {
            return Err(error::denied());
        }
        let found = self.store.read(|directory| directory.service(id).cloned());
        let found = found.filter(|found| found.team == team);
        let found = found.ok_or_else(|| error::not_found(name))?;
        Ok(Tried {
            team,
            service: id,
            disabled: found.disabled,
            filters: found.filters,
            maintenance: found.maintenance,
        })
    }
}

fn response(
    reasons: Option<api::ServiceReasons>,
    disabled: bool,
    would_be: Option<Triggered>,
) -> api::TestFilterResponse {
    let mapped = would_be.as_ref().and_then(|found| found.mapped.as_ref());
    api::TestFilterResponse {
        reasons,
        disabled,
        mapped_value: mapped.map(ToString::to_string).unwrap_or_default(),
        title: would_be.as_ref().map(|found| found.title.clone()).unwrap_or_default(),
        description: would_be.map(|found| found.description).unwrap_or_default(),
    }
}
