//! A subscriber to the events of incidents, over gRPC.
//!
//! Must not know which alerts were sent.

use std::sync::{Mutex, PoisonError};

use domain::id::AlertId;
use runtime::environment;
use tonic::{Status, Streaming};
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::incident_service_client::IncidentServiceClient;
use wire::proto::gander::events::v1 as events;

use super::super::tail::{PAUSE, is_gone};
use super::super::{Authorized, Connect, default_credential_file, explain};
use super::pairs::Happened;
use super::tally::Tally;

const CREATED: &str = "gander.incident.created.v1";
const RESOLVED: &str = "gander.incident.resolved.v1";

/// Events from here on.
pub struct Watch {
    client: IncidentServiceClient<Authorized>,
    request: api::WatchIncidentsRequest,
    events: Streaming<api::WatchIncidentsResponse>,
}

/// Why there are no events.
pub type Missing = String;

impl Watch {
    /// Opens one, or tells why not. Where a credential was named, that is an error.
    pub async fn open(connect: &Connect) -> anyhow::Result<Result<Self, Missing>> {
        let named = connect.credential_file.is_some()
            || environment::variable("GANDER_CREDENTIAL").is_some();
        if !named && !default_credential_file().is_ok_and(|file| file.exists()) {
            return Ok(Err("no credential: say --credential-file".to_owned()));
        }
        match Self::begin(connect).await {
            Ok(watch) => Ok(Ok(watch)),
            Err(error) if named => Err(error),
            Err(error) => Ok(Err(explain(&error))),
        }
    }

    async fn begin(connect: &Connect) -> anyhow::Result<Self> {
        let mut client = IncidentServiceClient::new(connect.open().await?);
        let mut request = api::WatchIncidentsRequest::default();
        let mut events = client.watch_incidents(request.clone()).await?.into_inner();
        // The first message comes at once; what happens after it is told.
        if let Some(first) = events.message().await? {
            request.cursor = first.cursor;
        }
        Ok(Self { client, request, events })
    }

    /// Counts events until it is dropped, without a gap where the server goes away for a time.
    /// Returns where it is refused.
    pub async fn follow(mut self, tally: &Mutex<Tally>) -> Status {
        loop {
            match self.events.message().await {
                Ok(Some(response)) => {
                    self.request.cursor = response.cursor;
                    if let Some((alert, happened)) = response.event.as_ref().and_then(of_alert) {
                        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                        tally.happened(alert, happened);
                    }
                }
                Err(status) if !is_gone(&status) => return status,
                Ok(None) | Err(_) => {
                    if let Err(status) = self.resume().await {
                        return status;
                    }
                }
            }
        }
    }

    async fn resume(&mut self) -> Result<(), Status> {
        loop {
            match self.client.watch_incidents(self.request.clone()).await {
                Ok(resumed) => {
                    self.events = resumed.into_inner();
                    return Ok(());
                }
                Err(status) if is_gone(&status) => tokio::time::sleep(PAUSE).await,
                Err(status) => return Err(status),
            }
        }
    }
}

/// The alert that created or resolved an incident. A `repeated` event may stand for many alerts and
/// names only the last: how long the others took it does not tell.
fn of_alert(event: &events::IncidentEvent) -> Option<(AlertId, Happened)> {
    let happened = match event.r#type.as_str() {
        CREATED => Happened::Created,
        RESOLVED => Happened::Resolved,
        _ => return None,
    };
    let alert = AlertId::parse(&event.alert.as_ref()?.id).ok()?;
    Some((alert, happened))
}
