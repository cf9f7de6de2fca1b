//! Every byte of an export counts.

use proptest::prelude::*;

use super::super::chain::tests::chain;
use super::*;

fn export(records: &[bytes::Bytes]) -> Vec<u8> {
    let line = |record: &bytes::Bytes| {
        let told = exported(record, runtime::journal::hash(record)).unwrap();
        format!("{}\n", serde_json::to_string(&told).unwrap())
    };
    records.iter().map(line).collect::<String>().into_bytes()
}

fn check(file: &[u8], expected: Option<Expected>) -> Verdict {
    check_lines(file, &expected.unwrap_or_default(), |_| {}).unwrap()
}

fn number(verdict: Verdict) -> Option<u64> {
    match verdict {
        Verdict::Whole(_) => None,
        Verdict::Differs(found) => Some(found.sequence),
    }
}

fn head(length: u8) -> Head {
    chain(length).iter().fold(Head::default(), |head, record| head.after(record))
}

#[test]
fn a_whole_export_is_whole_also_from_the_middle() {
    assert_eq!(check(&export(&chain(9)), None), Verdict::Whole(head(9)));
    assert_eq!(
        check(&export(&chain(9)[4..]), Some(Expected::from(head(4)))),
        Verdict::Whole(head(9))
    );
    assert_eq!(check(b"", None), Verdict::Whole(Head::default()));
}

#[test]
fn a_noted_record_that_the_file_begins_after_is_not_vouched_for() {
    let middle = export(&chain(9)[4..]);
    for noted in 1..4 {
        let Verdict::Differs(found) = check(&middle, Some(Expected::from(head(noted)))) else {
            panic!("record {noted} is not in the file");
        };
        assert_eq!(found.sequence, u64::from(noted));
        assert_eq!(found.expected, Some(head(noted).hash));
        assert!(found.problem.ends_with("the first record is 5"), "{}", found.problem);
    }
    for noted in 4..=9 {
        assert_eq!(check(&middle, Some(Expected::from(head(noted)))), Verdict::Whole(head(9)));
    }
}

#[test]
fn lines_that_are_missing_or_elsewhere_are_found() {
    for at in 0..8 {
        let mut records = chain(9);
        records.remove(at);
        // A file may begin in the middle, but says then what was before.
        let expected = (at == 0).then_some(Expected::from(Head { sequence: 1, hash: [0; 32] }));
        assert!(number(check(&export(&records), expected)).is_some());
        let mut records = chain(9);
        records.swap(at, at + 1);
        assert!(number(check(&export(&records), None)).is_some());
    }
    let cut = export(&chain(6));
    assert_eq!(check(&cut, None), Verdict::Whole(head(6)), "alone, it cannot be known");
    assert_eq!(number(check(&cut, Some(Expected::from(head(9))))), Some(7));
}

#[test]
fn a_line_made_anew_breaks_the_chain() {
    let mut records = chain(9);
    let text = records[3].windows(2).position(|two| two == b"a ").unwrap();
    let mut bytes = records[3].to_vec();
    bytes[text] = b'b';
    records[3] = bytes.into();
    assert_eq!(number(check(&export(&records), None)), Some(4));
}

#[test]
fn every_change_of_one_byte_is_found() {
    let good = export(&chain(3));
    for at in 0..good.len() {
        for bit in [0, 4, 5] {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            assert!(number(check(&bad, None)).is_some(), "byte {at}, bit {bit}");
        }
    }
}

proptest! {
    #[test]
    fn any_byte_and_any_cut_is_found(at in 0..10_000usize, to: u8) {
        let good = export(&chain(6));
        let mut bad = good.clone();
        let at = at % good.len();
        bad[at] = to;
        prop_assert_eq!(number(check(&bad, None)).is_some(), bad != good);
        let cut = check(&good[..at], Some(Expected::from(head(6))));
        prop_assert!(number(cut).is_some());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        let _ = check_lines(&bytes[..], &Expected::default(), |_| {});
    }
}
