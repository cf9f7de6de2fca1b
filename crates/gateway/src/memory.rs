//! Memory for bodies that are received or wait: bounded for all, and shared between tokens.
//!
//! A token may have as much as is still free after it: one that floods with large bodies takes half,
//! and the others find room. Must not know what is in a body.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use domain::id::TokenId;

/// Bytes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Memory {
    most: u64,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    all: u64,
    each: HashMap<TokenId, u64>,
}

/// Bytes that somebody has. Dropped, they are free again.
#[derive(Debug)]
pub struct Share {
    token: TokenId,
    bytes: u64,
    held: Arc<Mutex<Held>>,
}

impl Memory {
    /// So many bytes for all.
    pub fn new(most: u64) -> Self {
        Self { most, held: Arc::default() }
    }

    /// So many for a body that came with this token; none where they are not free for it.
    pub fn take(&self, token: TokenId, bytes: u64) -> Option<Share> {
        let mut held = lock(&self.held);
        let own = held.each.get(&token).copied().unwrap_or_default();
        if own + held.all + bytes > self.most {
            return None;
        }
        held.all += bytes;
        held.each.insert(token, own + bytes);
        drop(held);
        Some(Share { token, bytes, held: Arc::clone(&self.held) })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        held.all -= self.bytes;
        if let Some(own) = held.each.get_mut(&self.token) {
            *own -= self.bytes;
            if *own == 0 {
                held.each.remove(&self.token);
            }
        }
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().expect("no holder of this lock panics")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(n: u8) -> TokenId {
        TokenId::from_bytes([n; 16])
    }

    #[test]
    fn one_that_floods_leaves_half_to_others_and_all_is_given_back() {
        let memory = Memory::new(100);
        let fill = |n: u8, bytes| -> Vec<_> {
            std::iter::from_fn(|| memory.take(token(n), bytes)).take(1_000).collect()
        };
        let flood = fill(0, 10);
        assert_eq!(flood.len(), 5);
        let other = fill(1, 5);
        assert_eq!(other.len(), 5);
        assert!(memory.take(token(2), 12).is_some());
        drop((flood, other));
        let held = lock(&memory.held);
        assert_eq!((held.all, held.each.len()), (0, 0));
    }
}
