//! The routes, the layers around them, and the OpenAPI document.

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, MatchedPath, Path, Request};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::auth::{TokenCheck, require_token};
use crate::handlers::{
    access, activation, addresses, groups, imports, jobs, messages, password, people, plans, queue, settings, sources,
    status, vacation,
};
use crate::problem::{Problem, ProblemKind, explanation};
use crate::shared::{ApiState, HandlerState};

/// Largest JSON body, in octets: room for two vacation texts of 10,000 characters, even if every character is escaped.
pub const API_BODY_OCTETS_MAX: usize = 256 * 1024;
/// Largest import file, in octets: twelve times the size of a file with 35,500 rows (5 MiB).
pub const CSV_OCTETS_MAX: usize = 64 * 1024 * 1024;
/// Longest time for a request, including the arrival of its body, the wait for a turn, and `?wait=60`.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(120);

/// The OpenAPI document without its paths, which the routes add.
#[derive(OpenApi)]
#[openapi(
    info(title = "Provost", description = "Directory-driven mail: people, addresses, vacation rules, passwords and imports."),
    modifiers(&BearerToken),
    security(("token" = [])),
    components(schemas(Problem)),
    tags(
        (name = "people", description = "Find people and show one"),
        (name = "addresses", description = "Aliases"),
        (name = "vacation", description = "Vacation rules"),
        (name = "access", description = "Locks, closed accounts, forwardings and quotas"),
        (name = "password", description = "Passwords and activation links"),
        (name = "groups", description = "Groups and their mailing lists"),
        (name = "imports", description = "Registrar files: plan, then apply; plans that the guard stopped"),
        (name = "operation", description = "The node's state, its queue and messages, and the settings that all nodes share"),
    )
)]
struct Document;

struct BearerToken;

impl utoipa::Modify for BearerToken {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme =
            HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A token of this site")).build();
        document.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// Routes below `/api/v1`, with `/api/v1/openapi.json`. The router has no fallback outside `/api/v1`, so that it can be
/// merged with the web pages.
pub fn router(state: ApiState) -> Router {
    let check = TokenCheck { tokens: state.tokens.clone(), view: state.view.clone() };
    let shared = HandlerState::new(state);
    let (guarded, document) = api_routes().with_state(shared).split_for_parts();
    let guarded = guarded
        .route("/api/v1", any(no_such_path))
        .route("/api/v1/{*rest}", any(no_such_path))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(API_BODY_OCTETS_MAX))
        .layer(from_fn_with_state(check, require_token));
    // Serialise the document once: that takes 10 ms, and any visitor may request it. It needs no token, nor do the
    // pages of the problem kinds: both are public in the source.
    let document = Bytes::from(serde_json::to_vec(&document).unwrap_or_default());
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    let open = Router::new()
        .route("/api/v1/openapi.json", get(move || std::future::ready((json, document))))
        .route("/api/v1/problems/{name}", get(problem_kind))
        .method_not_allowed_fallback(method_not_allowed);
    guarded.merge(open).layer(from_fn(limit_and_measure))
}

fn api_routes() -> OpenApiRouter<HandlerState> {
    let routes = OpenApiRouter::new()
        .routes(routes!(people::search))
        .routes(routes!(people::show))
        .routes(routes!(people::history))
        .routes(routes!(vacation::set, vacation::clear))
        .routes(routes!(access::suspend))
        .routes(routes!(access::release))
        .routes(routes!(access::close))
        .routes(routes!(access::restore))
        .routes(routes!(access::set_forwarding, access::clear_forwarding))
        .routes(routes!(access::set_quota, access::clear_quota))
        .routes(routes!(addresses::list, addresses::add))
        .routes(routes!(addresses::remove))
        .routes(routes!(password::reset))
        .routes(routes!(activation::send))
        .routes(routes!(imports::upload).layer(DefaultBodyLimit::max(CSV_OCTETS_MAX)))
        .routes(routes!(imports::show))
        .routes(routes!(imports::apply))
        .routes(routes!(plans::list))
        .routes(routes!(plans::show))
        .routes(routes!(plans::override_guard))
        .routes(routes!(groups::list, groups::create))
        .routes(routes!(groups::show, groups::set, groups::delete))
        .routes(routes!(groups::change_members))
        .routes(routes!(jobs::show))
        .routes(routes!(queue::list))
        .routes(routes!(messages::find))
        .routes(routes!(sources::list))
        .routes(routes!(sources::show, sources::set, sources::remove))
        .routes(routes!(settings::list))
        .routes(routes!(settings::show, settings::set, settings::clear))
        .routes(routes!(status::show));
    OpenApiRouter::with_openapi(Document::openapi()).nest("/api/v1", routes)
}

/// Enforces the time limit, records the metrics, and adds the headers that every reply has.
async fn limit_and_measure(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = method_label(request.method());
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let mut reply = match tokio::time::timeout(REQUEST_TIME_MAX, next.run(request)).await {
        Ok(reply) => reply,
        Err(_) => Problem::new(ProblemKind::Timeout, "the request took too long").into_response(),
    };
    let status = reply.status().as_u16().to_string();
    metrics::counter!("provost_api_requests_total", "method" => method, "path" => path, "status" => status)
        .increment(1);
    metrics::histogram!("provost_api_request_duration_seconds").record(start.elapsed());
    let headers = reply.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

/// The metric's label for a method: unknown methods share one, so that a client cannot create new series.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

async fn no_such_path() -> Problem {
    Problem::new(ProblemKind::NotFound, "there is no such path; see /api/v1/openapi.json")
}

async fn method_not_allowed() -> Problem {
    Problem::new(ProblemKind::MethodNotAllowed, "this path does not accept this method; see /api/v1/openapi.json")
}

async fn problem_kind(Path(name): Path<String>) -> Response {
    match explanation(&name) {
        Some(text) => (StatusCode::OK, text).into_response(),
        None => Problem::new(ProblemKind::NotFound, "there is no such kind of problem").into_response(),
    }
}
