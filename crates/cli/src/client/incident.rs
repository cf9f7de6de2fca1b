//! `gander incident`.
//!
//! Must not know how incidents come about.

use std::time::Duration;

use tonic::{Code, Status, Streaming};
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::incident_service_client::IncidentServiceClient;
use wire::proto::gander::events::v1 as events;

use super::commands::IncidentCommand;
use super::names::Labels;
use super::{Authorized, Connect, NotFound, Output, names, request_id, shown_time};
use crate::out::{complain, say};

/// Between two attempts to resume.
const PAUSE: Duration = Duration::from_secs(1);

type Client = IncidentServiceClient<Authorized>;

/// Carries it out.
pub async fn run(connect: &Connect, command: &IncidentCommand) -> anyhow::Result<()> {
    let channel = connect.open().await?;
    let mut client = IncidentServiceClient::new(channel.clone());
    match command {
        IncidentCommand::List { team } => {
            let parent = names::parent(&channel, team.as_deref()).await?;
            show(connect, &channel, &list(&mut client, &parent).await?).await
        }
        IncidentCommand::Tail { team, cursor } => {
            let parent = names::parent(&channel, team.as_deref()).await?;
            let cursor = cursor.clone().unwrap_or_default();
            let labels = names::Labels::read(&channel).await?;
            let request = api::WatchIncidentsRequest { parent, cursor };
            tail(connect, &labels, &mut client, request).await
        }
        IncidentCommand::Resolve { incident } => {
            let name = if incident.contains('/') {
                incident.clone()
            } else {
                let open = list(&mut client, "teams/-").await?;
                let found = open.into_iter().find(|open| open.id == *incident);
                found.ok_or_else(|| NotFound(format!("open incident {incident:?}")))?.name
            };
            let request = api::ResolveIncidentRequest { name, request_id: request_id() };
            show(connect, &channel, &[client.resolve_incident(request).await?.into_inner()]).await
        }
    }
}

async fn list(client: &mut Client, parent: &str) -> anyhow::Result<Vec<events::Incident>> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let parent = parent.to_owned();
        let request = api::ListIncidentsRequest { parent, page_size: 1_000, page_token };
        let page = client.list_incidents(request).await?.into_inner();
        all.extend(page.incidents);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(all);
        }
    }
}

/// Follows events until it is stopped; where the server goes away, it resumes by cursor.
async fn tail(
    connect: &Connect,
    labels: &Labels,
    client: &mut Client,
    mut request: api::WatchIncidentsRequest,
) -> anyhow::Result<()> {
    let mut events = client.watch_incidents(request.clone()).await?.into_inner();
    loop {
        match events.message().await {
            Ok(Some(response)) => {
                request.cursor.clone_from(&response.cursor);
                match (connect.output, &response.event) {
                    (Output::Json, Some(_)) => say(&serde_json::to_string(&response)?),
                    (Output::Table, Some(event)) => say(&line(labels, event)),
                    (_, None) => {}
                }
            }
            Ok(None) => events = resume(client, &request).await?,
            Err(status) if status.code() == Code::Unavailable || status.code() == Code::Unknown => {
                events = resume(client, &request).await?;
            }
            Err(status) => return Err(status.into()),
        }
    }
}

async fn resume(
    client: &mut Client,
    request: &api::WatchIncidentsRequest,
) -> anyhow::Result<Streaming<api::WatchIncidentsResponse>> {
    if request.cursor.is_empty() {
        let gone = "the server ended the stream before there was an event: start again";
        return Err(Status::unavailable(gone).into());
    }
    complain("the server ended the stream; waiting to resume without a gap");
    loop {
        match client.watch_incidents(request.clone()).await {
            Ok(resumed) => return Ok(resumed.into_inner()),
            Err(status) if status.code() == Code::Unavailable || status.code() == Code::Unknown => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(status) => return Err(status.into()),
        }
    }
}

fn line(labels: &Labels, event: &events::IncidentEvent) -> String {
    let kind = event.r#type.trim_start_matches("gander.incident.").trim_end_matches(".v1");
    let incident = event.incident.clone().unwrap_or_default();
    format!(
        "{}  {kind:<8}  {}  {}  {}  x{}  {}",
        shown_time(event.time.as_ref()),
        urgency(&incident),
        incident.id,
        labels.of_incident(&incident.name),
        incident.occurrences,
        incident.title
    )
}

fn urgency(incident: &events::Incident) -> String {
    incident.urgency().as_str_name().trim_start_matches("URGENCY_").to_lowercase()
}

async fn show(
    connect: &Connect,
    channel: &Authorized,
    incidents: &[events::Incident],
) -> anyhow::Result<()> {
    let labels = Labels::read(channel).await?;
    let head = ["INCIDENT", "SERVICE", "STATUS", "URGENCY", "COUNT", "SINCE", "TITLE"];
    connect.output.show(incidents, &head, |incident| {
        let status = incident.status().as_str_name().trim_start_matches("INCIDENT_STATUS_");
        vec![
            incident.id.clone(),
            labels.of_incident(&incident.name).to_owned(),
            status.to_lowercase(),
            urgency(incident),
            incident.occurrences.to_string(),
            shown_time(incident.create_time.as_ref()),
            incident.title.clone(),
        ]
    })
}
