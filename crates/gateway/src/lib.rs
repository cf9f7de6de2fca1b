//! The HTTP ingress: lets tokens in, stores alerts, tells what became of them.
//!
//! - `config`: settings. `run`: how it is put together.
//! - `tokens`: who is let in, from the control stream. `lease`: until when that may be used.
//! - `client`: who sent a request. `rate`: how much one may ask for. `memory`: what bodies may take.
//! - `unstored`: what the log says of alerts that are not stored.
//! - `log`: what is kept of calls with a tracked token, on its way to GANDER_APILOG.
//! - `last_use`: when tokens were last used.
//! - `accept`, `connection`: connections. `http`: requests, one endpoint a file.
//!
//! Must not know filters or incidents: what is in a payload is the worker's business.

mod accept;
mod client;
mod config;
mod connection;
mod http;
mod last_use;
mod lease;
mod log;
mod memory;
mod rate;
mod run;
mod tokens;
mod unstored;

pub use config::Config;
pub use http::doors;
pub use run::{Error, run};
