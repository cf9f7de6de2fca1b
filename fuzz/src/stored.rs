//! What the journal, the streams and backups hold: bytes that are read are written and read again
//! the same.
//!
//! Must not know who wrote them.

use std::fmt::Debug;
use std::io::Write;

use bytes::Bytes;
use prost::Message;
use wire::proto::gander::events::v1 as events;
use wire::stored::Error;
use wire::stored::alert::{decode_batch, record_from, record_to};
use wire::stored::apilog::LogPart;
use wire::stored::backup::Frame;
use wire::stored::control::{
    decode_commit, decode_message, encode_commit, encode_message, previous_hash, record_in,
};
use wire::stored::member::Member;
use wire::stored::worker::{
    Checkpoint, Parked, decode_outcomes, decode_state, encode_outcomes, encode_state,
};

fn again<T: PartialEq + Debug>(
    bytes: &[u8],
    read: impl Fn(&Bytes) -> Result<T, Error>,
    write: impl Fn(&T) -> Bytes,
) {
    if let Ok(value) = read(&Bytes::copy_from_slice(bytes)) {
        let written = write(&value);
        match read(&written) {
            Ok(same) => assert_eq!(same, value),
            Err(error) => panic!("what was written is not read: {error}"),
        }
    }
}

/// Commits of the journal, and messages of GANDER_CONTROL.
pub fn control(bytes: &[u8]) {
    let _ = previous_hash(bytes);
    let _ = record_in(&Bytes::copy_from_slice(bytes));
    again(bytes, decode_commit, encode_commit);
    again(bytes, decode_message, |(record, left)| encode_message(record.clone(), left));
    let _ = wire::audit::exported(&Bytes::copy_from_slice(bytes), [0; 32])
        .map(|record| wire::audit::sentence(&record));
}

/// Batches of GANDER_ALERTS.
pub fn alert(bytes: &[u8]) {
    let Ok(batch) = decode_batch(&Bytes::copy_from_slice(bytes)) else { return };
    for record in batch.records {
        if let Ok(read) = record_from(record) {
            let again = record_from(record_to(read.clone()));
            assert_eq!(again.as_ref().ok(), Some(&read));
        }
    }
}

/// What workers keep: checkpoints, incidents, outcomes, parked records.
pub fn worker(bytes: &[u8]) {
    again(bytes, Checkpoint::decode, Checkpoint::encode);
    again(bytes, decode_state, encode_state);
    again(bytes, decode_outcomes, |outcomes| encode_outcomes(outcomes));
    if let Ok(parked) = Parked::decode(&Bytes::copy_from_slice(bytes)) {
        let _ = (parked.records(), parked.raw());
        let _ = Parked::decode(&parked.encode()).expect("what was written is read");
    }
}

/// Parts of the API log.
pub fn apilog(bytes: &[u8]) {
    again(bytes, LogPart::decode, |part| part.clone().encode());
}

/// Members: the processes that live.
pub fn member(bytes: &[u8]) {
    again(bytes, Member::decode, Member::encode);
}

/// When tokens were last used: a subject in a line, and the value.
pub fn last_use(bytes: &[u8]) {
    let (subject, value) = crate::line(bytes);
    if let Some((token, at)) = wire::stored::last_use::decode(subject, value) {
        let written = wire::stored::last_use::encode(at);
        assert_eq!(wire::stored::last_use::decode(subject, &written), Some((token, at)));
    }
}

/// Events of incidents, as subscribers read them.
pub fn event(bytes: &[u8]) {
    if let Ok(event) = serde_json::from_slice::<events::IncidentEvent>(bytes) {
        let _ = serde_json::to_vec(&event);
    }
    let _ = events::IncidentEvent::decode(bytes).map(|event| serde_json::to_vec(&event));
}

/// Exported files of the audit log.
pub fn audit_file(bytes: &[u8]) {
    let _ = admin::doors::audit_file(bytes);
}

/// Backups: the frames, and a whole file of them. The checksum hides from whoever changes bytes what
/// is behind it, so a frame is read by itself, too.
pub fn backup_file(bytes: &[u8]) {
    if let Ok(frame) = Frame::decode(&Bytes::copy_from_slice(bytes)) {
        let _ = Frame::decode(&frame.encode()).expect("what was written is read");
    }
    let mut file = tempfile::NamedTempFile::new().expect("there is room for a file");
    file.write_all(bytes).expect("there is room in it");
    let Ok(mut reader) = runtime::backup_file::Reader::open(file.path()) else { return };
    while let Ok(Some(_)) = reader.message() {}
}
