//! The server session: the order of commands in the three services (MX, submission, LMTP).
//!
//! The session decides which command is allowed in which state; the stages (`stages`) decide whether a message is
//! accepted.

mod accept;
mod auth;
mod complete;
mod config;
mod envelope;
mod error_budget;
mod route;
mod stages;
mod transaction;
mod valid_since;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use jiff::Timestamp;
use provost_message::{Arrival, Envelope, Findings, Hello, HelloVerb, PeerConnection, Rejected, Service};
use provost_net::{Goodbye, OutputBuffer, Peer, Session, SessionError, Step, Transport};
use provost_view::AccountWatch;
use uuid::Uuid;

use crate::command::{Command, LineReader, LineStart};
use crate::data::DataProgress;
use crate::reply::{self, Reply};
use auth::AuthStep;
pub use config::SmtpConfig;
use error_budget::{CountedEvent, ErrorBudget};
use stages::{JudgedItem, Stage, StageInput, StageTable, judge};
use transaction::{MailTransaction, ReceivingData};

/// Number of failed logins at which the session is closed. The number leaves room for clients that try one password
/// with several mechanisms.
const LOGIN_FAILURES_MAX: u32 = 6;
/// Time limit for the next command (RFC 5321 §4.5.3.2.7), and for the next piece of data.
const IDLE_LIMIT: Duration = Duration::from_secs(5 * 60);
/// Time limit for each command until EHLO, HELO or LHLO is accepted, also after STARTTLS. Shorter than the standard's
/// five minutes: a client can send EHLO at once, and clients that never send it must not use up the connections of the
/// listener.
const IDLE_LIMIT_BEFORE_HELLO: Duration = Duration::from_secs(45);

/// One session: the state of one connection.
pub struct SmtpSession {
    config: Arc<SmtpConfig>,
    peer: Peer,
    /// The connection, shared with the messages that arrived through it.
    connection: Arc<PeerConnection>,
    tls_offered: bool,
    /// The clock; tests replace it.
    clock: fn() -> Timestamp,
    lines: LineReader,
    state: State,
    /// The stages of the service by command; tests replace them.
    stages: &'static StageTable,
    error_budget: ErrorBudget,
    login_failures: u32,
    /// Changes of the account that is logged in.
    login_watch: Option<AccountWatch>,
}

/// The state of the conversation.
enum State {
    /// Outside a transaction, also before EHLO, HELO or LHLO.
    Ready,
    /// After MAIL.
    Transaction(Box<MailTransaction>),
    /// After 354.
    Data(Box<ReceivingData>),
    /// After 334.
    Auth(AuthStep),
}

impl State {
    /// If the last reply was 334, returns which response the client owes now, and resets the state to `Ready`.
    fn take_auth_step(&mut self) -> Option<AuthStep> {
        if !matches!(self, Self::Auth(_)) {
            return None;
        }
        match std::mem::replace(self, Self::Ready) {
            Self::Auth(step) => Some(step),
            _ => None,
        }
    }
}

impl SmtpSession {
    /// `tls_offered`: whether EHLO offers STARTTLS.
    pub fn new(service: Service, config: Arc<SmtpConfig>, peer: Peer, transport: Transport, tls_offered: bool) -> Self {
        let connection = PeerConnection {
            service,
            remote: peer.remote,
            local: peer.local,
            tls: transport == Transport::Tls,
            hello: None,
            person: None,
            findings: Findings::default(),
        };
        Self {
            config,
            peer,
            connection: Arc::new(connection),
            tls_offered,
            clock: Timestamp::now,
            lines: LineReader::default(),
            state: State::Ready,
            stages: StageTable::of(service),
            error_budget: ErrorBudget::new(Timestamp::now()),
            login_failures: 0,
            login_watch: None,
        }
    }

    /// Returns the connection's facts, to be changed. Messages in transfer keep the facts that they arrived with.
    fn connection_mut(&mut self) -> &mut PeerConnection {
        Arc::make_mut(&mut self.connection)
    }

    fn stage_input<'a>(&'a self, subject: JudgedItem<'a>) -> StageInput<'a> {
        StageInput { config: &self.config, subject }
    }

    /// Runs stages that judge the connection, before there is a message. Their findings apply to all messages of the
    /// connection.
    async fn judge_connection(&self, stages: &[Stage]) -> Result<Findings, Rejected> {
        if stages.is_empty() {
            return Ok(Findings::default());
        }
        let mut arrival = Arrival::through(self.connection.clone(), Uuid::new_v4().into(), Envelope::new(None, []));
        judge(stages, &mut arrival, self.stage_input(JudgedItem::Connection)).await.map(|()| arrival.findings)
    }

    async fn read_line(&mut self, input: &mut BytesMut, out: &mut OutputBuffer<'_>) -> Step {
        let line = match self.lines.read(input) {
            LineStart::Part => return Step::NeedMore,
            LineStart::Whole(line) => line,
            LineStart::Wrong(reply) => return self.refuse(reply, out),
            LineStart::Http => return self.http(out),
        };
        if !self.error_budget.spend(CountedEvent::Command) {
            send_reply(reply::TOO_MANY_COMMANDS, out);
            return Step::Close;
        }
        if let Some(step) = self.state.take_auth_step() {
            return self.auth_response(step, &line, out).await;
        }
        match Command::parse(&line) {
            Ok(command) => self.execute(command, out).await,
            Err(reply) => self.refuse(reply, out),
        }
    }

    async fn execute(&mut self, command: Command, out: &mut OutputBuffer<'_>) -> Step {
        match command {
            Command::Hello(verb, name) => self.hello(verb, name, out).await,
            Command::Mail { reverse_path, size, eight_bit, envelope_id, ret } => {
                let envelope = Envelope { reverse_path, recipients: Vec::new(), eight_bit, envelope_id, ret };
                self.mail(envelope, size, out).await
            }
            Command::Rcpt(recipient, valid_since) => self.rcpt(recipient, valid_since, out).await,
            Command::Data => self.data(out),
            Command::Rset => self.reset(out),
            Command::Noop => send_reply(reply::OK, out),
            Command::Quit => self.quit(out),
            Command::Vrfy => send_reply(reply::CANNOT_VERIFY, out),
            Command::Help => send_reply(reply::HELP, out),
            Command::StartTls => self.start_tls(out),
            Command::Auth { mechanism, initial } => self.auth(&mechanism, initial, out).await,
        }
    }

    /// EHLO and HELO (RFC 5321 §4.1.1.1), or LHLO on LMTP (RFC 2033 §4.1). Once accepted, it ends the transaction; when
    /// refused, it leaves the session as it was (RFC 5321 §4.1.4).
    async fn hello(&mut self, verb: HelloVerb, name: String, out: &mut OutputBuffer<'_>) -> Step {
        if (verb == HelloVerb::Lhlo) != (self.connection.service == Service::Lmtp) {
            return self.refuse(reply::UNKNOWN_COMMAND, out);
        }
        let hello = Hello { verb, name, findings: Findings::default() };
        let before = self.connection_mut().hello.replace(hello);
        match self.judge_connection(self.stages.hello).await {
            Ok(findings) => {
                self.state = State::Ready;
                if let Some(hello) = &mut self.connection_mut().hello {
                    hello.findings = findings;
                }
                self.greet(verb, out)
            }
            Err(objection) => {
                self.connection_mut().hello = before;
                self.object(objection, out)
            }
        }
    }

    fn greet(&self, verb: HelloVerb, out: &mut OutputBuffer<'_>) -> Step {
        if verb == HelloVerb::Helo {
            out.put(format!("250 {}\r\n", self.config.hostname));
            return Step::Continue;
        }
        out.put(format!(
            "250-{}\r\n250-PIPELINING\r\n250-SIZE {}\r\n250-8BITMIME\r\n250-DSN\r\n",
            self.config.hostname,
            self.message_octets_max()
        ));
        if self.can_start_tls() {
            out.put("250-STARTTLS\r\n");
        }
        // A submission may go on to another site, and the queue does not carry the parameter.
        if self.takes_valid_since() {
            out.put("250-RRVS\r\n");
        }
        if self.can_authenticate() {
            out.put("250-AUTH PLAIN LOGIN\r\n");
        }
        out.put("250 ENHANCEDSTATUSCODES\r\n");
        Step::Continue
    }

    /// Whether RCPT takes the RRVS parameter (RFC 7293): where all recipients are of this site.
    fn takes_valid_since(&self) -> bool {
        self.connection.service != Service::Submission
    }

    /// The maximum that EHLO announces with SIZE (RFC 1870), in octets.
    fn message_octets_max(&self) -> u64 {
        self.stage_input(JudgedItem::Connection).message_octets_max()
    }

    /// Closes after a line of HTTP: a web page can make a browser connect to this port and choose the octets that
    /// follow, so none of them is read.
    fn http(&self, out: &mut OutputBuffer<'_>) -> Step {
        let service = self.connection.service.as_label();
        metrics::counter!("provost_smtp_http_total", "service" => service).increment(1);
        tracing::info!(service, peer = %self.connection.remote.ip(), "a peer speaks HTTP, connection closed");
        send_reply(reply::NOT_HTTP, out);
        Step::Close
    }

    fn reset(&mut self, out: &mut OutputBuffer<'_>) -> Step {
        self.state = State::Ready;
        send_reply(reply::OK, out)
    }

    fn quit(&mut self, out: &mut OutputBuffer<'_>) -> Step {
        send_reply(reply::BYE, out);
        Step::Close
    }

    /// STARTTLS (RFC 3207 §4).
    fn start_tls(&mut self, out: &mut OutputBuffer<'_>) -> Step {
        if self.connection.tls {
            return self.refuse(reply::TLS_ALREADY, out);
        }
        if !self.can_start_tls() {
            return self.refuse(reply::NOT_IMPLEMENTED, out);
        }
        send_reply(reply::READY_FOR_TLS, out);
        Step::StartTls
    }

    fn can_start_tls(&self) -> bool {
        self.tls_offered && !self.connection.tls
    }

    /// Refuses a command and counts the refusal: too many of them close the session.
    fn refuse(&mut self, reply: Reply, out: &mut OutputBuffer<'_>) -> Step {
        if !self.error_budget.spend(CountedEvent::RefusedLine) {
            send_reply(reply::TOO_MANY_ERRORS, out);
            return Step::Close;
        }
        send_reply(reply, out)
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }
}

fn send_reply(reply: Reply, out: &mut OutputBuffer<'_>) -> Step {
    out.put(reply.to_string());
    Step::Continue
}

impl Session for SmtpSession {
    async fn open(&mut self, out: &mut OutputBuffer<'_>) -> Result<Step, SessionError> {
        match self.judge_connection(self.stages.connect).await {
            Ok(findings) => self.connection_mut().findings = findings,
            // 554 in place of 220 refuses the client for good, 4xx for now. RFC 5321 §3.1 requires the server to wait
            // for QUIT after 554. Provost closes at once, because a refused client must not hold a connection.
            Err(objection) => {
                send_reply(objection.into_reply(), out);
                return Ok(Step::Close);
            }
        }
        let protocol = if self.connection.service == Service::Lmtp { "LMTP" } else { "ESMTP" };
        out.put(format!("220 {} {protocol} Provost\r\n", self.config.hostname));
        Ok(Step::Continue)
    }

    async fn step(&mut self, input: &mut BytesMut, out: &mut OutputBuffer<'_>) -> Result<Step, SessionError> {
        let State::Data(receiving) = &mut self.state else {
            return Ok(self.read_line(input, out).await);
        };
        match receiving.reader.read(input) {
            DataProgress::More => Ok(Step::NeedMore),
            DataProgress::Done(data) => {
                if let State::Data(receiving) = std::mem::replace(&mut self.state, State::Ready) {
                    let ReceivingData { transaction, reader, trace_octets, .. } = *receiving;
                    self.accept(transaction, trace_octets, data, out).await;
                    // The reader holds the reservation of the message's memory: drop it after the message.
                    drop(reader);
                }
                Ok(Step::Continue)
            }
        }
    }

    async fn event(&mut self) {
        match &mut self.login_watch {
            Some(watch) => watch.changed(&self.config.view).await,
            None => std::future::pending().await,
        }
    }

    async fn on_event(&mut self, out: &mut OutputBuffer<'_>) -> Result<Step, SessionError> {
        let now = self.now();
        let is_revoked = self.login_watch.as_mut().is_some_and(|watch| watch.is_revoked(&self.config.view, now));
        if is_revoked {
            send_reply(reply::REVOKED, out);
            return Ok(Step::Close);
        }
        Ok(Step::NeedMore)
    }

    fn on_tls(&mut self) {
        let connection = self.connection_mut();
        connection.tls = true;
        connection.hello = None;
        connection.person = None;
        self.login_watch = None;
        self.state = State::Ready;
        self.lines = LineReader::default();
    }

    fn idle_limit(&self) -> Duration {
        let now = self.now();
        match &self.state {
            State::Data(receiving) => receiving.time_left(now).min(IDLE_LIMIT),
            _ if self.connection.hello.is_none() => self.error_budget.time_left(now).min(IDLE_LIMIT_BEFORE_HELLO),
            _ => self.error_budget.time_left(now).min(IDLE_LIMIT),
        }
    }

    fn goodbye(&mut self, reason: Goodbye) -> Vec<u8> {
        let (status, why) = match reason {
            Goodbye::Timeout => ("4.4.2", "Timeout"),
            Goodbye::Shutdown => ("4.3.2", "Shutting down"),
            Goodbye::TooMuch => ("4.7.0", "Limit exceeded"),
            Goodbye::Internal => ("4.3.0", "Internal error"),
        };
        format!("421 {status} {} {why}\r\n", self.config.hostname).into_bytes()
    }

    fn account(&self) -> Option<String> {
        self.connection.person.as_ref().map(|person| person.uid.to_string())
    }
}
