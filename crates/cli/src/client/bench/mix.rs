//! How many alerts trigger, repeat and resolve, and in which order they take turns.
//!
//! Must not know which incidents there are.

use std::fmt;
use std::str::FromStr;

/// The largest number in a mix.
const MAX: u32 = 1_000;
/// What `--mix` must be.
const FORM: &str =
    "must be TRIGGER:REPEAT:RESOLVE, each 0 to 1000, the first at least 1, such as 1:8:1";

/// What an alert is meant to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Open an incident.
    Trigger,
    /// Name one that is open.
    Repeat,
    /// Resolve one that is open.
    Resolve,
}

impl Kind {
    /// All of them, in the order of a mix.
    pub const ALL: [Self; 3] = [Self::Trigger, Self::Repeat, Self::Resolve];

    /// What is put in place of `{{status}}`.
    pub const fn status(self) -> &'static str {
        match self {
            Self::Trigger | Self::Repeat => "firing",
            Self::Resolve => "resolved",
        }
    }
}

/// How many of each kind there are among as many alerts as the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix([u32; 3]);

impl FromStr for Mix {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |part: &str| part.parse::<u32>().ok().filter(|number| *number <= MAX);
        let parts: Option<Vec<_>> = text.split(':').map(number).collect();
        match parts.as_deref() {
            Some(&[trigger, repeat, resolve]) if trigger > 0 => {
                Ok(Self([trigger, repeat, resolve]))
            }
            Some(_) | None => Err(FORM),
        }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [trigger, repeat, resolve] = self.0;
        write!(f, "{trigger}:{repeat}:{resolve}")
    }
}

/// Whose turn it is, evenly spread by the mix.
#[derive(Clone, Debug)]
pub struct Turns {
    mix: Mix,
    credit: [i64; 3],
}

impl Turns {
    /// From the begin.
    pub const fn new(mix: Mix) -> Self {
        Self { mix, credit: [0; 3] }
    }

    /// The next kind: the one that is most in arrears.
    pub fn next(&mut self) -> Kind {
        for (credit, weight) in self.credit.iter_mut().zip(self.mix.0) {
            *credit += i64::from(weight);
        }
        // Of equal ones the first.
        let most = (0..3).rev().max_by_key(|kind| self.credit[*kind]).unwrap_or_default();
        self.credit[most] -= self.mix.0.iter().map(|weight| i64::from(*weight)).sum::<i64>();
        Kind::ALL[most]
    }
}

/// So many of a hundred, evenly spread.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    percent: u8,
    credit: u8,
}

impl Share {
    /// Nobody had a turn yet.
    pub const fn new(percent: u8) -> Self {
        Self { percent, credit: 0 }
    }

    /// Whether the next one is among them.
    pub const fn next(&mut self) -> bool {
        self.credit += self.percent;
        let is_in = self.credit >= 100;
        if is_in {
            self.credit -= 100;
        }
        is_in
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_three_numbers_of_which_the_first_is_not_zero() {
        for good in ["1:8:1", "1:0:0", "1000:1000:1000"] {
            assert_eq!(good.parse::<Mix>().map(|mix| mix.to_string()).as_deref(), Ok(good));
        }
        for bad in ["", "1", "1:2", "0:1:1", "1:2:3:4", "1:-1:0", "1001:0:0", "a:b:c", "1:2:"] {
            assert_eq!(bad.parse::<Mix>(), Err(FORM), "{bad}");
        }
    }

    #[test]
    fn turns_are_as_many_as_the_mix_says_and_spread() {
        let mut turns = Turns::new("2:7:1".parse().unwrap());
        let kinds: Vec<_> = (0..100).map(|_| turns.next()).collect();
        for ten in kinds.chunks(10) {
            let count = |kind| ten.iter().filter(|found| **found == kind).count();
            assert_eq!(Kind::ALL.map(count), [2, 7, 1]);
        }
        assert_ne!(kinds[0..2], [Kind::Trigger, Kind::Trigger]);
    }

    #[test]
    fn a_share_is_exact() {
        for percent in [0, 1, 50, 99, 100] {
            let mut share = Share::new(percent);
            let times = (0..200).filter(|_| share.next()).count();
            assert_eq!(times, usize::from(percent) * 2);
        }
    }
}
