//! `/metrics`, `/readyz`, `/livez` for monitoring. The answers hold no names or addresses of people.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use provost_store::MessageStore;
use provost_view::View;
use serde_json::json;

/// Longest time for all shards of the store to answer a probe.
const STORE_LIMIT: Duration = Duration::from_secs(2);

/// Names the parts of the node, such as a shard of the store, whose committer has died. The committer is the thread
/// that makes all writes of the part; only a restart of the node starts it again.
pub type DeadParts = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// Returns the current metrics in the Prometheus text format, version 0.0.4.
pub type Scrape = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = String> + Send>> + Send + Sync>;

/// The parts of the node that the probes check.
#[derive(Clone)]
pub struct ProbedParts {
    /// Shows whether the directory has been read.
    pub view: View,
    /// Shows whether every shard answers.
    pub store: Arc<dyn MessageStore>,
    /// Names the parts whose committer has died.
    pub dead: DeadParts,
}

/// `/metrics`, `/readyz`, `/livez`.
///
/// Ready means that the View has been complete once, every shard answers, and no committer has died. Whether the View
/// is current is reported but not required: mail and logins continue from the snapshot while the directory is down.
/// Alive means that no committer has died; otherwise the supervisor should restart the node.
pub fn health_router(health: ProbedParts, metrics: Scrape) -> Router {
    Router::new()
        .route("/metrics", get(render).with_state(metrics))
        .route("/readyz", get(ready).with_state(health.clone()))
        .route("/livez", get(live).with_state(health))
}

async fn live(State(health): State<ProbedParts>) -> impl IntoResponse {
    match (health.dead)() {
        dead if dead.is_empty() => (StatusCode::OK, "ok\n".to_owned()),
        dead => (StatusCode::SERVICE_UNAVAILABLE, format!("dead: {}\n", dead.join(", "))),
    }
}

async fn render(State(metrics): State<Scrape>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics().await)
}

async fn ready(State(health): State<ProbedParts>) -> impl IntoResponse {
    let status = health.view.status();
    let mut reasons: Vec<String> = (health.dead)().into_iter().map(|part| format!("{part} is dead")).collect();
    match tokio::time::timeout(STORE_LIMIT, health.store.accounts(None, 1)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => reasons.push(format!("the store cannot be read: {error}")),
        Err(_) => reasons.push("the store does not answer".to_owned()),
    }
    if !status.complete {
        reasons.push("the directory was never read completely".to_owned());
    }
    let code = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "ready": reasons.is_empty(),
        "reasons": reasons,
        "current": status.current,
        "people": status.people,
        "parked": status.parked,
    });
    (code, [(header::CACHE_CONTROL, "no-store")], Json(body))
}
