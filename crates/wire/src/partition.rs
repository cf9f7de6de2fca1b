//! Partitions: which worker looks after which team.
//!
//! Must not know who owns a partition.

use domain::id::TeamId;

/// The most partitions: a set of them fits 64 bits.
pub const MAX_PARTITIONS: u32 = 64;

/// The number of a partition, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub u32);

/// How many partitions there are: 1 to 64, fixed when the streams are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partitions(u32);

impl Partitions {
    /// This many.
    ///
    /// Gives none for 0 or more than [`MAX_PARTITIONS`].
    #[must_use]
    pub const fn new(count: u32) -> Option<Self> {
        if count == 0 || count > MAX_PARTITIONS { None } else { Some(Self(count)) }
    }

    /// How many.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.0
    }

    /// Where a team lives, for good.
    #[must_use]
    pub fn of(self, team: TeamId) -> Partition {
        let hash = blake3::derive_key("gander 2026-11 partition of a team v1", team.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hash[..8]);
        let partition = u64::from_be_bytes(first) % u64::from(self.0);
        Partition(u32::try_from(partition).expect("less than the number of partitions"))
    }

    /// All of them.
    pub fn all(self) -> impl Iterator<Item = Partition> {
        (0..self.0).map(Partition)
    }
}

/// A set of partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionSet(pub u64);

impl PartitionSet {
    /// All of that many partitions.
    #[must_use]
    pub const fn all(partitions: Partitions) -> Self {
        Self(u64::MAX >> (MAX_PARTITIONS - partitions.0))
    }

    /// One partition; none if its number is out of range.
    #[must_use]
    pub const fn one(partition: Partition) -> Self {
        if partition.0 < MAX_PARTITIONS { Self(1 << partition.0) } else { Self(0) }
    }

    /// Both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of the other are in this one.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn teams_spread_over_all_partitions() {
        let partitions = Partitions::new(16).expect("in range");
        let mut seen = PartitionSet::default();
        for n in 0..=255 {
            seen = seen.union(PartitionSet::one(partitions.of(TeamId::from_bytes([n; 16]))));
        }
        assert_eq!(seen, PartitionSet::all(partitions));
        assert!(!seen.covers(PartitionSet::one(Partition(16))));
        assert_eq!((Partitions::new(0), Partitions::new(65)), (None, None));
        assert_eq!(PartitionSet::all(Partitions::new(64).expect("in range")).0, u64::MAX);
    }
}
