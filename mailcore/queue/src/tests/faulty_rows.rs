//! A store of queue rows that fails on request.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use provost_store::{
    AttemptOutcome, BoxFuture, Claim, LeaseError, MemoryStore, NewMessage, QueueRow, QueueStore, QueuedRecipient,
    StoreError, TakeLimits, TakenRow,
};
use tokio::sync::watch;

/// The rows of another store, with faults on request.
pub(super) struct FaultyRows {
    pub(super) rows: Arc<MemoryStore>,
    /// Whether every body is damaged.
    pub(super) bodies_damaged: bool,
    /// Whether reading a body panics, like a bug that one message triggers.
    pub(super) reading_panics: bool,
    /// Number of next calls of `prove` that fail as unavailable.
    pub(super) failing_proofs: AtomicI64,
    /// Number of next calls of `settle` that fail as unavailable.
    pub(super) failing_settlings: AtomicI64,
}

impl FaultyRows {
    pub(super) fn over(rows: Arc<MemoryStore>) -> Self {
        let none = || AtomicI64::new(0);
        Self { rows, bodies_damaged: false, reading_panics: false, failing_proofs: none(), failing_settlings: none() }
    }
}

fn unavailable<'a>() -> BoxFuture<'a, Result<(), LeaseError>> {
    Box::pin(async { Err(LeaseError::Unavailable("disk full".into())) })
}

impl QueueStore for FaultyRows {
    fn enqueue(&self, outgoing: NewMessage) -> BoxFuture<'_, Result<(), StoreError>> {
        self.rows.enqueue(outgoing)
    }
    fn take_due(&self, take: TakeLimits) -> BoxFuture<'_, Result<Vec<TakenRow>, StoreError>> {
        self.rows.take_due(take)
    }
    fn queued_body(&self, row: &QueueRow) -> BoxFuture<'_, Result<Bytes, StoreError>> {
        assert!(!self.reading_panics, "a bug");
        match self.bodies_damaged {
            true => Box::pin(async { Err(StoreError::Damaged("a checksum".into())) }),
            false => self.rows.queued_body(row),
        }
    }
    fn prove(&self, claim: Claim, now: Timestamp, lease: Duration) -> BoxFuture<'_, Result<(), LeaseError>> {
        match self.failing_proofs.fetch_sub(1, Ordering::Relaxed) > 0 {
            true => unavailable(),
            false => self.rows.prove(claim, now, lease),
        }
    }
    fn advance(
        &self,
        claim: Claim,
        remaining: Vec<QueuedRecipient>,
        held_until: Timestamp,
        caused: Vec<NewMessage>,
    ) -> BoxFuture<'_, Result<(), LeaseError>> {
        self.rows.advance(claim, remaining, held_until, caused)
    }
    fn settle(
        &self,
        claim: Claim,
        outcome: AttemptOutcome,
        caused: Vec<NewMessage>,
    ) -> BoxFuture<'_, Result<(), LeaseError>> {
        match self.failing_settlings.fetch_sub(1, Ordering::Relaxed) > 0 {
            true => unavailable(),
            false => self.rows.settle(claim, outcome, caused),
        }
    }
    fn list(&self, limit: usize) -> BoxFuture<'_, Result<Vec<QueueRow>, StoreError>> {
        self.rows.list(limit)
    }
    fn next_due(&self, after: Timestamp) -> BoxFuture<'_, Result<Option<Timestamp>, StoreError>> {
        self.rows.next_due(after)
    }
    fn arrivals(&self) -> watch::Receiver<u64> {
        self.rows.arrivals()
    }
}
