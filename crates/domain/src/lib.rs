//! Gander's rules: what there is, what may happen to it, and what follows.
//!
//! Pure: no runtime, no storage, no wire format, no clock and no randomness. Time, ids and
//! looked-up facts come in with the command.
//!
//! - Configuration: [`team`], [`service`] with its [`maintenance`] windows, [`token`],
//!   [`principal`], each with its commands, events, `decide` and `evolve`; [`aggregate`] is what
//!   they share, [`commit`] what one command changed, [`directory`] all of it read together,
//!   [`access`] who may do what.
//! - Alerts: [`payload`] and [`json`] are what came, [`filter`] the reference meaning of API
//!   filters, [`incident`] what follows.
//! - [`lease`]: until when gateways may use what they know, and how long admin waits for them.
//! - Small types: [`id`], [`time`], [`name`], [`secret`], [`reach`].

pub mod access;
mod admissions;
pub mod aggregate;
pub mod commit;
pub mod directory;
pub mod filter;
pub mod id;
pub mod incident;
pub mod json;
pub mod lease;
pub mod maintenance;
pub mod name;
pub mod payload;
pub mod principal;
pub mod reach;
pub mod secret;
pub mod service;
pub mod team;
pub mod time;
pub mod token;
