//! How much goes into one message, and how much may wait, so that what is taken in is stored in time.
//!
//! Learns from the messages before. Without it a slow broker is sent more at once than it can store by
//! the deadline: everything is refused late, and nothing is stored. Must not know what is sent, nor
//! read a clock.

use std::time::Duration;

use super::fair::Room;

/// A message is made no smaller than this part of the most.
const LEAST_PART: usize = 128;

/// Messages that may wait while none was stored yet.
const FIRST: usize = 64;

/// A small message that is quick makes the expected time shorter by this part.
const FORGETS: u32 = 16;

/// The pace of one loop.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    deadline: Duration,
    most: usize,
    records: usize,
    message: usize,
    /// How long a full message took last; nothing while none was seen.
    took: Duration,
    /// What was slow, and so was halved: its size, and how long it took.
    halved: Option<(usize, Duration)>,
    /// Slow messages were no quicker below this size: there slowness is not a matter of size, and
    /// small messages would only carry less.
    least: usize,
}

impl Pace {
    /// Messages are to be stored within `deadline` and have at most about so many bytes and records.
    pub const fn new(deadline: Duration, most: usize, records: usize) -> Self {
        let (took, halved, least) = (Duration::ZERO, None, 0);
        Self { deadline, most, records, message: most, took, halved, least }
    }

    /// About the most bytes of the next message.
    pub const fn message(&self) -> usize {
        self.message
    }

    /// How much may wait behind the message under way: what is stored in half of the deadline, at
    /// least two messages (one line alone may fill one), and never more than `most` records.
    pub fn room(&self, most: usize) -> Room {
        if self.took.is_zero() {
            return Room { records: most, bytes: FIRST * self.most };
        }
        let messages = (self.deadline.as_secs_f64() / 2.0 / self.took.as_secs_f64()).max(2.0);
        let of = |one: usize| (one as f64 * messages) as usize;
        Room { records: most.min(of(self.records)), bytes: of(self.message) }
    }

    /// Whether what has waited so long cannot be stored in time any more.
    pub fn is_too_late(&self, waited: Duration) -> bool {
        // One slow message does not tell that all will be.
        waited + self.took.min(self.deadline / 2) > self.deadline
    }

    /// A message of so many bytes and records was stored.
    pub fn stored(&mut self, bytes: usize, records: usize, took: Duration) {
        let is_full = bytes >= self.message / 2 || records >= self.records / 2;
        if !is_full {
            // One that was slow though it was small is forgotten again while others are quick.
            self.took = took.max(self.took - self.took / FORGETS);
            return;
        }
        self.took = took;
        if took > self.deadline / 2 {
            self.slow(took);
            return;
        }
        self.halved = None;
        if took < self.deadline / 4 {
            self.message = bytes.saturating_mul(2).min(self.most).max(self.message);
        }
    }

    fn slow(&mut self, took: Duration) {
        if let Some((size, before)) = self.halved.take()
            && took > before * 3 / 4
        {
            (self.message, self.least) = (size, size);
        } else if self.message > self.least {
            self.halved = Some((self.message, took));
            self.message = (self.message / 2).max(self.least).max(self.most / LEAST_PART).max(1);
        }
    }

    /// A message of so many bytes was not stored in time.
    pub fn timed_out(&mut self, bytes: usize) {
        (self.took, self.halved, self.least) = (self.deadline, None, 0);
        self.message = (bytes.min(self.message) / 4).max(self.most / LEAST_PART).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_millis(800);
    const MOST: usize = 2 * 1024 * 1024;
    const RECORDS: usize = 1_000;

    fn pace() -> Pace {
        Pace::new(DEADLINE, MOST, RECORDS)
    }

    /// Sends full messages of records of so many bytes; gives how much of them was stored in a minute.
    fn stored_in_a_minute(
        pace: &mut Pace,
        record: usize,
        took: impl Fn(usize) -> Duration,
    ) -> usize {
        let (mut now, mut stored) = (Duration::ZERO, 0);
        while now < Duration::from_secs(60) {
            let bytes = pace.message().min(RECORDS * record);
            if took(bytes) > DEADLINE {
                now += DEADLINE;
                pace.timed_out(bytes);
            } else {
                now += took(bytes);
                stored += bytes;
                pace.stored(bytes, bytes / record, took(bytes));
            }
        }
        stored
    }

    #[test]
    fn a_thin_line_is_not_sent_more_than_it_carries() {
        for rate in [100_000, 400_000, 1_000_000, 10_000_000_usize] {
            let mut pace = pace();
            let line = |bytes: usize| Duration::from_secs_f64(bytes as f64 / rate as f64);
            let stored = stored_in_a_minute(&mut pace, 2_000, line);
            assert!(stored > 60 * rate * 9 / 10, "{stored} at {rate} a second");
            assert!(line(pace.message()) <= DEADLINE / 2);
        }
    }

    #[test]
    fn a_broker_that_takes_its_time_for_each_message_is_sent_much_at_once() {
        for (latency, least) in [(50, 1_100), (350, 160), (700, 5)] {
            let latency = Duration::from_millis(latency);
            let stored = stored_in_a_minute(&mut pace(), 1_000, |_| latency);
            assert!(stored > least * 1_000_000, "{stored} with {latency:?} for each");
        }
    }

    #[test]
    fn nothing_waits_longer_than_is_stored_in_time() {
        let mut pace = pace();
        assert_eq!(pace.room(4_096), Room { records: 4_096, bytes: FIRST * MOST });
        pace.stored(MOST, 500, Duration::from_millis(100));
        assert_eq!(pace.room(4_096), Room { records: 4_000, bytes: 4 * MOST });
        pace.stored(MOST, 500, Duration::from_millis(400));
        assert_eq!(pace.room(4_096), Room { records: 2 * RECORDS, bytes: 2 * MOST });
        pace.stored(10, 1, Duration::from_millis(3));
        assert!(pace.room(4_096).records < 2_200, "a small one tells little of full ones");
        pace.stored(MOST, 500, Duration::from_millis(400));
        assert!(pace.is_too_late(Duration::from_millis(401)));
        assert!(!pace.is_too_late(Duration::from_millis(400)));
    }

    #[test]
    fn a_slow_message_is_forgotten_while_few_are_sent() {
        let mut pace = pace();
        pace.stored(300, 1, Duration::from_millis(790));
        assert_eq!(pace.room(4_096).records, 2 * RECORDS);
        for _ in 0..100 {
            pace.stored(300, 1, Duration::from_millis(3));
        }
        assert_eq!(pace.room(4_096).records, 4_096);
    }

    #[test]
    fn after_the_worst_there_is_room_again() {
        let mut pace = pace();
        for _ in 0..100 {
            pace.timed_out(pace.message());
        }
        assert!(pace.message() >= MOST / LEAST_PART && pace.room(4_096).records == 2 * RECORDS);
        assert!(!pace.is_too_late(Duration::ZERO));
        for _ in 0..20 {
            pace.stored(pace.message(), 10, Duration::from_millis(5));
        }
        assert_eq!((pace.message(), pace.room(4_096).records), (MOST, 4_096));
    }
}
