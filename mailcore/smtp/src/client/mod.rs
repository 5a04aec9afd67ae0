//! The client: sends messages to a relay (RFC 5321 §3.3). It is the only part of this room that opens sockets.

mod config;
mod connection;
mod stuffing;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use provost_message::{Envelope, Path, Recipient, seven_bit};
use provost_queue::{Fate, NextHop, SendPermit};
use provost_store::BoxFuture;
use tokio::sync::Semaphore;
use tokio::time::Instant;

pub use config::RelayConfig;
use connection::{Connection, ConnectionError, Reply};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use stuffing::{end_of, stuffed};
pub use tls::CertificatePolicy;

/// Maximum number of recipients of one transaction: as many as every server must accept (RFC 5321 §4.5.3.1.8).
const RECIPIENTS_MAX: usize = 100;
/// Time limit for each reply to MAIL, RCPT and DATA (RFC 5321 §4.5.3.2.2 to §4.5.3.2.4).
const COMMAND_LIMIT: Duration = Duration::from_secs(5 * 60);
/// Time limit for one write of data (RFC 5321 §4.5.3.2.5).
const DATA_BLOCK_LIMIT: Duration = Duration::from_secs(3 * 60);
/// Time limit for the reply to the end of data (RFC 5321 §4.5.3.2.6).
const END_OF_DATA_LIMIT: Duration = Duration::from_secs(10 * 60);
/// Time limit for the reply to QUIT, which decides nothing.
const QUIT_LIMIT: Duration = Duration::from_secs(5);
/// Maximum number of connections that wait for the reply to QUIT at once; further ones are closed without waiting.
const QUITS_MAX: usize = 64;
/// Time limit for one message over all its transactions, up to the last end of data. Shorter than the queue's lease on
/// the row. The end of data and its reply have their own limits: a client that stopped waiting for the reply early
/// would send the message twice.
const MESSAGE_LIMIT: Duration = Duration::from_secs(13 * 60);

/// Sends to one relay, over one connection per transaction. Implements `provost_queue::NextHop`.
///
/// The client uses STARTTLS where the relay offers it (RFC 7435), and then never falls back to plaintext: when TLS
/// fails, or octets were injected before it, the message is deferred and the queue shows the reason.
pub struct RelayClient {
    /// The relay, and the name in EHLO.
    pub config: RelayConfig,
    /// Permits for connections that wait for the reply to QUIT.
    quits: Arc<Semaphore>,
}

/// The state of a transaction before the end of data.
enum OfferOutcome {
    /// The whole message was sent, but not the end of data.
    AllButEnd,
    /// A reply of the relay already decided the transaction.
    Decided(Reply),
}

/// The message of one transaction.
#[derive(Clone, Copy)]
struct OutgoingMessage<'a> {
    envelope: &'a Envelope,
    /// The recipients of this transaction: a part of those of the envelope.
    recipients: &'a [Recipient],
    body: &'a Bytes,
    /// Whether `body` holds 8-bit octets, whatever was declared.
    eight_bit: bool,
    permit: &'a dyn SendPermit,
}

impl NextHop for RelayClient {
    fn send<'a>(&'a self, envelope: &'a Envelope, body: Bytes, permit: &'a dyn SendPermit) -> BoxFuture<'a, Vec<Fate>> {
        Box::pin(async move {
            let mut fates = Vec::with_capacity(envelope.recipients.len());
            let deadline = Instant::now() + MESSAGE_LIMIT;
            let eight_bit = !body.is_ascii();
            for recipients in envelope.recipients.chunks(RECIPIENTS_MAX) {
                let message = OutgoingMessage { envelope, recipients, body: &body, eight_bit, permit };
                fates.extend(self.send_one(&message, deadline).await);
            }
            fates
        })
    }
}

impl RelayClient {
    /// A client of the relay of `config`.
    pub fn new(config: RelayConfig) -> Self {
        Self { config, quits: Arc::new(Semaphore::new(QUITS_MAX)) }
    }

    /// Runs one transaction of at most [`RECIPIENTS_MAX`] recipients. The result is one fate for each, whatever
    /// happens.
    async fn send_one(&self, message: &OutgoingMessage<'_>, deadline: Instant) -> Vec<Fate> {
        // Known fates stay when the connection breaks later.
        let mut known: Vec<Option<Fate>> = vec![None; message.recipients.len()];
        let rest = match self.run_transaction(message, &mut known, deadline).await {
            Ok((reply, reports)) => reply.fate(reports),
            Err(trouble) => Fate::Deferred(trouble.to_string()),
        };
        known.into_iter().map(|fate| fate.unwrap_or_else(|| rest.clone())).collect()
    }

    /// Returns the reply that decides about all recipients whose fate is not in `known`, and whether the relay takes
    /// the parameters of RFC 3461.
    async fn run_transaction(
        &self,
        message: &OutgoingMessage<'_>,
        known: &mut [Option<Fate>],
        deadline: Instant,
    ) -> Result<(Reply, bool), ConnectionError> {
        let offer = async {
            let mut connection = self.connect().await?;
            let body = match connection.wire_form(message).await {
                Ok(body) => body,
                Err(reply) => return Ok((connection, message.body.clone(), OfferOutcome::Decided(reply))),
            };
            let offered = connection.offer(&OutgoingMessage { body: &body, ..*message }, known).await?;
            Ok((connection, body, offered))
        };
        let offered = tokio::time::timeout_at(deadline, offer).await;
        let (mut connection, body, offered) = offered.unwrap_or(Err(ConnectionError::Timeout("the whole message")))?;
        let decided = match offered {
            OfferOutcome::AllButEnd => connection.hand_over(&OutgoingMessage { body: &body, ..*message }).await?,
            OfferOutcome::Decided(reply) => reply,
        };
        let reports = connection.offers.dsn;
        self.quit(connection);
        Ok((decided, reports))
    }

    /// Closes a connection in the background. The fate is decided and must be recorded without delay: a node that dies
    /// before that sends the message again.
    fn quit(&self, mut connection: Connection) {
        if let Ok(room) = Arc::clone(&self.quits).try_acquire_owned() {
            tokio::spawn(async move {
                let _ = connection.send_command("QUIT\r\n", QUIT_LIMIT).await;
                drop(room);
            });
        }
    }

    /// Opens a connection, and logs a failure of TLS: it may be an attack, and otherwise only the queue list would show
    /// it.
    async fn connect(&self) -> Result<Connection, ConnectionError> {
        let connection = Connection::open(&self.config).await;
        if let Err(trouble @ (ConnectionError::Tls(_) | ConnectionError::Injected(_))) = &connection {
            metrics::counter!("provost_smtp_relay_tls_failures_total").increment(1);
            tracing::warn!(relay = %self.config.relay, %trouble, "TLS with the relay failed, message deferred");
        }
        connection
    }
}

impl Connection {
    /// The message in the form that this relay accepts, or the reason why there is none. Without 8BITMIME an 8-bit
    /// message is converted or fails (RFC 6152 §3). The conversion takes up to one and a half times the message's
    /// memory.
    async fn wire_form(&mut self, message: &OutgoingMessage<'_>) -> Result<Bytes, Reply> {
        if self.offers.eight_bit || !message.eight_bit {
            return Ok(message.body.clone());
        }
        let original = message.body.clone();
        // Converting the largest message takes tens of milliseconds, so it runs on a thread for blocking work.
        match tokio::task::spawn_blocking(move || seven_bit(&original)).await {
            Ok(Ok(converted)) => Ok(converted.into()),
            // RFC 3463 §3.7: X.6.3, conversion required but not supported.
            Ok(Err(why)) => {
                Err(Reply::local(554, &format!("5.6.3 The relay takes 7-bit messages only (no 8BITMIME), and {why}")))
            }
            Err(_) => Err(Reply::local(451, "4.3.0 The message cannot be converted now")),
        }
    }

    /// Runs the part of the transaction that comes before the end of data.
    async fn offer(
        &mut self,
        message: &OutgoingMessage<'_>,
        known: &mut [Option<Fate>],
    ) -> Result<OfferOutcome, ConnectionError> {
        let octets = message.body.len();
        if self.offers.size_max.is_some_and(|limit| limit > 0 && octets > limit) {
            return Ok(OfferOutcome::Decided(Reply::local(552, "5.3.4 Message too large for the relay")));
        }
        let mail = self.mail_command(message);
        if !self.offers.pipelining {
            return self.step_by_step(&mail, message, known).await;
        }
        // RFC 2920 §3.1: MAIL and all RCPT are sent in one group, with DATA at its end.
        let mut group = mail;
        for recipient in message.recipients {
            group.push_str(&self.rcpt_command(recipient));
        }
        group.push_str("DATA\r\n");
        self.write(group.as_bytes(), COMMAND_LIMIT).await?;
        let mail = self.reply(COMMAND_LIMIT).await?;
        for fate in known.iter_mut() {
            *fate = self.reply(COMMAND_LIMIT).await?.recipient_fate();
        }
        let data = self.reply(COMMAND_LIMIT).await?;
        if !mail.is_positive() {
            // The recipients were refused because MAIL was: that is not an answer about them.
            known.fill(None);
        }
        let is_wanted = mail.is_positive() && known.iter().any(Option::is_none);
        if data.code != 354 {
            return Ok(OfferOutcome::Decided(if mail.is_positive() { data } else { mail }.into_failure()));
        }
        if is_wanted {
            return self.send_data(message).await;
        }
        // RFC 2920 §3.1: a server that accepted no recipient may ask for data nevertheless, and gets an empty message.
        let end = self.end_data(b".\r\n").await?;
        Ok(OfferOutcome::Decided(if mail.is_positive() { end } else { mail }))
    }

    async fn step_by_step(
        &mut self,
        mail: &str,
        message: &OutgoingMessage<'_>,
        known: &mut [Option<Fate>],
    ) -> Result<OfferOutcome, ConnectionError> {
        let mail = self.send_command(mail, COMMAND_LIMIT).await?;
        if !mail.is_positive() {
            return Ok(OfferOutcome::Decided(mail.into_failure()));
        }
        for (recipient, fate) in message.recipients.iter().zip(known.iter_mut()) {
            let command = self.rcpt_command(recipient);
            *fate = self.send_command(&command, COMMAND_LIMIT).await?.recipient_fate();
        }
        if known.iter().all(Option::is_some) {
            // No fate is left to decide.
            return Ok(OfferOutcome::Decided(mail));
        }
        let data = self.send_command("DATA\r\n", COMMAND_LIMIT).await?;
        if data.code != 354 {
            return Ok(OfferOutcome::Decided(data.into_failure()));
        }
        self.send_data(message).await
    }

    fn mail_command(&self, message: &OutgoingMessage<'_>) -> String {
        let Envelope { reverse_path, eight_bit: is_declared, envelope_id, ret, .. } = message.envelope;
        let path = reverse_path.as_ref().map(Path::to_string).unwrap_or_default();
        let mut command = format!("MAIL FROM:<{path}>");
        if self.offers.size_max.is_some() {
            command.push_str(&format!(" SIZE={}", message.body.len()));
        }
        // RFC 6152 §2: 8-bit octets are declared, also where the sender did not; a declaration is passed on.
        if self.offers.eight_bit && (message.eight_bit || *is_declared) {
            command.push_str(" BODY=8BITMIME");
        }
        // RFC 3461 §5.2.1: passed on unchanged.
        if self.offers.dsn {
            command.extend(ret.map(|ret| format!(" RET={ret}")));
            command.extend(envelope_id.as_ref().map(|id| format!(" ENVID={id}")));
        }
        command + "\r\n"
    }

    fn rcpt_command(&self, recipient: &Recipient) -> String {
        let mut command = format!("RCPT TO:<{}>", recipient.path);
        if self.offers.dsn {
            command.extend(recipient.notify.map(|notify| format!(" NOTIFY={notify}")));
            command.extend(recipient.original.as_ref().map(|original| format!(" ORCPT={original}")));
        }
        command + "\r\n"
    }

    async fn send_data(&mut self, message: &OutgoingMessage<'_>) -> Result<OfferOutcome, ConnectionError> {
        for part in stuffing::stuffed(message.body) {
            self.write_buffered(part, DATA_BLOCK_LIMIT).await?;
        }
        self.write(b"", DATA_BLOCK_LIMIT).await?;
        Ok(OfferOutcome::AllButEnd)
    }

    /// Sends the end of the message, if the permit is proven immediately before. A server does not accept a message
    /// without its end (RFC 5321 §4.1.1.4), so a worker that was frozen and replaced meanwhile delivers nothing.
    async fn hand_over(&mut self, message: &OutgoingMessage<'_>) -> Result<Reply, ConnectionError> {
        if !message.permit.prove().await {
            return Err(ConnectionError::NotOurs);
        }
        self.end_data(stuffing::end_of(message.body)).await
    }

    async fn end_data(&mut self, end: &[u8]) -> Result<Reply, ConnectionError> {
        self.write(end, DATA_BLOCK_LIMIT).await?;
        self.reply(END_OF_DATA_LIMIT).await
    }
}

#[cfg(test)]
mod tests;
