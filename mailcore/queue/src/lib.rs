//! The queue: messages that wait to be delivered here or sent on, retried with growing waits, bounced at the end of
//! their lifetime.
//!
//! A row is one message for all its recipients in one domain, the row's *destination*. It is *due*, or waits for its
//! `due_at`. A worker *leases* it for one attempt. Each recipient is then *delivered* here or *sent* to the
//! next hop (both: removed), *failed* (removed in the transaction that queues the bounce) or *deferred* (stays, and the
//! row gets a later `due_at`). A row without recipients is deleted. A row that cannot be read, or was leased five times
//! running without an outcome, is *set aside*.
//!
//! Three things must never happen here: a recipient removed while the outcome is open, a bounce for the null
//! reverse-path, and anything sent by a worker whose lease has passed to another.

mod attempt;
mod fate;
mod permit;
mod schedule;
mod work;

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use provost_delivery::Delivery;
use provost_message::Envelope;
use provost_store::{NewMessage, QueueId, QueueRow, QueueStore, QueueTally, StoreError};
use tokio::sync::Semaphore;
use uuid::Uuid;

pub use fate::{Fate, NextHop, SendPermit};
pub use schedule::{QueueConfig, next_attempt};
pub use work::STOP_MAX;

/// The queue. Cheap to clone.
#[derive(Clone)]
pub struct Queue {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn QueueStore>,
    delivery: Delivery,
    next_hop: Option<Arc<dyn NextHop>>,
    config: QueueConfig,
    /// Memory for the bodies of running attempts, one permit for each KiB.
    body_memory: Semaphore,
    /// The clock that leases are checked against.
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Queue {
    /// A queue over the rows of `store`. Recipients at a domain of this site go to `delivery`, all others to
    /// `next_hop`; without a next hop, these are deferred.
    pub fn new(
        store: Arc<dyn QueueStore>,
        delivery: Delivery,
        next_hop: Option<Arc<dyn NextHop>>,
        config: QueueConfig,
    ) -> Self {
        let body_memory = Semaphore::new(attempt::BODY_UNITS_MAX);
        let clock = Box::new(Timestamp::now);
        Self { inner: Arc::new(Inner { store, delivery, next_hop, config, body_memory, clock }) }
    }

    /// Takes responsibility for a message, which is durable when this resolves to `Ok`. [`Queue::run`] makes the first
    /// attempt.
    pub async fn accept(&self, envelope: Envelope, body: Bytes, now: Timestamp) -> Result<(), StoreError> {
        self.accept_as(Uuid::new_v4(), envelope, body, now).await
    }

    /// Like [`Queue::accept`], under an id that the caller chooses. A repeated id is not queued again while its message
    /// has rows, nor in the seven days after. A delivery here uses the [`provost_delivery::batch_id`] of `id` and
    /// recipient, so a recipient who already has the message gets no second copy.
    pub async fn accept_as(&self, id: Uuid, envelope: Envelope, body: Bytes, now: Timestamp) -> Result<(), StoreError> {
        self.accept_outgoing(NewMessage { id: QueueId::new(id), envelope, body, when: now }).await
    }

    /// Like [`Queue::accept_as`], for a caller that has already made a [`NewMessage`].
    pub async fn accept_outgoing(&self, outgoing: NewMessage) -> Result<(), StoreError> {
        self.inner.store.enqueue(outgoing).await?;
        metrics::counter!("provost_queue_accepted_total").increment(1);
        Ok(())
    }

    /// Returns at most `limit` rows in any state, oldest first.
    pub async fn list(&self, limit: usize) -> Result<Vec<QueueRow>, StoreError> {
        self.inner.store.list(limit).await
    }

    /// Returns the number of rows in each state at `now`.
    pub async fn tally(&self, now: Timestamp) -> Result<QueueTally, StoreError> {
        self.inner.store.tally(now).await
    }
}

#[cfg(test)]
mod tests;
