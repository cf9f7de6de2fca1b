//! The incident worker: folds alerts into incidents, exactly once.
//!
//! - [`fold`]: pure; what a message does to a partition.
//! - `catalog`: the services as the control stream has them.
//! - `broker`: what taking and committing need of the broker, so that a model can stand in.
//! - `rebuilding`: the index of their filters, made anew beside the work.
//! - `takeover`, `commit`: how a partition is taken, and how a fold is stored, both fenced.
//! - `reasons`: why tracked alerts came to what they came to. `apilog`: how that is written.
//! - `asked`: questions what an alert would come to.
//! - `spans`: the traces of what a commit holds. `lag`: how old the oldest waiting alert is.
//! - `owner`: the partitions owned: fold what has arrived, commit, tell, purge.
//! - `membership`: who should own which partition. Liveness only.
//! - `run`: the loop that drives them.
//!
//! Must not know HTTP, gRPC or tokens' secrets. Has no clock for rules: time in them is
//! the alert's.

mod apilog;
mod asked;
mod broker;
mod catalog;
mod commit;
pub mod fold;
mod lag;
mod membership;
#[cfg(test)]
mod model;
mod owner;
mod reasons;
mod rebuilding;
mod run;
mod spans;
mod takeover;

pub use run::{Config, Error, run};
