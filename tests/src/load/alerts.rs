//! Senders of alerts: each sends on until an alert is stored, then the next.
//!
//! Must not know what becomes of an alert.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Kind, PAUSE, Shared};
use crate::admin::payload;
use crate::alerts::Sender;
use crate::dice::mixed;

/// Alerts of one episode before the next begins.
const REPEATS: usize = 20;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Alerts that trigger: one incident for each episode, and repeats of it.
    Triggers,
    /// Also some that resolve: an episode may have several incidents, one after the other.
    Resolves,
}

impl Mix {
    /// What this alert of an episode says.
    const fn status(self, client: usize, sent: usize) -> &'static str {
        let draw = mixed(((client as u64) << 32) + sent as u64);
        match self {
            Self::Resolves if !sent.is_multiple_of(REPEATS) && draw.is_multiple_of(4) => "resolved",
            Self::Triggers | Self::Resolves => "firing",
        }
    }
}

pub(super) async fn send(n: usize, token: String, mix: Mix, shared: Arc<Shared>) {
    let sender = Sender::default();
    let mut tried = n;
    for sent in 0.. {
        let alert = payload(mix.status(n, sent), &format!("episode-{n}-{}", sent / REPEATS));
        // As senders do that are told to come again: the same alert, to whoever takes it.
        while !send_one(&sender, tried, &token, &alert, &shared).await {
            tried += 1;
            tokio::time::sleep(PAUSE).await;
            if !shared.goes_on() {
                return;
            }
        }
        if !shared.goes_on() {
            return;
        }
    }
}

async fn send_one(sender: &Sender, n: usize, token: &str, alert: &str, shared: &Shared) -> bool {
    let gateways = shared.gateways();
    let asked = Instant::now();
    let sending = sender.send(gateways[n % gateways.len()], token, alert.to_owned());
    let answer = shared.count(Kind::Alerts, sending).await;
    shared.told().answered(asked, &answer)
}
