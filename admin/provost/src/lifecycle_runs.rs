//! Runs the lifecycle on schedule, on one node at a time.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use provost_net::Drain;
use provost_provision::{Desk, Outcomes, Principal};
use provost_store::MessageStore;
use provost_view::View;

/// Time from the start of a node to its first run: the View and the directory settle first.
const FIRST_WAIT: Duration = Duration::from_secs(300);
/// How often the setting is read again while it switches the runs off.
const OFF_WAIT: Duration = Duration::from_secs(60);
/// Lease of the run. A run that outlives it harms nothing, since every write asserts the version that was read.
const LEASE: &str = "lifecycle";
const LEASE_TIME: Duration = Duration::from_secs(900);

/// The parts of the node that a run uses.
pub(crate) struct LifecycleRuns {
    pub(crate) desk: Desk,
    pub(crate) store: Arc<dyn MessageStore>,
    pub(crate) view: View,
    pub(crate) drain: Drain,
}

impl LifecycleRuns {
    /// Runs the lifecycle at the interval of the setting `lifecycle-interval` until the node stops.
    pub(crate) async fn keep(self) {
        let mut wait = FIRST_WAIT;
        loop {
            tokio::select! {
                () = self.drain.stopping() => return,
                () = tokio::time::sleep(wait) => {}
            }
            let Some(interval) = self.interval() else {
                wait = OFF_WAIT;
                continue;
            };
            self.run().await;
            wait = interval;
        }
    }

    /// `None` while the setting switches the runs off.
    fn interval(&self) -> Option<Duration> {
        let interval = self.view.snapshot().settings().lifecycle_interval;
        (!interval.is_zero()).then_some(interval)
    }

    /// One run, unless another node is running.
    async fn run(&self) {
        let lease = match self.store.lease(LEASE, LEASE_TIME).await {
            Ok(Some(lease)) => lease,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "the lifecycle was not run: the store gives no lease");
                return;
            }
        };
        match self.apply().await {
            Ok(Some(done)) => tracing::info!(
                batch = done.batch,
                people = done.applied,
                failed = done.failed.len(),
                "the lifecycle was run"
            ),
            Ok(None) => tracing::debug!("the lifecycle was run: every account is in its state"),
            Err(error) => tracing::warn!(%error, "the lifecycle was not run to its end; the next run continues"),
        }
        drop(lease);
    }

    async fn apply(&self) -> anyhow::Result<Option<Outcomes>> {
        let principal = Principal::node();
        let planned = self.desk.plan_lifecycle(&principal, Timestamp::now()).await?;
        if planned.plan.is_empty() {
            return Ok(None);
        }
        let applied = self.desk.apply_import(self.drain.stopping(), &principal, &planned, &mut |_| {}).await?;
        Ok(Some(applied.map_err(|(_, error)| error)?))
    }
}
