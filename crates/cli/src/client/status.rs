//! `gander status`: one screen for a person, JSON for a program.
//!
//! Must not judge: what is wrong, the server says.

use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::status_service_client::StatusServiceClient;

use super::{Connect, Output, shown_time};
use crate::out::{json, marked, say, table};

/// Shows the status. With `check`, what does not work is a failure.
///
/// # Errors
/// It cannot be read; with `check`, something does not work.
pub async fn run(connect: &Connect, check: bool) -> anyhow::Result<()> {
    let mut client = StatusServiceClient::new(connect.open().await?);
    let status = client.get_status(api::GetStatusRequest {}).await?.into_inner();
    match connect.output {
        Output::Json => say(&json(&status)?),
        Output::Table => show(&status),
    }
    let broken = |problem: &&api::Problem| problem.severity() == api::Severity::Error;
    let count = status.problems.iter().filter(broken).count();
    let things = if count == 1 { "thing does" } else { "things do" };
    anyhow::ensure!(!check || count == 0, "{count} {things} not work");
    Ok(())
}

fn show(status: &api::GetStatusResponse) {
    members(status);
    say("");
    streams(status);
    say("");
    work(status);
    certificates(status);
    say("");
    if status.problems.is_empty() {
        say("Nothing is wrong.");
    }
    for problem in &status.problems {
        let broken = problem.severity() == api::Severity::Error;
        say(&format!("{} {}: {}", marked(broken), problem.code, problem.message));
    }
}

fn members(status: &api::GetStatusResponse) {
    let row = |member: &api::Member| {
        let behind = status.journal_sequence.saturating_sub(member.control_sequence);
        let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        let started = shown_time(member.start_time.as_ref());
        let known = member.answered || member.role() == api::MemberRole::Gateway;
        let control = if known { member.control_sequence.to_string() } else { "-".to_owned() };
        let lag = if known { behind.to_string() } else { "-".to_owned() };
        let owned = status.partitions.iter().filter(|one| one.owner == member.instance).count();
        let owned = if member.role() == api::MemberRole::Worker {
            owned.to_string()
        } else {
            "-".to_owned()
        };
        vec![
            name(member.role()).to_owned(),
            member.instance.clone(),
            or_dash(&member.version),
            or_dash(&member.host),
            started,
            control,
            lag,
            owned,
            or_dash(&member.durability),
        ]
    };
    let head = [
        "ROLE",
        "INSTANCE",
        "VERSION",
        "HOST",
        "STARTED",
        "CHANGE",
        "BEHIND",
        "PARTITIONS",
        "DURABILITY",
    ];
    table(&head, status.members.iter().map(row).collect());
}

fn streams(status: &api::GetStatusResponse) {
    let row = |stream: &api::Stream| {
        let full = match stream.max_bytes {
            0 => "-".to_owned(),
            max => format!("{} %", stream.bytes.saturating_mul(100) / max),
        };
        let size = humanized(stream.bytes);
        let numbers = [stream.messages, stream.consumers, u64::from(stream.replicas)];
        let [messages, consumers, replicas] = numbers.map(|number| number.to_string());
        vec![stream.name.clone(), messages, size, full, consumers, replicas]
    };
    let head = ["STREAM", "MESSAGES", "SIZE", "FULL", "CONSUMERS", "COPIES"];
    table(&head, status.streams.iter().map(row).collect());
}

fn work(status: &api::GetStatusResponse) {
    let lag = status.partitions.iter().map(|partition| partition.input_lag).max().unwrap_or(0);
    let owned = status.partitions.iter().filter(|partition| partition.owner_alive).count();
    let since = match &status.oldest_waiting_time {
        Some(at) => format!(", the oldest since {}", shown_time(Some(at))),
        None => String::new(),
    };
    say(&format!("changes     {} in the journal", status.journal_sequence));
    if status.streams.is_empty() {
        // Only nats-server knows the rest.
        for what in ["partitions", "waiting", "parked"] {
            say(&format!("{what:<12}unknown"));
        }
        return;
    }
    say(&format!("partitions  {owned} of {} owned by living workers", status.partitions.len()));
    say(&format!("waiting     {lag} messages{since}"));
    say(&format!("parked      {} records", status.parked_records));
}

fn certificates(status: &api::GetStatusResponse) {
    for member in &status.members {
        for one in &member.certificates {
            let ends = shown_time(one.expire_time.as_ref());
            let (role, listener) = (name(member.role()), &one.listener);
            say(&format!("certificate {role} {} {listener}, good until {ends}", member.instance));
        }
    }
}

const fn name(role: api::MemberRole) -> &'static str {
    match role {
        api::MemberRole::Unspecified => "-",
        api::MemberRole::Admin => "admin",
        api::MemberRole::Gateway => "gateway",
        api::MemberRole::Worker => "worker",
    }
}

/// Bytes for people.
fn humanized(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut size = bytes;
    let mut tenths = 0;
    let mut unit = 0;
    while size >= 1024 && unit + 1 < units.len() {
        (size, tenths) = (size / 1024, size % 1024 * 10 / 1024);
        unit += 1;
    }
    if unit == 0 { format!("{size} B") } else { format!("{size}.{tenths} {}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        let shown = [0, 1023, 1024, 1536, 10 << 30, u64::MAX].map(humanized);
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "10.0 GiB", "16777215.9 TiB"]);
    }
}
