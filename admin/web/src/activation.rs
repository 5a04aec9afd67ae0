//! Activation: the page of a one-time link, the form for the code of a letter, and the help desk's button that mails a
//! new link.
//!
//! A link that does not work shows one page, whatever the reason: unknown, used, replaced or ended.

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use provost_provision::{DeskError, Invitee, Permission};
use provost_view::Secret;
use serde::{Deserialize, Serialize};

use crate::change::{change_and_return, run_to_end};
use crate::form::{NoFields, SessionForm, foreign_form, unreadable_form};
use crate::own_password::{activated_page, hint};
use crate::page::{desk_failure, failure, outcome_unknown, page};
use crate::password_check::{NAME_OCTETS_MAX, count_attempt};
use crate::person_link::person_url;
use crate::rule;
use crate::security::is_same_origin;
use crate::signed_in::SignedIn;
use crate::visitor::Visitor;
use crate::web::Web;

/// Characters of a token that name its person: attempts are counted for these.
pub(crate) const PERSON_CHARS: usize = 32;
/// The characters of a token that are encoded in a path: all that no token of ours has.
const TOKEN_ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-');
/// Longest token that is looked up, in octets.
pub(crate) const TOKEN_OCTETS_MAX: usize = 128;

#[derive(Deserialize)]
pub(crate) struct CodeForm {
    name: String,
    code: String,
}

#[derive(Deserialize)]
pub(crate) struct FirstPasswordForm {
    new: String,
    again: String,
}

#[derive(Serialize)]
struct CodePage<'a> {
    name: &'a str,
    error: Option<String>,
}

#[derive(Serialize)]
struct LinkPage<'a> {
    url: String,
    name: &'a str,
    uid: &'a str,
    mail: &'a str,
    hint: String,
    error: Option<String>,
    at: &'static str,
}

#[derive(Serialize)]
struct LinkConfirmPage {
    url: String,
    name: String,
    has_password: bool,
}

/// Shows the form for the code of a letter.
pub(crate) async fn show_code_form(visitor: Visitor) -> Response {
    page(&visitor, StatusCode::OK, "activate_code", &CodePage { name: "", error: None })
}

/// Leads from the code of a letter to the page of its link.
pub(crate) async fn enter_code(
    State(web): State<Web>,
    mut visitor: Visitor,
    headers: HeaderMap,
    form: Result<Form<CodeForm>, FormRejection>,
) -> Result<Response, Response> {
    if !is_same_origin(&headers) {
        return Err(foreign_form(&visitor));
    }
    let Form(form) = form.map_err(|rejection| unreadable_form(&visitor, &rejection))?;
    visitor.here = "/activate".to_owned();
    let (name, now) = (form.name.trim(), Timestamp::now());
    let show_again =
        |status, error: String| page(&visitor, status, "activate_code", &CodePage { name, error: Some(error) });
    let unknown = || show_again(StatusCode::UNPROCESSABLE_ENTITY, visitor.language.text("activate.wrong_code", &[]));
    if name.is_empty() || name.len() > NAME_OCTETS_MAX {
        return Err(unknown());
    }
    let counted = format!("activate {name}");
    if let Err(refused) = count_attempt(&web, &visitor, &counted, now).await {
        return Err(refused.with_wait(show_again(refused.status, refused.text(&visitor))));
    }
    let desk = &web.services.desk;
    let found = async {
        let token = desk.activation_token(name, &form.code).await?;
        let Some(token) = token else { return Ok(None) };
        Ok(desk.invitee(&token).await?.map(|_| token))
    };
    match found.await {
        Ok(Some(token)) => {
            web.throttle.succeeded(&counted, visitor.address, now).await;
            Ok(Redirect::to(&link_path(&token)).into_response())
        }
        Ok(None) => Err(unknown()),
        Err(error) => Err(desk_failure(&visitor, &error)),
    }
}

/// Shows the person of a link and the form for the password.
pub(crate) async fn show(
    State(web): State<Web>,
    visitor: Visitor,
    Path(token): Path<String>,
) -> Result<Response, Response> {
    let invitee = invitee(&web, &visitor, &token).await?;
    Ok(link_page(&web, &visitor, &token, &invitee, StatusCode::OK, None))
}

/// Sets the first password and ends the link.
pub(crate) async fn activate(
    State(web): State<Web>,
    mut visitor: Visitor,
    Path(token): Path<String>,
    headers: HeaderMap,
    form: Result<Form<FirstPasswordForm>, FormRejection>,
) -> Result<Response, Response> {
    if !is_same_origin(&headers) {
        return Err(foreign_form(&visitor));
    }
    let Form(form) = form.map_err(|rejection| unreadable_form(&visitor, &rejection))?;
    let person = invitee(&web, &visitor, &token).await?;
    visitor.here = link_path(&token);
    let show_again = |error: String, at: &'static str| {
        link_page(&web, &visitor, &token, &person, StatusCode::UNPROCESSABLE_ENTITY, Some((error, at)))
    };
    if form.new != form.again {
        return Err(show_again(visitor.language.text("own_password.differ", &[]), "again"));
    }
    let (desk, link, password) = (web.services.desk.clone(), token.clone(), Secret::new(form.new.as_str()));
    let set = async move { desk.activate(&link, &password).await };
    match run_to_end(&visitor, set).await? {
        Ok(Some(done)) => {
            visitor.here = "/activate".to_owned();
            Ok(activated_page(&visitor, done.uid, done.mail))
        }
        // Used or replaced since it was looked up.
        Ok(None) | Err(DeskError::Stale) => Err(no_such_link(&visitor)),
        Err(DeskError::Invalid { field: "password", rule }) => {
            Err(show_again(rule::in_words(&rule, visitor.language), "new"))
        }
        Err(DeskError::OutcomeUnknown(why)) => {
            tracing::warn!(why, "the outcome of an activation is unknown");
            Err(outcome_unknown(&visitor, "own_password.outcome_unknown"))
        }
        Err(error) => Err(desk_failure(&visitor, &error)),
    }
}

/// Shows the form that asks the help desk for confirmation.
pub(crate) async fn confirm(
    State(web): State<Web>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    let (desk, principal) = (&web.services.desk, &signed_in.user.principal);
    let person = async {
        desk.permit(principal, Permission::SendActivation).await?;
        desk.person(principal, &id).await
    };
    let person = person.await.map_err(|error| desk_failure(&signed_in.visitor, &error))?;
    let body =
        LinkConfirmPage { url: person_url(&id), name: person.summary.display_name, has_password: person.has_password };
    Ok(page(&signed_in.visitor, StatusCode::OK, "activation_confirm", &body))
}

/// Mails a new link to the person's private address.
pub(crate) async fn send(
    State(web): State<Web>,
    Path(id): Path<String>,
    form: SessionForm<NoFields>,
) -> Result<Response, Response> {
    let signed_in = form.signed_in;
    let (desk, principal, key) = (web.services.desk.clone(), signed_in.principal(), id.clone());
    let change = async move { desk.send_activation(&principal, &key).await };
    change_and_return(&web, &signed_in, &id, change, ("activation.sent", |sent| sent.to)).await
}

/// The person of a link. Attempts that find none are counted for the person whom the link names and for the address.
async fn invitee(web: &Web, visitor: &Visitor, token: &str) -> Result<Invitee, Response> {
    let now = Timestamp::now();
    if token.len() > TOKEN_OCTETS_MAX {
        return Err(no_such_link(visitor));
    }
    let counted = format!("activate {}", token.get(..PERSON_CHARS).unwrap_or_default());
    if let Err(refused) = count_attempt(web, visitor, &counted, now).await {
        let shown = failure(visitor, refused.status, "activate.title", refused.key, &[("seconds", &refused.seconds())]);
        return Err(refused.with_wait(shown));
    }
    match web.services.desk.invitee(token).await {
        Ok(Some(invitee)) => {
            web.throttle.succeeded(&counted, visitor.address, now).await;
            Ok(invitee)
        }
        Ok(None) => Err(no_such_link(visitor)),
        Err(error) => Err(desk_failure(visitor, &error)),
    }
}

fn no_such_link(visitor: &Visitor) -> Response {
    failure(visitor, StatusCode::NOT_FOUND, "activate.title", "activate.unknown", &[])
}

fn link_page(
    web: &Web,
    visitor: &Visitor,
    token: &str,
    person: &Invitee,
    status: StatusCode,
    error: Option<(String, &'static str)>,
) -> Response {
    let (error, at) = error.map_or((None, ""), |(text, at)| (Some(text), at));
    let (name, uid, mail) = (&person.name, &person.uid, &person.mail);
    page(
        visitor,
        status,
        "activate",
        &LinkPage { url: link_path(token), name, uid, mail, hint: hint(web, visitor), error, at },
    )
}

fn link_path(token: &str) -> String {
    format!("/activate/{}", encoded(token))
}

/// The token as a path has it.
pub(crate) fn encoded(token: &str) -> String {
    utf8_percent_encode(token, TOKEN_ENCODED).to_string()
}
