//! Whether bytes are JSON, for the bodies whose type does not say what they are.
//!
//! Must not know what the JSON says: the gateway does not look into payloads.

use serde::de::IgnoredAny;

/// Whether the bytes are one JSON text.
#[must_use]
pub fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

/// Whether the bytes are one JSON object or array. Field values such as `5` or `true` are JSON
/// too, but nobody means them as a payload.
#[must_use]
pub fn is_document(bytes: &[u8]) -> bool {
    matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'[')) && is_json(bytes)
}
