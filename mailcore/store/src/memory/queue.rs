//! The queue's rows in memory.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::watch;

use super::{MemoryStore, ready};
use crate::batch::REMEMBERED;
use crate::queue::{by_destination, is_long_enough, lease_end, unsettled};
use crate::time::{later, whole_second};
use crate::{
    AttemptOutcome, BoxFuture, Claim, LeaseError, NewMessage, QueueId, QueueRow, QueueStore, QueuedRecipient, RowKey,
    StoreError, TakeLimits, TakenRow, UNSETTLED_MAX,
};

/// All rows, and the ids of finished messages.
#[derive(Default)]
pub(super) struct MemoryQueue {
    rows: BTreeMap<RowKey, MemoryRow>,
    last: u64,
    /// When each message finished, by id. A message whose id is here is not queued again.
    finished: HashMap<QueueId, Timestamp>,
}

struct MemoryRow {
    row: QueueRow,
    body: Bytes,
    /// How often a worker has taken the row since the last advance or outcome was recorded.
    unsettled: u32,
    /// End of the lease; `None` when no worker holds the row.
    lease_until: Option<Timestamp>,
}

impl MemoryQueue {
    pub(super) fn enqueue(&mut self, outgoing: &NewMessage) {
        let NewMessage { id, envelope, body, when } = outgoing;
        let when = whole_second(*when);
        self.finished.retain(|_, at| later(*at, REMEMBERED) > when);
        if self.finished.contains_key(id) || self.rows.values().any(|kept| kept.row.id == *id) {
            return;
        }
        for (destination, recipients) in by_destination(&envelope.recipients) {
            self.last += 1;
            let row = QueueRow {
                key: RowKey(self.last),
                id: *id,
                destination,
                reverse_path: envelope.reverse_path.clone(),
                recipients,
                eight_bit: envelope.eight_bit,
                envelope_id: envelope.envelope_id.clone(),
                ret: envelope.ret,
                attempts: 0,
                queued_at: when,
                due_at: when,
                held_until: None,
                octets: body.len() as u64,
                set_aside: None,
            };
            self.rows.insert(row.key, MemoryRow { row, body: body.clone(), unsettled: 0, lease_until: None });
        }
    }

    fn take_due_rows(&mut self, mut take: TakeLimits) -> Vec<TakenRow> {
        let is_due = |kept: &&mut MemoryRow| {
            let is_free =
                kept.lease_until.is_none_or(|until| until <= take.now) && !take.held_rows.contains(&kept.row.key);
            kept.row.set_aside.is_none() && kept.row.due_at <= take.now && is_free
        };
        let mut due: Vec<&mut MemoryRow> = self.rows.values_mut().filter(is_due).collect();
        due.sort_by(|a, b| {
            let order = |row: &QueueRow| (row.due_at, row.id);
            order(&a.row).cmp(&order(&b.row)).then_with(|| a.row.destination.cmp(&b.row.destination))
        });
        let mut room = take.clone();
        let mut fits = |kept: &MemoryRow| {
            let fits = room.rows_max > 0 && room.has_room_for(&kept.row.destination);
            if fits {
                room.count(&kept.row.destination);
            }
            fits
        };
        due.retain(|kept| fits(kept));
        due.into_iter().filter_map(|kept| kept.take(&mut take)).collect()
    }

    /// Returns the row of a claim; fenced when the claim is no longer valid.
    fn held(&mut self, claim: Claim) -> Result<&mut MemoryRow, LeaseError> {
        let is_held = |kept: &&mut MemoryRow| {
            kept.row.id == claim.id && kept.row.attempts == claim.attempt && kept.lease_until.is_some()
        };
        self.rows.get_mut(&claim.key).filter(is_held).ok_or(LeaseError::Fenced)
    }

    fn advance(
        &mut self,
        claim: Claim,
        remaining: Vec<QueuedRecipient>,
        held_until: Timestamp,
        caused: &[NewMessage],
    ) -> Result<(), LeaseError> {
        let entry = self.held(claim)?;
        entry.row.recipients = remaining;
        (entry.unsettled, entry.lease_until) = (0, entry.lease_until.max(Some(whole_second(held_until))));
        caused.iter().for_each(|outgoing| self.enqueue(outgoing));
        Ok(())
    }

    fn settle(&mut self, claim: Claim, outcome: AttemptOutcome, caused: &[NewMessage]) -> Result<(), LeaseError> {
        let entry = self.held(claim)?;
        if outcome.recipients.is_empty() {
            let finished = whole_second(outcome.now).max(entry.row.queued_at);
            self.rows.remove(&claim.key);
            if !self.rows.values().any(|kept| kept.row.id == claim.id) {
                self.finished.insert(claim.id, finished);
            }
        } else {
            entry.row.recipients = outcome.recipients;
            entry.row.due_at = whole_second(outcome.due_at);
            (entry.unsettled, entry.lease_until) = (0, None);
        }
        caused.iter().for_each(|outgoing| self.enqueue(outgoing));
        Ok(())
    }
}

impl MemoryRow {
    /// Takes the row for a worker. A row that was taken [`UNSETTLED_MAX`] times without a recorded outcome is set aside
    /// instead, and the result is `None`.
    fn take(&mut self, take: &mut TakeLimits) -> Option<TakenRow> {
        if self.unsettled >= UNSETTLED_MAX {
            self.row.set_aside = Some(unsettled(self.unsettled));
            self.lease_until = None;
            return None;
        }
        self.row.attempts += 1;
        self.unsettled += 1;
        self.lease_until = Some(lease_end(take.now, take.lease));
        take.count(&self.row.destination);
        let claim = Claim { key: self.row.key, id: self.row.id, attempt: self.row.attempts };
        Some(TakenRow { row: self.as_held(), claim })
    }

    /// Returns the row with the end of its lease.
    fn as_held(&self) -> QueueRow {
        QueueRow { held_until: self.lease_until, ..self.row.clone() }
    }

    /// Returns when the lease ends or, without a lease, when the row is due.
    fn free_at(&self) -> Timestamp {
        self.lease_until.unwrap_or(self.row.due_at)
    }
}

impl MemoryStore {
    /// Publishes the arrival of the messages that an attempt caused, if there are any.
    fn publish_caused(&self, changed: &Result<(), LeaseError>, caused: &[NewMessage]) {
        if changed.is_ok() && !caused.is_empty() {
            self.notices.publish_arrival();
        }
    }
}

impl QueueStore for MemoryStore {
    fn enqueue(&self, outgoing: NewMessage) -> BoxFuture<'_, Result<(), StoreError>> {
        self.state().queue.enqueue(&outgoing);
        self.notices.publish_arrival();
        ready(Ok(()))
    }

    fn take_due(&self, take: TakeLimits) -> BoxFuture<'_, Result<Vec<TakenRow>, StoreError>> {
        ready(Ok(self.state().queue.take_due_rows(take)))
    }

    fn queued_body(&self, row: &QueueRow) -> BoxFuture<'_, Result<Bytes, StoreError>> {
        let state = self.state();
        let entry = state.queue.rows.get(&row.key).filter(|kept| kept.row.id == row.id);
        ready(entry.map(|kept| kept.body.clone()).ok_or(StoreError::Gone))
    }

    fn prove(&self, claim: Claim, now: Timestamp, lease: Duration) -> BoxFuture<'_, Result<(), LeaseError>> {
        let mut state = self.state();
        ready(state.queue.held(claim).map(|kept| {
            if !kept.lease_until.is_some_and(|until| is_long_enough(until, now, lease)) {
                kept.lease_until = kept.lease_until.max(Some(lease_end(now, lease)));
            }
        }))
    }

    fn advance(
        &self,
        claim: Claim,
        remaining: Vec<QueuedRecipient>,
        held_until: Timestamp,
        caused: Vec<NewMessage>,
    ) -> BoxFuture<'_, Result<(), LeaseError>> {
        let advanced = self.state().queue.advance(claim, remaining, held_until, &caused);
        self.publish_caused(&advanced, &caused);
        ready(advanced)
    }

    fn settle(
        &self,
        claim: Claim,
        outcome: AttemptOutcome,
        caused: Vec<NewMessage>,
    ) -> BoxFuture<'_, Result<(), LeaseError>> {
        let settled = self.state().queue.settle(claim, outcome, &caused);
        self.publish_caused(&settled, &caused);
        ready(settled)
    }

    fn list(&self, limit: usize) -> BoxFuture<'_, Result<Vec<QueueRow>, StoreError>> {
        let mut rows: Vec<QueueRow> = self.state().queue.rows.values().map(MemoryRow::as_held).collect();
        rows.sort_by(|a, b| (a.queued_at, a.id, &a.destination).cmp(&(b.queued_at, b.id, &b.destination)));
        rows.truncate(limit);
        ready(Ok(rows))
    }

    fn next_due(&self, after: Timestamp) -> BoxFuture<'_, Result<Option<Timestamp>, StoreError>> {
        let state = self.state();
        let waiting = state.queue.rows.values().filter(|kept| kept.row.set_aside.is_none());
        ready(Ok(waiting.map(MemoryRow::free_at).filter(|at| *at > after).min()))
    }

    fn arrivals(&self) -> watch::Receiver<u64> {
        self.notices.arrivals()
    }
}
