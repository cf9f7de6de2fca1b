//! `gander parked`.
//!
//! Must not know why records are parked.

use anyhow::Context;
use tonic::{Code, Status};
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::parked_service_client::ParkedServiceClient;

use super::commands::ParkedCommand;
use super::names::Labels;
use super::{Authorized, Connect, NotFound, Output, shown_time};
use crate::out::{json_line, say, table, write_foreign};

type Client = ParkedServiceClient<Authorized>;

/// Carries it out.
pub async fn run(connect: &Connect, command: &ParkedCommand) -> anyhow::Result<()> {
    let channel = connect.open().await?;
    let mut client = ParkedServiceClient::new(channel.clone());
    match command {
        ParkedCommand::List => show(connect, &channel, &list(&mut client).await?).await,
        ParkedCommand::Get { record, payload } => {
            let found = get(&mut client, record).await?;
            match (payload, connect.output) {
                (true, _) => only_payload(&found),
                (false, Output::Json) => connect.output.show(&[found], &[], |_| vec![]),
                (false, Output::Table) => details(&channel, &found).await,
            }
        }
        ParkedCommand::Evaluate { records, all } => {
            let names = if *all {
                let all = list(&mut client).await?;
                all.into_iter().filter(|one| one.readable).map(|one| one.name).collect()
            } else {
                records.iter().map(|record| name(record)).collect::<Vec<_>>()
            };
            if names.is_empty() {
                say("There is nothing to evaluate.");
            }
            for name in names {
                evaluate(connect, &mut client, name).await?;
            }
            Ok(())
        }
        ParkedCommand::Delete { records } => {
            for record in records {
                let request = api::DeleteParkedRecordRequest { name: name(record) };
                found(client.delete_parked_record(request).await, record)?;
                say(&format!("{record} is deleted"));
            }
            Ok(())
        }
    }
}

fn name(record: &str) -> String {
    if record.contains('/') { record.to_owned() } else { format!("parkedRecords/{record}") }
}

fn number(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn found<T>(answer: Result<tonic::Response<T>, Status>, record: &str) -> anyhow::Result<T> {
    match answer {
        Err(status) if status.code() == Code::NotFound => {
            let record = number(record);
            let text = format!("parked record {record}: it was evaluated or deleted, or never was");
            Err(NotFound(text).into())
        }
        other => Ok(other?.into_inner()),
    }
}

async fn list(client: &mut Client) -> anyhow::Result<Vec<api::ParkedRecord>> {
    let mut all = Vec::new();
    let mut request = api::ListParkedRecordsRequest { page_size: 1_000, ..Default::default() };
    loop {
        let page = client.list_parked_records(request.clone()).await?.into_inner();
        all.extend(page.parked_records);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(all);
        }
    }
}

async fn get(client: &mut Client, record: &str) -> anyhow::Result<api::ParkedRecord> {
    let request = api::GetParkedRecordRequest { name: name(record) };
    found(client.get_parked_record(request).await, record)
}

async fn evaluate(connect: &Connect, client: &mut Client, name: String) -> anyhow::Result<()> {
    let request = api::EvaluateParkedRecordRequest { name: name.clone() };
    let came_to = found(client.evaluate_parked_record(request).await, &name)
        .with_context(|| format!("{} is not evaluated", number(&name)))?;
    match connect.output {
        Output::Json => say(&json_line(&came_to)?),
        Output::Table => say(&format!("{}: {}", number(&name), words(&came_to))),
    }
    Ok(())
}

/// What it came to, in words.
fn words(came_to: &api::EvaluateParkedRecordResponse) -> String {
    let all = [
        (came_to.created, "an incident was created"),
        (came_to.trigger_duplicate, "a duplicate of an open incident"),
        (came_to.resolved, "an incident was resolved"),
        (came_to.resolve_duplicate, "what it resolves was closed before"),
        (came_to.suppressed, "suppressed by maintenance"),
        (came_to.acknowledged, "an incident was acknowledged"),
        (came_to.failed, "the evaluation failed again: it is parked under a new number"),
    ];
    let said: Vec<_> = all.iter().filter(|(is, _)| *is).map(|(_, words)| *words).collect();
    if said.is_empty() { "no filter matched".to_owned() } else { said.join(", ") }
}

/// What is in it, in words.
fn content(record: &api::ParkedRecord) -> String {
    let many = |count: usize, one: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {one}s"),
    };
    let commands = usize::try_from(record.commands).unwrap_or(usize::MAX);
    match (record.readable, record.alerts.len(), commands) {
        (false, ..) => "not readable".to_owned(),
        (true, alerts, 0) => many(alerts, "alert"),
        (true, 0, commands) => many(commands, "command"),
        (true, alerts, commands) => {
            format!("{}, {}", many(alerts, "alert"), many(commands, "command"))
        }
    }
}

/// The service that failed; a dash where it is about all.
fn service(labels: &Labels, record: &api::ParkedRecord) -> String {
    match record.service.as_str() {
        "" => "-".to_owned(),
        name => labels.of(name).to_owned(),
    }
}

async fn show(
    connect: &Connect,
    channel: &Authorized,
    records: &[api::ParkedRecord],
) -> anyhow::Result<()> {
    let labels = Labels::read(channel).await?;
    let head = ["RECORD", "PARKED", "CONTENT", "SERVICE", "REASON"];
    connect.output.show(records, &head, |record| {
        vec![
            number(&record.name).to_owned(),
            shown_time(record.park_time.as_ref()),
            content(record),
            service(&labels, record),
            record.reason.clone(),
        ]
    })
}

async fn details(channel: &Authorized, record: &api::ParkedRecord) -> anyhow::Result<()> {
    let labels = Labels::read(channel).await?;
    let place = match record.record {
        Some(at) => format!("record {at} of message {}", record.alerts_sequence),
        None => format!("message {}", record.alerts_sequence),
    };
    let mut rows = vec![
        ("Record", number(&record.name).to_owned()),
        ("Parked", shown_time(record.park_time.as_ref())),
        ("Reason", record.reason.clone()),
        ("Partition", record.partition.to_string()),
        ("Place", format!("{place} of GANDER_ALERTS")),
        ("Service", service(&labels, record)),
        ("Content", content(record)),
    ];
    for alert in &record.alerts {
        rows.push(("Alert", alert.alert.clone()));
        rows.push(("Token", alert.token.clone()));
        rows.push(("Received", shown_time(alert.receive_time.as_ref())));
        rows.push(("From", alert.from.clone()));
        rows.push(("Payload", String::from_utf8_lossy(&alert.payload).into_owned()));
    }
    if !record.raw.is_empty() {
        rows.push(("Bytes", record.raw.escape_ascii().to_string()));
    }
    let rows = rows.into_iter().filter(|(_, value)| !value.is_empty());
    table(&["FIELD", "VALUE"], rows.map(|(field, value)| vec![field.to_owned(), value]).collect());
    Ok(())
}

/// The payload as it was sent.
fn only_payload(record: &api::ParkedRecord) -> anyhow::Result<()> {
    let [alert] = record.alerts.as_slice() else {
        let what = content(record);
        anyhow::bail!("{} holds {what}: read it with --output json", number(&record.name));
    };
    write_foreign(&alert.payload);
    Ok(())
}
