//! Local delivery: recipient, person, the person's Sieve rules, store. This crate files all mail into mailboxes, except
//! what IMAP clients append, copy or move.
//!
//! Three things must never happen here: an answer before the commit is durable, a directory that cannot answer treated
//! as "no such user", and a message lost because a person's rule is wrong.

mod actions;
mod list;
mod outcome;
mod trace;

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use provost_message::{
    Address, Arrival, DeliveryReport, Envelope, Path, Recipient, ReportAction, ReportedRecipient, without_detail,
};
use provost_store::{
    AccountId, Applied, Batch, BatchCondition, BatchError, BatchId, MailboxName, MessageStore, NewMessage, Op, QueueId,
    SpecialUse,
};
use provost_trace::{TraceEvent, TraceOutcome};
use provost_view::{Person, RecipientStatus, View};
use uuid::Uuid;

use actions::{Disposition, Filing};
pub use list::ListRefusal;
pub use outcome::{Delivered, RecipientRefusal};

/// How often a batch of unknown outcome is repeated with its id before the recipient is deferred.
const UNKNOWN_RETRIES_MAX: usize = 3;
/// The mailbox that takes quarantined messages in an account without a mailbox of the use `\Junk`.
const JUNK: &str = "Junk";
/// People within the site who may send a message on, one after the other.
const LOCAL_HOPS_MAX: usize = 5;

/// One message for one recipient.
#[derive(Clone, Copy)]
pub struct IncomingMessage<'a> {
    /// Idempotency key, see [`batch_id`]: a repeated delivery with the same one stores nothing twice.
    pub id: BatchId,
    /// The arrival of the message. Reverse-path, ENVID and RET of its envelope are used; its recipients are not.
    pub arrival: &'a Arrival,
    /// The recipient as the envelope named it.
    pub recipient: &'a Recipient,
    /// The address of this site that the recipient resolves to.
    pub address: &'a Address,
    /// The message with the trace fields of the caller (Received). Return-Path and Delivered-To are added in front of
    /// them.
    pub message: &'a Bytes,
    /// The time of the delivery.
    pub now: Timestamp,
}

/// Delivers to local people. Cheap to clone.
#[derive(Clone)]
pub struct Delivery {
    /// The View of the directory.
    pub view: View,
    /// The store.
    pub store: Arc<dyn MessageStore>,
    /// Name of this host: in the Message-IDs of reports and replies, and in the Received fields that it wrote.
    pub hostname: Arc<str>,
}

/// The idempotency key of one recipient of one transaction. The session and later the queue compute the same key, so
/// that a recipient whose outcome was unknown gets one copy.
pub fn batch_id(transaction: Uuid, recipient: &Path) -> BatchId {
    BatchId::new(Uuid::new_v5(&transaction, recipient.to_string().to_ascii_lowercase().as_bytes()))
}

/// Whom an address reaches: by the whole address, else by the address without its detail (RFC 5233).
fn recipient_status(view: &View, recipient: &Address) -> RecipientStatus {
    match (view.recipient(recipient), without_detail(recipient)) {
        (RecipientStatus::Unknown, Some(user)) => view.recipient(&user),
        (known, _) => known,
    }
}

fn person_of(status: RecipientStatus) -> Result<Arc<Person>, Delivered> {
    match status {
        RecipientStatus::Person(person) => Ok(person),
        // The callers have taken lists out.
        RecipientStatus::List(_) | RecipientStatus::Unknown => Err(Delivered::Refused(RecipientRefusal::NoSuchUser)),
        RecipientStatus::NotLocal => Err(Delivered::Refused(RecipientRefusal::NotLocal)),
        RecipientStatus::Closed => Err(Delivered::Refused(RecipientRefusal::Closed)),
        RecipientStatus::Unavailable => Err(Delivered::Unavailable("the directory cannot answer now".into())),
    }
}

impl Delivery {
    /// Whether a recipient would be accepted now (RCPT TO); `Err` is the outcome that a delivery would have.
    pub fn check(&self, recipient: &Address) -> Result<(), Delivered> {
        match self.recipient(recipient) {
            RecipientStatus::List(_) => Ok(()),
            status => person_of(status).map(drop),
        }
    }

    /// The address to which mail for `postmaster` without a domain goes (RFC 5321 §4.5.1): `postmaster` of a served
    /// domain, else the person whose login is `postmaster`. `None` when the directory knows neither.
    pub fn postmaster(&self) -> Option<Address> {
        let snapshot = self.view.snapshot();
        let of_domain = |domain: String| Address::from_parts("postmaster", &domain).ok();
        let takes = |address: &Address| matches!(self.view.recipient(address), RecipientStatus::Person(_));
        let by_login = || snapshot.by_login("postmaster").map(|person| person.primary.clone());
        snapshot.domains().into_iter().filter_map(of_domain).find(takes).or_else(by_login)
    }

    /// Delivers one message to one recipient. On `Stored`, vacation reply, redirect and report of success are in the
    /// queue and as durable as the message.
    pub async fn deliver(&self, incoming: IncomingMessage<'_>) -> Delivered {
        let delivered = match self.recipient(incoming.address) {
            RecipientStatus::List(list) => self.distribute(incoming, &list).await,
            status => self.deliver_to_person(incoming, person_of(status)).await,
        };
        metrics::counter!("provost_deliveries_total", "outcome" => delivered.as_label()).increment(1);
        delivered
    }

    async fn deliver_to_person(
        &self,
        incoming: IncomingMessage<'_>,
        person: Result<Arc<Person>, Delivered>,
    ) -> Delivered {
        match person {
            Ok(_) if trace::is_looping(incoming.message, incoming.address, &self.hostname) => {
                Delivered::Refused(RecipientRefusal::Loop)
            }
            Ok(person) if incoming.arrival.is_quarantined() => {
                let disposition = Disposition::quarantine(self.junk(&person).await);
                self.carry_out(incoming, &person, disposition).await
            }
            Ok(person) => match Disposition::of(&person, incoming, &self.view).forwarded(&person, incoming.now) {
                Some(disposition) => self.forward_or_keep(incoming, &person, disposition).await,
                None => Delivered::Refused(RecipientRefusal::Closed),
            },
            Err(delivered) => delivered,
        }
    }

    /// Carries out what the person's rules and forwarding ask for. A message that comes back to a person who has sent it on
    /// within the site stays there, and so does one that many people have sent on: people who forward to each other
    /// would otherwise multiply it without end.
    async fn forward_or_keep(
        &self,
        incoming: IncomingMessage<'_>,
        person: &Arc<Person>,
        disposition: Disposition,
    ) -> Delivered {
        let disposition = disposition.without_lists(&self.view);
        let hops = if disposition.redirects.is_empty() { Vec::new() } else { trace::local_hops(incoming.message) };
        let is_own = |hop: &Address| matches!(self.recipient(hop), RecipientStatus::Person(other) if other.entry_uuid == person.entry_uuid);
        if hops.len() < LOCAL_HOPS_MAX && !hops.iter().any(is_own) {
            return self.carry_out(incoming, person, disposition).await;
        }
        tracing::warn!(account = %person.entry_uuid, hops = hops.len(), "a forwarding leads back or too far: not sent on");
        match disposition.without_redirects(person) {
            Some(disposition) => self.carry_out(incoming, person, disposition).await,
            None => Delivered::Refused(RecipientRefusal::Loop),
        }
    }

    /// The person's mailbox for quarantine: the one with the use `\Junk` (RFC 6154), else the one named Junk.
    async fn junk(&self, person: &Person) -> MailboxName {
        let snapshot = self.store.snapshot(AccountId::new(person.entry_uuid), None).await.ok();
        let by_use = snapshot.and_then(|snapshot| {
            let mut mailboxes = snapshot.mailboxes.iter();
            mailboxes.find(|mailbox| mailbox.special_use == Some(SpecialUse::Junk)).map(|mailbox| mailbox.name.clone())
        });
        by_use.or_else(|| MailboxName::parse(JUNK)).unwrap_or_else(MailboxName::inbox)
    }

    fn recipient(&self, recipient: &Address) -> RecipientStatus {
        recipient_status(&self.view, recipient)
    }

    /// Stores the message in its mailboxes, and the messages that it causes in the queue, in one batch: all or nothing.
    /// A message that the person's rules reject is refused instead.
    async fn carry_out(&self, incoming: IncomingMessage<'_>, person: &Person, disposition: Disposition) -> Delivered {
        if let Some(reason) = disposition.reject {
            return Delivered::Refused(RecipientRefusal::Rejected(reason));
        }
        let IncomingMessage { id, arrival, recipient, address, message, now } = incoming;
        let envelope = &arrival.envelope;
        let body = trace::with_trace(message, envelope.reverse_path.as_ref(), address);
        let mut ops = disposition.appends(&body, now);
        ops.extend(disposition.redirects(incoming, &body));
        ops.extend(
            disposition.vacation.as_ref().map(|reply| actions::vacation_op(reply, incoming, person, &self.hostname)),
        );
        if disposition.ends_here() && recipient.wants_success() && !arrival.is_quarantined() {
            let success = ReportedRecipient { recipient: recipient.clone(), action: ReportAction::Delivered };
            let report = self.report(actions::caused_id(id, "delivered"), envelope, &[success], message, (now, now));
            ops.extend(report.map(|report| Op::Enqueue(Box::new(report))));
        }
        // A message that only goes on takes no room.
        let quota = self.view.snapshot().quota(person, now).filter(|_| !disposition.mailboxes.is_empty());
        let require = quota.map(BatchCondition::QuotaOctets).into_iter().collect();
        let account = AccountId::new(person.entry_uuid);
        let batch = Batch { id: Some(id), account, now, require, ops };
        match self.apply(batch, &body).await {
            Ok(filing) => {
                let event = TraceEvent::new(arrival, TraceOutcome::Delivered, now)
                    .to(&recipient.path)
                    .account(person.entry_uuid);
                event.message(message).text(disposition.describe(filing)).record();
                Delivered::Stored
            }
            Err(error) => Delivered::from(error),
        }
    }

    /// Builds a report to the sender of a message that arrived at `arrived` (RFC 3464); `None` when no report is due.
    pub fn report(
        &self,
        id: QueueId,
        envelope: &Envelope,
        recipients: &[ReportedRecipient],
        original: &[u8],
        (arrived, now): (Timestamp, Timestamp),
    ) -> Option<NewMessage> {
        let report =
            DeliveryReport { envelope, recipients, original, arrived, hostname: &self.hostname, now, chance: id.get() };
        let (envelope, message) = report.build()?;
        metrics::counter!("provost_reports_total").increment(1);
        Some(NewMessage { id, envelope, body: Bytes::from(message), when: now })
    }

    /// Applies the batch. When the store answers `NoMailbox` or `Refused`, a batch that files the message outside INBOX
    /// is repeated with one copy in INBOX instead, so that no rule loses a message.
    async fn apply(&self, batch: Batch, body: &Bytes) -> Result<Filing, BatchError> {
        match self.settle(&batch).await {
            Err(BatchError::NoMailbox(_) | BatchError::Refused(_))
                if batch.ops.iter().any(actions::files_outside_inbox) =>
            {
                tracing::warn!(account = %batch.account.get(), "mailbox not available, message kept in INBOX");
                let internal_date = batch.now;
                let others = batch.ops.into_iter().filter(|op| !matches!(op, Op::Append { .. }));
                let ops = std::iter::once(actions::keep_op(body.clone(), internal_date)).chain(others).collect();
                self.settle(&Batch { ops, ..batch }).await.map(|_| Filing::InInbox)
            }
            outcome => outcome.map(|_| Filing::AsRuled),
        }
    }

    /// Applies the batch, and repeats it with the same id while the outcome is unknown, at most [`UNKNOWN_RETRIES_MAX`]
    /// times.
    async fn settle(&self, batch: &Batch) -> Result<Applied, BatchError> {
        let mut outcome = self.store.apply(batch.clone()).await;
        for _ in 0..UNKNOWN_RETRIES_MAX {
            if outcome != Err(BatchError::Unknown) {
                break;
            }
            outcome = self.store.apply(batch.clone()).await;
        }
        outcome
    }
}

#[cfg(test)]
mod tests;
