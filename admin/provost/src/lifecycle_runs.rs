//! Runs the lifecycle on schedule, on one node at a time, and deletes the mail of purged accounts on every node.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use provost_net::Drain;
use provost_provision::{Desk, NoticesSent, Outcomes, Principal};
use provost_store::{AccountId, Batch, MessageStore, Op};
use provost_view::View;
use uuid::Uuid;

/// Time from the start of a node to its first run: the View and the directory settle first.
const FIRST_WAIT: Duration = Duration::from_secs(300);
/// How often the setting is read again while it switches the runs off.
const OFF_WAIT: Duration = Duration::from_secs(60);
/// Lease of the run. A run that outlives it harms nothing, since every write asserts the version that was read.
const LEASE: &str = "lifecycle";
const LEASE_TIME: Duration = Duration::from_secs(900);

/// Age of the logins that a run looks at, so that no login is missed while runs are switched off for some days.
const LOGINS_OF: SignedDuration = SignedDuration::from_hours(14 * 24);
/// Logins that one run looks at, the earliest first.
const LOGINS_MAX: usize = 1_000_000;

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
        let (mut wait, mut deleted) = (FIRST_WAIT, HashSet::new());
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
            if let Err(error) = self.delete_mail(&mut deleted).await {
                tracing::warn!(%error, "the mail of purged accounts was not deleted; the next run tries again");
            }
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
        if let Err(error) = self.record_logins().await {
            tracing::warn!(%error, "last logins were not recorded; the next run continues");
        }
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
        self.send_notices().await;
        drop(lease);
    }

    /// Tells the directory who has logged in, by which policies count inactivity.
    async fn record_logins(&self) -> anyhow::Result<()> {
        let since = Timestamp::now() - LOGINS_OF;
        let logins = self.store.logins_since(since, LOGINS_MAX).await?;
        let logins = logins.into_iter().map(|(account, at)| (account.get(), at)).collect();
        let people = self.desk.record_logins(&Principal::node(), &logins).await?;
        tracing::debug!(people, "last logins were recorded");
        Ok(())
    }

    /// Sends the notices that are due. What one run does not send, the next one does.
    async fn send_notices(&self) {
        match self.desk.send_notices(&Principal::node(), Timestamp::now()).await {
            Ok(sent) if sent == NoticesSent::default() => {}
            Ok(sent) => {
                let NoticesSent { people, mails, left, failed } = &sent;
                tracing::info!(people, mails, left, failed = failed.len(), "notices were sent");
                for (person, why) in failed {
                    tracing::warn!(person, why, "a notice was not sent");
                }
            }
            Err(error) => tracing::warn!(%error, "notices were not sent; the next run continues"),
        }
    }

    /// Deletes the mail of the accounts whose tombstones say so. `deleted` has the accounts that this process has
    /// deleted already: a tombstone outlives the mail.
    async fn delete_mail(&self, deleted: &mut HashSet<Uuid>) -> anyhow::Result<()> {
        let now = Timestamp::now();
        for account in self.desk.accounts_to_delete(&Principal::node(), now).await? {
            // A person who still has an entry keeps their mail, whatever a tombstone says.
            let snapshot = self.view.snapshot();
            if deleted.contains(&account) || !self.view.status().complete || snapshot.person(account).is_some() {
                continue;
            }
            let (id, ops) = (AccountId::new(account), vec![Op::DeleteAccount]);
            self.store.apply(Batch { id: None, account: id, now, require: Vec::new(), ops }).await?;
            tracing::info!(%account, "the mail of a purged account was deleted");
            deleted.insert(account);
        }
        Ok(())
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
