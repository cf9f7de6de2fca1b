//! Filters tried on a payload, without any effect: pure, from what is configured.
//!
//! Must not know open incidents: who wants these to count asks the owners of the partitions.

use std::sync::Arc;
use std::time::Duration;

use domain::access::Action;
use domain::filter::{Filters, Triggered, evaluate, explain, source_name};
use domain::id::{ServiceId, TeamId};
use domain::incident::{ResolveVerdict, TriggerVerdict, Verdict};
use domain::maintenance::Windows;
use domain::payload::{self, Payload};
use domain::time::Timestamp;
use tokio::time::timeout;
use tonic::{Request, Response, Status};
use wire::proto::gander::admin::v1 as api;
use wire::reasons::{Reasons, service_reasons};

use super::call::Calls;
use super::convert::{filters_from, service_name};
use super::error;
use crate::access::{About, Caller};

/// How long a place may be waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many filters are tried at a time: in all, and for one principal.
pub const TRYING: (usize, usize) = (2, 1);
/// How many wait for that, each with its payload: in all, and of one principal.
pub const WAITING: (usize, usize) = (32, 4);

/// What is tried.
struct Tried {
    team: TeamId,
    service: ServiceId,
    disabled: bool,
    filters: Arc<Filters>,
    maintenance: Arc<Windows>,
}

impl Calls {
    /// Tries filters on a payload. That may take long, so it has a thread of its own, and few are tried
    /// at a time.
    pub async fn try_filters(
        &self,
        request: Request<api::TestFilterRequest>,
    ) -> Result<Response<api::TestFilterResponse>, Status> {
        let method = "CatalogService/TestFilter";
        let (caller, message) = self.admit(request, method, |_| Ok(About::default()))?;
        let mut tried = self.tried(&message.service, |team| caller.may(Action::ReadTeam(team)))?;
        if message.service.is_empty() || !message.filters.is_empty() {
            let filters = filters_from("filters", &message.filters, || self.fresh_id())?;
            tried.filters = Arc::new(filters);
        }
        let holder = match caller {
            Caller::Principal(by, _) => Some(by),
            Caller::Bootstrap => None,
        };
        let waiting = self.waiting.take(holder).map_err(|_| too_busy())?;
        let place = timeout(PATIENCE, self.trying.wait(holder)).await.map_err(|_| too_busy())?;
        drop(waiting);
        let now = self.now();
        let trying = tokio::task::spawn_blocking(move || {
            let answer = try_on(&tried, &message, now);
            drop(place);
            answer
        });
        let answer = trying.await.map_err(|_| error::internal("the filters cannot be tried"))?;
        Ok(Response::new(answer))
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

fn too_busy() -> Status {
    error::read_timeout("others try filters now: ask again later")
}

/// What the filters come to at this time.
fn try_on(
    tried: &Tried,
    message: &api::TestFilterRequest,
    now: Timestamp,
) -> api::TestFilterResponse {
    let text = payload::text(&message.payload);
    let payload = Payload::new(&text);
    let from = source_name(&message.from);
    let found = evaluate(tried.filters.as_slice(), &payload, from.as_deref());
    let windows = tried.maintenance.covering(now, &payload);
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
    let would_be = found.trigger.filter(|_| trigger == TriggerVerdict::Created);
    response(Some(reasons), tried.disabled, would_be)
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
