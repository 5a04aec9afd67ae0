//! One connection to a server: greeting, EHLO, STARTTLS, replies. All input is bounded in octets and every step in
//! time.

use std::io;
use std::time::Duration;

use provost_queue::Fate;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::TcpStream;

use super::config::RelayConfig;
use super::tls;

/// Longest reply line, octets. RFC 5321 §4.5.3.1.5 allows 512; servers in the field send longer ones.
const REPLY_LINE_OCTETS_MAX: usize = 2048;
/// Maximum number of lines of one reply: bounds its memory.
const REPLY_LINES_MAX: usize = 100;
/// Characters of a reply that are kept for logs and reports.
const REPLY_CHARS_KEPT: usize = 400;
/// Time limit for connecting; the queue tries again later.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Time limit for a TLS handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(30);
/// Time limit for the greeting (RFC 5321 §4.5.3.2.1), and for the replies to EHLO and STARTTLS.
const GREETING_LIMIT: Duration = Duration::from_secs(5 * 60);

/// Why an attempt ended before the relay decided about the message.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("no connection: {0}")]
    Connect(String),
    #[error("connection lost: {0}")]
    Lost(#[from] io::Error),
    #[error("timed out: {0}")]
    Timeout(&'static str),
    /// The relay offered TLS and TLS failed. The message waits: it is not sent in the clear.
    #[error("TLS failed, nothing is sent in the clear: {0}")]
    Tls(String),
    /// The relay, or an attacker on the path, sent octets in the clear that would be read as sent inside TLS
    /// (CVE-2011-0411).
    #[error("possible attack on STARTTLS: {0} octets came in the clear before the handshake, nothing is sent")]
    Injected(usize),
    #[error("not an SMTP reply: {0}")]
    Malformed(&'static str),
    #[error("the relay refused the session: {0}")]
    Refused(String),
    #[error("another worker has taken over the message")]
    NotOurs,
}

/// The extensions that the reply to EHLO offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OfferedExtensions {
    pub(super) pipelining: bool,
    pub(super) eight_bit: bool,
    pub(super) start_tls: bool,
    pub(super) dsn: bool,
    /// SIZE in octets; `Some(0)` is SIZE without a bound (RFC 1870 §4).
    pub(super) size_max: Option<usize>,
}

/// One reply: its code, and its lines joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) text: String,
}

trait DuplexStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> DuplexStream for T {}

pub(super) struct Connection {
    stream: BufReader<BufWriter<Box<dyn DuplexStream>>>,
    pub(super) offers: OfferedExtensions,
}

impl Reply {
    /// A reply that the client makes itself, in place of the relay's.
    pub(super) fn local(code: u16, text: &str) -> Self {
        Self { code, text: text.to_owned() }
    }

    pub(super) fn is_positive(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// The fate of the message after this reply. `reports`: the relay sends delivery reports itself (RFC 3461). A code
    /// outside 2xx and 5xx defers the message.
    pub(super) fn fate(self, reports: bool) -> Fate {
        match self.code {
            200..=299 => Fate::Sent { reports, answer: self.to_line() },
            500..=599 => Fate::Failed(self.to_line()),
            _ => Fate::Deferred(self.to_line()),
        }
    }

    /// The fate of a recipient after the reply to RCPT; `None` when the recipient is accepted and the end of data
    /// decides.
    pub(super) fn recipient_fate(self) -> Option<Fate> {
        match self.fate(false) {
            Fate::Sent { .. } => None,
            other => Some(other),
        }
    }

    /// The reply of a relay that did not ask for the data. A positive one is out of order and becomes 451, so that the
    /// message does not count as sent.
    pub(super) fn into_failure(self) -> Self {
        if self.is_positive() { Self { code: 451, text: format!("out of order: {}", self.to_line()) } } else { self }
    }

    fn to_line(&self) -> String {
        let text: String = self.text.chars().take(REPLY_CHARS_KEPT).map(|c| if c == '\n' { ' ' } else { c }).collect();
        format!("{} {text}", self.code)
    }
}

impl Connection {
    fn over(stream: Box<dyn DuplexStream>) -> Self {
        Self { stream: BufReader::new(BufWriter::new(stream)), offers: OfferedExtensions::default() }
    }

    /// Connects and greets, up to the point where MAIL may be sent. If the relay offers STARTTLS, MAIL is sent inside
    /// TLS or not at all.
    pub(super) async fn open(config: &RelayConfig) -> Result<Self, ConnectionError> {
        let connect = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(&config.relay)).await;
        let socket = match connect {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => return Err(ConnectionError::Connect(error.to_string())),
            Err(_) => return Err(ConnectionError::Timeout("connect")),
        };
        // Each command, or group of pipelined commands, goes out in one write: Nagle's algorithm would only add delay.
        let _ = socket.set_nodelay(true);
        let mut connection = Self::over(Box::new(socket));
        let greeting = connection.reply(GREETING_LIMIT).await?;
        if !greeting.is_positive() {
            return Err(ConnectionError::Refused(greeting.to_line()));
        }
        connection.hello(&config.hostname).await?;
        if connection.offers.start_tls {
            connection = connection.start_tls(config).await?;
            connection.hello(&config.hostname).await?;
        }
        Ok(connection)
    }

    /// Sends EHLO, and HELO if the server refuses EHLO (RFC 5321 §3.2).
    async fn hello(&mut self, hostname: &str) -> Result<(), ConnectionError> {
        let ehlo = self.send_command(&format!("EHLO {hostname}\r\n"), GREETING_LIMIT).await?;
        if ehlo.is_positive() {
            self.offers = OfferedExtensions::read(&ehlo.text);
            return Ok(());
        }
        self.offers = OfferedExtensions::default();
        let helo = self.send_command(&format!("HELO {hostname}\r\n"), GREETING_LIMIT).await?;
        if helo.is_positive() { Ok(()) } else { Err(ConnectionError::Refused(helo.to_line())) }
    }

    /// STARTTLS and the handshake (RFC 3207 §4).
    async fn start_tls(mut self, config: &RelayConfig) -> Result<Self, ConnectionError> {
        // Octets that arrived before the command was sent cannot be the relay's answer to it.
        self.expect_silence()?;
        let reply = self.send_command("STARTTLS\r\n", GREETING_LIMIT).await?;
        if reply.code != 220 {
            return Err(ConnectionError::Tls(reply.to_line()));
        }
        self.expect_silence()?;
        let socket = self.stream.into_inner().into_inner();
        let handshake = tls::connect(socket, &config.relay, config.certificates);
        match tokio::time::timeout(HANDSHAKE_LIMIT, handshake).await {
            Ok(Ok(stream)) => Ok(Self::over(Box::new(stream))),
            Ok(Err(error)) => Err(ConnectionError::Tls(error.to_string())),
            Err(_) => Err(ConnectionError::Tls("handshake timed out".into())),
        }
    }

    /// Requires an empty input buffer on either side of STARTTLS: octets there may come from an attacker on the path.
    fn expect_silence(&self) -> Result<(), ConnectionError> {
        match self.stream.buffer().len() {
            0 => Ok(()),
            octets => Err(ConnectionError::Injected(octets)),
        }
    }

    /// Sends one command and reads its reply.
    pub(super) async fn send_command(&mut self, command: &str, limit: Duration) -> Result<Reply, ConnectionError> {
        self.write(command.as_bytes(), limit).await?;
        self.reply(limit).await
    }

    /// Puts octets into the output buffer, which is sent when it is full.
    pub(super) async fn write_buffered(&mut self, octets: &[u8], limit: Duration) -> Result<(), ConnectionError> {
        within(limit, "write", self.stream.write_all(octets)).await
    }

    /// Puts octets into the output buffer and sends it.
    pub(super) async fn write(&mut self, octets: &[u8], limit: Duration) -> Result<(), ConnectionError> {
        self.write_buffered(octets, limit).await?;
        within(limit, "write", self.stream.flush()).await
    }

    /// Reads one whole reply (RFC 5321 §4.2.1).
    pub(super) async fn reply(&mut self, limit: Duration) -> Result<Reply, ConnectionError> {
        tokio::time::timeout(limit, self.read_reply()).await.unwrap_or(Err(ConnectionError::Timeout("reply")))
    }

    async fn read_reply(&mut self) -> Result<Reply, ConnectionError> {
        let mut text = String::new();
        for number in 0..REPLY_LINES_MAX {
            let line = self.read_line().await?;
            let (code, is_last, part) = split_reply(&line).ok_or(ConnectionError::Malformed("no code"))?;
            // An empty first line counts too: `OfferedExtensions::read` skips the first line.
            if number > 0 {
                text.push('\n');
            }
            text.push_str(part);
            if is_last {
                return Ok(Reply { code, text });
            }
        }
        Err(ConnectionError::Malformed("too many lines"))
    }

    async fn read_line(&mut self) -> Result<String, ConnectionError> {
        let mut line = Vec::new();
        loop {
            let buffer = self.stream.fill_buf().await?;
            if buffer.is_empty() {
                return Err(ConnectionError::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
            let end = memchr::memchr(b'\n', buffer);
            let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or_default();
            let used = part.len() + usize::from(end.is_some());
            if line.len() + part.len() > REPLY_LINE_OCTETS_MAX {
                return Err(ConnectionError::Malformed("line too long"));
            }
            line.extend_from_slice(part);
            self.stream.consume(used);
            if end.is_some() {
                return Ok(String::from_utf8_lossy(line.trim_ascii_end()).into_owned());
            }
        }
    }
}

async fn within<T>(
    limit: Duration,
    what: &'static str,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, ConnectionError> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(ConnectionError::Timeout(what)),
    }
}

/// Splits a reply line into its code, whether it is the last line, and its text. `None` when it does not begin with a
/// code of 2xx to 5xx.
fn split_reply(line: &str) -> Option<(u16, bool, &str)> {
    let (digits, rest) = line.split_at_checked(3)?;
    let code = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()?;
    if !(200..600).contains(&code) {
        return None;
    }
    match rest.as_bytes() {
        [] => Some((code, true, "")),
        [b' ', ..] => Some((code, true, rest.get(1..)?)),
        [b'-', ..] => Some((code, false, rest.get(1..)?)),
        _ => None,
    }
}

impl OfferedExtensions {
    /// Reads the reply to EHLO: one keyword a line, the first line is the server's name (RFC 5321 §4.1.1.1).
    fn read(text: &str) -> Self {
        let mut offers = Self::default();
        for line in text.lines().skip(1) {
            let mut words = line.split_ascii_whitespace();
            match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
                "PIPELINING" => offers.pipelining = true,
                "8BITMIME" => offers.eight_bit = true,
                "STARTTLS" => offers.start_tls = true,
                "DSN" => offers.dsn = true,
                "SIZE" => offers.size_max = Some(words.next().and_then(|limit| limit.parse().ok()).unwrap_or(0)),
                _ => {}
            }
        }
        offers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn splits_reply_lines() {
        for (line, expect) in [
            ("250 OK", Some((250, true, "OK"))),
            ("250-more", Some((250, false, "more"))),
            ("250", Some((250, true, ""))),
            ("354 ", Some((354, true, ""))),
            ("25", None),
            ("2x0 a", None),
            ("+50 a", None),
            ("250x", None),
            ("100 a", None),
            ("600 a", None),
            ("é0 x", None),
        ] {
            assert_eq!(split_reply(line), expect, "{line}");
        }
    }

    #[test]
    fn reads_offers() {
        let offers = OfferedExtensions::read("mx PIPELINING\nSIZE 1000\n8bitmime\nSTARTTLS\nDSN\nXUNKNOWN a b");
        let expect =
            OfferedExtensions { eight_bit: true, start_tls: true, dsn: true, size_max: Some(1000), pipelining: false };
        assert_eq!(offers, expect);
        assert_eq!(OfferedExtensions::read("mx\nSIZE").size_max, Some(0));
    }

    #[test]
    fn codes_have_fates() {
        for (code, expect) in [
            (250, Fate::Sent { reports: true, answer: "250 x".into() }),
            (354, Fate::Deferred("354 x".into())),
            (451, Fate::Deferred("451 x".into())),
            (550, Fate::Failed("550 x".into())),
        ] {
            assert_eq!(Reply::local(code, "x").fate(true), expect);
        }
        assert_eq!(Reply::local(250, "x").into_failure().code, 451);
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "\\PC{0,20}") {
            let _ = split_reply(&line);
            let _ = OfferedExtensions::read(&line);
        }
    }
}
