//! What is in a file, what of it is durable, and what could have got to the disk since.
//!
//! A disk writes sectors whole and in any order: after a loss of power each sector is as it was after
//! some of the writes to it, the later ones missing. Pure. Must not know names.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use super::Fate;
use crate::dice::Dice;

/// What disks write whole: old ones, and new ones or the page of a cache.
const SECTORS: [usize; 2] = [512, 4096];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Resize(usize),
}

/// A file without its name.
#[derive(Clone, Debug, Default)]
pub struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    changes: VecDeque<Change>,
    synced: u64,
}

impl Content {
    /// How long it is for those who read it now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// What is there now, at most so much.
    #[must_use]
    pub fn read(&self, at: usize, most: usize) -> &[u8] {
        let end = at.saturating_add(most).min(self.live.len());
        &self.live[at.min(end)..end]
    }

    /// Writes, and makes it longer where it must be.
    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        put(&mut self.live, at, bytes);
        self.changes.push_back(Change::Write { at, bytes: bytes.to_vec() });
    }

    /// Cuts it, or makes it longer with zeros.
    pub fn resize(&mut self, length: usize) {
        self.live.resize(length, 0);
        self.changes.push_back(Change::Resize(length));
    }

    /// How many changes there were: what a sync that begins now makes durable.
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.synced + self.changes.len() as u64
    }

    /// How many changes are not durable.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.changes.len()
    }

    /// Makes the changes before this mark durable.
    pub fn sync(&mut self, mark: u64) {
        while self.synced < mark
            && let Some(change) = self.changes.pop_front()
        {
            self.synced += 1;
            match change {
                Change::Write { at, bytes } => put(&mut self.durable, at, &bytes),
                Change::Resize(length) => self.durable.resize(length, 0),
            }
        }
    }

    /// Power is lost: from here on it holds what survived.
    pub fn lose(&mut self, fate: Fate, dice: &mut Dice) {
        let survived = match fate {
            Fate::Lost => self.durable.clone(),
            Fate::Drawn => self.drawn(dice),
        };
        self.live.clone_from(&survived);
        self.durable = survived;
        self.synced = self.mark();
        self.changes.clear();
    }

    /// Something that a disk may hold that was to become durable.
    fn drawn(&self, dice: &mut Dice) -> Vec<u8> {
        let sector = SECTORS[dice.below(SECTORS.len())];
        let known = dice.below(self.changes.len() + 1);
        // What was written after a new length is in places that nobody finds before it is known.
        let resized = |change: &Change| matches!(change, Change::Resize(_));
        let unknown = self.changes.iter().skip(known).position(resized);
        let end = unknown.map_or(self.changes.len(), |after| known + after);
        let mut written: BTreeMap<usize, usize> = BTreeMap::new();
        let mut image = self.durable.clone();
        for (n, change) in self.changes.iter().take(end).enumerate() {
            match change {
                Change::Resize(length) => image.resize(*length, 0),
                Change::Write { at, bytes } => {
                    for (at, piece) in pieces(*at, bytes, sector) {
                        let before =
                            written.entry(at / sector).or_insert_with(|| dice.below(end + 1));
                        if n < *before {
                            put(&mut image, at, piece);
                        }
                    }
                }
            }
        }
        image
    }
}

fn put(image: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if image.len() < end {
        image.resize(end, 0);
    }
    image[at..end].copy_from_slice(bytes);
}

/// The parts of a write that are in one sector each.
fn pieces(at: usize, bytes: &[u8], sector: usize) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = at;
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (piece, left) = rest.split_at((sector - at % sector).min(rest.len()));
        let begin = at;
        at += piece.len();
        rest = left;
        (!piece.is_empty()).then_some((begin, piece))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survivors(content: &Content) -> Vec<Vec<u8>> {
        let of_seed = |seed| {
            let mut lost = content.clone();
            lost.lose(Fate::Drawn, &mut Dice::new(seed));
            lost.live
        };
        let mut all: Vec<_> = (0..200).map(of_seed).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    #[test]
    fn what_is_not_synced_is_lost_and_what_is_stays() {
        let mut content = Content::default();
        content.write(0, b"durable");
        content.sync(content.mark());
        content.write(0, b"DURABLE and more");
        content.resize(3);
        assert_eq!(content.read(0, 10), b"DUR");
        content.lose(Fate::Lost, &mut Dice::new(1));
        assert_eq!(content.read(0, 100), b"durable");
    }

    #[test]
    fn a_sync_covers_what_was_written_before_it_began() {
        let mut content = Content::default();
        content.write(0, b"before");
        let mark = content.mark();
        content.write(6, b" after");
        content.sync(mark);
        content.lose(Fate::Lost, &mut Dice::new(1));
        assert_eq!(content.read(0, 100), b"before");
    }

    #[test]
    fn writes_to_one_sector_survive_in_their_order() {
        let mut content = Content::default();
        content.write(0, b"a");
        content.write(1, b"b");
        let all = survivors(&content);
        assert_eq!(all, [b"".to_vec(), b"a".to_vec(), b"ab".to_vec()]);
    }

    #[test]
    fn a_long_write_may_be_torn_between_sectors_only() {
        let mut content = Content::default();
        content.write(0, &[0; 8192]);
        content.sync(content.mark());
        content.write(100, &[1; 1000]);
        let all = survivors(&content);
        for image in &all {
            for sector in [100..512, 512..1024, 1024..1100].map(|range| &image[range]) {
                assert!(sector.iter().all(|byte| *byte == sector[0]));
            }
        }
        // Each of three, or the page.
        assert_eq!(all.len(), 8);
    }

    #[test]
    fn what_is_written_after_a_cut_is_not_found_without_it() {
        let mut content = Content::default();
        content.write(0, b"old");
        content.sync(content.mark());
        content.resize(0);
        content.write(0, b"new");
        let all = survivors(&content);
        assert_eq!(all, [b"".to_vec(), b"new".to_vec(), b"old".to_vec()]);
    }
}
