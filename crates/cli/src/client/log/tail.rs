//! `gander log tail`: entries as they come, without a gap when the server goes away.
//!
//! Must not know how entries are listed.

use tonic::{Status, Streaming};
use wire::proto::gander::admin::v1 as api;

use super::super::names::{Fresh, Labels};
use super::super::tail::{PAUSE, is_gone};
use super::super::{Connect, Output, shown_time};
use super::{Client, tree, words};
use crate::out::{complain, is_read, json_line, painted, say};

type Tailing = Streaming<api::TailApiLogEntriesResponse>;

/// Follows entries until it is stopped; where the server goes away, it resumes by cursor.
pub async fn run(
    connect: &Connect,
    mut names: Fresh,
    client: &mut Client,
    mut request: api::TailApiLogEntriesRequest,
) -> anyhow::Result<()> {
    let mut entries = client.tail_api_log_entries(request.clone()).await?.into_inner();
    while is_read() {
        match entries.message().await {
            Ok(Some(response)) => {
                tell(connect.output, &mut names, &request.cursor, &response).await?;
                request.cursor = response.cursor;
            }
            Ok(None) => entries = resume(client, &request).await?,
            Err(status) if is_gone(&status) => entries = resume(client, &request).await?,
            Err(status) => return Err(status.into()),
        }
    }
    Ok(())
}

async fn tell(
    output: Output,
    names: &mut Fresh,
    before: &str,
    response: &api::TailApiLogEntriesResponse,
) -> anyhow::Result<()> {
    if response.skipped > 0 {
        complain(&format!(
            "{} entries were passed over, since this tail was slow: --cursor {before} shows them",
            response.skipped
        ));
    }
    match (output, &response.entry) {
        (_, None) => {}
        (Output::Json, Some(_)) => say(&json_line(response)?),
        (Output::Table, Some(entry)) => {
            let services = entry.services.iter().map(|one| one.service.as_str());
            say(&line(names.of_services(services).await, entry));
        }
    }
    Ok(())
}

fn line(labels: &Labels, entry: &api::ApiLogEntry) -> String {
    let outcome = format!("{:<10}", words::outcome(entry));
    format!(
        "{}  {}  {}  {}  {}  {}  {}",
        shown_time(entry.receive_time.as_ref()),
        painted(&outcome, tree::colour(entry.outcome())),
        words::status(entry),
        words::id(entry),
        words::one_line(words::token(entry)),
        words::one_line(&words::or_dash(&entry.from)),
        words::one_line(&words::why(labels, entry)),
    )
}

async fn resume(
    client: &mut Client,
    request: &api::TailApiLogEntriesRequest,
) -> anyhow::Result<Tailing> {
    if request.cursor.is_empty() {
        let gone = "the server ended the stream before it said where to resume: start again";
        return Err(Status::unavailable(gone).into());
    }
    complain("the server ended the stream; waiting to resume without a gap");
    loop {
        match client.tail_api_log_entries(request.clone()).await {
            Ok(resumed) => {
                complain("resumed");
                return Ok(resumed.into_inner());
            }
            Err(status) if is_gone(&status) => tokio::time::sleep(PAUSE).await,
            Err(status) => return Err(status.into()),
        }
    }
}
