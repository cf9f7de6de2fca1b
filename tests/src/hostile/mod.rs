//! Bad requests over raw sockets, made by rule from a seed, while a healthy client is served.
//!
//! - [`grammar`], [`bodies`]: what is sent. [`answers`]: what was answered.
//! - [`attack`]: many connections at a time, and what went wrong. [`healthy`]: who must not notice.
//! - [`flood`]: attacks that keep connections.
//!
//! Must not know how the gateway was started.

pub mod answers;
pub mod attack;
pub mod bodies;
pub mod flood;
pub mod grammar;
pub mod healthy;
