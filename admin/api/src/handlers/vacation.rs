//! Handlers for setting and clearing a vacation rule.

use axum::Extension;
use axum::extract::State;
use axum::response::IntoResponse;

use crate::auth::Caller;
use crate::extract::{IfMatch, JsonBody, PersonKey, target};
use crate::failures::RouteFailures;
use crate::model::{Changed, VacationBody};
use crate::problem::Problem;
use crate::reply::{changed, to_its_end};
use crate::shared::HandlerState;

/// Sets the vacation rule and replaces an existing one.
#[utoipa::path(
    put, operation_id = "setVacation", path = "/people/{key}/vacation", tag = "vacation",
    params(
        ("key" = String, Path, min_length = 1, max_length = 320, description = "provostPersonId, login, address, full name, or number in a source such as `registrar:12345`"),
        ("If-Match" = Option<String>, Header, description = "Version of the entry for which the change is meant"),
    ),
    request_body = VacationBody,
    responses((status = 200, description = "Set", body = Changed, headers(("X-Audit-Id" = String))), RouteFailures)
)]
pub(crate) async fn set(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PersonKey(key): PersonKey,
    if_match: IfMatch,
    JsonBody(body): JsonBody<VacationBody>,
) -> Result<impl IntoResponse, Problem> {
    let desk = shared.desk.clone();
    let audit_id =
        to_its_end(async move { desk.set_vacation(&principal, target(&key, if_match), body.into()).await }).await?;
    Ok(changed(audit_id))
}

/// Clears the vacation rule; clearing an absent rule succeeds.
#[utoipa::path(
    delete, operation_id = "clearVacation", path = "/people/{key}/vacation", tag = "vacation",
    params(
        ("key" = String, Path, min_length = 1, max_length = 320, description = "provostPersonId, login, address, full name, or number in a source such as `registrar:12345`"),
        ("If-Match" = Option<String>, Header, description = "Version of the entry for which the change is meant"),
    ),
    responses((status = 200, description = "Cleared", body = Changed, headers(("X-Audit-Id" = String))), RouteFailures)
)]
pub(crate) async fn clear(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PersonKey(key): PersonKey,
    if_match: IfMatch,
) -> Result<impl IntoResponse, Problem> {
    let desk = shared.desk.clone();
    let audit_id = to_its_end(async move { desk.clear_vacation(&principal, target(&key, if_match)).await }).await?;
    Ok(changed(audit_id))
}
