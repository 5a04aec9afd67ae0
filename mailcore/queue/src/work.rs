//! The worker: runs attempts at due rows, within the limits of this node, and sleeps until the next row is due.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use provost_store::{Destination, LeaseError, RowKey, TakeLimits, TakenRow};
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};

use crate::Queue;
use crate::attempt::{PartFates, RemainingRecipients};
use crate::permit::LEASE;

/// Time limit of one part of an attempt. It is above the sum of the limits of the steps: 45 s for memory, 13 min up to
/// the end of data, then the proof of the lease, 3 min to send the end of data, 10 min for the reply.
const ATTEMPT_MAX: Duration = Duration::from_secs(28 * 60);
/// The longest sleep: a clock that is set forward can make a row due without waking the worker, and a tick of
/// `QueueStore::arrivals` may be lost.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// The pause after an error of the store.
const STORE_PAUSE: Duration = Duration::from_secs(5);
/// How long all running attempts may go on when the node stops. One that is cut off releases its row.
const STOP_GRACE: Duration = Duration::from_secs(3);
/// How much longer an attempt that has handed over its message may go on: when it is cut off before its outcome is
/// recorded, the next attempt sends the message again.
const REPLY_GRACE: Duration = Duration::from_secs(9);
/// How long releasing the rows of interrupted attempts may take.
const PUT_BACK_GRACE: Duration = Duration::from_secs(2);
/// Longest time from the signal to stop until [`Queue::run`] returns. A node that ends before that may send a message
/// again.
pub const STOP_MAX: Duration = STOP_GRACE.saturating_add(REPLY_GRACE).saturating_add(PUT_BACK_GRACE);

/// Which attempts are cut off while the node stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DrainPolicy {
    /// No attempt is cut off.
    Nothing,
    /// Attempts whose message the next hop cannot have yet are cut off.
    BeforeHandOver,
    /// All attempts are cut off.
    All,
}

impl DrainPolicy {
    fn cuts_off(self, handed_over: &AtomicBool) -> bool {
        match self {
            Self::Nothing => false,
            Self::BeforeHandOver => !handed_over.load(Ordering::Relaxed),
            Self::All => true,
        }
    }
}

/// The running attempts, with their rows.
#[derive(Default)]
pub(crate) struct AttemptsUnderWay {
    tasks: JoinSet<()>,
    rows: HashMap<Id, (RowKey, Destination)>,
}

impl Queue {
    /// Works on the queue until `stop` resolves, then returns within [`STOP_MAX`].
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) {
        let mut stop = pin!(stop);
        let mut running = AttemptsUnderWay::default();
        let mut arrivals = self.inner.store.arrivals();
        let (drain, policy) = watch::channel(DrainPolicy::Nothing);
        loop {
            let pause = self.begin_due(&mut running, &policy).await;
            tokio::select! {
                () = &mut stop => break,
                Ok(()) = arrivals.changed() => {}
                true = running.reap() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        for (grace, next) in [(STOP_GRACE, DrainPolicy::BeforeHandOver), (REPLY_GRACE, DrainPolicy::All)] {
            if tokio::time::timeout(grace, running.finish()).await.is_ok() {
                return;
            }
            tracing::warn!(cut_off = ?next, "the node stops and cuts off queue attempts");
            drain.send_replace(next);
        }
        if tokio::time::timeout(PUT_BACK_GRACE, running.finish()).await.is_err() {
            tracing::warn!("queue rows not released in time: the next start releases them, or their leases end");
        }
    }

    /// Starts attempts at as many due rows as the limits allow. Returns how long the worker can sleep.
    pub(crate) async fn begin_due(
        &self,
        running: &mut AttemptsUnderWay,
        policy: &watch::Receiver<DrainPolicy>,
    ) -> Duration {
        let now = (self.inner.clock)();
        let config = &self.inner.config;
        let rows_max = config.concurrency.max(1).saturating_sub(running.tasks.len());
        if rows_max == 0 {
            return SLEEP_MAX;
        }
        let take = TakeLimits {
            now,
            rows_max,
            lease: LEASE,
            per_destination: config.per_destination.max(1),
            running: running.by_destination(),
            held_rows: running.rows.values().map(|(key, _)| *key).collect(),
        };
        let due = match self.inner.store.take_due(take).await {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(%error, "due queue rows cannot be taken");
                return STORE_PAUSE;
            }
        };
        for taken in due {
            let (queue, policy) = (self.clone(), policy.clone());
            let row = (taken.row.key, taken.row.destination.clone());
            let task = running.tasks.spawn(async move { queue.attempt_and_log(taken, now, policy).await });
            running.rows.insert(task.id(), row);
        }
        // `next_due` ignores rows that are due now. Those that the limits left are taken when a running attempt ends.
        match self.inner.store.next_due(now).await {
            Ok(Some(due_at)) => pause_until(due_at, now),
            Ok(None) => SLEEP_MAX,
            Err(error) => {
                tracing::error!(%error, "the next due time of the queue cannot be read");
                STORE_PAUSE
            }
        }
    }

    pub(crate) async fn attempt_and_log(&self, taken: TakenRow, now: Timestamp, policy: watch::Receiver<DrainPolicy>) {
        log_failure(taken.row.id.get(), self.attempt_parts(&taken, now, policy).await);
    }

    /// Runs one attempt, which begins at `now`, part by part, and records the outcome of each. A part that takes too
    /// long is a deferral, so that its recipients get longer waits and at last a bounce.
    pub(crate) async fn attempt_parts(
        &self,
        taken: &TakenRow,
        now: Timestamp,
        mut policy: watch::Receiver<DrainPolicy>,
    ) -> Result<(), LeaseError> {
        let mut rest = RemainingRecipients::of(&taken.row);
        loop {
            let part = rest.next_part(taken);
            let handed_over = AtomicBool::new(false);
            let attempt = tokio::time::timeout(ATTEMPT_MAX, self.try_part(&part, now, &handed_over));
            let outcome = tokio::select! {
                // Poll the attempt first, so that a message whose reply has come is not sent again.
                biased;
                fates = attempt => Some(fates),
                _ = policy.wait_for(|policy| policy.cuts_off(&handed_over)) => None,
            };
            let fates = match outcome {
                Some(Ok(fates)) => fates?,
                Some(Err(_)) => PartFates::deferred(&part.row, "the attempt took too long"),
                None => return self.put_back(&part, rest, "the node was stopped", (self.inner.clock)()).await,
            };
            self.conclude(&part, fates, &mut rest, now).await?;
            if rest.is_done() {
                return Ok(());
            }
        }
    }
}

impl AttemptsUnderWay {
    fn by_destination(&self) -> HashMap<Destination, usize> {
        let mut count = HashMap::new();
        for (_, destination) in self.rows.values() {
            *count.entry(destination.clone()).or_default() += 1;
        }
        count
    }

    /// Waits for the end of an attempt, then collects all that have ended, so that the worker looks for due rows once
    /// for all of them. False when none was running.
    async fn reap(&mut self) -> bool {
        let Some(ended) = self.tasks.join_next_with_id().await else { return false };
        self.note_end(ended);
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.note_end(ended);
        }
        true
    }

    pub(crate) async fn finish(&mut self) {
        while self.reap().await {}
    }

    /// Removes an attempt that has ended. One that panicked leaves its row leased, as a taking without an outcome.
    fn note_end(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        self.rows.remove(&id);
        if let Err(error) = ended
            && error.is_panic()
        {
            metrics::counter!("provost_queue_panics_total").increment(1);
            tracing::error!(%error, "a queue attempt panicked");
        }
    }
}

fn log_failure(id: uuid::Uuid, outcome: Result<(), LeaseError>) {
    match outcome {
        Ok(()) => (),
        Err(LeaseError::Fenced) => {
            tracing::warn!(%id, "queue attempt dropped: another worker has taken or settled the row");
        }
        Err(error) => tracing::error!(%id, %error, "queue attempt without an outcome: repeated when the lease ends"),
    }
}

/// The time until `due_at`, at most [`SLEEP_MAX`], and at least 200 ms, so that the worker never spins.
fn pause_until(due_at: Timestamp, now: Timestamp) -> Duration {
    let wait = Duration::try_from(due_at.duration_since(now)).unwrap_or_default();
    wait.clamp(Duration::from_millis(200), SLEEP_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worker_sleeps_until_a_row_is_due_within_bounds() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let now = at(1_000);
        let extremes = [(Timestamp::MAX, 60_000), (Timestamp::MIN, 200)];
        for (due_at, millis) in [(at(1_010), 10_000), (at(1_000), 200), (at(0), 200)].into_iter().chain(extremes) {
            assert_eq!(pause_until(due_at, now), Duration::from_millis(millis), "{due_at}");
        }
    }
}
