//! Names of NATS headers, each once. Ours are lower case: NATS keeps case as it is sent.
//!
//! Must not know any client of NATS.

/// The partitions that a message of GANDER_ALERTS is for: `all`, or numbers with commas.
pub const PARTITIONS: &str = "gander-partitions";
/// The id of the incident that an event is of.
pub const INCIDENT: &str = "gander-incident";
/// The hash of the commit in a message of GANDER_CONTROL, in hex.
pub const COMMIT_HASH: &str = "gander-commit-hash";

/// NATS: older messages of the same subject go when this one is stored; value `sub`.
pub const ROLLUP: &str = "Nats-Rollup";
/// NATS: how long a message is kept, such as `90s`.
pub const TTL: &str = "Nats-TTL";
