//! One attempt at one item: every recipient to its fate, then the bounce, then the row.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use provost_delivery::{Caused, Delivered, Refusal, batch_id};
use provost_message::{Address, Bounce, Envelope, FailedRecipient, Path};
use provost_store::{QueueItem, RecipientState, StoreError};
use provost_view::SharedSettings;
use uuid::Uuid;

use crate::schedule::is_expired;
use crate::{Fate, Inner, Queue, next_attempt};

/// Bodies of all attempts at once, in units of 1 KiB: 64 MiB. Attempts beyond it wait, each in its turn.
pub(crate) const BODY_UNITS_MAX: usize = 64 * 1024;
const BODY_UNIT_OCTETS: u64 = 1024;
/// How long an attempt waits for that room before it is put off: with the client's limit for one message it stays below
/// the limit of an attempt, which would cut it off in the middle.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(45);

/// Who carries a message to a recipient.
enum Route {
    /// We do.
    Local(Address),
    /// The next hop.
    Remote,
}

impl Queue {
    /// Attempts one item that was taken, and puts it back with what is left. An error leaves it to its lease's end.
    pub(crate) async fn attempt(&self, item: QueueItem, now: Timestamp) -> Result<(), StoreError> {
        let room = self.inner.bodies.acquire_many(body_units(item.octets));
        let Ok(_room) = tokio::time::timeout(ROOM_WAIT_MAX, room).await else {
            let due_at = next_attempt(&self.inner.settings(), 1, now);
            return self.inner.store.settle(QueueItem { due_at, ..item }).await;
        };
        let body = match self.inner.store.queued_body(item.id).await {
            Err(error @ StoreError::Damaged(_)) if is_expired(&self.inner.settings(), item.queued_at, now) => {
                return self.give_up(item, &error, now).await;
            }
            body => body?,
        };
        let fates = self.fates(&item, &body, now).await;
        for (state, fate) in item.recipients.iter().zip(&fates) {
            metrics::counter!("queue_attempts_total", "outcome" => fate.as_label()).increment(1);
            tracing::info!(id = %item.id.0, recipient = %state.path, ?fate, "attempted");
        }
        let verdict = Verdict::of(&self.inner, &item, fates, now);
        if !verdict.failed.is_empty() {
            // Before the row forgets them: after a crash in between, the same bounce is put in again under the same id.
            self.bounce(&item, &verdict.failed, &body, now).await?;
        }
        self.inner.store.settle(verdict.left(item, &self.inner, now)).await
    }

    /// A body that cannot be read for the whole life of its item will not be: its sender has to know.
    async fn give_up(&self, item: QueueItem, error: &StoreError, now: Timestamp) -> Result<(), StoreError> {
        tracing::error!(id = %item.id.0, %error, "queued message cannot be read, given up");
        let failed: Vec<FailedRecipient> = item.recipients.iter().map(unreadable).collect();
        self.bounce(&item, &failed, b"", now).await?;
        self.inner.store.settle(QueueItem { recipients: Vec::new(), ..item }).await
    }

    /// One fate per recipient, in order.
    async fn fates(&self, item: &QueueItem, body: &Bytes, now: Timestamp) -> Vec<Fate> {
        let routes: Vec<Route> = item.recipients.iter().map(|state| self.inner.route(&state.path)).collect();
        let remote = item.recipients.iter().zip(&routes).filter(|(_, route)| matches!(route, Route::Remote));
        let remote: Vec<Path> = remote.map(|(state, _)| state.path.clone()).collect();
        let mut sent = self.send(item, remote, body).await.into_iter();
        let mut fates = Vec::with_capacity(routes.len());
        for (state, route) in item.recipients.iter().zip(routes) {
            fates.push(match route {
                Route::Local(address) => self.deliver(item, &state.path, &address, body, now).await,
                Route::Remote => sent.next().unwrap_or_else(|| Fate::Deferred("the next hop gave no answer".into())),
            });
        }
        fates
    }

    async fn send(&self, item: &QueueItem, recipients: Vec<Path>, body: &Bytes) -> Vec<Fate> {
        match &self.inner.next_hop {
            _ if recipients.is_empty() => Vec::new(),
            Some(hop) => hop.send(item.reverse_path.clone(), recipients, item.eight_bit, body.clone()).await,
            None => vec![Fate::Deferred("no relay is configured".into()); recipients.len()],
        }
    }

    /// Under the same id at each attempt, so that an attempt that was cut off does not double the message.
    async fn deliver(&self, item: &QueueItem, path: &Path, address: &Address, body: &Bytes, now: Timestamp) -> Fate {
        let id = batch_id(item.id.0, path);
        let delivery = &self.inner.delivery;
        let (delivered, caused) = delivery.deliver(id, item.reverse_path.as_ref(), address, body, now).await;
        for (number, Caused { envelope, body }) in caused.into_iter().enumerate() {
            let caused_id = Uuid::new_v5(&id.0, format!("caused {number}").as_bytes());
            if let Err(error) = self.accept_as(caused_id, envelope, body, now).await {
                tracing::error!(%error, recipient = %path, "a reply or redirect could not be queued");
            }
        }
        match delivered {
            Delivered::Stored => Fate::Sent,
            Delivered::Refused(refusal) => Fate::Failed(refusal.to_string()),
            Delivered::Unavailable(why) => Fate::Deferred(why),
        }
    }

    /// RFC 5321 §6.1: one bounce to the reverse-path, with the null reverse-path; none for a message that had it.
    async fn bounce(
        &self,
        item: &QueueItem,
        failed: &[FailedRecipient],
        original: &[u8],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(to) = &item.reverse_path else {
            metrics::counter!("queue_double_bounces_total").increment(1);
            tracing::warn!(id = %item.id.0, ?failed, "undeliverable message with null reverse-path dropped");
            return Ok(());
        };
        let attempts = item.recipients.iter().map(|state| state.attempts).max().unwrap_or_default();
        let id = Uuid::new_v5(&item.id.0, format!("bounce {attempts}").as_bytes());
        let arrived = Timestamp::from_second(item.queued_at).unwrap_or(now);
        let hostname = &self.inner.delivery.hostname;
        let body = Bytes::from(Bounce { to, failed, original, arrived, hostname, now, chance: id }.build());
        let envelope = Envelope::new(None, [to.clone()]);
        metrics::counter!("queue_bounces_total").increment(1);
        self.accept_as(id, envelope, body, now).await
    }
}

impl Inner {
    /// The times of the queue's life, as of this moment.
    fn settings(&self) -> Arc<SharedSettings> {
        Arc::clone(self.delivery.view.snapshot().settings())
    }

    /// By the directory of now. A domain that cannot be said to be ours or not waits in local delivery.
    fn route(&self, path: &Path) -> Route {
        let Some(address) = path.address().or_else(|| self.postmaster_of(path)) else {
            return Route::Remote;
        };
        match self.delivery.check(&address) {
            Err(Delivered::Refused(Refusal::NotLocal)) => Route::Remote,
            _ => Route::Local(address),
        }
    }

    /// RFC 5321 §4.5.1: `postmaster` without a domain is ours.
    fn postmaster_of(&self, path: &Path) -> Option<Address> {
        if path.domain().is_empty() { self.delivery.postmaster() } else { None }
    }
}

fn unreadable(state: &RecipientState) -> FailedRecipient {
    let diagnostic = "the message was damaged while it waited here".into();
    FailedRecipient { path: state.path.clone(), diagnostic, expired: false }
}

/// What a body takes of the room for all; one larger than the room has it for itself.
fn body_units(octets: u64) -> u32 {
    let units = octets.div_ceil(BODY_UNIT_OCTETS);
    u32::try_from(units.min(BODY_UNITS_MAX as u64)).unwrap_or(u32::MAX)
}

/// The fates of one attempt, sorted by what follows.
struct Verdict {
    deferred: Vec<RecipientState>,
    failed: Vec<FailedRecipient>,
}

impl Verdict {
    fn of(inner: &Inner, item: &QueueItem, fates: Vec<Fate>, now: Timestamp) -> Self {
        let expired = is_expired(&inner.settings(), item.queued_at, now);
        let mut verdict = Self { deferred: Vec::new(), failed: Vec::new() };
        for (state, fate) in item.recipients.iter().zip(fates) {
            let path = state.path.clone();
            match fate {
                Fate::Sent => {}
                Fate::Failed(diagnostic) => verdict.failed.push(FailedRecipient { path, diagnostic, expired: false }),
                Fate::Deferred(diagnostic) if expired => {
                    verdict.failed.push(FailedRecipient { path, diagnostic, expired });
                }
                Fate::Deferred(why) => {
                    let attempts = state.attempts.saturating_add(1);
                    verdict.deferred.push(RecipientState { path, attempts, last_error: Some(why) });
                }
            }
        }
        verdict
    }

    /// The row as it goes back.
    fn left(self, item: QueueItem, inner: &Inner, now: Timestamp) -> QueueItem {
        let attempts = self.deferred.iter().map(|state| state.attempts).max().unwrap_or_default();
        let due_at = next_attempt(&inner.settings(), attempts, now);
        QueueItem { recipients: self.deferred, due_at, ..item }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_never_waits_for_more_than_there_is() {
        for (octets, units) in [(0, 0), (1, 1), (1024, 1), (1025, 2), (64 << 20, 65_536), (u64::MAX, 65_536)] {
            assert_eq!(body_units(octets), units, "{octets}");
        }
    }
}
