//! What earlier builds wrote is read for good: their bytes are in `tests/golden/`.
//!
//! **An old golden file is never edited.** Its bytes are in the journals and streams of those who
//! run Gander. A form that changes gets a new version, a new example and a new file; the old file
//! stays, and is read as what it has become. A file that is missing is written, and the test fails
//! so that somebody reads it. Must not know what a form means.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use domain::id::TeamId;
use domain::incident::{Kind, Trace, event_id, incident_id};
use domain::secret::{Kind as SecretKind, Secret};
use wire::event::IncidentEvent;
use wire::partition::Partitions;

use crate::examples::{
    ALERT, INCIDENT, SERVICE, TEAM, acknowledged_event, commits, event, examples, incidents,
    traced_event,
};

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file)
}

/// The golden file; if it is missing, it becomes this.
fn golden(file: &str, otherwise: &str) -> String {
    if !path(file).exists() {
        fs::write(path(file), otherwise).unwrap();
        panic!("{file} was missing; it has been written: read it and commit it");
    }
    fs::read_to_string(path(file)).unwrap()
}

/// Hex, 32 bytes a line.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(32) {
        line.iter().for_each(|byte| write!(text, "{byte:02x}").unwrap());
        text.push('\n');
    }
    text
}

fn from_hex(text: &str) -> Bytes {
    let digits: Vec<_> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|two| u8::try_from(two[0] * 16 + two[1]).unwrap()).collect()
}

fn check(file: &str, written: &str) {
    assert_eq!(golden(file, written), written, "{file}: this build writes other bytes");
}

#[test]
fn what_earlier_builds_wrote_is_read_as_it_was_meant() {
    for example in examples() {
        let file = format!("{}.v1.hex", example.name);
        let bytes = from_hex(&golden(&file, &hex(&example.bytes)));
        assert!((example.is_read)(&bytes), "{file} is read as something else, or not at all");
    }
}

#[test]
fn this_build_writes_what_earlier_ones_wrote() {
    for example in examples() {
        check(&format!("{}.v1.hex", example.name), &hex(&example.bytes));
    }
}

#[test]
fn subscribers_see_what_earlier_builds_showed() {
    let headers = |event: &IncidentEvent| -> String {
        event.headers().iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
    };
    let events = [
        (event(), "event.v1.json", "event_headers.v1.txt"),
        (acknowledged_event(), "event_acknowledged.v1.json", "event_acknowledged_headers.v1.txt"),
    ];
    for (event, data_file, headers_file) in events {
        let data: serde_json::Value = serde_json::from_slice(&event.data()).unwrap();
        check(data_file, &format!("{data:#}\n"));
        check(headers_file, &headers(&event));
    }
    check("event_headers_traced.v1.txt", &headers(&traced_event()));
}

#[test]
fn an_export_says_what_earlier_builds_said() {
    for (name, commit) in commits() {
        let record = wire::stored::control::encode_commit(&commit);
        let told = wire::audit::exported(&record, [7; 32]).unwrap();
        let mut kinds = told.changes.iter().map(|change| change.kind.as_str());
        assert!(kinds.all(|kind| wire::audit::KINDS.contains(&kind)), "{name}");
        let line = serde_json::to_string(&told).unwrap();
        check(&format!("audit_{name}.v1.json"), &format!("{line}\n"));
    }
}

#[test]
fn what_is_derived_is_derived_for_good() {
    let partitions = Partitions::new(64).unwrap();
    let teams = (0..8).map(|n| TeamId::from_bytes([n; 16]));
    let teams: Vec<_> = teams.map(|team| partitions.of(team).0).collect();
    let mut lines = format!("partitions of teams: {:?} {teams:?}\n", partitions.of(TEAM).0);
    let _ = writeln!(lines, "incident: {}", incident_id(ALERT, SERVICE));
    for trace in [Trace::Alert(ALERT), Trace::Control(300)] {
        for kind in [Kind::Created, Kind::Repeated, Kind::Resolved] {
            let _ = writeln!(lines, "event: {}", event_id(INCIDENT, trace, kind));
        }
    }
    for (name, incident) in incidents().into_iter().take(3) {
        let _ = writeln!(lines, "{name}: {}", incident.state_key());
    }
    for kind in [SecretKind::Token, SecretKind::Credential] {
        let digest = Secret::from_random(kind, &[7; 32]).digest();
        let _ = write!(lines, "secret: {}", hex(digest.as_bytes()));
    }
    check("derived.v1.txt", &lines);
    let acknowledged = event_id(INCIDENT, Trace::Alert(ALERT), Kind::Acknowledged);
    check("derived_acknowledged.v1.txt", &format!("event: {acknowledged}\n"));
}

#[test]
fn every_golden_file_is_read_here() {
    let read = examples().into_iter().map(|example| format!("{}.v1.hex", example.name));
    let others = [
        "event.v1.json",
        "event_headers.v1.txt",
        "event_headers_traced.v1.txt",
        "event_acknowledged.v1.json",
        "event_acknowledged_headers.v1.txt",
        "derived.v1.txt",
        "derived_acknowledged.v1.txt",
    ];
    let exports = commits().into_iter().map(|(name, _)| format!("audit_{name}.v1.json"));
    let read: BTreeSet<_> = read.chain(others.map(str::to_owned)).chain(exports).collect();
    let entries = fs::read_dir(path("")).unwrap().map(|entry| entry.unwrap().file_name());
    let found: BTreeSet<_> = entries.map(|name| name.into_string().unwrap()).collect();
    assert_eq!(found, read);
}
