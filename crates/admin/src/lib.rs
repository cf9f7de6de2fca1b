//! The administration of Gander over gRPC: the only writer of configuration.
//!
//! - `store`: decides commands one after the other and journals them; `requests`: those that come again.
//!   `relay`: brings commits to GANDER_CONTROL. `start`: compares the journal with it before anything
//!   else. `bootstrap`: the first credential.
//! - `access`: who calls, and the table of rights. `grpc`: one file a service.
//! - `audit`: is the chain of commits whole, and what was changed when.
//! - `gateways`: waiting until all act on a change. `leases`: by their leases.
//! - `last_use`: when tokens were last used.
//! - [`doors`]: ways in for fuzz targets.
//! - `judge`: what is wrong. `incoming`: connections. `measure`: what admin sees of the others, as
//!   metrics. `run`: how it is put together.
//!
//! Must not know HTTP alerts, filters' matching or partitions' owners.

mod access;
pub mod audit;
pub mod bootstrap;
pub mod doors;
mod endings;
mod gateways;
mod grpc;
mod incoming;
mod judge;
mod last_use;
mod leases;
mod measure;
mod relay;
mod requests;
mod run;
mod start;
mod store;

pub use run::{Config, Error, Home, run};
