//! The relay of a test: a small SMTP server that accepts a node's mail, or refuses it as the test requests.
//!
//! It is strict about line ends: a bare LF gets a 554 reply and the end of the connection (RFC 5321 §2.3.8).

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::deadline;

/// Longest silence of a node: after it, the sink closes the connection.
const NODE_SILENCE_MAX: Duration = Duration::from_secs(60);

/// An accepted message.
#[derive(Clone, Debug)]
pub struct AcceptedMessage {
    /// The reverse-path without its brackets; empty for the null reverse-path.
    pub reverse_path: String,
    /// The recipients without their brackets.
    pub recipients: Vec<String>,
    /// The message without dot-stuffing.
    pub text: Vec<u8>,
    /// When the message was accepted.
    pub at: Instant,
}

/// Stages of a conversation at which a sink can fall silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SilentStage {
    /// Before its greeting.
    Greeting,
    /// Before the reply to RCPT.
    Recipient,
    /// Before the reply to DATA.
    Data,
    /// Before the reply to the end of data; the message is not accepted.
    EndOfData,
}

/// The silence that a test requests.
#[derive(Default)]
struct Silence {
    /// The stage at which the sink falls silent.
    stage: Option<SilentStage>,
    /// Number of conversations that have reached the stage.
    conversations: usize,
}

#[derive(Default)]
struct SinkState {
    messages: Mutex<Vec<AcceptedMessage>>,
    /// The replies to RCPT, by recipient; a recipient without one is accepted.
    rcpt_replies: Mutex<HashMap<String, String>>,
    /// The recipient of each RCPT command.
    rcpt_recipients: Mutex<Vec<String>>,
    silence: Mutex<Silence>,
    is_stopped: AtomicBool,
}

/// A running sink. Closes a connection on which the node sends nothing for 60 seconds. When dropped, accepts no more
/// connections; open conversations continue.
pub struct MailSink {
    address: SocketAddr,
    state: Arc<SinkState>,
}

impl MailSink {
    /// Listens on a free port.
    pub fn start() -> io::Result<Self> {
        Self::start_at("127.0.0.1:0")
    }

    /// Listens at the given address.
    pub fn start_at(address: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let (address, state) = (listener.local_addr()?, Arc::new(SinkState::default()));
        let shared = state.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if shared.is_stopped.load(Ordering::Relaxed) {
                    break;
                }
                let shared = shared.clone();
                std::thread::spawn(move || serve_connection(socket, &shared));
            }
        });
        Ok(Self { address, state })
    }

    /// The value for `--relay`.
    pub fn relay(&self) -> String {
        self.address.to_string()
    }

    /// Sets the reply to RCPT for `recipient` from now on; with `None` the recipient is accepted again.
    pub fn set_rcpt_reply(&self, recipient: &str, reply: Option<&str>) {
        let mut replies = lock(&self.state.rcpt_replies);
        match reply {
            Some(reply) => replies.insert(recipient.to_owned(), reply.to_owned()),
            None => replies.remove(recipient),
        };
    }

    /// From now on falls silent at this stage of each conversation, until the node closes the connection or has sent
    /// nothing for 60 seconds; with `None`, at no stage.
    pub fn fall_silent(&self, stage: Option<SilentStage>) {
        *lock(&self.state.silence) = Silence { stage, conversations: 0 };
    }

    /// The number of conversations that have reached the silent stage since [`Self::fall_silent`].
    pub fn silent_count(&self) -> usize {
        lock(&self.state.silence).conversations
    }

    /// All accepted messages.
    pub fn accepted(&self) -> Vec<AcceptedMessage> {
        lock(&self.state.messages).clone()
    }

    /// The messages accepted for one recipient.
    pub fn accepted_for(&self, recipient: &str) -> Vec<AcceptedMessage> {
        self.accepted().into_iter().filter(|message| message.recipients.iter().any(|one| one == recipient)).collect()
    }

    /// The number of RCPT commands for a recipient.
    pub fn rcpt_count(&self, recipient: &str) -> usize {
        lock(&self.state.rcpt_recipients).iter().filter(|one| *one == recipient).count()
    }

    /// Waits for the first message for a recipient, and returns it.
    pub fn wait_for(&self, recipient: &str, limit: Duration) -> anyhow::Result<AcceptedMessage> {
        let (message, _) = deadline::until(limit, || Ok(self.accepted_for(recipient).into_iter().next()))?;
        Ok(message)
    }
}

impl Drop for MailSink {
    fn drop(&mut self) {
        self.state.is_stopped.store(true, Ordering::Relaxed);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Handles one conversation; an error ends only this one.
fn serve_connection(socket: TcpStream, state: &SinkState) {
    let _ = socket.set_read_timeout(Some(NODE_SILENCE_MAX));
    if run_session(&socket, state).is_err_and(|error| error.kind() == io::ErrorKind::InvalidData) {
        let _ = (&socket).write_all(b"554 5.5.2 a line ends in a bare LF\r\n");
    }
}

/// When the sink is to be silent at this stage, waits until the node closes the connection or has sent nothing for
/// [`NODE_SILENCE_MAX`], and returns `true`.
fn wait_if_silent(socket: &TcpStream, state: &SinkState, stage: SilentStage) -> bool {
    {
        let mut silence = lock(&state.silence);
        if silence.stage != Some(stage) {
            return false;
        }
        silence.conversations += 1;
    }
    let mut rest = [0; 1024];
    while matches!(io::Read::read(&mut &*socket, &mut rest), Ok(octets) if octets > 0) {}
    true
}

fn run_session(socket: &TcpStream, state: &SinkState) -> io::Result<()> {
    let mut writer = socket;
    if wait_if_silent(socket, state, SilentStage::Greeting) {
        return Ok(());
    }
    let mut reader = BufReader::new(socket);
    let (mut reverse_path, mut recipients) = (String::new(), Vec::new());
    writer.write_all(b"220 sink.invalid ESMTP\r\n")?;
    while let Some(line) = next_line(&mut reader)? {
        let line = String::from_utf8_lossy(&line).into_owned();
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let stage = match verb.as_str() {
            "RCPT" => Some(SilentStage::Recipient),
            "DATA" => Some(SilentStage::Data),
            _ => None,
        };
        if stage.is_some_and(|stage| wait_if_silent(socket, state, stage)) {
            return Ok(());
        }
        let reply = match verb.as_str() {
            "EHLO" => "250-sink.invalid\r\n250-PIPELINING\r\n250 8BITMIME".to_owned(),
            "HELO" | "NOOP" => "250 sink.invalid".to_owned(),
            "RSET" => {
                recipients.clear();
                "250 2.0.0 forgotten".to_owned()
            }
            "MAIL" => {
                recipients.clear();
                reverse_path = bracketed_path(&line);
                "250 2.1.0 good".to_owned()
            }
            "RCPT" => {
                let recipient = bracketed_path(&line);
                lock(&state.rcpt_recipients).push(recipient.clone());
                match lock(&state.rcpt_replies).get(&recipient) {
                    Some(reply) => reply.clone(),
                    None => {
                        recipients.push(recipient);
                        "250 2.1.5 good".to_owned()
                    }
                }
            }
            "DATA" if recipients.is_empty() => "554 5.5.1 no recipient".to_owned(),
            "DATA" => {
                writer.write_all(b"354 go on\r\n")?;
                let text = read_message(&mut reader)?;
                if wait_if_silent(socket, state, SilentStage::EndOfData) {
                    return Ok(());
                }
                let (reverse_path, recipients) = (reverse_path.clone(), std::mem::take(&mut recipients));
                lock(&state.messages).push(AcceptedMessage { reverse_path, recipients, text, at: Instant::now() });
                "250 2.0.0 accepted".to_owned()
            }
            "QUIT" => {
                writer.write_all(b"221 2.0.0 bye\r\n")?;
                return Ok(());
            }
            _ => "502 5.5.1 not here".to_owned(),
        };
        writer.write_all(format!("{reply}\r\n").as_bytes())?;
    }
    Ok(())
}

/// The next line without its CRLF; `None` at the end of the stream. A line that ends in a bare LF is
/// [`io::ErrorKind::InvalidData`].
fn next_line(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    match line.strip_suffix(b"\r\n") {
        Some(text) => Ok(Some(text.to_vec())),
        None if line.ends_with(b"\n") => Err(io::ErrorKind::InvalidData.into()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Reads a message up to the line that is only a dot, and removes the dot-stuffing (RFC 5321 §4.5.2).
fn read_message(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    while let Some(line) = next_line(reader)? {
        if line == b"." {
            return Ok(text);
        }
        text.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        text.extend_from_slice(b"\r\n");
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// The path of MAIL or RCPT, without its brackets; empty when there are none.
fn bracketed_path(line: &str) -> String {
    let inner = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map(|(path, _)| path.to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TextClient;

    // RFC 5321 §2.3.8, §4.1.1.4.
    #[test]
    fn a_bare_lf_ends_no_line() {
        let sink = MailSink::start().unwrap();
        let send = |text: &[u8]| {
            let mut client = TextClient::open(sink.address).unwrap();
            client.send(b"EHLO a\r\nMAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\n").unwrap();
            client.until(&["354"]).unwrap();
            client.send(text).unwrap();
            client.next().unwrap().unwrap()
        };
        for text in ["Subject: a\n\r\n.\r\n", "Subject: a\r\n\r\nb\n.\r\n", "\n.\n"] {
            assert_eq!(send(text.as_bytes()), "554 5.5.2 a line ends in a bare LF", "{text:?}");
        }
        assert!(sink.accepted().is_empty());
        assert!(send(b"Subject: a\r\n\r\n..b\r\n.\r\n").starts_with("250"));
        assert_eq!(sink.accepted()[0].text, b"Subject: a\r\n\r\n.b\r\n");
    }
}
