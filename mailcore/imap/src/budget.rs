//! Resources that all sessions share: disk and memory for large literals, and turns to search bodies.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use provost_net::{MemoryBudget, Reservation};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Octets of large literals on disk at one time, over all sessions: about forty messages of 50 MB.
const SPOOLED_OCTETS_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// Longest wait of a complete command for memory.
const MEMORY_WAIT_MAX: Duration = Duration::from_secs(60);

/// Disk and memory that all sessions may use for large literals. Clones share the budget.
#[derive(Clone, Debug)]
pub struct LiteralBudget {
    folder: Arc<Path>,
    disk_octets_left: Arc<AtomicU64>,
    memory: MemoryBudget,
}

impl LiteralBudget {
    /// A budget for literals that arrive into unnamed files in `folder`. Complete commands take their memory from
    /// `memory`.
    pub fn within(folder: PathBuf, memory: MemoryBudget) -> Self {
        Self::new(folder, SPOOLED_OCTETS_MAX, memory)
    }

    /// Like [`LiteralBudget::within`], with at most `octets` on disk.
    pub fn new(folder: PathBuf, octets: u64, memory: MemoryBudget) -> Self {
        Self { folder: folder.into(), disk_octets_left: Arc::new(AtomicU64::new(octets)), memory }
    }

    /// The largest message, octets, that the memory budget ever admits.
    pub(crate) fn message_octets_max(&self) -> u64 {
        self.memory.body_octets_max()
    }

    /// The folder of the temporary files.
    pub(crate) fn folder(&self) -> Arc<Path> {
        Arc::clone(&self.folder)
    }

    /// Reserves memory for a complete command with a literal of `octets`. The command holds the memory while it is
    /// parsed and executed, and does not wait for its client meanwhile. `None` when no memory became free in time.
    pub(crate) async fn reserve_memory(&self, octets: u64) -> Option<Reservation> {
        let mut reservation = self.memory.body();
        if reservation.grow_within(octets, MEMORY_WAIT_MAX).await {
            return Some(reservation);
        }
        metrics::counter!("provost_memory_budget_refused_total", "what" => "literal").increment(1);
        None
    }
}

/// The disk octets that one session holds of the budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct BudgetShare {
    budget: LiteralBudget,
    octets: u64,
}

impl BudgetShare {
    /// An empty share.
    pub(crate) fn new(budget: &LiteralBudget) -> Self {
        Self { budget: budget.clone(), octets: 0 }
    }

    /// Takes `octets` more; `false`, with nothing taken, when the budget does not have them.
    pub(crate) fn grow(&mut self, octets: u64) -> bool {
        let left = &self.budget.disk_octets_left;
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(octets)).is_ok();
        self.octets += if taken { octets } else { 0 };
        taken
    }

    /// Gives all octets back.
    pub(crate) fn release(&mut self) {
        self.budget.disk_octets_left.fetch_add(std::mem::take(&mut self.octets), Ordering::Relaxed);
    }
}

impl Drop for BudgetShare {
    fn drop(&mut self) {
        self.release();
    }
}

/// Turns to read and decode a piece of a body for SEARCH, granted in the order of the requests. Clones share them.
///
/// By default there are half as many turns as cores: with more, searches would leave no core for logins, reads and
/// deliveries.
#[derive(Clone, Debug)]
pub struct SearchTurns {
    turns: Arc<Semaphore>,
    limit: u32,
}

impl Default for SearchTurns {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::new(u32::try_from(cores / 2).unwrap_or(1))
    }
}

impl SearchTurns {
    /// `limit` turns at a time, at least one.
    pub fn new(limit: u32) -> Self {
        let limit = limit.max(1);
        Self { turns: Arc::new(Semaphore::new(limit as usize)), limit }
    }

    /// One turn, for one piece. Never `None`, as the semaphore is never closed.
    pub(crate) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).acquire_owned().await.ok()
    }

    /// All turns, so that no other search runs while a large message is read whole.
    pub(crate) async fn all_turns(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).acquire_many_owned(self.limit).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_shared_and_given_back() {
        let budget = LiteralBudget::new(std::env::temp_dir(), 10, MemoryBudget::default());
        let (mut one, mut other) = (BudgetShare::new(&budget), BudgetShare::new(&budget));
        assert!(one.grow(6) && !other.grow(5) && other.grow(4) && !one.grow(1));
        one.release();
        assert!(other.grow(6));
        drop(other);
        assert!(one.grow(10));
    }
}
