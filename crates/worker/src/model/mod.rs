//! The simulation: the real loop of gateways, and the real take-over, fold and commit of workers,
//! against a model of the broker with injected faults, in a time that passes only while all wait.
//!
//! - `broker`: the model: streams, fences, atomic batches, and what can go wrong with them.
//! - `world`: the teams, services and payloads, small enough that races and repeats are common.
//! - `gateway`: a gateway's loop, and what its clients are told.
//! - `worker`: a worker as the loop drives it, by orders. `schedule`: random orders and faults.
//! - `oracle`: what the stored commits must have led to, computed another way.
//! - `invariants`: what must hold, each a function of that name. `told`: the same for the API log.
//! - `seeds`: schedules by their seeds, any of which can be run again.
//! - `random`, `points`, `parking`, `taking`, `asking`, `gathering`: the tests. What a seed has found gets a test of
//!   its own there, since a seed means another schedule once schedules are drawn in another way.
//!
//! Must not know NATS, sockets or the loop's timers.

mod asking;
mod broker;
mod gateway;
mod gathering;
mod invariants;
mod oracle;
mod parking;
mod points;
mod random;
mod schedule;
mod seeds;
mod taking;
mod told;
mod worker;
pub mod world;
