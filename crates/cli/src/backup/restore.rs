//! Putting a backup back where there is nothing.
//!
//! Configuration keeps its numbers, since they are the chain. Alerts keep theirs, since workers
//! refer to them. Incidents get numbers behind all that they ever had, so that no cursor of before
//! can skip one. Must not know what the roles do when they start on it.

use std::path::Path;
use std::time::Duration;

use admin::audit::{Expected, Verdict, compare};
use anyhow::{Context, bail, ensure};
use domain::aggregate::Actor;
use domain::commit::{Change, Commit};
use domain::directory::Directory;
use domain::secret::{Kind, Secret};
use domain::time::Timestamp;
use domain::{principal, token};
use runtime::backup_file::Reader;
use runtime::clock::{Clock, SystemClock};
use runtime::data_folder::DataFolder;
use runtime::journal::{Head, Journal, SledJournal};
use runtime::nats::Nats;
use runtime::nats::access::{Door, User};
use runtime::nats::streams::{API_LOG_DAYS, API_LOG_MAX_BYTES, Settings, Streams};
use runtime::random::SystemRandom;
use wire::audit::hex;
use wire::partition::Partitions;
use wire::stored::backup::Message;
use wire::stored::control::{decode_message, encode_commit, encode_message};
use wire::stored::worker::Checkpoint;
use wire::{header, subject};

use super::check::{Found, check};
use super::{RestoreArgs, Secrets};
use crate::client::Output;
use crate::nats_door;
use crate::out::say;
use crate::stored::Broker;

/// So far behind the old sequences of incidents the new ones begin, where the clock is behind these.
const GAP: u64 = 1_000_000_000;
const NAME: &str = "gander-restore";
const INCOMPLETE: &str = "the restore is not complete: delete what it made and try again";
/// A batch of messages, and of bytes.
const BATCH: usize = 500;
const BATCH_BYTES: usize = 2 * 1024 * 1024;

/// Carries it out.
pub async fn run(args: &RestoreArgs, output: Output) -> anyhow::Result<()> {
    let found = check(&args.file)?;
    found.tell(output);
    let url = nats_door::said(args.nats_url.as_deref(), args.nats_url_file.as_deref())?;
    let given = match url {
        Some(url) => Some(connect_to_empty(&args.login.door(&url, User::Operator)).await?),
        None => None,
    };
    let taken = DataFolder::take_for_restore(&args.data)?;
    let head = match given {
        Some(nats) => restore(args, &found, &taken.path, nats).await.context(INCOMPLETE)?,
        None => {
            std::fs::create_dir(taken.path.join("nats"))?;
            let broker = Broker::start(&taken.path, args.nats_server.as_deref(), 0).await?;
            let nats = Nats::connect(broker.door(User::Operator), NAME).await?;
            let restored = restore(args, &found, &taken.path, nats).await;
            broker.server.stop().await?;
            restored.context(INCOMPLETE)?
        }
    };
    let recovery = match args.secrets {
        Secrets::Revoke => Some(admin::bootstrap::want_recovery(&taken)?),
        Secrets::Keep => None,
    };
    // The very last: what ended before this is not taken for the whole.
    taken.complete()?;
    say(&format!("restored; the head of the chain is {}:{}", head.sequence, hex(&head.hash)));
    if let Some(file) = recovery {
        tell_revoked(&file);
    }
    Ok(())
}

fn tell_revoked(file: &Path) {
    say(
        "All secrets are revoked. The next start writes a bootstrap credential, which makes a Global Admin:",
    );
    let file = file.display();
    say(&format!("  gander principal create NAME --role global-admin --bootstrap-file {file}"));
    say("Then replace the secrets of tokens and the credentials of principals.");
}

/// Before anything is made: what is in the streams there is not to be lost.
async fn connect_to_empty(door: &Door) -> anyhow::Result<Nats> {
    let nats = Nats::connect(door, NAME).await?;
    let there = nats.streams_there().await?;
    ensure!(there.is_empty(), "there are streams of Gander already: {}", there.join(", "));
    Ok(nats)
}

/// Writes what was found; gives the end of the chain.
async fn restore(
    args: &RestoreArgs,
    found: &Found,
    data: &Path,
    nats: Nats,
) -> anyhow::Result<Head> {
    let settings = Settings {
        replicas: usize::from(args.replicas),
        partitions: Partitions::new(found.head.partitions).context("a number of partitions")?,
        alerts_max_bytes: args.alerts_max_bytes,
        api_log_days: API_LOG_DAYS,
        api_log_max_bytes: API_LOG_MAX_BYTES,
    };
    let last_incident = found.last(subject::INCIDENTS_STREAM);
    let first_incident = first_incident(last_incident, SystemClock.now());
    let streams = nats.create_streams(&settings, found.first_alert, first_incident).await?;
    let mut journal = SledJournal::open(&admin::bootstrap::journal_path(data))?;
    let mut write = Write {
        nats: &nats,
        found,
        streams,
        journal: &mut journal,
        batch: vec![],
        bytes: 0,
        batches: 0,
    };
    let mut reader = Reader::open(&args.file)?;
    while let Some(message) = reader.message()? {
        write.message(message).await?;
    }
    write.flush().await?;
    if args.secrets == Secrets::Revoke {
        write.revoke(found.directory.clone()).await?;
    }
    match compare(journal.records(), &nats, None, &Expected::default(), |_| {}).await? {
        Verdict::Whole(head) => Ok(head),
        Verdict::Differs(found) => bail!("what was restored is not whole: {found}"),
    }
}

/// The first sequence of the incidents that are restored: the microseconds of the clock.
///
/// A fixed distance would be the same for each restore of a backup, so a cursor of one of them would
/// skip messages of another. The clock moves faster than any stream grows, so each restore begins
/// behind all that was there before it, as long as the clock is right.
fn first_incident(last: u64, now: Timestamp) -> u64 {
    let now = u64::try_from(now.as_micros()).unwrap_or(0);
    if now > last { now } else { last + GAP }
}

struct Write<'a> {
    nats: &'a Nats,
    found: &'a Found,
    streams: Streams,
    journal: &'a mut SledJournal,
    batch: Vec<Message>,
    bytes: usize,
    batches: u64,
}

impl Write<'_> {
    async fn message(&mut self, message: Message) -> anyhow::Result<()> {
        match message.stream.as_str() {
            subject::CONTROL_STREAM => {
                let (record, _) = decode_message(&message.payload)?;
                self.journal.append(message.sequence - 1, &[record])?;
                self.single(&message).await
            }
            subject::ALERTS_STREAM if message.sequence < self.found.first_alert => Ok(()),
            subject::ALERTS_STREAM => self.single(&message).await,
            subject::INCIDENTS_STREAM => self.incident(message).await,
            other => bail!("a newer version of Gander made this backup: it has a stream {other}"),
        }
    }

    /// Stores a message at the sequence that it had.
    async fn single(&self, message: &Message) -> anyhow::Result<()> {
        let stored = self.nats.restore(message, message.sequence - 1).await?;
        ensure!(stored == message.sequence, "message {} is stored at {stored}", message.sequence);
        Ok(())
    }

    /// Adds a message to the batch, unless it was replaced or its time is over.
    async fn incident(&mut self, mut message: Message) -> anyhow::Result<()> {
        let replaced = self.found.newest.get(&message.subject);
        if replaced.is_some_and(|newest| *newest != message.sequence) || !keep(&mut message) {
            return Ok(());
        }
        if message.subject.starts_with("gander.checkpoints.") {
            // The stream of alerts is another one, with the same alerts.
            let checkpoint = Checkpoint::decode(&message.payload)?;
            let input_identity = self.streams.alerts_identity;
            message.payload = Checkpoint { input_identity, ..checkpoint }.encode();
        }
        self.bytes += message.payload.len();
        self.batch.push(message);
        if self.batch.len() == BATCH || self.bytes > BATCH_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        self.batches += 1;
        self.bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        Ok(self.nats.restore_batch(&format!("restore.{}", self.batches), &batch).await?)
    }

    /// Replaces every secret by one that nobody knows; also one that seems to have expired, whatever clock
    /// that is by.
    async fn revoke(&mut self, mut directory: Directory) -> anyhow::Result<()> {
        let now = SystemClock.now();
        let fresh = |kind| admin::bootstrap::secret(kind, &SystemRandom);
        let tokens = directory.tokens().filter(|token| token.digest.is_some()).map(|found| {
            let secret: Secret = fresh(Kind::Token);
            let (digest, last_four) = (secret.digest(), secret.last_four());
            Change::Token(found.id, token::Event::SecretReplaced { digest, last_four })
        });
        let principals =
            directory.principals().filter(|found| found.digest.is_some()).map(|found| {
                let secret: Secret = fresh(Kind::Credential);
                let (digest, last_four) = (secret.digest(), secret.last_four());
                Change::Principal(
                    found.id,
                    principal::Event::CredentialReplaced { digest, last_four },
                )
            });
        let changes: Vec<_> = tokens.chain(principals).collect();
        for change in changes {
            self.commit(&mut directory, change, now).await?;
        }
        Ok(())
    }

    async fn commit(
        &mut self,
        directory: &mut Directory,
        change: Change,
        at: Timestamp,
    ) -> anyhow::Result<()> {
        let head = self.journal.head();
        let subject = change.subject();
        let commit = Commit {
            sequence: head.sequence + 1,
            previous_hash: head.hash,
            at,
            actor: Actor::System,
            request: None,
            changes: vec![change],
        };
        directory.apply(&commit);
        let record = encode_commit(&commit);
        let payload = encode_message(record.clone(), &directory.snapshot(subject));
        self.journal.append(head.sequence, &[record])?;
        let message = Message {
            stream: subject::CONTROL_STREAM.to_owned(),
            sequence: commit.sequence,
            subject: subject::control(subject),
            at_micros: at.as_micros(),
            headers: vec![],
            payload,
        };
        self.single(&message).await
    }
}

/// Shortens the time that is left; whether there is any.
fn keep(message: &mut Message) -> bool {
    let age = SystemClock.now().since(Timestamp::from_micros(message.at_micros));
    for (name, value) in &mut message.headers {
        if name == header::TTL {
            let Ok(whole) = humantime::parse_duration(value) else { return true };
            let left = whole.saturating_sub(age);
            if left < Duration::from_secs(1) {
                return false;
            }
            *value = format!("{}s", left.as_secs());
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_restore_begins_behind_the_ones_before() {
        let at = |micros: u64| Timestamp::from_micros(i64::try_from(micros).unwrap());
        let now = 1_800_000_000_000_000;
        let first = first_incident(4_000, at(now));
        let again = first_incident(4_000, at(now + 60_000_000));
        assert!(first > 4_000 && again > first + 10_000_000, "the same backup");
        let third = first_incident(again + 5_000, at(now + 120_000_000));
        assert!(third > again + 5_000, "a backup of what was restored");
        assert!(first_incident(third, at(now)) > third, "the clock was put back");
        assert!(third < 1 << 53, "programs that know only floating numbers read it exactly");
    }
}
