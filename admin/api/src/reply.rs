//! Replies to changes: each carries its audit id, and a change continues when its caller disconnects.

use axum::Json;
use axum::http::{HeaderName, HeaderValue};
use axum::response::AppendHeaders;
use provost_provision::DeskError;

use crate::model::Changed;
use crate::problem::Problem;

/// The header that carries the audit id.
pub(crate) const X_AUDIT_ID: HeaderName = HeaderName::from_static("x-audit-id");

/// A reply with its audit id as a header.
pub(crate) type Audited<T> = (AppendHeaders<Vec<(HeaderName, HeaderValue)>>, T);

/// Puts `audit_id` into the header.
pub(crate) fn audited<T>(audit_id: &str, reply: T) -> Audited<T> {
    // Audit ids are ASCII, so each is a valid header value.
    let value = HeaderValue::from_str(audit_id).ok();
    (AppendHeaders(value.map(|value| (X_AUDIT_ID, value)).into_iter().collect()), reply)
}

/// The reply to a change whose only result is the audit id.
pub(crate) fn changed(audit_id: String) -> Audited<Json<Changed>> {
    audited(&audit_id.clone(), Json(Changed { audit_id }))
}

/// Runs a change in its own task. When the caller disconnects, the server drops the future of the request; the task
/// still runs the change from its first write to its last.
pub(crate) async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, DeskError>> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::spawn(change).await {
        Ok(outcome) => Ok(outcome?),
        Err(error) => Err(Problem::internal("a bug ended the change", &error)),
    }
}
