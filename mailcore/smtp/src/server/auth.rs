//! AUTH on submission (RFC 4954), with the mechanisms PLAIN (RFC 4616) and LOGIN (no RFC).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use provost_credential::PlainIdentity;
use provost_net::{OutputBuffer, Step};
use provost_store::AccountId;
use provost_view::{Login, LoginAttempt, Person, Secret};

use super::{LOGIN_FAILURES_MAX, Service, SmtpSession, State, send_reply};
use crate::reply::{self, Reply};

/// The response that the last 334 asked for.
#[derive(Debug)]
pub(super) enum AuthStep {
    /// The PLAIN message.
    Plain,
    /// LOGIN: the user name.
    LoginName,
    /// LOGIN: the password of this user name.
    LoginPassword(String),
}

impl AuthStep {
    /// The 334 reply, with its challenge in base64.
    fn challenge(&self) -> &'static str {
        match self {
            Self::Plain => "334 \r\n",
            Self::LoginName => "334 VXNlcm5hbWU6\r\n",
            Self::LoginPassword(_) => "334 UGFzc3dvcmQ6\r\n",
        }
    }
}

impl SmtpSession {
    /// Whether EHLO offers AUTH. Without TLS, a password is accepted from this machine only.
    pub(super) fn can_authenticate(&self) -> bool {
        let is_private = self.connection.tls || self.peer.is_loopback();
        self.connection.service == Service::Submission && is_private && self.connection.person.is_none()
    }

    pub(super) async fn auth(&mut self, mechanism: &str, initial: Option<String>, out: &mut OutputBuffer<'_>) -> Step {
        if self.connection.service != Service::Submission {
            return self.refuse(reply::NOT_IMPLEMENTED, out);
        }
        if self.connection.hello.is_none() {
            return self.refuse(reply::GREET_FIRST, out);
        }
        if self.connection.person.is_some() {
            return self.refuse(reply::LOGGED_IN_ALREADY, out);
        }
        // RFC 4954 §4: AUTH is not allowed during a transaction.
        if !matches!(self.state, State::Ready) {
            return self.refuse(reply::IN_TRANSACTION, out);
        }
        let step = match mechanism {
            "PLAIN" => AuthStep::Plain,
            "LOGIN" => AuthStep::LoginName,
            _ => return self.refuse(reply::UNKNOWN_MECHANISM, out),
        };
        if !self.can_authenticate() {
            return self.refuse(reply::TLS_FIRST, out);
        }
        match initial {
            Some(response) => self.auth_response(step, &response, out).await,
            None => self.send_challenge(step, out),
        }
    }

    fn send_challenge(&mut self, step: AuthStep, out: &mut OutputBuffer<'_>) -> Step {
        out.put(step.challenge());
        self.state = State::Auth(step);
        Step::Continue
    }

    /// Handles one line after a 334, or the initial response.
    pub(super) async fn auth_response(&mut self, step: AuthStep, line: &str, out: &mut OutputBuffer<'_>) -> Step {
        if line == "*" {
            return self.refuse(reply::AUTH_CANCELLED, out);
        }
        let Ok(response) = STANDARD.decode(line) else {
            return self.refuse(reply::BAD_AUTH_RESPONSE, out);
        };
        match step {
            AuthStep::Plain => match provost_credential::parse_plain(&response) {
                Ok(identity) => self.log_in(identity, out).await,
                Err(_) => self.refuse(reply::BAD_AUTH_RESPONSE, out),
            },
            AuthStep::LoginName => match String::from_utf8(response) {
                Ok(name) => self.send_challenge(AuthStep::LoginPassword(name), out),
                Err(_) => self.refuse(reply::BAD_AUTH_RESPONSE, out),
            },
            AuthStep::LoginPassword(authentication) => match String::from_utf8(response) {
                // Some directories treat a bind with an empty password as anonymous and report success (RFC 4513
                // §5.1.2).
                Ok(password) if password.is_empty() => self.refuse(reply::BAD_AUTH_RESPONSE, out),
                Ok(password) => {
                    let password = Secret::new(password);
                    let identity = PlainIdentity { authorization: String::new(), authentication, password };
                    self.log_in(identity, out).await
                }
                Err(_) => self.refuse(reply::BAD_AUTH_RESPONSE, out),
            },
        }
    }

    async fn log_in(&mut self, identity: PlainIdentity, out: &mut OutputBuffer<'_>) -> Step {
        let now = self.now();
        let attempt = LoginAttempt {
            name: &identity.authentication,
            password: &identity.password,
            source: self.peer.remote.ip(),
            service: "submission",
        };
        match self.config.view.login(attempt, now).await {
            Login::Accepted(person) if self.may_act_as(&person, &identity.authorization) => {
                self.config.delivery.store.note_login(AccountId::new(person.entry_uuid), "submission", now);
                self.login_watch = Some(self.config.view.watch(&person));
                self.connection_mut().person = Some(person);
                send_reply(reply::LOGGED_IN, out)
            }
            Login::Accepted(_) => {
                attempt.refuse();
                self.login_refused(reply::LOGIN_REFUSED, out)
            }
            Login::Refused => self.login_refused(reply::LOGIN_REFUSED, out),
            Login::PasswordDue(text) => self.login_refused(reply::password_due(&text), out),
            Login::Throttled => self.login_refused(reply::LOGIN_THROTTLED, out),
            Login::Unavailable => send_reply(reply::LOGIN_UNAVAILABLE, out),
        }
    }

    /// Whether the authorization identity is empty or names the person who logged in (RFC 4616 §2).
    fn may_act_as(&self, person: &Arc<Person>, authorization: &str) -> bool {
        let acts_as = || self.config.view.snapshot().by_login(authorization);
        authorization.is_empty() || acts_as().is_some_and(|other| other.entry_uuid == person.entry_uuid)
    }

    fn login_refused(&mut self, refusal: Reply, out: &mut OutputBuffer<'_>) -> Step {
        self.login_failures += 1;
        if self.login_failures >= LOGIN_FAILURES_MAX {
            send_reply(reply::TOO_MANY_ERRORS, out);
            return Step::Close;
        }
        send_reply(refusal, out)
    }
}
