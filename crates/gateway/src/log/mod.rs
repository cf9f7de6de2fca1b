//! The API log: parts of entries wait in memory, within bounds, and one task writes them.
//!
//! - `writer`: into GANDER_APILOG, in batches. `lost`: what cannot be written is counted and told.
//!
//! A call of a tracked token may wait a moment for room here; no alert waits to be stored for it.
//! Must not know requests.

mod lost;
mod writer;

use std::sync::Arc;

use bytes::Bytes;
use domain::id::{AlertId, InstanceId, TokenId};
use runtime::nats::Nats;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};
use wire::stored::apilog::LogPart;

use lost::Lost;
use writer::Writer;

/// The most parts that wait to be written.
const MAX_PARTS: usize = 4_096;
/// The most bytes of them, in pieces of [`PIECE`].
const MAX_PIECES: usize = 16 * 1024;
/// Their memory is counted in pieces of this many bytes.
const PIECE: usize = 1_024;

/// A part in the form in which it is written.
#[derive(Debug)]
struct Message {
    alert: AlertId,
    token: TokenId,
    payload: Bytes,
}

impl From<LogPart> for Message {
    fn from(part: LogPart) -> Self {
        Self { alert: part.alert, token: part.token, payload: part.encode() }
    }
}

/// A part that waits. Its room is given back once it is written or lost.
#[derive(Debug)]
struct Queued {
    message: Message,
    _room: OwnedSemaphorePermit,
}

/// Takes parts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Log {
    queue: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    lost: Arc<Lost>,
}

/// What is lost is counted from 0.
pub fn register_metrics() {
    lost::register_metrics();
}

impl Log {
    /// Starts the task that writes; it ends when all handles are gone and everything is written.
    pub fn start(nats: Nats, me: InstanceId) -> (Self, impl Future<Output = ()> + Send) {
        let (log, queue) = Self::queue(MAX_PARTS, MAX_PIECES);
        let writer = Writer::new(nats, me, queue, Arc::clone(&log.lost));
        (log, writer.run())
    }

    fn queue(parts: usize, pieces: usize) -> (Self, mpsc::Receiver<Queued>) {
        let (queue, receiver) = mpsc::channel(parts);
        let room = Arc::new(Semaphore::new(pieces));
        (Self { queue, room, lost: Arc::default() }, receiver)
    }

    /// One of which nothing is written, and how many parts wait in it.
    #[cfg(test)]
    pub fn unwritten() -> (Self, impl Fn() -> usize) {
        let (log, queue) = Self::queue(MAX_PARTS, MAX_PIECES);
        (log, move || queue.len())
    }

    /// Takes a part; waits for room until this time at most, then it is lost.
    pub async fn keep(&self, part: LogPart, until: Instant) {
        let message = Message::from(part);
        let pieces = pieces(&message);
        let mut waiting = Waiting { log: self, message: Some(message) };
        let room = async {
            let room = Arc::clone(&self.room).acquire_many_owned(pieces).await.ok()?;
            Some((room, self.queue.reserve().await.ok()?))
        };
        if let Ok(Some((room, place))) = timeout_at(until, room).await
            && let Some(message) = waiting.message.take()
        {
            place.send(Queued { message, _room: room });
        }
    }

    /// Takes a part if there is room; else it is lost.
    pub fn keep_now(&self, part: LogPart) {
        self.put(part.into());
    }

    fn put(&self, message: Message) {
        let room = Arc::clone(&self.room).try_acquire_many_owned(pieces(&message));
        let put =
            room.is_ok_and(|room| self.queue.try_send(Queued { message, _room: room }).is_ok());
        if !put {
            self.lost.add(1);
        }
    }
}

/// A part that waits for room; dropped with its request, it is not forgotten.
struct Waiting<'a> {
    log: &'a Log,
    message: Option<Message>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            self.log.put(message);
        }
    }
}

fn pieces(message: &Message) -> u32 {
    u32::try_from(message.payload.len().div_ceil(PIECE).max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wire::proto::gander::stored::v1::CallPart;
    use wire::stored::apilog::Part;

    use super::*;

    const WAIT: Duration = Duration::from_millis(100);

    fn part(bytes: usize) -> LogPart {
        let body = Some(vec![b'x'; bytes].into());
        LogPart {
            alert: AlertId::from_bytes([1; 16]),
            token: TokenId::from_bytes([2; 16]),
            part: Part::Call(CallPart { body, ..CallPart::default() }),
        }
    }

    async fn keep(log: &Log, bytes: usize) {
        log.keep(part(bytes), Instant::now() + WAIT).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_finds_no_room_waits_a_moment_and_is_lost_then() {
        let (log, mut queue) = Log::queue(2, 100);
        let begun = Instant::now();
        keep(&log, 1).await;
        keep(&log, 1).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        keep(&log, 1).await;
        assert_eq!((begun.elapsed(), log.lost.count()), (WAIT, 1));
        let ((), waited) = tokio::join!(keep(&log, 1), queue.recv());
        assert!(waited.is_some());
        assert_eq!((begun.elapsed(), log.lost.count(), queue.len()), (WAIT, 1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_are_bounded_and_given_back() {
        let (log, mut queue) = Log::queue(100, 4);
        keep(&log, 3_000).await;
        assert_eq!(log.room.available_permits(), 1);
        keep(&log, 2_000).await;
        assert_eq!((log.lost.count(), queue.len()), (1, 1));
        drop(queue.recv().await);
        assert_eq!(log.room.available_permits(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_dropped_while_it_waits_is_put_or_counted() {
        let (log, mut queue) = Log::queue(1, 100);
        keep(&log, 1).await;
        {
            let mut waiting = Box::pin(keep(&log, 1));
            assert!(futures::poll!(&mut waiting).is_pending());
        }
        assert_eq!(log.lost.count(), 1);
        drop(queue.recv().await);
        drop(queue);
        log.keep_now(part(1));
        assert_eq!(log.lost.count(), 2, "nobody writes any more");
    }
}
