//! Exclusive leases within one process.
//!
//! Each holder of a lease gets a greater epoch than all earlier holders, in a persistent engine also after a restart. A
//! batch that requires a lease is applied only while that lease is in force, and no other holder gets the lease before
//! the batch is committed. A worker that was frozen past its lease therefore cannot write anything that its successor
//! does not see.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::StoreError;

/// An exclusive lease with a fencing epoch, released on drop.
pub struct Lease {
    /// Greater than the epoch of every earlier holder. A batch that requires the lease has this epoch in its
    /// [`BatchCondition::Lease`](crate::BatchCondition::Lease).
    pub epoch: u64,
    name: String,
    release: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Lease {
    /// Returns the name of the lease.
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

/// Why a lease was not renewed, or why an operation with a [`Claim`](crate::Claim) to a queue row failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// The lease or claim has expired, was released, or belongs to another holder: the guarded work must stop.
    #[error("the lease has ended")]
    Fenced,
    /// The store cannot do this now; a retry may succeed.
    #[error("store unavailable: {0}")]
    Unavailable(String),
}

impl From<StoreError> for LeaseError {
    /// When the queue row is gone, so is the claim to it. Other errors do not show whether the claim is still in force.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Gone => Self::Fenced,
            error => Self::Unavailable(error.into_reason()),
        }
    }
}

/// A lease in force, or an expired one that was not removed yet.
struct LeaseHolder {
    epoch: u64,
    until: Instant,
    /// Number of batches that require the lease and are being committed.
    pins: usize,
}

type HeldLeases = HashMap<String, LeaseHolder>;

/// The leases of one store.
pub(crate) struct Leases {
    leases: Arc<Mutex<HeldLeases>>,
    epoch: AtomicU64,
}

/// Keeps a lease from other holders while a batch that requires it is committed.
pub(crate) struct LeasePin {
    leases: Arc<Mutex<HeldLeases>>,
    name: String,
    epoch: u64,
}

impl Drop for LeasePin {
    fn drop(&mut self) {
        let mut leases = lock(&self.leases);
        if let Some(holder) = leases.get_mut(&self.name).filter(|holder| holder.epoch == self.epoch) {
            holder.pins = holder.pins.saturating_sub(1);
        }
    }
}

impl Leases {
    /// Makes leases whose epochs are above `epoch`. A persistent engine passes a greater `epoch` at each start.
    pub(crate) fn new(epoch: u64) -> Self {
        Self { leases: Arc::default(), epoch: AtomicU64::new(epoch) }
    }

    /// Takes a lease; `None` while another holder has it.
    pub(crate) fn take(&self, name: &str, ttl: Duration, now: Instant) -> Option<Lease> {
        let mut leases = lock(&self.leases);
        leases.retain(|_, holder| holder.until > now || holder.pins > 0);
        if leases.contains_key(name) {
            return None;
        }
        let epoch = self.epoch.fetch_add(1, Ordering::Relaxed) + 1;
        leases.insert(name.to_owned(), LeaseHolder { epoch, until: now + ttl, pins: 0 });
        let (all, name) = (Arc::clone(&self.leases), name.to_owned());
        let released = name.clone();
        // Mark the lease as ended instead of removing it, because it may be pinned. A later `take` removes it.
        let release = move || {
            if let Some(holder) = lock(&all).get_mut(&released).filter(|holder| holder.epoch == epoch) {
                holder.until = now;
            }
        };
        Some(Lease { epoch, name, release: Some(Box::new(release)) })
    }

    /// Implements [`crate::MessageStore::renew`].
    pub(crate) fn renew(&self, lease: &Lease, ttl: Duration, now: Instant) -> Result<(), LeaseError> {
        let mut leases = lock(&self.leases);
        let holder = leases.get_mut(&lease.name).filter(|holder| holder.epoch == lease.epoch && holder.until > now);
        holder.ok_or(LeaseError::Fenced)?.until = now + ttl;
        Ok(())
    }

    /// Pins a lease in force for a batch that requires it; `None` when it has ended.
    pub(crate) fn pin(&self, name: &str, epoch: u64, now: Instant) -> Option<LeasePin> {
        let mut leases = lock(&self.leases);
        let holder = leases.get_mut(name).filter(|holder| holder.epoch == epoch && holder.until > now)?;
        holder.pins += 1;
        Some(LeasePin { leases: Arc::clone(&self.leases), name: name.to_owned(), epoch })
    }
}

fn lock(leases: &Mutex<HeldLeases>) -> MutexGuard<'_, HeldLeases> {
    leases.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert!(leases.take("queue", ttl, now + ttl).is_none(), "the drop of an expired lease ended its successor");
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
        assert!(leases.take("queue", ttl, now + ttl).is_none(), "taken although it was renewed");
        assert_eq!(leases.renew(&lease, ttl, late), Err(LeaseError::Fenced), "renewed after its end");
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
        assert!(leases.take("queue", ttl, now + ttl).is_none(), "taken during a commit");
        let [one, other] = pins;
        drop(one);
        assert!(leases.take("queue", ttl, now + ttl).is_none());
        drop(other);
        assert!(leases.take("queue", ttl, now + ttl).is_some());
    }
}
