//! Who should own which partition: rendezvous hashing over the living workers.
//!
//! Liveness only: two workers may disagree for a while, and the fence decides.

use domain::id::InstanceId;
use wire::Partition;
use wire::partition::Partitions;

/// The partitions that this worker should own, given who lives. It always lives itself.
pub fn wanted(
    me: InstanceId,
    living: impl Iterator<Item = InstanceId>,
    partitions: Partitions,
) -> Vec<Partition> {
    let mut members: Vec<_> = living.filter(|id| *id != me).collect();
    members.push(me);
    partitions.all().filter(|partition| owner(*partition, &members) == Some(me)).collect()
}

fn owner(partition: Partition, members: &[InstanceId]) -> Option<InstanceId> {
    members.iter().copied().max_by_key(|id| weight(partition, *id))
}

fn weight(partition: Partition, id: InstanceId) -> ([u8; 32], InstanceId) {
    let text = [&partition.0.to_be_bytes()[..], id.as_bytes()].concat();
    (blake3::derive_key("gander 2026-11 owner of a partition v1", &text), id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_one_owner_and_only_the_share_of_the_gone_moves() {
        let partitions = Partitions::new(16).expect("in range");
        let members: Vec<_> = (1..=4u8).map(|n| InstanceId::from_bytes([n; 16])).collect();
        let share = |me, of: &[InstanceId]| wanted(me, of.iter().copied(), partitions);
        let all: usize = members.iter().map(|me| share(*me, &members).len()).sum();
        assert_eq!(all, 16);
        for me in &members[..3] {
            let (before, after) = (share(*me, &members), share(*me, &members[..3]));
            assert!(before.iter().all(|partition| after.contains(partition)));
        }
    }
}
