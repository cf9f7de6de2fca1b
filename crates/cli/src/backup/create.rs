//! Reading all streams at one consistent moment, also while they are written.
//!
//! The moment is the end of a commit of the workers, with nothing behind it: then every message of
//! GANDER_INCIDENTS that was replaced before it could be read was replaced by one that was read.
//! Alerts are followed from before that moment, so that none that a worker has yet to do can be
//! purged unread; configuration is read last, so that it is as new as whatever refers to it.

use std::time::Duration;

use anyhow::{Context, bail};
use runtime::backup_file::Writer;
use runtime::clock::{Clock, SystemClock};
use runtime::data_folder::{self, DataFolder};
use runtime::environment;
use runtime::fresh_file::FreshFile;
use runtime::nats::access::{Door, User};
use runtime::nats::batch::{BATCH_COMMIT, BATCH_ID, OF_BATCHES};
use runtime::nats::{Envelope, Nats, Reader, Start};
use tokio::sync::mpsc;
use wire::stored::backup::{Head, Message};
use wire::subject;

use super::{CreateArgs, check};
use crate::client::Output;
use crate::nats_door;
use crate::stored::{self, Broker};

/// How long a moment with nothing behind it is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// Where nats-server is, if nothing is said.
const LOCAL: &str = "nats://127.0.0.1:4222";
const EVERYTHING: &str = ">";
/// Messages that wait to be written.
const BUFFER: usize = 64;

/// Carries it out.
pub async fn run(args: &CreateArgs, output: Output) -> anyhow::Result<()> {
    let mut file = match &args.data {
        None => {
            let said = nats_door::said(args.nats_url.as_deref(), args.nats_url_file.as_deref())?;
            let url = said.or_else(|| environment::variable("GANDER_NATS_URL"));
            create(args, &args.login.door(url.as_deref().unwrap_or(LOCAL), User::Operator)).await?
        }
        Some(data) => {
            data_folder::check_complete(data)?;
            if !stored::has_streams(data) {
                bail!("{} has no streams: say --nats-url", data.display());
            }
            let taken = DataFolder::take(data)?;
            let broker = Broker::start(&taken.path, args.nats_server.as_deref(), 0).await?;
            let created = create(args, &broker.door(User::Operator)).await;
            broker.server.stop().await?;
            created?
        }
    };
    // A file that has its name is good.
    let found = check::check(file.sync()?).context("what was written does not fit together")?;
    file.name()?;
    found.tell(output);
    Ok(())
}

/// Writes the backup; it has no name yet.
async fn create(args: &CreateArgs, door: &Door) -> anyhow::Result<FreshFile> {
    let nats = Nats::connect(door, "gander-backup").await?;
    let head = Head {
        at_micros: SystemClock.now().as_micros(),
        gander_version: env!("CARGO_PKG_VERSION").to_owned(),
        nats_version: nats.server_version(),
        partitions: nats.partitions().await?.count(),
    };
    let mut file = Writer::create(&args.file, head)?;
    let mut alerts = Copy::new(&nats, subject::ALERTS_STREAM);
    alerts.read_all(&mut file).await?;
    let (sender, mut receiver) = mpsc::channel(BUFFER);
    let incidents = tokio::spawn(incidents(nats.clone(), sender));
    loop {
        tokio::select! {
            message = receiver.recv() => match message {
                Some(message) => file.message(message)?,
                None => break,
            },
            message = alerts.reader.next() => alerts.add(&mut file, message)?,
        }
    }
    let moment = incidents.await??;
    // An empty stream, too, has a last sequence.
    let (_, last_alert) = nats.bounds(subject::ALERTS_STREAM).await?;
    alerts.read_all(&mut file).await?;
    let mut control = Copy::new(&nats, subject::CONTROL_STREAM);
    control.read_all(&mut file).await?;
    Ok(file.finish(&[
        (subject::INCIDENTS_STREAM, moment),
        (subject::ALERTS_STREAM, last_alert.max(alerts.last)),
        (subject::CONTROL_STREAM, control.last),
    ])?)
}

/// Reads incidents up to a moment at which they are consistent; gives the sequence of that moment.
async fn incidents(nats: Nats, sender: mpsc::Sender<Message>) -> anyhow::Result<u64> {
    let mut incidents = Copy::new(&nats, subject::INCIDENTS_STREAM);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut between = true;
    loop {
        match incidents.reader.next_stored().await? {
            None if between => return Ok(incidents.last),
            None => {}
            Some(message) => {
                between = ends_a_commit(&incidents.reader.envelope());
                let done = between && message.pending == 0;
                sender.send(incidents.read(message)).await?;
                if done {
                    return Ok(incidents.last);
                }
            }
        }
        if tokio::time::Instant::now() > deadline {
            bail!("incidents change faster than they can be read: try when there is less to do");
        }
    }
}

/// Whether nothing that belongs together lies on both sides of the end of this message.
fn ends_a_commit(envelope: &Envelope) -> bool {
    let has = |wanted: &str| envelope.headers.iter().any(|(name, _)| name == wanted);
    !has(BATCH_ID) || has(BATCH_COMMIT)
}

/// A stream on its way into the file.
struct Copy {
    stream: &'static str,
    reader: Reader,
    last: u64,
}

impl Copy {
    fn new(nats: &Nats, stream: &'static str) -> Self {
        let reader = Reader::new(nats, stream, EVERYTHING, Start::Sequence(1));
        Self { stream, reader, last: 0 }
    }

    async fn read_all(&mut self, file: &mut Writer) -> anyhow::Result<()> {
        while let Some(message) = self.reader.next_stored().await? {
            let done = message.pending == 0;
            self.add(file, message)?;
            if done {
                break;
            }
        }
        Ok(())
    }

    fn add(&mut self, file: &mut Writer, message: runtime::nats::Message) -> anyhow::Result<()> {
        Ok(file.message(self.read(message))?)
    }

    /// The message that was read last, as the file has it.
    fn read(&mut self, message: runtime::nats::Message) -> Message {
        self.last = message.sequence;
        let Envelope { at_micros, mut headers } = self.reader.envelope();
        // A build before would send these again, and wait for the rest of the batch.
        headers.retain(|(name, _)| {
            self.stream != subject::CONTROL_STREAM || !name.starts_with(OF_BATCHES)
        });
        Message {
            stream: self.stream.to_owned(),
            sequence: message.sequence,
            subject: message.subject,
            at_micros,
            headers,
            payload: message.payload,
        }
    }
}
