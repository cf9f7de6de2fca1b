//! What every role is given from outside.
//!
//! Must not know what a role does with it.

use std::sync::Arc;

use crate::clock::Clock;
use crate::facts::Facts;
use crate::nats::Nats;
use crate::nats::streams::Streams;
use crate::ops::Checks;
use crate::random::Random;
use crate::traces::Tracer;

/// What every role is given from outside. Cheap to clone.
#[derive(Clone)]
pub struct Parts {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for ids and secrets.
    pub random: Arc<dyn Random>,
    /// The connection, the role's own.
    pub nats: Nats,
    /// The streams.
    pub streams: Streams,
    /// Where readiness is told.
    pub checks: Checks,
    /// What makes its spans.
    pub tracer: Tracer,
    /// What the process says of itself.
    pub facts: Facts,
}

impl Parts {
    /// Adds the check that the broker is connected, under this name.
    pub fn check_broker(&self, name: &'static str) {
        let nats = self.nats.clone();
        self.checks.add(name, move || {
            if nats.is_connected() { Ok(()) } else { Err("not connected".to_owned()) }
        });
    }
}
