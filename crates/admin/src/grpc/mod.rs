//! The gRPC services, one a file.
//!
//! - `error`: statuses with their details. `convert`: between messages and domain types, with
//!   the limits told field by field. `page`: lists. `call`: what all calls do.
//!   `traced`: a span for each.
//!
//! Must not know how commands are stored.

mod audit;
mod call;
mod catalog;
mod convert;
pub mod error;
mod incident;
mod maintenance;
mod page;
mod principal;
mod status;
mod token;
mod traced;

pub use audit::Audit;
pub use call::Calls;
pub use incident::{Incidents, WATCHES};
pub use status::Statuses;
pub use traced::Traced;
