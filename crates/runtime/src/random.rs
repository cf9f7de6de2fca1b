//! Randomness. Only this file draws it.
//!
//! Must not know what it is for.

use std::cell::RefCell;

use domain::time::Timestamp;

/// Draws random bytes.
pub trait Random: Send + Sync {
    /// Fills the buffer with bytes that nobody can guess.
    fn fill(&self, buffer: &mut [u8]);
}

/// The machine's source of randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, buffer: &mut [u8]) {
        if buffer.len() > SHORT {
            return draw(buffer);
        }
        SUPPLY.with_borrow_mut(|supply| supply.give(buffer));
    }
}

/// As many bytes as ids need; secrets are longer.
const SHORT: usize = 8;

thread_local! {
    static SUPPLY: RefCell<Supply> = const { RefCell::new(Supply { bytes: [0; 512], given: 512 }) };
}

/// Bytes for ids, drawn ahead: a call of the kernel for each would cost each alert a thirtieth of all
/// its time in the gateway.
struct Supply {
    bytes: [u8; 512],
    /// So many of them are used up.
    given: usize,
}

impl Supply {
    fn give(&mut self, buffer: &mut [u8]) {
        if self.given + buffer.len() > self.bytes.len() {
            draw(&mut self.bytes);
            self.given = 0;
        }
        let end = self.given + buffer.len();
        buffer.copy_from_slice(&self.bytes[self.given..end]);
        self.given = end;
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that draws randomness")]
fn draw(buffer: &mut [u8]) {
    getrandom::fill(buffer).expect("the kernel's random source does not fail once it is up");
}

/// The bytes of a `UUIDv7` (RFC 9562): 48 bits of milliseconds, 12 bits of the microseconds in
/// them so that ids made one after the other are in order, 62 random bits.
#[must_use]
pub fn id_bytes(now: Timestamp, random: &dyn Random) -> [u8; 16] {
    let mut bytes = [0; 16];
    random.fill(&mut bytes[8..]);
    let micros = u64::try_from(now.as_micros()).unwrap_or(0);
    bytes[..8].copy_from_slice(&((micros / 1_000) << 16).to_be_bytes());
    let fraction = u16::try_from(micros % 1_000 * 4_096 / 1_000).unwrap_or(0);
    bytes[6..8].copy_from_slice(&(0x7000 | fraction).to_be_bytes());
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use domain::id::AlertId;

    use super::*;

    #[test]
    fn later_ids_sort_after_earlier_ones() {
        let at =
            |micros| AlertId::from_bytes(id_bytes(Timestamp::from_micros(micros), &SystemRandom));
        assert!(at(1_700_000_000_000_000) < at(1_700_000_000_000_500));
        assert!(at(1_700_000_000_000_999) < at(1_700_000_000_001_000));
        assert_eq!(at(1_700_000_000_000_000).as_bytes()[6] >> 4, 7);
    }

    #[test]
    fn nothing_of_the_supply_is_given_twice() {
        let mut supply = Supply { bytes: std::array::from_fn(|n| n as u8), given: 0 };
        let mut five = [0; 5];
        for n in 0..102 {
            supply.give(&mut five);
            assert_eq!(five, std::array::from_fn(|at| (n * 5 + at) as u8));
        }
        // Two are left, which is too few.
        supply.give(&mut five);
        assert_eq!(supply.given, 5);
        let mut ids = HashSet::new();
        for _ in 0..10_000 {
            let mut buffer = [0; SHORT];
            SystemRandom.fill(&mut buffer);
            assert!(ids.insert(buffer), "two ids are the same");
        }
    }
}
