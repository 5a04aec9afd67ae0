//! Resets a password: confirmation, reset, and a page that shows the new password once, as a letter to print.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use provost_provision::{DeskError, Permission, PersonDetail, StoredPassword};
use serde::Serialize;

use crate::change::run_to_end;
use crate::form::{NoFields, SessionForm};
use crate::page::{desk_failure, outcome_unknown, page, unavailable};
use crate::person_link::person_url;
use crate::session::PasswordSlip;
use crate::signed_in::SignedIn;
use crate::visitor::{SESSION_COOKIE, cookie};
use crate::web::Web;

#[derive(Serialize)]
struct ConfirmPage {
    url: String,
    name: String,
    mail: String,
}

#[derive(Serialize)]
struct PasswordSlipPage {
    url: String,
    slip: Option<PasswordSlipData>,
}

#[derive(Serialize)]
struct PasswordSlipData {
    name: String,
    uid: String,
    mail: String,
    password: String,
}

/// Shows the form that asks for confirmation.
pub(crate) async fn confirm(
    State(web): State<Web>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    let person = person_to_reset(&web, &signed_in, &id).await?;
    let body = ConfirmPage { url: person_url(&id), name: person.summary.display_name, mail: person.summary.mail };
    Ok(page(&signed_in.visitor, StatusCode::OK, "password_confirm", &body))
}

/// Resets the password, and redirects to the page that shows the new one.
pub(crate) async fn reset(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
    form: SessionForm<NoFields>,
) -> Result<Response, Response> {
    let signed_in = form.signed_in;
    let visitor = &signed_in.visitor;
    let (desk, principal, key) = (web.services.desk.clone(), signed_in.principal(), id.clone());
    // People without this right change their own password at `/password`, which asks for the present one: a session left
    // open must not be enough.
    let allowed = desk.permit(&principal, Permission::ResetPassword).await;
    allowed.map_err(|error| desk_failure(visitor, &error))?;
    let change = async move { desk.reset_password(&principal, &key, None).await };
    match run_to_end(visitor, change).await? {
        Ok(StoredPassword { password, hash, .. }) => {
            let slip = PasswordSlip { person: id.clone(), password };
            let cookie = cookie(&headers, SESSION_COOKIE).unwrap_or_default();
            if let Err(error) = web.sessions.store_slip(&cookie, &slip, Timestamp::now()).await {
                tracing::error!(%error, "a new password is set but cannot be shown");
                return Err(unavailable(visitor, "password.lost"));
            }
            if signed_in.user.is_person(&id)
                && let Err(error) =
                    web.sessions.record_own_password(&signed_in.user.session, &hash, Timestamp::now()).await
            {
                // The session ends only when the View has the new password; until then the page can show it.
                tracing::error!(%error, "a session will end because its user has a new password");
            }
            Ok(Redirect::to(&format!("{}/password/new", person_url(&id))).into_response())
        }
        Err(DeskError::OutcomeUnknown(why)) => {
            tracing::warn!(why, "the outcome of a password reset is unknown");
            Err(outcome_unknown(visitor, "password.outcome_unknown"))
        }
        Err(error) => Err(desk_failure(visitor, &error)),
    }
}

/// Shows the new password, once. A HEAD request shows no body, so it leaves the password for the GET.
pub(crate) async fn slip(
    State(web): State<Web>,
    method: Method,
    signed_in: SignedIn,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    // Check the person first: if the directory is unavailable, the slip is kept for the next try.
    let person = person_to_reset(&web, &signed_in, &id).await?;
    let cookie = cookie(&headers, SESSION_COOKIE).unwrap_or_default();
    let now = Timestamp::now();
    let found = match method {
        Method::HEAD => web.sessions.peek_slip(&cookie, &id, now).await,
        _ => web.sessions.take_slip(&cookie, &id, now).await,
    };
    let found = found.map_err(|error| {
        tracing::error!(%error, "a new password cannot be read from the session");
        unavailable(&signed_in.visitor, "password.not_shown")
    })?;
    let slip = found.map(|slip| PasswordSlipData {
        name: person.summary.display_name,
        uid: person.summary.uid,
        mail: person.summary.mail,
        password: slip.password.reveal().to_owned(),
    });
    Ok(page(&signed_in.visitor, StatusCode::OK, "password_slip", &PasswordSlipPage { url: person_url(&id), slip }))
}

/// Returns the person when a role of the signed-in user may reset passwords; otherwise the error page. Only
/// `Desk::reset_password` checks whether that role may reset the password of this person.
async fn person_to_reset(web: &Web, signed_in: &SignedIn, id: &str) -> Result<PersonDetail, Response> {
    let (desk, principal) = (&web.services.desk, &signed_in.user.principal);
    let person = async {
        desk.permit(principal, Permission::ResetPassword).await?;
        desk.person(principal, id).await
    };
    person.await.map_err(|error| desk_failure(&signed_in.visitor, &error))
}
