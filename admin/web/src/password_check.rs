//! Checks name and password of a visitor: the throttle first, then the View. For the sign-in and for the change of one's
//! own password.

use std::net::Ipv6Addr;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use jiff::Timestamp;
use provost_provision::Principal;
use provost_view::{Login, LoginAttempt, PersonRef, Secret};

use crate::throttle::SourceFamiliarity;
use crate::visitor::Visitor;
use crate::web::Web;

/// Longest name that is looked up, in octets. People may sign in with an address, whose local part has at most 64
/// octets and its domain 255 (RFC 5321 §4.5.3.1).
pub(crate) const NAME_OCTETS_MAX: usize = 320;

/// Why a password was not accepted, with the key of the text for the page.
pub(crate) struct RefusedPassword {
    pub(crate) status: StatusCode,
    pub(crate) key: &'static str,
    /// Seconds to wait before the next attempt; `None` when the wait is not known.
    wait: Option<i64>,
}

impl RefusedPassword {
    fn new(status: StatusCode, key: &'static str) -> Self {
        Self { status, key, wait: None }
    }

    /// The wait for the text; zero when it is not known.
    pub(crate) fn seconds(&self) -> String {
        self.wait.unwrap_or_default().to_string()
    }

    /// The text for the page.
    pub(crate) fn text(&self, visitor: &Visitor) -> String {
        visitor.language.text(self.key, &[("seconds", &self.seconds())])
    }

    /// Adds `Retry-After` to the page where the wait is known.
    pub(crate) fn with_wait(&self, mut page: Response) -> Response {
        if let Some(seconds) = self.wait {
            page.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        page
    }
}

/// Counts an attempt; refused when there were too many for `name` from this address, or they cannot be counted.
pub(crate) async fn count_attempt(
    web: &Web,
    visitor: &Visitor,
    name: &str,
    now: Timestamp,
) -> Result<(), RefusedPassword> {
    let source = visitor.address.unwrap_or(Ipv6Addr::UNSPECIFIED.into());
    let familiarity = match web.services.view.is_familiar(name, source, now) {
        true => SourceFamiliarity::Familiar,
        false => SourceFamiliarity::Unfamiliar,
    };
    match web.throttle.attempt(name, visitor.address, familiarity, now).await {
        Ok(None) => Ok(()),
        Ok(wait) => {
            Err(RefusedPassword { wait, ..RefusedPassword::new(StatusCode::TOO_MANY_REQUESTS, "sign_in.throttled") })
        }
        Err(error) => {
            tracing::error!(%error, "sign-ins cannot be counted, so all are refused");
            Err(RefusedPassword::new(StatusCode::SERVICE_UNAVAILABLE, "sign_in.unavailable"))
        }
    }
}

/// Returns the person whose name and password these are. A wrong password of a login that exists is audited. The caller
/// takes the attempt off the count with `Throttle::succeeded`.
pub(crate) async fn person_of(
    web: &Web,
    visitor: &Visitor,
    name: &str,
    password: &Secret,
    now: Timestamp,
) -> Result<PersonRef, RefusedPassword> {
    if name.len() > NAME_OCTETS_MAX {
        return Err(RefusedPassword::new(StatusCode::UNPROCESSABLE_ENTITY, "sign_in.refused"));
    }
    count_attempt(web, visitor, name, now).await?;
    let source = visitor.address.unwrap_or(Ipv6Addr::UNSPECIFIED.into());
    match web.services.view.login(LoginAttempt { name, password, source, service: "web" }, now).await {
        Login::Accepted(person) => Ok(person),
        Login::Throttled => Err(RefusedPassword::new(StatusCode::TOO_MANY_REQUESTS, "sign_in.throttled_for_a_while")),
        // The View accepts a password that is due from the pages, so `PasswordDue` does not occur.
        Login::Unavailable | Login::PasswordDue(_) => {
            web.throttle.not_verified(name, visitor.address, now).await;
            Err(RefusedPassword::new(StatusCode::SERVICE_UNAVAILABLE, "sign_in.unavailable"))
        }
        Login::Refused => {
            // Only a login that exists is audited: other text in this field may be a password.
            if let Some(person) = web.services.view.snapshot().by_login(name) {
                let principal = Principal::person(&person.uid, person.entry_uuid, []);
                web.services.desk.sign_in_refused(&principal, &person.dn).await;
            }
            Err(RefusedPassword::new(StatusCode::UNPROCESSABLE_ENTITY, "sign_in.refused"))
        }
    }
}
