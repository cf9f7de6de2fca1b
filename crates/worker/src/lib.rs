//! The incident worker: folds alerts into incidents, exactly once.
//!
//! - [`fold`]: pure; what a message does to a partition.
//! - `catalog`: the services as the control stream has them.
//! - `takeover`, `commit`: how a partition is taken, and how a fold is stored, both fenced.
//! - `membership`: who should own which partition. Liveness only.
//! - `run`: the loop that drives them.
//!
//! Must not know HTTP, gRPC or tokens' secrets. Has no clock: time in rules is the alert's.

mod catalog;
mod commit;
pub mod fold;
mod membership;
mod run;
mod takeover;

pub use run::{Config, Error, run};
