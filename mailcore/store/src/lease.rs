//! Exclusive leases within one process.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// An exclusive lease with a fencing epoch. Dropping it releases it.
pub struct Lease {
    /// Grows with each holder.
    pub epoch: u64,
    release: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            release();
        }
    }
}

/// Who holds what, until when.
type Held = HashMap<String, (u64, Instant)>;

/// The leases of one store.
pub(crate) struct Leases {
    held: Arc<Mutex<Held>>,
    epoch: AtomicU64,
}

impl Leases {
    /// Epochs start above `epoch`, which an engine that outlives its process lets grow with each start.
    pub(crate) fn new(epoch: u64) -> Self {
        Self { held: Arc::default(), epoch: AtomicU64::new(epoch) }
    }

    /// `None` while somebody else holds it.
    pub(crate) fn take(&self, name: &str, ttl: Duration, now: Instant) -> Option<Lease> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, (_, until)| *until > now);
        if held.contains_key(name) {
            return None;
        }
        let epoch = self.epoch.fetch_add(1, Ordering::Relaxed) + 1;
        held.insert(name.to_owned(), (epoch, now + ttl));
        let (all, name) = (Arc::clone(&self.held), name.to_owned());
        let release = move || {
            let mut held = all.lock().unwrap_or_else(PoisonError::into_inner);
            // It may have run out, and be somebody else's by now.
            if held.get(&name).is_some_and(|(holder, _)| *holder == epoch) {
                held.remove(&name);
            }
        };
        Some(Lease { epoch, release: Some(Box::new(release)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_epochs_grow() {
        let leases = Leases::new(0);
        let (now, ttl) = (Instant::now(), Duration::from_secs(10));
        let first = leases.take("queue", ttl, now).unwrap();
        assert!(leases.take("queue", ttl, now).is_none());
        assert!(leases.take("other", ttl, now).is_some());
        let second = leases.take("queue", ttl, now + ttl).unwrap();
        assert!(second.epoch > first.epoch);
        drop(first);
        assert!(leases.take("queue", ttl, now + ttl).is_none(), "one that ran out does not end its successor");
        drop(second);
        assert!(leases.take("queue", ttl, now + ttl).is_some());
    }
}
