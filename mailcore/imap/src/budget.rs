//! Memory for messages that are being received, shared by all sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
