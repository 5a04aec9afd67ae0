//! Resetting a password: asked for, done, shown once on a page that can be printed as a letter.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use provost_provision::{DeskError, Operation, PersonDetail};
use provost_store::StateError;
use serde::Serialize;

use crate::change::to_its_end;
use crate::form::{NoFields, SessionForm};
use crate::page::{desk_failure, page};
use crate::person_link::person_url;
use crate::session::Letter;
use crate::signed_in::SignedIn;
use crate::visitor::{SESSION_COOKIE, Visitor, cookie};
use crate::web::Web;

#[derive(Serialize)]
struct ConfirmPage {
    url: String,
    name: String,
    mail: String,
}

#[derive(Serialize)]
struct LetterPage {
    url: String,
    letter: Option<LetterView>,
}

#[derive(Serialize)]
struct LetterView {
    name: String,
    uid: String,
    mail: String,
    password: String,
}

/// Asks before the password is reset.
pub(crate) async fn confirm(
    State(web): State<Web>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    let person = may_reset(&web, &signed_in, &id).await?;
    let body = ConfirmPage { url: person_url(&id), name: person.summary.display_name, mail: person.summary.mail };
    Ok(page(&signed_in.visitor, StatusCode::OK, "password_confirm", &body))
}

/// Resets it.
pub(crate) async fn reset(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
    form: SessionForm<NoFields>,
) -> Result<Response, Response> {
    let signed_in = form.signed_in;
    let visitor = &signed_in.visitor;
    let (desk, who, key) = (web.site.desk.clone(), signed_in.principal(), id.clone());
    let change = async move { desk.reset_password(&who, &key, None).await };
    match to_its_end(visitor, change).await? {
        Ok((password, _)) => {
            let letter = Letter { person: id.clone(), password };
            let cookie = cookie(&headers, SESSION_COOKIE).unwrap_or_default();
            let left = web.sessions.leave_letter(&cookie, &letter, Timestamp::now()).await;
            left.map_err(|error| not_now(visitor, &error))?;
            Ok(Redirect::to(&format!("{}/password/new", person_url(&id))).into_response())
        }
        Err(error) => Err(desk_failure(visitor, &error)),
    }
}

/// Shows it, once.
pub(crate) async fn letter(
    State(web): State<Web>,
    signed_in: SignedIn,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    // The person first: if the directory cannot be asked now, the letter is still there for the next try.
    let person = may_reset(&web, &signed_in, &id).await?;
    let cookie = cookie(&headers, SESSION_COOKIE).unwrap_or_default();
    let taken = web.sessions.take_letter(&cookie, &id, Timestamp::now()).await;
    let taken = taken.map_err(|error| not_now(&signed_in.visitor, &error))?;
    let letter = taken.map(|letter| LetterView {
        name: person.summary.display_name,
        uid: person.summary.uid,
        mail: person.summary.mail,
        password: letter.password.reveal().to_owned(),
    });
    Ok(page(&signed_in.visitor, StatusCode::OK, "password_letter", &LetterPage { url: person_url(&id), letter }))
}

/// The person, for those who may reset passwords.
async fn may_reset(web: &Web, signed_in: &SignedIn, id: &str) -> Result<PersonDetail, Response> {
    let (desk, who) = (&web.site.desk, &signed_in.user.principal);
    let person = async {
        desk.permit(who, Operation::ResetPassword).await?;
        desk.person(who, id).await
    };
    person.await.map_err(|error| desk_failure(&signed_in.visitor, &error))
}

fn not_now(visitor: &Visitor, error: &StateError) -> Response {
    desk_failure(visitor, &DeskError::Unavailable(error.to_string()))
}
