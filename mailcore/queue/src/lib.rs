//! The queue: messages on their way out, retried with back-off, bounced at the end of their life.
//!
//! All states on one page. An item is *due* or waits for its `due_at`; taken, it is *leased* for one attempt; after it,
//! each recipient is *done* (taken out), *deferred* (stays, with a later `due_at`) or *failed* (taken out, in a bounce).
//! An item without recipients is gone. What must never happen here: a recipient taken out before somebody else has
//! taken responsibility, a bounce for the null reverse-path.

mod attempt;
mod fate;
mod schedule;
mod work;

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use provost_delivery::Delivery;
use provost_message::Envelope;
use provost_store::{QueueId, QueueItem, QueueStore, StoreError};
use tokio::sync::{Notify, Semaphore};
use uuid::Uuid;

pub use fate::{Fate, NextHop};
pub use schedule::{QueueConfig, next_attempt};

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
    /// Memory for the bodies of running attempts.
    bodies: Semaphore,
    /// Something was accepted: look at once.
    wake: Notify,
}

impl Queue {
    /// Over rows, local delivery, and the next hop for everything else (`None`: nothing can be sent out, it is deferred).
    pub fn new(
        store: Arc<dyn QueueStore>,
        delivery: Delivery,
        next_hop: Option<Arc<dyn NextHop>>,
        config: QueueConfig,
    ) -> Self {
        let bodies = Semaphore::new(attempt::BODY_UNITS_MAX);
        Self { inner: Arc::new(Inner { store, delivery, next_hop, config, bodies, wake: Notify::new() }) }
    }

    /// Takes responsibility for a message: durable when it resolves `Ok`, then attempted at once in the background.
    pub async fn accept(&self, envelope: Envelope, body: Bytes, now: Timestamp) -> Result<(), StoreError> {
        self.accept_as(Uuid::new_v4(), envelope, body, now).await
    }

    /// The same under an id of the caller's: the same id again changes nothing, and local recipients get the message
    /// under [`provost_delivery::batch_id`] of that id.
    pub async fn accept_as(&self, id: Uuid, envelope: Envelope, body: Bytes, now: Timestamp) -> Result<(), StoreError> {
        self.inner.store.enqueue(QueueId(id), envelope, body, now.as_second()).await?;
        metrics::counter!("queue_accepted_total").increment(1);
        self.inner.wake.notify_one();
        Ok(())
    }

    /// What waits, oldest first.
    pub async fn list(&self, most: usize) -> Result<Vec<QueueItem>, StoreError> {
        self.inner.store.list(most).await
    }
}

#[cfg(test)]
mod tests;
