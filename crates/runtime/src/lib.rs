//! Effects: everything that reads a clock, draws randomness, opens a file or a socket.
//!
//! - [`clock`], [`random`]: time and randomness as parameters.
//! - [`journal`]: where configuration is kept, durable when it says so.
//! - [`nats`]: streams, publishing, atomic batches, readers; no other crate names the client.
//! - [`nats_server`]: the real nats-server as a child process. [`durability`]: what its
//!   acknowledgements survive.
//! - [`backup_file`]: a backup as a file.
//! - [`view`]: the configuration as it comes from GANDER_CONTROL.
//! - [`ingest`], [`outcomes`]: into GANDER_ALERTS, and what became of it.
//! - [`places`], [`activity`]: limits of connections and other guests; when one is idle.
//! - [`own_thread`]: work that waits behind nothing else.
//! - [`parts`]: what every role is given. [`facts`]: what a process says of itself. [`lifecycle`],
//!   [`telemetry`], [`traces`], [`ops`], [`pulse`], [`notify`], [`secret_file`], [`fresh_file`], [`data_folder`], [`listen`], [`tls`]: how a
//!   process runs.
//!
//! Must not know any role: admin, gateway and worker are built on this, never the other way.

pub mod activity;
pub mod backup_file;
pub mod clock;
pub mod data_folder;
pub mod durability;
pub mod environment;
pub mod facts;
pub mod fresh_file;
pub mod ingest;
pub mod journal;
pub mod lifecycle;
pub mod listen;
pub mod nats;
pub mod nats_server;
pub mod notify;
pub mod ops;
pub mod outcomes;
pub mod own_thread;
pub mod parts;
pub mod places;
pub mod pulse;
pub mod random;
pub mod secret_file;
pub mod telemetry;
pub mod tls;
pub mod traces;
pub mod view;
