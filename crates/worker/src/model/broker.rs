//! A broker in memory: streams with fences, rollup, atomic batches and purge, and faults.
//!
//! A connection waits a little before and after each call, so that calls of several workers mix
//! and a worker can be killed on either side of an effect. Must not know what messages say.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use domain::time::Timestamp;
use runtime::ingest::Append;
use runtime::nats::batch::{MAX_MESSAGES, Message};
use runtime::nats::publish::{self, Expect};
use runtime::nats::{self, Headers, Start};
use wire::{header, subject};

use crate::broker::Broker;

/// More calls than any schedule needs.
const MOST_CALLS: u32 = 20_000;

/// What goes wrong with a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It has its effect, but the answer is lost.
    AckLost,
    /// It never arrives, and nobody says so.
    Lost,
    /// Nobody answers; it arrives later, and its fence decides.
    Late,
    /// It is refused as if a fence did not hold, as while another batch is in flight.
    Conflict,
    /// The broker is not there.
    Unreachable,
    /// The broker refuses it for a reason that goes away.
    Refused,
}

/// A stream: what is there, by sequence.
#[derive(Debug, Default)]
pub struct Stream {
    /// Its messages: subject and content.
    pub messages: BTreeMap<u64, (String, Bytes)>,
    /// The sequence of the last message ever.
    pub last: u64,
    by_subject: BTreeMap<String, u64>,
}

impl Stream {
    fn first(&self) -> u64 {
        self.messages.keys().next().copied().unwrap_or(self.last + 1)
    }

    /// With rollup, the message before of that subject goes; all before that have gone with it.
    fn append(&mut self, subject: &str, payload: &Bytes, rollup: bool) -> u64 {
        self.last += 1;
        let before = self.by_subject.insert(subject.to_owned(), self.last);
        if let Some(before) = before.filter(|_| rollup) {
            self.messages.remove(&before);
        }
        self.messages.insert(self.last, (subject.to_owned(), payload.clone()));
        self.last
    }

    fn last_of(&self, subject: &str) -> Option<(u64, &Bytes)> {
        let sequence = *self.by_subject.get(subject)?;
        self.messages.get(&sequence).map(|(_, payload)| (sequence, payload))
    }
}

/// All that the broker holds, and what has ever been stored.
#[derive(Debug, Default)]
pub struct State {
    /// GANDER_ALERTS.
    pub alerts: Stream,
    /// GANDER_INCIDENTS.
    pub incidents: Stream,
    /// GANDER_APILOG: everything that was ever stored there, in order.
    pub told: Vec<Message>,
    /// How many batches for GANDER_APILOG were not known to be stored at the second attempt.
    pub untold: usize,
    /// Everything that was ever stored in GANDER_INCIDENTS, in order.
    pub log: Vec<(u64, String, Bytes)>,
    /// Everything that was ever appended to GANDER_ALERTS, in order.
    pub input: Vec<(u64, Bytes)>,
    /// What was sent and not stored, without an acknowledgement.
    pub sent: Vec<Bytes>,
    /// What goes wrong with the next writes.
    pub faults: VecDeque<Fault>,
    /// Whether the next reads fail.
    pub read_faults: VecDeque<bool>,
    /// How many of the last messages the server lacks that the next consumer reads from.
    pub behind: u64,
    /// Batches under way.
    late: Vec<Vec<Message>>,
    ids: BTreeSet<String>,
    calls: u32,
    random: u64,
}

impl State {
    /// Stores all or none; gives the sequence of the first. A batch is for one stream.
    fn store(&mut self, messages: &[Message]) -> Result<u64, publish::Error> {
        assert!(messages.len() <= MAX_MESSAGES, "{} messages in a batch", messages.len());
        if is_of_api_log(messages) {
            assert!(
                messages.iter().all(|message| message.expect.is_none()),
                "the log has no fence"
            );
            self.told.extend_from_slice(messages);
            return Ok(self.told.len() as u64 + 1 - messages.len() as u64);
        }
        if let [Message { subject, payload, .. }] = messages
            && subject == subject::ALERTS
        {
            let sequence = self.alerts.append(subject, payload, false);
            self.input.push((sequence, payload.clone()));
            return Ok(sequence);
        }
        for (n, message) in messages.iter().enumerate() {
            let last = self.incidents.last_of(&message.subject).map_or(0, |(n, _)| n);
            if message.expect.is_some_and(|expected| expected != last) {
                return Err(publish::Error::Conflict(message.subject.clone()));
            }
            let again = messages[..n].iter().any(|earlier| earlier.subject == message.subject);
            assert!(!again || message.expect.is_none(), "a fence on a later write of a subject");
        }
        let first = self.incidents.last + 1;
        for Message { subject, headers, payload, .. } in messages {
            let rollup = headers.iter().any(|(name, _)| *name == header::ROLLUP);
            let sequence = self.incidents.append(subject, payload, rollup);
            self.log.push((sequence, subject.clone(), payload.clone()));
        }
        Ok(first)
    }

    fn write(&mut self, messages: &[Message]) -> Result<u64, publish::Error> {
        match self.faults.pop_front().unwrap_or(Fault::None) {
            Fault::None => self.store(messages),
            Fault::AckLost => {
                let _ = self.store(messages);
                Err(publish::Error::TimedOut)
            }
            Fault::Lost => Err(publish::Error::TimedOut),
            Fault::Late => {
                self.late.push(messages.to_vec());
                Err(publish::Error::TimedOut)
            }
            Fault::Conflict => Err(publish::Error::Conflict("in flight".to_owned())),
            Fault::Unreachable => Err(publish::Error::Unreachable),
            Fault::Refused => {
                Err(publish::Error::Refused { code: 10_008, text: "not now".to_owned() })
            }
        }
    }

    fn stream(&self, name: &str) -> &Stream {
        if name == subject::ALERTS_STREAM { &self.alerts } else { &self.incidents }
    }
}

/// The broker. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Model(Arc<Mutex<State>>);

impl Model {
    /// A broker whose connections wait by this seed.
    pub fn new(seed: u64) -> Self {
        let model = Self::default();
        model.state().random = seed | 1;
        model
    }

    /// All that it holds.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// A connection that dies after so many steps: before a call, after its effect, and so on.
    pub fn connect(&self, steps: u64) -> Connection {
        Connection { model: self.clone(), steps: Arc::new(AtomicU64::new(steps)), pace: 1 }
    }

    /// Appends a message to the input.
    pub fn append(&self, payload: Bytes) -> u64 {
        let mut state = self.state();
        let sequence = state.alerts.append(subject::ALERTS, &payload, false);
        state.input.push((sequence, payload));
        sequence
    }

    /// The first message of the input from this sequence on.
    pub fn input(&self, from: u64) -> Option<nats::Message> {
        let state = self.state();
        let mut rest = state.alerts.messages.range(from..);
        let (sequence, (subject, payload)) = rest.next()?;
        let pending = rest.count() as u64;
        Some(nats::Message { pending, ..found(*sequence, subject, payload) })
    }

    /// One batch that is under way arrives, whoever waits for it or not.
    pub fn land(&self, which: usize) {
        let mut state = self.state();
        if !state.late.is_empty() {
            let which = which % state.late.len();
            let messages = state.late.swap_remove(which);
            let _ = state.store(&messages);
        }
    }

    /// All batches that are under way arrive.
    pub fn land_all(&self) {
        while !self.state().late.is_empty() {
            self.land(0);
        }
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.read_faults.clear();
        state.behind = 0;
    }
}

/// The connection of a worker.
#[derive(Clone, Debug)]
pub struct Connection {
    /// How many times slower than others it is.
    pub pace: u64,
    model: Model,
    steps: Arc<AtomicU64>,
}

impl Connection {
    async fn step(&self) {
        if self.steps.fetch_sub(1, Ordering::Relaxed) == 0 {
            std::future::pending::<()>().await;
        }
        let wait = {
            let mut state = self.model.state();
            state.random = state.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state.random >> 33) % 8 * self.pace
        };
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }

    async fn call<T>(&self, effect: impl FnOnce(&mut State) -> T) -> T {
        self.step().await;
        let result = {
            let mut state = self.model.state();
            state.calls += 1;
            assert!(state.calls < MOST_CALLS, "a worker does not come to an end");
            effect(&mut state)
        };
        self.step().await;
        result
    }

    async fn read<T>(&self, effect: impl FnOnce(&mut State) -> T) -> Result<T, nats::Error> {
        let read = |state: &mut State| match state.read_faults.pop_front() {
            Some(true) => Err(nats::Error::Request("no answer".to_owned())),
            Some(false) | None => Ok(effect(state)),
        };
        self.call(read).await
    }
}

fn is_of_api_log(messages: &[Message]) -> bool {
    let ours = |message: &Message| message.subject.starts_with("gander.apilog.");
    let any = messages.iter().any(ours);
    assert!(!any || messages.iter().all(ours), "a batch is for one stream");
    any
}

fn fits(filter: &str, subject: &str) -> bool {
    filter == subject
        || filter.strip_suffix(['>', '*']).is_some_and(|prefix| subject.starts_with(prefix))
}

fn found(sequence: u64, subject: &str, payload: &Bytes) -> nats::Message {
    let (subject, payload) = (subject.to_owned(), payload.clone());
    // Nothing of a worker asks when a message was stored.
    let stored_at = Timestamp::default();
    nats::Message { sequence, stored_at, subject, payload, pending: 0 }
}

impl Append for Connection {
    async fn append(
        &self,
        _: Headers<'_>,
        payload: Bytes,
        _: Duration,
    ) -> Result<u64, publish::Error> {
        let subject = subject::ALERTS.to_owned();
        let message = Message { subject, headers: vec![], payload, expect: None };
        self.call(|state| state.write(&[message])).await
    }

    async fn reconnect(&self) {
        self.step().await;
    }
}

impl Broker for Connection {
    async fn publish_batch(
        &self,
        id: &str,
        messages: &[Message],
        _: Duration,
    ) -> Result<u64, publish::Error> {
        let write = |state: &mut State| {
            assert!(id.len() <= 64 && state.ids.insert(id.to_owned()), "{id} is not a new id");
            let written = state.write(messages);
            let last_attempt = is_of_api_log(messages) && id.ends_with(".1");
            state.untold += usize::from(last_attempt && written.is_err());
            written
        };
        self.call(write).await
    }

    async fn publish(
        &self,
        subject: String,
        headers: Headers<'_>,
        payload: Bytes,
        expect: Option<Expect>,
        _: Duration,
    ) -> Result<u64, publish::Error> {
        let rollup = headers.iter().filter(|(name, _)| *name == header::ROLLUP);
        let headers = rollup.map(|(_, value)| (header::ROLLUP, value.clone())).collect();
        let expect = expect.map(|expect| match expect {
            Expect::LastSubjectSequence(n) => n,
            Expect::LastSequence(_) => panic!("workers fence subjects"),
        });
        let message = Message { subject, headers, payload, expect };
        self.call(|state| state.write(&[message])).await
    }

    async fn last_of(
        &self,
        stream: &str,
        subject: &str,
    ) -> Result<Option<nats::Message>, nats::Error> {
        let last = |state: &mut State| {
            let newest_first = state.stream(stream).messages.iter().rev();
            let mut fitting = newest_first.filter(|(_, message)| fits(subject, &message.0));
            let (sequence, (subject, payload)) = fitting.next()?;
            Some(found(*sequence, subject, payload))
        };
        self.read(last).await
    }

    async fn read_all(
        &self,
        stream: &str,
        filter: &str,
        start: Start,
    ) -> Result<Vec<nats::Message>, nats::Error> {
        assert_eq!((stream, start), (subject::INCIDENTS_STREAM, Start::LastOfEachSubject));
        let all = |state: &mut State| {
            let end = state.incidents.last.saturating_sub(std::mem::take(&mut state.behind));
            let known = state.log.iter().take_while(|(n, ..)| *n <= end);
            let fitting = known.filter(|(_, subject, _)| fits(filter, subject));
            let last = fitting.map(|(n, subject, payload)| (subject, found(*n, subject, payload)));
            let mut last: Vec<_> = last.collect::<BTreeMap<_, _>>().into_values().collect();
            last.sort_by_key(|message| message.sequence);
            last
        };
        self.read(all).await
    }

    async fn count(
        &self,
        stream: &str,
        filter: &str,
    ) -> Result<(u64, BTreeMap<String, u64>), nats::Error> {
        let count = |state: &mut State| {
            let stream = state.stream(stream);
            let mut subjects = BTreeMap::new();
            for (subject, _) in stream.messages.values().filter(|m| fits(filter, &m.0)) {
                *subjects.entry(subject.clone()).or_default() += 1;
            }
            (stream.last, subjects)
        };
        self.read(count).await
    }

    async fn bounds(&self, stream: &str) -> Result<(u64, u64), nats::Error> {
        let bounds = |state: &mut State| {
            let stream = state.stream(stream);
            (stream.first(), stream.last)
        };
        self.read(bounds).await
    }

    async fn purge_before(&self, stream: &str, sequence: u64) -> Result<(), nats::Error> {
        assert_eq!(stream, subject::ALERTS_STREAM);
        self.read(|state| state.alerts.messages.retain(|known, _| *known >= sequence)).await
    }

    async fn send(&self, _: String, payload: Bytes) {
        self.call(|state| state.sent.push(payload)).await;
    }
}
