//! The client: messages to a relay (RFC 5321 §4.5.4). The one place in this room that owns a socket.

mod config;
mod connection;
mod stuffing;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use provost_message::{Envelope, Path, Recipient, seven_bit};
use provost_queue::{Fate, Hold, NextHop};
use provost_store::BoxFuture;
use tokio::sync::Semaphore;
use tokio::time::Instant;

pub use config::RelayConfig;
use connection::{Connection, ConnectionError, Reply};
#[cfg(test)]
pub(crate) use stuffing::{end_of, stuffed};
pub use tls::CertificatePolicy;

/// Recipients of one transaction: what every server must take (RFC 5321 §4.5.3.1.8).
const RECIPIENTS_MAX: usize = 100;
/// RFC 5321 §4.5.3.2.2-4: replies to MAIL, RCPT and DATA.
const COMMAND_LIMIT: Duration = Duration::from_secs(5 * 60);
/// RFC 5321 §4.5.3.2.5: one write of data.
const DATA_BLOCK_LIMIT: Duration = Duration::from_secs(3 * 60);
/// RFC 5321 §4.5.3.2.6: the reply to the end of data.
const END_OF_DATA_LIMIT: Duration = Duration::from_secs(10 * 60);
/// The reply to QUIT.
const QUIT_LIMIT: Duration = Duration::from_secs(5);
/// Connections that wait for the reply to QUIT at once; beyond them a connection is closed without it.
const QUITS_MAX: usize = 64;
/// All of one message up to its end mark: below the lease of the queue, whatever the single steps took. The reply to the end
/// mark has a limit of its own: given up early, it makes the message come twice.
const MESSAGE_LIMIT: Duration = Duration::from_secs(13 * 60);

/// Sends to one relay (implements `provost_queue::NextHop`), one connection per message.
///
/// STARTTLS is used when the relay offers it (RFC 7435). From then on there is no way back into the clear: when TLS fails,
/// or octets were put in before it, the message is deferred, and the queue shows why.
pub struct RelayClient {
    /// Where to.
    pub config: RelayConfig,
    /// Room for connections that wait for the reply to QUIT.
    quits: Arc<Semaphore>,
}

/// How far a transaction came before its end mark.
enum Offered {
    /// The relay has all of the message but its end mark.
    AllButEnd,
    /// Its reply decides already.
    Decided(Reply),
}

/// One transaction's message.
#[derive(Clone, Copy)]
struct Message<'a> {
    envelope: &'a Envelope,
    recipients: &'a [Recipient],
    body: &'a Bytes,
    /// Whether `body` holds 8-bit octets, declared or not.
    eight_bit: bool,
    hold: &'a dyn Hold,
}

impl NextHop for RelayClient {
    fn send<'a>(&'a self, envelope: &'a Envelope, body: Bytes, hold: &'a dyn Hold) -> BoxFuture<'a, Vec<Fate>> {
        Box::pin(async move {
            let mut fates = Vec::with_capacity(envelope.recipients.len());
            let deadline = Instant::now() + MESSAGE_LIMIT;
            let eight_bit = !body.is_ascii();
            for recipients in envelope.recipients.chunks(RECIPIENTS_MAX) {
                let message = Message { envelope, recipients, body: &body, eight_bit, hold };
                fates.extend(self.send_one(&message, deadline).await);
            }
            fates
        })
    }
}

impl RelayClient {
    /// To the relay of `config`.
    pub fn new(config: RelayConfig) -> Self {
        Self { config, quits: Arc::new(Semaphore::new(QUITS_MAX)) }
    }

    /// One transaction of at most [`RECIPIENTS_MAX`] recipients: one fate for each, whatever happens.
    async fn send_one(&self, message: &Message<'_>, deadline: Instant) -> Vec<Fate> {
        // What is known of a recipient stays known when the connection breaks later.
        let mut known: Vec<Option<Fate>> = vec![None; message.recipients.len()];
        let rest = match self.converse(message, &mut known, deadline).await {
            Ok((reply, reports)) => reply.fate(reports),
            Err(trouble) => Fate::Deferred(trouble.to_string()),
        };
        known.into_iter().map(|fate| fate.unwrap_or_else(|| rest.clone())).collect()
    }

    /// The reply that decides about all recipients whose fate is not in `known`, and whether the relay takes the parameters
    /// of RFC 3461.
    async fn converse(
        &self,
        message: &Message<'_>,
        known: &mut [Option<Fate>],
        deadline: Instant,
    ) -> Result<(Reply, bool), ConnectionError> {
        let offer = async {
            let mut connection = self.connect().await?;
            let body = match connection.wire_form(message).await {
                Ok(body) => body,
                Err(reply) => return Ok((connection, message.body.clone(), Offered::Decided(reply))),
            };
            let offered = connection.offer(&Message { body: &body, ..*message }, known).await?;
            Ok((connection, body, offered))
        };
        let offered = tokio::time::timeout_at(deadline, offer).await;
        let (mut connection, body, offered) = offered.unwrap_or(Err(ConnectionError::Timeout("the whole message")))?;
        let decided = match offered {
            Offered::AllButEnd => connection.hand_over(&Message { body: &body, ..*message }).await?,
            Offered::Decided(reply) => reply,
        };
        let reports = connection.offers.notifications;
        self.quit(connection);
        Ok((decided, reports))
    }

    /// Ends a connection in the background. The message's fate is decided: a node that dies before the queue has it on disk
    /// sends the message again, so nothing may delay that.
    fn quit(&self, mut connection: Connection) {
        if let Ok(room) = Arc::clone(&self.quits).try_acquire_owned() {
            tokio::spawn(async move {
                let _ = connection.exchange("QUIT\r\n", QUIT_LIMIT).await;
                drop(room);
            });
        }
    }

    /// A failure of TLS is for the operator, and an attack all the more: the queue only shows them to who looks.
    async fn connect(&self) -> Result<Connection, ConnectionError> {
        let connection = Connection::open(&self.config).await;
        if let Err(trouble @ (ConnectionError::Tls(_) | ConnectionError::Injected(_))) = &connection {
            metrics::counter!("provost_smtp_relay_tls_failures_total").increment(1);
            tracing::warn!(relay = %self.config.relay, %trouble, "the relay offers TLS and there is none, message deferred");
        }
        connection
    }
}

impl Connection {
    /// The message as this relay may get it, or why it gets none. RFC 6152 §3: without 8BITMIME it is converted, or it is a
    /// failure. The memory is that of the message and half as much; the queue bounds how many messages there are.
    async fn wire_form(&mut self, message: &Message<'_>) -> Result<Bytes, Reply> {
        if self.offers.eight_bit || !message.eight_bit {
            return Ok(message.body.clone());
        }
        let original = message.body.clone();
        // Tens of milliseconds for the largest: not on the threads that serve everybody.
        match tokio::task::spawn_blocking(move || seven_bit(&original)).await {
            Ok(Ok(converted)) => Ok(converted.into()),
            // RFC 3463 §3.7: X.6.3, conversion required but not supported.
            Ok(Err(why)) => {
                Err(Reply::local(554, &format!("5.6.3 The relay takes 7-bit messages only (no 8BITMIME), and {why}")))
            }
            Err(_) => Err(Reply::local(451, "4.3.0 The message cannot be converted now")),
        }
    }

    /// All of the transaction that comes before the end mark.
    async fn offer(&mut self, message: &Message<'_>, known: &mut [Option<Fate>]) -> Result<Offered, ConnectionError> {
        let octets = message.body.len();
        if self.offers.size_max.is_some_and(|most| most > 0 && octets > most) {
            return Ok(Offered::Decided(Reply::local(552, "5.3.4 Message too large for the relay")));
        }
        let mail = self.mail_command(message);
        if !self.offers.pipelining {
            return self.step_by_step(&mail, message, known).await;
        }
        // RFC 2920 §3.1: MAIL and all RCPT in one go, DATA the last of it.
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
            // The recipients were refused for want of a MAIL: that says nothing about them.
            known.fill(None);
        }
        let is_wanted = mail.is_positive() && known.iter().any(Option::is_none);
        if data.code != 354 {
            return Ok(Offered::Decided(if mail.is_positive() { data } else { mail }.into_failure()));
        }
        if is_wanted {
            return self.send_data(message).await;
        }
        // RFC 2920 §3.1: a server may ask for data that nobody is left for; it gets none.
        let end = self.end_data(b".\r\n").await?;
        Ok(Offered::Decided(if mail.is_positive() { end } else { mail }))
    }

    async fn step_by_step(
        &mut self,
        mail: &str,
        message: &Message<'_>,
        known: &mut [Option<Fate>],
    ) -> Result<Offered, ConnectionError> {
        let mail = self.exchange(mail, COMMAND_LIMIT).await?;
        if !mail.is_positive() {
            return Ok(Offered::Decided(mail.into_failure()));
        }
        for (recipient, fate) in message.recipients.iter().zip(known.iter_mut()) {
            let command = self.rcpt_command(recipient);
            *fate = self.exchange(&command, COMMAND_LIMIT).await?.recipient_fate();
        }
        if known.iter().all(Option::is_some) {
            return Ok(Offered::Decided(mail));
        }
        let data = self.exchange("DATA\r\n", COMMAND_LIMIT).await?;
        if data.code != 354 {
            return Ok(Offered::Decided(data.into_failure()));
        }
        self.send_data(message).await
    }

    fn mail_command(&self, message: &Message<'_>) -> String {
        let Envelope { reverse_path, eight_bit: is_declared, envelope_id, ret, .. } = message.envelope;
        let path = reverse_path.as_ref().map(Path::to_string).unwrap_or_default();
        let mut command = format!("MAIL FROM:<{path}>");
        if self.offers.size_max.is_some() {
            command.push_str(&format!(" SIZE={}", message.body.len()));
        }
        // RFC 6152 §2: of what it holds, whatever its sender declared.
        if self.offers.eight_bit && (message.eight_bit || *is_declared) {
            command.push_str(" BODY=8BITMIME");
        }
        // RFC 3461 §5.2.1: passed on as they came.
        if self.offers.notifications {
            command.extend(ret.map(|ret| format!(" RET={ret}")));
            command.extend(envelope_id.as_ref().map(|id| format!(" ENVID={id}")));
        }
        command + "\r\n"
    }

    fn rcpt_command(&self, recipient: &Recipient) -> String {
        let mut command = format!("RCPT TO:<{}>", recipient.path);
        if self.offers.notifications {
            command.extend(recipient.notify.map(|notify| format!(" NOTIFY={notify}")));
            command.extend(recipient.original.as_ref().map(|original| format!(" ORCPT={original}")));
        }
        command + "\r\n"
    }

    async fn send_data(&mut self, message: &Message<'_>) -> Result<Offered, ConnectionError> {
        for part in stuffing::stuffed(message.body) {
            self.put(part, DATA_BLOCK_LIMIT).await?;
        }
        self.write(b"", DATA_BLOCK_LIMIT).await?;
        Ok(Offered::AllButEnd)
    }

    /// The end of the message, only when the hold on it is proven right before: a message without its end is not taken
    /// (RFC 5321 §4.1.1.4), so a worker that was frozen until another took its place hands nothing over.
    async fn hand_over(&mut self, message: &Message<'_>) -> Result<Reply, ConnectionError> {
        if !message.hold.prove().await {
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
