//! Places for what must not become too many: so many for all, so many for each holder.
//!
//! Must not know what holds a place, nor how the other side learns that there is none.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Places<K> {
    all: Arc<Semaphore>,
    held: Arc<Held<K>>,
    most_each: usize,
}

/// How many places each holder has; who has none is not in it.
#[derive(Debug)]
struct Held<K>(Mutex<HashMap<K, usize>>);

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
    _permit: OwnedSemaphorePermit,
}

impl<K: Hash + Eq + Clone> Places<K> {
    /// So many for all, so many for each holder.
    #[must_use]
    pub fn new(all: usize, most_each: usize) -> Self {
        let held = Arc::new(Held(Mutex::new(HashMap::new())));
        Self { all: Arc::new(Semaphore::new(all)), held, most_each }
    }

    /// A place for this holder; without one it counts among all only.
    ///
    /// # Errors
    /// There is none.
    pub fn take(&self, holder: Option<K>) -> Result<Place<K>, Full> {
        let permit = Arc::clone(&self.all).try_acquire_owned().map_err(|_| Full::All)?;
        if let Some(holder) = &holder {
            let mut held = self.held.lock();
            if held.get(holder).is_some_and(|count| *count >= self.most_each) {
                return Err(Full::Own);
            }
            *held.entry(holder.clone()).or_default() += 1;
        }
        Ok(Place { holder, held: Arc::clone(&self.held), _permit: permit })
    }
}

impl<K> Held<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq> Drop for Place<K> {
    fn drop(&mut self) {
        let Some(holder) = &self.holder else { return };
        let mut held = self.held.lock();
        if let Some(count) = held.get_mut(holder) {
            *count -= 1;
            if *count == 0 {
                held.remove(holder);
            }
        }
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
