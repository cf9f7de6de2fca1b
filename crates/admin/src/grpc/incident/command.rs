//! What a principal does to an incident: a record among the alerts, whose outcome is awaited.
//!
//! The owner of the incident's partition decides. Must not know what each command means.

use std::sync::PoisonError;

use domain::commit::Request;
use domain::id::AlertId;
use domain::incident::{Command, Flags};
use tonic::Status;
use wire::proto::gander::events::v1 as events;
use wire::stored::alert::{Content, IncidentCommand};

use super::Incidents;
use super::find::Wanted;
use crate::access::Caller;
use crate::grpc::convert::incident_name;
use crate::grpc::error;

impl Incidents {
    /// Remembers a request, if it has an id.
    pub fn note(&self, caller: &Caller, request: Option<Request>) -> Result<(), Status> {
        let (Caller::Principal(by, _), Some(request)) = (caller, request) else {
            return Ok(());
        };
        let mut known = self.guests.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = known.note(*by, request, self.calls.now());
        if fits { Ok(()) } else { Err(error::request_reused()) }
    }

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
        self.handover.carry_out(content(IncidentCommand { id, says })).await
    }

    /// The incident of this name once a command was carried out; without that, there is none.
    pub async fn handled(&self, done: bool, name: &str) -> Result<events::Incident, Status> {
        if !done {
            return Err(error::not_found(name));
        }
        let (team, service, incident) = incident_name(name)?;
        let wanted = Wanted { team: Some(team), service: Some(service), incident };
        let found = self.find(wanted, name).await;
        let message = "carried out; the incident cannot be read: ask again";
        found.map_err(|_| error::read_timeout(message))
    }
}
