//! What every journal does, whatever keeps it: one suite, with `Reboot` among the operations.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::{Error, Head, Journal, MemoryJournal, SledJournal, hash, verify};

#[derive(Clone, Debug)]
enum Operation {
    Append(Vec<Vec<u8>>),
    AppendStale(u64),
    Reboot,
    ReadAfter(u64),
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let record = prop::collection::vec(any::<u8>(), 0..200);
    let operation = prop_oneof![
        3 => prop::collection::vec(record, 1..6).prop_map(Operation::Append),
        1 => (1..9u64).prop_map(Operation::AppendStale),
        1 => Just(Operation::Reboot),
        2 => (0..20u64).prop_map(Operation::ReadAfter),
    ];
    prop::collection::vec(operation, 0..20)
}

/// Each record carries the hash of the one before, as commits do.
fn chained(head: Head, bodies: &[Vec<u8>]) -> Vec<Bytes> {
    let mut previous = head.hash;
    let chain = bodies.iter().map(|body| {
        let record = Bytes::from([&previous[..], body].concat());
        previous = hash(&record);
        record
    });
    chain.collect()
}

fn previous(record: &[u8]) -> Option<[u8; 32]> {
    record.get(..32)?.try_into().ok()
}

fn check<J: Journal>(open: impl Fn(Option<J>) -> J, operations: Vec<Operation>) {
    let mut journal = open(None);
    let mut model: Vec<Bytes> = Vec::new();
    for operation in operations {
        match operation {
            Operation::Append(bodies) => {
                let records = chained(journal.head(), &bodies);
                journal.append(model.len() as u64, &records).unwrap();
                model.extend(records);
            }
            Operation::AppendStale(off) => {
                let stale = journal.append(model.len() as u64 + off, &[Bytes::from("x")]);
                assert!(matches!(stale, Err(Error::Conflict { .. })));
            }
            Operation::Reboot => journal = open(Some(journal)),
            Operation::ReadAfter(after) => {
                let expected: Vec<_> = model.iter().skip(after as usize).take(3).cloned().collect();
                assert_eq!(journal.read(after, 3).unwrap(), expected);
                let numbered: Vec<_> = (after + 1..).zip(expected).collect();
                assert_eq!(journal.records().scan(after, 3).unwrap(), numbered);
            }
        }
        assert_eq!(journal.head().sequence, model.len() as u64);
    }
    assert_eq!(verify(&journal, previous).unwrap(), journal.head());
    assert_eq!(journal.read(0, usize::MAX).unwrap(), model);
}

/// Opens it again. Threads of sled that still clean up hold its lock for a moment after it was
/// closed; nothing tells when they are done. A process that ends takes them along.
fn reopened(open: Option<SledJournal>, path: &Path) -> SledJournal {
    drop(open);
    for _ in 0..10_000 {
        match SledJournal::open(path) {
            Err(Error::InUse(_)) => std::thread::sleep(Duration::from_millis(1)),
            opened => return opened.unwrap(),
        }
    }
    panic!("the journal is in use for 10 s after it was closed");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn memory_keeps_what_it_is_given(operations in operations()) {
        check(|open: Option<MemoryJournal>| open.unwrap_or_default(), operations);
    }

    #[test]
    fn sled_keeps_what_it_is_given(operations in operations()) {
        let folder = tempfile::tempdir().unwrap();
        check(|open| reopened(open, &folder.path().join("journal")), operations);
    }
}

#[test]
fn a_broken_chain_is_noticed() {
    let mut journal = MemoryJournal::default();
    let mut records = chained(Head::default(), &[vec![1], vec![2], vec![3]]);
    records[1] = Bytes::from([&records[1][..32], b"other"].concat());
    journal.append(0, &records).unwrap();
    assert!(matches!(verify(&journal, previous), Err(Error::Corrupt { sequence: 3, .. })));
}
