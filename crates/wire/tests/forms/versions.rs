//! A form of another version is refused, never read as if it were this one.
//!
//! Must not know what else a form says.

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use wire::proto::gander::stored::v1 as stored;
use wire::stored::alert::decode_batch;
use wire::stored::control::{decode_commit, decode_message, encode_commit, encode_message};
use wire::stored::member::Member;
use wire::stored::worker::{Checkpoint, decode_state, encode_state};
use wire::stored::{Error, VERSION};

use crate::generate::{control, work};

/// That the form is read as it is, and refused with any other version.
fn check<M: Message + Default, T>(
    bytes: &Bytes,
    set: impl Fn(&mut M, u32),
    read: impl Fn(&Bytes) -> Result<T, Error>,
) -> Result<(), TestCaseError> {
    let written_as = |version| {
        let mut form = M::decode(bytes.clone()).unwrap();
        set(&mut form, version);
        read(&form.encode_to_vec().into())
    };
    prop_assert!(written_as(VERSION).is_ok());
    let without = matches!(written_as(0), Err(Error::Field { field: "version" }));
    prop_assert!(without, "a form without a version was read");
    for newer in [VERSION + 1, u32::MAX] {
        let refused = matches!(written_as(newer), Err(Error::Newer { found }) if found == newer);
        prop_assert!(refused, "version {newer} was read");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_form_of_another_version_is_refused(
        commit in control::commits(),
        checkpoint in work::checkpoints(),
        incident in work::incident(),
        member in work::members(),
    ) {
        let bytes = encode_commit(&commit);
        check(&bytes, |form: &mut stored::Commit, version| form.version = version, decode_commit)?;
        let bytes = stored::AlertBatch { version: VERSION, instance: vec![1; 16].into(), ..Default::default() };
        let bytes = bytes.encode_to_vec().into();
        check(&bytes, |form: &mut stored::AlertBatch, version| form.version = version, decode_batch)?;
        let bytes = checkpoint.encode();
        let set = |form: &mut stored::Checkpoint, version| form.version = version;
        check(&bytes, set, Checkpoint::decode)?;
        let bytes = encode_state(&incident);
        let set = |form: &mut stored::IncidentState, version| form.version = version;
        check(&bytes, set, decode_state)?;
        let bytes = member.encode();
        let set = |form: &mut stored::Member, version| form.version = version;
        check(&bytes, set, Member::decode)?;
    }

    #[test]
    fn what_a_commit_of_another_version_left_is_refused((commit, snapshot) in control::messages()) {
        let bytes = encode_message(encode_commit(&commit), &snapshot);
        let set = |form: &mut stored::ControlMessage, version| {
            let mut commit = stored::Commit::decode(form.commit.clone()).unwrap();
            commit.version = version;
            form.commit = commit.encode_to_vec().into();
        };
        check(&bytes, set, decode_message)?;
    }
}
