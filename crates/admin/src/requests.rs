//! Requests that were carried out: one that comes again is answered, not carried out again.
//!
//! Must not know what was asked, only its digest.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use domain::aggregate::Actor;
use domain::commit::{Commit, Request, Subject};
use domain::time::Timestamp;

/// How long a repeated request is known.
const MEMORY: Duration = Duration::from_secs(24 * 60 * 60);

/// What is known of a request that was carried out.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// The number of its commit.
    pub sequence: u64,
    /// What it touched.
    pub subject: Subject,
    digest: [u8; 32],
    at: Timestamp,
}

/// What an id was used for.
#[derive(Clone, Copy, Debug)]
pub enum Before {
    /// For the same request.
    Same(Known),
    /// For another one.
    Another,
}

/// Who asked, and the id.
type Key = (Actor, [u8; 16]);

/// Requests that were carried out within the last 24 hours, by who asked and the id.
#[derive(Debug, Default)]
pub struct Requests {
    known: HashMap<Key, Known>,
    /// All of them by the time and the number of their commits, so that those of before the last 24 hours
    /// need not be looked for.
    order: BTreeMap<(Timestamp, u64), Key>,
}

impl Requests {
    /// Remembers the request of a commit.
    pub fn note(&mut self, commit: &Commit) {
        let (Some(request), Some(change)) = (commit.request, commit.changes.first()) else {
            return;
        };
        let known = Known {
            digest: request.digest,
            at: commit.at,
            sequence: commit.sequence,
            subject: change.subject(),
        };
        let key = (commit.actor, request.id);
        self.known.insert(key, known);
        self.order.insert((commit.at, commit.sequence), key);
    }

    /// What this id was used for before, if that is known.
    #[must_use]
    pub fn before(&self, actor: Actor, request: Request, now: Timestamp) -> Option<Before> {
        let known = self.known.get(&(actor, request.id))?;
        if now.since(known.at) > MEMORY {
            return None;
        }
        Some(if known.digest == request.digest { Before::Same(*known) } else { Before::Another })
    }

    /// Forgets those whose time is over.
    pub fn forget(&mut self, now: Timestamp) {
        while let Some(first) = self.order.first_entry() {
            let (at, sequence) = *first.key();
            if now.since(at) <= MEMORY {
                return;
            }
            let key = first.remove();
            // The id may have been used again since.
            if self.known.get(&key).is_some_and(|known| known.sequence == sequence) {
                self.known.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::commit::Change;
    use domain::secret::Digest;

    use super::*;

    fn commit(sequence: u64, id: u8, at: Timestamp) -> Commit {
        Commit {
            sequence,
            previous_hash: [0; 32],
            at,
            actor: Actor::System,
            request: Some(Request { id: [id; 16], digest: [id; 32] }),
            changes: vec![Change::BootstrapIssued(Digest::from_bytes([0; 32]))],
        }
    }

    #[test]
    fn a_request_is_known_for_a_day_also_where_its_id_is_used_again() {
        let begun = Timestamp::from_micros(1_800_000_000_000_000);
        let later = |hours: u64| begun.plus(Duration::from_secs(3_600 * hours));
        let mut requests = Requests::default();
        let before = |requests: &Requests, id: u8, digest: u8, now| {
            let request = Request { id: [id; 16], digest: [digest; 32] };
            match requests.before(Actor::System, request, now) {
                Some(Before::Same(known)) => Some(known.sequence),
                Some(Before::Another) => Some(0),
                None => None,
            }
        };
        requests.note(&commit(1, 1, begun));
        requests.note(&commit(2, 2, later(1)));
        requests.forget(later(24));
        assert_eq!(before(&requests, 1, 1, later(24)), Some(1));
        assert_eq!(before(&requests, 1, 9, later(24)), Some(0), "the id of another request");
        assert_eq!(before(&requests, 3, 3, later(24)), None);
        assert_eq!(before(&requests, 1, 1, later(25)), None);
        requests.note(&commit(3, 1, later(25)));
        requests.forget(later(25));
        assert_eq!((requests.known.len(), requests.order.len()), (2, 2));
        // The clock was ahead once: what is of before is forgotten all the same.
        requests.note(&commit(4, 4, later(9_000)));
        requests.note(&commit(5, 5, later(26)));
        requests.forget(later(51));
        assert_eq!(before(&requests, 5, 5, later(51)), None);
        assert_eq!((requests.known.len(), requests.order.len()), (1, 1));
        requests.forget(later(9_025));
        requests.note(&commit(6, 1, later(25)));
        assert_eq!(before(&requests, 1, 1, later(49)), Some(6));
        requests.forget(later(50));
        assert_eq!((requests.known.len(), requests.order.len()), (0, 0));
    }
}
