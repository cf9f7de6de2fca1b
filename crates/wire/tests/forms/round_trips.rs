//! Whatever is stored is read back the same. Must not know which bytes it is stored as.

use bytes::Bytes;
use domain::commit::Commit;
use domain::directory::Snapshot;
use proptest::collection::vec;
use proptest::prelude::*;
use wire::proto::gander::stored::v1 as stored;
use wire::stored::alert::{decode_batch, encode_batch, record_from, record_to};
use wire::stored::control::{
    decode_commit, decode_message, encode_commit, encode_message, previous_hash, reach_from,
    reach_to,
};
use wire::stored::filter::{filters_from, filters_to};
use wire::stored::member::Member;
use wire::stored::worker::{
    Checkpoint, MAX_PARKED_RAW, Parked, decode_outcomes, decode_state, encode_outcomes,
    encode_state,
};

use crate::generate::{control, instances, numbers, reaches, work};

/// That the bytes are read as the value.
fn check<T: PartialEq + std::fmt::Debug, E: std::fmt::Debug>(
    read: Result<T, E>,
    value: &T,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(&read.unwrap(), value);
    Ok(())
}

/// The bytes of a message of GANDER_CONTROL.
pub fn message((commit, snapshot): &(Commit, Snapshot)) -> Bytes {
    encode_message(encode_commit(commit), snapshot)
}

proptest! {
    #[test]
    fn a_commit_comes_back_the_same(commit in control::commits()) {
        let record = encode_commit(&commit);
        check(decode_commit(&record), &commit)?;
        prop_assert_eq!(previous_hash(&record), Some(commit.previous_hash));
        prop_assert_eq!(encode_commit(&commit), record);
    }

    #[test]
    fn a_control_message_comes_back_with_the_record_and_what_it_left(
        both in control::messages(),
    ) {
        let record = encode_commit(&both.0);
        check(decode_message(&message(&both)), &(record, both.1))?;
    }

    #[test]
    fn filters_and_reaches_come_back_the_same(
        filters in control::filters(),
        reach in reaches(),
    ) {
        check(filters_from(filters_to(&filters)), &*filters)?;
        check(reach_from(Some(reach_to(reach))), &reach)?;
    }

    #[test]
    fn a_batch_comes_back_with_its_records_in_order(
        sequence in numbers(),
        instance in instances(),
        records in vec(work::records(), 0..5),
    ) {
        let written = records.iter().cloned().map(record_to).collect();
        let batch = decode_batch(&encode_batch(sequence, instance, written)).unwrap();
        prop_assert_eq!((batch.control_sequence, batch.instance), (sequence, instance));
        let read: Result<Vec<_>, _> = batch.records.into_iter().map(record_from).collect();
        check(read, &records)?;
    }

    #[test]
    fn a_checkpoint_comes_back_the_same(checkpoint in work::checkpoints()) {
        check(Checkpoint::decode(&checkpoint.encode()), &checkpoint)?;
    }

    #[test]
    fn an_incident_comes_back_the_same_from_its_state(incident in work::incident()) {
        let read = decode_state(&encode_state(&incident));
        prop_assert_eq!(read.as_ref().unwrap().state_key(), incident.state_key());
        check(read, &incident)?;
    }

    #[test]
    fn outcomes_come_back_in_order(outcomes in work::outcomes()) {
        check(decode_outcomes(&encode_outcomes(&outcomes)), &outcomes)?;
    }

    #[test]
    fn a_member_comes_back_the_same(member in work::members()) {
        check(Member::decode(&member.encode()), &member)?;
    }

    #[test]
    fn what_is_parked_comes_back_the_same(parked in work::parked()) {
        check_parked(parked)?;
    }
}

/// Comes back the same, but for what is cut.
fn check_parked(parked: Parked) -> Result<(), TestCaseError> {
    let raw = parked.raw.slice(..parked.raw.len().min(MAX_PARKED_RAW));
    check(Parked::decode(&parked.clone().encode()), &Parked { raw, ..parked })
}

#[test]
fn what_is_parked_is_read_unless_it_may_have_been_cut() {
    let record = stored::AlertRecord { partition: Some(3), ..Default::default() };
    let raw = encode_batch(1, domain::id::InstanceId::from_bytes([2; 16]), vec![record; 3]);
    let (reason, service, content) = ("of a newer version".to_owned(), None, None);
    let parked = Parked { sequence: 9, record: None, reason, service, content, raw };
    assert_eq!(
        parked.records().unwrap_err().to_string(),
        "stored field record.kind is missing or broken"
    );
    let long = Bytes::from(vec![0; MAX_PARKED_RAW]);
    let cut = Parked { raw: long, ..parked };
    assert_eq!(
        cut.records().unwrap_err().to_string(),
        "stored field parked.raw is missing or broken"
    );
}

#[test]
fn what_is_parked_is_cut_where_it_is_too_long() {
    for length in [MAX_PARKED_RAW - 1, MAX_PARKED_RAW, MAX_PARKED_RAW + 1, 2 * MAX_PARKED_RAW] {
        let raw = Bytes::from(vec![7; length]);
        let (reason, service, content) = ("not protobuf".to_owned(), None, None);
        let parked = Parked { sequence: 9, record: None, reason, service, content, raw };
        check_parked(parked.clone()).unwrap();
        assert!(parked.encode().len() < MAX_PARKED_RAW + 1_000);
    }
}
