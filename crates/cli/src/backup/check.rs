//! Whether a backup is whole and fits together, and what it holds.
//!
//! Must not know a server.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use admin::audit::{Place, check_records};
use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use domain::directory::Directory;
use domain::time::Timestamp;
use runtime::backup_file::Reader;
use runtime::journal::Head;
use wire::audit::hex;
use wire::stored::backup::{self, Message};
use wire::stored::control::{decode_commit, decode_message};
use wire::stored::worker::{Checkpoint, decode_state};
use wire::subject;

use crate::client::Output;
use crate::out::say;

/// What is in a backup that fits together.
#[derive(Debug)]
pub struct Found {
    /// How it was made.
    pub head: backup::Head,
    /// The streams: messages and last sequence.
    pub streams: BTreeMap<String, (u64, u64)>,
    /// The end of the chain of configuration.
    pub chain: Head,
    /// What is configured.
    pub directory: Directory,
    /// The first alert that some worker has yet to do.
    pub first_alert: u64,
    /// The sequence of the last message of each subject that keeps only that.
    pub newest: HashMap<String, u64>,
    /// How many incidents are open.
    pub open: usize,
}

impl Found {
    /// The last sequence of a stream.
    pub fn last(&self, stream: &str) -> u64 {
        self.streams.get(stream).map_or(0, |(_, last)| *last)
    }

    /// Says what is in it.
    pub fn tell(&self, output: Output) {
        let at = wire::event::time(Timestamp::from_micros(self.head.at_micros));
        let at = at.to_rfc3339().unwrap_or_default();
        let head = format!("{}:{}", self.chain.sequence, hex(&self.chain.hash));
        let (tokens, principals) =
            (self.directory.tokens().count(), self.directory.principals().count());
        if output == Output::Json {
            let streams: serde_json::Map<_, _> = self
                .streams
                .iter()
                .map(|(name, (messages, last))| {
                    (name.clone(), serde_json::json!({"messages": messages, "last_sequence": last}))
                })
                .collect();
            let told = serde_json::json!({
                "time": at, "gander": self.head.gander_version, "nats_server": self.head.nats_version,
                "partitions": self.head.partitions, "streams": streams, "open_incidents": self.open,
                "tokens": tokens, "principals": principals, "head": head,
            });
            return say(&format!("{told:#}"));
        }
        say(&format!(
            "whole: backup of {at}, by gander {} from nats-server {}",
            self.head.gander_version, self.head.nats_version
        ));
        for (name, (messages, last)) in &self.streams {
            say(&format!("  {name:<18} {messages} messages, up to {last}"));
        }
        say(&format!("  open incidents     {}", self.open));
        say(&format!("  tokens, principals {tokens}, {principals}"));
        say(&format!("  head of the chain  {head}"));
    }
}

/// Reads a backup from end to end.
pub fn check(file: &Path) -> anyhow::Result<Found> {
    let mut reader = Reader::open(file).with_context(|| format!("{}", file.display()))?;
    let mut parts = Parts::default();
    while let Some(message) = reader.message()? {
        parts.take(&message)?;
    }
    let end = reader.end.take().context("a backup that was read has an end")?;
    let streams = end.streams.into_iter().map(|(name, messages, last)| (name, (messages, last)));
    parts.found(reader.head, streams.collect())
}

/// What is gathered while a backup is read.
#[derive(Default)]
struct Parts {
    last: HashMap<String, u64>,
    /// The first of the alerts that lie one after the other up to the last.
    unbroken: u64,
    records: Vec<Bytes>,
    directory: Directory,
    checkpoints: BTreeMap<String, Checkpoint>,
    open: HashMap<String, bool>,
    newest: HashMap<String, u64>,
}

impl Parts {
    fn take(&mut self, message: &Message) -> anyhow::Result<()> {
        let before = self.last.insert(message.stream.clone(), message.sequence).unwrap_or(0);
        let at = format!("message {} of {}", message.sequence, message.stream);
        ensure!(message.sequence > before, "{at} is out of order");
        match message.stream.as_str() {
            subject::CONTROL_STREAM => {
                let (record, _) = decode_message(&message.payload).with_context(|| at.clone())?;
                let commit = decode_commit(&record).with_context(|| at.clone())?;
                self.directory.apply(&commit);
                let subject = commit.changes[0].subject();
                let left = wire::stored::control::encode_message(
                    record.clone(),
                    &self.directory.snapshot(subject),
                );
                let stored = decode_message(&left)?.1 == decode_message(&message.payload)?.1;
                ensure!(
                    stored && subject::control(subject) == message.subject,
                    "{at} is not what its commit left"
                );
                self.records.push(record);
            }
            subject::ALERTS_STREAM if message.sequence != before + 1 || self.unbroken == 0 => {
                self.unbroken = message.sequence;
            }
            subject::INCIDENTS_STREAM => self.incidents(message).context(at)?,
            _ => {}
        }
        Ok(())
    }

    fn incidents(&mut self, message: &Message) -> anyhow::Result<()> {
        let name = &message.subject;
        if name.starts_with("gander.checkpoints.") {
            self.checkpoints.insert(name.clone(), Checkpoint::decode(&message.payload)?);
        } else if name.starts_with("gander.state.") {
            self.open.insert(name.clone(), decode_state(&message.payload)?.is_open());
        } else {
            return Ok(());
        }
        self.newest.insert(name.clone(), message.sequence);
        Ok(())
    }

    /// Whether all of it fits together.
    fn found(
        self,
        head: backup::Head,
        streams: BTreeMap<String, (u64, u64)>,
    ) -> anyhow::Result<Found> {
        let last = |stream: &str| streams.get(stream).map_or(0, |(_, last)| *last);
        let chain = match check_records(&self.records, Place::File) {
            Ok(head) => head,
            Err(found) => bail!("the chain of configuration is broken: {found}"),
        };
        ensure!(chain.sequence == last(subject::CONTROL_STREAM), "configuration is not complete");
        let alerts = last(subject::ALERTS_STREAM);
        let all = self.checkpoints.len() == usize::try_from(head.partitions)?;
        let positions = self.checkpoints.values().map(|checkpoint| checkpoint.position.sequence);
        let slowest = if all { positions.clone().min().unwrap_or(0) } else { 0 };
        ensure!(positions.max().unwrap_or(0) <= alerts, "alerts end before what workers have done");
        let unbroken = if self.unbroken == 0 { alerts + 1 } else { self.unbroken };
        ensure!(
            slowest + 1 >= unbroken,
            "alerts from {} on are missing: take the backup again",
            slowest + 1
        );
        let used = self.checkpoints.values().map(|checkpoint| checkpoint.control_sequence);
        ensure!(used.max().unwrap_or(0) <= chain.sequence, "configuration is older than incidents");
        Ok(Found {
            head,
            chain,
            directory: self.directory,
            first_alert: slowest + 1,
            newest: self.newest,
            open: self.open.values().filter(|open| **open).count(),
            streams,
        })
    }
}
