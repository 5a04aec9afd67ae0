//! Handlers for groups and their mailing lists.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Extension, Json};

use crate::auth::Caller;
use crate::extract::{JsonBody, PathParameters};
use crate::failures::RouteFailures;
use crate::model::Changed;
use crate::model_groups::{GroupChange, GroupDetailBody, GroupList, MembersChange, MembersChanged, NewGroup};
use crate::problem::Problem;
use crate::reply::{audited, changed, to_its_end};
use crate::shared::HandlerState;

/// Lists the groups by name.
#[utoipa::path(
    get, operation_id = "listGroups", path = "/groups", tag = "groups",
    responses((status = 200, description = "The groups", body = GroupList), RouteFailures)
)]
pub(crate) async fn list(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
) -> Result<Json<GroupList>, Problem> {
    let groups = shared.desk.groups(&principal).await?;
    Ok(Json(GroupList { groups: groups.into_iter().map(Into::into).collect() }))
}

/// Creates a group, and the address of its list if one is stated.
#[utoipa::path(
    post, operation_id = "createGroup", path = "/groups", tag = "groups",
    request_body = NewGroup,
    responses((status = 201, description = "Created", body = Changed, headers(("X-Audit-Id" = String))), RouteFailures)
)]
pub(crate) async fn create(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    JsonBody(body): JsonBody<NewGroup>,
) -> Result<impl IntoResponse, Problem> {
    let (desk, NewGroup { name, address, rules }) = (shared.desk.clone(), body);
    let created = async move { desk.create_group(&principal, &name, address.as_deref(), &rules.into()).await };
    Ok((StatusCode::CREATED, changed(to_its_end(created).await?)))
}

/// Shows a group: its rules, addresses, owners and members.
#[utoipa::path(
    get, operation_id = "showGroup", path = "/groups/{name}", tag = "groups",
    params(("name" = String, Path, min_length = 1, max_length = 64, description = "Name of the group")),
    responses((status = 200, description = "The group", body = GroupDetailBody), RouteFailures)
)]
pub(crate) async fn show(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PathParameters(name): PathParameters<String>,
) -> Result<Json<GroupDetailBody>, Problem> {
    Ok(Json(shared.desk.group(&principal, &name).await?.into()))
}

/// Changes what a group does as a list. The members, owners, title and end of a class come from its source.
#[utoipa::path(
    patch, operation_id = "setGroup", path = "/groups/{name}", tag = "groups",
    params(("name" = String, Path, min_length = 1, max_length = 64, description = "Name of the group")),
    request_body = GroupChange,
    responses((status = 200, description = "Changed", body = Changed, headers(("X-Audit-Id" = String))), RouteFailures)
)]
pub(crate) async fn set(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PathParameters(name): PathParameters<String>,
    JsonBody(body): JsonBody<GroupChange>,
) -> Result<impl IntoResponse, Problem> {
    let desk = shared.desk.clone();
    let set = async move { desk.set_group(&principal, &name, &body.into()).await };
    Ok(changed(to_its_end(set).await?))
}

/// Deletes a group; the addresses of its list go into quarantine.
#[utoipa::path(
    delete, operation_id = "deleteGroup", path = "/groups/{name}", tag = "groups",
    params(("name" = String, Path, min_length = 1, max_length = 64, description = "Name of the group")),
    responses((status = 200, description = "Deleted", body = Changed, headers(("X-Audit-Id" = String))), RouteFailures)
)]
pub(crate) async fn delete(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PathParameters(name): PathParameters<String>,
) -> Result<impl IntoResponse, Problem> {
    let desk = shared.desk.clone();
    let deleted = async move { desk.delete_group(&principal, &name).await };
    Ok(changed(to_its_end(deleted).await?))
}

/// Adds and removes direct members.
#[utoipa::path(
    patch, operation_id = "changeMembers", path = "/groups/{name}/members", tag = "groups",
    params(("name" = String, Path, min_length = 1, max_length = 64, description = "Name of the group")),
    request_body = MembersChange,
    responses((status = 200, description = "Changed, or unchanged", body = MembersChanged, headers(("X-Audit-Id" = String))), RouteFailures)
)]
pub(crate) async fn change_members(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PathParameters(name): PathParameters<String>,
    JsonBody(body): JsonBody<MembersChange>,
) -> Result<impl IntoResponse, Problem> {
    let desk = shared.desk.clone();
    let change = async move { desk.change_members(&principal, &name, &body.add, &body.remove).await };
    Ok(match to_its_end(change).await? {
        Some(id) => audited(&id.clone(), Json(MembersChanged { audit_id: Some(id) })).into_response(),
        None => Json(MembersChanged { audit_id: None }).into_response(),
    })
}
