//! Bearer tokens (RFC 6750) of requests.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use provost_provision::Principal;
use provost_view::View;

use crate::problem::{Problem, ProblemKind};
use crate::tokens::{Tokens, ValidToken};

/// Longest token that is looked up, in octets; created tokens have at most 129.
const TOKEN_OCTETS_MAX: usize = 512;

/// The principal of a request, added to the request by [`require_token`].
#[derive(Clone)]
pub(crate) struct Caller(pub(crate) Principal);

/// What tells a valid token.
#[derive(Clone)]
pub(crate) struct TokenCheck {
    pub(crate) tokens: Tokens,
    /// The present state of the people to whom tokens belong.
    pub(crate) view: View,
}

impl TokenCheck {
    /// The principal of a token; `None` when the token is not valid now.
    async fn principal(&self, token: &str, now: Timestamp) -> Result<Option<Principal>, Problem> {
        let token = match self.tokens.find(token, now).await? {
            None => return Ok(None),
            Some(ValidToken::Program(principal)) => return Ok(Some(principal)),
            Some(ValidToken::Person(token)) => token,
        };
        // Read before the snapshot, which is then at least as new.
        let is_certain = self.view.is_certain();
        match self.view.snapshot().person(token.entry_uuid()) {
            Some(person) if person.may_log_in(now) => Ok(token.principal(person.roles.iter().map(AsRef::as_ref))),
            Some(_) => Ok(None),
            None if is_certain => Ok(None),
            None => {
                let why = "the directory cannot be read: it is not known whether the person of this token may log in";
                Err(Problem::new(ProblemKind::Unavailable, why))
            }
        }
    }
}

/// Adds the [`Caller`] to a request with a valid token and passes the request on. Answers 401 without a valid token,
/// and 503 when the tokens, or the person to whom one belongs, cannot be read.
pub(crate) async fn require_token(State(check): State<TokenCheck>, mut request: Request, next: Next) -> Response {
    let Some(token) = bearer(request.headers()) else {
        return Problem::new(ProblemKind::Unauthorized, "the request has no usable bearer token").into_response();
    };
    match check.principal(token, Timestamp::now()).await {
        Ok(Some(principal)) => request.extensions_mut().insert(Caller(principal)),
        Ok(None) => {
            metrics::counter!("provost_api_refused_tokens_total").increment(1);
            let why = "the token is unknown, revoked or expired, or belongs to a person who may not use it any more";
            return Problem::new(ProblemKind::Unauthorized, why).into_response();
        }
        Err(problem) => return problem.into_response(),
    };
    next.run(request).await
}

/// The token of an `Authorization: Bearer` header (RFC 6750 §2.1); the scheme is case-insensitive (RFC 9110 §11.1).
/// `None` also for an empty token and for one of more than [`TOKEN_OCTETS_MAX`] octets.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    let is_usable = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= TOKEN_OCTETS_MAX;
    is_usable.then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_read_from_its_header() {
        for (value, expect) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Basic abc", None),
            ("Bearer ", None),
            ("Bearer", None),
        ] {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            assert_eq!(bearer(&headers), expect, "{value}");
        }
        let long = format!("Bearer {}", "x".repeat(TOKEN_OCTETS_MAX + 1));
        assert_eq!(bearer(&HeaderMap::from_iter([(header::AUTHORIZATION, long.parse().unwrap())])), None);
    }
}
