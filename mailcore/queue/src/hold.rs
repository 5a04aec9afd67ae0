//! A worker's proof that a row is still its own.

use std::sync::atomic::{AtomicBool, Ordering};

use provost_store::{BoxFuture, Claim, LeaseError};

use crate::{Hold, Inner};

/// How long one attempt has the row for itself, seconds: more than an attempt may take. A proof prolongs it.
pub(crate) const LEASE_SECONDS: i64 = 15 * 60;

/// The hold on one row that was taken.
pub(crate) struct RowHold<'a> {
    pub(crate) inner: &'a Inner,
    pub(crate) claim: Claim,
    /// Set by a proof: from then on the message may be the next hop's.
    pub(crate) handed_over: &'a AtomicBool,
}

impl RowHold<'_> {
    /// Fenced when another worker has the row, or had it.
    pub(crate) async fn renew(&self) -> Result<(), LeaseError> {
        // By the time of now, not of the attempt's begin: a machine that slept must not believe that it did not.
        let now = (self.inner.clock)().as_second();
        self.inner.store.prove(self.claim, now, LEASE_SECONDS).await
    }
}

impl Hold for RowHold<'_> {
    fn prove(&self) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            match self.renew().await {
                Ok(()) => {
                    self.handed_over.store(true, Ordering::Relaxed);
                    true
                }
                Err(error) => {
                    metrics::counter!("provost_queue_holds_lost_total").increment(1);
                    tracing::warn!(%error, "not sent: the queue row may be another worker's by now");
                    false
                }
            }
        })
    }
}
