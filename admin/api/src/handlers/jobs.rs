//! Handler for running and finished applies.

use axum::extract::State;
use axum::{Extension, Json};
use jiff::Timestamp;
use uuid::Uuid;

use crate::auth::Caller;
use crate::extract::PathParameters;
use crate::failures::RouteFailures;
use crate::jobs::Job;
use crate::problem::{Problem, ProblemKind};
use crate::shared::HandlerState;

/// Shows a job and its progress.
#[utoipa::path(
    get, operation_id = "showJob", path = "/jobs/{id}", tag = "imports",
    params(("id" = String, Path, format = "uuid", description = "Id of the job")),
    responses((status = 200, description = "The job", body = Job), RouteFailures)
)]
pub(crate) async fn show(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PathParameters(id): PathParameters<Uuid>,
) -> Result<Json<Job>, Problem> {
    match shared.operations.job(&principal, id, Timestamp::now()).await? {
        Some(job) => Ok(Json(job)),
        None => Err(Problem::new(ProblemKind::NotFound, "the job does not exist or was removed")),
    }
}
