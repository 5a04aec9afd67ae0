//! Handlers for the profiles of sources: how the files of each sender are read.

use axum::extract::State;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use provost_provision::SourceProfile;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::extract::{JsonBody, PathParameters};
use crate::failures::RouteFailures;
use crate::model::Changed;
use crate::problem::Problem;
use crate::reply::{changed, to_its_end};
use crate::shared::HandlerState;

/// The profiles that the directory holds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SourceList {
    /// One for each source with a profile.
    sources: Vec<SourceBody>,
}

/// The profile of a source.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SourceBody {
    /// Name of the source.
    name: String,
    /// Version of the profile; `null` for the built-in one.
    version: Option<u32>,
    /// `complete` or `partial`.
    coverage: &'static str,
    /// The lines of the profile: see docs/sources.md.
    lines: Vec<String>,
}

impl From<&SourceProfile> for SourceBody {
    fn from(profile: &SourceProfile) -> Self {
        Self {
            name: profile.name.clone(),
            version: profile.version,
            coverage: profile.coverage.as_str(),
            lines: profile.lines(),
        }
    }
}

/// Lists the profiles of sources.
#[utoipa::path(
    get, operation_id = "listSources", path = "/sources", tag = "imports",
    responses((status = 200, description = "The profiles", body = SourceList), RouteFailures)
)]
pub(crate) async fn list(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
) -> Result<Json<SourceList>, Problem> {
    let profiles = shared.desk.source_profiles(&principal).await?;
    Ok(Json(SourceList { sources: profiles.iter().map(Into::into).collect() }))
}

/// Shows the profile of a source; the built-in one where the directory holds none.
#[utoipa::path(
    get, operation_id = "showSource", path = "/sources/{name}", tag = "imports",
    params(("name" = String, Path, pattern = "^[a-z0-9_-]{1,32}$", description = "Name of the source")),
    responses((status = 200, description = "The profile", body = SourceBody), RouteFailures)
)]
pub(crate) async fn show(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PathParameters(name): PathParameters<String>,
) -> Result<Json<SourceBody>, Problem> {
    Ok(Json((&shared.desk.source_profile(&principal, &name).await?).into()))
}

/// The new lines of a profile.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfileBody {
    /// The lines; a line `version N` must be higher than the present version, and without it the version is counted.
    #[schema(min_items = 1, max_items = 1000)]
    profile: Vec<String>,
}

/// Writes the profile of a source. A line that breaks a rule is refused with that rule.
#[utoipa::path(
    put, operation_id = "setSource", path = "/sources/{name}", tag = "imports",
    params(("name" = String, Path, pattern = "^[a-z0-9_-]{1,32}$", description = "Name of the source")),
    request_body = ProfileBody,
    responses((status = 200, description = "Written", body = Changed, headers(("X-Audit-Id" = String))), RouteFailures)
)]
pub(crate) async fn set(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PathParameters(name): PathParameters<String>,
    JsonBody(ProfileBody { profile }): JsonBody<ProfileBody>,
) -> Result<impl IntoResponse, Problem> {
    let desk = shared.desk.clone();
    let change =
        async move { desk.set_source_profile(&principal, &name, &profile).await.map(|(_, audit_id)| audit_id) };
    Ok(changed(to_its_end(change).await?))
}

/// Removes the profile of a source, which is then read by the built-in profile.
#[utoipa::path(
    delete, operation_id = "removeSource", path = "/sources/{name}", tag = "imports",
    params(("name" = String, Path, pattern = "^[a-z0-9_-]{1,32}$", description = "Name of the source")),
    responses((status = 200, description = "Removed", body = Changed, headers(("X-Audit-Id" = String))), RouteFailures)
)]
pub(crate) async fn remove(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PathParameters(name): PathParameters<String>,
) -> Result<impl IntoResponse, Problem> {
    let desk = shared.desk.clone();
    let audit_id = to_its_end(async move { desk.remove_source_profile(&principal, &name).await }).await?;
    Ok(changed(audit_id))
}
