//! How the node does.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::failures::Failures;
use crate::problem::Problem;
use crate::shared::Shared;

/// The node and its View.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatusBody {
    /// Version of the program.
    version: &'static str,
    /// The View of the directory.
    view: ViewBody,
}

/// How fresh the View is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ViewBody {
    /// A complete state was read once.
    pub(crate) complete: bool,
    /// A live session to a ready server holds.
    pub(crate) current: bool,
    /// RFC 3339, UTC.
    pub(crate) last_contact: Option<String>,
    /// Which server it follows.
    pub(crate) source: Option<String>,
    /// People in it.
    pub(crate) people: usize,
    /// Why a refresh was parked, when one was.
    pub(crate) parked: Option<String>,
}

impl From<provost_view::Status> for ViewBody {
    fn from(status: provost_view::Status) -> Self {
        let provost_view::Status { complete, current, last_contact, source, people, parked, .. } = status;
        Self { complete, current, last_contact: last_contact.map(|time| time.to_string()), source, people, parked }
    }
}

/// Shows the version and how fresh the View is.
#[utoipa::path(
    get, operation_id = "showStatus", path = "/status", tag = "operation",
    responses((status = 200, description = "The node", body = StatusBody), Failures)
)]
pub(crate) async fn show(
    State(shared): State<Shared>,
    Extension(Caller(principal)): Extension<Caller>,
) -> Result<Json<StatusBody>, Problem> {
    let view = shared.operations.status(&principal).await?.into();
    Ok(Json(StatusBody { version: env!("CARGO_PKG_VERSION"), view }))
}
