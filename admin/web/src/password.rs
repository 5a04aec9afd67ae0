//! Resetting a password: asked for, done, shown once on a page that can be printed as a letter.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Serialize;

use crate::Web;
use crate::form::{ChangeForm, NoFields, read_only};
use crate::officer::SignedIn;
use crate::page::{desk_failure, page};
use crate::people::{person_url, to_its_end};
use crate::session::Letter;

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
    if !signed_in.officer.may_change() {
        return Err(read_only(&web, &signed_in));
    }
    let person = web.site.desk.person(&id).await.map_err(|error| desk_failure(&web, &signed_in.visitor, &error))?;
    let body = ConfirmPage { url: person_url(&id), name: person.summary.display_name, mail: person.summary.mail };
    Ok(page(&web, &signed_in.visitor, StatusCode::OK, "password_confirm", &body))
}

/// Resets it.
pub(crate) async fn reset(
    State(web): State<Web>,
    Path(id): Path<String>,
    form: ChangeForm<NoFields>,
) -> Result<Response, Response> {
    let signed_in = form.signed_in;
    let (desk, actor, key) = (web.site.desk.clone(), signed_in.officer.actor(), id.clone());
    let change = async move { desk.reset_password(&actor, &key, None).await };
    match to_its_end(&web, &signed_in.visitor, change).await? {
        Ok((password, _)) => {
            web.sessions.leave_letter(signed_in.officer.session, Letter { person: id.clone(), password });
            Ok(Redirect::to(&format!("{}/password/new", person_url(&id))).into_response())
        }
        Err(error) => Err(desk_failure(&web, &signed_in.visitor, &error)),
    }
}

/// Shows it, once.
pub(crate) async fn letter(
    State(web): State<Web>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    if !signed_in.officer.may_change() {
        return Err(read_only(&web, &signed_in));
    }
    // The person first: if the directory cannot be asked now, the letter is still there for the next try.
    let person = web.site.desk.person(&id).await.map_err(|error| desk_failure(&web, &signed_in.visitor, &error))?;
    let letter = web.sessions.take_letter(signed_in.officer.session, &id).map(|letter| LetterView {
        name: person.summary.display_name,
        uid: person.summary.uid,
        mail: person.summary.mail,
        password: letter.password.reveal().to_owned(),
    });
    Ok(page(&web, &signed_in.visitor, StatusCode::OK, "password_letter", &LetterPage { url: person_url(&id), letter }))
}
