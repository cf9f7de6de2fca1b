//! The gRPC services, one a file.
//!
//! - `error`: statuses with their details. `convert`: between messages and domain types, with
//!   the limits told field by field. `page`: lists. `call`: what all calls do.
//!   `traced`: a span for each. `handover`: records that admin puts among the alerts.
//!
//! Must not know how commands are stored.

mod apilog;
mod audit;
mod call;
mod catalog;
mod convert;
pub mod error;
pub mod filter_test;
mod handover;
mod incident;
mod maintenance;
pub mod page;
mod parked;
mod principal;
mod status;
mod token;
mod traced;

pub use apilog::ApiLog;
pub use audit::Audit;
pub use call::Calls;
pub use handover::Handover;
pub use incident::Incidents;
pub use parked::ParkedRecords;
pub use status::Statuses;
pub use traced::Traced;
