//! The settings that all nodes share: as they are in force on this node, and changes of them.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{AppendHeaders, IntoResponse};
use axum::{Extension, Json};
use provost_provision::{DeskError, StatedSetting};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::extract::{IfMatch, JsonBody, PathOf, target};
use crate::failures::Failures;
use crate::model::Changed;
use crate::problem::Problem;
use crate::reply::{changed, to_its_end};
use crate::shared::Shared;

/// The settings in force on this node, and what is stated and not in force.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SettingList {
    /// Every setting that this version knows.
    settings: Vec<Setting>,
    /// Values in the directory that break their rule.
    bad: Vec<BadSetting>,
}

/// One setting.
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
    /// What it decides.
    about: String,
    /// What a value must be.
    rule: String,
}

/// A value in the directory that is not in force.
#[derive(Debug, Serialize, ToSchema)]
struct BadSetting {
    /// Name of the setting, as the entry has it.
    name: String,
    /// DN of the entry.
    dn: String,
    /// What it states.
    values: Vec<String>,
    /// The rule that this breaks.
    rule: String,
}

/// Lists the settings that all nodes share, as they are in force on this node, with where each value comes from.
#[utoipa::path(
    get, operation_id = "listSettings", path = "/settings", tag = "operation",
    responses((status = 200, description = "Every setting, and bad values", body = SettingList), Failures)
)]
pub(crate) async fn list(
    State(shared): State<Shared>,
    Extension(Caller(principal)): Extension<Caller>,
) -> Result<Json<SettingList>, Problem> {
    let snapshot = shared.operations.settings(&principal).await?;
    let settings = snapshot.settings();
    let row = |row: provost_view::SettingRow| {
        let (origin, source) = row.origin.parts();
        let source = source.map(str::to_owned);
        Setting { name: row.name, values: row.values, unit: row.unit, origin, source, about: row.about, rule: row.rule }
    };
    let bad = |fault: &provost_view::Fault| {
        let fault = fault.clone();
        BadSetting { name: fault.name, dn: fault.dn, values: fault.values, rule: fault.rule }
    };
    Ok(Json(SettingList {
        settings: settings.rows().into_iter().map(row).collect(),
        bad: settings.faults().iter().map(bad).collect(),
    }))
}

/// What the directory states of one setting.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatedSettingBody {
    /// Name of the setting.
    name: &'static str,
    /// What its entry states; empty where there is none.
    values: Vec<String>,
    /// Version of the entry, also as ETag: for `If-Match`.
    version: String,
}

/// Shows what the directory states of one setting, with its version. What is in force on this node is in the list.
#[utoipa::path(
    get, operation_id = "showSetting", path = "/settings/{name}", tag = "operation",
    params(("name" = String, Path, description = "Name of the setting")),
    responses(
        (status = 200, description = "What is stated", body = StatedSettingBody, headers(
            ("ETag" = String, description = "Version of the entry"))),
        Failures
    )
)]
pub(crate) async fn show(
    State(shared): State<Shared>,
    Extension(Caller(principal)): Extension<Caller>,
    PathOf(name): PathOf<String>,
) -> Result<impl IntoResponse, Problem> {
    let StatedSetting { name, values, version } = shared.desk.stated_setting(&principal, &name).await?;
    let etag = HeaderValue::from_str(&format!("\"{version}\"")).ok();
    let tags = AppendHeaders(etag.map(|etag| (header::ETAG, etag)));
    Ok((tags, Json(StatedSettingBody { name, values, version })))
}

/// What a setting shall be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettingBody {
    /// Its values; one for most settings.
    #[schema(min_items = 1, max_items = 64)]
    values: Vec<String>,
}

/// States the values of a setting in the directory, in place of those there are; in force on every node at once. Values that
/// break the setting's rule are refused with it.
#[utoipa::path(
    put, operation_id = "setSetting", path = "/settings/{name}", tag = "operation",
    params(
        ("name" = String, Path, description = "Name of the setting"),
        ("If-Match" = Option<String>, Header, description = "Version of the entry for which the change is meant"),
    ),
    request_body = SettingBody,
    responses((status = 200, description = "Set", body = Changed, headers(("X-Audit-Id" = String))), Failures)
)]
pub(crate) async fn set(
    State(shared): State<Shared>,
    Extension(Caller(principal)): Extension<Caller>,
    PathOf(name): PathOf<String>,
    if_match: IfMatch,
    JsonBody(SettingBody { values }): JsonBody<SettingBody>,
) -> Result<impl IntoResponse, Problem> {
    let desk = shared.desk.clone();
    let change = async move {
        let refused_values = |error| match error {
            // The desk names the setting; the caller looks for the field of its body.
            DeskError::Invalid { rule, .. } => DeskError::Invalid { field: "values", rule },
            error => error,
        };
        desk.set_setting(&principal, target(&name, if_match), &values).await.map_err(refused_values)
    };
    Ok(changed(to_its_end(change).await?))
}

/// Takes what the directory states of a setting away, so that the default counts again.
#[utoipa::path(
    delete, operation_id = "clearSetting", path = "/settings/{name}", tag = "operation",
    params(
        ("name" = String, Path, description = "Name of the setting"),
        ("If-Match" = Option<String>, Header, description = "Version of the entry for which the change is meant"),
    ),
    responses((status = 200, description = "Cleared", body = Changed, headers(("X-Audit-Id" = String))), Failures)
)]
pub(crate) async fn clear(
    State(shared): State<Shared>,
    Extension(Caller(principal)): Extension<Caller>,
    PathOf(name): PathOf<String>,
    if_match: IfMatch,
) -> Result<impl IntoResponse, Problem> {
    let desk = shared.desk.clone();
    let audit_id = to_its_end(async move { desk.clear_setting(&principal, target(&name, if_match)).await }).await?;
    Ok(changed(audit_id))
}
