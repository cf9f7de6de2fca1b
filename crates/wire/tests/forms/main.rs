//! The forms of everything that is stored or sent: that they are read back the same, that no bytes
//! do harm, and that what was written once is read for good.
//!
//! `generate` makes values of every kind, `round_trips` and `versions` read stored ones back,
//! `foreign_bytes` spoils them, `event_json` is what subscribers see and `documents` what they are
//! told of it, `golden` what earlier builds wrote. Must not know journals or streams.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod documents;
mod event_json;
mod examples;
mod foreign_bytes;
mod generate;
mod golden;
mod round_trips;
mod versions;
