//! The layer around every page: a deadline, and headers that forbid scripts, frames and caches. Also checks by a
//! request's headers whether the request comes from our own pages and whether the browser uses TLS.

use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::language::Language;

/// Longest time for a request, including the arrival of its body.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(60);
/// How long a browser remembers the language: a year, in seconds.
const LANGUAGE_SECONDS: u32 = 31_536_000;

/// Allows only this site's style sheet and icon, no script, and forms only to this site.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Headers of every reply. The referrer policy is not `no-referrer`, under which browsers send `Origin: null` with
/// forms.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Adds the headers, enforces the deadline, and sets a cookie for a language chosen by `?lang=`.
pub(crate) async fn with_headers_and_deadline(request: Request, next: Next) -> Response {
    let chosen = language_of_query(request.uri().query().unwrap_or_default());
    let secure = if came_by_tls(request.headers()) { "; Secure" } else { "" };
    let mut reply = match tokio::time::timeout(REQUEST_TIME_MAX, next.run(request)).await {
        Ok(reply) => reply,
        Err(_) => (StatusCode::GATEWAY_TIMEOUT, "504").into_response(),
    };
    metrics::counter!("provost_web_requests_total", "status" => reply.status().as_u16().to_string()).increment(1);
    let headers = reply.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Some(language) = chosen {
        let tag = language.tag();
        let cookie = format!("lang={tag}; Path=/; SameSite=Lax; HttpOnly; Max-Age={LANGUAGE_SECONDS}{secure}");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            headers.append(header::SET_COOKIE, cookie);
        }
    }
    reply
}

/// The language that the query chooses by `lang=`, if the pages have it.
pub(crate) fn language_of_query(query: &str) -> Option<Language> {
    query.split('&').find_map(|pair| Language::parse(pair.strip_prefix("lang=")?))
}

/// Whether a form may come from our own pages. If the browser sends `Sec-Fetch-Site`, that decides; otherwise `Origin`
/// must name the requested host. A request with neither passes: it comes from a very old browser or another program,
/// and the token in the form still protects the session.
pub(crate) fn is_same_origin(headers: &HeaderMap) -> bool {
    // A value that is not text becomes "?", which names no origin.
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text(HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin" || site == "none";
    }
    match (text(header::ORIGIN), text(header::HOST)) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, name)| name.eq_ignore_ascii_case(host)),
        (Some(_), None) => false,
    }
}

/// Whether the browser uses TLS, either to this node or to a proxy in front of the node. The browser states this in the
/// `Origin` of each form. A TLS listener and a proxy state it in `X-Forwarded-Proto`. A client that forges a header
/// only makes its own cookie unusable.
pub(crate) fn came_by_tls(headers: &HeaderMap) -> bool {
    let begins_with = |name: HeaderName, prefix: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|text| text.starts_with(prefix))
    };
    begins_with(header::ORIGIN, "https://") || begins_with(HeaderName::from_static("x-forwarded-proto"), "https")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_of_another_origin_is_recognised() {
        for (site, origin, host, expect) in [
            (Some("same-origin"), Some("http://desk:8080"), "desk:8080", true),
            (Some("none"), None, "desk:8080", true),
            (Some("cross-site"), None, "desk:8080", false),
            (Some("same-site"), Some("http://desk:8080"), "desk:8080", false),
            (None, Some("http://desk:8080"), "desk:8080", true),
            (None, Some("https://DESK"), "desk", true),
            (None, Some("http://evil"), "desk:8080", false),
            (None, Some("http://desk:8081"), "desk:8080", false),
            (None, Some("null"), "desk:8080", false),
            (None, None, "desk:8080", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(site) = site {
                headers.insert("sec-fetch-site", site.parse().unwrap());
            }
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            assert_eq!(is_same_origin(&headers), expect, "{site:?} {origin:?}");
        }
    }

    #[test]
    fn tls_is_recognised_by_origin_or_forwarded_proto() {
        let with = |name: &'static str, value: &'static str| {
            came_by_tls(&HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))]))
        };
        assert!(with("origin", "https://desk.example.edu"));
        assert!(with("x-forwarded-proto", "https"));
        assert!(!with("origin", "http://127.0.0.1:8080"));
        assert!(!came_by_tls(&HeaderMap::new()));
    }

    #[test]
    fn reads_the_language_of_a_query() {
        assert_eq!(language_of_query("q=a&lang=en"), Some(Language::English));
        assert_eq!(language_of_query("lang=de"), None);
        assert_eq!(language_of_query(""), None);
    }
}
