//! Bytes: everything that leaves a process or is read into one.
//!
//! - [`proto`]: generated protobuf.
//! - [`stored`]: what the journal and the streams hold, with versions.
//! - [`subject`], [`header`], [`partition`]: names in NATS, once, as types. [`traceparent`]: a place
//!   in a trace.
//! - [`audit`]: commits in words of the contract. [`catalog`]: filters as they are shown.
//!   [`reasons`]: why an alert came to what it came to.
//! - [`event`], [`cloudevent`]: incident events for subscribers. [`timestamp`]: times in them.
//!
//! Must not know how bytes are moved: no NATS client, no sockets.

pub mod audit;
pub mod catalog;
pub mod cloudevent;
pub mod event;
pub mod header;
pub mod partition;
pub mod proto;
pub mod reasons;
pub mod stored;
pub mod subject;
pub mod timestamp;
pub mod traceparent;

/// The partition of a team. See [`partition::Partition`].
pub use partition::Partition;
/// A place in a trace. See [`traceparent::Traceparent`].
pub use traceparent::Traceparent;
