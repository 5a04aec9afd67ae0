//! Exclusive leases within one process.
//!
//! A lease has an epoch that grows with each holder, also over restarts. A batch that requires a lease is applied only
//! while that very lease is in force, and no other holder gets it before that batch is committed: a worker that was frozen
//! past its lease and comes back can write nothing that its successor does not see.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::StoreError;

/// An exclusive lease with a fencing epoch. Dropping it releases it.
pub struct Lease {
    /// Grows with each holder. Stands in [`Require::Lease`](crate::Require::Lease) of the writes that it guards.
    pub epoch: u64,
    name: String,
    release: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Lease {
    /// What was leased.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("name", &self.name).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            release();
        }
    }
}

/// Why a lease was not renewed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// It has run out, was released, or is another holder's: what it guarded must stop.
    #[error("the lease has ended")]
    Fenced,
    /// Cannot be done now.
    #[error("store unavailable: {0}")]
    Unavailable(String),
}

impl From<StoreError> for LeaseError {
    /// What cannot be looked at now says nothing about who holds the lease.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Gone => Self::Fenced,
            error => Self::Unavailable(error.to_string()),
        }
    }
}

/// One lease in force, or run out and not looked at since.
struct Holder {
    epoch: u64,
    until: Instant,
    /// Batches that require it and are being committed.
    pins: usize,
}

type Held = HashMap<String, Holder>;

/// The leases of one store.
pub(crate) struct Leases {
    held: Arc<Mutex<Held>>,
    epoch: AtomicU64,
}

/// Keeps a lease from another holder while a batch that requires it is committed.
pub(crate) struct Pin {
    held: Arc<Mutex<Held>>,
    name: String,
    epoch: u64,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        if let Some(holder) = held.get_mut(&self.name).filter(|holder| holder.epoch == self.epoch) {
            holder.pins = holder.pins.saturating_sub(1);
        }
    }
}

impl Leases {
    /// Epochs start above `epoch`, which an engine that outlives its process lets grow with each start.
    pub(crate) fn new(epoch: u64) -> Self {
        Self { held: Arc::default(), epoch: AtomicU64::new(epoch) }
    }

    /// `None` while another holder has it.
    pub(crate) fn take(&self, name: &str, ttl: Duration, now: Instant) -> Option<Lease> {
        let mut held = lock(&self.held);
        held.retain(|_, holder| holder.until > now || holder.pins > 0);
        if held.contains_key(name) {
            return None;
        }
        let epoch = self.epoch.fetch_add(1, Ordering::Relaxed) + 1;
        held.insert(name.to_owned(), Holder { epoch, until: now + ttl, pins: 0 });
        let (all, name) = (Arc::clone(&self.held), name.to_owned());
        let released = name.clone();
        // Ended, not removed: it may be pinned. The next look removes it.
        let release = move || {
            if let Some(holder) = lock(&all).get_mut(&released).filter(|holder| holder.epoch == epoch) {
                holder.until = now;
            }
        };
        Some(Lease { epoch, name, release: Some(Box::new(release)) })
    }

    /// See [`crate::MessageStore::renew`].
    pub(crate) fn renew(&self, lease: &Lease, ttl: Duration, now: Instant) -> Result<(), LeaseError> {
        let mut held = lock(&self.held);
        let holder = held.get_mut(&lease.name).filter(|holder| holder.epoch == lease.epoch && holder.until > now);
        holder.ok_or(LeaseError::Fenced)?.until = now + ttl;
        Ok(())
    }

    /// Holds a lease in force for a batch that requires it; `None` when it has ended.
    pub(crate) fn pin(&self, name: &str, epoch: u64, now: Instant) -> Option<Pin> {
        let mut held = lock(&self.held);
        let holder = held.get_mut(name).filter(|holder| holder.epoch == epoch && holder.until > now)?;
        holder.pins += 1;
        Some(Pin { held: Arc::clone(&self.held), name: name.to_owned(), epoch })
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[test]
    fn a_lease_is_renewed_until_it_has_ended() {
        let leases = Leases::new(0);
        let (now, ttl) = (Instant::now(), Duration::from_secs(10));
        let lease = leases.take("queue", ttl, now).unwrap();
        let (almost, late) = (now + ttl - Duration::from_secs(1), now + ttl + ttl);
        assert_eq!(leases.renew(&lease, ttl, almost), Ok(()));
        assert!(leases.take("queue", ttl, now + ttl).is_none(), "the renewal counts");
        assert_eq!(leases.renew(&lease, ttl, late), Err(LeaseError::Fenced), "too late");
        let next = leases.take("queue", ttl, late).unwrap();
        assert_eq!(leases.renew(&lease, ttl, late), Err(LeaseError::Fenced));
        assert_eq!(leases.renew(&next, ttl, late), Ok(()));
    }

    #[test]
    fn a_guarded_commit_keeps_others_out() {
        let leases = Leases::new(0);
        let (now, ttl) = (Instant::now(), Duration::from_secs(10));
        let lease = leases.take("queue", ttl, now).unwrap();
        assert!(leases.pin("queue", lease.epoch + 1, now).is_none());
        assert!(leases.pin("queue", lease.epoch, now + ttl).is_none());
        let pins = [leases.pin("queue", lease.epoch, now).unwrap(), leases.pin("queue", lease.epoch, now).unwrap()];
        drop(lease);
        assert!(leases.take("queue", ttl, now + ttl).is_none(), "not while a commit is under way");
        let [one, other] = pins;
        drop(one);
        assert!(leases.take("queue", ttl, now + ttl).is_none());
        drop(other);
        assert!(leases.take("queue", ttl, now + ttl).is_some());
    }
}
