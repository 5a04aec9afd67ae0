//! Handler for resetting a password.

use axum::extract::State;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use provost_provision::StoredPassword;
use provost_view::Secret;

use crate::auth::Caller;
use crate::extract::{IfMatch, OptionalJsonBody, PersonKey, target};
use crate::failures::RouteFailures;
use crate::model::{PasswordBody, PasswordReset};
use crate::problem::Problem;
use crate::reply::{audited, to_its_end};
use crate::shared::HandlerState;

/// Sets the stated password, or a generated one, which only this reply shows.
#[utoipa::path(
    post, operation_id = "resetPassword", path = "/people/{key}/password", tag = "password",
    params(
        ("key" = String, Path, min_length = 1, max_length = 320, description = "provostPersonId, login, address, full name, or number in a source such as `registrar:12345`"),
        ("If-Match" = Option<String>, Header, description = "Version of the entry for which the change is meant"),
    ),
    request_body(content = PasswordBody, description = "Optional: without it, a password is generated"),
    responses((status = 200, description = "Set", body = PasswordReset, headers(("X-Audit-Id" = String))), RouteFailures)
)]
pub(crate) async fn reset(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PersonKey(key): PersonKey,
    if_match: IfMatch,
    OptionalJsonBody(body): OptionalJsonBody<PasswordBody>,
) -> Result<impl IntoResponse, Problem> {
    let desk = shared.desk.clone();
    let generate = body.password.is_none();
    let wanted = body.password.map(Secret::new);
    let StoredPassword { password, audit_id, .. } =
        to_its_end(async move { desk.reset_password(&principal, target(&key, if_match), wanted).await }).await?;
    let password = generate.then(|| password.reveal().to_owned());
    Ok(audited(&audit_id.clone(), Json(PasswordReset { password, audit_id })))
}
