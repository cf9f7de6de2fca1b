//! What is wrong with an installation, in words: pure, from what was gathered.
//!
//! Must not know how it was gathered, nor a clock.

use std::collections::BTreeSet;

use wire::event::time_from;
use wire::proto::gander::admin::v1 as api;
use wire::subject;

/// Alerts that wait for longer than this are told of. A worker's checkpoint is at most about a second
/// behind it, and a take-over lasts 2 s.
const WAITING_SECONDS: i64 = 5;
/// Certificates are told of this long before they end.
const CERTIFICATE_DAYS: i64 = 14;
const DAY_MICROS: i64 = 24 * 3_600 * 1_000_000;
/// Parts of a hundred.
const NEARLY_FULL: u64 = 80;
const FULL: u64 = 95;

/// What nats-server does not answer for.
pub fn broker_unavailable() -> api::Problem {
    error("BROKER_UNAVAILABLE", "nats-server does not answer: no alert is stored or worked on")
}

/// All that is wrong.
pub fn problems(status: &api::GetStatusResponse) -> Vec<api::Problem> {
    let mut found = members(status);
    found.extend(certificates(status));
    if !status.streams.is_empty() {
        found.extend(streams(status));
        found.extend(work(status));
    }
    found
}

fn problem(severity: api::Severity, code: &str, message: impl Into<String>) -> api::Problem {
    api::Problem { severity: severity.into(), code: code.to_owned(), message: message.into() }
}

fn error(code: &str, message: impl Into<String>) -> api::Problem {
    problem(api::Severity::Error, code, message)
}

fn warning(code: &str, message: impl Into<String>) -> api::Problem {
    problem(api::Severity::Warning, code, message)
}

fn members(status: &api::GetStatusResponse) -> Vec<api::Problem> {
    let mut found = Vec::new();
    let of = |role| status.members.iter().filter(move |member| member.role() == role);
    // Without nats-server nobody is heard, whoever lives.
    let heard = !status.streams.is_empty();
    if heard && of(api::MemberRole::Gateway).next().is_none() {
        found.push(error("NO_GATEWAY", "no gateway is alive: alerts are not received"));
    }
    if heard && of(api::MemberRole::Worker).next().is_none() {
        found.push(error("NO_WORKER", "no worker is alive: alerts are stored and wait"));
    }
    for gateway in of(api::MemberRole::Gateway) {
        if gateway.control_sequence < status.journal_sequence {
            let (instance, acts_on) = (&gateway.instance, gateway.control_sequence);
            let newest = status.journal_sequence;
            let text = format!("gateway {instance} acts on change {acts_on} of {newest}");
            found.push(warning("GATEWAY_BEHIND", text));
        }
    }
    for member in status.members.iter().filter(|member| !member.answered) {
        let (role, instance) = (name(member.role()), &member.instance);
        let text = format!(
            "{role} {instance} lives but does not say what it is: it is of an older version or stands still"
        );
        found.push(warning("NO_ANSWER", text));
    }
    let answered = || status.members.iter().filter(|member| member.answered);
    let versions: BTreeSet<_> = answered().map(|member| member.version.as_str()).collect();
    if versions.len() > 1 {
        let versions: Vec<_> = versions.into_iter().collect();
        let text = format!("processes are of different versions: {}", versions.join(", "));
        found.push(warning("VERSIONS_DIFFER", text));
    }
    let redactions = answered().map(|member| member.api_log_redaction.as_str());
    let redactions: BTreeSet<_> = redactions.filter(|digest| !digest.is_empty()).collect();
    if redactions.len() > 1 {
        let text = "--api-log-redact is not the same everywhere: some put into the API log what others leave out";
        found.push(warning("REDACTION_DIFFERS", text));
    }
    // What one process could read of nats-server holds for all.
    let levels: BTreeSet<_> = answered().map(|member| member.durability.as_str()).collect();
    if levels.contains("process-safe") {
        let text = "nats-server acknowledges before it fsyncs: set `sync_interval: always`";
        found.push(warning("NOT_POWER_SAFE", text));
    } else if !levels.contains("power-safe") {
        let text = "it is not known whether nats-server fsyncs before it acknowledges: say --nats-monitor-url";
        found.push(warning("DURABILITY_UNKNOWN", text));
    }
    found
}

fn certificates(status: &api::GetStatusResponse) -> Vec<api::Problem> {
    let Some(now) = status.time.as_ref().and_then(time_from) else {
        return vec![];
    };
    let judged = |member: &api::Member, certificate: &api::Certificate| {
        let ends = time_from(certificate.expire_time.as_ref()?)?;
        let left = ends.as_micros().saturating_sub(now.as_micros());
        let of = format!("{} of {} {}", certificate.listener, name(member.role()), member.instance);
        let text = shown(certificate.expire_time.as_ref());
        if left <= 0 {
            let text = format!("the certificate of {of} has ended, at {text}");
            Some(error("CERTIFICATE_EXPIRED", text))
        } else if left < CERTIFICATE_DAYS * DAY_MICROS {
            let text = format!("the certificate of {of} ends at {text}");
            Some(warning("CERTIFICATE_EXPIRES", text))
        } else {
            None
        }
    };
    let all = status.members.iter().flat_map(|m| m.certificates.iter().map(move |c| (m, c)));
    all.filter_map(|(member, certificate)| judged(member, certificate)).collect()
}

fn streams(status: &api::GetStatusResponse) -> Vec<api::Problem> {
    let mut found = Vec::new();
    // The API log makes room by itself.
    let limited =
        |stream: &&api::Stream| stream.max_bytes > 0 && stream.name != subject::APILOG_STREAM;
    for stream in status.streams.iter().filter(limited) {
        let full = stream.bytes.saturating_mul(100) / stream.max_bytes;
        let text = format!("{} is {full} % full", stream.name);
        if full >= FULL {
            found.push(error("STREAM_FULL", text));
        } else if full >= NEARLY_FULL {
            found.push(warning("STREAM_NEARLY_FULL", text));
        }
    }
    let control = status.streams.iter().find(|stream| stream.name == subject::CONTROL_STREAM);
    if let Some(control) = control.filter(|one| one.last_sequence < status.journal_sequence) {
        let missing = status.journal_sequence - control.last_sequence;
        let text = format!("{missing} changes are in the journal and not yet in {}", control.name);
        found.push(error("CONTROL_BEHIND", text));
    }
    if status.parked_records > 0 {
        let text = format!(
            "{} records are parked because they could not be read or evaluated: see `gander parked list`",
            status.parked_records
        );
        found.push(warning("PARKED", text));
    }
    found
}

fn work(status: &api::GetStatusResponse) -> Vec<api::Problem> {
    let mut found = Vec::new();
    let some_worker = status.members.iter().any(|m| m.role() == api::MemberRole::Worker);
    let orphans = status.partitions.iter().filter(|partition| !partition.owner_alive);
    let orphans: Vec<_> = orphans.map(|partition| partition.number.to_string()).collect();
    if some_worker && !orphans.is_empty() {
        let text = format!("no living worker owns partitions {}", orphans.join(", "));
        found.push(error("PARTITIONS_UNOWNED", text));
    }
    let (now, oldest) = (status.time.as_ref(), status.oldest_waiting_time.as_ref());
    if let (Some(now), Some(oldest)) = (now, oldest)
        && now.seconds - oldest.seconds > WAITING_SECONDS
    {
        let most = status.partitions.iter().map(|partition| partition.input_lag).max();
        let (since, most) = (shown(Some(oldest)), most.unwrap_or(0));
        let text = format!("alerts wait since {since}, in {most} messages");
        found.push(error("ALERTS_WAIT", text));
    }
    found
}

const fn name(role: api::MemberRole) -> &'static str {
    match role {
        api::MemberRole::Unspecified => "process",
        api::MemberRole::Admin => "admin",
        api::MemberRole::Gateway => "gateway",
        api::MemberRole::Worker => "worker",
    }
}

fn shown(at: Option<&wire::timestamp::Timestamp>) -> String {
    at.and_then(wire::timestamp::Timestamp::to_rfc3339).unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use wire::timestamp::Timestamp;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos: 0 })
    }

    fn one(role: api::MemberRole) -> api::Member {
        api::Member {
            role: role.into(),
            instance: name(role).to_owned(),
            answered: true,
            version: "1.0.0".to_owned(),
            control_sequence: 9,
            durability: "power-safe".to_owned(),
            api_log_redaction: if role == api::MemberRole::Admin { "" } else { "a" }.to_owned(),
            certificates: vec![api::Certificate {
                listener: "x-listen".to_owned(),
                expire_time: at(NOW + 15 * 86_400),
            }],
            ..Default::default()
        }
    }

    /// An installation with which nothing is wrong.
    fn sound() -> api::GetStatusResponse {
        use api::MemberRole::{Admin, Gateway, Worker};
        let stream = |name: &str| api::Stream {
            name: name.to_owned(),
            bytes: 79,
            max_bytes: 100,
            last_sequence: 9,
            ..Default::default()
        };
        let partition = |number| api::Partition { number, owner_alive: true, ..Default::default() };
        api::GetStatusResponse {
            time: at(NOW),
            journal_sequence: 9,
            members: [Admin, Gateway, Worker].map(one).to_vec(),
            partitions: (0..2).map(partition).collect(),
            streams: [subject::CONTROL_STREAM, subject::ALERTS_STREAM, subject::APILOG_STREAM]
                .map(stream)
                .to_vec(),
            oldest_waiting_time: at(NOW - 5),
            ..Default::default()
        }
    }

    fn codes(spoil: impl Fn(&mut api::GetStatusResponse)) -> String {
        let mut status = sound();
        spoil(&mut status);
        let found = problems(&status);
        assert!(found.iter().all(|one| one.message.len() > 10));
        found.iter().map(|one| one.code.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_trouble_has_its_name() {
        assert_eq!(codes(|_| {}), "");
        let deaf = |s: &mut api::GetStatusResponse| {
            s.streams.clear();
            s.members.truncate(1);
        };
        assert_eq!(codes(deaf), "", "who does not answer for it, says nothing of it");
        assert_eq!(codes(|s| drop(s.members.remove(1))), "NO_GATEWAY");
        assert_eq!(codes(|s| drop(s.members.remove(2))), "NO_WORKER");
        assert_eq!(codes(|s| s.members[1].control_sequence = 8), "GATEWAY_BEHIND");
        assert_eq!(codes(|s| s.members[2].answered = false), "NO_ANSWER");
        assert_eq!(codes(|s| s.members[2].version = "0.9".to_owned()), "VERSIONS_DIFFER");
        let other = |s: &mut api::GetStatusResponse| {
            s.members[1].api_log_redaction = "b".to_owned();
        };
        assert_eq!(codes(other), "REDACTION_DIFFERS");
        assert_eq!(codes(|s| s.members[0].durability = "unknown".to_owned()), "");
        let all = |s: &mut api::GetStatusResponse, level: &str| {
            s.members.iter_mut().for_each(|m| m.durability = level.to_owned());
        };
        assert_eq!(codes(|s| all(s, "unknown")), "DURABILITY_UNKNOWN");
        assert_eq!(codes(|s| all(s, "process-safe")), "NOT_POWER_SAFE");
        let ends = |s: &mut api::GetStatusResponse, seconds| {
            s.members[0].certificates[0].expire_time = at(seconds);
        };
        assert_eq!(codes(|s| ends(s, NOW + 13 * 86_400)), "CERTIFICATE_EXPIRES");
        assert_eq!(codes(|s| ends(s, NOW)), "CERTIFICATE_EXPIRED");
        assert_eq!(codes(|s| s.streams[1].bytes = 80), "STREAM_NEARLY_FULL");
        assert_eq!(codes(|s| s.streams[1].bytes = 95), "STREAM_FULL");
        assert_eq!(codes(|s| s.streams[2].bytes = 100), "");
        assert_eq!(codes(|s| s.streams[0].last_sequence = 8), "CONTROL_BEHIND");
        assert_eq!(codes(|s| s.parked_records = 1), "PARKED");
        assert_eq!(codes(|s| s.partitions[1].owner_alive = false), "PARTITIONS_UNOWNED");
        assert_eq!(codes(|s| s.oldest_waiting_time = at(NOW - 6)), "ALERTS_WAIT");
    }

    #[test]
    fn without_the_broker_nothing_is_said_of_its_streams() {
        let silent = |s: &mut api::GetStatusResponse| {
            s.streams.clear();
            s.partitions.clear();
        };
        assert_eq!(codes(silent), "");
    }
}
