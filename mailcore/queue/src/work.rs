//! The worker: takes rows that are due, within the limits of this node, and sleeps until the next one is.

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

/// Time limit of one part of an attempt, more than the sum of its steps: 45 s for memory and 13 min up to the end of
/// data, together less than the lease, then 13 min to send the end and read the reply, less than the renewed lease.
const ATTEMPT_MAX: Duration = Duration::from_secs(28 * 60);
/// The longest sleep: another process, or a clock that was set, may have made a row due.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// The pause after a failed read of the rows.
const STORE_PAUSE: Duration = Duration::from_secs(5);
/// How long running attempts may go on when the node stops. Those that are cut off release their rows.
const STOP_GRACE: Duration = Duration::from_secs(3);
/// How much longer attempts may go on that wait for the next hop's reply to a whole message: cut off, they would send
/// the message again.
const REPLY_GRACE: Duration = Duration::from_secs(9);
/// How long releasing the rows of interrupted attempts may take.
const PUT_BACK_GRACE: Duration = Duration::from_secs(2);
/// Longest time from the signal to stop until [`Queue::run`] returns. A node that ends earlier may send a message again.
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
    fn ends(self, handed_over: &AtomicBool) -> bool {
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
    /// Works on the queue until `stop` resolves.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) {
        let mut stop = pin!(stop);
        let mut running = AttemptsUnderWay::default();
        let mut arrivals = self.inner.store.arrivals();
        let (cut, cuts) = watch::channel(DrainPolicy::Nothing);
        loop {
            let pause = self.begin_due(&mut running, &cuts).await;
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
            tracing::warn!(?next, "queue attempts cut off because the node stops");
            cut.send_replace(next);
        }
        if tokio::time::timeout(PUT_BACK_GRACE, running.finish()).await.is_err() {
            tracing::warn!("queue rows not released: the next start frees them");
        }
    }

    /// Starts attempts at due rows as far as there is room. Returns the time until the next row can be due.
    pub(crate) async fn begin_due(
        &self,
        running: &mut AttemptsUnderWay,
        cuts: &watch::Receiver<DrainPolicy>,
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
                tracing::error!(%error, "queue rows cannot be read");
                return STORE_PAUSE;
            }
        };
        for taken in due {
            let (queue, cuts) = (self.clone(), cuts.clone());
            let row = (taken.row.key, taken.row.destination.clone());
            let task = running.tasks.spawn(async move { queue.attempt_to_end(taken, now, cuts).await });
            running.rows.insert(task.id(), row);
        }
        // Due rows that were not taken wait for the end of an attempt, which wakes the worker.
        match self.inner.store.next_due(now).await {
            Ok(Some(due_at)) => pause_until(due_at, now),
            Ok(None) => SLEEP_MAX,
            Err(_) => STORE_PAUSE,
        }
    }

    pub(crate) async fn attempt_to_end(&self, taken: TakenRow, now: Timestamp, cuts: watch::Receiver<DrainPolicy>) {
        note_outcome(taken.row.id.get(), self.attempt_parts(&taken, now, cuts).await);
    }

    /// Runs one attempt to a recorded outcome, one part of the recipients after another. A part that takes too long is
    /// deferred like any other: the wait grows each time, and the sender gets a report at the end of the message's
    /// life.
    pub(crate) async fn attempt_parts(
        &self,
        taken: &TakenRow,
        now: Timestamp,
        mut cuts: watch::Receiver<DrainPolicy>,
    ) -> Result<(), LeaseError> {
        let mut rest = RemainingRecipients::of(&taken.row);
        loop {
            let part = rest.next_part(taken);
            let handed_over = AtomicBool::new(false);
            let attempt = tokio::time::timeout(ATTEMPT_MAX, self.try_part(&part, now, &handed_over));
            let outcome = tokio::select! {
                fates = attempt => Some(fates),
                _ = cuts.wait_for(|cut| cut.ends(&handed_over)) => None,
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

    /// Waits for the end of an attempt, then collects all that have ended, so that one read of the rows replaces them
    /// all. `false` when none runs.
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

    /// Forgets an attempt that has ended. One that panicked leaves its row leased until the lease ends, and counts as
    /// an attempt without an outcome.
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

fn note_outcome(id: uuid::Uuid, outcome: Result<(), LeaseError>) {
    match outcome {
        Ok(()) => (),
        Err(LeaseError::Fenced) => tracing::warn!(%id, "queue row passed to another worker during the attempt"),
        Err(error) => tracing::error!(%id, %error, "queue row left to its lease"),
    }
}

/// The time until `due_at`, at most [`SLEEP_MAX`], and at least 200 ms, so that a due row that cannot be taken does not
/// make the worker spin.
fn pause_until(due_at: Timestamp, now: Timestamp) -> Duration {
    let wait = Duration::try_from(due_at.duration_since(now)).unwrap_or_default();
    wait.clamp(Duration::from_millis(200), SLEEP_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeps_until_due_within_bounds() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let now = at(1_000);
        let far = [(Timestamp::MAX, 60_000), (Timestamp::MIN, 200)];
        for (due_at, millis) in [(at(1_010), 10_000), (at(1_000), 200), (at(0), 200)].into_iter().chain(far) {
            assert_eq!(pause_until(due_at, now), Duration::from_millis(millis), "{due_at}");
        }
    }
}
