//! The queue's rows in memory.

use bytes::Bytes;
use provost_message::Envelope;

use super::{MemoryStore, ready};
use crate::batch::REMEMBERED_SECONDS;
use crate::{BoxFuture, QueueId, QueueItem, QueueStore, StoreError};

impl QueueStore for MemoryStore {
    fn enqueue(&self, id: QueueId, envelope: Envelope, body: Bytes, now: i64) -> BoxFuture<'_, Result<(), StoreError>> {
        let mut state = self.state();
        state.finished.retain(|_, at| *at + REMEMBERED_SECONDS > now);
        if !state.finished.contains_key(&id) {
            let item = QueueItem::new(id, envelope, body.len() as u64, now);
            state.queue.entry(id).or_insert((item, body));
        }
        ready(Ok(()))
    }

    fn take_due(&self, now: i64, most: usize, lease_seconds: i64) -> BoxFuture<'_, Result<Vec<QueueItem>, StoreError>> {
        let mut state = self.state();
        state.leased.retain(|_, until| *until > now);
        let free = |item: &&QueueItem| item.due_at <= now && !state.leased.contains_key(&item.id);
        let mut due: Vec<QueueItem> = state.queue.values().map(|(item, _)| item).filter(free).cloned().collect();
        due.sort_by_key(|item| (item.due_at, item.id));
        due.truncate(most);
        state.leased.extend(due.iter().map(|item| (item.id, now.saturating_add(lease_seconds))));
        ready(Ok(due))
    }

    fn queued_body(&self, id: QueueId) -> BoxFuture<'_, Result<Bytes, StoreError>> {
        ready(self.state().queue.get(&id).map(|(_, body)| body.clone()).ok_or(StoreError::Gone))
    }

    fn settle(&self, item: QueueItem) -> BoxFuture<'_, Result<(), StoreError>> {
        let mut state = self.state();
        if item.recipients.is_empty() {
            if let Some((kept, _)) = state.queue.remove(&item.id) {
                state.finished.insert(item.id, item.due_at.max(kept.queued_at));
            }
        } else if let Some((kept, _)) = state.queue.get_mut(&item.id) {
            kept.recipients = item.recipients;
            kept.due_at = item.due_at;
        }
        state.leased.remove(&item.id);
        ready(Ok(()))
    }

    fn list(&self, most: usize) -> BoxFuture<'_, Result<Vec<QueueItem>, StoreError>> {
        let mut items: Vec<QueueItem> = self.state().queue.values().map(|(item, _)| item.clone()).collect();
        items.sort_by_key(|item| (item.queued_at, item.id));
        items.truncate(most);
        ready(Ok(items))
    }

    fn next_due(&self) -> BoxFuture<'_, Result<Option<i64>, StoreError>> {
        let state = self.state();
        let free = state.queue.values().map(|(item, _)| item).filter(|item| !state.leased.contains_key(&item.id));
        ready(Ok(free.map(|item| item.due_at).min()))
    }
}
