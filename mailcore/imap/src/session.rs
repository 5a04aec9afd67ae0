//! One conversation: its commands in order, and the outcome of each.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use provost_net::{Goodbye, OutputBuffer, Peer, Session, SessionError, Step, Transport};

use crate::ImapConfig;
use crate::codec::frame::{Frame, FrameBounds, FrameRefusal, Framer, plain_line};
use crate::codec::{ParsedCommand, StatusResponse, parse};
use crate::connection::Connection;
use crate::dispatch::dispatch;
use crate::handlers;
use crate::mailbox::Expunges;
use crate::spool::Spool;
use crate::state::{AuthenticateStep, Completion, Continuation, State};
use crate::updates::{MailboxGone, UpdatePolicy, report};

/// Longest line before login, octets: room for LOGIN, or for AUTHENTICATE with an initial response.
const LINE_OCTETS_MAX_BEFORE_LOGIN: usize = 8 * 1024;
/// Largest literal before login, octets: a name or a password.
const LITERAL_OCTETS_MAX_BEFORE_LOGIN: u64 = 4 * 1024;
/// Longest command before login, octets, literals included: room for LOGIN with two literals. The bound is low because
/// anybody may open connections, and unfinished commands stay in memory.
const COMMAND_OCTETS_MAX_BEFORE_LOGIN: usize = 16 * 1024;
/// Longest line after login, octets: room for long sequence sets.
const LINE_OCTETS_MAX: usize = 64 * 1024;
/// Largest literal after login, octets, APPEND's message aside.
const LITERAL_OCTETS_MAX: u64 = 64 * 1024;
/// Longest command after login, octets, literals included, APPEND's message aside.
const COMMAND_OCTETS_MAX: usize = 256 * 1024;
/// Longest line within AUTHENTICATE and IDLE, octets, without CRLF. A PLAIN message (RFC 4616) with the longest allowed
/// password needs far less.
const ANSWER_OCTETS_MAX: usize = 8 * 1024;
/// Longest silence before login; then the connection is closed.
const IDLE_LIMIT_BEFORE_LOGIN: Duration = Duration::from_secs(45);
/// Longest silence after login. RFC 3501 §5.4: at least 30 minutes.
const IDLE_LIMIT: Duration = Duration::from_secs(31 * 60);
/// Longest silence within a literal after login: what has arrived of the command occupies memory or disk that all
/// sessions share.
const IDLE_LIMIT_WITHIN_LITERAL: Duration = Duration::from_secs(2 * 60);
/// Consecutive BAD commands that end the conversation before login. A mail client sends hardly any.
const BAD_COMMANDS_MAX_BEFORE_LOGIN: u8 = 20;
/// Consecutive BAD commands that end the conversation after login.
const BAD_COMMANDS_MAX: u8 = 100;

/// One conversation (implements `provost_net::Session`).
pub struct ImapSession {
    pub(crate) connection: Connection,
    pub(crate) state: State,
    waiting: Continuation,
    framer: Framer,
    /// The literal that is too large for the framer's buffer ([`Frame::Large`]), of the command being received.
    spool: Option<Box<Spool>>,
    /// Commands answered BAD since the last one that was not.
    bad_commands: u8,
}

impl ImapSession {
    /// Starts a session that is not logged in. `tls_offered` is whether this listener has a certificate for STARTTLS.
    pub fn new(config: Arc<ImapConfig>, peer: Peer, transport: Transport, tls_offered: bool) -> Self {
        Self {
            connection: Connection::new(config, peer, transport, tls_offered),
            state: State::NotAuthenticated { failures: 0 },
            waiting: Continuation::Nothing,
            framer: Framer::default(),
            spool: None,
            bad_commands: 0,
        }
    }

    fn bounds(&self) -> FrameBounds {
        match &self.state {
            State::NotAuthenticated { .. } | State::Logout => FrameBounds {
                line: LINE_OCTETS_MAX_BEFORE_LOGIN,
                literal: LITERAL_OCTETS_MAX_BEFORE_LOGIN,
                command: COMMAND_OCTETS_MAX_BEFORE_LOGIN,
                append: None,
            },
            State::Authenticated(_) | State::Selected(..) => FrameBounds {
                line: LINE_OCTETS_MAX,
                literal: LITERAL_OCTETS_MAX,
                command: COMMAND_OCTETS_MAX,
                append: Some(self.connection.config.message_octets_max()),
            },
        }
    }

    /// Handles a command, or the next line for the command that waits for it.
    async fn advance(&mut self, input: &mut BytesMut, out: &mut OutputBuffer<'_>) -> Result<Step, SessionError> {
        if !matches!(self.waiting, Continuation::Nothing) {
            return self.answer_line(input, out).await;
        }
        if input.is_empty() {
            return Ok(Step::NeedMore);
        }
        match self.framer.advance(input, &self.bounds()) {
            Frame::NeedMore => Ok(Step::NeedMore),
            Frame::Continuation => {
                out.put("+ OK\r\n");
                out.flush().await?;
                Ok(Step::Continue)
            }
            Frame::Refused(tag, refusal) => {
                self.spool = None;
                Ok(self.refuse(tag.as_deref(), refusal, out))
            }
            // Boxed: otherwise every idle connection would hold the future of the largest command.
            Frame::Literal(octets) => {
                Box::pin(self.spool_octets(octets)).await;
                Ok(Step::Continue)
            }
            Frame::Large { text, at } => Box::pin(self.run_large(text, at, out)).await,
            Frame::Command(frame) => {
                let parsed = parse(&frame);
                drop(frame);
                Box::pin(self.run_command(parsed, out)).await
            }
        }
    }

    /// Spools octets of a large literal. On failure the command will be refused.
    async fn spool_octets(&mut self, octets: Bytes) {
        let (literals, now) = (&self.connection.config.literals, (self.connection.clock)());
        let spool = self.spool.get_or_insert_with(|| Box::new(Spool::new(literals, now)));
        if let Err(error) = spool.append(octets).await {
            tracing::warn!(%error, "a large literal cannot be kept");
            self.spool = None;
            self.framer.give_up(FrameRefusal::Unavailable);
        }
    }

    /// Runs a command whose large literal is complete.
    async fn run_large(&mut self, text: Bytes, at: usize, out: &mut OutputBuffer<'_>) -> Result<Step, SessionError> {
        let Some(spool) = self.spool.take() else {
            return Err(SessionError::Bug("a large literal has no spool".to_owned()));
        };
        let joined = match spool.join(text.clone(), at).await {
            Ok(joined) => joined,
            Err(error) => {
                tracing::warn!(%error, "a spooled literal cannot be joined with its command");
                return Ok(self.refuse(parse(&text).tag.as_deref(), FrameRefusal::Unavailable, out));
            }
        };
        let parsed = parse(&joined.frame);
        drop(joined.frame);
        let step = self.run_command(parsed, out).await;
        drop(joined.memory);
        step
    }

    /// Refuses a command that the framer did not accept, or whose spooled literal cannot be read.
    fn refuse(&mut self, tag: Option<&str>, refusal: FrameRefusal, out: &mut OutputBuffer<'_>) -> Step {
        let words = match refusal {
            FrameRefusal::LineTooLong => "Line too long",
            FrameRefusal::BareLf => "Lines end with CRLF",
            FrameRefusal::LiteralTooBig => "Literal too large",
            FrameRefusal::CommandTooLong => "Command too long",
            FrameRefusal::Unavailable => "A message of this size cannot be received now, try again later",
        };
        let reply = match refusal {
            FrameRefusal::LiteralTooBig => StatusResponse::no("TOOBIG", words),
            FrameRefusal::Unavailable => StatusResponse::no("UNAVAILABLE", words),
            _ => StatusResponse::bad(words),
        };
        out.put(reply.line(tag.unwrap_or("*")));
        if self.state.account().is_some() {
            return self.count_bad(&reply, out);
        }
        // Before login, a mail client sends nothing that the framer refuses.
        self.state = State::Logout;
        out.put(format!("* BYE {words}\r\n"));
        Step::Close
    }

    /// Counts consecutive BAD replies, and ends the conversation when there are too many: the client speaks another
    /// protocol, or attacks.
    fn count_bad(&mut self, reply: &StatusResponse, out: &mut OutputBuffer<'_>) -> Step {
        let limit = if self.state.account().is_some() { BAD_COMMANDS_MAX } else { BAD_COMMANDS_MAX_BEFORE_LOGIN };
        self.bad_commands = if reply.is_bad() { self.bad_commands.saturating_add(1) } else { 0 };
        if self.bad_commands < limit {
            return Step::Continue;
        }
        out.put("* BYE Too many bad commands\r\n");
        self.state = State::Logout;
        Step::Close
    }

    /// Runs a parsed command, reports changes, then sends the tagged reply (RFC 3501 §2.2.1).
    async fn run_command(&mut self, parsed: ParsedCommand, out: &mut OutputBuffer<'_>) -> Result<Step, SessionError> {
        if let Some(step) = self.end_if_revoked(out) {
            return Ok(step);
        }
        self.follow_right(out);
        let Some(tag) = parsed.tag else {
            let reply = StatusResponse::bad("A command begins with a tag");
            out.put(reply.line("*"));
            return Ok(self.count_bad(&reply, out));
        };
        let (answer, policy) = match parsed.command {
            Err(error) => (StatusResponse::bad(error.0).into(), UpdatePolicy::hinted(Expunges::Held)),
            Ok(command) => {
                let policy = UpdatePolicy::after(&command);
                (dispatch(&self.connection, &mut self.state, &tag, command, out).await?, policy)
            }
        };
        self.conclude(&tag, answer, policy, out).await
    }

    /// Enters the state to which the command leads, reports changes unless the connection ends or starts TLS, and sends
    /// the tagged reply. A command that needs another line from the client gets no reply yet.
    async fn conclude(
        &mut self,
        tag: &str,
        answer: Completion,
        policy: UpdatePolicy,
        out: &mut OutputBuffer<'_>,
    ) -> Result<Step, SessionError> {
        let (reply, step) = match answer {
            Completion::Wait(waiting) => return self.wait(waiting, out).await,
            Completion::Reply(reply) => (reply, Step::Continue),
            Completion::LoggedIn(account, reply) => {
                self.state = State::Authenticated(account);
                (reply, Step::Continue)
            }
            Completion::Select(mailbox, reply) => {
                self.state.select(mailbox);
                (reply, Step::Continue)
            }
            Completion::StartTls(reply) => (reply, Step::StartTls),
            Completion::Close(reply) => (reply, Step::Close),
        };
        if step == Step::Continue && !self.report_changes(policy, out).await {
            return Ok(Step::Close);
        }
        out.put(reply.line(tag));
        match step {
            Step::Continue => return Ok(self.count_bad(&reply, out)),
            Step::Close => self.state = State::Logout,
            _ => {}
        }
        Ok(step)
    }

    /// Keeps the command waiting for the client's next line. IDLE first reports the changes that are due (RFC 2177 §3),
    /// such as EXPUNGE responses that a FETCH held back: no later notice would cause them to be reported.
    async fn wait(&mut self, waiting: Continuation, out: &mut OutputBuffer<'_>) -> Result<Step, SessionError> {
        self.waiting = waiting;
        if self.is_idling() && !self.report_changes(UpdatePolicy::hinted(Expunges::Reported), out).await {
            return Ok(Step::Close);
        }
        out.flush().await?;
        Ok(Step::Continue)
    }

    /// Reports changes of the selected mailbox; false when the mailbox is gone, which ends the conversation.
    async fn report_changes(&mut self, policy: UpdatePolicy, out: &mut OutputBuffer<'_>) -> bool {
        let State::Selected(account, selected) = &mut self.state else { return true };
        match report(&self.connection.config, account, selected, policy, out).await {
            Ok(()) => true,
            Err(MailboxGone) => {
                out.put("* BYE The selected mailbox was deleted\r\n");
                self.state = State::Logout;
                false
            }
        }
    }

    /// Ends the session when its person is no longer active or has other passwords than at login. Such a change wakes
    /// the session at once.
    fn end_if_revoked(&mut self, out: &mut OutputBuffer<'_>) -> Option<Step> {
        let (view, now) = (&self.connection.config.view, (self.connection.clock)());
        let account = self.state.account_mut()?;
        if !account.person.is_revoked(view, now) {
            return None;
        }
        tracing::info!(account = %account.name, "IMAP session ended: no longer active, or the password was changed");
        out.put("* BYE The account is no longer active, or its password was changed\r\n");
        self.state = State::Logout;
        Some(Step::Close)
    }

    /// Reports to the client when its person may from now on only read the selected mailbox, or change it again. Such a
    /// change wakes the session at once.
    fn follow_right(&mut self, out: &mut OutputBuffer<'_>) {
        if let State::Selected(account, selected) = &mut self.state
            && let Some(responses) = selected.follow_right(account.person.may_change_mail())
        {
            out.put(responses);
        }
    }

    /// Handles a line for the AUTHENTICATE or IDLE that waits.
    async fn answer_line(&mut self, input: &mut BytesMut, out: &mut OutputBuffer<'_>) -> Result<Step, SessionError> {
        let line = match plain_line(input, ANSWER_OCTETS_MAX) {
            Ok(None) => return Ok(Step::NeedMore),
            Ok(Some(line)) => line,
            Err(_) => {
                out.put("* BYE Line too long or without CRLF\r\n");
                self.state = State::Logout;
                return Ok(Step::Close);
            }
        };
        match std::mem::replace(&mut self.waiting, Continuation::Nothing) {
            Continuation::Nothing => Err(SessionError::Bug("no command waits for a line".to_owned())),
            Continuation::Idle { tag } => {
                let is_done = line.eq_ignore_ascii_case(b"DONE");
                let reply = if is_done {
                    StatusResponse::ok("IDLE terminated")
                } else {
                    StatusResponse::bad("DONE was expected")
                };
                self.conclude(&tag, Completion::Reply(reply), UpdatePolicy::now(Expunges::Reported), out).await
            }
            Continuation::Authenticate { tag, exchange } => self.sasl_line(&tag, exchange, line, out).await,
        }
    }

    async fn sasl_line(
        &mut self,
        tag: &str,
        exchange: AuthenticateStep,
        line: Bytes,
        out: &mut OutputBuffer<'_>,
    ) -> Result<Step, SessionError> {
        let State::NotAuthenticated { failures } = &mut self.state else {
            return Err(SessionError::Bug("AUTHENTICATE waits after login".to_owned()));
        };
        let answer = Box::pin(handlers::handle_response(&self.connection, failures, tag, exchange, &line, out)).await;
        self.conclude(tag, answer, UpdatePolicy::hinted(Expunges::Held), out).await
    }

    /// Whether IDLE is active.
    fn is_idling(&self) -> bool {
        matches!(self.waiting, Continuation::Idle { .. })
    }
}

impl Session for ImapSession {
    async fn open(&mut self, out: &mut OutputBuffer<'_>) -> Result<Step, SessionError> {
        let capabilities = handlers::capabilities(&self.connection);
        out.put(format!("* OK [CAPABILITY {capabilities}] {} Provost IMAP ready\r\n", self.connection.config.hostname));
        Ok(Step::NeedMore)
    }

    async fn step(&mut self, input: &mut BytesMut, out: &mut OutputBuffer<'_>) -> Result<Step, SessionError> {
        self.advance(input, out).await
    }

    async fn event(&mut self) {
        let in_mailbox = self.is_idling() && matches!(self.state, State::Selected(..));
        match self.state.account_mut() {
            Some(account) => account.changed(&self.connection.config.view, in_mailbox).await,
            None => std::future::pending().await,
        }
    }

    async fn on_event(&mut self, out: &mut OutputBuffer<'_>) -> Result<Step, SessionError> {
        if let Some(step) = self.end_if_revoked(out) {
            return Ok(step);
        }
        self.follow_right(out);
        if self.is_idling() && !self.report_changes(UpdatePolicy::now(Expunges::Reported), out).await {
            return Ok(Step::Close);
        }
        Ok(Step::NeedMore)
    }

    fn on_tls(&mut self) {
        self.connection.transport = Transport::Tls;
        self.state = State::NotAuthenticated { failures: 0 };
        self.waiting = Continuation::Nothing;
        self.framer = Framer::default();
        self.spool = None;
    }

    fn buffered_octets(&self) -> usize {
        self.framer.buffered_octets()
    }

    fn idle_limit(&self) -> Duration {
        match self.state.account() {
            None => IDLE_LIMIT_BEFORE_LOGIN,
            Some(_) if self.framer.is_in_literal() => {
                let left = self.spool.as_ref().map(|spool| spool.time_left((self.connection.clock)()));
                left.unwrap_or(IDLE_LIMIT_WITHIN_LITERAL).min(IDLE_LIMIT_WITHIN_LITERAL)
            }
            Some(_) => IDLE_LIMIT,
        }
    }

    fn goodbye(&mut self, reason: Goodbye) -> Vec<u8> {
        let words: &[u8] = match reason {
            Goodbye::Timeout => b"* BYE Autologout; idle for too long\r\n",
            Goodbye::Shutdown => b"* BYE Server shutting down\r\n",
            Goodbye::TooMuch => b"* BYE Too many connections or too much input\r\n",
            Goodbye::Internal => b"* BYE [SERVERBUG] Internal error\r\n",
        };
        self.state = State::Logout;
        words.to_vec()
    }

    fn account(&self) -> Option<String> {
        self.state.account().map(|account| account.name.to_string())
    }
}
