//! The end of data: everything is durable before the 250 (RFC 5321 §4.1.1.4, §6.1; RFC 2033 §4.2).

use bytes::Bytes;
use futures_util::StreamExt;
use jiff::Timestamp;
use provost_delivery::{Delivered, IncomingMessage, RecipientRefusal, batch_id};
use provost_message::{Address, Arrival, Path, Recipient, ReportAction, ReportedRecipient, Service, TraceId};
use provost_net::OutputBuffer;
use provost_store::{QueueId, StoreError};
use provost_trace::{TraceEvent, TraceOutcome};
use uuid::Uuid;

use super::SmtpSession;
use super::complete::complete;
use super::error_budget::ErrorBudget;
use super::route::DeliveryRoute;
use super::stages::{judge, message_of};
use super::transaction::MailTransaction;
use super::valid_since::refusal_by_header;
use crate::data::DataFault;
use crate::reply::{self, Reply};

/// Deliveries of one message that run at once: enough to share one commit of the store.
const DELIVERIES_AT_ONCE: usize = 32;
/// Octets that these deliveries may hold together, as each has its own copy of the message. A larger message is
/// delivered to one recipient at a time.
const DELIVERY_OCTETS_AT_ONCE: usize = 8 * 1024 * 1024;

impl SmtpSession {
    /// Answers the end of data: once, or for LMTP once per recipient in the order of RCPT.
    pub(super) async fn accept(
        &mut self,
        mut transaction: MailTransaction,
        trace_octets: usize,
        data: Result<Bytes, DataFault>,
        out: &mut OutputBuffer<'_>,
    ) {
        let (now, service) = (self.now(), self.connection.service);
        // Kept for the events of a refusal, which record the Message-ID.
        let received = data.as_ref().ok().cloned();
        let replies = match self.check(&mut transaction, data, trace_octets, now).await {
            Ok(message) if service == Service::Lmtp => self.accept_lmtp(&transaction, &message, now).await,
            Ok(message) => vec![self.accept_smtp(&transaction, &message, now).await],
            Err(reply) if service == Service::Lmtp => vec![reply; transaction.routes.len()],
            Err(reply) => vec![reply],
        };
        if replies.iter().any(|reply| reply.code() < 300) {
            self.error_budget = ErrorBudget::new(now);
        }
        for (number, reply) in replies.iter().enumerate() {
            let outcome = if reply.code() < 300 { "accepted" } else { "refused" };
            metrics::counter!("provost_smtp_messages_total", "service" => service.as_label(), "outcome" => outcome)
                .increment(1);
            if reply.code() >= 300 {
                let recipients = &transaction.arrival.envelope.recipients;
                let of_one = (service == Service::Lmtp).then(|| recipients.get(number)).flatten();
                for recipient in of_one.map_or(&recipients[..], std::slice::from_ref) {
                    self.trace_refusal(&transaction.arrival, Some(&recipient.path), received.as_ref(), reply);
                }
            }
            out.put(reply.to_string());
        }
    }

    /// Records that a message, or one recipient, was refused (5xx) or deferred (4xx) in the session: the peer still has
    /// the message. Accepted messages get their events where they are stored.
    pub(super) fn trace_refusal(
        &self,
        arrival: &Arrival,
        recipient: Option<&Path>,
        message: Option<&Bytes>,
        reply: &Reply,
    ) {
        let outcome = if reply.code() < 500 { TraceOutcome::Deferred } else { TraceOutcome::Refused };
        let event = TraceEvent::new(arrival, outcome, self.now());
        let event = recipient.into_iter().fold(event, |event, path| event.to(path));
        message.into_iter().fold(event, |event, message| event.message(message)).text(reply).record();
    }

    /// Records one event for each of these recipients, for whom the session has taken responsibility: queued, or failed
    /// after the message was accepted for others.
    fn trace_taken<'r>(
        transaction: &MailTransaction,
        recipients: impl IntoIterator<Item = (&'r Recipient, &'r str)>,
        outcome: TraceOutcome,
        message: &Bytes,
        now: Timestamp,
    ) {
        for (recipient, text) in recipients {
            // Dated at the end of data: the queue may already have recorded a later event of this message.
            let event = TraceEvent::new(&transaction.arrival, outcome, now);
            event.to(&recipient.path).message(message).text(text).record();
        }
    }

    /// Returns the message as it is delivered, or the reply that refuses or defers it.
    async fn check(
        &self,
        transaction: &mut MailTransaction,
        data: Result<Bytes, DataFault>,
        trace_octets: usize,
        now: Timestamp,
    ) -> Result<Bytes, Reply> {
        let input = self.stage_input(message_of(&data, trace_octets));
        let judged = judge(self.stages.data_end, &mut transaction.arrival, input).await;
        judged.map_err(provost_message::Rejected::into_reply)?;
        // Data with a fault was not kept: even if every stage accepts it, there is no message to deliver.
        let message = data.map_err(|_| reply::TRY_LATER)?;
        if transaction.arrival.is_quarantined() && transaction.routes.contains(&DeliveryRoute::Remote) {
            return Err(reply::QUARANTINED);
        }
        Ok(complete(&transaction.arrival, message, trace_octets, &self.config.hostname, now))
    }

    async fn accept_lmtp(&self, transaction: &MailTransaction, message: &Bytes, now: Timestamp) -> Vec<Reply> {
        let outcomes = self.deliver(transaction, message, now).await;
        let id = transaction.arrival.trace_id;
        outcomes.into_iter().map(|(recipient, outcome)| lmtp_reply(&recipient.path, outcome, id)).collect()
    }

    /// One reply for all recipients: 250 once each copy is durable, in a mailbox or in the queue.
    ///
    /// After a 451 the peer tries again, and a recipient whose copy was already stored or queued gets a second one.
    /// This happens only when a later write to the queue fails; no message is lost.
    async fn accept_smtp(&self, transaction: &MailTransaction, message: &Bytes, now: Timestamp) -> Reply {
        match self.queue_and_deliver(transaction, message, now).await {
            Ok(None) => Reply::new(250, "2.0.0", format!("OK, queued as {}", transaction.arrival.trace_id)),
            Ok(Some(refusal)) => {
                let (code, status, text) = refusal.reply();
                Reply::new(code, status, text)
            }
            Err(error) => {
                tracing::error!(id = %transaction.arrival.trace_id, %error, "message cannot be queued");
                reply::TRY_LATER
            }
        }
    }

    /// Queues for remote recipients, then delivers to local ones. `Ok(Some(refusal))` when every recipient was refused:
    /// the first refusal, to be sent as the reply.
    async fn queue_and_deliver(
        &self,
        transaction: &MailTransaction,
        message: &Bytes,
        now: Timestamp,
    ) -> Result<Option<RecipientRefusal>, StoreError> {
        let is_remote = |(_, route): &(&Recipient, &DeliveryRoute)| **route == DeliveryRoute::Remote;
        let remote: Vec<Recipient> = transaction.recipients().filter(is_remote).map(|(r, _)| r.clone()).collect();
        let message_number = transaction.arrival.trace_id.as_uuid();
        // The queue comes first: it takes all remote recipients or none, so a failure here leaves nothing behind.
        let id = Uuid::new_v5(&message_number, b"remote");
        let mut taken = remote.len();
        self.enqueue(id, transaction, remote.clone(), message, now).await?;
        let sent_on = remote.iter().map(|recipient| (recipient, "to be sent on"));
        Self::trace_taken(transaction, sent_on, TraceOutcome::Queued, message, now);
        let (mut waiting, mut refused) = (Vec::new(), Vec::new());
        for (recipient, outcome) in self.deliver(transaction, message, now).await {
            match outcome {
                Delivered::Stored => taken += 1,
                Delivered::Unavailable(why) => waiting.push((recipient.clone(), why)),
                Delivered::Refused(refusal) => refused.push((recipient.clone(), refusal)),
            }
        }
        taken += waiting.len();
        // Queued under the transaction's own id, so that a delivery of unknown outcome is repeated as the same batch.
        let recipients = waiting.iter().map(|(recipient, _)| recipient.clone()).collect();
        self.enqueue(message_number, transaction, recipients, message, now).await?;
        let later = waiting.iter().map(|(recipient, why)| (recipient, why.as_str()));
        Self::trace_taken(transaction, later, TraceOutcome::Queued, message, now);
        if taken == 0 {
            return Ok(refused.into_iter().next().map(|(_, refusal)| refusal));
        }
        let texts: Vec<String> = refused.iter().map(|(_, refusal)| refusal.to_string()).collect();
        let failed = refused.iter().map(|(recipient, _)| recipient).zip(texts.iter().map(String::as_str));
        Self::trace_taken(transaction, failed, TraceOutcome::Failed, message, now);
        self.bounce(transaction, refused, message, now).await?;
        Ok(None)
    }

    async fn enqueue(
        &self,
        id: Uuid,
        transaction: &MailTransaction,
        recipients: Vec<Recipient>,
        message: &Bytes,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if recipients.is_empty() {
            return Ok(());
        }
        let envelope = transaction.arrival.envelope.with_recipients(recipients);
        self.config.queue.accept_as(id, envelope, message.clone(), now).await
    }

    /// Queues a bounce to the sender that names the refused recipients. The message is already stored or queued for
    /// other recipients, so the reply must be 250 (RFC 5321 §6.1).
    async fn bounce(
        &self,
        transaction: &MailTransaction,
        refused: Vec<(Recipient, RecipientRefusal)>,
        original: &Bytes,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (id, envelope) = (transaction.arrival.trace_id, &transaction.arrival.envelope);
        if envelope.reverse_path.is_none() && !refused.is_empty() {
            tracing::warn!(%id, ?refused, "no bounce for the refused recipients: the reverse-path is null");
        }
        let failure = |(recipient, refusal): (Recipient, RecipientRefusal)| ReportedRecipient {
            recipient,
            action: ReportAction::Failed { diagnostic: refusal.to_string(), expired: false },
        };
        let failed: Vec<ReportedRecipient> = refused.into_iter().map(failure).collect();
        let bounce_id = QueueId::new(Uuid::new_v5(&id.as_uuid(), b"bounce"));
        match self.config.delivery.report(bounce_id, envelope, &failed, original, (now, now)) {
            Some(report) => self.config.queue.accept_outgoing(report).await,
            None => Ok(()),
        }
    }

    /// Delivers to all local recipients, several at once; the outcomes are in the order of RCPT.
    async fn deliver<'t>(
        &self,
        transaction: &'t MailTransaction,
        message: &Bytes,
        now: Timestamp,
    ) -> Vec<(&'t Recipient, Delivered)> {
        let at_once = (DELIVERY_OCTETS_AT_ONCE / message.len().max(1)).clamp(1, DELIVERIES_AT_ONCE);
        let mut deliveries = Vec::new();
        for ((recipient, route), has_valid_since) in transaction.recipients().zip(&transaction.has_valid_since) {
            if let DeliveryRoute::Local(address) = route {
                let asked = (!has_valid_since).then_some(address);
                let refusal = asked.and_then(|address| refusal_by_header(&self.config.view, address, message, now));
                deliveries.push(self.deliver_one(transaction, recipient, (address, refusal), message, now));
            }
        }
        futures_util::stream::iter(deliveries).buffered(at_once).collect().await
    }

    async fn deliver_one<'t>(
        &self,
        transaction: &MailTransaction,
        recipient: &'t Recipient,
        (address, refusal): (&Address, Option<RecipientRefusal>),
        message: &Bytes,
        now: Timestamp,
    ) -> (&'t Recipient, Delivered) {
        if let Some(refusal) = refusal {
            return (recipient, Delivered::Refused(refusal));
        }
        let arrival = &transaction.arrival;
        let id = batch_id(arrival.trace_id.as_uuid(), &recipient.path);
        let incoming = IncomingMessage { id, arrival, recipient, address, message, now };
        (recipient, self.config.delivery.deliver(incoming).await)
    }
}

fn lmtp_reply(path: &Path, outcome: Delivered, id: TraceId) -> Reply {
    match outcome {
        Delivered::Stored => Reply::new(250, "2.1.5", format!("<{path}> OK, stored as {id}")),
        Delivered::Unavailable(_) => Reply::new(451, "4.3.0", format!("<{path}> Try again later")),
        Delivered::Refused(refusal) => {
            let (code, status, text) = refusal.reply();
            Reply::new(code, status, format!("<{path}> {text}"))
        }
    }
}
