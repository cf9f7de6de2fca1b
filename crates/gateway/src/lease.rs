//! The lease of this gateway: renewed a few times a second, and at once after each change.
//!
//! Must not know HTTP or tokens. What is decided is decided in `domain::lease`.

use std::sync::Arc;
use std::time::Duration;

use domain::id::InstanceId;
use domain::lease::{Renewal, TERM};
use runtime::clock::Clock;
use runtime::nats::Nats;
use runtime::nats::members::Role;
use runtime::nats::publish::Error;
use runtime::view;
use tokio::sync::watch;
use wire::subject;

use crate::tokens::Tokens;

/// How often it is renewed where nothing changes: a few lost ones end nothing.
const EVERY: Duration = Duration::from_millis(400);
/// How long an answer is awaited. One that comes later is of less use than a new renewal.
const DEADLINE: Duration = Duration::from_millis(1_000);
/// How often a renewal is tried beside one mark after the other before there is a pause: every gateway
/// of a NATS cluster that renews in the same moment is told that the mark is in use.
const TRIES: usize = 16;

/// Renews the lease.
pub struct Lease {
    /// The connection.
    pub nats: Nats,
    /// The gateway.
    pub me: InstanceId,
    /// What it knows.
    pub tokens: Tokens,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The identity of the control stream that is followed.
    pub control: i64,
}

impl Lease {
    /// Renews for ever.
    ///
    /// # Errors
    /// What is known rests on another control stream than there is.
    pub async fn keep(&self, mut applied: watch::Receiver<u64>) -> Result<(), view::Error> {
        loop {
            applied.borrow_and_update();
            self.renew().await?;
            tokio::select! {
                changed = applied.changed() => if changed.is_err() { return Ok(()) },
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Renews once. The lease goes on only where what is read after it was stored is applied.
    ///
    /// # Errors
    /// What is known rests on another control stream than there is.
    pub async fn renew(&self) -> Result<(), view::Error> {
        let stored = self.store().await;
        self.tokens.measure_age();
        let Some(renewal) = stored else {
            return Ok(());
        };
        let asked = self.nats.usage(subject::CONTROL_STREAM);
        let answer = tokio::select! {
            answer = tokio::time::timeout(TERM, asked) => answer,
            () = self.nats.reconnected() => return Ok(()),
        };
        match answer {
            Err(_) => {
                self.leave_silent_server().await;
                Ok(())
            }
            // It was made anew: a backup was restored, and what is known here may be no more.
            Ok(Ok(found)) if found.identity != self.control => Err(view::Error::Replaced),
            Ok(Ok(found)) => {
                self.tokens.renewed(renewal, found.last);
                Ok(())
            }
            Ok(Err(_)) => Ok(()),
        }
    }

    async fn store(&self) -> Option<Renewal> {
        for tried in 0..TRIES {
            let Some(renewal) = self.tokens.renewal(self.clock.boot()) else {
                count("behind");
                return None;
            };
            // An admin of the build before reads no lease: it waits for whoever it heard within the
            // term of a lease, and so has to hear this after the lease has begun to count.
            self.nats.beat(Role::Gateway, self.me, renewal.applied).await;
            match self.nats.renew_lease(self.me, renewal, DEADLINE).await {
                Ok(_) => {
                    count("stored");
                    return Some(renewal);
                }
                Err(Error::Conflict(_)) => match self.nats.last_mark(DEADLINE).await {
                    Ok(mark) if self.tokens.marked(mark) => {}
                    Ok(_) => tokio::time::sleep(self.pause(tried)).await,
                    Err(error) => {
                        self.leave_silent_server().await;
                        return failed(&error);
                    }
                },
                Err(error) => {
                    if error == Error::TimedOut {
                        self.leave_silent_server().await;
                    }
                    return failed(&error);
                }
            }
        }
        count("failed");
        None
    }

    /// A server that says nothing may be gone for good, and nothing else would tell for many seconds:
    /// the next renewal goes over a new connection, of a cluster perhaps to another server.
    async fn leave_silent_server(&self) {
        self.nats.reconnect().await;
    }

    /// Another one for each gateway and each try: its id ends with bytes that were drawn.
    fn pause(&self, tried: usize) -> Duration {
        let drawn = self.me.as_bytes()[15 - tried % 8];
        Duration::from_millis(u64::from(drawn % 20))
    }
}

/// What is counted is there from the start.
pub fn register_metrics() {
    for result in ["stored", "behind", "failed"] {
        metrics::counter!("gander_gateway_lease_renewals_total", "result" => result).increment(0);
    }
}

fn count(result: &'static str) {
    metrics::counter!("gander_gateway_lease_renewals_total", "result" => result).increment(1);
}

fn failed(error: &dyn std::error::Error) -> Option<Renewal> {
    count("failed");
    tracing::debug!(%error, "the lease is not renewed");
    None
}
