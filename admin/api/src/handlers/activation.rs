//! Handler for mailing an activation link.

use axum::extract::State;
use axum::response::IntoResponse;
use axum::{Extension, Json};

use crate::auth::Caller;
use crate::extract::{IfMatch, PersonKey, target};
use crate::failures::RouteFailures;
use crate::model::ActivationSent;
use crate::problem::Problem;
use crate::reply::{audited, to_its_end};
use crate::shared::HandlerState;

/// Mails a new one-time link to the person's private address; earlier links and letters end.
///
/// With the link, the person chooses a password. For a person who has one, the caller also needs the right to reset it.
/// The mail is kept before this answers, and sent once.
#[utoipa::path(
    post, operation_id = "sendActivation", path = "/people/{key}/activation", tag = "password",
    params(
        ("key" = String, Path, min_length = 1, max_length = 320, description = "provostPersonId, login, address, full name, or number in a source such as `registrar:12345`"),
        ("If-Match" = Option<String>, Header, description = "Version of the entry for which the change is meant"),
    ),
    responses((status = 200, description = "The mail is in the queue", body = ActivationSent, headers(("X-Audit-Id" = String))), RouteFailures)
)]
pub(crate) async fn send(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PersonKey(key): PersonKey,
    if_match: IfMatch,
) -> Result<impl IntoResponse, Problem> {
    let desk = shared.desk.clone();
    let sent = to_its_end(async move { desk.send_activation(&principal, target(&key, if_match)).await }).await?;
    let audit_id = sent.audit_id.clone();
    Ok(audited(&audit_id, Json(ActivationSent { to: sent.to, until: sent.until, audit_id: sent.audit_id })))
}
