//! Handlers for the settings that all nodes share: the values in force on this node, and changes of them.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{AppendHeaders, IntoResponse};
use axum::{Extension, Json};
use provost_provision::{DeskError, StatedSetting};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::extract::{IfMatch, JsonBody, PathParameters, target};
use crate::failures::RouteFailures;
use crate::model::Changed;
use crate::problem::Problem;
use crate::reply::{changed, to_its_end};
use crate::shared::HandlerState;

/// The settings in force on this node, and stated values that are not in force.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SettingList {
    /// Every setting that this version knows.
    settings: Vec<Setting>,
    /// Values in the directory that break their rule.
    bad: Vec<BadSetting>,
}

/// One setting with its value in force.
#[derive(Debug, Serialize, ToSchema)]
struct Setting {
    /// Name of the setting (`cn` of its entry).
    name: String,
    /// The values in force.
    values: Vec<String>,
    /// Unit of the values; empty where there is none.
    unit: String,
    /// `directory`, `last-good`, `file` or `default`.
    origin: &'static str,
    /// DN of the entry, or key of the node's file; absent for a default.
    source: Option<String>,
    /// What the setting controls.
    about: String,
    /// The rule that a value must follow.
    rule: String,
}

/// A value in the directory that is not in force.
#[derive(Debug, Serialize, ToSchema)]
struct BadSetting {
    /// Name of the setting, as the entry has it.
    name: String,
    /// DN of the entry.
    dn: String,
    /// The values that the entry states.
    values: Vec<String>,
    /// The rule that these values break.
    rule: String,
}

/// Lists the settings that all nodes share, with the values in force on this node and the origin of each.
#[utoipa::path(
    get, operation_id = "listSettings", path = "/settings", tag = "operation",
    responses((status = 200, description = "Every setting, and bad values", body = SettingList), RouteFailures)
)]
pub(crate) async fn list(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
) -> Result<Json<SettingList>, Problem> {
    let snapshot = shared.operations.settings(&principal).await?;
    let settings = snapshot.settings();
    let row = |row: provost_view::SettingRow| {
        let (origin, source) = row.origin.parts();
        let source = source.map(str::to_owned);
        Setting { name: row.name, values: row.values, unit: row.unit, origin, source, about: row.about, rule: row.rule }
    };
    let bad = |fault: &provost_view::SettingFault| {
        let fault = fault.clone();
        BadSetting { name: fault.name, dn: fault.dn, values: fault.values, rule: fault.rule }
    };
    Ok(Json(SettingList {
        settings: settings.rows().into_iter().map(row).collect(),
        bad: settings.faults().iter().map(bad).collect(),
    }))
}

/// The values that the directory states for one setting.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatedSettingBody {
    /// Name of the setting.
    name: &'static str,
    /// Values of the entry; empty when there is no entry.
    values: Vec<String>,
    /// Version of the entry, also as ETag: for `If-Match`.
    version: String,
}

/// Shows the stated values of one setting with their version. The list shows the values in force on this node.
#[utoipa::path(
    get, operation_id = "showSetting", path = "/settings/{name}", tag = "operation",
    params(("name" = String, Path, description = "Name of the setting")),
    responses(
        (status = 200, description = "The stated values", body = StatedSettingBody, headers(
            ("ETag" = String, description = "Version of the entry"))),
        RouteFailures
    )
)]
pub(crate) async fn show(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PathParameters(name): PathParameters<String>,
) -> Result<impl IntoResponse, Problem> {
    let StatedSetting { name, values, version } = shared.desk.stated_setting(&principal, &name).await?;
    let etag = HeaderValue::from_str(&format!("\"{version}\"")).ok();
    let tags = AppendHeaders(etag.map(|etag| (header::ETAG, etag)));
    Ok((tags, Json(StatedSettingBody { name, values, version })))
}

/// The new values of a setting.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettingBody {
    /// The values; most settings take one.
    #[schema(min_items = 1, max_items = 64)]
    values: Vec<String>,
}

/// Replaces the stated values of a setting; every node that follows the directory applies them at once. Values that break the setting's
/// rule are refused with that rule.
#[utoipa::path(
    put, operation_id = "setSetting", path = "/settings/{name}", tag = "operation",
    params(
        ("name" = String, Path, description = "Name of the setting"),
        ("If-Match" = Option<String>, Header, description = "Version of the entry for which the change is meant"),
    ),
    request_body = SettingBody,
    responses((status = 200, description = "Set", body = Changed, headers(("X-Audit-Id" = String))), RouteFailures)
)]
pub(crate) async fn set(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PathParameters(name): PathParameters<String>,
    if_match: IfMatch,
    JsonBody(SettingBody { values }): JsonBody<SettingBody>,
) -> Result<impl IntoResponse, Problem> {
    let desk = shared.desk.clone();
    let change = async move {
        let refused_values = |error| match error {
            // The desk names the setting, but the caller looks for the field of the body.
            DeskError::Invalid { rule, .. } => DeskError::Invalid { field: "values", rule },
            error => error,
        };
        desk.set_setting(&principal, target(&name, if_match), &values).await.map_err(refused_values)
    };
    Ok(changed(to_its_end(change).await?))
}

/// Removes the stated values of a setting, so that the node's file or the default applies again.
#[utoipa::path(
    delete, operation_id = "clearSetting", path = "/settings/{name}", tag = "operation",
    params(
        ("name" = String, Path, description = "Name of the setting"),
        ("If-Match" = Option<String>, Header, description = "Version of the entry for which the change is meant"),
    ),
    responses((status = 200, description = "Cleared", body = Changed, headers(("X-Audit-Id" = String))), RouteFailures)
)]
pub(crate) async fn clear(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PathParameters(name): PathParameters<String>,
    if_match: IfMatch,
) -> Result<impl IntoResponse, Problem> {
    let desk = shared.desk.clone();
    let audit_id = to_its_end(async move { desk.clear_setting(&principal, target(&name, if_match)).await }).await?;
    Ok(changed(audit_id))
}
