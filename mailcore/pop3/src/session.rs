//! The conversation: its states, and the commands that each accepts (RFC 1939 §3).

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use provost_credential::{PlainIdentity, Secret, parse_plain};
use provost_net::{Goodbye, OutputBuffer, Peer, Session, SessionError, Step, Transport};
use provost_store::AccountId;
use provost_view::{Login, LoginAttempt, PersonRef};

use crate::Pop3Config;
use crate::command::{Command, LINE_OCTETS_MAX, LOGIN_LINE_OCTETS_MAX, LineState, take_line};
use crate::transaction::{OpenError, REVOKED, TransactionState};

/// Time for the next command after login. RFC 1939 §3: at least ten minutes.
const IDLE_LIMIT: Duration = Duration::from_secs(10 * 60);
/// Time for the next command before login: shorter, so that silent clients do not fill the listener.
const LOGIN_IDLE_LIMIT: Duration = Duration::from_secs(45);
/// Number of refused logins at which the connection is closed.
const LOGIN_FAILURES_MAX: u32 = 3;
/// Number of lines without a valid command at which the connection is closed.
const MALFORMED_LINES_MAX: u32 = 20;

/// One conversation (implements `provost_net::Session`).
pub struct Pop3Session {
    config: Arc<Pop3Config>,
    peer: Peer,
    transport: Transport,
    tls_offered: bool,
    login_failures: u32,
    malformed_lines: u32,
    state: State,
}

/// States of RFC 1939 §3. UPDATE is part of QUIT.
enum State {
    Authorization(Authorization),
    Transaction(Box<TransactionState>),
}

/// The received part of a login.
#[derive(Default)]
struct Authorization {
    /// The name that USER gave, until the next PASS.
    user: Option<String>,
    /// Set after `AUTH PLAIN`: the next line is a SASL response, not a command (RFC 5034 §4).
    awaits_response: bool,
}

impl Pop3Session {
    /// Makes the session of one connection. `tls_offered`: the listener has a certificate for STLS.
    pub fn new(config: Arc<Pop3Config>, peer: Peer, transport: Transport, tls_offered: bool) -> Self {
        let state = State::Authorization(Authorization::default());
        Self { config, peer, transport, tls_offered, login_failures: 0, malformed_lines: 0, state }
    }

    async fn handle_line(&mut self, line: &[u8], out: &mut OutputBuffer<'_>) -> Result<Step, SessionError> {
        if let State::Authorization(authorization) = &mut self.state
            && std::mem::take(&mut authorization.awaits_response)
        {
            return self.sasl_response(line, out).await;
        }
        if let State::Transaction(transaction) = &mut self.state
            && let Err(reply) = transaction.may_go_on(&self.config.view, &*self.config.store, Instant::now()).await
        {
            out.put(reply);
            return Ok(Step::Close);
        }
        let command = match Command::parse(line) {
            Ok(command) => command,
            Err(malformed) => {
                out.put(format!("-ERR {}\r\n", malformed.0));
                self.malformed_lines += 1;
                return Ok(if self.malformed_lines < MALFORMED_LINES_MAX { Step::Continue } else { Step::Close });
            }
        };
        match (&mut self.state, command) {
            (_, Command::Capa) => {
                self.capa(out);
                Ok(Step::Continue)
            }
            (State::Transaction(transaction), command) => transaction.handle(command, &self.config, out).await,
            (State::Authorization(_), command) => self.authorize(command, out).await,
        }
    }

    /// Runs one command of AUTHORIZATION.
    async fn authorize(&mut self, command: Command, out: &mut OutputBuffer<'_>) -> Result<Step, SessionError> {
        match command {
            Command::Quit => {
                out.put("+OK bye\r\n");
                return Ok(Step::Close);
            }
            Command::Stls => return Ok(self.stls(out)),
            Command::AuthList => self.auth_list(out),
            Command::User(_) | Command::Pass(_) | Command::Auth { .. } if !self.may_log_in() => {
                out.put("-ERR [SYS/PERM] login needs TLS: use STLS\r\n");
            }
            Command::User(name) => {
                // RFC 1939 §13: the reply does not show whether the name exists.
                self.state = State::Authorization(Authorization { user: Some(name), awaits_response: false });
                out.put("+OK\r\n");
            }
            Command::Pass(password) => return self.pass(&password, out).await,
            Command::Auth { mechanism, initial } => return self.auth(&mechanism, initial.as_deref(), out).await,
            _ => out.put("-ERR log in first\r\n"),
        }
        Ok(Step::Continue)
    }

    /// Handles PASS, which needs a USER since the last PASS. RFC 1939 §7 wants USER immediately before it; here other
    /// commands may come between them.
    async fn pass(&mut self, password: &Secret, out: &mut OutputBuffer<'_>) -> Result<Step, SessionError> {
        let user = match &mut self.state {
            State::Authorization(authorization) => authorization.user.take(),
            State::Transaction(_) => None,
        };
        let Some(name) = user else {
            out.put("-ERR USER comes first\r\n");
            return Ok(Step::Continue);
        };
        self.log_in(&name, password, out).await
    }

    /// RFC 2595 §2.3, RFC 8314: a password needs TLS. Within this machine it does not.
    fn may_log_in(&self) -> bool {
        self.transport == Transport::Tls || self.peer.is_loopback()
    }

    fn may_start_tls(&self) -> bool {
        self.tls_offered && self.transport == Transport::Plain && matches!(self.state, State::Authorization(_))
    }

    /// Lists the capabilities in this state, on this connection (RFC 2449 §5).
    fn capa(&self, out: &mut OutputBuffer<'_>) {
        out.put("+OK\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\n");
        if self.may_log_in() {
            out.put("USER\r\nSASL PLAIN\r\n");
        }
        if self.may_start_tls() {
            out.put("STLS\r\n");
        }
        out.put("IMPLEMENTATION Provost\r\n.\r\n");
    }

    /// Handles STLS (RFC 2595 §4).
    fn stls(&self, out: &mut OutputBuffer<'_>) -> Step {
        if !self.may_start_tls() {
            out.put("-ERR TLS is not offered, or already active\r\n");
            return Step::Continue;
        }
        out.put("+OK\r\n");
        Step::StartTls
    }

    fn auth_list(&self, out: &mut OutputBuffer<'_>) {
        out.put("+OK\r\n");
        if self.may_log_in() {
            out.put("PLAIN\r\n");
        }
        out.put(".\r\n");
    }

    /// Handles AUTH (RFC 5034 §4).
    async fn auth(
        &mut self,
        mechanism: &str,
        initial: Option<&str>,
        out: &mut OutputBuffer<'_>,
    ) -> Result<Step, SessionError> {
        if mechanism != "PLAIN" {
            out.put("-ERR unknown mechanism\r\n");
            return Ok(Step::Continue);
        }
        match (initial, &mut self.state) {
            (Some(initial), _) => self.sasl_response(initial.as_bytes(), out).await,
            (None, State::Authorization(authorization)) => {
                authorization.awaits_response = true;
                out.put("+ \r\n");
                Ok(Step::Continue)
            }
            (None, State::Transaction(_)) => Err(SessionError::Bug("AUTH in TRANSACTION".into())),
        }
    }

    /// Handles the client's PLAIN message in base64; `*` cancels AUTH.
    async fn sasl_response(&mut self, line: &[u8], out: &mut OutputBuffer<'_>) -> Result<Step, SessionError> {
        if line == b"*" {
            out.put("-ERR cancelled\r\n");
            return Ok(Step::Continue);
        }
        match STANDARD.decode(line).ok().and_then(|message| parse_plain(&message).ok()) {
            Some(identity) if acts_as_itself(&identity) => {
                self.log_in(&identity.authentication, &identity.password, out).await
            }
            Some(identity) => {
                self.attempt(&identity.authentication, &identity.password).refuse();
                Ok(self.refuse_login(out))
            }
            None => {
                out.put("-ERR not a PLAIN message\r\n");
                Ok(Step::Continue)
            }
        }
    }

    fn attempt<'a>(&self, name: &'a str, password: &'a Secret) -> LoginAttempt<'a> {
        LoginAttempt { name, password, source: self.peer.remote.ip(), service: "pop3" }
    }

    async fn log_in(
        &mut self,
        name: &str,
        password: &Secret,
        out: &mut OutputBuffer<'_>,
    ) -> Result<Step, SessionError> {
        match self.config.view.login(self.attempt(name, password), crate::clock::now()).await {
            Login::Accepted(person) => self.enter_transaction(&person, out).await,
            Login::Refused => Ok(self.refuse_login(out)),
            Login::PasswordDue(text) => {
                out.put(format!("-ERR [AUTH] {text}\r\n"));
                Ok(self.count_failure())
            }
            Login::Throttled => {
                out.put("-ERR [SYS/TEMP] too many refused logins, try again later\r\n");
                Ok(self.count_failure())
            }
            Login::Unavailable => {
                out.put("-ERR [SYS/TEMP] login is not possible now\r\n");
                Ok(Step::Continue)
            }
        }
    }

    /// Enters TRANSACTION from AUTHORIZATION (RFC 1939 §4).
    async fn enter_transaction(
        &mut self,
        person: &PersonRef,
        out: &mut OutputBuffer<'_>,
    ) -> Result<Step, SessionError> {
        match TransactionState::open(&*self.config.store, &self.config.view, person).await {
            Ok(transaction) => {
                let now = crate::clock::now();
                self.config.store.note_login(AccountId::new(person.entry_uuid), "pop3", now);
                self.state = State::Transaction(Box::new(transaction));
                out.put("+OK logged in\r\n");
            }
            // RFC 2449 §8.1.2.
            Err(OpenError::InUse) => out.put("-ERR [IN-USE] another session has this maildrop\r\n"),
            Err(OpenError::Unavailable) => out.put("-ERR [SYS/TEMP] the maildrop cannot be opened now\r\n"),
        }
        Ok(Step::Continue)
    }

    /// Refuses a login. RFC 3206 §5: `[AUTH]` means that the credentials are at fault. A suspended account gets the
    /// same reply, which does not show that the account exists.
    fn refuse_login(&mut self, out: &mut OutputBuffer<'_>) -> Step {
        out.put("-ERR [AUTH] wrong name or password\r\n");
        self.count_failure()
    }

    fn count_failure(&mut self) -> Step {
        self.login_failures += 1;
        if self.login_failures < LOGIN_FAILURES_MAX { Step::Continue } else { Step::Close }
    }
}

/// RFC 4616 §2: a login on behalf of another identity is refused.
fn acts_as_itself(identity: &PlainIdentity) -> bool {
    identity.authorization.is_empty() || identity.authorization == identity.authentication
}

impl Session for Pop3Session {
    /// The greeting has no timestamp: APOP would need clear-text passwords in the directory (RFC 1939 §7).
    async fn open(&mut self, out: &mut OutputBuffer<'_>) -> Result<Step, SessionError> {
        out.put(format!("+OK {} POP3\r\n", self.config.hostname));
        Ok(Step::Continue)
    }

    async fn step(&mut self, input: &mut BytesMut, out: &mut OutputBuffer<'_>) -> Result<Step, SessionError> {
        let limit = match &self.state {
            State::Authorization(_) => LOGIN_LINE_OCTETS_MAX,
            State::Transaction(_) => LINE_OCTETS_MAX,
        };
        match take_line(input, limit) {
            LineState::Whole(line) => self.handle_line(&line, out).await,
            LineState::Partial => Ok(Step::NeedMore),
            LineState::TooLong => {
                out.put("-ERR the line is too long\r\n");
                Ok(Step::Close)
            }
        }
    }

    async fn event(&mut self) {
        match &mut self.state {
            State::Transaction(transaction) => transaction.changed(&self.config.view).await,
            State::Authorization(_) => std::future::pending().await,
        }
    }

    async fn on_event(&mut self, out: &mut OutputBuffer<'_>) -> Result<Step, SessionError> {
        if let State::Transaction(transaction) = &mut self.state
            && transaction.is_revoked(&self.config.view)
        {
            out.put(REVOKED);
            return Ok(Step::Close);
        }
        Ok(Step::NeedMore)
    }

    fn on_tls(&mut self) {
        self.transport = Transport::Tls;
        // What came before TLS is discarded: an attacker can have sent it.
        self.state = State::Authorization(Authorization::default());
    }

    fn idle_limit(&self) -> Duration {
        match self.state {
            State::Authorization(_) => LOGIN_IDLE_LIMIT,
            State::Transaction(_) => IDLE_LIMIT,
        }
    }

    fn goodbye(&mut self, reason: Goodbye) -> Vec<u8> {
        let reply: &[u8] = match reason {
            Goodbye::Timeout => b"-ERR no command came in time\r\n",
            Goodbye::Shutdown => b"-ERR [SYS/TEMP] the server is shutting down\r\n",
            Goodbye::TooMuch => b"-ERR [SYS/TEMP] too many connections, or too much input\r\n",
            Goodbye::Internal => b"-ERR [SYS/TEMP] internal error\r\n",
        };
        reply.to_vec()
    }

    fn account(&self) -> Option<String> {
        match &self.state {
            State::Authorization(_) => None,
            State::Transaction(transaction) => Some(transaction.uid.clone()),
        }
    }
}
