//! The page on which everyone changes their own password, also one that must be changed or has expired. It asks for the
//! present password, so it needs no session.

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use provost_provision::{DeskError, Principal};
use provost_view::{PasswordDue, Person, Secret};
use serde::{Deserialize, Serialize};

use crate::change::run_to_end;
use crate::form::{foreign_form, unreadable_form};
use crate::page::{desk_failure, outcome_unknown, page};
use crate::password_check::{NAME_OCTETS_MAX, person_of};
use crate::rule;
use crate::security::is_same_origin;
use crate::visitor::Visitor;
use crate::web::Web;

/// Path of the page.
pub(crate) const PATH: &str = "/password";

#[derive(Deserialize)]
pub(crate) struct OwnPasswordQuery {
    #[serde(default)]
    name: String,
    /// `initial` or `expired`, when a sign-in led here.
    #[serde(default)]
    due: String,
}

#[derive(Deserialize)]
pub(crate) struct OwnPasswordForm {
    name: String,
    password: String,
    new: String,
    again: String,
}

#[derive(Default, Serialize)]
struct OwnPasswordPage<'a> {
    name: &'a str,
    /// Why the person was led here.
    due: Option<String>,
    /// What a good password is.
    hint: String,
    /// The message, and the field that it concerns.
    error: Option<String>,
    at: &'static str,
}

#[derive(Serialize)]
struct ChangedPage {
    uid: String,
    mail: String,
    activated: bool,
}

/// The query of the page for a person whose password is due.
pub(crate) fn due_query(due: PasswordDue) -> &'static str {
    match due {
        PasswordDue::Initial => "initial",
        PasswordDue::Expired => "expired",
    }
}

/// What a good password is, with the site's shortest length.
pub(crate) fn hint(web: &Web, visitor: &Visitor) -> String {
    let least = web.services.view.snapshot().settings().passwords.length_min.to_string();
    visitor.language.text("own_password.hint", &[("least", &least)])
}

/// Shows the form.
pub(crate) async fn show(State(web): State<Web>, visitor: Visitor, Query(query): Query<OwnPasswordQuery>) -> Response {
    let due = match query.due.as_str() {
        "initial" => Some(visitor.language.text("own_password.initial", &[])),
        "expired" => Some(visitor.language.text("own_password.expired", &[])),
        _ => None,
    };
    let known = visitor.user.as_ref().map(|user| user.uid.as_str()).unwrap_or_default();
    let name = if query.name.is_empty() { known } else { query.name.as_str() };
    let name = name.get(..name.floor_char_boundary(NAME_OCTETS_MAX)).unwrap_or_default();
    let body = OwnPasswordPage { name, due, hint: hint(&web, &visitor), ..OwnPasswordPage::default() };
    page(&visitor, StatusCode::OK, "own_password", &body)
}

/// Checks the present password and sets the new one.
pub(crate) async fn change(
    State(web): State<Web>,
    mut visitor: Visitor,
    headers: HeaderMap,
    form: Result<Form<OwnPasswordForm>, FormRejection>,
) -> Result<Response, Response> {
    // No session holds a token here. The present password protects the form; the origin keeps other sites from trying
    // passwords with the visitor's browser.
    if !is_same_origin(&headers) {
        return Err(foreign_form(&visitor));
    }
    let Form(form) = form.map_err(|rejection| unreadable_form(&visitor, &rejection))?;
    visitor.here = PATH.to_owned();
    let (name, now) = (form.name.trim(), Timestamp::now());
    let show_again = |status, error: String, at: &'static str| {
        let body = OwnPasswordPage { name, due: None, hint: hint(&web, &visitor), error: Some(error), at };
        page(&visitor, status, "own_password", &body)
    };
    if form.new != form.again {
        let error = visitor.language.text("own_password.differ", &[]);
        return Err(show_again(StatusCode::UNPROCESSABLE_ENTITY, error, "again"));
    }
    let present = Secret::new(form.password.as_str());
    let person = match person_of(&web, &visitor, name, &present, now).await {
        Ok(person) => person,
        Err(refused) => {
            return Err(refused.with_wait(show_again(refused.status, refused.text(&visitor), "name")));
        }
    };
    web.throttle.succeeded(name, visitor.address, now).await;
    let principal = Principal::person(&person.uid, person.entry_uuid, person.roles.iter().map(AsRef::as_ref));
    let (desk, key, new) = (web.services.desk.clone(), key_of(&person), Secret::new(form.new.as_str()));
    let set = async move { desk.reset_password(&principal, &key, Some(new)).await };
    match run_to_end(&visitor, set).await? {
        Ok(stored) => {
            if let Some(user) = visitor.user.as_ref().filter(|user| user.dn == *person.dn)
                && let Err(error) =
                    web.sessions.record_own_password(&user.session, &stored.hash, Timestamp::now()).await
            {
                tracing::warn!(%error, "a session will end because its user has a new password");
            }
            let (uid, mail) = (person.uid.to_string(), person.primary.to_string());
            Ok(page(&visitor, StatusCode::OK, "password_changed", &ChangedPage { uid, mail, activated: false }))
        }
        Err(DeskError::Invalid { field: "password", rule }) => {
            let error = rule::in_words(&rule, visitor.language);
            Err(show_again(StatusCode::UNPROCESSABLE_ENTITY, error, "new"))
        }
        Err(DeskError::OutcomeUnknown(why)) => {
            tracing::warn!(why, "the outcome of a change of a password is unknown");
            Err(outcome_unknown(&visitor, "own_password.outcome_unknown"))
        }
        Err(error) => Err(desk_failure(&visitor, &error)),
    }
}

/// The page that confirms a first password.
pub(crate) fn activated_page(visitor: &Visitor, uid: String, mail: String) -> Response {
    page(visitor, StatusCode::OK, "password_changed", &ChangedPage { uid, mail, activated: true })
}

/// The provostPersonId in the DN of a person, which no other person's login or number can equal.
fn key_of(person: &Person) -> String {
    let id = person.dn.split(',').next().and_then(|rdn| rdn.split_once('='));
    id.map_or_else(|| person.primary.to_string(), |(_, id)| id.to_owned())
}
