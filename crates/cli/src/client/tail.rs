//! `gander incident tail`: events as they happen, without a gap when the server goes away.
//!
//! Must not know how incidents are listed.

use std::time::Duration;

use tonic::{Code, Status, Streaming};
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::incident_service_client::IncidentServiceClient;
use wire::proto::gander::events::v1 as events;

use super::names::{Fresh, Labels, service_of};
use super::{Authorized, Connect, Output, advice, incident, shown_time};
use crate::out::{complain, is_read, json_line, say};

/// Between two attempts to resume.
pub const PAUSE: Duration = Duration::from_secs(1);

type Client = IncidentServiceClient<Authorized>;
type Watching = Streaming<api::WatchIncidentsResponse>;

/// Follows events until it is stopped; where the server goes away, it resumes by cursor.
pub async fn run(
    connect: &Connect,
    mut names: Fresh,
    client: &mut Client,
    mut request: api::WatchIncidentsRequest,
) -> anyhow::Result<()> {
    let mut events = client.watch_incidents(request.clone()).await?.into_inner();
    while is_read() {
        match events.message().await {
            Ok(Some(response)) => {
                request.cursor.clone_from(&response.cursor);
                match (connect.output, &response.event) {
                    (Output::Json, Some(_)) => say(&json_line(&response)?),
                    (Output::Table, Some(event)) => {
                        let incident = event.incident.iter().map(|one| service_of(&one.name));
                        say(&line(names.of_services(incident).await, event));
                    }
                    (_, None) => {}
                }
            }
            Ok(None) => events = resume(client, &request).await?,
            Err(status) if is_gone(&status) => events = resume(client, &request).await?,
            Err(status) => return Err(status.into()),
        }
    }
    Ok(())
}

async fn resume(
    client: &mut Client,
    request: &api::WatchIncidentsRequest,
) -> anyhow::Result<Watching> {
    if request.cursor.is_empty() {
        let gone = "the server ended the stream before it said where to resume: start again";
        return Err(Status::unavailable(gone).into());
    }
    complain("the server ended the stream; waiting to resume without a gap");
    loop {
        match client.watch_incidents(request.clone()).await {
            Ok(resumed) => {
                complain("resumed");
                return Ok(resumed.into_inner());
            }
            Err(status) if is_gone(&status) => tokio::time::sleep(PAUSE).await,
            Err(status) => return Err(status.into()),
        }
    }
}

/// Whether the server went away rather than refused. Which code tonic gives to a connection that
/// breaks depends on where it breaks.
pub fn is_gone(status: &Status) -> bool {
    let mid_frame =
        status.code() == Code::Internal && status.message().starts_with("h2 protocol error");
    mid_frame
        || matches!(status.code(), Code::Unavailable | Code::Unknown | Code::DeadlineExceeded)
        || advice::is_unanswered(status)
}

fn line(labels: &Labels, event: &events::IncidentEvent) -> String {
    let kind = event.r#type.trim_start_matches("gander.incident.").trim_end_matches(".v1");
    let incident = event.incident.clone().unwrap_or_default();
    format!(
        "{}  {kind:<12}  {}  {}  {}  x{}  {}",
        shown_time(event.time.as_ref()),
        incident::urgency(&incident),
        incident.id,
        labels.of_incident(&incident.name),
        incident.occurrences,
        incident.title
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tonic::transport::Endpoint;

    use super::*;

    /// What a call to a server gets that hangs up after it has read so many bytes.
    async fn hung_up_after(read: usize) -> Status {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let _ = client.read_exact(&mut vec![0; read]).await;
            }
        });
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
        let mut client = IncidentServiceClient::new(channel);
        let status = client.watch_incidents(api::WatchIncidentsRequest::default()).await;
        server.abort();
        status.unwrap_err()
    }

    #[tokio::test]
    async fn wherever_a_connection_breaks_the_server_is_gone() {
        for read in 0..200 {
            let status =
                tokio::time::timeout(Duration::from_millis(200), hung_up_after(read)).await;
            // Where it waits for more than the client says, the call waits too.
            let Ok(status) = status else { return assert!(read > 60, "{read}") };
            assert!(is_gone(&status), "after {read} bytes: {status:?}");
        }
    }

    #[test]
    fn a_server_that_refuses_is_there() {
        for status in
            [Status::unauthenticated(""), Status::internal("a bug"), Status::cancelled("")]
        {
            assert!(!is_gone(&status), "{status:?}");
        }
    }
}
