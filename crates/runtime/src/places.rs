//! Places for what must not become too many: so many for all, so many for each holder.
//!
//! Must not know what holds a place, nor how the other side learns that there is none.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Places. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Places<K> {
    all: Arc<Semaphore>,
    held: Arc<Held<K>>,
    most_each: usize,
}

#[derive(Debug)]
struct Held<K> {
    /// How many places each holder has; who has none is not in it.
    counts: Mutex<HashMap<K, usize>>,
    /// Told of each place that is free again.
    freed: Notify,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// All of them are taken.
    All,
    /// This holder has as many as one may have.
    Own,
}

/// A place. Dropped, it is free again.
#[derive(Debug)]
pub struct Place<K: Hash + Eq> {
    holder: Option<K>,
    held: Arc<Held<K>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl<K: Hash + Eq + Clone> Places<K> {
    /// So many for all, so many for each holder.
    #[must_use]
    pub fn new(all: usize, most_each: usize) -> Self {
        let held = Arc::new(Held { counts: Mutex::default(), freed: Notify::new() });
        Self { all: Arc::new(Semaphore::new(all)), held, most_each }
    }

    /// A place for this holder; without one it counts among all only.
    ///
    /// # Errors
    /// There is none.
    pub fn take(&self, holder: Option<K>) -> Result<Place<K>, Full> {
        // A permit is taken only where it is kept: whoever waits would not learn that it is back.
        let mut counts = self.held.lock();
        let own = holder.as_ref().and_then(|holder| counts.get(holder)).copied().unwrap_or(0);
        if holder.is_some() && own >= self.most_each {
            return Err(Full::Own);
        }
        let permit = Arc::clone(&self.all).try_acquire_owned().map_err(|_| Full::All)?;
        if let Some(holder) = &holder {
            counts.insert(holder.clone(), own + 1);
        }
        drop(counts);
        Ok(Place { holder, held: Arc::clone(&self.held), permit: Some(permit) })
    }

    /// The same, waited for.
    pub async fn wait(&self, holder: Option<K>) -> Place<K> {
        loop {
            let freed = self.held.freed.notified();
            if let Ok(place) = self.take(holder.clone()) {
                return place;
            }
            freed.await;
        }
    }
}

impl<K> Held<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq> Held<K> {
    fn remove(&self, holder: &K) {
        let mut counts = self.lock();
        if let Some(count) = counts.get_mut(holder) {
            *count -= 1;
            if *count == 0 {
                counts.remove(holder);
            }
        }
    }
}

impl<K: Hash + Eq> Drop for Place<K> {
    fn drop(&mut self) {
        if let Some(holder) = &self.holder {
            self.held.remove(holder);
        }
        drop(self.permit.take());
        self.held.freed.notify_waiters();
    }
}

/// The client that limits are counted for. Who has an address of IPv6 has 2^64 of them.
#[must_use]
pub fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_holder_and_all_together_have_a_limit() {
        let places = Places::new(4, 2);
        let (first, _second) = (places.take(Some("a")).unwrap(), places.take(Some("a")).unwrap());
        assert_eq!(places.take(Some("a")).err(), Some(Full::Own));
        let (_third, fourth) = (places.take(Some("b")).unwrap(), places.take(None).unwrap());
        assert_eq!(places.take(Some("b")).err(), Some(Full::All));
        drop((first, fourth));
        let _fifth = places.take(Some("a")).unwrap();
        assert_eq!(places.take(Some("a")).err(), Some(Full::Own), "a refusal takes no place");
        assert!(places.take(None).is_ok());
    }

    #[tokio::test]
    async fn who_waits_gets_a_place_once_one_is_free() {
        let places = Places::new(2, 1);
        let first = places.take(Some("a")).unwrap();
        let other = places.clone();
        let waiting = tokio::spawn(async move { other.wait(Some("a")).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(places.wait(Some("b")).await);
        drop(first);
        waiting.await.unwrap();
        assert!(places.held.lock().is_empty());
    }

    #[test]
    fn who_holds_nothing_is_forgotten() {
        let places = Places::new(4, 2);
        drop((places.take(Some("a")).unwrap(), places.take(Some("b")).unwrap()));
        assert!(places.held.lock().is_empty());
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one() {
        let counted = |text: &str| counted(text.parse().unwrap()).to_string();
        assert_eq!(counted("2001:db8:0:1:2::3"), "2001:db8:0:1::");
        assert_eq!(counted("192.0.2.1"), "192.0.2.1");
        assert_eq!(counted("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
