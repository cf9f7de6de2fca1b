//! What people and other programs write: secrets, names, files, times, values in headers.
//!
//! Must not know who reads it.

use domain::id::{AlertId, ServiceId, TeamId, TokenId};
use domain::name::DisplayName;
use domain::secret::{Kind, LastFour, Secret, mask};

use crate::line;

/// Secrets: what is one is masked, and has one digest.
pub fn secret(bytes: &[u8]) {
    let masked = mask(bytes, b"*");
    assert_eq!(mask(&masked, b"*"), masked, "nothing of a secret is left");
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = LastFour::parse(text);
    for kind in [Kind::Token, Kind::Credential] {
        if let Ok(secret) = Secret::parse(kind, text) {
            assert_eq!((secret.reveal(), &*masked), (text, &b"*"[..]));
            assert!(LastFour::parse(secret.last_four().as_str()).is_ok());
            assert!(!format!("{secret:?}").contains(text));
        }
    }
}

/// Names and ids: what is read is written the same.
pub fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(name) = DisplayName::parse(text) {
        assert_eq!(DisplayName::parse(name.as_str()).as_ref(), Ok(&name));
    }
    let again = [
        TeamId::parse(text).map(|id| id.to_string()),
        ServiceId::parse(text).map(|id| id.to_string()),
        TokenId::parse(text).map(|id| id.to_string()),
        AlertId::parse(text).map(|id| id.to_string()),
    ];
    assert!(again.into_iter().flatten().all(|id| id == text), "an id has one spelling");
    let _ = wire::audit::hash_from_hex(text);
}

/// Values of CloudEvents headers: any text comes back, in characters that a header may have.
pub fn cloudevent(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = wire::cloudevent::decode_value(text);
    let encoded = wire::cloudevent::encode_value(text);
    assert!(encoded.bytes().all(|byte| (0x21..0x7f).contains(&byte)), "{encoded}");
    assert_eq!(wire::cloudevent::decode_value(&encoded).as_deref(), Some(text));
}

/// Page tokens: one that was given is taken for its own question and no other. (That none can be made up
/// is not for a fuzzer to say: it sees what its guesses are compared with.)
pub fn page_token(bytes: &[u8]) {
    let (question, rest) = line(bytes);
    let Ok(token) = std::str::from_utf8(rest) else { return };
    let number = token.bytes().fold(0_u64, |sum, byte| sum.rotate_left(7) ^ u64::from(byte));
    let given = admin::doors::page_token(number, question).expect("an empty token is one");
    assert!(admin::doors::is_page_token(1, &given, question));
    assert!(!admin::doors::is_page_token(1, &given, &format!("not {question}")));
    let _ = admin::doors::is_page_token(0, token, question);
    assert!(!admin::doors::is_page_token(-1, token, question));
}

/// Configuration files.
pub fn settings(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = gander::doors::settings(text);
    }
}

/// Files of tests of filters.
pub fn filter_tests(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = gander::doors::filter_tests(text);
    }
}

/// Points in time, spans, and times in JSON.
pub fn times(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = gander::doors::times(text);
    let quoted = serde_json::to_string(text).expect("text is JSON");
    if let Ok(time) = serde_json::from_str::<wire::timestamp::Timestamp>(&quoted) {
        let again = time.to_rfc3339().expect("what was read can be written");
        let again = serde_json::from_str(&format!("\"{again}\"")).expect("and read again");
        assert_eq!(time, again);
    }
}
