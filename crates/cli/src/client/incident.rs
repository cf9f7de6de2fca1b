//! `gander incident`.
//!
//! Must not know how incidents come about.

use domain::id::IncidentId;
use runtime::clock::SystemClock;
use tonic::Code;
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::incident_service_client::IncidentServiceClient;
use wire::proto::gander::events::v1 as events;

use super::commands::{IncidentCommand, ListedStatus, UrgencyArg, Within};
use super::names::{Fresh, Labels, is_of_service};
use super::when::Ago;
use super::{Authorized, Connect, NotFound, Output, Usage, names, request_id, shown_time, tail};
use crate::out::table;

/// Resolved incidents are listed from here on where nothing else is said.
const DAY: Ago = Ago::Span(std::time::Duration::from_secs(24 * 60 * 60));

type Client = IncidentServiceClient<Authorized>;

/// Carries it out.
pub async fn run(connect: &Connect, command: &IncidentCommand) -> anyhow::Result<()> {
    let channel = connect.open().await?;
    let mut client = IncidentServiceClient::new(channel.clone());
    match command {
        IncidentCommand::List { within, status, urgency, since, until } => {
            let parent = parent(&channel, within).await?;
            let request = asked(parent, *status, *urgency, (*since, *until))?;
            show(connect, &channel, &list(&mut client, request).await?).await
        }
        IncidentCommand::Get { incident } => {
            let found = get(&mut client, incident).await?;
            match connect.output {
                Output::Table => details(&channel, &found).await,
                Output::Json => connect.output.show(&[found], &[], |_| vec![]),
            }
        }
        IncidentCommand::Tail { within, cursor } => {
            let parent = parent(&channel, within).await?;
            let cursor = cursor.clone().unwrap_or_default();
            let names = Fresh::read(&channel).await?;
            let request = api::WatchIncidentsRequest { parent, cursor };
            tail::run(connect, names, &mut client, request).await
        }
        IncidentCommand::Acknowledge { incident } => {
            let name = name(&mut client, incident).await?;
            let request = api::AcknowledgeIncidentRequest { name, request_id: request_id() };
            let done = client.acknowledge_incident(request).await?.into_inner();
            show(connect, &channel, &[done]).await
        }
        IncidentCommand::Resolve { incident } => {
            let name = name(&mut client, incident).await?;
            let request = api::ResolveIncidentRequest { name, request_id: request_id() };
            show(connect, &channel, &[client.resolve_incident(request).await?.into_inner()]).await
        }
    }
}

async fn parent(channel: &Authorized, within: &Within) -> anyhow::Result<String> {
    match &within.service {
        Some(service) => Ok(names::service(channel, service).await?.name),
        None => names::parent(channel, within.team.as_deref()).await,
    }
}

fn asked(
    parent: String,
    status: ListedStatus,
    urgency: Option<UrgencyArg>,
    (since, until): (Option<Ago>, Option<Ago>),
) -> anyhow::Result<api::ListIncidentsRequest> {
    let resolved = status == ListedStatus::Resolved;
    if !resolved && (since.is_some() || until.is_some()) {
        return Err(Usage("--since and --until go with --status resolved").into());
    }
    let status = match status {
        ListedStatus::Open => api::ListedIncidents::Open,
        ListedStatus::Unacknowledged => api::ListedIncidents::Unacknowledged,
        ListedStatus::Acknowledged => api::ListedIncidents::Acknowledged,
        ListedStatus::Resolved => api::ListedIncidents::Resolved,
    };
    let urgency = match urgency {
        None => events::Urgency::Unspecified,
        Some(UrgencyArg::High) => events::Urgency::High,
        Some(UrgencyArg::Low) => events::Urgency::Low,
    };
    let since = resolved.then(|| since.unwrap_or(DAY).to_proto(&SystemClock));
    Ok(api::ListIncidentsRequest {
        parent,
        page_size: 1_000,
        page_token: String::new(),
        status: status.into(),
        urgency: urgency.into(),
        resolved_since: since,
        resolved_until: until.map(|until| until.to_proto(&SystemClock)),
    })
}

async fn list(
    client: &mut Client,
    mut request: api::ListIncidentsRequest,
) -> anyhow::Result<Vec<events::Incident>> {
    let mut all = Vec::new();
    loop {
        let page = client.list_incidents(request.clone()).await?.into_inner();
        all.extend(page.incidents);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(all);
        }
    }
}

/// The incident with this id or resource name.
async fn get(client: &mut Client, wanted: &str) -> anyhow::Result<events::Incident> {
    let name = match IncidentId::parse(wanted) {
        Ok(id) => format!("teams/-/services/-/incidents/{id}"),
        Err(_) if is_of_service(wanted, "incidents") => wanted.to_owned(),
        Err(_) => {
            let hint = "give its id (a UUID) or resource name";
            return Err(NotFound(format!("incident {wanted:?}: {hint}")).into());
        }
    };
    Ok(client.get_incident(api::GetIncidentRequest { name }).await?.into_inner())
}

async fn name(client: &mut Client, wanted: &str) -> anyhow::Result<String> {
    if is_of_service(wanted, "incidents") {
        return Ok(wanted.to_owned());
    }
    Ok(get(client, wanted).await?.name)
}

/// How urgent an incident is.
pub fn urgency(incident: &events::Incident) -> String {
    incident.urgency().as_str_name().trim_start_matches("URGENCY_").to_lowercase()
}

fn status(incident: &events::Incident) -> String {
    let status = incident.status();
    if status == events::IncidentStatus::Open && incident.acknowledge_time.is_some() {
        return "acknowledged".to_owned();
    }
    status.as_str_name().trim_start_matches("INCIDENT_STATUS_").to_lowercase()
}

async fn show(
    connect: &Connect,
    channel: &Authorized,
    incidents: &[events::Incident],
) -> anyhow::Result<()> {
    let labels = Labels::read(channel).await?;
    let head = ["INCIDENT", "SERVICE", "STATUS", "URGENCY", "ALERTS", "SINCE", "RESOLVED", "TITLE"];
    connect.output.show(incidents, &head, |incident| {
        vec![
            incident.id.clone(),
            labels.of_incident(&incident.name).to_owned(),
            status(incident),
            urgency(incident),
            incident.occurrences.to_string(),
            shown_time(incident.create_time.as_ref()),
            shown_time(incident.resolve_time.as_ref()),
            incident.title.clone(),
        ]
    })
}

/// One incident, a line a field.
async fn details(channel: &Authorized, incident: &events::Incident) -> anyhow::Result<()> {
    let labels = Labels::read(channel).await?;
    let (acknowledger, resolver) = (
        person(channel, &incident.acknowledger).await?,
        person(channel, &incident.resolver).await?,
    );
    let reason = incident.resolve_reason().as_str_name();
    let reason = reason.trim_start_matches("RESOLVE_REASON_").to_lowercase().replace('_', " ");
    let at = |time: Option<_>| shown_time(time);
    let mut rows = vec![
        ("Incident", incident.id.clone()),
        ("Title", incident.title.clone()),
        ("Service", labels.of_incident(&incident.name).to_owned()),
        ("Status", status(incident)),
        ("Urgency", urgency(incident)),
        ("Mapped value", incident.mapped_value.clone()),
        ("Alerts", incident.occurrences.to_string()),
        ("From", incident.from.clone()),
        ("Since", at(incident.create_time.as_ref())),
        ("Last alert", at(incident.last_occurrence_time.as_ref())),
    ];
    if let Some(time) = &incident.acknowledge_time {
        rows.push(("Acknowledged", format!("{} by {acknowledger}", at(Some(time)))));
    }
    if let Some(time) = &incident.resolve_time {
        let by = if resolver.is_empty() { reason } else { resolver };
        rows.push(("Resolved", format!("{} by {by}", at(Some(time)))));
    }
    rows.push(("Description", incident.description.clone()));
    let rows = rows.into_iter().filter(|(_, value)| !value.is_empty());
    table(&["FIELD", "VALUE"], rows.map(|(field, value)| vec![field.to_owned(), value]).collect());
    Ok(())
}

/// What a principal is called, where the caller may read that; else its resource name.
async fn person(channel: &Authorized, name: &str) -> anyhow::Result<String> {
    if name.is_empty() {
        return Ok(String::new());
    }
    match names::principal_called(channel, name).await {
        Ok(called) => Ok(called),
        Err(status) if matches!(status.code(), Code::PermissionDenied | Code::NotFound) => {
            Ok(name.to_owned())
        }
        Err(status) => Err(status.into()),
    }
}
