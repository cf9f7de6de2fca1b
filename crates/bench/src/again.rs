//! nats-server without a worker: the first batches of one are stored once more, by somebody who folds
//! nothing; also with little content, and past what keeps a worker apart from the streams.
//!
//! Must not know how they came about.

use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::events::{Stored, follow};
use e2e::rig::{Plan, Rig};
use runtime::nats::Nats;
use runtime::nats::access::{Door, User};
use runtime::nats::batch::BATCH_ID;
use serde::Serialize;
use tokio::time::{Instant, timeout};
use tokio_stream::StreamExt;
use wire::stored::backup::Message;
use wire::subject::{CHECKPOINTS_ALL, EVENTS_ALL, INCIDENTS_STREAM, STATES_ALL};

use crate::machine::processor_seconds;
use crate::{median, range};

/// How many batches are stored again; the time begins as the first one is stored.
const BATCHES: usize = 100;
/// How often they are stored again, each time in an empty stream.
const TURNS: usize = 3;
/// How much of each content is left where it is cut, bytes.
const CUT: usize = 100;
/// How long a message that is there may take to be read.
const PATIENCE: Duration = Duration::from_secs(10);

/// The same batches with a worker and without.
#[derive(Clone, Debug, Serialize)]
pub struct Again {
    /// How many there were.
    pub batches: usize,
    /// At how many events a second a worker stored them.
    pub worker_per_second: f64,
    /// What the contents of an event and a state are together, without subjects and headers, bytes.
    pub bytes: f64,
    /// Without a worker.
    pub whole: Rate,
    /// What is left of each content where it is cut, bytes.
    pub cut_bytes: usize,
    /// Without a worker, the content of each state cut, that of events whole.
    pub states_cut: Rate,
    /// Without a worker, each content cut.
    pub cut: Rate,
    /// The same by a user of the account that has the streams.
    pub near: Rate,
}

/// How fast batches were stored in some turns.
#[derive(Clone, Debug, Serialize)]
pub struct Rate {
    /// Events a second, the median.
    pub per_second: f64,
    /// The least and the most.
    pub range: [f64; 2],
    /// Processor time of nats-server for each event, microseconds, the median.
    pub nats_us: f64,
}

impl Rate {
    fn of(turns: &[(f64, f64)]) -> Self {
        let (mut rates, mut times): (Vec<_>, Vec<_>) = turns.iter().copied().unzip();
        let per_second = median(&mut rates);
        Self { per_second, range: range(&rates), nats_us: median(&mut times) }
    }
}

/// The first batches of a worker.
pub struct First {
    /// As it has sent them, but for checkpoints: of these only the last is kept.
    batches: Vec<Vec<Message>>,
    worker_per_second: f64,
}

/// Reads the first batches that a worker has stored.
pub async fn first_batches(url: &str) -> anyhow::Result<First> {
    let mut found = follow(url, INCIDENTS_STREAM, ">").await?;
    let (mut batches, mut last) = (Vec::<Vec<Message>>::new(), None);
    loop {
        let next = timeout(PATIENCE, found.next()).await.context("a worker's batches")?;
        let message = next.context("the end of the stream")??;
        if message.subject.starts_with(CHECKPOINTS_ALL.trim_end_matches('*')) {
            continue;
        }
        let batch = message.headers.get(BATCH_ID).cloned();
        if batch != last {
            if batches.len() == BATCHES {
                break;
            }
            batches.push(Vec::new());
            last = batch;
        }
        batches.last_mut().context("a batch")?.push(as_sent(message));
    }
    let at = |batch: &Vec<Message>| batch.last().map_or(0, |message| message.at_micros);
    let (begun, ended) = (batches.first().map_or(0, at), batches.last().map_or(0, at));
    let worker_per_second = events(&batches[1..])? / ((ended - begun) as f64 / 1e6);
    Ok(First { batches, worker_per_second })
}

fn as_sent(message: Stored) -> Message {
    Message {
        stream: INCIDENTS_STREAM.to_owned(),
        sequence: message.sequence,
        subject: message.subject,
        at_micros: message.at_micros,
        headers: message.headers.into_iter().collect(),
        payload: message.payload,
    }
}

/// How many events are in batches.
fn events(batches: &[Vec<Message>]) -> anyhow::Result<f64> {
    let prefix = EVENTS_ALL.trim_end_matches('>');
    let messages = batches.iter().flatten();
    let events = messages.filter(|message| message.subject.starts_with(prefix)).count();
    ensure!(events > 0, "there are no events among the batches");
    Ok(events as f64)
}

/// Stores them again.
pub async fn stored_again(first: &First) -> anyhow::Result<Again> {
    let First { batches, worker_per_second } = first;
    let (short, small) = (cut(batches, ""), cut(batches, STATES_ALL.trim_end_matches('>')));
    let (mut whole, mut states_cut, mut cut, mut near) = (vec![], vec![], vec![], vec![]);
    for _ in 0..TURNS {
        whole.push(turn(batches, User::Worker).await?);
        states_cut.push(turn(&small, User::Worker).await?);
        cut.push(turn(&short, User::Worker).await?);
        near.push(turn(&short, User::Operator).await?);
    }
    let bytes = batches.iter().flatten().map(|message| message.payload.len()).sum::<usize>();
    Ok(Again {
        batches: batches.len(),
        worker_per_second: *worker_per_second,
        bytes: bytes as f64 / events(batches)?,
        whole: Rate::of(&whole),
        cut_bytes: CUT,
        states_cut: Rate::of(&states_cut),
        cut: Rate::of(&cut),
        near: Rate::of(&near),
    })
}

/// The same with only the beginning of each content whose subject begins so.
fn cut(batches: &[Vec<Message>], subjects: &str) -> Vec<Vec<Message>> {
    let mut batches = batches.to_vec();
    let all = batches.iter_mut().flatten();
    for message in all.filter(|message| message.subject.starts_with(subjects)) {
        message.payload.truncate(CUT);
    }
    batches
}

/// Events a second in an empty stream, one batch after the other, with the rights of this user; and the
/// microseconds of nats-server for each.
async fn turn(batches: &[Vec<Message>], user: User) -> anyhow::Result<(f64, f64)> {
    let plan = Plan { gateways: 0, workers: 0, log: "warn".to_owned(), ..Plan::default() };
    let mut rig = Rig::planned(plan).await?;
    let key = Some((user, rig.keys.file(user)));
    let door = Door { url: rig.nats.url(), ca_file: None, key };
    let nats = Nats::connect(door, "bench").await?;
    let server = i32::try_from(rig.nats.pid().context("no nats-server")?)?;
    let [warm, rest @ ..] = batches else { anyhow::bail!("no batches") };
    // As long as the ids of a worker.
    let id = |n: usize| format!("{n:032}.0");
    nats.restore_batch(&id(0), warm).await?;
    let (begun, before) = (Instant::now(), processor_seconds(server)?);
    for (n, batch) in (1..).zip(rest) {
        nats.restore_batch(&id(n), batch).await?;
    }
    let (took, spent) = (begun.elapsed().as_secs_f64(), processor_seconds(server)? - before);
    rig.nats.kill().await?;
    let events = events(rest)?;
    Ok((events / took, spent * 1e6 / events))
}
