//! The HTTP ingress: lets tokens in, stores alerts, tells what became of them.
//!
//! - `config`: settings. `run`: how it is put together.
//! - `tokens`: who is let in, from the control stream, with the time until which that is known.
//! - `accept`: connections. `http`: requests, one endpoint a file.
//!
//! Must not know filters or incidents: what is in a payload is the worker's business.

mod accept;
mod config;
mod http;
mod run;
mod tokens;

pub use config::Config;
pub use run::{Error, run};
