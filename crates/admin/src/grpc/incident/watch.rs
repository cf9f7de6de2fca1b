//! Incident events as they are stored, for callers who resume by cursor.
//!
//! Must not know how the incidents of the past are read.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use domain::id::TeamId;
use futures::Stream;
use runtime::nats::{Message, Reader, Start};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::events::v1 as events;
use wire::subject;

use super::Incidents;
use crate::access::{About, Presented, authorize};
use crate::grpc::error;

const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events that a slow caller has not taken yet.
const BUFFER: usize = 16;
/// Events are kept for 90 days; a cursor of the last hour of these may miss some already.
const MAX_CURSOR_AGE_MICROS: i64 = (90 * 24 - 1) * 3_600 * 1_000_000;

/// What a caller receives.
pub type Watching = Pin<Box<dyn Stream<Item = Result<api::WatchIncidentsResponse, Status>> + Send>>;

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
}

impl Incidents {
    /// The events that fit the filter, from the cursor on.
    pub async fn watch(
        &self,
        credential: Presented,
        filter: &str,
        cursor: &str,
    ) -> Result<Watching, Status> {
        let place = Arc::clone(&self.watches).try_acquire_owned();
        let place = place.map_err(|_| error::too_many_watches())?;
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
        let (sender, receiver) = mpsc::channel(BUFFER);
        let watch = Watch { incidents: self.clone(), credential, reader, sender, cursor };
        tokio::spawn(async move {
            watch.run().await;
            drop(place);
        });
        Ok(Box::pin(ReceiverStream::new(receiver)))
    }
}

struct Watch {
    incidents: Incidents,
    /// Looked up again for each event: rights may be taken away while the call lasts.
    credential: Presented,
    reader: Reader,
    sender: mpsc::Sender<Result<api::WatchIncidentsResponse, Status>>,
    cursor: Cursor,
}

impl Watch {
    async fn run(mut self) {
        // Whoever loses the connection before the first event knows where to resume.
        if self.sender.send(Ok(self.with_cursor(None))).await.is_err() {
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
            if self.sender.send(next).await.is_err() || ended {
                return;
            }
        }
    }

    async fn heartbeat(&mut self) -> Result<api::WatchIncidentsResponse, Status> {
        self.incidents.calls.caller_with(self.credential)?;
        // Where the stream answers, what is unread was stored in these seconds.
        let now = self.incidents.calls.now().as_micros();
        if self.incidents.nats.bounds(subject::INCIDENTS_STREAM).await.is_ok() {
            self.cursor.since = now;
        }
        Ok(self.with_cursor(None))
    }

    fn with_cursor(&self, event: Option<events::IncidentEvent>) -> api::WatchIncidentsResponse {
        api::WatchIncidentsResponse { event, cursor: self.cursor.shown() }
    }

    fn response(
        &mut self,
        message: &Message,
    ) -> Option<Result<api::WatchIncidentsResponse, Status>> {
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

#[cfg(test)]
mod tests {
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
}
