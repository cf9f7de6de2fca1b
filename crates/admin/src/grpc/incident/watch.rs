//! Incident events as they are stored, for callers who resume by cursor.
//!
//! Must not know how the incidents of the past are read.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use domain::id::TeamId;
use futures::Stream;
use runtime::nats::{Message, Reader, Start};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::Status;
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::events::v1 as events;
use wire::subject;

use super::Incidents;
use crate::access::{About, Caller, Presented, authorize};
use crate::grpc::error;

const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events that a slow caller has not taken yet.
const BUFFER: usize = 16;
/// How long a caller may take none.
const PATIENCE: Duration = Duration::from_secs(60);
/// Events are kept for 90 days; a cursor of the last hour of these may miss some already.
const MAX_CURSOR_AGE_MICROS: i64 = (90 * 24 - 1) * 3_600 * 1_000_000;

type Answer = Result<api::WatchIncidentsResponse, Status>;

/// What a caller receives.
pub struct Watching(Arc<Mutex<Outlet>>);

/// The messages on their way to a caller.
struct Outlet {
    messages: mpsc::Receiver<Answer>,
    /// What it is told after them.
    end: Option<Status>,
}

impl Stream for Watching {
    type Item = Answer;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Answer>> {
        let mut outlet = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = ready!(outlet.messages.poll_recv(context));
        Poll::Ready(next.or_else(|| outlet.end.take().map(Err)))
    }
}

impl Outlet {
    /// Lets go of what the caller has not taken: a caller that reads nothing would keep it for ever.
    fn give_up(&mut self, why: Status) {
        self.messages.close();
        while self.messages.try_recv().is_ok() {}
        self.end = Some(why);
    }
}

/// Where a caller resumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    /// The sequence of the last message that it need not see again.
    sequence: u64,
    /// Microseconds since the Unix epoch: what comes after that message was stored later than this,
    /// so it is kept for 90 days from here on.
    since: i64,
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let (sequence, since) = text.split_once('-')?;
        let sequence = u64::from_str_radix(sequence, 16).ok()?;
        Some(Self { sequence, since: i64::from_str_radix(since, 16).ok()? })
    }

    fn shown(self) -> String {
        format!("{:x}-{:x}", self.sequence, self.since)
    }

    /// The same place at a time when the last event of all was this one. Where that has not been
    /// seen yet, what is unread may be older than this time.
    fn at(self, now: i64, last: Option<u64>) -> Self {
        let is_all_read = last.is_none_or(|last| last <= self.sequence);
        Self { since: if is_all_read { now } else { self.since }, ..self }
    }
}

impl Incidents {
    /// The events that fit the filter, from the cursor on.
    pub async fn watch(
        &self,
        caller: &Caller,
        credential: Presented,
        filter: &str,
        cursor: &str,
    ) -> Result<Watching, Status> {
        let Caller::Principal(by, _) = caller else {
            return Err(error::denied());
        };
        let place = self.guests.watches.take(Some(*by)).map_err(error::too_many_watches)?;
        let now = self.calls.now().as_micros();
        let bounds = self.nats.bounds(subject::INCIDENTS_STREAM).await;
        let (_, last) = bounds.map_err(|_| error::unavailable("the broker does not answer"))?;
        let cursor = match cursor {
            "" => Cursor { sequence: last, since: now },
            text => Cursor::parse(text)
                .filter(|cursor| cursor.sequence <= last)
                .ok_or_else(|| error::field("cursor", "must be one that this server has given"))?,
        };
        if now.saturating_sub(cursor.since) > MAX_CURSOR_AGE_MICROS {
            return Err(error::cursor_too_old());
        }
        let start = Start::Sequence(cursor.sequence + 1);
        let reader = Reader::new(&self.nats, subject::INCIDENTS_STREAM, filter, start);
        let (sender, messages) = mpsc::channel(BUFFER);
        let outlet = Arc::new(Mutex::new(Outlet { messages, end: None }));
        let watch = Watch {
            incidents: self.clone(),
            credential,
            filter: filter.to_owned(),
            reader,
            sender,
            outlet: Arc::downgrade(&outlet),
            cursor,
        };
        tokio::spawn(async move {
            watch.run().await;
            drop(place);
        });
        Ok(Watching(outlet))
    }
}

struct Watch {
    incidents: Incidents,
    /// Looked up again for each event: rights may be taken away while the call lasts.
    credential: Presented,
    filter: String,
    reader: Reader,
    sender: mpsc::Sender<Answer>,
    /// Gone with the caller.
    outlet: Weak<Mutex<Outlet>>,
    cursor: Cursor,
}

impl Watch {
    async fn run(mut self) {
        // Whoever loses the connection before the first event knows where to resume.
        if !self.send(Ok(self.with_cursor(None))).await {
            return;
        }
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.reset();
        loop {
            let message = tokio::select! {
                message = self.reader.next() => Some(message),
                _ = heartbeat.tick() => None,
                () = self.sender.closed() => return,
                () = self.incidents.stopping.cancelled() => return,
            };
            let next = match message {
                Some(message) => self.response(&message),
                None => Some(self.heartbeat().await),
            };
            let Some(next) = next else { continue };
            heartbeat.reset();
            let ended = next.is_err();
            if !self.send(next).await || ended {
                return;
            }
        }
    }

    /// Hands a message to the caller; false where the watch ends.
    async fn send(&mut self, message: Answer) -> bool {
        let (calls, credential) = (&self.incidents.calls, self.credential);
        let may_wait = || calls.caller_with(credential).map(drop);
        let sent = tokio::select! {
            sent = send(&self.sender, message, may_wait) => sent,
            () = self.incidents.stopping.cancelled() => return false,
        };
        let Err(why) = sent else { return true };
        if let Some(outlet) = self.outlet.upgrade() {
            outlet.lock().unwrap_or_else(PoisonError::into_inner).give_up(why);
        }
        false
    }

    async fn heartbeat(&mut self) -> Answer {
        self.incidents.calls.caller_with(self.credential)?;
        let now = self.incidents.calls.now().as_micros();
        let nats = &self.incidents.nats;
        if let Ok(last) = nats.last_of(subject::INCIDENTS_STREAM, &self.filter).await {
            self.cursor = self.cursor.at(now, last.map(|last| last.sequence));
        }
        Ok(self.with_cursor(None))
    }

    fn with_cursor(&self, event: Option<events::IncidentEvent>) -> api::WatchIncidentsResponse {
        api::WatchIncidentsResponse { event, cursor: self.cursor.shown() }
    }

    fn response(&mut self, message: &Message) -> Option<Answer> {
        let since = message.stored_at.as_micros();
        self.cursor = Cursor { sequence: message.sequence, since };
        let Ok(event) = serde_json::from_slice::<events::IncidentEvent>(&message.payload) else {
            return Some(Err(error::internal("an event cannot be read")));
        };
        let team = event.incident.as_ref().and_then(|incident| TeamId::parse(&incident.team).ok());
        let about = About { team, ..About::default() };
        match self.incidents.calls.caller_with(self.credential) {
            Ok(caller) => authorize(&caller, "CatalogService/GetTeam", about)
                .is_ok()
                .then(|| Ok(self.with_cursor(Some(event)))),
            Err(ended) => Some(Err(ended)),
        }
    }
}

/// Hands over a message once the caller takes one, as long as it may wait for that.
async fn send(
    sender: &mpsc::Sender<Answer>,
    message: Answer,
    may_wait: impl Fn() -> Result<(), Status>,
) -> Result<(), Status> {
    let deadline = Instant::now() + PATIENCE;
    let mut place = pin!(sender.reserve());
    loop {
        tokio::select! {
            biased;
            place = place.as_mut() => {
                // Where the caller has gone nobody is told why.
                place.map_err(|_| error::watch_not_read())?.send(message);
                return Ok(());
            }
            () = tokio::time::sleep_until(deadline) => return Err(error::watch_not_read()),
            () = tokio::time::sleep(HEARTBEAT) => may_wait()?,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    #[test]
    fn a_cursor_that_was_not_given_is_refused() {
        let cursor = Cursor { sequence: 31, since: 42 };
        assert_eq!(Cursor::parse("1f-2a"), Some(cursor));
        assert_eq!(cursor.shown(), "1f-2a");
        for text in ["", "1f", "x-1", "1-", "-", "1-1-1"] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }

    #[test]
    fn time_passes_for_a_cursor_only_once_everything_is_read() {
        let cursor = Cursor { sequence: 31, since: 42 };
        for last in [None, Some(7), Some(31)] {
            assert_eq!(cursor.at(50, last), Cursor { sequence: 31, since: 50 }, "{last:?}");
        }
        assert_eq!(cursor.at(50, Some(32)), cursor, "an event is unread");
    }

    #[tokio::test]
    async fn who_is_given_up_is_told_why_and_nothing_else() {
        let (sender, messages) = mpsc::channel(BUFFER);
        let outlet = Arc::new(Mutex::new(Outlet { messages, end: None }));
        let mut watching = Watching(Arc::clone(&outlet));
        for _ in 0..BUFFER {
            sender.send(Ok(api::WatchIncidentsResponse::default())).await.unwrap();
        }
        outlet.lock().unwrap().give_up(error::watch_not_read());
        drop(sender);
        let end = watching.next().await.and_then(Result::err).map(|end| end.code());
        assert_eq!(end, Some(tonic::Code::Unavailable));
        assert!(watching.next().await.is_none());
    }

    /// How a watch ends where the caller takes none, and after how long.
    async fn unread(may_wait: impl Fn() -> Result<(), Status>) -> (Option<String>, Duration) {
        let (sender, _messages) = mpsc::channel(BUFFER);
        let started = Instant::now();
        for _ in 0..BUFFER {
            send(&sender, Ok(api::WatchIncidentsResponse::default()), &may_wait).await.unwrap();
        }
        let end = send(&sender, Ok(api::WatchIncidentsResponse::default()), &may_wait).await;
        (end.err().map(|end| end.message().to_owned()), started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_reads_nothing_is_given_up() {
        let (end, after) = unread(|| Ok(())).await;
        assert!(end.is_some_and(|end| end.contains("nobody read it")));
        assert_eq!(after, PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_credential_is_noticed_while_nothing_is_read() {
        let (end, after) = unread(|| Err(error::unauthenticated())).await;
        assert!(end.is_some_and(|end| end.contains("credential")));
        assert_eq!(after, HEARTBEAT);
    }
}
