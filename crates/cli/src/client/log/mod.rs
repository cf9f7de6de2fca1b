//! `gander log`: the API log.
//!
//! - `words`: an entry in few of them. `tree`: all of it, for a person; `reasons` of a service.
//! - `tail`: following entries. `indent`: JSON as it was sent, but for white space. `replay`: recorded calls with the filters of now.
//! - `body`: what the filters saw.
//!
//! Must not know how entries come about.

mod body;
mod indent;
mod reasons;
mod replay;
mod tail;
mod tree;
mod words;

use std::io::Write;
use std::path::Path;

use domain::id::AlertId;
use runtime::clock::SystemClock;
use runtime::fresh_file::FreshFile;
use tonic::Status;
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::api_log_service_client::ApiLogServiceClient;

use super::commands::{LogCommand, LogScope, LogSpan, OutcomeArg};
use super::names::{Fresh, Labels};
use super::when::Ago;
use super::{Authorized, Connect, NotFound, Output, Usage, names, shown_time};
use crate::out::{complain, harmless, is_read, json, json_line, say, write_foreign};

pub use body::is_compressed;
pub use reasons::reasons;

type Client = ApiLogServiceClient<Authorized>;

/// Entries are larger than what clients take where nothing else is said, by what is around them.
const MESSAGE_BYTES: usize = 8 * 1024 * 1024;
const PAGE: i32 = 1_000;
const NO_WORKER: &str = "not every partition was answered for in time: is a worker running, and not too busy? see gander status";
const NO_ID: Usage = Usage(
    "that is no id of an entry: it is the `id` in the answer to the sender, and in `gander log list`",
);

/// Carries it out.
pub async fn run(connect: &Connect, command: &LogCommand) -> anyhow::Result<()> {
    let channel = connect.open().await?;
    let client = ApiLogServiceClient::new(channel.clone());
    let mut client = client.max_decoding_message_size(MESSAGE_BYTES);
    match command {
        LogCommand::List { scope, span, limit } => {
            let filter = filter(&channel, scope, Some(span)).await?;
            let entries = list(&mut client, filter, usize::try_from(*limit)?).await?;
            show(connect, &channel, &entries).await?;
            if entries.is_empty() {
                tell_untracked(&channel, scope).await;
            }
            Ok(())
        }
        LogCommand::Get { entry, token, body, unmatched } => {
            let name = named(entry)?;
            let token = match token {
                Some(wanted) => self::token(&channel, wanted).await?,
                None => String::new(),
            };
            if *unmatched {
                return tell_unmatched(connect, &channel, &mut client, name, token).await;
            }
            let request = api::GetApiLogEntryRequest { name, token };
            let entry = client.get_api_log_entry(request).await?.into_inner();
            match connect.output {
                _ if *body => tell_body(entry),
                Output::Json => connect.output.show(&[entry], &[], |_| vec![]),
                Output::Table => {
                    tree::tell(&Labels::read(&channel).await?, &entry);
                    Ok(())
                }
            }
        }
        LogCommand::Explain { file, token, from } => {
            let payload = super::read_payload(file)?.into();
            let token = self::token(&channel, token).await?;
            let from = from.clone().unwrap_or_default();
            let request = api::ExplainAlertRequest { token, payload, from };
            let entry = client.explain_alert(request).await?.into_inner();
            tell_explained(connect, &channel, &entry).await
        }
        LogCommand::Replay { entries } => {
            let labels = Labels::read(&channel).await?;
            replay::run(connect, &labels, &mut client, entries).await
        }
        LogCommand::Tail { scope, cursor } => {
            let filter = Some(filter(&channel, scope, None).await?);
            tell_untracked(&channel, scope).await;
            let cursor = cursor.clone().unwrap_or_default();
            let names = Fresh::read(&channel).await?;
            let request = api::TailApiLogEntriesRequest { filter, cursor };
            tail::run(connect, names, &mut client, request).await
        }
        LogCommand::Export { scope, span, file } => {
            let filter = filter(&channel, scope, Some(span)).await?;
            export(&mut client, filter, file.as_deref()).await
        }
    }
}

/// What it would come to; an error where that is not known of every partition.
async fn tell_explained(
    connect: &Connect,
    channel: &Authorized,
    entry: &api::ApiLogEntry,
) -> anyhow::Result<()> {
    match connect.output {
        Output::Json => say(&json(entry)?),
        Output::Table => tree::why(&Labels::read(channel).await?, entry),
    }
    match entry.missing {
        Some(_) => Err(Status::unavailable(NO_WORKER).into()),
        None => Ok(()),
    }
}

fn named(entry: &str) -> anyhow::Result<String> {
    let id = entry.strip_prefix("apiLogEntries/").unwrap_or(entry).trim();
    let id = AlertId::parse(&id.to_ascii_lowercase()).map_err(|_| NO_ID)?;
    Ok(format!("apiLogEntries/{id}"))
}

/// The resource name of a token. A deleted one has no other name than its id.
async fn token(channel: &Authorized, wanted: &str) -> anyhow::Result<String> {
    let id = wanted.strip_prefix("tokens/").unwrap_or(wanted);
    match domain::id::TokenId::parse(id) {
        Ok(id) => Ok(format!("tokens/{id}")),
        Err(_) => Ok(names::token(channel, wanted).await.map_err(names::or_deleted)?.name),
    }
}

/// Tells whoever waits for entries that there are none to come.
async fn tell_untracked(channel: &Authorized, scope: &LogScope) {
    let Some(wanted) = &scope.token else { return };
    let Ok(token) = names::token(channel, wanted).await else { return };
    if token.tracking != Some(true) {
        let name = harmless(&token.display_name);
        complain(&format!(
            "the token {name} is not tracked, so its calls are not kept: gander token update {name} --tracking on"
        ));
    }
}

async fn filter(
    channel: &Authorized,
    scope: &LogScope,
    span: Option<&LogSpan>,
) -> anyhow::Result<api::ApiLogFilter> {
    let mut filter = api::ApiLogFilter::default();
    if let Some(wanted) = &scope.token {
        filter.token = token(channel, wanted).await?;
    }
    if let Some(wanted) = &scope.team {
        filter.team = names::team(channel, wanted).await?.name;
    }
    if let Some(wanted) = &scope.service {
        filter.service = match wanted.starts_with("teams/") {
            true => wanted.clone(),
            false => names::service(channel, wanted).await?.name,
        };
    }
    let time = |at: Option<Ago>| at.map(|at| at.to_proto(&SystemClock));
    filter.outcomes = scope.outcomes.iter().map(|one| outcome(*one).into()).collect();
    filter.start_time = span.and_then(|span| time(span.since));
    filter.end_time = span.and_then(|span| time(span.until));
    Ok(filter)
}

const fn outcome(argument: OutcomeArg) -> api::ApiLogOutcome {
    use api::ApiLogOutcome as Outcome;
    match argument {
        OutcomeArg::Created => Outcome::Created,
        OutcomeArg::Resolved => Outcome::Resolved,
        OutcomeArg::Duplicate => Outcome::Duplicate,
        OutcomeArg::Suppressed => Outcome::Suppressed,
        OutcomeArg::Failed => Outcome::Failed,
        OutcomeArg::Refused => Outcome::Refused,
        OutcomeArg::Pending => Outcome::Pending,
        OutcomeArg::Unmatched => Outcome::Unmatched,
    }
}

async fn list(
    client: &mut Client,
    filter: api::ApiLogFilter,
    limit: usize,
) -> anyhow::Result<Vec<api::ApiLogEntry>> {
    let filter = Some(filter);
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let page_size = i32::try_from(limit - all.len()).unwrap_or(PAGE).min(PAGE);
        let filter = filter.clone();
        let request = api::ListApiLogEntriesRequest { filter, page_size, page_token };
        let page = client.list_api_log_entries(request).await?.into_inner();
        all.extend(page.api_log_entries);
        if page.next_page_token.is_empty() || all.len() >= limit {
            return Ok(all);
        }
        page_token = page.next_page_token;
    }
}

async fn show(
    connect: &Connect,
    channel: &Authorized,
    entries: &[api::ApiLogEntry],
) -> anyhow::Result<()> {
    let labels = Labels::read(channel).await?;
    let head = ["TIME", "ID", "TOKEN", "FROM", "STATUS", "OUTCOME", "WHY"];
    connect.output.show(entries, &head, |entry| {
        vec![
            shown_time(entry.receive_time.as_ref()),
            words::id(entry).to_owned(),
            words::token(entry).to_owned(),
            words::or_dash(&entry.from),
            words::status(entry),
            words::outcome(entry),
            words::why(&labels, entry),
        ]
    })
}

fn tell_body(entry: api::ApiLogEntry) -> anyhow::Result<()> {
    let body = entry.request.as_ref().and_then(body::decoded);
    let body = body.ok_or_else(|| NotFound("body in this entry".to_owned()))?;
    write_foreign(&body);
    Ok(())
}

async fn tell_unmatched(
    connect: &Connect,
    channel: &Authorized,
    client: &mut Client,
    parent: String,
    token: String,
) -> anyhow::Result<()> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let (parent, token) = (parent.clone(), token.clone());
        let request =
            api::ListUnmatchedServicesRequest { parent, token, page_size: PAGE, page_token };
        let page = client.list_unmatched_services(request).await?.into_inner();
        all.extend(page.services);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let labels = Labels::read(channel).await?;
    connect
        .output
        .show(&all, &["SERVICE", "NAME"], |name| vec![labels.of(name).to_owned(), name.clone()])
}

/// Writes entries as lines of JSON; a file is there only when it is complete.
async fn export(
    client: &mut Client,
    filter: api::ApiLogFilter,
    file: Option<&Path>,
) -> anyhow::Result<()> {
    let mut lines = file.map(FreshFile::create).transpose()?;
    let request = api::ExportApiLogEntriesRequest { filter: Some(filter) };
    let mut entries = client.export_api_log_entries(request).await?.into_inner();
    let mut count = 0_u64;
    while is_read()
        && let Some(answer) = entries.message().await?
    {
        let line = json_line(&answer.entry.unwrap_or_default())?;
        match &mut lines {
            Some(lines) => writeln!(lines, "{line}")?,
            None => say(&line),
        }
        count += 1;
    }
    if let (Some(path), Some(lines)) = (file, lines) {
        lines.name()?;
        say(&format!("{count} entries are written to {}", path.display()));
    }
    Ok(())
}
