//! Incidents: read from their stream, handled through the same door as alerts.
//!
//! - `find`: one of them. `list`: many. `watch`: events as they are stored.
//! - `command`: what a principal does to one. `requests`: the ids of its requests.
//!
//! Must not know partitions' owners: an outcome comes back as it does to a gateway.

mod command;
mod find;
mod list;
mod requests;
mod watch;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::access::Action;
use domain::id::{PrincipalId, ServiceId, TeamId};
use domain::incident::Incident;
use runtime::nats::{Nats, Reader, Start};
use runtime::places::Places;
use tokio::sync::{Semaphore, SemaphorePermit};
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
use requests::Requests;

/// How long reading incident states may take.
const READ_DEADLINE: Duration = Duration::from_secs(10);
/// The most reads of incidents at a time; more wait for a place, as long as a read may take.
const READS: usize = 8;
/// The most watches at a time.
const WATCHES: usize = 256;
/// The most of them of one principal.
const WATCHES_EACH: usize = 32;

/// Serves incidents. Cheap to clone.
#[derive(Clone)]
pub struct Incidents {
    /// What all calls need.
    pub calls: Calls,
    /// The connection.
    pub nats: Nats,
    /// Where commands go.
    pub handover: Handover,
    /// Cancelled once the process stops.
    pub stopping: CancellationToken,
    guests: Guests,
}

/// Who is served, so that nobody takes all there is. Cheap to clone.
#[derive(Clone)]
struct Guests {
    reads: Arc<Semaphore>,
    watches: Places<PrincipalId>,
    requests: Arc<Mutex<Requests>>,
}

impl Incidents {
    /// The incidents of what these calls administer.
    pub fn new(
        calls: &Calls,
        nats: &Nats,
        handover: Handover,
        stopping: &CancellationToken,
    ) -> Self {
        let guests = Guests {
            reads: Arc::new(Semaphore::new(READS)),
            watches: Places::new(WATCHES, WATCHES_EACH),
            requests: Arc::default(),
        };
        let (calls, nats, stopping) = (calls.clone(), nats.clone(), stopping.clone());
        Self { calls, nats, handover, stopping, guests }
    }

    /// A place among those who read: each reads much.
    async fn reading(&self) -> Result<SemaphorePermit<'_>, Status> {
        place_in(&self.guests.reads).await
    }

    /// Looks at the incidents whose states fit the filter, one after the other in no order, until
    /// `look` has seen enough. One that changes meanwhile may come twice, the later one last.
    async fn states(
        &self,
        filter: &str,
        look: impl FnMut(Incident) -> ControlFlow<()>,
    ) -> Result<(), Status> {
        let read = tokio::time::timeout(READ_DEADLINE, self.read_states(filter, look)).await;
        read.map_err(|_| too_slow())?
    }

    async fn read_states(
        &self,
        filter: &str,
        mut look: impl FnMut(Incident) -> ControlFlow<()>,
    ) -> Result<(), Status> {
        let start = Start::LastOfEachSubject;
        let mut reader = Reader::new(&self.nats, subject::INCIDENTS_STREAM, filter, start);
        while let Some(message) = reader.next_stored().await.map_err(unreadable)? {
            let incident = decode_state(&message.payload)
                .map_err(|_| error::internal("the state of an incident cannot be read"))?;
            if look(incident).is_break() || message.pending == 0 {
                break;
            }
        }
        Ok(())
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

async fn place_in(reads: &Semaphore) -> Result<SemaphorePermit<'_>, Status> {
    let place = tokio::time::timeout(READ_DEADLINE, reads.acquire()).await;
    place.ok().and_then(Result::ok).ok_or_else(too_slow)
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
        self.watch(&caller, credential, &filter, &message.cursor).await.map(Response::new)
    }

    async fn acknowledge_incident(
        &self,
        request: Request<api::AcknowledgeIncidentRequest>,
    ) -> Result<Response<events::Incident>, Status> {
        let method = "IncidentService/AcknowledgeIncident";
        let (caller, message) = self.about_one(request, method, |m| &m.name)?;
        self.note(&caller, request_of(method, &message.request_id, &message)?)?;
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
        self.note(&caller, request_of(method, &message.request_id, &message)?)?;
        let came_to = self.command(&caller, &message.name, Content::Resolve).await?;
        let done = came_to.resolved || came_to.resolve_duplicate;
        self.handled(done, &message.name).await.map(Response::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_finds_too_many_reading_waits_for_as_long_as_a_read_may_take() {
        let reads = Semaphore::new(READS);
        let mut places = Vec::new();
        for _ in 0..READS {
            places.push(place_in(&reads).await.unwrap());
        }
        let waiting = tokio::time::Instant::now();
        assert!(place_in(&reads).await.is_err());
        assert_eq!(waiting.elapsed(), READ_DEADLINE);
        let (place, ()) = tokio::join!(place_in(&reads), async { drop(places.pop()) });
        assert!(place.is_ok());
    }
}
