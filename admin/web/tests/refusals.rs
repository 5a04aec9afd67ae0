//! Sign-in, and the refusals of the pages, with a fixed View (people of the directory in memory)
//! and no directory behind it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by a panic.

#[path = "../../api/tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use provost_store::StateStore;
use provost_view::{Fallback, PasswordSource, View, ViewConfig};
use provost_web::{WebState, router};
use support::{HttpResponse, send};

fn web() -> Router {
    web_with(support::state(), support::fixed_view())
}

fn web_with(state: Arc<dyn StateStore>, view: View) -> Router {
    router(WebState { desk: support::desk_without_directory(), store: support::store(), state, view })
}

async fn get(web: &Router, path: &str, cookie: &str) -> HttpResponse {
    send(web, Request::get(path).header("cookie", cookie).body(Body::empty()).unwrap()).await
}

async fn post(web: &Router, path: &str, cookie: &str, body: &str) -> HttpResponse {
    let request = Request::post(path)
        .header("cookie", cookie)
        .header("host", "desk:8080")
        .header("origin", "http://desk:8080")
        .header("content-type", "application/x-www-form-urlencoded");
    send(web, request.body(Body::from(body.to_owned())).unwrap()).await
}

/// Signs in; returns the session's cookie and the token that its forms must send.
async fn sign_in(web: &Router, name: &str) -> (String, String) {
    let reply = post(web, "/sign-in", "", &format!("name={name}&password=correct+horse")).await;
    assert_eq!(reply.status, 303, "{}", reply.text);
    let cookie = reply.header("set-cookie").split(';').next().unwrap().to_owned();
    let page = get(web, "/", &cookie).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let csrf = page.text.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    (cookie, csrf)
}

#[tokio::test]
async fn nothing_is_shown_before_a_sign_in() {
    let web = web();
    for (path, to) in [
        ("/", "/sign-in"),
        ("/people?q=a", "/sign-in?next=%2Fpeople%3Fq%3Da"),
        ("/people/1/password", "/sign-in?next=%2Fpeople%2F1%2Fpassword"),
    ] {
        let reply = get(&web, path, "provost_session=invented").await;
        assert_eq!((reply.status.as_u16(), reply.header("location")), (303, to), "{path}");
    }
    let reply = post(&web, "/people/1/vacation", "", "text_fr=x").await;
    assert_eq!((reply.status.as_u16(), reply.header("location")), (303, "/sign-in"));
}

/// A person without a role sees their own page and nothing else; no reply depends on the directory, which is away.
#[tokio::test]
async fn a_person_without_a_role_is_led_to_their_own_page_and_finds_nobody() {
    let web = web();
    let reply = post(&web, "/sign-in", "", "name=ben&password=correct+horse").await;
    assert_eq!(reply.header("location"), "/");
    let cookie = reply.header("set-cookie").split(';').next().unwrap().to_owned();
    let start = get(&web, "/", &cookie).await;
    assert_eq!(start.status, 303, "{}", start.text);
    let own = start.header("location").to_owned();
    assert!(own.starts_with("/people/"), "{own}");
    for path in ["/people?q=zoe", &format!("/people?q={}", "x".repeat(201)), &format!("{own}/password")] {
        let refused = get(&web, path, &cookie).await;
        assert_eq!(refused.status, 403, "{path}: {}", refused.text);
        assert!(refused.text.contains("que votre propre fiche"), "{path}: {}", refused.text);
        assert!(!refused.text.contains("role=\"search\""), "{path}: {}", refused.text);
    }
    let form = get(&web, "/password", &cookie).await;
    assert!(form.text.contains("value=\"ben\"") && !form.text.contains("role=\"search\""), "{}", form.text);
}

#[tokio::test]
async fn people_who_may_log_in_can_sign_in() {
    let web = web();
    for (name, password, status, text) in [
        ("helen", "correct+horse", 303, ""),
        ("helen@example.edu", "correct+horse", 303, ""),
        ("rita", "correct+horse", 303, ""),
        ("noa", "correct+horse", 303, ""),
        ("ben", "correct+horse", 303, ""),
        ("sue", "correct+horse", 422, "est incorrect"),
        ("helen", "wrong", 422, "est incorrect"),
        ("nobody", "correct+horse", 422, "est incorrect"),
        ("", "", 422, "est incorrect"),
    ] {
        let reply = post(&web, "/sign-in", "", &format!("name={name}&password={password}")).await;
        assert_eq!(reply.status, status, "{name} {password}: {}", reply.text);
        assert!(reply.text.contains(text), "{name}: {}", reply.text);
        assert_eq!(!reply.header("set-cookie").is_empty(), status == 303, "{name} {password}");
    }
}

#[tokio::test]
async fn the_session_cookie_is_kept_from_scripts_and_other_sites() {
    let web = web();
    let reply = post(&web, "/sign-in", "", "name=helen&password=correct+horse&next=%2Fpeople%3Fq%3Dzoe").await;
    assert_eq!(reply.header("location"), "/people?q=zoe");
    let cookie = reply.header("set-cookie").to_owned();
    let value = cookie.split(['=', ';']).nth(1).unwrap();
    assert_eq!(value.len(), 64, "not 256 bits in hex: {value}");
    for part in ["provost_session=", "; HttpOnly", "; SameSite=Strict", "; Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "Secure, although the form came by plain HTTP: {cookie}");
    let request = Request::post("/sign-in")
        .header("host", "desk.example.edu")
        .header("origin", "https://desk.example.edu")
        .header("content-type", "application/x-www-form-urlencoded");
    let reply = send(&web, request.body(Body::from("name=helen&password=correct+horse")).unwrap()).await;
    assert!(reply.header("set-cookie").contains("; Secure"), "not Secure, although the form came by TLS");
    let away = post(&web, "/sign-in", "", "name=helen&password=correct+horse&next=%2F%2Fevil.example").await;
    assert_eq!(away.header("location"), "/", "the redirect leaves the site");
}

#[tokio::test]
async fn after_five_failures_in_a_minute_a_sign_in_must_wait() {
    let web = web();
    for _ in 0..5 {
        assert_eq!(post(&web, "/sign-in", "", "name=helen&password=wrong").await.status, 422);
    }
    let reply = post(&web, "/sign-in", "", "name=helen&password=correct+horse").await;
    assert_eq!(reply.status, 429, "the right password was checked without a wait");
    assert!(reply.header("retry-after").parse::<u32>().unwrap() <= 60);
    assert_eq!(post(&web, "/sign-in", "", "name=rita&password=correct+horse").await.status, 303);
}

#[tokio::test]
async fn forms_of_other_sites_and_too_large_ones_are_refused() {
    let web = web();
    let (cookie, csrf) = sign_in(&web, "helen").await;
    for body in ["", "csrf=", "csrf=0123456789abcdef", &format!("csrf={}", "0".repeat(64))] {
        for path in [
            "/people/1/vacation",
            "/people/1/vacation/clear",
            "/people/1/locks",
            "/people/1/locks/release",
            "/people/1/forwarding",
            "/people/1/forwarding/clear",
            "/people/1/quota",
            "/people/1/quota/clear",
            "/people/1/follow",
            "/people/1/password",
            "/people/1/addresses",
            "/people/1/addresses/remove",
            "/sign-out",
        ] {
            assert_eq!(post(&web, path, &cookie, body).await.status, 403, "{path} {body}");
        }
    }
    for (name, value) in [("origin", "http://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        let request = Request::post("/people/1/password")
            .header("host", "desk:8080")
            .header("cookie", &cookie)
            .header(name, value)
            .header("content-type", "application/x-www-form-urlencoded");
        let reply = send(&web, request.body(Body::from(format!("csrf={csrf}"))).unwrap()).await;
        assert_eq!(reply.status, 403, "{name}: {value}");
    }
    let long = format!("name=helen&password={}", "x".repeat(9 * 1024));
    for (body, status) in [(long.as_str(), 413), ("name=helen", 400)] {
        assert_eq!(post(&web, "/sign-in", "", body).await.status, status);
    }
    let huge = format!("csrf={csrf}&text_fr={}", "x".repeat(300 * 1024));
    assert_eq!(post(&web, "/people/1/vacation", &cookie, &huge).await.status, 413);
    assert_eq!(get(&web, "/", &cookie).await.status, 200, "the refusals ended the session");
}

/// The form holds the longest reply in both languages, in characters that take the most octets. The form reaches the
/// desk: 503 comes from the desk, which has no directory.
#[tokio::test]
async fn the_longest_vacation_reply_is_not_too_large() {
    let web = web();
    let (cookie, csrf) = sign_in(&web, "helen").await;
    let longest = "%F0%9F%8F%96".repeat(10_000);
    let form = format!("csrf={csrf}&text_fr={longest}&text_en={longest}");
    assert_eq!(post(&web, "/people/1/vacation", &cookie, &form).await.status, 503);
}

#[tokio::test]
async fn a_registrar_changes_neither_addresses_nor_passwords() {
    let web = web();
    let (cookie, csrf) = sign_in(&web, "rita").await;
    for path in ["/people/1/addresses", "/people/1/addresses/remove"] {
        let reply = post(&web, path, &cookie, &format!("csrf={csrf}&text_fr=x&address=a@example.edu")).await;
        assert_eq!(reply.status, 403, "{path}");
        assert!(reply.text.contains("Votre rôle ne permet pas"), "{path}: {}", reply.text);
    }
    for path in ["/people/1/password", "/people/1/addresses/remove?address=a@example.edu", "/people/1/password/new"] {
        assert_eq!(get(&web, path, &cookie).await.status, 403, "{path}");
    }
}

#[tokio::test]
async fn a_sign_out_ends_the_session() {
    let web = web();
    let (cookie, csrf) = sign_in(&web, "helen").await;
    let reply = post(&web, "/sign-out", &cookie, &format!("csrf={csrf}")).await;
    assert_eq!((reply.status.as_u16(), reply.header("location")), (303, "/sign-in"));
    assert!(reply.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(get(&web, "/", &cookie).await.status, 303);
}

/// A node that has just started may have no View yet. It must not end the sessions that other nodes serve.
#[tokio::test]
async fn a_session_does_not_end_at_a_node_whose_view_is_empty() {
    let state = support::state();
    let web = web_with(state.clone(), support::fixed_view());
    let (cookie, _) = sign_in(&web, "helen").await;
    let folder = tempfile::tempdir().unwrap();
    let config = ViewConfig {
        file: folder.path().join("view"),
        passwords: PasswordSource::View,
        credential_ttl: Duration::from_secs(600),
        fallback: Fallback::default(),
    };
    let started = web_with(state, View::start(config, support::no_directory()));
    let reply = get(&started, "/", &cookie).await;
    assert_eq!(reply.status, 503, "{}", reply.text);
    assert!(reply.text.contains("si vous êtes connecté"), "{}", reply.text);
    assert_eq!(get(&web, "/", &cookie).await.status, 200, "the session has ended");
}

#[tokio::test]
async fn a_directory_that_is_away_gives_a_503_page() {
    let web = web();
    let (cookie, csrf) = sign_in(&web, "helen").await;
    for path in ["/people?q=zoe", "/people/1", "/people/1/password"] {
        let reply = get(&web, path, &cookie).await;
        assert_eq!(reply.status, 503, "{path}: {}", reply.text);
        assert!(reply.text.contains("injoignable") && !reply.header("retry-after").is_empty(), "{path}");
    }
    let reply = post(&web, "/people/1/vacation", &cookie, &format!("csrf={csrf}&text_fr=Absente")).await;
    assert_eq!(reply.status, 503);
    assert!(!reply.text.contains("/people/1/vacation"), "a link leads to a path without a page: {}", reply.text);
}

#[tokio::test]
async fn every_page_forbids_scripts_frames_and_caches() {
    let web = web();
    let (cookie, _) = sign_in(&web, "helen").await;
    for path in ["/sign-in", "/", "/no/such/page", "/people/1"] {
        let reply = get(&web, path, &cookie).await;
        let policy = reply.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("referrer-policy"), "same-origin");
        assert_eq!(reply.header("cache-control"), "no-store", "{path}");
        assert!(!reply.text.contains("<script"), "{path}");
    }
    let style = get(&web, "/assets/style.css", "").await;
    assert_eq!((style.status.as_u16(), style.header("content-type")), (200, "text/css; charset=utf-8"));
    assert!(style.header("cache-control").contains("max-age"));
    assert_eq!(get(&web, "/assets/icon.svg", "").await.status, 200);
    assert_eq!(get(&web, "/no/such/page", "").await.status, 404);
    for (request, allow) in [
        (Request::delete("/people"), "GET,HEAD"),
        (Request::get("/people/x/vacation"), "POST"),
        (Request::post("/assets/icon.svg"), "GET,HEAD"),
    ] {
        let reply = send(&web, request.body(Body::empty()).unwrap()).await;
        assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, allow));
    }
}

#[tokio::test]
async fn query_cookie_and_header_choose_the_language_in_this_order() {
    let web = web();
    for (path, header, cookie, lang) in [
        ("/sign-in", "", "", "fr"),
        ("/sign-in", "de, en;q=0.5", "", "en"),
        ("/sign-in", "en", "lang=fr", "fr"),
        ("/sign-in?lang=en", "fr", "lang=fr", "en"),
        ("/sign-in?lang=xx", "", "", "fr"),
    ] {
        let request = Request::get(path).header("accept-language", header).header("cookie", cookie);
        let reply = send(&web, request.body(Body::empty()).unwrap()).await;
        assert!(reply.text.contains(&format!("<html lang=\"{lang}\">")), "{path} {header} {cookie}");
        assert_eq!(reply.header("content-language"), lang);
        let remembered = reply.header("set-cookie").starts_with("lang=");
        assert_eq!(remembered, path.ends_with("lang=en"), "{path}");
    }
}

#[tokio::test]
async fn text_from_a_form_or_query_is_escaped_in_the_page() {
    let web = web();
    let reply = post(&web, "/sign-in", "", "name=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E&password=x").await;
    assert_eq!(reply.status, 422);
    assert!(!reply.text.contains("<script"), "{}", reply.text);
    let (cookie, _) = sign_in(&web, "helen").await;
    let long = format!("/people?q={}", "%22%3E%3Cscript%3E".repeat(40));
    let reply = get(&web, &long, &cookie).await;
    assert_eq!(reply.status, 422);
    assert!(!reply.text.contains("<script"), "{}", reply.text);
    assert!(reply.text.contains("aria-describedby=\"q-hint q-error\""), "{}", reply.text);
}
