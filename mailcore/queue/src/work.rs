//! The worker: takes what is due, so many at once, sleeps until something is.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use jiff::Timestamp;
use provost_store::{Destination, LeaseError, Take, Taken};
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};

use crate::hold::LEASE_SECONDS;
use crate::{Queue, next_attempt};

/// After this an attempt is cut off: before its lease ends, so that no other takes the row meanwhile.
const ATTEMPT_MAX: Duration = Duration::from_secs(14 * 60);
/// The longest sleep: another process, or a clock that was set, may have made something due.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// The pause after the rows could not be read.
const STORE_PAUSE: Duration = Duration::from_secs(5);
/// How long running attempts may take when the node stops. What is cut off is put back.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// How long putting back may take then.
const PUT_BACK_GRACE: Duration = Duration::from_secs(2);

/// Attempts under way.
#[derive(Default)]
pub(crate) struct Running {
    tasks: JoinSet<()>,
    destinations: HashMap<Id, Destination>,
}

impl Queue {
    /// Works the queue until `stop` resolves.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) {
        let mut stop = pin!(stop);
        let mut running = Running::default();
        let mut arrivals = self.inner.store.arrivals();
        let (cut, is_cut) = watch::channel(false);
        loop {
            let pause = self.begin_due(&mut running, &is_cut).await;
            tokio::select! {
                () = &mut stop => break,
                Ok(()) = arrivals.changed() => {}
                true = running.reap() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        if tokio::time::timeout(STOP_GRACE, running.finish()).await.is_err() {
            tracing::warn!("queue attempts cut off by the stop");
            cut.send_replace(true);
            if tokio::time::timeout(PUT_BACK_GRACE, running.finish()).await.is_err() {
                tracing::warn!("queue rows left as they are: the next start frees them");
            }
        }
    }

    /// Starts what is due as far as there is room; returns how long nothing more can be due.
    pub(crate) async fn begin_due(&self, running: &mut Running, is_cut: &watch::Receiver<bool>) -> Duration {
        let now = (self.inner.clock)();
        let config = &self.inner.config;
        let most = config.concurrency.max(1).saturating_sub(running.tasks.len());
        if most == 0 {
            return SLEEP_MAX;
        }
        let take = Take {
            now: now.as_second(),
            most,
            lease_seconds: LEASE_SECONDS,
            per_destination: config.per_destination.max(1),
            running: running.by_destination(),
        };
        let due = match self.inner.store.take_due(take).await {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(%error, "queue rows cannot be read");
                return STORE_PAUSE;
            }
        };
        for taken in due {
            let (queue, is_cut, destination) = (self.clone(), is_cut.clone(), taken.row.destination.clone());
            let task = running.tasks.spawn(async move { queue.attempt_within_limit(taken, now, is_cut).await });
            running.destinations.insert(task.id(), destination);
        }
        // What is due and was not taken waits for the end of an attempt, which wakes this.
        match self.inner.store.next_due(now.as_second()).await {
            Ok(Some(due_at)) => pause_until(due_at, now),
            Ok(None) => SLEEP_MAX,
            Err(_) => STORE_PAUSE,
        }
    }

    pub(crate) async fn attempt_within_limit(&self, taken: Taken, now: Timestamp, mut is_cut: watch::Receiver<bool>) {
        let id = taken.row.id.0;
        let attempt = tokio::time::timeout(ATTEMPT_MAX, self.attempt(&taken, now));
        let (why, due_at) = tokio::select! {
            outcome = attempt => match outcome {
                Ok(outcome) => return note_outcome(id, outcome),
                Err(_) => ("the attempt took too long", next_attempt(&self.inner.settings(), taken.row.attempts, now)),
            },
            _ = is_cut.wait_for(|cut| *cut) => ("the node was stopped", (self.inner.clock)().as_second()),
        };
        tracing::warn!(%id, why, "attempt cut off");
        note_outcome(id, self.put_back(&taken, why, due_at, now).await);
    }
}

impl Running {
    fn by_destination(&self) -> HashMap<Destination, usize> {
        let mut count = HashMap::new();
        for destination in self.destinations.values() {
            *count.entry(destination.clone()).or_default() += 1;
        }
        count
    }

    /// Waits for the end of an attempt, then reaps all that ended: one look at the rows for many ends. False when none runs.
    async fn reap(&mut self) -> bool {
        let Some(ended) = self.tasks.join_next_with_id().await else { return false };
        self.note_end(ended);
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.note_end(ended);
        }
        true
    }

    async fn finish(&mut self) {
        while self.reap().await {}
    }

    /// An attempt that panicked leaves its row to its lease. That taking counts as one without an outcome.
    fn note_end(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        self.destinations.remove(&id);
        if let Err(error) = ended
            && error.is_panic()
        {
            metrics::counter!("queue_panics_total").increment(1);
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

/// Not less than a little, so that a row which cannot be taken does not make the worker spin.
fn pause_until(due_at: i64, now: Timestamp) -> Duration {
    let seconds = due_at.saturating_sub(now.as_second()).max(0);
    Duration::from_secs(seconds.unsigned_abs()).clamp(Duration::from_millis(200), SLEEP_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeps_until_due_within_bounds() {
        let now = Timestamp::from_second(1_000).unwrap();
        for (due_at, millis) in [(1_010, 10_000), (1_000, 200), (0, 200), (i64::MAX, 60_000), (i64::MIN, 200)] {
            assert_eq!(pause_until(due_at, now), Duration::from_millis(millis), "{due_at}");
        }
    }
}
