//! Bad requests over raw sockets, made by rule from a seed, while a healthy client is served.
//!
//! - [`grammar`], [`bodies`], [`dice`]: what is sent. [`table`]: what may be answered, from
//!   `docs/http-status.md`. [`answers`]: what was.
//! - [`attack`]: many connections at a time, and what went wrong. [`healthy`]: who must not notice.
//! - [`flood`]: attacks that keep connections.
//!
//! Must not know how the gateway was started.

pub mod answers;
pub mod attack;
pub mod bodies;
pub mod dice;
pub mod flood;
pub mod grammar;
pub mod healthy;
pub mod table;
