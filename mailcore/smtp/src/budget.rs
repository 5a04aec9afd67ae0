//! Memory for the messages that are coming in: one bound for all sessions of the process.
//!
//! Connections times the largest message would be more than any machine has. A peer beyond the bound gets 452 and
//! comes again; small messages still get through while large ones have to wait.

use std::sync::atomic::{AtomicU64, Ordering};

/// Octets of buffers of all messages being received: three of 50 MB (they grow by doubling) and many of the usual size.
/// A configured SIZE above half of it is cut to that.
const RECEIVING_OCTETS_MAX: u64 = 256 * 1024 * 1024;

/// That of this process.
pub(crate) static RECEIVING: Budget = Budget::new(RECEIVING_OCTETS_MAX);

/// Octets that may be held at once.
#[derive(Debug)]
pub(crate) struct Budget {
    whole: u64,
    left: AtomicU64,
}

/// What one message holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: &'static Budget,
    octets: u64,
}

impl Budget {
    /// Of so many octets.
    pub(crate) const fn new(octets: u64) -> Self {
        Self { whole: octets, left: AtomicU64::new(octets) }
    }

    /// The largest message that can come at all, alone: half of the whole, for a buffer grows by doubling.
    pub(crate) const fn message_octets_max(&self) -> u64 {
        self.whole / 2
    }

    /// Whether a message of that size could come now. A promise of nothing: it saves sending what is refused.
    pub(crate) fn has_room(&self, octets: u64) -> bool {
        self.left.load(Ordering::Relaxed) >= octets.min(self.whole)
    }

    /// An empty share.
    pub(crate) fn share(&'static self) -> Share {
        Share { budget: self, octets: 0 }
    }
}

impl Share {
    /// Takes so many octets more; `false` when there are not enough, and nothing was taken.
    ///
    /// A message that is not alone leaves at least as much as it holds: a few large ones that never end cannot take
    /// the room of all the small ones.
    pub(crate) fn grow(&mut self, octets: u64) -> bool {
        let (whole, held) = (self.budget.whole, self.octets);
        let take = |left: u64| {
            let is_alone = left.saturating_add(held) >= whole;
            left.checked_sub(octets).filter(|rest| is_alone || *rest >= held.saturating_add(octets))
        };
        let taken = self.budget.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        if taken {
            self.octets += octets;
        }
        taken
    }

    /// Gives all back.
    pub(crate) fn release(&mut self) {
        self.budget.left.fetch_add(std::mem::take(&mut self.octets), Ordering::Relaxed);
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
        static BUDGET: Budget = Budget::new(100);
        let mut large = BUDGET.share();
        assert!(large.grow(60) && !large.grow(41), "alone it may have all, and no more");
        let mut small = BUDGET.share();
        assert!(small.grow(20) && !small.grow(1), "not alone it leaves as much as it holds");
        assert!(!large.grow(1) && BUDGET.has_room(20) && !BUDGET.has_room(21));
        drop(large);
        assert!(small.grow(30) && BUDGET.has_room(50));
        small.release();
        drop(small);
        assert!(BUDGET.has_room(100) && BUDGET.has_room(1_000));
    }
}
