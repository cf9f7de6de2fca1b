//! A queue that is fair between those who put something in: each has a line of its own, lines take
//! turns by bytes, and one line may be as long as what is still free.
//!
//! So one that floods is refused while the others find room, and one that is alone has half of the
//! room. Must not know what waits, nor time.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// So many bytes a line may send in one turn; what it does not use it keeps while it waits.
const TURN: usize = 16 * 1024;

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Items.
    pub records: usize,
    /// Their bytes.
    pub bytes: usize,
}

/// The queue.
#[derive(Debug)]
pub struct Fair<K, T> {
    lines: HashMap<K, Line<T>>,
    turns: VecDeque<K>,
    records: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Line<T> {
    waiting: VecDeque<(usize, T)>,
    bytes: usize,
    credit: usize,
}

impl<K, T> Default for Fair<K, T> {
    fn default() -> Self {
        Self { lines: HashMap::new(), turns: VecDeque::new(), records: 0, bytes: 0 }
    }
}

impl<K: Copy + Eq + Hash, T> Fair<K, T> {
    /// How many items wait.
    pub const fn len(&self) -> usize {
        self.records
    }

    /// Whether one more of this line finds room.
    pub fn has_room(&self, key: K, room: Room) -> bool {
        let own = self.lines.get(&key).map_or((0, 0), |line| (line.waiting.len(), line.bytes));
        own.0 + self.records < room.records && own.1 + self.bytes < room.bytes
    }

    /// Puts one at the end of its line.
    pub fn push(&mut self, key: K, bytes: usize, item: T) {
        let line = self.lines.entry(key).or_insert_with(|| {
            self.turns.push_back(key);
            Line { waiting: VecDeque::new(), bytes: 0, credit: 0 }
        });
        line.waiting.push_back((bytes, item));
        line.bytes += bytes;
        self.bytes += bytes;
        self.records += 1;
    }

    /// Takes the next one, with its bytes.
    pub fn pop(&mut self) -> Option<(usize, T)> {
        loop {
            let key = *self.turns.front()?;
            let line = self.lines.get_mut(&key)?;
            let next = line.waiting.pop_front_if(|(bytes, _)| *bytes <= line.credit);
            let Some((bytes, item)) = next else {
                line.credit += TURN;
                self.turns.rotate_left(1);
                continue;
            };
            line.credit -= bytes;
            line.bytes -= bytes;
            self.bytes -= bytes;
            self.records -= 1;
            if line.waiting.is_empty() {
                self.lines.remove(&key);
                self.turns.pop_front();
            }
            return Some((bytes, item));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROOM: Room = Room { records: 100, bytes: 1_000_000 };

    fn offer(queue: &mut Fair<u8, u32>, key: u8, bytes: usize, item: u32) -> bool {
        let fits = queue.has_room(key, ROOM);
        if fits {
            queue.push(key, bytes, item);
        }
        fits
    }

    #[test]
    fn one_that_floods_leaves_half_of_the_room_to_others() {
        let mut queue = Fair::default();
        let flood = (0..1_000).filter(|n| offer(&mut queue, 0, 10, *n)).count();
        assert_eq!(flood, 50);
        let other = (0..1_000).filter(|n| offer(&mut queue, 1, 10, *n)).count();
        assert_eq!(other, 25);
        assert!(offer(&mut queue, 2, 10, 0), "there is always something left");
    }

    #[test]
    fn bytes_are_shared_as_places_are() {
        let mut queue = Fair::default();
        let flood = (0..1_000).filter(|n| offer(&mut queue, 0, 100_000, *n)).count();
        assert_eq!(flood, 5);
        assert!(offer(&mut queue, 1, 10, 0));
    }

    #[test]
    fn lines_take_turns_by_bytes() {
        let mut queue = Fair::default();
        for n in 0..40 {
            queue.push(0, 4 * TURN, n);
        }
        for n in 0..40 {
            queue.push(1, TURN, n);
        }
        let mut sent = [0; 2];
        for _ in 0..40 {
            let (bytes, _) = queue.pop().unwrap();
            sent[usize::from(bytes == TURN)] += bytes;
        }
        assert!(sent[0].abs_diff(sent[1]) <= 8 * TURN, "{sent:?}");
    }

    proptest! {
        #[test]
        fn each_line_keeps_its_order_and_nothing_is_lost(
            items in proptest::collection::vec((0..4_u8, 0..200_000_usize), 0..100)
        ) {
            let mut queue = Fair::default();
            for (n, (key, bytes)) in items.iter().enumerate() {
                queue.push(*key, *bytes, (*key, n));
            }
            let mut last = [None; 4];
            let mut taken = 0;
            while let Some((_, (key, n))) = queue.pop() {
                prop_assert!(last[usize::from(key)] < Some(n));
                last[usize::from(key)] = Some(n);
                taken += 1;
            }
            prop_assert_eq!(taken, items.len());
            prop_assert_eq!((queue.len(), queue.bytes, queue.lines.len()), (0, 0, 0));
        }
    }
}
