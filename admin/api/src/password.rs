//! Resetting a password.

use axum::extract::State;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use provost_view::Secret;

use crate::Shared;
use crate::auth::Caller;
use crate::extract::{IfMatch, Key, OptionalJsonBody};
use crate::model::{PasswordBody, PasswordReset};
use crate::openapi::Failures;
use crate::people::{audited, check_version, to_its_end};
use crate::problem::Problem;

/// Sets the stated password, or a generated one that the reply shows this once.
#[utoipa::path(
    post, operation_id = "resetPassword", path = "/people/{key}/password", tag = "password",
    params(
        ("key" = String, Path, min_length = 1, max_length = 320, description = "Id, login, address or source id"),
        ("If-Match" = Option<String>, Header, description = "Version of the entry for which the change is meant"),
    ),
    request_body(content = PasswordBody, description = "May be left out: the password is generated then"),
    responses((status = 200, description = "Set", body = PasswordReset, headers(("X-Audit-Id" = String))), Failures)
)]
pub(crate) async fn reset(
    State(shared): State<Shared>,
    Extension(Caller(actor)): Extension<Caller>,
    Key(key): Key,
    if_match: IfMatch,
    OptionalJsonBody(body): OptionalJsonBody<PasswordBody>,
) -> Result<impl IntoResponse, Problem> {
    let desk = shared.api.desk.clone();
    check_version(&desk, &key, &if_match).await?;
    let generate = body.password.is_none();
    let wanted = body.password.map(Secret::new);
    let (password, audit_id) = to_its_end(async move { desk.reset_password(&actor, &key, wanted).await })
        .await
        .map_err(|problem| problem.under_if_match(if_match.is_given()))?;
    let password = generate.then(|| password.reveal().to_owned());
    Ok(audited(&audit_id.clone(), Json(PasswordReset { password, audit_id })))
}
