//! Local delivery: recipient to person, person's Sieve, then the store. The one door for messages into mailboxes.
//!
//! What must never happen here: an answer that is not durable yet, a directory that cannot answer taken for "no such
//! user", a message lost because a person's rule is wrong.

mod actions;
mod outcome;
mod trace;

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use provost_message::{Address, Path};
use provost_store::{AccountId, Applied, ApplyError, Batch, BatchId, Effect, MessageStore, Op, Require};
use provost_view::{Person, Recipient, View};
use uuid::Uuid;

use actions::Wishes;
pub use outcome::{Caused, Delivered, Refusal};

/// How often a batch with an unknown outcome is tried again with its id before the recipient is told to come later.
const UNKNOWN_RETRIES_MAX: usize = 3;

/// One message on its way to one recipient.
#[derive(Clone, Copy)]
struct Incoming<'a> {
    id: BatchId,
    reverse_path: Option<&'a Path>,
    recipient: &'a Address,
    message: &'a Bytes,
    now: Timestamp,
}

/// Delivers to local people. Cheap to clone.
#[derive(Clone)]
pub struct Delivery {
    /// The directory.
    pub view: View,
    /// The store.
    pub store: Arc<dyn MessageStore>,
    /// Name of this host, for Received and Message-ID.
    pub hostname: Arc<str>,
}

/// The idempotency key of one recipient of one transaction: the session and later the queue make the same one, so that
/// a recipient whose outcome was unknown gets one copy.
pub fn batch_id(transaction: Uuid, recipient: &Path) -> BatchId {
    BatchId(Uuid::new_v5(&transaction, recipient.to_string().to_ascii_lowercase().as_bytes()))
}

impl Delivery {
    /// Whether a recipient would be taken now: `Ok` is yes (RCPT TO).
    pub fn check(&self, recipient: &Address) -> Result<(), Delivered> {
        self.person(recipient).map(|_| ())
    }

    /// The address that mail for `postmaster` without a domain goes to (RFC 5321 §4.5.1): that of a served domain, else
    /// of the person whose login is `postmaster`. `None` when the directory knows neither.
    pub fn postmaster(&self) -> Option<Address> {
        let snapshot = self.view.snapshot();
        let of_domain = |domain: String| Address::from_parts("postmaster", &domain).ok();
        let takes = |address: &Address| matches!(self.view.recipient(address), Recipient::Person(_));
        let by_login = || snapshot.by_login("postmaster").map(|person| person.primary.clone());
        snapshot.domains().into_iter().filter_map(of_domain).find(takes).or_else(by_login)
    }

    /// Delivers one message to one recipient. `message` begins with the trace fields that the caller put (Received),
    /// Return-Path and Delivered-To are added here. With the same `id` again nothing is doubled.
    ///
    /// What it caused (vacation reply, redirect) is for the queue, and only when the outcome is `Stored`.
    pub async fn deliver(
        &self,
        id: BatchId,
        reverse_path: Option<&Path>,
        recipient: &Address,
        message: &Bytes,
        now: Timestamp,
    ) -> (Delivered, Vec<Caused>) {
        let (delivered, caused) = match self.person(recipient) {
            Ok(_) if trace::has_come_before(message, recipient) => (Delivered::Refused(Refusal::Loop), Vec::new()),
            Ok(person) => {
                let incoming = Incoming { id, reverse_path, recipient, message, now };
                let wishes = Wishes::of(&person, incoming, &self.view);
                self.carry_out(incoming, &person, wishes).await
            }
            Err(delivered) => (delivered, Vec::new()),
        };
        metrics::counter!("deliveries_total", "outcome" => delivered.as_label()).increment(1);
        (delivered, caused)
    }

    fn person(&self, recipient: &Address) -> Result<Arc<Person>, Delivered> {
        match self.view.recipient(recipient) {
            Recipient::Person(person) => Ok(person),
            Recipient::Unknown => Err(Delivered::Refused(Refusal::NoSuchUser)),
            Recipient::NotLocal => Err(Delivered::Refused(Refusal::NotLocal)),
            Recipient::Closed => Err(Delivered::Refused(Refusal::Closed)),
            Recipient::Unavailable => Err(Delivered::Unavailable("the directory cannot say now".into())),
        }
    }

    /// One batch: the message into its mailboxes and the memory of the vacation reply, both or neither.
    async fn carry_out(&self, incoming: Incoming<'_>, person: &Person, wishes: Wishes) -> (Delivered, Vec<Caused>) {
        let Incoming { id, reverse_path, recipient, message, now } = incoming;
        if let Some(reason) = wishes.reject {
            return (Delivered::Refused(Refusal::Rejected(reason)), Vec::new());
        }
        let body = trace::with_trace(message, reverse_path, recipient);
        let mut ops = wishes.appends(&body, now);
        let remember = wishes.vacation.as_ref().map(|reply| actions::remember(reply, now));
        ops.extend(remember);
        let require = self.view.snapshot().quota(person).map(Require::QuotaOctets).into_iter().collect();
        let account = AccountId(person.entry_uuid);
        let batch = Batch { id: Some(id), account, now: now.as_second(), require, ops };
        let applied = match self.apply(batch, &body).await {
            Ok(applied) => applied,
            Err(error) => return (Delivered::from(error), Vec::new()),
        };
        let mut caused = wishes.redirects(reverse_path, &body);
        if let (Some(reply), Some(Effect::Remembered(true))) = (&wishes.vacation, applied.effects.last()) {
            caused.push(actions::reply(reply, person, &self.hostname, id, now));
        }
        (Delivered::Stored, caused)
    }

    /// Applies; falls back to INBOX when a mailbox that a rule names cannot be had, so that no rule loses a message.
    async fn apply(&self, batch: Batch, body: &Bytes) -> Result<Applied, ApplyError> {
        match self.settle(batch.clone()).await {
            Err(ApplyError::NoMailbox(_) | ApplyError::Refused(_)) if batch.ops.iter().any(actions::is_filed) => {
                tracing::warn!(account = %batch.account.0, "a rule's mailbox cannot be had, kept in INBOX");
                let internal_date = batch.now;
                let kept = batch.ops.into_iter().filter(|op| !matches!(op, Op::Append { .. }));
                let ops = std::iter::once(actions::keep(body.clone(), internal_date)).chain(kept).collect();
                self.settle(Batch { ops, ..batch }).await
            }
            outcome => outcome,
        }
    }

    /// Tries again with the same id while the outcome is unknown.
    async fn settle(&self, batch: Batch) -> Result<Applied, ApplyError> {
        let mut outcome = self.store.apply(batch.clone()).await;
        for _ in 0..UNKNOWN_RETRIES_MAX {
            if outcome != Err(ApplyError::Unknown) {
                break;
            }
            outcome = self.store.apply(batch.clone()).await;
        }
        outcome
    }
}

#[cfg(test)]
mod tests;
