//! `/metrics`, `/readyz`, `/livez`: for the machine that watches this one. No names, no addresses.

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use provost_view::View;
use serde_json::json;

/// `/metrics`, `/readyz`, `/livez`.
///
/// Ready means that the View was complete once; that it is current is reported and not required, as the mail core runs on
/// from its snapshot while the directory is down.
pub fn health_router(view: View, metrics: PrometheusHandle) -> Router {
    Router::new()
        .route("/metrics", get(render).with_state(metrics))
        .route("/readyz", get(ready).with_state(view))
        .route("/livez", get(async || "ok\n"))
}

async fn render(State(metrics): State<PrometheusHandle>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
}

async fn ready(State(view): State<View>) -> impl IntoResponse {
    let status = view.status();
    let mut reasons = Vec::new();
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
