//! Incidents: read from their stream, resolved through the same door as alerts.
//!
//! Must not know partitions' owners: an outcome comes back as it does to a gateway.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use domain::access::Action;
use domain::id::{AlertId, IncidentId, ServiceId, TeamId};
use domain::incident::Incident;
use futures::Stream;
use runtime::ingest::Ingest;
use runtime::nats::{Message, Nats, Reader, Start};
use runtime::outcomes::Outcomes;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use wire::event::incident_to;
use wire::partition::{PartitionSet, Partitions};
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::incident_service_server::IncidentService;
use wire::proto::gander::events::v1 as events;
use wire::stored::alert::{Content, Record, ResolveCommand};
use wire::stored::worker::decode_state;
use wire::subject;

use super::call::{Calls, request_of};
use super::convert::{incident_name, list_parent};
use super::error;
use super::page::Page;
use crate::access::{About, Caller, Presented, authorize, presented};

const OUTCOME_DEADLINE: Duration = Duration::from_secs(2);
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events that a slow caller has not taken yet.
const WATCH_BUFFER: usize = 16;
/// The most watches at a time.
pub const WATCHES: usize = 256;

/// Serves incidents. Cheap to clone.
#[derive(Clone)]
pub struct Incidents {
    /// What all calls need.
    pub calls: Calls,
    /// The connection.
    pub nats: Nats,
    /// Where commands are stored.
    pub ingest: Ingest,
    /// Where outcomes are awaited.
    pub outcomes: Outcomes,
    /// How many partitions there are.
    pub partitions: Partitions,
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
        let read = tokio::time::timeout(Duration::from_secs(10), read).await;
        let messages =
            read.map_err(|_| error::unavailable("incidents cannot be read in time"))?.map_err(
                |_| error::unavailable("incidents cannot be read: the broker does not answer"),
            )?;
        let decode = |message: &Message| decode_state(&message.payload);
        let incidents: Result<Vec<_>, _> = messages.iter().map(decode).collect();
        let mut incidents =
            incidents.map_err(|_| error::internal("the state of an incident cannot be read"))?;
        incidents.sort_by_key(|incident| incident.opening.id);
        Ok(incidents)
    }

    fn scope(
        &self,
        caller: &Caller,
        parent: &str,
    ) -> Result<(Option<TeamId>, Option<ServiceId>), Status> {
        let (team, service) = list_parent(parent)?;
        match team {
            Some(team) if !caller.may(Action::ReadTeam(team)) => Err(error::denied()),
            Some(_) | None => Ok((team, service)),
        }
    }
}

type Watching = Pin<Box<dyn Stream<Item = Result<api::WatchIncidentsResponse, Status>> + Send>>;

#[tonic::async_trait]
impl IncidentService for Incidents {
    type WatchIncidentsStream = Watching;

    async fn list_incidents(
        &self,
        request: Request<api::ListIncidentsRequest>,
    ) -> Result<Response<api::ListIncidentsResponse>, Status> {
        let method = "IncidentService/ListIncidents";
        let (caller, message) = self.calls.admit(request, method, |_| Ok(About::default()))?;
        let (team, service) = self.scope(&caller, &message.parent)?;
        let question = format!("{method} {}", message.parent);
        let page = Page::parse(message.page_size, &message.page_token, &question)?;
        let filter = team.map_or(subject::STATES_ALL.to_owned(), |team| {
            subject::states_of(self.partitions.of(team))
        });
        let states = self.states(&filter).await?;
        let fits = |incident: &&Incident| {
            let opening = &incident.opening;
            incident.is_open()
                && team.is_none_or(|team| opening.team == team)
                && service.is_none_or(|service| opening.service == service)
                && caller.may(Action::ReadTeam(opening.team))
        };
        let id = |incident: &&Incident| *incident.opening.id.as_bytes();
        let (incidents, next_page_token) = page.of(states.iter().filter(fits), id, incident_to);
        Ok(Response::new(api::ListIncidentsResponse { incidents, next_page_token }))
    }

    async fn watch_incidents(
        &self,
        request: Request<api::WatchIncidentsRequest>,
    ) -> Result<Response<Watching>, Status> {
        let method = "IncidentService/WatchIncidents";
        let credential = presented(request.metadata())?;
        let (caller, message) = self.calls.admit(request, method, |_| Ok(About::default()))?;
        let (team, service) = self.scope(&caller, &message.parent)?;
        let place = Arc::clone(&self.watches).try_acquire_owned();
        let place = place.map_err(|_| error::too_many_watches())?;
        let bounds = self.nats.bounds(subject::INCIDENTS_STREAM).await;
        let (_, last) = bounds.map_err(|_| error::unavailable("the broker does not answer"))?;
        let cursor = match message.cursor.as_str() {
            "" => Cursor { sequence: last, issued: self.calls.now().as_micros() },
            text => Cursor::parse(text)
                .filter(|cursor| cursor.sequence <= last)
                .ok_or_else(|| error::field("cursor", "is one that this server has given"))?,
        };
        if self.calls.now().as_micros().saturating_sub(cursor.issued) > MAX_CURSOR_AGE_MICROS {
            return Err(error::cursor_too_old());
        }
        let filter = subject::events_of(team, service);
        let start = Start::Sequence(cursor.sequence + 1);
        let reader = Reader::new(&self.nats, subject::INCIDENTS_STREAM, &filter, start);
        let (sender, receiver) = mpsc::channel(WATCH_BUFFER);
        let watch =
            Watch { incidents: self.clone(), credential, reader, sender, last: cursor.sequence };
        tokio::spawn(async move {
            watch.run().await;
            drop(place);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn resolve_incident(
        &self,
        request: Request<api::ResolveIncidentRequest>,
    ) -> Result<Response<events::Incident>, Status> {
        let method = "IncidentService/ResolveIncident";
        let about = |m: &api::ResolveIncidentRequest| {
            incident_name(&m.name).map(|(team, ..)| About::from(team))
        };
        let (caller, message) = self.calls.admit(request, method, about)?;
        request_of(method, &message.request_id, &message)?;
        let (team, service, incident) = incident_name(&message.name)?;
        let Caller::Principal(principal, _) = caller else {
            return Err(error::denied());
        };
        self.existing(team, service, incident).await?;
        let command = ResolveCommand {
            id: AlertId::from_bytes(self.calls.fresh_id()),
            principal,
            team,
            service,
            incident,
            received_at: self.calls.now(),
        };
        let partition = self.partitions.of(team);
        let covered = PartitionSet::one(partition);
        let mut awaited = self.outcomes.expect(command.id, covered);
        let content = Content::Resolve(command);
        let record = Record { partition: Some(partition), outcome_wanted: true, content };
        let stored = self.ingest.store(record, covered).await;
        stored.map_err(|_| error::unavailable("it is not known to be carried out: ask again"))?;
        tokio::time::timeout(OUTCOME_DEADLINE, awaited.outcome())
            .await
            .map_err(|_| error::unavailable("stored; no worker has confirmed it yet: ask again"))?;
        self.existing(team, service, incident).await.map(|found| Response::new(incident_to(&found)))
    }
}

impl Incidents {
    async fn existing(
        &self,
        team: TeamId,
        service: ServiceId,
        id: IncidentId,
    ) -> Result<Incident, Status> {
        let states = self.states(&subject::states_of(self.partitions.of(team))).await?;
        let mut found = states.into_iter().filter(|incident| incident.opening.id == id);
        let found = found.next().ok_or_else(error::not_found)?;
        if found.opening.team != team || found.opening.service != service {
            return Err(error::not_found());
        }
        Ok(found)
    }
}

/// Events are kept for 90 days; a cursor of the last hour of these may miss some already.
const MAX_CURSOR_AGE_MICROS: i64 = (90 * 24 - 1) * 3_600 * 1_000_000;

/// Where a caller resumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    sequence: u64,
    issued: i64,
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let (sequence, issued) = text.split_once('-')?;
        let sequence = u64::from_str_radix(sequence, 16).ok()?;
        Some(Self { sequence, issued: i64::from_str_radix(issued, 16).ok()? })
    }
}

struct Watch {
    incidents: Incidents,
    /// Looked up again for each event: rights may be taken away while the call lasts.
    credential: Presented,
    reader: Reader,
    sender: mpsc::Sender<Result<api::WatchIncidentsResponse, Status>>,
    last: u64,
}

impl Watch {
    async fn run(mut self) {
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.reset();
        loop {
            let next = tokio::select! {
                message = self.reader.next() => self.response(&message),
                _ = heartbeat.tick() => Some(self.heartbeat()),
                () = self.sender.closed() => return,
                () = self.incidents.stopping.cancelled() => return,
            };
            let Some(next) = next else { continue };
            heartbeat.reset();
            let ended = next.is_err();
            if self.sender.send(next).await.is_err() || ended {
                return;
            }
        }
    }

    fn heartbeat(&self) -> Result<api::WatchIncidentsResponse, Status> {
        self.incidents.calls.caller_with(self.credential)?;
        Ok(self.with_cursor(None))
    }

    fn with_cursor(&self, event: Option<events::IncidentEvent>) -> api::WatchIncidentsResponse {
        let cursor = format!("{:x}-{:x}", self.last, self.incidents.calls.now().as_micros());
        api::WatchIncidentsResponse { event, cursor }
    }

    fn response(
        &mut self,
        message: &Message,
    ) -> Option<Result<api::WatchIncidentsResponse, Status>> {
        self.last = message.sequence;
        let Ok(event) = serde_json::from_slice::<events::IncidentEvent>(&message.payload) else {
            return Some(Err(error::internal("an event cannot be read")));
        };
        let team = event.incident.as_ref().and_then(|incident| TeamId::parse(&incident.team).ok());
        let about = About { team, ..About::default() };
        match self.incidents.calls.caller_with(self.credential) {
            Ok(caller) => authorize(&caller, "CatalogService/GetTeam", about)
                .is_ok()
                .then(|| Ok(self.with_cursor(Some(event)))),
            Err(ended) => Some(Err(ended)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_that_was_not_given_is_refused() {
        assert_eq!(Cursor::parse("1f-2a"), Some(Cursor { sequence: 31, issued: 42 }));
        for text in ["", "1f", "x-1", "1-", "-", "1-1-1"] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }
}
