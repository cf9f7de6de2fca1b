//! When tokens were last used, as gateways say: followed in memory.
//!
//! Kept outside the journal, to the hour: it may be late or lost. Must not know who may see it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use domain::id::TokenId;
use domain::time::Timestamp;
use runtime::nats::Nats;
use runtime::nats::{Reader, Start};
use wire::stored::last_use::decode;
use wire::subject;

/// The hour in which each token was last used. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct LastUses(Arc<RwLock<HashMap<TokenId, Timestamp>>>);

impl LastUses {
    /// The hour in which the token was last used; none where that was never seen.
    #[must_use]
    pub fn of(&self, token: TokenId) -> Option<Timestamp> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&token).copied()
    }

    /// Follows what gateways say, for ever.
    pub async fn follow(self, nats: Nats) {
        let (stream, filter) = (subject::LAST_USE_STREAM, subject::LAST_USE_ALL);
        let mut reader = Reader::new(&nats, stream, filter, Start::LastOfEachSubject);
        loop {
            let message = reader.next().await;
            if let Some((token, hour)) = decode(&message.subject, &message.payload) {
                self.note(token, hour);
            }
        }
    }

    /// Of two gateways one may be late.
    fn note(&self, token: TokenId, hour: Timestamp) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let latest = known.entry(token).or_insert(hour);
        *latest = hour.max(*latest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_hour_counts_whichever_gateway_says_it_last() {
        let uses = LastUses::default();
        let token = TokenId::from_bytes([1; 16]);
        assert_eq!(uses.of(token), None);
        for hour in [2, 3, 1].map(Timestamp::from_micros) {
            uses.note(token, hour);
        }
        assert_eq!(uses.of(token), Some(Timestamp::from_micros(3)));
    }
}
