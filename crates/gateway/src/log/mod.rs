//! The API log: parts of entries wait in memory, within bounds, and one task writes them.
//!
//! - `writer`: into GANDER_APILOG, in batches. `lost`: what cannot be written is counted and told.
//! - `shares`: how much of the memory one token may fill.
//!
//! A call of a tracked token may wait a moment for room here; no alert waits to be stored for it.
//! Must not know requests.

mod lost;
mod shares;
mod writer;

use std::sync::Arc;

use bytes::Bytes;
use domain::id::{AlertId, InstanceId, TokenId};
use runtime::nats::Nats;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};
use wire::stored::apilog::LogPart;

use lost::Lost;
use shares::Shares;
use writer::Writer;

/// The most parts that wait to be written.
const MAX_PARTS: usize = 4_096;
/// The most bytes of them, in pieces of [`PIECE`].
const MAX_PIECES: usize = 16 * 1024;
/// The most pieces of one token, and so its share of the parts: a quarter of each.
const MAX_SHARE: usize = MAX_PIECES / 4;
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
    _room: Room,
}

/// Room in the queue, and in the share of the token.
#[derive(Debug)]
struct Room {
    _share: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

/// Takes parts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Log {
    queue: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    shares: Arc<Shares>,
    lost: Arc<Lost>,
}

/// What is lost is counted from 0.
pub fn register_metrics() {
    lost::register_metrics();
}

impl Log {
    /// Starts the task that writes; it ends when all handles are gone and everything is written.
    pub fn start(nats: Nats, me: InstanceId) -> (Self, impl Future<Output = ()> + Send) {
        let (log, queue) = Self::queue(MAX_PARTS, MAX_PIECES, MAX_SHARE);
        let writer = Writer::new(nats, me, queue, Arc::clone(&log.lost));
        (log, writer.run())
    }

    fn queue(parts: usize, pieces: usize, share: usize) -> (Self, mpsc::Receiver<Queued>) {
        let (queue, receiver) = mpsc::channel(parts);
        let room = Arc::new(Semaphore::new(pieces));
        // In its share a part counts at least as much as if all were alike, so that many small ones
        // do not fill the queue either.
        let shares = Arc::new(Shares::new(share, pieces / parts));
        (Self { queue, room, shares, lost: Arc::default() }, receiver)
    }

    /// One of which nothing is written, and how many parts wait in it.
    #[cfg(test)]
    pub fn unwritten() -> (Self, impl Fn() -> usize) {
        let (log, queue) = Self::queue(MAX_PARTS, MAX_PIECES, MAX_SHARE);
        (log, move || queue.len())
    }

    /// Takes a part; waits for room until this time at most, then it is lost.
    pub async fn keep(&self, part: LogPart, until: Instant) {
        let message = Message::from(part);
        let (token, pieces) = (message.token, pieces(&message));
        let mut waiting = Waiting { log: self, message: Some(message) };
        let (share, least) = self.shares.of(token, pieces);
        let room = async {
            // First its own, so that who waits for that takes nothing from the others.
            let share = share.acquire_many_owned(least).await.ok()?;
            let all = Arc::clone(&self.room).acquire_many_owned(pieces).await.ok()?;
            Some((Room { _share: share, _all: all }, self.queue.reserve().await.ok()?))
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
        let room = self.room_now(&message);
        let put =
            room.is_some_and(|room| self.queue.try_send(Queued { message, _room: room }).is_ok());
        if !put {
            self.lost.add(1);
        }
    }

    fn room_now(&self, message: &Message) -> Option<Room> {
        let pieces = pieces(message);
        let (share, least) = self.shares.of(message.token, pieces);
        let share = share.try_acquire_many_owned(least).ok()?;
        let all = Arc::clone(&self.room).try_acquire_many_owned(pieces).ok()?;
        Some(Room { _share: share, _all: all })
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
        part_of(2, bytes)
    }

    fn part_of(token: u8, bytes: usize) -> LogPart {
        let body = Some(vec![b'x'; bytes].into());
        LogPart {
            alert: AlertId::from_bytes([1; 16]),
            token: TokenId::from_bytes([token; 16]),
            part: Part::Call(CallPart { body, ..CallPart::default() }),
        }
    }

    async fn keep(log: &Log, bytes: usize) {
        log.keep(part(bytes), Instant::now() + WAIT).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_finds_no_room_waits_a_moment_and_is_lost_then() {
        let (log, mut queue) = Log::queue(2, 100, 1_000);
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
        let (log, mut queue) = Log::queue(100, 4, 4);
        keep(&log, 3_000).await;
        assert_eq!(log.room.available_permits(), 1);
        keep(&log, 2_000).await;
        assert_eq!((log.lost.count(), queue.len()), (1, 1));
        drop(queue.recv().await);
        assert_eq!(log.room.available_permits(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn one_token_fills_its_share_and_not_that_of_others() {
        // Many small ones, and few that are large.
        for (bytes, fit) in [(1, 25), (9_000, 11)] {
            let (log, mut queue) = Log::queue(100, 400, 100);
            for _ in 0..100 {
                log.keep_now(part(bytes));
            }
            assert_eq!((queue.len(), log.lost.count()), (fit, 100 - u64::try_from(fit).unwrap()));
            keep(&log, bytes).await;
            assert_eq!(queue.len(), fit, "who waits for its own share");
            log.keep_now(part_of(3, bytes));
            assert_eq!(queue.len(), fit + 1, "another one has room");
            drop(queue.recv().await);
            log.keep_now(part(bytes));
            assert_eq!(queue.len(), fit + 1, "what is written is given back");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_dropped_while_it_waits_is_put_or_counted() {
        let (log, mut queue) = Log::queue(1, 100, 100);
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
