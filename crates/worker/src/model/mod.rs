//! The real take-over, fold and commit against a model of the broker with injected faults.
//!
//! - `broker`: the model: streams, fences, atomic batches, and what can go wrong with them.
//! - `world`: the teams, services and payloads, small enough that races and repeats are common.
//! - `worker`: a worker as the loop drives it, by orders. `schedule`: random orders and faults.
//! - `oracle`: what the stored commits must have led to, computed another way.
//! - `invariants`: what must hold, each a function of that name. `told`: the same for the API log.
//! - `random`, `points`, `parking`, `taking`, `asking`: the tests.
//!
//! Must not know NATS, sockets or the loop's timers.

mod asking;
mod broker;
mod invariants;
mod oracle;
mod parking;
mod points;
mod random;
mod schedule;
mod taking;
mod told;
mod worker;
pub mod world;
