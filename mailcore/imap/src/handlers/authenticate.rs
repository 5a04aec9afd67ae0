//! STARTTLS, LOGIN, AUTHENTICATE (RFC 3501 §6.2; RFC 4616; RFC 4959).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use provost_credential::Secret;
use provost_net::OutputBuffer;
use provost_store::AccountId;
use provost_view::{Login, LoginAttempt, PersonRef};

use crate::account::LoggedInAccount;
use crate::codec::StatusResponse;
use crate::connection::Connection;
use crate::state::{AuthenticateStep, Completion, Continuation};

use super::capability::capabilities;

/// The connection is closed at this number of refused logins.
const LOGIN_FAILURES_MAX: u8 = 5;
/// Text of the reply to a throttled login, whose password is not checked.
const TOO_MANY_REFUSED: &str = "Too many refused logins, try again later";

/// STARTTLS (RFC 3501 §6.2.1).
pub(crate) fn start_tls(connection: &Connection) -> Completion {
    if connection.can_start_tls() {
        Completion::StartTls(StatusResponse::ok("Begin TLS negotiation now"))
    } else {
        Completion::Reply(StatusResponse::bad("TLS is active already or not offered"))
    }
}

fn privacy_required() -> Completion {
    Completion::Reply(StatusResponse::no("PRIVACYREQUIRED", "Use TLS first"))
}

/// LOGIN (RFC 3501 §6.2.3).
pub(crate) async fn login(
    connection: &Connection,
    failures: &mut u8,
    name: &str,
    password: Secret,
    out: &mut OutputBuffer<'_>,
) -> Completion {
    if !connection.may_log_in() {
        return privacy_required();
    }
    verify(connection, failures, name, &password, out).await
}

/// AUTHENTICATE (RFC 3501 §6.2.2); `initial` is the initial response (RFC 4959).
pub(crate) async fn authenticate(
    connection: &Connection,
    failures: &mut u8,
    tag: &str,
    mechanism: &str,
    initial: Option<Bytes>,
    out: &mut OutputBuffer<'_>,
) -> Completion {
    if !connection.may_log_in() {
        return privacy_required();
    }
    let first = match mechanism {
        "PLAIN" => AuthenticateStep::Plain,
        "LOGIN" => AuthenticateStep::LoginName,
        _ => return Completion::Reply(StatusResponse::no("CANNOT", "Unknown mechanism")),
    };
    match initial {
        // RFC 4959 §3: `=` means an empty response.
        Some(line) if line == b"="[..] => handle_response(connection, failures, tag, first, b"", out).await,
        Some(line) => handle_response(connection, failures, tag, first, &line, out).await,
        None => challenge(tag, first, out),
    }
}

/// Asks for the next SASL response.
fn challenge(tag: &str, exchange: AuthenticateStep, out: &mut OutputBuffer<'_>) -> Completion {
    out.put(match exchange {
        AuthenticateStep::Plain => "+ \r\n",
        AuthenticateStep::LoginName => "+ VXNlcm5hbWU6\r\n",
        AuthenticateStep::LoginPassword { .. } => "+ UGFzc3dvcmQ6\r\n",
    });
    Completion::Wait(Continuation::Authenticate { tag: tag.into(), exchange })
}

/// Handles one SASL response of the client.
pub(crate) async fn handle_response(
    connection: &Connection,
    failures: &mut u8,
    tag: &str,
    exchange: AuthenticateStep,
    line: &[u8],
    out: &mut OutputBuffer<'_>,
) -> Completion {
    if line == b"*" {
        return Completion::Reply(StatusResponse::bad("AUTHENTICATE cancelled"));
    }
    let Ok(response) = STANDARD.decode(line) else { return Completion::Reply(StatusResponse::bad("Not base64")) };
    match exchange {
        AuthenticateStep::Plain => plain(connection, failures, &response, out).await,
        AuthenticateStep::LoginName => match String::from_utf8(response) {
            Ok(name) => challenge(tag, AuthenticateStep::LoginPassword { name }, out),
            Err(_) => Completion::Reply(StatusResponse::bad("Not UTF-8")),
        },
        AuthenticateStep::LoginPassword { name } => match String::from_utf8(response) {
            Ok(password) => verify(connection, failures, &name, &Secret::new(password), out).await,
            Err(_) => Completion::Reply(StatusResponse::bad("Not UTF-8")),
        },
    }
}

/// Handles the message of PLAIN (RFC 4616 §2). A request to act as another identity gets the reply to a wrong
/// password.
async fn plain(connection: &Connection, failures: &mut u8, response: &[u8], out: &mut OutputBuffer<'_>) -> Completion {
    let Ok(identity) = provost_credential::parse_plain(response) else {
        return Completion::Reply(StatusResponse::bad("Not a PLAIN message"));
    };
    let authorization = &identity.authorization;
    if !authorization.is_empty() && !authorization.eq_ignore_ascii_case(&identity.authentication) {
        attempt(connection, &identity.authentication, &identity.password).refuse();
        return refuse(connection, failures, authentication_failed(), out).await;
    }
    verify(connection, failures, &identity.authentication, &identity.password, out).await
}

async fn verify(
    connection: &Connection,
    failures: &mut u8,
    name: &str,
    password: &Secret,
    out: &mut OutputBuffer<'_>,
) -> Completion {
    let now = (connection.clock)();
    match connection.config.view.login(attempt(connection, name, password), now).await {
        Login::Accepted(person) => accept(connection, &person, now),
        Login::Refused => refuse(connection, failures, authentication_failed(), out).await,
        // RFC 5530 §3: EXPIRED means that the password must be changed.
        Login::PasswordDue(text) => {
            refuse(connection, failures, StatusResponse::no("EXPIRED", text.into_string()), out).await
        }
        Login::Throttled => {
            refuse(connection, failures, StatusResponse::no("UNAVAILABLE", TOO_MANY_REFUSED), out).await
        }
        Login::Unavailable => Completion::Reply(StatusResponse::no("UNAVAILABLE", "Logins cannot be verified now")),
    }
}

fn attempt<'a>(connection: &Connection, name: &'a str, password: &'a Secret) -> LoginAttempt<'a> {
    LoginAttempt { name, password, source: connection.peer.remote.ip(), service: "imap" }
}

fn accept(connection: &Connection, person: &PersonRef, now: Timestamp) -> Completion {
    let id = AccountId::new(person.entry_uuid);
    let watch = connection.config.view.watch(person);
    let notices = connection.config.store.notices(id);
    connection.config.store.note_login(id, "imap", now);
    let code = format!("CAPABILITY {}", capabilities(connection));
    let account = Box::new(LoggedInAccount { id, name: person.uid.clone(), person: watch, notices, is_overdue: false });
    Completion::LoggedIn(account, StatusResponse::ok("Logged in").with_code(code))
}

/// The reply to an unknown name as well as to a wrong password, so that a client cannot find out which names exist.
fn authentication_failed() -> StatusResponse {
    StatusResponse::no("AUTHENTICATIONFAILED", "Wrong name or password")
}

/// Refuses a login; the second and later refusals are delayed, and [`LOGIN_FAILURES_MAX`] close the connection.
async fn refuse(
    connection: &Connection,
    failures: &mut u8,
    reply: StatusResponse,
    out: &mut OutputBuffer<'_>,
) -> Completion {
    let earlier_failures = u32::from(*failures);
    *failures = failures.saturating_add(1);
    let is_last = *failures >= LOGIN_FAILURES_MAX;
    tokio::time::sleep(connection.login_penalty * earlier_failures.min(2)).await;
    if is_last {
        out.put("* BYE Too many refused logins\r\n");
        return Completion::Close(reply);
    }
    Completion::Reply(reply)
}
