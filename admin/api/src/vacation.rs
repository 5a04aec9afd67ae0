//! Setting and clearing a vacation rule.

use axum::Extension;
use axum::extract::State;
use axum::response::IntoResponse;

use crate::Shared;
use crate::auth::Caller;
use crate::extract::{IfMatch, JsonBody, Key};
use crate::model::{Changed, VacationBody};
use crate::openapi::Failures;
use crate::people::{changed, check_version, to_its_end};
use crate::problem::Problem;

/// Sets the vacation rule, in place of the one there is.
#[utoipa::path(
    put, operation_id = "setVacation", path = "/people/{key}/vacation", tag = "vacation",
    params(
        ("key" = String, Path, min_length = 1, max_length = 320, description = "Id, login, address or source id"),
        ("If-Match" = Option<String>, Header, description = "Version of the entry for which the change is meant"),
    ),
    request_body = VacationBody,
    responses((status = 200, description = "Set", body = Changed, headers(("X-Audit-Id" = String))), Failures)
)]
pub(crate) async fn set(
    State(shared): State<Shared>,
    Extension(Caller(actor)): Extension<Caller>,
    Key(key): Key,
    if_match: IfMatch,
    JsonBody(body): JsonBody<VacationBody>,
) -> Result<impl IntoResponse, Problem> {
    let desk = shared.api.desk.clone();
    check_version(&desk, &key, &if_match).await?;
    let audit_id = to_its_end(async move { desk.set_vacation(&actor, &key, body.into()).await })
        .await
        .map_err(|problem| problem.under_if_match(if_match.is_given()))?;
    Ok(changed(audit_id))
}

/// Clears the vacation rule; clearing none is no error.
#[utoipa::path(
    delete, operation_id = "clearVacation", path = "/people/{key}/vacation", tag = "vacation",
    params(
        ("key" = String, Path, min_length = 1, max_length = 320, description = "Id, login, address or source id"),
        ("If-Match" = Option<String>, Header, description = "Version of the entry for which the change is meant"),
    ),
    responses((status = 200, description = "Cleared", body = Changed, headers(("X-Audit-Id" = String))), Failures)
)]
pub(crate) async fn clear(
    State(shared): State<Shared>,
    Extension(Caller(actor)): Extension<Caller>,
    Key(key): Key,
    if_match: IfMatch,
) -> Result<impl IntoResponse, Problem> {
    let desk = shared.api.desk.clone();
    check_version(&desk, &key, &if_match).await?;
    let audit_id = to_its_end(async move { desk.clear_vacation(&actor, &key).await })
        .await
        .map_err(|problem| problem.under_if_match(if_match.is_given()))?;
    Ok(changed(audit_id))
}
