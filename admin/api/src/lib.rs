//! REST `/api/v1`: search, person, vacation, addresses, password, import. OpenAPI 3.1 is made from this code.
//! Also `/metrics` and `/readyz` of the health port.

use std::sync::Arc;

use provost_provision::Desk;
use provost_queue::Queue;
use provost_store::MessageStore;
use provost_view::View;

/// What the API works on.
#[derive(Clone)]
pub struct ApiState {
    /// The operations.
    pub desk: Desk,
    /// Mailbox facts (quota, last logins).
    pub store: Arc<dyn MessageStore>,
    /// The View, for readiness.
    pub view: View,
    /// The queue, for listing.
    pub queue: Queue,
    /// Tokens that may call: blake3 hex of each token, with its name and role.
    pub tokens: Arc<Vec<Token>>,
    /// Where uploaded plans wait for their apply.
    pub plans: std::path::PathBuf,
}

/// A bearer token known by its digest.
#[derive(Clone, Debug)]
pub struct Token {
    /// Shown in the audit.
    pub name: String,
    /// blake3 of the token, hex.
    pub digest: String,
}

/// Routes below `/api/v1`, with `/api/v1/openapi.json`.
pub fn router(state: ApiState) -> axum::Router {
    let _ = state;
    todo!("H8")
}

/// `/metrics`, `/readyz`, `/livez`.
pub fn health_router(view: View, metrics: metrics_exporter_prometheus::PrometheusHandle) -> axum::Router {
    let _ = (view, metrics);
    todo!("H8")
}
