//! What a shard's committer reports to the upkeep: the number of commits, the octets of inline bodies, and a signal
//! that wakes the upkeep thread. An inline body is stored in the database and not in a pack.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Octets of inline bodies in one shard at which the upkeep moves them to a pack, however busy the shard is.
pub(super) const INLINE_MOVED_AT: u64 = 8 * 1024 * 1024;
/// Octets of inline bodies in one shard beyond which new bodies go to a pack. Reached only when the upkeep cannot keep
/// up or cannot write.
pub(super) const INLINE_HELD_MAX: u64 = 64 * 1024 * 1024;

/// Wakes and ends the upkeep thread.
#[derive(Default)]
pub(super) struct UpkeepSignal {
    state: Mutex<SignalState>,
    changed: Condvar,
}

#[derive(Default)]
struct SignalState {
    woken: bool,
    stopped: bool,
}

impl UpkeepSignal {
    fn wake(&self) {
        self.state().woken = true;
        self.changed.notify_all();
    }

    pub(super) fn stop(&self) {
        self.state().stopped = true;
        self.changed.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    /// Waits for `time`, or until woken or stopped.
    pub(super) fn wait(&self, time: Duration) {
        let quiet = |state: &mut SignalState| !state.woken && !state.stopped;
        let wait = self.changed.wait_timeout_while(self.state(), time, quiet);
        wait.unwrap_or_else(PoisonError::into_inner).0.woken = false;
    }

    fn state(&self) -> MutexGuard<'_, SignalState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The counters of one committer.
pub(super) struct CommitterLoad {
    signal: Arc<UpkeepSignal>,
    inline_octets: AtomicU64,
    commits: AtomicU64,
}

impl CommitterLoad {
    pub(super) fn new(signal: &Arc<UpkeepSignal>) -> Self {
        Self { signal: Arc::clone(signal), inline_octets: AtomicU64::new(0), commits: AtomicU64::new(0) }
    }

    /// Counts a commit, and the octets of bodies that it stored inline.
    pub(super) fn committed(&self, inline_octets: u64) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        let before = self.inline_octets.fetch_add(inline_octets, Ordering::Relaxed);
        if before < INLINE_MOVED_AT && before + inline_octets >= INLINE_MOVED_AT {
            self.signal.wake();
        }
    }

    /// Returns the approximate octets of inline bodies.
    pub(super) fn inline_octets(&self) -> u64 {
        self.inline_octets.load(Ordering::Relaxed)
    }

    /// Returns the commits since the start.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Adds octets of inline bodies that an earlier process left.
    pub(super) fn found(&self, octets: u64) {
        self.inline_octets.fetch_add(octets, Ordering::Relaxed);
    }

    /// Subtracts octets that the upkeep moved to a pack.
    pub(super) fn subtract_moved(&self, octets: u64) {
        let less = |held: u64| Some(held.saturating_sub(octets));
        // Bodies of refused batches stay counted until `reset`.
        let _ = self.inline_octets.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Sets the octets to zero. Called when no inline body is left: octets of refused batches may still be counted.
    pub(super) fn reset(&self) {
        self.inline_octets.store(0, Ordering::Relaxed);
    }
}
