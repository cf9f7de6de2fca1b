//! Names of NATS headers, each once. Ours are lower case: NATS keeps case as it is sent.
//!
//! Must not know any client of NATS.

/// The partitions that a message of GANDER_ALERTS is for: a bit each, as 16 hex digits.
pub const PARTITIONS: &str = "gander-partitions";
/// The id of the alert, or of the call, that a part of the API log is of.
pub const ALERT: &str = "gander-alert";
/// Which part of an entry of the API log it is: `call` or `reasons`.
pub const PART: &str = "gander-part";
/// The id of the incident that an event is of.
pub const INCIDENT: &str = "gander-incident";
/// W3C Trace Context, in HTTP, gRPC and NATS.
pub const TRACEPARENT: &str = "traceparent";

/// NATS: older messages of the same subject go when this one is stored; value `sub`.
pub const ROLLUP: &str = "Nats-Rollup";
/// NATS: how long a message is kept, such as `90s`.
pub const TTL: &str = "Nats-TTL";
