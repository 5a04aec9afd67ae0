//! Proof, right before a message is handed over, that the worker still has the lease on its queue row.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use provost_store::{BoxFuture, Claim, LeaseError};

use crate::{Inner, SendPermit};

/// Length of the lease on a row: longer than the steps before the proof may take. The proof leaves at least 14 minutes,
/// which is longer than the steps after it may take (see `work::ATTEMPT_MAX`).
pub(crate) const LEASE: Duration = Duration::from_mins(15);

/// The permit to send the message of one leased row.
pub(crate) struct RowPermit<'a> {
    pub(crate) inner: &'a Inner,
    pub(crate) claim: Claim,
    /// Set by a successful proof: from then on the next hop may have the message.
    pub(crate) handed_over: &'a AtomicBool,
}

impl RowPermit<'_> {
    /// Renews the lease unless it is still long enough; [`LeaseError::Fenced`] when the row is no longer this worker's.
    pub(crate) async fn renew(&self) -> Result<(), LeaseError> {
        // Reads the clock again: a machine that was suspended during the attempt must see that its lease ran out.
        let now = (self.inner.clock)();
        self.inner.store.prove(self.claim, now, LEASE).await
    }
}

impl SendPermit for RowPermit<'_> {
    fn prove(&self) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            match self.renew().await {
                Ok(()) => {
                    self.handed_over.store(true, Ordering::Relaxed);
                    true
                }
                Err(error) => {
                    if error == LeaseError::Fenced {
                        metrics::counter!("provost_queue_leases_lost_total").increment(1);
                    }
                    tracing::warn!(%error, "message not sent: the lease on its queue row is lost or cannot be renewed");
                    false
                }
            }
        })
    }
}
