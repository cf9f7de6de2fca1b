//! How much of the memory of the API log one token may fill, so that one that sends a lot does not
//! drive out what others send.
//!
//! Must not know what is kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use domain::id::TokenId;
use tokio::sync::Semaphore;

/// The shares of tokens of which something waits.
#[derive(Debug)]
pub struct Shares {
    each: u32,
    least: u32,
    used: Mutex<HashMap<TokenId, Weak<Semaphore>>>,
}

impl Shares {
    /// So many pieces each; what is taken out of one counts at least `least`.
    pub fn new(each: usize, least: usize) -> Self {
        let [each, least] = [each, least].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        Self { each, least, used: Mutex::default() }
    }

    /// The share of a token, and what so many pieces count in it. What is larger than a share has all
    /// of it.
    pub fn of(&self, token: TokenId, pieces: u32) -> (Arc<Semaphore>, u32) {
        let counts = pieces.max(self.least).min(self.each);
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = used.get(&token).and_then(Weak::upgrade) {
            return (share, counts);
        }
        // Who has nothing that waits has no entry: there are no more than parts.
        used.retain(|_, share| share.strong_count() > 0);
        let each = usize::try_from(self.each).unwrap_or(usize::MAX);
        let share = Arc::new(Semaphore::new(each.min(Semaphore::MAX_PERMITS)));
        used.insert(token, Arc::downgrade(&share));
        (share, counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_forgotten_once_nothing_waits() {
        let shares = Shares::new(10, 2);
        let [one, other] = [1, 2].map(|n| TokenId::from_bytes([n; 16]));
        let (share, counts) = shares.of(one, 1);
        assert_eq!(counts, 2);
        let taken = share.try_acquire_many_owned(counts).unwrap();
        let (again, counts) = shares.of(one, 100);
        assert_eq!((again.available_permits(), counts), (8, 10));
        drop((taken, again));
        let _kept = shares.of(other, 1);
        assert_eq!(shares.used.lock().unwrap().len(), 1);
    }
}
