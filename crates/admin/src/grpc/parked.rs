//! Parked records: listed, read, evaluated again, deleted.
//!
//! One that is evaluated again goes the way of any other record, so its owner decides as ever; only
//! then it is removed. Who did not learn of that may ask again: the domain opens no incident twice
//! as long as it remembers it, and after that its event tells. Must not know why records are parked.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::id::{AlertId, IncidentId, ServiceId, TeamId};
use domain::incident::{Flags, Kind, incident_id};
use domain::reach::Reach;
use domain::service::Service;
use domain::time::Timestamp;
use runtime::nats::{Nats, Since, Stored};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout, timeout_at};
use tonic::{Request, Response, Status};
use wire::audit::actor_name;
use wire::event::time;
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::parked_service_server::ParkedService;
use wire::stored::alert::{Alert, Content};
use wire::stored::worker::Parked;
use wire::{header, subject};

use super::call::Calls;
use super::convert::parked_record_name;
use super::error;
use super::handover::Handover;
use crate::access::About;

/// How long a page is looked for; then it ends with what was found.
const LOOKING: Duration = Duration::from_secs(10);
/// How long it may take to find out what earlier evaluations have opened.
const SEARCHING: Duration = Duration::from_secs(20);

/// Serves parked records. Cheap to clone.
#[derive(Clone)]
pub struct ParkedRecords {
    /// What all calls need.
    pub calls: Calls,
    /// The connection.
    pub nats: Nats,
    /// Where what is evaluated again goes.
    pub handover: Handover,
    /// One after the other: what one call evaluates, the next must not find any more.
    pub turn: Arc<Mutex<()>>,
}

/// A parked record where it is stored.
struct Found {
    number: u64,
    parked_at: Timestamp,
    partition: u32,
    parked: Parked,
}

impl Found {
    /// Reads it; it has been looked for among the parked records.
    fn read(
        number: u64,
        parked_at: Timestamp,
        subject: &str,
        payload: &Bytes,
    ) -> Result<Self, Status> {
        let partition = partition(subject).ok_or_else(|| none(number))?;
        let parked = Parked::decode(payload).map_err(|_| {
            error::internal("a parked record cannot be read: is admin older than the workers?")
        })?;
        Ok(Self { number, parked_at, partition, parked })
    }
}

impl ParkedRecords {
    /// The parked record with this number.
    async fn read(&self, number: u64) -> Result<Found, Status> {
        let message = self.nats.get(subject::INCIDENTS_STREAM, number).await.map_err(unreadable)?;
        let message = message.ok_or_else(|| none(number))?;
        Found::read(number, message.stored_at, &message.subject, &message.payload)
    }

    async fn list(
        &self,
        message: &api::ListParkedRecordsRequest,
    ) -> Result<api::ListParkedRecordsResponse, Status> {
        let question = "ParkedService/ListParkedRecords";
        let page = self.calls.page(message.page_size, &message.page_token, question)?;
        let since = Since::Sequence(page.after_number().unwrap_or(0).saturating_add(1));
        let mut past = self.nats.past(subject::INCIDENTS_STREAM, subject::PARKED_ALL, since);
        let mut filling = page.filling();
        let deadline = Instant::now() + LOOKING;
        let (parked_records, next_page_token) = loop {
            let Ok(next) = timeout_at(deadline, past.next()).await else {
                if filling.has_moved() {
                    break filling.more();
                }
                return Err(error::read_timeout("parked records cannot be read in time"));
            };
            let Some(stored) = next.map_err(unreadable)? else {
                break filling.last();
            };
            let place = u128::from(stored.sequence).to_be_bytes();
            let Stored { sequence, stored_at, subject, payload, .. } = &stored;
            let found = Found::read(*sequence, *stored_at, subject, payload)?;
            if !filling.add(place, self.shown(&found, false)) {
                break filling.more();
            }
        };
        Ok(api::ListParkedRecordsResponse { parked_records, next_page_token })
    }

    /// A parked record as it is shown, `whole` with payloads.
    fn shown(&self, found: &Found, whole: bool) -> api::ParkedRecord {
        let parked = &found.parked;
        let records = parked.records();
        let alerts = records.iter().flatten().filter_map(|record| match &record.content {
            Content::Alert(alert) => Some(alert_to(alert, whole)),
            Content::Resolve(_) | Content::Acknowledge(_) => None,
        });
        let alerts: Vec<_> = alerts.collect();
        let commands = records.as_ref().map_or(0, |records| records.len() - alerts.len());
        let raw = match (whole, &records) {
            (true, Err(_)) => parked.raw(),
            (false, _) | (true, Ok(_)) => Bytes::new(),
        };
        api::ParkedRecord {
            name: format!("parkedRecords/{}", found.number),
            park_time: Some(time(found.parked_at)),
            reason: parked.reason.clone(),
            partition: found.partition,
            alerts_sequence: parked.sequence,
            record: parked.record,
            service: parked.service.map(|id| self.service_name(id)).unwrap_or_default(),
            readable: records.is_ok(),
            alerts,
            commands: u32::try_from(commands).unwrap_or(u32::MAX),
            raw,
        }
    }

    fn service_name(&self, id: ServiceId) -> String {
        match self.team_of(id) {
            Some(team) => format!("teams/{team}/services/{id}"),
            None => format!("teams/-/services/{id}"),
        }
    }

    fn team_of(&self, service: ServiceId) -> Option<TeamId> {
        self.calls.store.read(|directory| directory.service(service).map(|found| found.team))
    }

    /// Evaluates a parked record again and removes it.
    async fn evaluate(&self, number: u64) -> Result<Flags, Status> {
        let found = self.read(number).await?;
        let mut contents = self.contents(&found.parked)?;
        let opened = timeout(SEARCHING, self.opened(number, &contents)).await;
        let slow = |_| error::read_timeout("what it has opened before cannot be read in time");
        let opened = opened.map_err(slow)??;
        let mut flags = Flags { created: !opened.is_empty(), ..Flags::default() };
        contents.retain(|content| !opened.contains(&content.id()));
        for content in contents {
            flags = flags.union(self.handover.carry_out(content).await?);
        }
        self.remove(number).await?;
        Ok(flags)
    }

    /// What is to be evaluated; where one service failed, for that one only. Then it is not tracked:
    /// what is told of one service would take the place of what was told of all.
    fn contents(&self, parked: &Parked) -> Result<Vec<Content>, Status> {
        let records = parked.records().map_err(|_| error::parked_record_unreadable())?;
        let narrowed = match parked.service {
            None => None,
            Some(service) => {
                let team = self.team_of(service).ok_or_else(error::parked_service_deleted)?;
                Some(Reach::Service(team, service))
            }
        };
        let content = |content| match (content, narrowed) {
            (Content::Alert(alert), Some(reach)) => {
                Content::Alert(Alert { reach, tracked_until: None, ..alert })
            }
            (other, _) => other,
        };
        Ok(records.into_iter().map(|record| content(record.content)).collect())
    }

    /// The alerts that have opened an incident since they were parked: they were evaluated.
    async fn opened(
        &self,
        parked_at: u64,
        contents: &[Content],
    ) -> Result<BTreeSet<AlertId>, Status> {
        let mut candidates: HashMap<IncidentId, AlertId> = HashMap::new();
        let mut teams = BTreeSet::new();
        for content in contents {
            let Content::Alert(alert) = content else { continue };
            teams.insert(alert.reach.team());
            self.calls.store.read(|directory| {
                let reached = directory.services().filter(|one| reaches(alert.reach, one));
                let ids = reached.map(|one| (incident_id(alert.id, one.id), alert.id));
                candidates.extend(ids);
            });
        }
        let mut opened = BTreeSet::new();
        if candidates.is_empty() {
            return Ok(opened);
        }
        let team = teams.first().copied().flatten().filter(|_| teams.len() == 1);
        let filter = subject::events_of_kind(Kind::Created, team, None);
        let since = Since::Sequence(parked_at + 1);
        let mut past = self.nats.past(subject::INCIDENTS_STREAM, &filter, since).headers_only();
        while let Some(event) = past.next().await.map_err(unreadable)? {
            let incident = event.header(header::INCIDENT).and_then(|id| IncidentId::parse(id).ok());
            opened.extend(incident.and_then(|id| candidates.get(&id)));
        }
        Ok(opened)
    }

    async fn remove(&self, number: u64) -> Result<(), Status> {
        let removed = self.nats.delete(subject::INCIDENTS_STREAM, number).await;
        removed.map_err(|_| error::unavailable("the record is not known to be removed: ask again"))
    }
}

#[tonic::async_trait]
impl ParkedService for ParkedRecords {
    async fn list_parked_records(
        &self,
        request: Request<api::ListParkedRecordsRequest>,
    ) -> Result<Response<api::ListParkedRecordsResponse>, Status> {
        let method = "ParkedService/ListParkedRecords";
        let (_, message) = self.calls.admit(request, method, |_| Ok(About::default()))?;
        self.list(&message).await.map(Response::new)
    }

    async fn get_parked_record(
        &self,
        request: Request<api::GetParkedRecordRequest>,
    ) -> Result<Response<api::ParkedRecord>, Status> {
        let method = "ParkedService/GetParkedRecord";
        let (_, message) = self.calls.admit(request, method, |_| Ok(About::default()))?;
        let found = self.read(parked_record_name(&message.name)?).await?;
        Ok(Response::new(self.shown(&found, true)))
    }

    async fn evaluate_parked_record(
        &self,
        request: Request<api::EvaluateParkedRecordRequest>,
    ) -> Result<Response<api::EvaluateParkedRecordResponse>, Status> {
        let method = "ParkedService/EvaluateParkedRecord";
        let (caller, message) = self.calls.admit(request, method, |_| Ok(About::default()))?;
        let number = parked_record_name(&message.name)?;
        let _turn = self.turn.lock().await;
        let flags = self.evaluate(number).await?;
        let actor = actor_name(caller.actor());
        tracing::info!(number, actor, ?flags, "a parked record is evaluated");
        Ok(Response::new(api::EvaluateParkedRecordResponse {
            created: flags.created,
            trigger_duplicate: flags.trigger_duplicate,
            resolved: flags.resolved,
            resolve_duplicate: flags.resolve_duplicate,
            suppressed: flags.suppressed,
            failed: flags.failed,
            acknowledged: flags.acknowledged,
        }))
    }

    async fn delete_parked_record(
        &self,
        request: Request<api::DeleteParkedRecordRequest>,
    ) -> Result<Response<pbjson_types::Empty>, Status> {
        let method = "ParkedService/DeleteParkedRecord";
        let (caller, message) = self.calls.admit(request, method, |_| Ok(About::default()))?;
        let number = parked_record_name(&message.name)?;
        let _turn = self.turn.lock().await;
        self.read(number).await?;
        self.remove(number).await?;
        let actor = actor_name(caller.actor());
        tracing::info!(number, actor, "a parked record is deleted");
        Ok(Response::new(pbjson_types::Empty {}))
    }
}

fn none(number: u64) -> Status {
    error::not_found(&format!("parkedRecords/{number}"))
}

fn unreadable(_: runtime::nats::Error) -> Status {
    error::unavailable("parked records cannot be read: the broker does not answer")
}

/// The partition in the subject of a parked record; none in any other subject.
fn partition(found: &str) -> Option<u32> {
    let number = found.rsplit('.').next()?.parse().ok()?;
    (subject::parked(wire::Partition(number)) == found).then_some(number)
}

fn reaches(reach: Reach, service: &Service) -> bool {
    match reach {
        Reach::Global => true,
        Reach::Team(team) => service.team == team,
        Reach::Service(_, id) => service.id == id,
    }
}

fn alert_to(alert: &Alert, whole: bool) -> api::ParkedAlert {
    api::ParkedAlert {
        alert: alert.id.to_string(),
        token: format!("tokens/{}", alert.token),
        receive_time: Some(time(alert.received_at)),
        from: alert.from.clone().unwrap_or_default(),
        payload: if whole { alert.payload.clone() } else { Bytes::new() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_subjects_of_parked_records_have_a_partition() {
        assert_eq!(partition("gander.parked.7"), Some(7));
        for other in
            ["gander.checkpoints.7", "gander.parked.", "gander.parked.07", "gander.parked.x"]
        {
            assert_eq!(partition(other), None, "{other}");
        }
    }
}
