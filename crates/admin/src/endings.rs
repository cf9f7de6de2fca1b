//! What ends by the clock: tracking, which switches itself off, and secrets, which expire. Each end is
//! a change like others, by the system, made once (PRODUCT, sections 2 and 7).
//!
//! Nothing waits for it: calls count as untracked and secrets as expired from that time on, also while
//! admin is down. But what has its end in the journal has it for good, also when the clock is set back.
//! Must not know what is tracked nor what a secret opens.

use std::sync::Arc;
use std::time::Duration;

use domain::aggregate::{Actor, Rejection};
use domain::commit::{Change, Subject};
use domain::directory::Directory;
use domain::id::TokenId;
use domain::time::Timestamp;
use domain::{principal, token};
use runtime::clock::Clock;
use tokio::time::{MissedTickBehavior, interval};
use tracing::Span;

use crate::store::{self, Command, Store};

/// How often the clock is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// What has ended, with nothing in the journal of it yet.
#[derive(Clone, Copy)]
enum Over {
    /// The tracking of a token.
    Tracking(TokenId),
    /// The secret of a token or the credential of a principal.
    Secret(Subject),
}

/// Ends what is over, as long as the process lives.
pub async fn run(store: Store, clock: Arc<dyn Clock>) {
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        while let Some(over) = store.read(|directory| first(directory, clock.now())) {
            if let Err(error) = end(&store, over).await {
                tracing::warn!(%error, "that something has ended by the clock is not stored yet");
                break;
            }
        }
    }
}

fn first(directory: &Directory, now: Timestamp) -> Option<Over> {
    let tracking = || directory.tracking_over(now).map(Over::Tracking);
    directory.expiry_over(now).map(Over::Secret).or_else(tracking)
}

/// Ends the tracking of a token if its time is over: what is asked next must not take the place of
/// that.
pub async fn end_tracking_if_over(
    store: &Store,
    clock: &dyn Clock,
    id: TokenId,
) -> Result<(), store::Error> {
    let over = |token: &token::Token| token.tracked_until.is_some_and(|until| until <= clock.now());
    if store.read(|directory| directory.token(id).is_some_and(over)) {
        end(store, Over::Tracking(id)).await?;
    }
    Ok(())
}

async fn end(store: &Store, over: Over) -> Result<(), store::Error> {
    let command = Command {
        actor: Actor::System,
        request: None,
        decide: Box::new(move |directory, now| decide(directory, over, now)),
        span: Span::current(),
    };
    store.execute(command).await.map(drop)
}

fn decide(directory: &Directory, over: Over, now: Timestamp) -> Result<Vec<Change>, Rejection> {
    let of_token = |id, command| {
        let events = token::decide(directory.token_entry(id), command)?;
        Ok(events.into_iter().map(|event| Change::Token(id, event)).collect())
    };
    match over {
        Over::Tracking(id) => of_token(id, token::Command::EndTracking { now }),
        Over::Secret(Subject::Token(id)) => of_token(id, token::Command::Expire { now }),
        Over::Secret(Subject::Principal(id)) => {
            let command = principal::Command::Expire { now };
            let events = principal::decide(directory.principal_entry(id), command)?;
            Ok(events.into_iter().map(|event| Change::Principal(id, event)).collect())
        }
        Over::Secret(Subject::Team(_) | Subject::Service(_) | Subject::Installation) => Ok(vec![]),
    }
}
