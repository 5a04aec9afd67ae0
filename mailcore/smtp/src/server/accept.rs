//! The end of data: everything durable, then 250 (RFC 5321 §4.1.1.4, §6.1; RFC 2033 §4.2).

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use jiff::Timestamp;
use provost_delivery::{Delivered, Incoming, Refusal, batch_id};
use provost_message::{
    Address, Headers, Path, Recipient, ReportAction, ReportedRecipient, is_looping, message_id, rfc5322_date,
};
use provost_net::Output;
use provost_store::{QueueId, StoreError};
use uuid::Uuid;

use super::patience::Patience;
use super::transaction::{Destination, RcptTo, Transaction};
use super::{Role, SmtpSession};
use crate::data::DataFault;
use crate::reply::{self, Reply};

/// Deliveries of one message at once: enough to share one commit of the store.
const DELIVERIES_AT_ONCE: usize = 32;
/// Octets of bodies in memory for them: each has its own copy.
const DELIVERY_OCTETS_AT_ONCE: usize = 8 * 1024 * 1024;

impl SmtpSession {
    /// Answers the end of data: once, or for LMTP once per recipient in the order of RCPT.
    pub(super) async fn accept(
        &mut self,
        transaction: Transaction,
        trace_octets: usize,
        data: Result<Bytes, DataFault>,
        out: &mut Output<'_>,
    ) {
        let now = self.now();
        let octets = data.as_ref().map_or(0, Bytes::len);
        let replies = match self.check(data, trace_octets, now) {
            Ok(message) if self.role == Role::Lmtp => self.accept_lmtp(&transaction, &message, now).await,
            Ok(message) => vec![self.accept_smtp(&transaction, &message, now).await],
            Err(reply) if self.role == Role::Lmtp => vec![reply; transaction.recipients.len()],
            Err(reply) => vec![reply],
        };
        if replies.iter().any(|reply| reply.code() < 300) {
            self.patience = Patience::new(now);
        }
        for (number, reply) in replies.iter().enumerate() {
            let role = self.role.as_label();
            let outcome = if reply.code() < 300 { "accepted" } else { "refused" };
            metrics::counter!("smtp_messages_total", "role" => role, "outcome" => outcome).increment(1);
            self.note(&transaction, number, octets, reply);
            out.put(reply.to_string());
        }
    }

    /// What a postmaster looks for first: refusals always, all messages with `PROVOST_LOG=provost_smtp=debug`. Whoever
    /// starts the node may not read what it writes, and a full pipe stops it: a line a message is not for every day.
    fn note(&self, transaction: &Transaction, number: usize, octets: usize, reply: &Reply) {
        let (id, role, peer) = (transaction.id.simple(), self.role.as_label(), self.peer.remote.ip());
        let (from, to) = (|| transaction.sender(), || transaction.answered(self.role, number));
        let line = || reply.to_string().trim_end().to_owned();
        // Paths and replies are printable ASCII: they cannot write a line of their own.
        if reply.code() < 300 {
            tracing::debug!(%id, role, %peer, from = from(), to = to(), octets, reply = line(), "message accepted");
        } else {
            tracing::info!(%id, role, %peer, from = from(), to = to(), octets, reply = line(), "message refused");
        }
    }

    /// The message as it goes on, or why it does not.
    fn check(&self, data: Result<Bytes, DataFault>, trace_octets: usize, now: Timestamp) -> Result<Bytes, Reply> {
        let message = data.map_err(|fault| match fault {
            DataFault::NoRoom => reply::NO_ROOM,
            DataFault::TooLong => reply::TOO_LARGE,
            DataFault::Nul => reply::NUL_IN_MESSAGE,
            DataFault::BareLineEnd => reply::BARE_LINE_END,
        })?;
        if is_looping(&message) {
            return Err(reply::LOOPING);
        }
        if self.role == Role::Submission {
            return Ok(complete(message, trace_octets, &self.config.hostname, now));
        }
        Ok(message)
    }

    async fn accept_lmtp(&self, transaction: &Transaction, message: &Bytes, now: Timestamp) -> Vec<Reply> {
        let outcomes = self.deliver(transaction, message, now).await;
        let name = transaction.name();
        outcomes.into_iter().map(|(one, outcome)| lmtp_reply(&one.recipient.path, outcome, &name)).collect()
    }

    /// One answer for all: 250 once each recipient's copy is durable, in the mailbox or in the queue.
    ///
    /// After 451 some may have their copy, and get another when the peer tries again: no message is lost that way, and
    /// it takes a queue that fails right after the store has not.
    async fn accept_smtp(&self, transaction: &Transaction, message: &Bytes, now: Timestamp) -> Reply {
        match self.hand_on(transaction, message, now).await {
            Ok(None) => Reply::new(250, "2.0.0", format!("OK {}", transaction.name())),
            Ok(Some(refusal)) => {
                let (code, status, text) = refusal.reply();
                Reply::new(code, status, text)
            }
            Err(error) => {
                tracing::error!(id = %transaction.id, %error, "message cannot be queued");
                reply::TRY_LATER
            }
        }
    }

    /// `Ok(Some(..))`: nobody took it.
    async fn hand_on(
        &self,
        transaction: &Transaction,
        message: &Bytes,
        now: Timestamp,
    ) -> Result<Option<Refusal>, StoreError> {
        let is_remote = |one: &&RcptTo| one.destination == Destination::Remote;
        let remote = transaction.recipients.iter().filter(is_remote).map(|one| one.recipient.clone());
        let remote: Vec<Recipient> = remote.collect();
        // First what can only fail as a whole, so that a failure leaves nothing behind.
        let id = Uuid::new_v5(&transaction.id, b"remote");
        let mut taken = remote.len();
        self.enqueue(id, transaction, remote, message, now).await?;
        let (mut waiting, mut refused) = (Vec::new(), Vec::new());
        for (one, outcome) in self.deliver(transaction, message, now).await {
            match outcome {
                Delivered::Stored => taken += 1,
                Delivered::Unavailable(_) => waiting.push(one.recipient.clone()),
                Delivered::Refused(refusal) => refused.push((one.recipient.clone(), refusal)),
            }
        }
        taken += waiting.len();
        // Under the transaction's own id: a delivery with unknown outcome is tried again as the same one.
        self.enqueue(transaction.id, transaction, waiting, message, now).await?;
        if taken == 0 {
            return Ok(refused.into_iter().next().map(|(_, refusal)| refusal));
        }
        self.bounce(transaction, refused, message, now).await?;
        Ok(None)
    }

    async fn enqueue(
        &self,
        id: Uuid,
        transaction: &Transaction,
        recipients: Vec<Recipient>,
        message: &Bytes,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if recipients.is_empty() {
            return Ok(());
        }
        let envelope = transaction.envelope().with_recipients(recipients);
        self.config.queue.accept_as(id, envelope, message.clone(), now).await
    }

    /// Some took it, so the session cannot refuse it any more for those who did not (RFC 5321 §6.1).
    async fn bounce(
        &self,
        transaction: &Transaction,
        refused: Vec<(Recipient, Refusal)>,
        original: &Bytes,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if transaction.reverse_path.is_none() && !refused.is_empty() {
            tracing::warn!(id = %transaction.id.simple(), ?refused, "refused message with null reverse-path dropped");
        }
        let failure = |(recipient, refusal): (Recipient, Refusal)| ReportedRecipient {
            recipient,
            action: ReportAction::Failed { diagnostic: refusal.to_string(), expired: false },
        };
        let failed: Vec<ReportedRecipient> = refused.into_iter().map(failure).collect();
        let id = QueueId(Uuid::new_v5(&transaction.id, b"bounce"));
        match self.config.delivery.report(id, &transaction.envelope(), &failed, original, (now, now)) {
            Some(report) => self.config.queue.accept_outgoing(report).await,
            None => Ok(()),
        }
    }

    /// All local recipients, several at once, outcomes in the order of RCPT.
    async fn deliver<'t>(
        &self,
        transaction: &'t Transaction,
        message: &Bytes,
        now: Timestamp,
    ) -> Vec<(&'t RcptTo, Delivered)> {
        let at_once = (DELIVERY_OCTETS_AT_ONCE / message.len().max(1)).clamp(1, DELIVERIES_AT_ONCE);
        let mut deliveries = Vec::new();
        for one in &transaction.recipients {
            if let Destination::Local(address) = &one.destination {
                deliveries.push(self.deliver_one(transaction, one, address, message, now));
            }
        }
        futures_util::stream::iter(deliveries).buffered(at_once).collect().await
    }

    async fn deliver_one<'t>(
        &self,
        transaction: &Transaction,
        one: &'t RcptTo,
        address: &Address,
        message: &Bytes,
        now: Timestamp,
    ) -> (&'t RcptTo, Delivered) {
        let id = batch_id(transaction.id, &one.recipient.path);
        let envelope = &transaction.envelope();
        let incoming = Incoming { id, envelope, recipient: &one.recipient, address, message, now };
        (one, self.config.delivery.deliver(incoming).await)
    }
}

fn lmtp_reply(path: &Path, outcome: Delivered, name: &str) -> Reply {
    match outcome {
        Delivered::Stored => Reply::new(250, "2.1.5", format!("<{path}> OK {name}")),
        Delivered::Unavailable(_) => Reply::new(451, "4.3.0", format!("<{path}> Try again later")),
        Delivered::Refused(refusal) => {
            let (code, status, text) = refusal.reply();
            Reply::new(code, status, format!("<{path}> {text}"))
        }
    }
}

/// RFC 6409 §8.2, §8.3: a submitted message gets the Date and Message-ID that it lacks, after our trace field.
fn complete(message: Bytes, trace_octets: usize, hostname: &str, now: Timestamp) -> Bytes {
    let (trace, data) = message.split_at_checked(trace_octets).unwrap_or((&[], &message));
    let headers = Headers::of(data);
    let mut added = String::new();
    if headers.field("Date").is_none() {
        added.push_str(&format!("Date: {}\r\n", rfc5322_date(now)));
    }
    if headers.field("Message-ID").is_none() {
        added.push_str(&format!("Message-ID: <{}>\r\n", message_id(now, Uuid::new_v4(), hostname)));
    }
    if added.is_empty() {
        return message;
    }
    // A message without header section begins with its text: without an empty line that would become a field.
    if !headers.begins_with_field() && !data.starts_with(b"\r\n") {
        added.push_str("\r\n");
    }
    let mut whole = BytesMut::with_capacity(message.len() + added.len());
    for part in [trace, added.as_bytes(), data] {
        whole.extend_from_slice(part);
    }
    whole.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6409 §8.2, §8.3.
    #[test]
    fn a_submission_is_completed() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        for (data, has, kept) in [
            ("Date: x\r\nMessage-ID: <y>\r\n\r\nhi\r\n", 0, true),
            ("Date: x\r\n\r\nhi\r\n", 1, true),
            ("message-id: <y>\r\n\r\nhi\r\n", 1, true),
            ("Subject: x\r\n\r\nDate: in body\r\n", 2, true),
            ("\r\nhi\r\n", 2, true),
            ("just text\r\n", 2, true),
            ("", 2, true),
        ] {
            let message = Bytes::from(format!("Received: z\r\n{data}"));
            let whole = complete(message, 13, "mx.example.edu", now);
            let headers = Headers::of(&whole);
            assert!(whole.starts_with(b"Received: z\r\n"), "{data}");
            assert_eq!(headers.all("Date").count(), 1, "{data}");
            assert_eq!(headers.all("Message-ID").count(), 1, "{data}");
            assert_eq!(whole.ends_with(data.as_bytes()), kept, "{data}");
            let expect = if has == 0 { 13 + data.len() } else { whole.len() };
            assert_eq!(whole.len(), expect, "{data}");
            assert!(!headers.iter().any(|field| field.is("just text")));
        }
    }
}
