//! What all sessions share: memory for messages that are being received, and turns for bodies that are searched.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Octets of large literals in memory at one time, of all sessions together: five of the largest messages.
const LITERAL_OCTETS_IN_MEMORY_MAX: u64 = 256 * 1024 * 1024;

/// What is left of the octets that all sessions may hold of literals. Clones share it.
#[derive(Clone, Debug)]
pub struct LiteralBudget(Arc<AtomicU64>);

impl Default for LiteralBudget {
    fn default() -> Self {
        Self::new(LITERAL_OCTETS_IN_MEMORY_MAX)
    }
}

impl LiteralBudget {
    /// Of so many octets.
    pub fn new(octets: u64) -> Self {
        Self(Arc::new(AtomicU64::new(octets)))
    }
}

/// What one session holds of the budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: LiteralBudget,
    octets: u64,
}

impl Share {
    /// Of nothing yet.
    pub(crate) fn new(budget: &LiteralBudget) -> Self {
        Self { budget: budget.clone(), octets: 0 }
    }

    /// Takes more; false when there is not that much left.
    pub(crate) fn grow(&mut self, octets: u64) -> bool {
        let left = &self.budget.0;
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(octets)).is_ok();
        self.octets += if taken { octets } else { 0 };
        taken
    }

    /// Gives all back.
    pub(crate) fn release(&mut self) {
        self.budget.0.fetch_add(std::mem::take(&mut self.octets), Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.release();
    }
}

/// Turns to read and decode a piece of a body for SEARCH, in the order in which they are asked for. Clones share them.
///
/// Half of the cores: with more of them, searches would leave nothing for those who log in, read and deliver meanwhile.
#[derive(Clone, Debug)]
pub struct SearchTurns {
    turns: Arc<Semaphore>,
    most: u32,
}

impl Default for SearchTurns {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::new(u32::try_from(cores / 2).unwrap_or(1))
    }
}

impl SearchTurns {
    /// So many at once, at least one.
    pub fn new(most: u32) -> Self {
        let most = most.max(1);
        Self { turns: Arc::new(Semaphore::new(most as usize)), most }
    }

    /// For one piece. `None` never comes: nobody closes the turns.
    pub(crate) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).acquire_owned().await.ok()
    }

    /// For a whole message: alone.
    pub(crate) async fn all_turns(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).acquire_many_owned(self.most).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_shared_and_given_back() {
        let budget = LiteralBudget::new(10);
        let (mut one, mut other) = (Share::new(&budget), Share::new(&budget));
        assert!(one.grow(6) && !other.grow(5) && other.grow(4) && !one.grow(1));
        one.release();
        assert!(other.grow(6));
        drop(other);
        assert!(one.grow(10));
    }
}
