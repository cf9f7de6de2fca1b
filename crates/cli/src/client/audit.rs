//! `gander audit`: list, get, export. What was made of records is checked in `audit_verify`.
//!
//! Must not know how records are kept.

use std::io::Write;
use std::path::Path;

use runtime::clock::SystemClock;
use runtime::fresh_file::FreshFile;
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::audit_service_client::AuditServiceClient;

use super::commands::{AuditCommand, AuditFilter};
use super::{Authorized, Connect, audit_verify, names, shown_time};
use crate::out::{is_read, json, json_line, say};

/// The most characters of details in a table.
const DETAILS: usize = 100;

/// Carries it out.
pub async fn run(connect: &Connect, command: &AuditCommand) -> anyhow::Result<()> {
    if let AuditCommand::Verify(args) = command {
        return audit_verify::run(connect, args).await;
    }
    let channel = connect.open().await?;
    let mut client = AuditServiceClient::new(channel.clone());
    match command {
        AuditCommand::List { filter, limit } => {
            let request = request(&channel, filter).await?;
            show(connect, &list(&mut client, request, *limit).await?)
        }
        AuditCommand::Get { number } => {
            let name = format!("auditRecords/{number}");
            let record = client.get_audit_record(api::GetAuditRecordRequest { name }).await?;
            match connect.output {
                super::Output::Json => say(&json(record.get_ref())?),
                super::Output::Table => tell(record.get_ref()),
            }
            Ok(())
        }
        AuditCommand::Export { start_sequence, file } => {
            export(&mut client, *start_sequence, file.as_deref()).await
        }
        AuditCommand::Checkpoint { public_key } => {
            let request = api::GetAuditCheckpointRequest {};
            let found = client.get_audit_checkpoint(request).await?.into_inner();
            match connect.output {
                super::Output::Json => say(&json(&found)?),
                super::Output::Table if *public_key => say(&found.public_key),
                super::Output::Table => say(&found.note),
            }
            Ok(())
        }
        AuditCommand::Verify(_) => Ok(()),
    }
}

async fn request(
    channel: &Authorized,
    filter: &AuditFilter,
) -> anyhow::Result<api::ListAuditRecordsRequest> {
    let time = |past: Option<super::when::Ago>| past.map(|past| past.to_proto(&SystemClock));
    Ok(api::ListAuditRecordsRequest {
        resource: resource(channel, filter).await?,
        include_children: filter.include_children,
        actor: match filter.actor.as_deref() {
            None => String::new(),
            Some(known @ ("bootstrap" | "system")) => known.to_owned(),
            Some(wanted) => principal(channel, wanted).await?,
        },
        start_time: time(filter.since),
        end_time: time(filter.until),
        kinds: filter.kinds.clone(),
        page_size: 0,
        page_token: String::new(),
    })
}

async fn resource(channel: &Authorized, filter: &AuditFilter) -> anyhow::Result<String> {
    if let Some(wanted) = &filter.team {
        return match known("teams", wanted) {
            Some(name) => Ok(name),
            None => Ok(names::team(channel, wanted).await.map_err(names::or_deleted)?.name),
        };
    }
    if let Some(wanted) = &filter.service {
        if wanted.starts_with("teams/") {
            return Ok(wanted.clone());
        }
        return Ok(names::service(channel, wanted).await?.name);
    }
    if let Some(wanted) = &filter.token {
        return match known("tokens", wanted) {
            Some(name) => Ok(name),
            None => Ok(names::token(channel, wanted).await.map_err(names::or_deleted)?.name),
        };
    }
    match &filter.principal {
        Some(wanted) => principal(channel, wanted).await,
        None => Ok(String::new()),
    }
}

async fn principal(channel: &Authorized, wanted: &str) -> anyhow::Result<String> {
    match known("principals", wanted) {
        Some(name) => Ok(name),
        None => Ok(names::principal(channel, wanted).await.map_err(names::or_deleted)?.name),
    }
}

/// The resource name where an id or the name itself is given: what is deleted has no other.
fn known(collection: &str, wanted: &str) -> Option<String> {
    let id = wanted.strip_prefix(collection).and_then(|rest| rest.strip_prefix('/'));
    let id = id.unwrap_or(wanted);
    domain::id::TeamId::parse(id).ok().map(|id| format!("{collection}/{id}"))
}

async fn list(
    client: &mut AuditServiceClient<Authorized>,
    mut request: api::ListAuditRecordsRequest,
    limit: u32,
) -> anyhow::Result<Vec<api::AuditRecord>> {
    let limit = usize::try_from(limit)?;
    let mut all = Vec::new();
    loop {
        request.page_size = i32::try_from((limit - all.len()).min(1_000))?;
        let page = client.list_audit_records(request.clone()).await?.into_inner();
        all.extend(page.audit_records);
        if page.next_page_token.is_empty() || all.len() >= limit {
            return Ok(all);
        }
        request.page_token = page.next_page_token;
    }
}

/// Writes records as lines of JSON; a file is there only when it is complete.
async fn export(
    client: &mut AuditServiceClient<Authorized>,
    start_sequence: u64,
    file: Option<&Path>,
) -> anyhow::Result<()> {
    let lines = file.map(FreshFile::create).transpose()?;
    let request = api::ExportAuditRecordsRequest { start_sequence };
    let mut records = client.export_audit_records(request).await?.into_inner();
    let (Some(path), Some(mut lines)) = (file, lines) else {
        while is_read()
            && let Some(answer) = records.message().await?
        {
            say(&json_line(&answer.record.unwrap_or_default())?);
        }
        return Ok(());
    };
    let mut last = None;
    while let Some(answer) = records.message().await? {
        let record = answer.record.unwrap_or_default();
        writeln!(lines, "{}", json_line(&record)?)?;
        last = Some((record.sequence, record.hash));
    }
    lines.name()?;
    let (sequence, hash) = last.unwrap_or_default();
    say(&format!("written to {}; it ends with {sequence}:{hash}", path.display()));
    Ok(())
}

fn show(connect: &Connect, records: &[api::AuditRecord]) -> anyhow::Result<()> {
    let head = ["NUMBER", "TIME", "ACTOR", "KIND", "RESOURCE", "DETAILS"];
    connect.output.show(records, &head, |record| {
        let kinds: Vec<_> = record.changes.iter().map(|change| change.kind.clone()).collect();
        let mut details = details(record).join(" ");
        if let Some((cut, _)) = details.char_indices().nth(DETAILS) {
            details.truncate(cut);
            details.push('…');
        }
        vec![
            record.sequence.to_string(),
            shown_time(record.time.as_ref()),
            called(&record.actor, &record.actor_display_name),
            kinds.join(","),
            called(&record.resource, &record.resource_display_name),
            details,
        ]
    })
}

fn tell(record: &api::AuditRecord) {
    let kinds: Vec<_> = record.changes.iter().map(|change| change.kind.clone()).collect();
    for (name, value) in [
        ("number", record.sequence.to_string()),
        ("time", record.time.as_ref().and_then(|at| at.to_rfc3339()).unwrap_or_default()),
        ("actor", format!("{} {}", record.actor, record.actor_display_name)),
        ("request id", record.request_id.clone()),
        ("resource", format!("{} {}", record.resource, record.resource_display_name)),
        ("kind", kinds.join(",")),
        ("hash before", record.previous_hash.clone()),
        ("hash", record.hash.clone()),
    ] {
        say(format!("{name:<12} {value}").trim_end());
    }
    details(record).iter().for_each(|detail| say(&format!("  {detail}")));
}

fn called(name: &str, display_name: &str) -> String {
    match display_name {
        "" => name.to_owned(),
        display_name => {
            let kind = name.split('/').rev().nth(1).unwrap_or(name);
            format!("{} {display_name}", kind.trim_end_matches('s'))
        }
    }
}

fn details(record: &api::AuditRecord) -> Vec<String> {
    let detail = |detail: &api::AuditDetail| {
        let old = detail.old_value.as_ref().map(|old| format!("{old} -> ")).unwrap_or_default();
        format!("{}={old}{}", detail.field, detail.new_value.as_deref().unwrap_or("-"))
    };
    record.changes.iter().flat_map(|change| &change.details).map(detail).collect()
}
