//! The harness of the end-to-end tests: real processes, a real nats-server, real clients.
//!
//! - [`rig`]: nats-server and the roles, each its own process, to be killed and started again.
//! - [`cluster`]: three nats-servers instead of one.
//! - [`up`]: `gander up`, and client commands against it.
//! - [`process`]: one process. [`wait`]: waiting for something to become true.
//! - [`certificates`]: for TLS.
//! - [`admin`]: gRPC, one verb for each thing a person does. [`alerts`]: HTTP.
//! - [`events`]: what a subscriber reads, and what is stored, over NATS alone.
//! - [`apilog`]: parts of the API log.
//! - [`contract`]: what is promised of events, checked on each that is read.
//! - [`disk`]: a disk that can be full. [`power`]: one that can lose power, under a rig: [`outage`].
//! - [`mount`]: who sees a disk. [`files`]: what files hold. [`tools`]: programs of others.
//! - [`collector`]: where traces go.
//! - [`hostile`]: bad requests, made by rule, and who must not notice.
//! - [`proxy`], [`links`]: what a network can do to connections. [`dice`]: chance with a seed.
//! - [`clock`]: a time of day that jumps. [`barrage`]: requests with tokens that die.
//! - [`stage`]: an installation under load. [`load`]: its clients. [`ledger`]: what they were told
//!   against what is stored. [`http_status`]: what they may be told.
//!
//! Must not know a single test.

pub mod admin;
pub mod alerts;
pub mod apilog;
pub mod barrage;
pub mod certificates;
pub mod clock;
pub mod cluster;
pub mod collector;
pub mod contract;
pub mod dice;
pub mod disk;
pub mod events;
pub mod files;
pub mod hostile;
pub mod http_status;
pub mod ledger;
pub mod links;
pub mod load;
pub mod mount;
pub mod outage;
pub mod power;
pub mod process;
pub mod proxy;
pub mod rig;
mod rights;
pub mod stage;
pub mod tools;
pub mod up;
pub mod wait;
