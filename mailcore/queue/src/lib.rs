//! The queue: messages on their way out, retried with back-off, bounced at the end of their life.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use provost_message::{Envelope, Path};
use provost_store::{BoxFuture, QueueItem, QueueStore, StoreError};

/// What came of one recipient of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The next hop took responsibility.
    Sent,
    /// 5xx: bounce. What the peer said.
    Failed(String),
    /// 4xx or no connection: try again. What the peer said.
    Deferred(String),
}

/// Sends a message on to the next hop: the border to the SMTP client.
pub trait NextHop: Send + Sync + 'static {
    /// One fate per recipient, in order. Never hangs past its own deadlines.
    fn send(&self, reverse_path: Option<Path>, recipients: Vec<Path>, eight_bit: bool, body: Bytes) -> BoxFuture<'_, Vec<Fate>>;
}

/// Times of the queue's life.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// First wait after a deferral, seconds. Default 60; doubles up to `retry_max`.
    pub retry_first: i64,
    /// Longest wait, seconds. Default 3600.
    pub retry_max: i64,
    /// After this many seconds a deferral becomes a bounce. Default 5 days.
    pub lifetime: i64,
    /// Attempts at once. Default 16.
    pub concurrency: usize,
}

/// The queue. Cheap to clone.
#[derive(Clone)]
pub struct Queue {
    _store: Arc<dyn QueueStore>,
}

impl Queue {
    /// Over rows, local delivery, and the next hop for everything else (`None`: nothing can be sent out, it is deferred).
    pub fn new(
        store: Arc<dyn QueueStore>,
        delivery: provost_delivery::Delivery,
        next_hop: Option<Arc<dyn NextHop>>,
        config: QueueConfig,
    ) -> Self {
        let _ = (delivery, next_hop, config);
        Self { _store: store }
    }

    /// Takes responsibility for a message: durable when it resolves `Ok`, then attempted at once in the background.
    pub async fn accept(&self, envelope: Envelope, body: Bytes, now: Timestamp) -> Result<(), StoreError> {
        let _ = (envelope, body, now);
        todo!("H6")
    }

    /// Works the queue until `stop` resolves.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) {
        stop.await;
        todo!("H6")
    }

    /// What waits, oldest first.
    pub async fn list(&self, most: usize) -> Result<Vec<QueueItem>, StoreError> {
        let _ = most;
        todo!("H6")
    }
}
