//! One copy, and two copies, with what people do to records.

use domain::aggregate::Actor;
use domain::commit::Change;
use domain::id::TeamId;
use domain::name::DisplayName;
use domain::team::Event;
use domain::time::Timestamp;
use wire::stored::control::encode_commit;

use super::*;

/// A chain of so many commits.
pub fn chain(length: u8) -> Vec<Bytes> {
    let mut head = Head::default();
    let records = (1..=length).map(|n| {
        let record = encode_commit(&commit(head, n, "a"));
        head = head.after(&record);
        record
    });
    records.collect()
}

fn commit(head: Head, n: u8, name: &str) -> Commit {
    let name = DisplayName::parse(&format!("{name} {n}")).unwrap();
    Commit {
        sequence: head.sequence + 1,
        previous_hash: head.hash,
        at: Timestamp::from_micros(i64::from(n) * 1_000_000),
        actor: Actor::System,
        request: None,
        changes: vec![Change::Team(TeamId::from_bytes([n; 16]), Event::Created { name })],
    }
}

fn links(records: &[Bytes]) -> Vec<Option<Link>> {
    let present = |record: &Bytes| (!record.is_empty()).then(|| Link::new(record.clone()));
    records.iter().map(present).collect()
}

fn window(place: Place, links: &[Option<Link>], at: usize) -> Window<'_> {
    let links = [0, 1, 2].map(|n| links.get(at + n).and_then(Option::as_ref));
    Window { place, links }
}

fn walk(journal: &[Bytes], stream: Option<&[Bytes]>) -> Result<Head, Difference> {
    let ours = links(journal);
    let theirs = stream.map(links);
    let length = journal.len().max(stream.map_or(0, <[Bytes]>::len));
    let mut head = Head::default();
    for at in 0..length {
        let one = window(Place::Journal, &ours, at);
        match &theirs {
            None => check_one(head, one)?,
            Some(theirs) => check_two(head, [one, window(Place::Stream, theirs, at)])?,
        };
        head = head.after(&one.links[0].unwrap().record);
    }
    Ok(head)
}

/// The record after one byte was changed, so that it can still be read.
fn renamed(record: &Bytes) -> Bytes {
    let text = record.windows(2).position(|two| two == b"a ").unwrap();
    let mut bytes = record.to_vec();
    bytes[text] = b'b';
    bytes.into()
}

fn blamed(found: Result<Head, Difference>) -> (u64, Place) {
    let found = found.unwrap_err();
    (found.sequence, found.place)
}

#[test]
fn a_whole_chain_is_whole() {
    let records = chain(9);
    assert_eq!(walk(&records, None).unwrap().sequence, 9);
    assert_eq!(walk(&records, Some(&records)).unwrap().sequence, 9);
}

#[test]
fn a_changed_record_is_named_in_one_copy() {
    for n in 1..=8u64 {
        let mut records = chain(9);
        let at = usize::try_from(n - 1).unwrap();
        records[at] = renamed(&records[at]);
        let found = walk(&records, None).unwrap_err();
        assert_eq!(found.sequence, n);
        assert_eq!(found.expected, Some(journal::hash(&chain(9)[at])));
        assert_eq!(found.found, Some(journal::hash(&records[at])));
        assert!(found.says.contains(&format!("display_name=b {n}")), "{}", found.says);
    }
}

#[test]
fn with_two_copies_the_changed_one_is_named_also_at_the_end() {
    let good = chain(9);
    for n in 1..=9u64 {
        let mut bad = good.clone();
        let at = usize::try_from(n - 1).unwrap();
        bad[at] = renamed(&bad[at]);
        let last = n == 9;
        let either = |place| if last { Place::Either } else { place };
        assert_eq!(blamed(walk(&bad, Some(&good))), (n, either(Place::Journal)));
        assert_eq!(blamed(walk(&good, Some(&bad))), (n, either(Place::Stream)));
        if !last {
            assert_eq!(blamed(walk(&bad, Some(&bad))), (n, Place::Both));
        }
    }
}

#[test]
fn what_is_missing_or_elsewhere_is_named() {
    let good = chain(9);
    for at in 0..9 {
        let n = at as u64 + 1;
        let mut bad = good.clone();
        bad[at] = Bytes::new();
        assert_eq!(blamed(walk(&bad, Some(&good))), (n, Place::Journal));
        assert_eq!(blamed(walk(&good, Some(&bad))), (n, Place::Stream));
        assert_eq!(blamed(walk(&good, Some(&good[..at]))), (n, Place::Stream));
        assert_eq!(blamed(walk(&bad, None)).0, n);
        if at < 8 {
            let mut bad = good.clone();
            bad.swap(at, at + 1);
            assert_eq!(blamed(walk(&bad, Some(&good))), (n, Place::Journal));
            assert_eq!(blamed(walk(&bad, None)).0, n);
        }
    }
}

#[test]
fn a_history_that_was_written_anew_shows_as_two_that_differ() {
    let good = chain(9);
    let mut other = good[..4].to_vec();
    let mut head = good[..4].iter().fold(Head::default(), |head, record| head.after(record));
    for n in 5..=9 {
        let record = encode_commit(&commit(head, n, "other"));
        head = head.after(&record);
        other.push(record);
    }
    assert_eq!(blamed(walk(&good, Some(&other))), (5, Place::Either));
    assert_eq!(walk(&other, None).unwrap().sequence, 9, "alone, only a noted head tells");
    let noted = Expected::from(walk(&good, None).unwrap());
    assert!(noted.check(Place::Journal, walk(&other, None).unwrap(), "").is_err());
    assert!(noted.check_end(Place::Journal, walk(&good[..7], None).unwrap()).is_err());
}
