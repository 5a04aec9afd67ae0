//! The worker: takes what is due, so many at once, sleeps until something is.

use std::pin::pin;
use std::time::Duration;

use jiff::Timestamp;
use provost_store::QueueItem;
use tokio::task::{JoinError, JoinSet};

use crate::Queue;

/// How long one attempt has the item for itself, seconds. After a crash the item waits for this long.
const LEASE_SECONDS: i64 = 15 * 60;
/// After this an attempt is cut off: before its lease ends, so that no other takes the item meanwhile.
const ATTEMPT_MAX: Duration = Duration::from_secs(14 * 60);
/// The longest sleep: another process, or a clock that was set, may have made something due.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// The pause after the rows could not be read.
const STORE_PAUSE: Duration = Duration::from_secs(5);
/// How long running attempts may take when the node stops. What is cut off is tried again after its lease.
const STOP_GRACE: Duration = Duration::from_secs(5);

impl Queue {
    /// Works the queue until `stop` resolves.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) {
        let mut stop = pin!(stop);
        let mut attempts = JoinSet::new();
        loop {
            let pause = self.begin_due(&mut attempts, Timestamp::now()).await;
            tokio::select! {
                () = &mut stop => break,
                () = self.inner.wake.notified() => {}
                Some(ended) = attempts.join_next() => note_end(ended),
                () = tokio::time::sleep(pause) => {}
            }
            // Reap all that ended: one look at the rows for many ends.
            while let Some(ended) = attempts.try_join_next() {
                note_end(ended);
            }
        }
        let finish = async {
            while let Some(ended) = attempts.join_next().await {
                note_end(ended);
            }
        };
        if tokio::time::timeout(STOP_GRACE, finish).await.is_err() {
            tracing::warn!("queue attempts cut off by the stop");
        }
    }

    /// Starts what is due as far as there is room; returns how long nothing more can be due.
    async fn begin_due(&self, attempts: &mut JoinSet<()>, now: Timestamp) -> Duration {
        let room = self.inner.config.concurrency.max(1).saturating_sub(attempts.len());
        if room == 0 {
            return SLEEP_MAX;
        }
        let store = &self.inner.store;
        let due = match store.take_due(now.as_second(), room, LEASE_SECONDS).await {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(%error, "queue rows cannot be read");
                return STORE_PAUSE;
            }
        };
        for item in due {
            let queue = self.clone();
            attempts.spawn(async move { queue.attempt_within_limit(item, now).await });
        }
        match store.next_due().await {
            Ok(Some(due_at)) => pause_until(due_at, now),
            Ok(None) => SLEEP_MAX,
            Err(_) => STORE_PAUSE,
        }
    }

    async fn attempt_within_limit(&self, item: QueueItem, now: Timestamp) {
        let id = item.id.0;
        match tokio::time::timeout(ATTEMPT_MAX, self.attempt(item, now)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%id, %error, "queue item left to its lease"),
            Err(_) => tracing::error!(%id, "attempt cut off at its limit, left to its lease"),
        }
    }
}

/// An attempt that panicked left its item to its lease, and will again: count it, so that somebody looks.
fn note_end(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        metrics::counter!("queue_panics_total").increment(1);
        tracing::error!(%error, "a queue attempt panicked");
    }
}

/// Not less than a little, so that an item which cannot be taken does not make the worker spin.
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
