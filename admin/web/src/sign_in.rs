//! Sign-in and sign-out.

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use provost_provision::Principal;
use provost_view::Secret;
use serde::{Deserialize, Serialize};

use crate::form::{NoFields, SessionForm, foreign_form, unreadable_form};
use crate::own_password;
use crate::page::page;
use crate::password_check::person_of;
use crate::security::{came_by_tls, is_same_origin};
use crate::session::passwords_digest;
use crate::user::principal_of;
use crate::visitor::{SESSION_COOKIE, Visitor, way_back};
use crate::web::Web;

#[derive(Deserialize)]
pub(crate) struct SignInQuery {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(crate) struct SignInForm {
    name: String,
    password: String,
    #[serde(default)]
    next: String,
}

#[derive(Serialize)]
struct SignInPage<'a> {
    next: &'a str,
    name: &'a str,
    error: Option<String>,
}

/// Shows the form; people who are signed in already are redirected to `next`, or to the start page.
pub(crate) async fn show(visitor: Visitor, Query(query): Query<SignInQuery>) -> Response {
    let next = way_back(&query.next);
    if visitor.user.is_some() {
        return Redirect::to(next).into_response();
    }
    page(&visitor, StatusCode::OK, "sign_in", &SignInPage { next, name: "", error: None })
}

/// Checks name and password and begins a session. Every person who may log in can sign in; the role decides what they
/// see.
pub(crate) async fn sign_in(
    State(web): State<Web>,
    visitor: Visitor,
    headers: HeaderMap,
    form: Result<Form<SignInForm>, FormRejection>,
) -> Response {
    // Before the sign-in no session holds a token, so only the origin shows that the form is ours and not another
    // site's.
    if !is_same_origin(&headers) {
        return foreign_form(&visitor);
    }
    let Form(form) = match form {
        Ok(form) => form,
        Err(rejection) => return unreadable_form(&visitor, &rejection),
    };
    let now = Timestamp::now();
    let name = form.name.trim();
    let show_again = |status, key: &str, values: &[(&str, &str)]| {
        let error = Some(visitor.language.text(key, values));
        page(&visitor, status, "sign_in", &SignInPage { next: way_back(&form.next), name, error })
    };
    let desk = &web.services.desk;
    let password = Secret::new(form.password.as_str());
    let person = match person_of(&web, &visitor, name, &password, now).await {
        Ok(person) => person,
        Err(refused) => {
            let values = [("seconds", &*refused.seconds())];
            return refused.with_wait(show_again(refused.status, refused.key, &values));
        }
    };
    if let Some(due) = person.password_state.due(&web.services.view.snapshot().settings().passwords, now) {
        web.throttle.succeeded(name, visitor.address, now).await;
        let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
        let path = format!("{}?name={name}&due={}", own_password::PATH, own_password::due_query(due));
        return Redirect::to(&path).into_response();
    }
    // The person was locked or closed after the password was checked.
    let Some(principal) = principal_of(&person) else {
        desk.sign_in_refused(&Principal::person(&person.uid, person.entry_uuid, []), &person.dn).await;
        return show_again(StatusCode::UNPROCESSABLE_ENTITY, "sign_in.refused", &[]);
    };
    web.throttle.succeeded(name, visitor.address, now).await;
    if let Err(error) = desk.signed_in(&principal, &person.dn).await {
        tracing::error!(%error, "a sign-in cannot be audited, so it is refused");
        return show_again(StatusCode::SERVICE_UNAVAILABLE, "sign_in.unavailable", &[]);
    }
    // Always a new cookie: one that another site or person planted in the browser must not become a session.
    match web.sessions.begin(person.entry_uuid, passwords_digest(&person.passwords), now).await {
        Ok(cookie) => with_cookie(&headers, Redirect::to(way_back(&form.next)).into_response(), &cookie, None),
        Err(error) => {
            tracing::error!(%error, "a session cannot be started");
            show_again(StatusCode::SERVICE_UNAVAILABLE, "sign_in.unavailable", &[])
        }
    }
}

/// Ends the session.
pub(crate) async fn sign_out(State(web): State<Web>, headers: HeaderMap, form: SessionForm<NoFields>) -> Response {
    web.sessions.end(&form.signed_in.user.session).await;
    with_cookie(&headers, Redirect::to("/sign-in").into_response(), "", Some(0))
}

/// Adds the session's cookie to a reply. `max_age` is in seconds: without it, the browser drops the cookie when the
/// browser closes; zero removes the cookie at once.
fn with_cookie(headers: &HeaderMap, mut reply: Response, value: &str, max_age: Option<u32>) -> Response {
    let secure = if came_by_tls(headers) { "; Secure" } else { "" };
    let age = max_age.map_or(String::new(), |seconds| format!("; Max-Age={seconds}"));
    let cookie = format!("{SESSION_COOKIE}={value}; HttpOnly; SameSite=Strict; Path=/{secure}{age}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        reply.headers_mut().append(header::SET_COOKIE, cookie);
    }
    reply
}
