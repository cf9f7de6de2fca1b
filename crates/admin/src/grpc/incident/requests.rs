//! Request ids of what principals did to incidents, so that an id that comes again with something
//! else is noticed. That a repeat has its effect once does not rest on this.
//!
//! Must not know what the requests ask for.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use domain::commit::Request;
use domain::id::PrincipalId;
use domain::time::Timestamp;

/// How long an id is known.
const MEMORY: Duration = Duration::from_secs(24 * 60 * 60);
/// The most ids that are known, about 10 MB; with more the oldest is forgotten.
const MOST: usize = 100_000;

type Key = (PrincipalId, [u8; 16]);

/// The ids of the last 24 hours, as far as this process has seen them.
#[derive(Debug, Default)]
pub struct Requests {
    digests: HashMap<Key, [u8; 32]>,
    /// The oldest first.
    order: VecDeque<(Timestamp, Key)>,
}

impl Requests {
    /// Remembers a request; false if its id was used for another one.
    pub fn note(&mut self, by: PrincipalId, request: Request, now: Timestamp) -> bool {
        while let Some((at, key)) = self.order.front()
            && (self.order.len() >= MOST || now.since(*at) > MEMORY)
        {
            self.digests.remove(key);
            self.order.pop_front();
        }
        let key = (by, request.id);
        if let Some(known) = self.digests.get(&key) {
            return *known == request.digest;
        }
        self.digests.insert(key, request.digest);
        self.order.push_back((now, key));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(requests: &mut Requests, by: u8, id: u32, digest: u8, hours: i64) -> bool {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&id.to_be_bytes());
        let request = Request { id: bytes, digest: [digest; 32] };
        let now = Timestamp::from_micros(hours * 3_600_000_000);
        requests.note(PrincipalId::from_bytes([by; 16]), request, now)
    }

    #[test]
    fn an_id_is_for_one_request_of_a_principal_for_a_day() {
        let mut known = Requests::default();
        assert!(note(&mut known, 1, 1, 1, 0));
        assert!(note(&mut known, 1, 1, 1, 1), "a repeat");
        assert!(!note(&mut known, 1, 1, 2, 24), "something else");
        assert!(note(&mut known, 2, 1, 2, 24), "of somebody else");
        assert!(note(&mut known, 1, 1, 2, 25), "a day later");
        assert_eq!((known.digests.len(), known.order.len()), (2, 2));
    }

    #[test]
    fn what_is_known_is_bounded() {
        let mut known = Requests::default();
        for id in 0..u32::try_from(MOST).unwrap() + 10 {
            assert!(note(&mut known, 1, id, 1, 0));
        }
        assert_eq!((known.digests.len(), known.order.len()), (MOST, MOST));
        assert!(note(&mut known, 1, 0, 2, 0), "the oldest are forgotten");
    }
}
