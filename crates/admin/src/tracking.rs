//! Tracking that switches itself off: its end is a change like others, by the system, made once
//! (PRODUCT, section 7).
//!
//! Nothing waits for it: calls count as untracked from the deadline on, also while admin is down.
//! Must not know what is tracked.

use std::sync::Arc;
use std::time::Duration;

use domain::aggregate::Actor;
use domain::commit::Change;
use domain::id::TokenId;
use domain::time::Timestamp;
use domain::token;
use runtime::clock::Clock;
use tokio::time::{MissedTickBehavior, interval};
use tracing::Span;

use crate::store::{Command, Store};

/// How often the clock is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Ends tracking whose time is over, as long as the process lives.
pub async fn run(store: Store, clock: Arc<dyn Clock>) {
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        while let Some(id) = over(&store, clock.now()) {
            if let Err(error) = end(&store, id).await {
                tracing::warn!(%error, "the end of tracking is not stored yet");
                break;
            }
        }
    }
}

fn over(store: &Store, now: Timestamp) -> Option<TokenId> {
    store.read(|directory| directory.tracking_over(now))
}

/// Ends the tracking of a token if its time is over: what is asked next must not take the place of
/// that.
pub async fn end_if_over(
    store: &Store,
    clock: &dyn Clock,
    id: TokenId,
) -> Result<(), crate::store::Error> {
    let over = |token: &token::Token| token.tracked_until.is_some_and(|until| until <= clock.now());
    if store.read(|directory| directory.token(id).is_some_and(over)) {
        end(store, id).await?;
    }
    Ok(())
}

async fn end(store: &Store, id: TokenId) -> Result<(), crate::store::Error> {
    let decide = move |directory: &domain::directory::Directory, now| {
        let command = token::Command::EndTracking { now };
        let events = token::decide(directory.token_entry(id), command)?;
        Ok(events.into_iter().map(|event| Change::Token(id, event)).collect())
    };
    let command = Command {
        actor: Actor::System,
        request: None,
        decide: Box::new(decide),
        span: Span::current(),
    };
    store.execute(command).await.map(drop)
}
