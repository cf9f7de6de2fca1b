//! No bytes do harm: they are refused, or what is read is written and read again the same.
//!
//! Must not know which bytes are good.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use wire::proto::gander::events::v1 as events;
use wire::stored::Error;
use wire::stored::alert::{decode_batch, encode_batch, record_from, record_to};
use wire::stored::control::{
    decode_commit, decode_message, encode_commit, encode_message, previous_hash,
};
use wire::stored::member::Member;
use wire::stored::worker::{
    Checkpoint, decode_outcomes, decode_state, encode_outcomes, encode_state,
};

use crate::examples::examples;
use crate::generate::{control, instances, work};
use crate::round_trips::message;

/// That bytes which are read as a value are read as the same one when they are written again.
fn again<T: PartialEq + std::fmt::Debug>(
    bytes: &Bytes,
    read: impl Fn(&Bytes) -> Result<T, Error>,
    write: impl Fn(&T) -> Bytes,
) -> Result<(), TestCaseError> {
    if let Ok(value) = read(bytes) {
        prop_assert_eq!(read(&write(&value)).unwrap(), value);
    }
    Ok(())
}

/// Reads the bytes with every reader.
fn check(bytes: &Bytes) -> Result<(), TestCaseError> {
    let _ = previous_hash(bytes);
    again(bytes, decode_commit, encode_commit)?;
    again(bytes, decode_message, |(record, left)| encode_message(record.clone(), left))?;
    again(bytes, Checkpoint::decode, Checkpoint::encode)?;
    again(bytes, decode_state, encode_state)?;
    again(bytes, Member::decode, Member::encode)?;
    again(bytes, decode_outcomes, |outcomes| encode_outcomes(outcomes))?;
    if let Ok(batch) = decode_batch(bytes) {
        for record in batch.records {
            if let Ok(read) = record_from(record) {
                prop_assert_eq!(record_from(record_to(read.clone())).unwrap(), read);
            }
        }
    }
    if let Ok(event) = serde_json::from_slice::<events::IncidentEvent>(bytes) {
        let _ = serde_json::to_vec(&event);
    }
    Ok(())
}

/// The bytes of any form.
fn written() -> impl Strategy<Value = Bytes> {
    let batch = (instances(), vec(work::records(), 1..3)).prop_map(|(instance, records)| {
        encode_batch(1, instance, records.into_iter().map(record_to).collect())
    });
    prop_oneof![
        control::commits().prop_map(|commit| encode_commit(&commit)).boxed(),
        control::messages().prop_map(|both| message(&both)).boxed(),
        batch.boxed(),
        work::checkpoints().prop_map(|checkpoint| checkpoint.encode()).boxed(),
        work::incident().prop_map(|incident| encode_state(&incident)).boxed(),
        work::outcomes().prop_map(|outcomes| encode_outcomes(&outcomes)).boxed(),
        work::members().prop_map(|member| member.encode()).boxed(),
        work::parked().prop_map(|parked| parked.encode()).boxed(),
        work::incident_events().prop_map(|event| event.data()).boxed(),
    ]
}

/// How bytes are spoilt.
#[derive(Clone, Debug)]
enum Harm {
    /// One byte becomes another.
    Changed(Index, u8),
    /// Bytes come in between.
    Inserted(Index, Vec<u8>),
    /// Some bytes are lost.
    Lost(Index, u8),
    /// All from here on is lost.
    Cut(Index),
}

fn harms() -> impl Strategy<Value = Harm> {
    let small = || prop_oneof![any::<u8>(), 0..32u8];
    prop_oneof![
        4 => (any::<Index>(), small()).prop_map(|(at, to)| Harm::Changed(at, to)),
        2 => (any::<Index>(), vec(small(), 1..5)).prop_map(|(at, new)| Harm::Inserted(at, new)),
        2 => (any::<Index>(), 1..5u8).prop_map(|(at, count)| Harm::Lost(at, count)),
        1 => any::<Index>().prop_map(Harm::Cut),
    ]
}

fn spoilt(mut bytes: Vec<u8>, harm: &Harm) -> Vec<u8> {
    match harm {
        Harm::Changed(at, to) => {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = *to;
            }
        }
        Harm::Inserted(at, new) => {
            let at = at.index(bytes.len() + 1);
            bytes.splice(at..at, new.iter().copied());
        }
        Harm::Lost(at, count) => {
            let at = at.index(bytes.len() + 1);
            let end = bytes.len().min(at + usize::from(*count));
            bytes.drain(at..end);
        }
        Harm::Cut(at) => bytes.truncate(at.index(bytes.len() + 1)),
    }
    bytes
}

proptest! {
    #[test]
    fn no_bytes_do_harm(bytes in vec(any::<u8>(), 0..200)) {
        check(&bytes.into())?;
    }

    #[test]
    fn no_spoilt_form_does_harm(bytes in written(), harms in vec(harms(), 1..4)) {
        let bytes = harms.iter().fold(bytes.to_vec(), spoilt);
        check(&bytes.into())?;
    }
}

#[test]
fn no_example_does_harm_however_it_is_cut_or_one_byte_is_changed() {
    for example in examples() {
        for at in 0..example.bytes.len() {
            check(&example.bytes.slice(..at)).unwrap();
            for flip in [0x01, 0x08, 0x80, 0xff] {
                let mut bytes = example.bytes.to_vec();
                bytes[at] ^= flip;
                check(&bytes.into()).unwrap();
            }
        }
    }
}
