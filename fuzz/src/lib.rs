//! Fuzz targets: every parser of bytes from outside or from a store.
//!
//! - [`sent`]: what a sender of alerts controls. [`said`]: what people and other programs write.
//! - [`stored`]: what the journal, the streams and backups hold.
//! - `target.rs` is the program that libFuzzer drives; `tests/replay.rs` runs every file of
//!   `corpus/`, also without it.
//!
//! A target takes any bytes and panics where a rule is broken. Must not know how inputs are made.

pub mod said;
pub mod sent;
pub mod stored;

/// A target and its name, which is that of its folder in `corpus/`.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 24] = [
    ("alert", stored::alert),
    ("apilog", stored::apilog),
    ("audit_file", stored::audit_file),
    ("backup_file", stored::backup_file),
    ("body", sent::body),
    ("cloudevent", said::cloudevent),
    ("content", sent::content),
    ("control", stored::control),
    ("credential", sent::credential),
    ("event", stored::event),
    ("filter", sent::filter),
    ("filter_tests", said::filter_tests),
    ("headers", sent::headers),
    ("json", sent::json),
    ("key", sent::key),
    ("last_use", stored::last_use),
    ("member", stored::member),
    ("names", said::names),
    ("page_token", said::page_token),
    ("redact", sent::redact),
    ("secret", said::secret),
    ("settings", said::settings),
    ("times", said::times),
    ("worker", stored::worker),
];

/// The target of a name.
#[must_use]
pub fn named(name: &str) -> Option<fn(&[u8])> {
    TARGETS.iter().find(|(found, _)| *found == name).map(|(_, target)| *target)
}

/// Text up to a line break, and what follows it.
fn line(bytes: &[u8]) -> (&str, &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let rest = bytes.get(end + 1..).unwrap_or_default();
    (std::str::from_utf8(&bytes[..end]).unwrap_or_default(), rest)
}
