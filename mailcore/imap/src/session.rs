//! One conversation: its state (RFC 3501 §3), what each state allows, and how a command ends.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use provost_net::{Goodbye, Output, Peer, Session, SessionError, Step, Transport};
use provost_store::{Columns, StoreError, Which};
use provost_view::{PersonState, View};

use crate::ImapConfig;
use crate::budget::Share;
use crate::codec::command::{NamedMailbox, Numbers};
use crate::codec::frame::{Bounds, Frame, Framer, Refusal, plain_line};
use crate::codec::{Command, Parsed, Reply, parse};
use crate::handlers::{self, Exchange};
use crate::mailbox::{Expunges, Selected};
use crate::world::{Account, World};

/// Octets of one line before login.
const LINE_OCTETS_MAX_BEFORE_LOGIN: usize = 8 * 1024;
/// Octets of one literal before login: a name or a password.
const LITERAL_OCTETS_MAX_BEFORE_LOGIN: u64 = 4 * 1024;
/// Octets of one line after login: room for long sequence sets.
const LINE_OCTETS_MAX: usize = 64 * 1024;
/// Octets of one literal after login, APPEND's message aside.
const LITERAL_OCTETS_MAX: u64 = 64 * 1024;
/// Octets of one line within AUTHENTICATE and IDLE. RFC 4616 with our longest password needs far less.
const ANSWER_OCTETS_MAX: usize = 8 * 1024;
/// Silence before login.
const IDLE_LIMIT_BEFORE_LOGIN: Duration = Duration::from_secs(60);
/// Silence after login. RFC 3501 §5.4: at least 30 minutes.
const IDLE_LIMIT: Duration = Duration::from_secs(31 * 60);
/// Silence within a literal: what is there of it takes memory from all sessions.
const IDLE_LIMIT_WITHIN_LITERAL: Duration = Duration::from_secs(2 * 60);
/// Wait after a refused login that is not the first of its connection, times the refusals before it, at most two.
const LOGIN_PENALTY: Duration = Duration::from_secs(1);

/// Commands answered BAD in a row that end the conversation before login. A client that means well makes none.
const BAD_COMMANDS_MAX_BEFORE_LOGIN: u8 = 20;
/// And after login.
const BAD_COMMANDS_MAX: u8 = 100;

/// RFC 3501 §3.
pub(crate) enum State {
    /// §3.1
    NotAuthenticated {
        /// Refused logins on this connection.
        failures: u8,
    },
    /// §3.2
    Authenticated(Box<Account>),
    /// §3.3
    Selected(Box<Account>, Box<Selected>),
    /// §3.4
    Logout,
}

impl State {
    fn account(&self) -> Option<&Account> {
        match self {
            Self::Authenticated(account) | Self::Selected(account, _) => Some(account),
            Self::NotAuthenticated { .. } | Self::Logout => None,
        }
    }

    fn account_mut(&mut self) -> Option<&mut Account> {
        match self {
            Self::Authenticated(account) | Self::Selected(account, _) => Some(account),
            Self::NotAuthenticated { .. } | Self::Logout => None,
        }
    }

    /// Another mailbox, or none, is selected from here on.
    fn select(&mut self, mailbox: Option<Box<Selected>>) {
        *self = match (std::mem::replace(self, Self::Logout), mailbox) {
            (Self::Authenticated(account) | Self::Selected(account, _), Some(mailbox)) => {
                Self::Selected(account, mailbox)
            }
            (Self::Authenticated(account) | Self::Selected(account, _), None) => Self::Authenticated(account),
            (other, _) => other,
        };
    }
}

/// A command that waits for more lines from the client.
pub(crate) enum Waiting {
    /// None does.
    Nothing,
    /// AUTHENTICATE.
    Authenticate { tag: Box<str>, exchange: Exchange },
    /// IDLE (RFC 2177).
    Idle { tag: Box<str> },
}

/// What a handler wants done.
pub(crate) enum Answer {
    /// End the command with this.
    Reply(Reply),
    /// The command goes on with the client's next line.
    Wait(Waiting),
    /// End the command, then start TLS.
    StartTls(Reply),
    /// End the command and the conversation.
    Close(Reply),
}

/// One conversation (implements `provost_net::Session`).
pub struct ImapSession {
    pub(crate) config: Arc<ImapConfig>,
    peer: Peer,
    pub(crate) transport: Transport,
    tls_offered: bool,
    pub(crate) state: State,
    waiting: Waiting,
    framer: Framer,
    /// What the command in hand holds of the memory for literals.
    share: Share,
    /// Commands answered BAD since one was not.
    bad_commands: u8,
    pub(crate) clock: fn() -> Timestamp,
    pub(crate) penalty: Duration,
}

impl ImapSession {
    /// `tls_offered`: STARTTLS can be told in CAPABILITY.
    pub fn new(config: Arc<ImapConfig>, peer: Peer, transport: Transport, tls_offered: bool) -> Self {
        let share = Share::new(&config.literals);
        Self {
            config,
            peer,
            transport,
            tls_offered,
            state: State::NotAuthenticated { failures: 0 },
            waiting: Waiting::Nothing,
            framer: Framer::default(),
            share,
            bad_commands: 0,
            clock: Timestamp::now,
            penalty: LOGIN_PENALTY,
        }
    }

    /// RFC 3501 §6.2.1.
    pub(crate) fn can_start_tls(&self) -> bool {
        self.tls_offered && self.transport == Transport::Plain
    }

    /// RFC 3501 §6.2.3, RFC 8314 §3.1: no password in the clear, but on this machine itself.
    pub(crate) fn may_log_in(&self) -> bool {
        self.transport == Transport::Tls || self.peer.is_loopback()
    }

    fn bounds(&self) -> Bounds {
        match &self.state {
            State::NotAuthenticated { .. } | State::Logout => {
                Bounds { line: LINE_OCTETS_MAX_BEFORE_LOGIN, literal: LITERAL_OCTETS_MAX_BEFORE_LOGIN, append: None }
            }
            State::Authenticated(_) | State::Selected(..) => Bounds {
                line: LINE_OCTETS_MAX,
                literal: LITERAL_OCTETS_MAX,
                append: Some(self.config.view.snapshot().settings().message_size),
            },
        }
    }

    /// A command, or the next line of one that waits.
    async fn advance(&mut self, input: &mut BytesMut, out: &mut Output<'_>) -> Result<Step, SessionError> {
        if !matches!(self.waiting, Waiting::Nothing) {
            return self.answer_line(input, out).await;
        }
        if input.is_empty() {
            return Ok(Step::NeedMore);
        }
        match self.framer.advance(input, &self.bounds(), &mut self.share) {
            Frame::NeedMore => Ok(Step::NeedMore),
            Frame::Continuation => {
                out.put("+ OK\r\n");
                out.flush().await?;
                Ok(Step::Continue)
            }
            Frame::Refused(tag, refusal) => {
                self.share.release();
                Ok(self.refuse(tag.as_deref(), refusal, out))
            }
            Frame::Command(frame) => {
                // Boxed: the widest command would otherwise be paid for by every idle connection.
                let parsed = parse(&frame);
                drop(frame);
                let step = Box::pin(self.run(parsed, out)).await;
                self.share.release();
                step
            }
        }
    }

    /// A command that was not even read.
    fn refuse(&mut self, tag: Option<&str>, refusal: Refusal, out: &mut Output<'_>) -> Step {
        let words = match refusal {
            Refusal::LineTooLong => "Line too long",
            Refusal::BareLf => "Lines end with CRLF",
            Refusal::LiteralTooBig => "Literal too large",
            Refusal::CommandTooLong => "Command too long",
            Refusal::NoMemory => "Too much is coming in now",
        };
        let reply = match refusal {
            Refusal::LiteralTooBig => Reply::no("TOOBIG", words),
            Refusal::NoMemory => Reply::no("UNAVAILABLE", words),
            _ => Reply::bad(words),
        };
        out.put(reply.line(tag.unwrap_or("*")));
        if self.state.account().is_some() {
            return self.count_bad(&reply, out);
        }
        // Nobody who means well sends such before login.
        self.state = State::Logout;
        out.put(format!("* BYE {words}\r\n"));
        Step::Close
    }

    /// Ends a conversation of nothing but commands that are none: whoever goes on speaks another language, or attacks.
    fn count_bad(&mut self, reply: &Reply, out: &mut Output<'_>) -> Step {
        let most = if self.state.account().is_some() { BAD_COMMANDS_MAX } else { BAD_COMMANDS_MAX_BEFORE_LOGIN };
        self.bad_commands = if reply.is_bad() { self.bad_commands.saturating_add(1) } else { 0 };
        if self.bad_commands < most {
            return Step::Continue;
        }
        out.put("* BYE Too many bad commands\r\n");
        self.state = State::Logout;
        Step::Close
    }

    /// RFC 3501 §2.2.1: parse, do, tell what changed, then the tagged reply.
    async fn run(&mut self, parsed: Parsed, out: &mut Output<'_>) -> Result<Step, SessionError> {
        if let Some(step) = self.cut_off(out) {
            return Ok(step);
        }
        let Some(tag) = parsed.tag else {
            let reply = Reply::bad("A command begins with a tag");
            out.put(reply.line("*"));
            return Ok(self.count_bad(&reply, out));
        };
        let (answer, look) = match parsed.command {
            Err(error) => (Answer::Reply(Reply::bad(error.0)), Look::hinted(Expunges::Held)),
            Ok(command) => {
                let look = Look::after(&command);
                (self.dispatch(&tag, command, out).await?, look)
            }
        };
        self.conclude(&tag, answer, look, out).await
    }

    /// The end of a command.
    async fn conclude(
        &mut self,
        tag: &str,
        answer: Answer,
        look: Look,
        out: &mut Output<'_>,
    ) -> Result<Step, SessionError> {
        let (reply, step) = match answer {
            Answer::Wait(waiting) => {
                self.waiting = waiting;
                out.flush().await?;
                return Ok(Step::Continue);
            }
            Answer::Reply(reply) => (reply, Step::Continue),
            Answer::StartTls(reply) => (reply, Step::StartTls),
            Answer::Close(reply) => (reply, Step::Close),
        };
        if step == Step::Continue && !self.tell_changes(look, out).await? {
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

    /// Tells what has happened in the selected mailbox; false when it is gone and the conversation with it.
    pub(crate) async fn tell_changes(&mut self, look: Look, out: &mut Output<'_>) -> Result<bool, SessionError> {
        let State::Selected(account, selected) = &mut self.state else { return Ok(true) };
        let has_news = account.notices.has_changed().unwrap_or(true);
        let is_due = look.expunges == Expunges::Told && selected.has_untold();
        if !(look.always || has_news || is_due) {
            return Ok(true);
        }
        account.notices.borrow_and_update();
        let which = Which::ChangedSince(selected.modseq);
        match self.config.store.read(account.id, selected.id, which, Columns::NONE, None).await {
            Ok(changes) => {
                out.put(selected.sync(&changes, look.expunges));
                if !selected.has_untold() {
                    let modseq = selected.modseq;
                    self.config.rosters.share(account.id, &changes.info, modseq, &mut selected.messages);
                }
                Ok(true)
            }
            Err(StoreError::Gone) => {
                // RFC 2180 §3.3: another session deleted it.
                out.put("* BYE The selected mailbox was deleted\r\n");
                self.state = State::Logout;
                Ok(false)
            }
            Err(error) => {
                // The next look begins at the same modseq: nothing is lost.
                tracing::warn!(%error, account = %account.name, "changes cannot be read");
                Ok(true)
            }
        }
    }

    /// DESIGN §2 rule 5: someone who is suspended or closed is cut off at their next command or event.
    fn cut_off(&mut self, out: &mut Output<'_>) -> Option<Step> {
        let view = &self.config.view;
        let account = self.state.account_mut()?;
        if !account.person.has_changed(view) {
            return None;
        }
        if account.person.look(view).is_some_and(|person| person.state == PersonState::Active) {
            return None;
        }
        tracing::info!(account = %account.name, "session cut: the account may no longer log in");
        out.put("* BYE [UNAVAILABLE] This account may no longer log in\r\n");
        self.state = State::Logout;
        Some(Step::Close)
    }

    async fn dispatch(&mut self, tag: &str, command: Command, out: &mut Output<'_>) -> Result<Answer, SessionError> {
        match command {
            Command::Capability => Ok(handlers::capability(self, out)),
            Command::Noop => Ok(Answer::Reply(Reply::ok("NOOP completed"))),
            Command::Id => Ok(handlers::id(out)),
            Command::Logout => {
                self.leave_mailbox().await;
                Ok(handlers::logout(out))
            }
            command => match &self.state {
                State::NotAuthenticated { .. } => self.before_login(tag, command, out).await,
                State::Authenticated(_) | State::Selected(..) => self.after_login(tag, command, out).await,
                State::Logout => Err(SessionError::Bug("a command after the end".to_owned())),
            },
        }
    }

    /// RFC 3501 §6.2.
    async fn before_login(
        &mut self,
        tag: &str,
        command: Command,
        out: &mut Output<'_>,
    ) -> Result<Answer, SessionError> {
        match command {
            Command::StartTls => Ok(handlers::start_tls(self)),
            Command::Login { name, password } => Ok(handlers::login(self, &name, password, out).await),
            Command::Authenticate { mechanism, initial } => {
                Ok(handlers::authenticate(self, tag, &mechanism, initial, out).await)
            }
            _ => Ok(Answer::Reply(Reply::bad("Log in first"))),
        }
    }

    /// The commands that change which mailbox is selected; all others are in [`Self::with_world`].
    async fn after_login(&mut self, tag: &str, command: Command, out: &mut Output<'_>) -> Result<Answer, SessionError> {
        Ok(Answer::Reply(match command {
            Command::Idle => {
                out.put("+ idling\r\n");
                return Ok(Answer::Wait(Waiting::Idle { tag: tag.into() }));
            }
            Command::Select { mailbox, read_only } => self.select(&mailbox, read_only, out).await,
            Command::Close => self.close(true).await,
            Command::Unselect => self.close(false).await,
            Command::Delete { mailbox } => self.delete(mailbox).await,
            command => self.with_world(tag, command, out).await?,
        }))
    }

    /// RFC 3501 §6.3; what asks for a selected mailbox is §6.4.
    async fn with_world(&mut self, tag: &str, command: Command, out: &mut Output<'_>) -> Result<Reply, SessionError> {
        let now = (self.clock)().as_second();
        let (account, selected) = match &mut self.state {
            State::Authenticated(account) => (account, None),
            State::Selected(account, selected) => (account, Some(selected)),
            State::NotAuthenticated { .. } | State::Logout => return Ok(Reply::bad("Log in first")),
        };
        let world = World { config: &self.config, account, now };
        Ok(match command {
            Command::Enable => handlers::enable(out),
            Command::Namespace => handlers::namespace(out),
            Command::List(list) => handlers::list(&world, list, out).await?,
            Command::Lsub { reference, pattern } => handlers::lsub(&world, reference, pattern, out).await,
            Command::Status { mailbox, items } => handlers::status(&world, &mailbox, &items, out).await,
            Command::Create { mailbox, special_use } => handlers::create(&world, mailbox, special_use).await,
            Command::Rename { from, to } => handlers::rename(&world, from, to).await,
            Command::Subscribe { mailbox, on } => handlers::subscribe(&world, mailbox, on).await,
            Command::Append(append) => handlers::append(&world, *append).await,
            Command::Login { .. } | Command::Authenticate { .. } | Command::StartTls => Reply::bad("Already logged in"),
            command => match selected {
                Some(selected) => handlers::in_mailbox(&world, selected, tag, command, out).await?,
                None => Reply::bad("Select a mailbox first"),
            },
        })
    }

    /// SELECT and EXAMINE (RFC 3501 §6.3.1): the mailbox before is left, also when this one cannot be had.
    async fn select(&mut self, mailbox: &NamedMailbox, read_only: bool, out: &mut Output<'_>) -> Reply {
        self.leave_mailbox().await;
        self.state.select(None);
        if let Some(account) = self.state.account_mut() {
            // Before the messages are read: what comes in meanwhile is looked at again.
            account.notices.borrow_and_update();
        }
        let Some(world) = self.world() else { return Reply::bad("Log in first") };
        let (reply, selected) = handlers::select(&world, mailbox, read_only, out).await;
        self.state.select(selected.map(Box::new));
        reply
    }

    /// DELETE (RFC 3501 §6.3.4); a mailbox that is selected here is left with it.
    async fn delete(&mut self, mailbox: NamedMailbox) -> Reply {
        let Some(world) = self.world() else { return Reply::bad("Log in first") };
        match handlers::delete(&world, mailbox).await {
            Err(reply) => reply,
            Ok(deleted) => {
                if matches!(&self.state, State::Selected(_, selected) if selected.id == deleted) {
                    self.state.select(None);
                }
                Reply::ok("DELETE completed")
            }
        }
    }

    fn world(&self) -> Option<World<'_>> {
        let account = self.state.account()?;
        Some(World { config: &self.config, account, now: (self.clock)().as_second() })
    }

    /// CLOSE (RFC 3501 §6.4.2) and UNSELECT (RFC 3691).
    async fn close(&mut self, expunge: bool) -> Reply {
        let now = (self.clock)().as_second();
        let State::Selected(account, selected) = &mut self.state else {
            return Reply::bad("Select a mailbox first");
        };
        let world = World { config: &self.config, account, now };
        let reply = if expunge { handlers::close(&world, selected).await } else { Reply::ok("UNSELECT completed") };
        self.leave_mailbox().await;
        self.state.select(None);
        reply
    }

    /// What this session has been told as `\Recent` no other will be (RFC 3501 §2.3.2).
    async fn leave_mailbox(&mut self) {
        if let (Some(world), State::Selected(_, selected)) = (self.world(), &self.state) {
            handlers::clear_recent(&world, selected).await;
        }
    }

    /// A line for AUTHENTICATE or IDLE.
    async fn answer_line(&mut self, input: &mut BytesMut, out: &mut Output<'_>) -> Result<Step, SessionError> {
        let line = match plain_line(input, ANSWER_OCTETS_MAX) {
            Ok(None) => return Ok(Step::NeedMore),
            Ok(Some(line)) => line,
            Err(_) => {
                out.put("* BYE Line too long or without CRLF\r\n");
                self.state = State::Logout;
                return Ok(Step::Close);
            }
        };
        match std::mem::replace(&mut self.waiting, Waiting::Nothing) {
            Waiting::Nothing => Err(SessionError::Bug("a line that nobody waits for".to_owned())),
            Waiting::Idle { tag } => {
                let is_done = line.eq_ignore_ascii_case(b"DONE");
                let reply = if is_done { Reply::ok("IDLE terminated") } else { Reply::bad("DONE was expected") };
                self.conclude(&tag, Answer::Reply(reply), Look::now(Expunges::Told), out).await
            }
            Waiting::Authenticate { tag, exchange } => self.sasl_line(&tag, exchange, line, out).await,
        }
    }

    async fn sasl_line(
        &mut self,
        tag: &str,
        exchange: Exchange,
        line: Bytes,
        out: &mut Output<'_>,
    ) -> Result<Step, SessionError> {
        let answer = Box::pin(handlers::exchange(self, tag, exchange, &line, out)).await;
        self.conclude(tag, answer, Look::hinted(Expunges::Held), out).await
    }

    /// Whether IDLE goes on.
    fn is_idling(&self) -> bool {
        matches!(self.waiting, Waiting::Idle { .. })
    }
}

/// How a command's end looks at the store.
#[derive(Clone, Copy)]
pub(crate) struct Look {
    /// Also without a notice: the client asks for news, or the command made some.
    always: bool,
    expunges: Expunges,
}

impl Look {
    fn now(expunges: Expunges) -> Self {
        Self { always: true, expunges }
    }

    fn hinted(expunges: Expunges) -> Self {
        Self { always: false, expunges }
    }

    /// RFC 3501 §7.4.1: no EXPUNGE during FETCH, STORE, SEARCH; the UID forms are other commands.
    fn after(command: &Command) -> Self {
        let numbers = match command {
            Command::Fetch(fetch) => fetch.messages.numbers,
            Command::Store(store) => store.messages.numbers,
            Command::Search(search) => search.numbers,
            Command::Noop | Command::Check | Command::Expunge { .. } | Command::Copy { .. } | Command::Append(_) => {
                return Self::now(Expunges::Told);
            }
            _ => return Self::hinted(Expunges::Told),
        };
        Self::hinted(if numbers == Numbers::Uid { Expunges::Told } else { Expunges::Held })
    }
}

impl Session for ImapSession {
    async fn open(&mut self, out: &mut Output<'_>) -> Result<Step, SessionError> {
        let capabilities = handlers::capabilities(self);
        out.put(format!("* OK [CAPABILITY {capabilities}] {} Provost IMAP ready\r\n", self.config.hostname));
        Ok(Step::NeedMore)
    }

    async fn step(&mut self, input: &mut BytesMut, out: &mut Output<'_>) -> Result<Step, SessionError> {
        self.advance(input, out).await
    }

    async fn event(&mut self) {
        let in_mailbox = self.is_idling() && matches!(self.state, State::Selected(..));
        match self.state.account_mut() {
            Some(account) => happened(&self.config.view, account, in_mailbox).await,
            None => std::future::pending().await,
        }
    }

    async fn on_event(&mut self, out: &mut Output<'_>) -> Result<Step, SessionError> {
        if let Some(step) = self.cut_off(out) {
            return Ok(step);
        }
        if self.is_idling() && !self.tell_changes(Look::now(Expunges::Told), out).await? {
            return Ok(Step::Close);
        }
        Ok(Step::NeedMore)
    }

    fn on_tls(&mut self) {
        self.transport = Transport::Tls;
        self.state = State::NotAuthenticated { failures: 0 };
        self.waiting = Waiting::Nothing;
        self.framer = Framer::default();
    }

    fn idle_limit(&self) -> Duration {
        match self.state.account() {
            None => IDLE_LIMIT_BEFORE_LOGIN,
            Some(_) if self.framer.is_in_literal() => IDLE_LIMIT_WITHIN_LITERAL,
            Some(_) => IDLE_LIMIT,
        }
    }

    fn goodbye(&mut self, reason: Goodbye) -> Vec<u8> {
        let words: &[u8] = match reason {
            Goodbye::Timeout => b"* BYE Autologout; idle for too long\r\n",
            Goodbye::Shutdown => b"* BYE Server shutting down\r\n",
            Goodbye::TooMuch => b"* BYE Too much\r\n",
            Goodbye::Internal => b"* BYE [SERVERBUG] Internal error\r\n",
        };
        self.state = State::Logout;
        words.to_vec()
    }

    fn account(&self) -> Option<String> {
        self.state.account().map(|account| account.name.to_string())
    }
}

/// Resolves when the person has changed in the directory, or the account while its client listens.
async fn happened(view: &View, account: &mut Account, listens: bool) {
    let Account { person, notices, .. } = account;
    tokio::select! {
        () = person.changed(view) => {}
        () = ticked(notices), if listens => {}
    }
}

/// Resolves when a watched value has changed, and leaves it marked so; never when nobody can change it any more.
async fn ticked(watched: &mut tokio::sync::watch::Receiver<u64>) {
    if watched.changed().await.is_err() {
        return std::future::pending().await;
    }
    // `changed` marks the value as seen: whoever looks next must still find it new.
    watched.mark_changed();
}
