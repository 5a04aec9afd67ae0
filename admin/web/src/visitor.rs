//! The visitor who sends a request: language, network address, and the user if signed in.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use provost_store::StateError;

use crate::language::Language;
use crate::security::language_of_query;
use crate::session::{Flash, RequestSession};
use crate::user::{PersonUnknown, User};
use crate::web::Web;

/// Name of the session's cookie.
pub(crate) const SESSION_COOKIE: &str = "provost_session";
/// Maximum number of cookies that are read in one request; further ones are ignored.
const COOKIES_MAX: usize = 64;
/// Longest path to return to after a sign-in, in octets: the longest search text has 2,400 when percent-encoded.
const WAY_BACK_OCTETS_MAX: usize = 3000;

/// The sender of a request.
#[derive(Clone)]
pub(crate) struct Visitor {
    /// The language of the query, else of the cookie, else the best one of `Accept-Language`, else French.
    pub(crate) language: Language,
    /// The time zone of the site, in which pages show days.
    pub(crate) time_zone: TimeZone,
    /// The peer's address, when the listener reports it.
    pub(crate) address: Option<IpAddr>,
    /// Path and query of the page, for the language switch and for the return after a sign-in. `/` when the request is
    /// not a GET: the path of a form may accept no GET.
    pub(crate) here: String,
    /// The user; `None` when the visitor is not signed in, the session has ended, or `is_unknown` is set.
    pub(crate) user: Option<User>,
    /// The message that this page shows once.
    pub(crate) flash: Option<Flash>,
    /// Whether the session (in the state that all nodes share) or the person (in the View, this node's copy of the
    /// directory) could not be looked up, so that it is unknown whether the visitor is signed in.
    pub(crate) is_unknown: bool,
}

impl FromRequestParts<Web> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Infallible> {
        let now = Timestamp::now();
        let (visit, is_unknown) = match visit(parts, web, now).await {
            Ok(visit) => (visit, false),
            Err(error) => {
                tracing::error!(%error, "sessions cannot be looked up");
                (None, true)
            }
        };
        let (user, is_unknown) = match &visit {
            None => (None, is_unknown),
            Some(visit) => match User::of(web, visit).await {
                Ok(user) => (user, false),
                Err(PersonUnknown) => (None, true),
            },
        };
        let here = match (&parts.method, parts.uri.path_and_query()) {
            (&Method::GET, Some(here)) => here.as_str().to_owned(),
            _ => "/".to_owned(),
        };
        Ok(Self {
            language: language(parts),
            time_zone: web.services.view.snapshot().settings().time_zone.clone(),
            address: parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip()),
            here,
            user,
            flash: visit.and_then(|visit| visit.flash),
            is_unknown,
        })
    }
}

/// The session of the cookie. Only a GET takes its flash message: the reply to a form is a redirect or reports a
/// mistake.
async fn visit(parts: &Parts, web: &Web, now: Timestamp) -> Result<Option<RequestSession>, StateError> {
    let Some(cookie) = cookie(&parts.headers, SESSION_COOKIE) else { return Ok(None) };
    web.sessions.visit(&cookie, parts.method == Method::GET, now).await
}

fn language(parts: &Parts) -> Language {
    let from_browser =
        || parts.headers.get(header::ACCEPT_LANGUAGE).and_then(|value| Language::accepted(value.to_str().ok()?));
    language_of_query(parts.uri.query().unwrap_or_default())
        .or_else(|| cookie(&parts.headers, "lang").and_then(|tag| Language::parse(&tag)))
        .or_else(from_browser)
        .unwrap_or(Language::French)
}

/// The value of the first cookie with this name (RFC 6265 §4.2).
pub(crate) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let pairs =
        headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
    let mut pairs = pairs.take(COOKIES_MAX).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

/// The same page in another language.
pub(crate) fn in_language(here: &str, language: Language) -> String {
    let (path, query) = here.split_once('?').unwrap_or((here, ""));
    let other_pairs = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("lang="));
    let query: Vec<_> = other_pairs.map(str::to_owned).chain([format!("lang={}", language.tag())]).collect();
    format!("{path}?{}", query.join("&"))
}

/// The path to return to after a sign-in: `next`, or `/` when `next` could lead to another site, cannot stand in a
/// header or is too long. Browsers read a backslash as a slash.
pub(crate) fn way_back(next: &str) -> &str {
    let is_path = next.starts_with('/') && !next.starts_with("//") && !next.contains('\\');
    let is_header_text = next.bytes().all(|octet| matches!(octet, b' '..=b'~'));
    if is_path && is_header_text && next.len() <= WAY_BACK_OCTETS_MAX { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_cookie_by_its_name() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "a=1; provost_session=abc; lang=en".parse().unwrap());
        headers.append(header::COOKIE, "b=2".parse().unwrap());
        assert_eq!(cookie(&headers, "provost_session").as_deref(), Some("abc"));
        assert_eq!(cookie(&headers, "b").as_deref(), Some("2"));
        assert_eq!(cookie(&headers, "session"), None);
    }

    #[test]
    fn the_language_switch_keeps_the_page() {
        assert_eq!(in_language("/people?q=a%26b&lang=fr", Language::English), "/people?q=a%26b&lang=en");
        assert_eq!(in_language("/", Language::French), "/?lang=fr");
    }

    #[test]
    fn the_way_back_stays_on_this_site() {
        for (next, expect) in [
            ("/people/1?lang=fr", "/people/1?lang=fr"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("/a\r\nSet-Cookie: x", "/"),
            ("/a\u{1}", "/"),
            ("/a\u{7f}", "/"),
            ("/é", "/"),
            ("", "/"),
        ] {
            assert_eq!(way_back(next), expect, "{next:?}");
        }
    }
}
