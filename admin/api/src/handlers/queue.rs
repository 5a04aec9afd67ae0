//! Handler for the list of the queue.

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::extract::QueryParameters;
use crate::failures::RouteFailures;
use crate::model::QueuedMessage;
use crate::problem::Problem;
use crate::shared::HandlerState;

/// Maximum number of rows in one answer.
const QUEUE_MAX: usize = 1000;
/// Rows in one answer when the caller states no limit.
const QUEUE_DEFAULT: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct QueueQuery {
    limit: Option<usize>,
}

/// Rows of the queue: waiting messages, and messages that cannot be read and are therefore not sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueueList {
    /// One row for each message and destination, oldest first.
    messages: Vec<QueuedMessage>,
}

/// Lists the queue, oldest first.
#[utoipa::path(
    get, operation_id = "listQueue", path = "/queue", tag = "operation",
    params(("limit" = Option<usize>, Query, description = "Maximum number of rows, 1 to 1000; 100 by default", minimum = 1, maximum = 1000)),
    responses((status = 200, description = "The rows of the queue", body = QueueList), RouteFailures)
)]
pub(crate) async fn list(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    QueryParameters(query): QueryParameters<QueueQuery>,
) -> Result<Json<QueueList>, Problem> {
    let limit = query.limit.unwrap_or(QUEUE_DEFAULT);
    if !(1..=QUEUE_MAX).contains(&limit) {
        return Err(Problem::invalid("?limit", format!("1 to {QUEUE_MAX}")));
    }
    let items = shared.operations.queue(&principal, limit).await?;
    Ok(Json(QueueList { messages: items.into_iter().map(Into::into).collect() }))
}
