//! Handler for the state of the node.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::failures::RouteFailures;
use crate::problem::Problem;
use crate::shared::HandlerState;

/// Version of the node, and the state of its View.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatusBody {
    /// Version of the program.
    version: &'static str,
    /// The View of the directory.
    view: ViewBody,
}

/// State of the View.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ViewBody {
    /// Whether a complete state was ever read, now or before a restart.
    pub(crate) complete: bool,
    /// Whether the View follows a directory server. While it does, an entry missing from the View does not exist.
    pub(crate) current: bool,
    /// Time of the last contact with the directory: RFC 3339, UTC.
    pub(crate) last_contact: Option<String>,
    /// The server that the View follows.
    pub(crate) source: Option<String>,
    /// Number of people in the View.
    pub(crate) people: usize,
    /// Why the last refresh or removal is parked: it would remove too many entries.
    pub(crate) parked: Option<String>,
}

impl From<provost_view::ViewStatus> for ViewBody {
    fn from(status: provost_view::ViewStatus) -> Self {
        let provost_view::ViewStatus { complete, current, last_contact, source, people, parked, .. } = status;
        Self { complete, current, last_contact: last_contact.map(|time| time.to_string()), source, people, parked }
    }
}

/// Shows the version and the state of the View.
#[utoipa::path(
    get, operation_id = "showStatus", path = "/status", tag = "operation",
    responses((status = 200, description = "The node", body = StatusBody), RouteFailures)
)]
pub(crate) async fn show(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
) -> Result<Json<StatusBody>, Problem> {
    let view = shared.operations.status(&principal).await?.into();
    Ok(Json(StatusBody { version: env!("CARGO_PKG_VERSION"), view }))
}
