//! Handlers for what a person may do and where their mail goes: locks, closing, forwarding, quota.

use axum::extract::State;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use jiff::Timestamp;

use crate::auth::Caller;
use crate::extract::{IfMatch, JsonBody, PathParameters, PersonKey, target};
use crate::failures::RouteFailures;
use crate::model::Changed;
use crate::model_access::{ChangeReason, ForwardingBody, NewLock, QuotaBody, Restored};
use crate::problem::Problem;
use crate::reply::{audited, changed, to_its_end};
use crate::shared::HandlerState;

/// Suspends the person by a lock: no login by any protocol, and mail is still received.
#[utoipa::path(
    post, operation_id = "addLock", path = "/people/{key}/locks", tag = "access",
    params(
        ("key" = String, Path, min_length = 1, max_length = 320, description = "provostPersonId, login, address, full name, or number in a source such as `registrar:12345`"),
        ("If-Match" = Option<String>, Header, description = "Version of the entry for which the change is meant"),
    ),
    request_body = NewLock,
    responses((status = 200, description = "Suspended", body = Changed, headers(("X-Audit-Id" = String))), RouteFailures)
)]
pub(crate) async fn suspend(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PersonKey(key): PersonKey,
    if_match: IfMatch,
    JsonBody(body): JsonBody<NewLock>,
) -> Result<impl IntoResponse, Problem> {
    let (desk, now) = (shared.desk.clone(), Timestamp::now());
    let suspended = async move { desk.suspend(&principal, target(&key, if_match), body.into(), now).await };
    Ok(changed(to_its_end(suspended).await?))
}

/// Releases a lock; all others stay.
#[utoipa::path(
    delete, operation_id = "removeLock", path = "/people/{key}/locks/{name}", tag = "access",
    params(
        ("key" = String, Path, min_length = 1, max_length = 320, description = "provostPersonId, login, address, full name, or number in a source such as `registrar:12345`"),
        ("name" = String, Path, min_length = 1, max_length = 64, description = "Name of the lock"),
        ("If-Match" = Option<String>, Header, description = "Version of the entry for which the change is meant"),
    ),
    responses((status = 200, description = "Released", body = Changed, headers(("X-Audit-Id" = String))), RouteFailures)
)]
pub(crate) async fn release(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PersonKey(key): PersonKey,
    PathParameters(path): PathParameters<(String, String)>,
    if_match: IfMatch,
) -> Result<impl IntoResponse, Problem> {
    let (desk, now) = (shared.desk.clone(), Timestamp::now());
    let released = async move { desk.release_lock(&principal, target(&key, if_match), &path.1, now).await };
    Ok(changed(to_its_end(released).await?))
}

/// Closes the account by hand, until it is restored.
#[utoipa::path(
    post, operation_id = "closeAccount", path = "/people/{key}/close", tag = "access",
    params(
        ("key" = String, Path, min_length = 1, max_length = 320, description = "provostPersonId, login, address, full name, or number in a source such as `registrar:12345`"),
        ("If-Match" = Option<String>, Header, description = "Version of the entry for which the change is meant"),
    ),
    request_body = ChangeReason,
    responses((status = 200, description = "Closed", body = Changed, headers(("X-Audit-Id" = String))), RouteFailures)
)]
pub(crate) async fn close(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PersonKey(key): PersonKey,
    if_match: IfMatch,
    JsonBody(body): JsonBody<ChangeReason>,
) -> Result<impl IntoResponse, Problem> {
    let (desk, now) = (shared.desk.clone(), Timestamp::now());
    let closed = async move { desk.close_account(&principal, target(&key, if_match), &body.reason, now).await };
    Ok(changed(to_its_end(closed).await?))
}

/// Gives an account that was closed or suspended by hand back to the lifecycle, which decides its state.
#[utoipa::path(
    post, operation_id = "restoreAccount", path = "/people/{key}/restore", tag = "access",
    params(
        ("key" = String, Path, min_length = 1, max_length = 320, description = "provostPersonId, login, address, full name, or number in a source such as `registrar:12345`"),
        ("If-Match" = Option<String>, Header, description = "Version of the entry for which the change is meant"),
    ),
    request_body = ChangeReason,
    responses((status = 200, description = "Restored", body = Restored, headers(("X-Audit-Id" = String))), RouteFailures)
)]
pub(crate) async fn restore(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PersonKey(key): PersonKey,
    if_match: IfMatch,
    JsonBody(body): JsonBody<ChangeReason>,
) -> Result<impl IntoResponse, Problem> {
    let (desk, now) = (shared.desk.clone(), Timestamp::now());
    let restored = async move { desk.restore_account(&principal, target(&key, if_match), &body.reason, now).await };
    let (state, audit_id) = to_its_end(restored).await?;
    Ok(audited(&audit_id.clone(), Json(Restored { state, audit_id })))
}

/// Sets the forwarding and replaces an existing one.
#[utoipa::path(
    put, operation_id = "setForwarding", path = "/people/{key}/forwarding", tag = "access",
    params(
        ("key" = String, Path, min_length = 1, max_length = 320, description = "provostPersonId, login, address, full name, or number in a source such as `registrar:12345`"),
        ("If-Match" = Option<String>, Header, description = "Version of the entry for which the change is meant"),
    ),
    request_body = ForwardingBody,
    responses((status = 200, description = "Set", body = Changed, headers(("X-Audit-Id" = String))), RouteFailures)
)]
pub(crate) async fn set_forwarding(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PersonKey(key): PersonKey,
    if_match: IfMatch,
    JsonBody(body): JsonBody<ForwardingBody>,
) -> Result<impl IntoResponse, Problem> {
    let (desk, now) = (shared.desk.clone(), Timestamp::now());
    let set = async move { desk.set_forwarding(&principal, target(&key, if_match), body.into(), now).await };
    Ok(changed(to_its_end(set).await?))
}

/// Clears the forwarding; clearing an absent one succeeds.
#[utoipa::path(
    delete, operation_id = "clearForwarding", path = "/people/{key}/forwarding", tag = "access",
    params(
        ("key" = String, Path, min_length = 1, max_length = 320, description = "provostPersonId, login, address, full name, or number in a source such as `registrar:12345`"),
        ("If-Match" = Option<String>, Header, description = "Version of the entry for which the change is meant"),
    ),
    responses((status = 200, description = "Cleared", body = Changed, headers(("X-Audit-Id" = String))), RouteFailures)
)]
pub(crate) async fn clear_forwarding(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PersonKey(key): PersonKey,
    if_match: IfMatch,
) -> Result<impl IntoResponse, Problem> {
    let (desk, now) = (shared.desk.clone(), Timestamp::now());
    let cleared = async move { desk.clear_forwarding(&principal, target(&key, if_match), now).await };
    Ok(changed(to_its_end(cleared).await?))
}

/// Sets the person's own quota or quota class.
#[utoipa::path(
    put, operation_id = "setQuota", path = "/people/{key}/quota", tag = "access",
    params(
        ("key" = String, Path, min_length = 1, max_length = 320, description = "provostPersonId, login, address, full name, or number in a source such as `registrar:12345`"),
        ("If-Match" = Option<String>, Header, description = "Version of the entry for which the change is meant"),
    ),
    request_body = QuotaBody,
    responses((status = 200, description = "Set", body = Changed, headers(("X-Audit-Id" = String))), RouteFailures)
)]
pub(crate) async fn set_quota(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PersonKey(key): PersonKey,
    if_match: IfMatch,
    JsonBody(body): JsonBody<QuotaBody>,
) -> Result<impl IntoResponse, Problem> {
    let (desk, now) = (shared.desk.clone(), Timestamp::now());
    let set = async move { desk.set_quota(&principal, target(&key, if_match), body.into(), now).await };
    Ok(changed(to_its_end(set).await?))
}

/// Clears the person's own quota: policies, files and the affiliation decide again.
#[utoipa::path(
    delete, operation_id = "clearQuota", path = "/people/{key}/quota", tag = "access",
    params(
        ("key" = String, Path, min_length = 1, max_length = 320, description = "provostPersonId, login, address, full name, or number in a source such as `registrar:12345`"),
        ("If-Match" = Option<String>, Header, description = "Version of the entry for which the change is meant"),
    ),
    responses((status = 200, description = "Cleared", body = Changed, headers(("X-Audit-Id" = String))), RouteFailures)
)]
pub(crate) async fn clear_quota(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PersonKey(key): PersonKey,
    if_match: IfMatch,
) -> Result<impl IntoResponse, Problem> {
    let (desk, now) = (shared.desk.clone(), Timestamp::now());
    let cleared = async move { desk.clear_quota(&principal, target(&key, if_match), now).await };
    Ok(changed(to_its_end(cleared).await?))
}
