//! What an alert needs of a token, by the digest of its secret: for each token one line of the
//! processor's cache, since among a million of them it is memory that a look-up waits for.
//!
//! Must not know whether what a token reaches lives.

use std::collections::HashMap;

use crate::id::TokenId;
use crate::reach::Reach;
use crate::secret::{ByDigest, Digest};
use crate::time::Timestamp;
use crate::token::Admission;

/// Tokens by the digests of their secrets: a table in which a token lies where its digest says, or in
/// the next places after that if others were there before (open addressing with linear probing). Nobody
/// can choose digests, so nobody can make many of them meet.
#[derive(Clone, Debug, Default)]
pub struct Admissions {
    /// None, or a power of two of them; at least a quarter is free.
    rows: Vec<Row>,
    /// How many are not free.
    used: usize,
    /// What tokens reach: few different things, and each for good.
    reaches: Vec<Reach>,
    places: HashMap<Reach, u32>,
    /// Until when the calls of those that are tracked are kept: few.
    tracked: ByDigest<Timestamp>,
}

/// A token. As wide as a line of the cache, and in one.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Row {
    /// Zeros where the row is free.
    digest: Digest,
    id: TokenId,
    /// When it expires; the end of time for never.
    expires_at: i64,
    /// Where in `reaches` it is what it reaches.
    reach: u32,
    url_parameter_allowed: bool,
    unavailable_over_limit: bool,
    tracked: bool,
}

const _: () = assert!(size_of::<Row>() == 64);

impl Row {
    const FREE: Self = Self {
        digest: Digest::from_bytes([0; 32]),
        id: TokenId::from_bytes([0; 16]),
        expires_at: 0,
        reach: 0,
        url_parameter_allowed: false,
        unavailable_over_limit: false,
        tracked: false,
    };

    fn is_free(&self) -> bool {
        self.digest == Self::FREE.digest
    }
}

impl Admissions {
    /// What the token with the secret of this digest is let in with.
    pub fn get(&self, digest: &Digest) -> Option<Admission> {
        let row = self.rows.get(self.place(digest)?).filter(|row| !row.is_free())?;
        Some(Admission {
            id: row.id,
            reach: self.reaches[row.reach as usize],
            expires_at: (row.expires_at < i64::MAX).then(|| Timestamp::from_micros(row.expires_at)),
            url_parameter_allowed: row.url_parameter_allowed,
            unavailable_over_limit: row.unavailable_over_limit,
            tracked_until: row.tracked.then(|| self.tracked.get(digest).copied()).flatten(),
        })
    }

    /// Lets it in with the secret of this digest from now on.
    pub fn insert(&mut self, digest: Digest, admission: &Admission) {
        if (self.used + 1) * 4 > self.rows.len() * 3 {
            self.grow();
        }
        let next = u32::try_from(self.reaches.len()).expect("there are fewer than four billion");
        let reach = *self.places.entry(admission.reach).or_insert(next);
        if reach == next {
            self.reaches.push(admission.reach);
        }
        let place = self.place(&digest).expect("there are rows now");
        let row = &mut self.rows[place];
        if row.is_free() {
            self.used += 1;
        }
        if row.tracked {
            self.tracked.remove(&digest);
        }
        self.tracked.extend(admission.tracked_until.map(|until| (digest, until)));
        *row = Row {
            digest,
            id: admission.id,
            expires_at: admission.expires_at.map_or(i64::MAX, Timestamp::as_micros),
            reach,
            url_parameter_allowed: admission.url_parameter_allowed,
            unavailable_over_limit: admission.unavailable_over_limit,
            tracked: admission.tracked_until.is_some(),
        };
    }

    /// Lets nobody in any more with the secret of this digest.
    pub fn remove(&mut self, digest: &Digest) {
        let Some(mut hole) = self.place(digest).filter(|place| !self.rows[*place].is_free()) else {
            return;
        };
        if self.rows[hole].tracked {
            self.tracked.remove(digest);
        }
        self.used -= 1;
        // Whoever lies behind for want of the place that is free now moves there, so no search ends early.
        let mut place = hole;
        loop {
            place = self.after(place);
            let row = self.rows[place];
            if row.is_free() {
                break;
            }
            let wanted = self.wanted(&row.digest);
            if self.distance(wanted, hole) <= self.distance(wanted, place) {
                self.rows[hole] = row;
                hole = place;
            }
        }
        self.rows[hole] = Row::FREE;
    }

    /// Where it is or, if it is not there, would be; none where there is no place at all.
    fn place(&self, digest: &Digest) -> Option<usize> {
        if self.rows.is_empty() {
            return None;
        }
        let mut place = self.wanted(digest);
        while !self.rows[place].is_free() && self.rows[place].digest != *digest {
            place = self.after(place);
        }
        Some(place)
    }

    fn grow(&mut self) {
        let rows = vec![Row::FREE; (self.rows.len() * 2).max(8)];
        for row in std::mem::replace(&mut self.rows, rows) {
            if !row.is_free() {
                let place = self.place(&row.digest).expect("there are rows now");
                self.rows[place] = row;
            }
        }
    }

    const fn after(&self, place: usize) -> usize {
        (place + 1) & (self.rows.len() - 1)
    }

    /// How many places further on the second is.
    const fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.rows.len() - 1)
    }

    /// The place that the digest says.
    fn wanted(&self, digest: &Digest) -> usize {
        digest.number() & (self.rows.len() - 1)
    }
}

/// The same answers, whatever the order in which they came to be.
impl PartialEq for Admissions {
    fn eq(&self, other: &Self) -> bool {
        let same = |row: &Row| self.get(&row.digest) == other.get(&row.digest);
        self.used == other.used && self.rows.iter().filter(|row| !row.is_free()).all(same)
    }
}

impl Eq for Admissions {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Of few numbers around the end of a table, so that they meet there and go on at its begin.
    fn digest(n: u8) -> Digest {
        let mut bytes = [1; 32];
        bytes[0] = 254u8.wrapping_add(n % 4);
        bytes[31] = n;
        Digest::from_bytes(bytes)
    }

    fn admissions() -> impl Strategy<Value = Admission> {
        let times = || proptest::option::of((-3..3i64).prop_map(Timestamp::from_micros));
        (0..9u8, times(), times(), any::<(bool, bool)>()).prop_map(|(n, ends, until, flags)| {
            Admission {
                id: TokenId::from_bytes([n; 16]),
                reach: Reach::Team(crate::id::TeamId::from_bytes([n % 3; 16])),
                expires_at: ends,
                url_parameter_allowed: flags.0,
                unavailable_over_limit: flags.1,
                tracked_until: until,
            }
        })
    }

    proptest! {
        #[test]
        fn it_says_what_a_plain_map_says(
            steps in proptest::collection::vec((0..40u8, proptest::option::of(admissions())), 0..200)
        ) {
            let (mut table, mut map) = (Admissions::default(), BTreeMap::new());
            for (n, wish) in steps {
                if let Some(admission) = wish {
                    table.insert(digest(n), &admission);
                    map.insert(n, admission);
                } else {
                    table.remove(&digest(n));
                    map.remove(&n);
                }
                prop_assert_eq!(table.used, map.len());
                prop_assert!(table.rows.len() * 3 >= table.used * 4);
                for n in 0..40 {
                    prop_assert_eq!(table.get(&digest(n)), map.get(&n).copied());
                }
            }
            let mut again = Admissions::default();
            map.iter().rev().for_each(|(n, admission)| again.insert(digest(*n), admission));
            prop_assert_eq!(&again, &table);
            if let Some((n, _)) = map.first_key_value() {
                again.remove(&digest(*n));
                prop_assert_ne!(again, table);
            }
        }
    }
}
