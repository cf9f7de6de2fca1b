//! Reading a body: never more than the limit, never longer than the time, never more at once in
//! all than the memory set aside.
//!
//! Must not know who sent it: only senders with a valid token come this far.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit in which memory is counted, in bytes.
const UNIT: usize = 1024;

/// What a body may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The most bytes.
    pub size: usize,
    /// The longest time.
    pub time: Duration,
    /// The memory for all bodies.
    pub memory: Memory,
}

/// Memory that bodies share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Semaphore>);

/// Memory in use; given back when dropped.
#[derive(Debug)]
pub struct Held(Vec<OwnedSemaphorePermit>);

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is over the limit.
    #[error("the body is over the limit")]
    TooLarge,
    /// It did not arrive in time.
    #[error("the body did not arrive in time")]
    Late,
    /// It ended early or broke its framing.
    #[error("the body ended early or broke its framing")]
    Broken,
    /// There is no memory for it.
    #[error("there is no memory for the body")]
    NoMemory,
}

impl Memory {
    /// This many bytes, rounded up to whole KiB.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.div_ceil(UNIT).min(Semaphore::MAX_PERMITS))))
    }

    /// Takes this many bytes.
    ///
    /// # Errors
    /// There are not that many left.
    pub fn hold(&self, bytes: usize) -> Result<Held, Error> {
        let mut held = Held(Vec::new());
        held.grow(self, bytes)?;
        Ok(held)
    }
}

impl Held {
    fn grow(&mut self, memory: &Memory, bytes: usize) -> Result<(), Error> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).map_err(|_| Error::NoMemory)?;
        let permit = Arc::clone(&memory.0).try_acquire_many_owned(units);
        self.0.push(permit.map_err(|_| Error::NoMemory)?);
        Ok(())
    }

    fn units(&self) -> usize {
        self.0.iter().map(OwnedSemaphorePermit::num_permits).sum()
    }
}

/// Reads a whole body.
///
/// # Errors
/// See [`Error`]. What is left of the body is not read.
pub async fn read<B>(body: B, limits: &Limits) -> Result<(Bytes, Held), Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let announced = body.size_hint().lower();
    let announced = usize::try_from(announced).map_err(|_| Error::TooLarge)?;
    if announced > limits.size {
        return Err(Error::TooLarge);
    }
    let held = limits.memory.hold(announced)?;
    tokio::time::timeout(limits.time, collect(body, limits, held)).await.map_err(|_| Error::Late)?
}

async fn collect<B>(mut body: B, limits: &Limits, mut held: Held) -> Result<(Bytes, Held), Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Error::Broken)?.into_data() else { continue };
        let length = first.len() + more.len() + data.len();
        if length > limits.size {
            return Err(Error::TooLarge);
        }
        if length > held.units() * UNIT {
            // Doubling keeps the number of permits small for a body that comes byte by byte.
            held.grow(&limits.memory, length.max(held.units() * UNIT * 2) - held.units() * UNIT)?;
        }
        if first.is_empty() && more.is_empty() {
            first = data;
        } else {
            more.reserve(first.len() + data.len());
            more.extend_from_slice(&std::mem::take(&mut first));
            more.extend_from_slice(&data);
        }
    }
    Ok((if more.is_empty() { first } else { more.freeze() }, held))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::convert::Infallible;

    use futures::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    fn limits(size: usize, memory: usize) -> Limits {
        Limits { size, time: Duration::from_secs(5), memory: Memory::new(memory) }
    }

    async fn check(chunks: &[usize], limits: &Limits, expected: Result<usize, Error>) {
        let frames: Vec<Result<_, Infallible>> =
            chunks.iter().map(|length| Ok(Frame::data(Bytes::from(vec![7; *length])))).collect();
        let before = limits.memory.0.available_permits();
        let read = read(StreamBody::new(stream::iter(frames)), limits).await;
        assert_eq!(read.as_ref().map(|(body, _)| body.len()).map_err(|e| *e), expected, "{chunks:?}");
        drop(read);
        assert_eq!(limits.memory.0.available_permits(), before, "memory is given back");
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_the_limit() {
        let limits = limits(3000, 1 << 20);
        check(&[], &limits, Ok(0)).await;
        check(&[3000], &limits, Ok(3000)).await;
        check(&[1; 2500], &limits, Ok(2500)).await;
        check(&[1500, 1500], &limits, Ok(3000)).await;
        check(&[1500, 1501], &limits, Err(Error::TooLarge)).await;
    }

    #[tokio::test]
    async fn bodies_share_memory() {
        let limits = limits(100_000, 4 * UNIT);
        check(&[4 * UNIT], &limits, Ok(4 * UNIT)).await;
        check(&[4 * UNIT, 1], &limits, Err(Error::NoMemory)).await;
        let others = limits.memory.hold(3 * UNIT).unwrap();
        check(&[UNIT, 1], &limits, Err(Error::NoMemory)).await;
        drop(others);
        check(&[UNIT, 1], &limits, Ok(UNIT + 1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_is_given_up() {
        let never = stream::pending::<Result<Frame<Bytes>, Infallible>>();
        let read = read(StreamBody::new(never), &limits(10, 1 << 20)).await;
        assert_eq!(read.unwrap_err(), Error::Late);
    }
}
