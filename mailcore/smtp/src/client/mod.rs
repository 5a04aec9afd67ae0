//! The client: messages to a relay (RFC 5321 §4.5.4). The one place in this room that owns a socket.

mod connection;
mod stuffing;
mod tls;

use std::time::Duration;

use bytes::Bytes;
use provost_message::Path;
use provost_queue::{Fate, NextHop};
use provost_store::BoxFuture;

use connection::{Connection, Reply, Trouble};
#[cfg(test)]
pub(crate) use stuffing::stuffed;
pub use tls::CertificatePolicy;

/// Recipients of one transaction: what every server must take (RFC 5321 §4.5.3.1.8).
const RECIPIENTS_MAX: usize = 100;
/// RFC 5321 §4.5.3.2.2-4: replies to MAIL, RCPT and DATA.
const COMMAND_LIMIT: Duration = Duration::from_secs(5 * 60);
/// RFC 5321 §4.5.3.2.5: one write of data.
const DATA_BLOCK_LIMIT: Duration = Duration::from_secs(3 * 60);
/// RFC 5321 §4.5.3.2.6: the reply to the end of data.
const END_OF_DATA_LIMIT: Duration = Duration::from_secs(10 * 60);
/// How long the politeness of QUIT is worth.
const QUIT_LIMIT: Duration = Duration::from_secs(5);
/// All of one message: below the lease of the queue, whatever the single steps took.
const MESSAGE_LIMIT: Duration = Duration::from_secs(13 * 60);

/// Which relay.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// `host:port`.
    pub relay: String,
    /// Our name in EHLO.
    pub hostname: String,
    /// Which certificates of the relay are taken.
    pub certificates: CertificatePolicy,
}

/// Sends to one relay (implements `provost_queue::NextHop`), one connection per message.
///
/// STARTTLS is used when the relay offers it (RFC 7435). From then on there is no way back into the clear: when TLS fails,
/// or octets were put in before it, the message is deferred, and the queue shows why.
pub struct RelayClient {
    /// Where to.
    pub config: RelayConfig,
}

/// One transaction's message.
struct Message<'a> {
    reverse_path: Option<&'a Path>,
    recipients: &'a [Path],
    eight_bit: bool,
    body: &'a [u8],
}

impl NextHop for RelayClient {
    fn send(
        &self,
        reverse_path: Option<Path>,
        recipients: Vec<Path>,
        eight_bit: bool,
        body: Bytes,
    ) -> BoxFuture<'_, Vec<Fate>> {
        Box::pin(async move {
            let mut fates = Vec::with_capacity(recipients.len());
            let deadline = tokio::time::Instant::now() + MESSAGE_LIMIT;
            for recipients in recipients.chunks(RECIPIENTS_MAX) {
                let reverse_path = reverse_path.as_ref();
                let message = Message { reverse_path, recipients, eight_bit, body: &body };
                fates.extend(self.send_one(&message, deadline).await);
            }
            fates
        })
    }
}

impl RelayClient {
    /// To the relay of `config`.
    pub fn new(config: RelayConfig) -> Self {
        Self { config }
    }

    /// One transaction of at most [`RECIPIENTS_MAX`] recipients: one fate for each, whatever happens.
    async fn send_one(&self, message: &Message<'_>, deadline: tokio::time::Instant) -> Vec<Fate> {
        // What is known of a recipient stays known when the connection breaks later.
        let mut known: Vec<Option<Fate>> = vec![None; message.recipients.len()];
        let attempt = tokio::time::timeout_at(deadline, self.converse(message, &mut known)).await;
        let rest = match attempt.unwrap_or(Err(Trouble::Timeout("the whole message"))) {
            Ok(reply) => reply.fate(),
            Err(trouble) => Fate::Deferred(trouble.to_string()),
        };
        known.into_iter().map(|fate| fate.unwrap_or_else(|| rest.clone())).collect()
    }

    /// The reply that decides about all recipients whose fate is not in `known`.
    async fn converse(&self, message: &Message<'_>, known: &mut [Option<Fate>]) -> Result<Reply, Trouble> {
        let mut connection = self.connect().await?;
        let decided = connection.transact(message, known).await?;
        // The message's fate is decided: what happens to QUIT changes nothing.
        let _ = connection.exchange("QUIT\r\n", QUIT_LIMIT).await;
        Ok(decided)
    }

    /// A failure of TLS is for the operator, and an attack all the more: the queue only shows them to who looks.
    async fn connect(&self) -> Result<Connection, Trouble> {
        let connection = Connection::open(&self.config).await;
        if let Err(trouble @ (Trouble::Tls(_) | Trouble::Injected(_))) = &connection {
            metrics::counter!("smtp_relay_tls_failures_total").increment(1);
            tracing::warn!(relay = %self.config.relay, %trouble, "the relay offers TLS and there is none, message deferred");
        }
        connection
    }
}

impl Connection {
    async fn transact(&mut self, message: &Message<'_>, known: &mut [Option<Fate>]) -> Result<Reply, Trouble> {
        let octets = message.body.len();
        if self.offers.size_max.is_some_and(|most| most > 0 && octets > most) {
            return Ok(Reply::local(552, "5.3.4 Message too large for the relay"));
        }
        let mail = self.mail_command(message);
        if !self.offers.pipelining {
            return self.step_by_step(&mail, message, known).await;
        }
        // RFC 2920 §3.1: MAIL and all RCPT in one go, DATA the last of it.
        let mut group = mail;
        for path in message.recipients {
            group.push_str(&format!("RCPT TO:<{path}>\r\n"));
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
        if data.code == 354 {
            // RFC 2920 §3.1: a server may ask for data that nobody is left for; it gets none.
            let body = if is_wanted { message.body } else { b"" };
            let end = self.send_data(body).await?;
            return Ok(if mail.is_positive() { end } else { mail });
        }
        Ok(if mail.is_positive() { data } else { mail }.into_failure())
    }

    async fn step_by_step(
        &mut self,
        mail: &str,
        message: &Message<'_>,
        known: &mut [Option<Fate>],
    ) -> Result<Reply, Trouble> {
        let mail = self.exchange(mail, COMMAND_LIMIT).await?;
        if !mail.is_positive() {
            return Ok(mail.into_failure());
        }
        for (path, fate) in message.recipients.iter().zip(known.iter_mut()) {
            *fate = self.exchange(&format!("RCPT TO:<{path}>\r\n"), COMMAND_LIMIT).await?.recipient_fate();
        }
        if known.iter().all(Option::is_some) {
            return Ok(mail);
        }
        let data = self.exchange("DATA\r\n", COMMAND_LIMIT).await?;
        if data.code != 354 {
            return Ok(data.into_failure());
        }
        self.send_data(message.body).await
    }

    fn mail_command(&self, message: &Message<'_>) -> String {
        let path = message.reverse_path.map(Path::to_string).unwrap_or_default();
        let mut command = format!("MAIL FROM:<{path}>");
        if self.offers.size_max.is_some() {
            command.push_str(&format!(" SIZE={}", message.body.len()));
        }
        if self.offers.eight_bit && message.eight_bit {
            command.push_str(" BODY=8BITMIME");
        }
        command + "\r\n"
    }

    async fn send_data(&mut self, body: &[u8]) -> Result<Reply, Trouble> {
        for part in stuffing::stuffed(body) {
            self.put(part, DATA_BLOCK_LIMIT).await?;
        }
        self.write(b"", DATA_BLOCK_LIMIT).await?;
        self.reply(END_OF_DATA_LIMIT).await
    }
}

#[cfg(test)]
mod tests;
