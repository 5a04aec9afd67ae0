//! The queue over the shards.
//!
//! A message caused by a delivery is in the shard of the account that the delivery changes, one caused by an attempt in
//! the shard of the attempted row, and one queued directly in the shard that its id hashes to. So a repeated id always
//! reaches the shard that knows it.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::watch;

use super::database::Database;
use super::shard::Shard;
use super::{LocalStore, queue_rows};
use crate::queue::{is_long_enough, lease_end};
use crate::{
    AttemptOutcome, BoxFuture, Claim, LeaseError, NewMessage, QueueRow, QueueStore, QueueTally, QueuedRecipient,
    RowKey, StoreError, TakeLimits, TakenRow,
};

impl LocalStore {
    fn shard_of(&self, key: RowKey) -> Result<&Shard, StoreError> {
        self.shards.get(key.shard()).ok_or(StoreError::Gone)
    }

    async fn take_due_rows(&self, mut take: TakeLimits) -> Result<Vec<TakenRow>, StoreError> {
        let now = take.now;
        let mut due = Vec::new();
        let mut failure = None;
        for (number, shard) in self.numbered() {
            // A read-only check first: most shards have nothing due most of the time.
            match shard.view(move |connection| queue_rows::first_due(connection, now)).await {
                Ok(first) => due.extend(first.map(|first| (first, number))),
                Err(error) => failure = Some((number, error)),
            }
        }
        due.sort_unstable();
        let mut taken = Vec::new();
        for (_, number) in due {
            let Some(shard) = self.shards.get(usize::from(number)) else { continue };
            if take.rows_max == 0 {
                break;
            }
            let limits = take.clone();
            match shard.change(0, move |database| queue_rows::take_due(database, number, limits)).await {
                Ok((some, rest)) => {
                    taken.extend(some);
                    take = rest;
                }
                Err(error) => failure = Some((number, error)),
            }
        }
        taken.sort_by(|a, b| order(&a.row).cmp(&order(&b.row)));
        match failure {
            None => Ok(taken),
            Some((_, error)) if taken.is_empty() => Err(error),
            // Return the rows that were taken from other shards: after an error the caller would not know of them, and
            // each taking without an outcome counts towards `UNSETTLED_MAX`.
            Some((shard, error)) => {
                tracing::error!(shard, %error, "the queue rows of a shard cannot be taken");
                Ok(taken)
            }
        }
    }

    async fn prove_lease(&self, claim: Claim, now: Timestamp, lease: Duration) -> Result<(), LeaseError> {
        let shard = self.shard_of(claim.key)?;
        let held = shard.view(move |connection| queue_rows::held_until(connection, claim)).await?;
        if is_long_enough(held.ok_or(LeaseError::Fenced)?, now, lease) {
            // No other worker takes the row before the lease ends, whatever happens after this check.
            return Ok(());
        }
        let until = lease_end(now, lease);
        match shard.change(0, move |database| queue_rows::renew(&database.connection, claim, until)).await? {
            true => Ok(()),
            false => Err(LeaseError::Fenced),
        }
    }

    async fn settle_row(
        &self,
        claim: Claim,
        outcome: AttemptOutcome,
        caused: Vec<NewMessage>,
    ) -> Result<(), LeaseError> {
        let octets = caused.iter().map(|outgoing| outgoing.body.len()).sum();
        let shard = self.shard_of(claim.key)?;
        match shard.change(octets, move |database| queue_rows::settle(database, claim, &outcome, &caused)).await? {
            true => Ok(()),
            false => Err(LeaseError::Fenced),
        }
    }

    async fn list_all(&self, limit: usize) -> Result<Vec<QueueRow>, StoreError> {
        let mut rows = Vec::new();
        for (number, shard) in self.numbered() {
            rows.extend(shard.view(move |connection| queue_rows::list(connection, number, limit)).await?);
        }
        rows.sort_by(|a, b| (a.queued_at, a.id, &a.destination).cmp(&(b.queued_at, b.id, &b.destination)));
        rows.truncate(limit);
        Ok(rows)
    }

    async fn count(&self, now: Timestamp) -> Result<QueueTally, StoreError> {
        let mut tally = QueueTally::default();
        for shard in &self.shards {
            tally.add(shard.view(move |connection| queue_rows::tally(connection, now)).await?);
        }
        Ok(tally)
    }

    async fn next_due_of_all(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let mut earliest = None;
        for shard in &self.shards {
            let next = shard.view(move |connection| queue_rows::next_due(connection, after)).await?;
            earliest = earliest.into_iter().chain(next).min();
        }
        Ok(earliest)
    }

    /// Returns the shards with their numbers.
    fn numbered(&self) -> impl Iterator<Item = (u8, &Shard)> {
        (0..=u8::MAX).zip(&self.shards)
    }
}

/// Returns the key by which taken rows are sorted: the longest due first.
fn order(row: &QueueRow) -> impl Ord + '_ {
    (row.due_at, row.id, &row.destination)
}

impl QueueStore for LocalStore {
    fn enqueue(&self, outgoing: NewMessage) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let octets = outgoing.body.len();
            let shard = self.shard_by_hash(outgoing.id.get())?;
            shard.change(octets, move |database| queue_rows::enqueue(database, &outgoing)).await
        })
    }

    fn take_due(&self, take: TakeLimits) -> BoxFuture<'_, Result<Vec<TakenRow>, StoreError>> {
        Box::pin(self.take_due_rows(take))
    }

    fn queued_body(&self, row: &QueueRow) -> BoxFuture<'_, Result<Bytes, StoreError>> {
        let (key, id) = (row.key, row.id);
        Box::pin(async move {
            let shard = self.shard_of(key)?;
            shard.octets(move |connection| queue_rows::locate(connection, key, id)).await
        })
    }

    fn prove(&self, claim: Claim, now: Timestamp, lease: Duration) -> BoxFuture<'_, Result<(), LeaseError>> {
        Box::pin(self.prove_lease(claim, now, lease))
    }

    fn advance(
        &self,
        claim: Claim,
        remaining: Vec<QueuedRecipient>,
        held_until: Timestamp,
        caused: Vec<NewMessage>,
    ) -> BoxFuture<'_, Result<(), LeaseError>> {
        let octets = caused.iter().map(|outgoing| outgoing.body.len()).sum();
        let advance =
            move |database: &mut Database| queue_rows::advance(database, claim, remaining, held_until, &caused);
        Box::pin(async move {
            let is_held = self.shard_of(claim.key)?.change(octets, advance).await?;
            is_held.then_some(()).ok_or(LeaseError::Fenced)
        })
    }

    fn settle(
        &self,
        claim: Claim,
        outcome: AttemptOutcome,
        caused: Vec<NewMessage>,
    ) -> BoxFuture<'_, Result<(), LeaseError>> {
        Box::pin(self.settle_row(claim, outcome, caused))
    }

    fn list(&self, limit: usize) -> BoxFuture<'_, Result<Vec<QueueRow>, StoreError>> {
        Box::pin(self.list_all(limit))
    }

    fn tally(&self, now: Timestamp) -> BoxFuture<'_, Result<QueueTally, StoreError>> {
        Box::pin(self.count(now))
    }

    fn next_due(&self, after: Timestamp) -> BoxFuture<'_, Result<Option<Timestamp>, StoreError>> {
        Box::pin(self.next_due_of_all(after))
    }

    fn arrivals(&self) -> watch::Receiver<u64> {
        self.notices.arrivals()
    }
}

#[cfg(test)]
mod tests {
    use provost_message::{Envelope, Path};
    use uuid::Uuid;

    use super::super::LocalConfig;
    use super::*;
    use crate::QueueId;
    use crate::time::from_seconds as at;

    #[tokio::test]
    async fn rows_of_other_shards_are_taken_when_one_shard_has_failed() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(&LocalConfig { shards: 2, ..LocalConfig::new(folder.path()) }).unwrap();
        for number in 0..20 {
            let envelope = Envelope::new(None, [Path::parse("a@b.example").unwrap()]);
            let id = QueueId::new(Uuid::from_u128(number));
            store.enqueue(NewMessage { id, envelope, body: Bytes::from_static(b"x"), when: at(100) }).await.unwrap();
        }
        let total = store.list(100).await.unwrap().len();
        let died = store.shards[1].change(0, |_| -> Result<(), StoreError> { panic!("a bug in shard 1") }).await;
        assert!(died.is_err());
        let take = || TakeLimits::any(at(200), 100, Duration::from_secs(60));
        let taken = store.take_due(take()).await.unwrap();
        assert!(!taken.is_empty() && taken.len() < total, "{} of {total} rows", taken.len());
        assert!(taken.iter().all(|taken| taken.row.key.shard() == 0));
        assert!(matches!(store.take_due(take()).await, Err(StoreError::Unavailable(_))), "only shard 1 has due rows");
    }
}
