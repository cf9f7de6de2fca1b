//! What a principal does to an incident: a record among the alerts, whose outcome is awaited.
//!
//! The owner of the incident's partition decides. Must not know what each command means.

use std::time::Duration;

use domain::id::AlertId;
use domain::incident::{Command, Flags};
use tonic::Status;
use wire::partition::PartitionSet;
use wire::proto::gander::events::v1 as events;
use wire::stored::alert::{Content, IncidentCommand, Record};

use super::Incidents;
use super::find::Wanted;
use crate::access::Caller;
use crate::grpc::convert::incident_name;
use crate::grpc::error;
use crate::grpc::traced::place;

const OUTCOME_DEADLINE: Duration = Duration::from_secs(2);

impl Incidents {
    /// Hands a command about the incident of this name to its owner; gives what it came to.
    pub async fn command(
        &self,
        caller: &Caller,
        name: &str,
        content: fn(IncidentCommand) -> Content,
    ) -> Result<Flags, Status> {
        let (team, service, incident) = incident_name(name)?;
        let Caller::Principal(by, _) = *caller else {
            return Err(error::denied());
        };
        let says = Command { incident, team, service, by, at: self.calls.now() };
        let id = AlertId::from_bytes(self.calls.fresh_id());
        let partition = self.partitions.of(team);
        let covered = PartitionSet::one(partition);
        let mut awaited = self.outcomes.expect(id, covered);
        let content = content(IncidentCommand { id, says });
        let record =
            Record { partition: Some(partition), outcome_wanted: true, content, trace: place() };
        let stored = self.ingest.store(record, covered).await;
        stored.map_err(|_| error::unavailable("it is not known to be carried out: ask again"))?;
        tokio::time::timeout(OUTCOME_DEADLINE, awaited.outcome())
            .await
            .map_err(|_| error::unavailable("stored; no worker has confirmed it yet: ask again"))
    }

    /// The incident of this name once a command was carried out; without that, there is none.
    pub async fn handled(&self, done: bool, name: &str) -> Result<events::Incident, Status> {
        if !done {
            return Err(error::not_found());
        }
        let (team, service, incident) = incident_name(name)?;
        let wanted = Wanted { team: Some(team), service: Some(service), incident };
        let found = self.find(wanted).await;
        found.map_err(|_| error::unavailable("carried out; the incident cannot be read: ask again"))
    }
}
