//! Incidents: read from their stream, handled through the same door as alerts.
//!
//! - `find`: one of them. `list`: many. `watch`: events as they are stored.
//! - `command`: what a principal does to one.
//!
//! Must not know partitions' owners: an outcome comes back as it does to a gateway.

mod command;
mod find;
mod list;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use domain::access::Action;
use domain::id::{ServiceId, TeamId};
use domain::incident::Incident;
use runtime::nats::{Message, Nats, Start};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::incident_service_server::IncidentService;
use wire::proto::gander::events::v1 as events;
use wire::stored::alert::Content;
use wire::stored::worker::decode_state;
use wire::subject;

use super::call::{Calls, request_of};
use super::convert::{incident_name, list_parent, open_incident_name};
use super::error;
use super::handover::Handover;
use crate::access::{About, Caller, presented};
use find::Wanted;

/// How long reading incident states may take.
const READ_DEADLINE: Duration = Duration::from_secs(10);
/// The most watches at a time.
pub const WATCHES: usize = 256;

/// Serves incidents. Cheap to clone.
#[derive(Clone)]
pub struct Incidents {
    /// What all calls need.
    pub calls: Calls,
    /// The connection.
    pub nats: Nats,
    /// Where commands go.
    pub handover: Handover,
    /// A place for each watch.
    pub watches: Arc<Semaphore>,
    /// Cancelled once the process stops.
    pub stopping: CancellationToken,
}

impl Incidents {
    /// The incidents whose states fit the filter, in the order of their ids.
    async fn states(&self, filter: &str) -> Result<Vec<Incident>, Status> {
        let start = Start::LastOfEachSubject;
        let read = self.nats.read_all(subject::INCIDENTS_STREAM, filter, start);
        let read = tokio::time::timeout(READ_DEADLINE, read).await;
        let messages = read.map_err(|_| too_slow())?.map_err(unreadable)?;
        let decode = |message: &Message| decode_state(&message.payload);
        let incidents: Result<Vec<_>, _> = messages.iter().map(decode).collect();
        let mut incidents =
            incidents.map_err(|_| error::internal("the state of an incident cannot be read"))?;
        incidents.sort_by_key(|incident| incident.opening.id);
        Ok(incidents)
    }

    /// Where the states of a team's incidents are, or those of all teams.
    fn states_of(&self, team: Option<TeamId>) -> String {
        team.map_or(subject::STATES_ALL.to_owned(), |team| {
            subject::states_of(self.handover.partitions.of(team))
        })
    }

    /// Who calls and what is asked, of a method about one incident.
    fn about_one<T>(
        &self,
        request: Request<T>,
        method: &str,
        name: impl Fn(&T) -> &str,
    ) -> Result<(Caller, T), Status> {
        let about = |m: &T| incident_name(name(m)).map(|(team, ..)| About::from(team));
        self.calls.admit(request, method, about)
    }
}

fn too_slow() -> Status {
    error::read_timeout("incidents cannot be read in time: ask again later")
}

fn unreadable(_: runtime::nats::Error) -> Status {
    error::unavailable("incidents cannot be read: the broker does not answer")
}

/// The incident that an event tells of.
fn incident_of(payload: &[u8]) -> Result<events::Incident, Status> {
    let event = serde_json::from_slice::<events::IncidentEvent>(payload).ok();
    let incident = event.and_then(|event| event.incident);
    incident.ok_or_else(|| error::internal("an event cannot be read"))
}

fn scope(caller: &Caller, parent: &str) -> Result<(Option<TeamId>, Option<ServiceId>), Status> {
    let (team, service) = list_parent(parent)?;
    match team {
        Some(team) if !caller.may(Action::ReadTeam(team)) => Err(error::denied()),
        Some(_) | None => Ok((team, service)),
    }
}

/// Whether the caller may read the team with this id.
fn may_read(caller: &Caller, team: &str) -> bool {
    TeamId::parse(team).is_ok_and(|team| caller.may(Action::ReadTeam(team)))
}

#[tonic::async_trait]
impl IncidentService for Incidents {
    type WatchIncidentsStream = watch::Watching;

    async fn get_incident(
        &self,
        request: Request<api::GetIncidentRequest>,
    ) -> Result<Response<events::Incident>, Status> {
        let method = "IncidentService/GetIncident";
        let about = |m: &api::GetIncidentRequest| {
            open_incident_name(&m.name).map(|(team, ..)| About { team, ..About::default() })
        };
        let (caller, message) = self.calls.admit(request, method, about)?;
        let (team, service, incident) = open_incident_name(&message.name)?;
        let found = self.find(Wanted { team, service, incident }, &message.name).await;
        match found {
            Ok(found) if may_read(&caller, &found.team) => Ok(Response::new(found)),
            // Only who may read all of them learns that there is none.
            Err(status) if team.is_some() || caller.may(Action::ReadInstallation) => Err(status),
            Ok(_) => Err(error::denied()),
            Err(status) if status.code() == tonic::Code::NotFound => Err(error::denied()),
            Err(status) => Err(status),
        }
    }

    async fn list_incidents(
        &self,
        request: Request<api::ListIncidentsRequest>,
    ) -> Result<Response<api::ListIncidentsResponse>, Status> {
        let method = "IncidentService/ListIncidents";
        let (caller, message) = self.calls.admit(request, method, |_| Ok(About::default()))?;
        self.list(&caller, &message).await.map(Response::new)
    }

    async fn watch_incidents(
        &self,
        request: Request<api::WatchIncidentsRequest>,
    ) -> Result<Response<watch::Watching>, Status> {
        let method = "IncidentService/WatchIncidents";
        let credential = presented(request.metadata())?;
        let (caller, message) = self.calls.admit(request, method, |_| Ok(About::default()))?;
        let (team, service) = scope(&caller, &message.parent)?;
        let filter = subject::events_of(team, service);
        self.watch(credential, &filter, &message.cursor).await.map(Response::new)
    }

    async fn acknowledge_incident(
        &self,
        request: Request<api::AcknowledgeIncidentRequest>,
    ) -> Result<Response<events::Incident>, Status> {
        let method = "IncidentService/AcknowledgeIncident";
        let (caller, message) = self.about_one(request, method, |m| &m.name)?;
        request_of(method, &message.request_id, &message)?;
        let came_to = self.command(&caller, &message.name, Content::Acknowledge).await?;
        if came_to.resolve_duplicate {
            return Err(error::incident_resolved());
        }
        let done = came_to.acknowledged || came_to.acknowledge_duplicate;
        self.handled(done, &message.name).await.map(Response::new)
    }

    async fn resolve_incident(
        &self,
        request: Request<api::ResolveIncidentRequest>,
    ) -> Result<Response<events::Incident>, Status> {
        let method = "IncidentService/ResolveIncident";
        let (caller, message) = self.about_one(request, method, |m| &m.name)?;
        request_of(method, &message.request_id, &message)?;
        let came_to = self.command(&caller, &message.name, Content::Resolve).await?;
        let done = came_to.resolved || came_to.resolve_duplicate;
        self.handled(done, &message.name).await.map(Response::new)
    }
}
