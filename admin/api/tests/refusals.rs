//! Refusals of the API as problem documents (RFC 9457), the OpenAPI document, and the health pages. No test here needs
//! a directory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by a panic.

mod support;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use provost_api::{ApiState, FixedToken, MessageTraces, Tokens, router};
use provost_delivery::Delivery;
use provost_provision::Role;
use provost_queue::{Queue, QueueConfig};
use provost_store::MemoryStore;
use support::{HttpResponse, send};

const TOKEN: &str = "a-token-of-the-tests";

fn api() -> Router {
    let state = support::state();
    let view = support::fixed_view();
    let store = support::store();
    let delivery = Delivery { view: view.clone(), store: store.clone(), hostname: "mx".into() };
    let config = QueueConfig { concurrency: 1, per_destination: 1 };
    let token =
        FixedToken { name: "tests".into(), digest: blake3::hash(TOKEN.as_bytes()), role: Role::Admin, expires: None };
    router(ApiState {
        desk: support::desk_without_directory(),
        store,
        view,
        queue: Queue::new(Arc::new(MemoryStore::default()), delivery, None, config),
        messages: MessageTraces::new(support::desk_without_directory(), "/nonexistent/trace".into()),
        tokens: Tokens::new(state.clone(), vec![token]),
        state,
        node: "node-a".into(),
    })
}

struct Call<'a>(Method, &'a str, Option<&'a str>, &'a str);

async fn call(api: &Router, Call(method, path, content_type, body): Call<'_>) -> HttpResponse {
    let mut request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {TOKEN}"));
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    send(api, request.body(Body::from(body.to_owned())).unwrap()).await
}

fn assert_problem(reply: &HttpResponse, status: u16) {
    assert_eq!(reply.status, status, "{}", reply.text);
    assert_eq!(reply.header("content-type"), "application/problem+json");
    assert_eq!(reply.header("cache-control"), "no-store");
    let body = reply.json();
    assert_eq!(body["status"], status);
    assert!(body["type"].as_str().unwrap().starts_with("/api/v1/problems/"));
    assert!(!body["title"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn known_and_unknown_paths_answer_401_without_a_valid_token() {
    let api = api();
    for authorization in [None, Some("Bearer wrong"), Some("Basic dGVzdHM6eA=="), Some("Bearer ")] {
        for path in ["/api/v1/people?q=a", "/api/v1/status", "/api/v1/nothing", "/api/v1"] {
            let mut request = Request::get(path);
            if let Some(value) = authorization {
                request = request.header("authorization", value);
            }
            let reply = send(&api, request.body(Body::empty()).unwrap()).await;
            assert_problem(&reply, 401);
            assert!(reply.header("www-authenticate").starts_with("Bearer"), "no WWW-Authenticate (RFC 9110 §11.6.1)");
        }
    }
}

#[tokio::test]
async fn every_refusal_is_a_problem() {
    let api = api();
    let json = Some("application/json");
    let long = "x".repeat(300 * 1024);
    let long_body = format!("{{\"text_fr\":\"{long}\"}}");
    let long_key = format!("/api/v1/people/{}", "k".repeat(321));
    let id = "/api/v1/imports/00000000-0000-4000-8000-000000000000";
    let apply = format!("{id}/apply");
    let apply_long = format!("{id}/apply?wait=61");
    let job = id.replace("imports", "jobs");
    for (status, pointer, case) in [
        (404, "", Call(Method::GET, "/api/v1/nothing", None, "")),
        (404, "", Call(Method::POST, "/api/v1", json, "{}")),
        (405, "", Call(Method::PATCH, "/api/v1/people/zoe", json, "{}")),
        (405, "", Call(Method::DELETE, "/api/v1/status", None, "")),
        (422, "?q", Call(Method::GET, "/api/v1/people", None, "")),
        (422, "?limit", Call(Method::GET, "/api/v1/people?q=a&limit=0", None, "")),
        (422, "?limit", Call(Method::GET, "/api/v1/people?q=a&limit=201", None, "")),
        (400, "", Call(Method::GET, "/api/v1/people?q=a&limit=x", None, "")),
        (400, "", Call(Method::GET, "/api/v1/people?q=a&surprise=1", None, "")),
        (400, "", Call(Method::GET, "/api/v1/people/%ff", None, "")),
        (404, "", Call(Method::GET, "/api/v1/people/%20", None, "")),
        (404, "", Call(Method::GET, &long_key, None, "")),
        (400, "", Call(Method::PUT, "/api/v1/people/zoe/vacation", json, "{")),
        (415, "", Call(Method::PUT, "/api/v1/people/zoe/vacation", None, "{}")),
        (415, "", Call(Method::PUT, "/api/v1/people/zoe/vacation", Some("text/plain"), "{}")),
        (422, "/start", Call(Method::PUT, "/api/v1/people/zoe/vacation", json, r#"{"start":"tomorrow"}"#)),
        (422, "/interval_days", Call(Method::PUT, "/api/v1/people/zoe/vacation", json, r#"{"interval_days":-1}"#)),
        (422, "/colour", Call(Method::PUT, "/api/v1/people/zoe/vacation", json, r#"{"colour":"red"}"#)),
        (413, "", Call(Method::PUT, "/api/v1/people/zoe/vacation", json, &long_body)),
        (422, "", Call(Method::POST, "/api/v1/people/zoe/addresses", json, "{}")),
        (415, "", Call(Method::POST, "/api/v1/people/zoe/password", None, "{}")),
        (415, "", Call(Method::POST, "/api/v1/imports", Some("multipart/form-data"), "x")),
        (422, "?encoding", Call(Method::POST, "/api/v1/imports?encoding=ebcdic", Some("text/csv"), "x")),
        (422, "?separator", Call(Method::POST, "/api/v1/imports?separator=pipe", Some("text/csv"), "x")),
        (404, "", Call(Method::GET, id, None, "")),
        (400, "", Call(Method::GET, "/api/v1/imports/..%2f..%2fetc", None, "")),
        (404, "", Call(Method::POST, &apply, json, r#"{"hash":"h"}"#)),
        (422, "?wait", Call(Method::POST, &apply_long, json, r#"{"hash":"h"}"#)),
        (404, "", Call(Method::GET, &job, None, "")),
        (400, "", Call(Method::GET, "/api/v1/plans/0123456789?from=-1", None, "")),
        (404, "", Call(Method::GET, "/api/v1/plans/..%2f..%2fetc", None, "")),
        (422, "", Call(Method::POST, "/api/v1/plans/0123456789/override", json, "{}")),
        (422, "?wait", Call(Method::POST, "/api/v1/plans/0123456789/override?wait=61", json, r#"{"reason":"r"}"#)),
        (404, "", Call(Method::POST, "/api/v1/plans/0123456789/override", json, r#"{"reason":"r"}"#)),
        (422, "?limit", Call(Method::GET, "/api/v1/queue?limit=1001", None, "")),
        (422, "?recipient", Call(Method::GET, "/api/v1/messages", None, "")),
        (422, "?sender", Call(Method::GET, "/api/v1/messages?recipient=zoe&sender=%20", None, "")),
        (404, "", Call(Method::PUT, "/api/v1/settings/no-such", json, r#"{"values":["1"]}"#)),
        (404, "", Call(Method::DELETE, "/api/v1/settings/no-such", None, "")),
        (422, "", Call(Method::PUT, "/api/v1/settings/removal-guard", json, "{}")),
        (422, "/values", Call(Method::PUT, "/api/v1/settings/removal-guard", json, r#"{"values":[]}"#)),
        (422, "/values", Call(Method::PUT, "/api/v1/settings/removal-guard", json, r#"{"values":["101"]}"#)),
        (422, "/values", Call(Method::PUT, "/api/v1/settings/removal-guard", json, r#"{"values":["1","2"]}"#)),
    ] {
        let path = case.1.to_owned();
        let reply = call(&api, case).await;
        assert_eq!(reply.status, status, "{path}: {}", reply.text);
        assert_problem(&reply, status);
        let found = reply.json()["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned();
        assert_eq!(found, pointer, "{path}: {}", reply.text);
        if status == 405 {
            assert!(!reply.header("allow").is_empty(), "{path}: no Allow (RFC 9110 §15.5.6)");
        }
    }
}

#[tokio::test]
async fn a_directory_that_cannot_answer_is_503_and_never_404() {
    let api = api();
    let json = Some("application/json");
    let csv = "person_id,given_name,family_name,birth_date,private_email,affiliation,program,start_date,end_date,password\n\
               1,Zoe,Tremblay,,,student,,,,\n";
    for case in [
        Call(Method::GET, "/api/v1/people?q=zoe", None, ""),
        Call(Method::GET, "/api/v1/people/zoe", None, ""),
        Call(Method::GET, "/api/v1/people/zoe/addresses", None, ""),
        Call(Method::PUT, "/api/v1/people/zoe/vacation", json, r#"{"text_fr":"Absente"}"#),
        Call(Method::DELETE, "/api/v1/people/zoe/vacation", None, ""),
        Call(Method::POST, "/api/v1/people/zoe/addresses", json, r#"{"address":"z@example.edu"}"#),
        Call(Method::DELETE, "/api/v1/people/zoe/addresses/z@example.edu", None, ""),
        Call(Method::POST, "/api/v1/people/zoe/password", None, ""),
        Call(Method::PUT, "/api/v1/settings/removal-guard", json, r#"{"values":["25"]}"#),
        Call(Method::DELETE, "/api/v1/settings/removal-guard", None, ""),
        Call(Method::POST, "/api/v1/imports", Some("text/csv"), csv),
    ] {
        let path = case.1.to_owned();
        let reply = call(&api, case).await;
        assert_eq!(reply.status, 503, "{path}: {}", reply.text);
        assert_problem(&reply, 503);
        assert_eq!(reply.header("retry-after"), "5");
    }
}

#[tokio::test]
async fn status_queue_and_problem_pages_need_no_directory() {
    let api = api();
    let status = call(&api, Call(Method::GET, "/api/v1/status", None, "")).await.json();
    assert_eq!((&status["view"]["complete"], &status["view"]["people"]), (&true.into(), &5.into()));
    let queue = call(&api, Call(Method::GET, "/api/v1/queue?limit=5", None, "")).await;
    assert_eq!((queue.status.as_u16(), queue.json()), (200, serde_json::json!({"messages": []})));
    let explained = send(&api, Request::get("/api/v1/problems/stale").body(Body::empty()).unwrap()).await;
    assert!(explained.text.contains("409"), "{}", explained.text);
}

#[tokio::test]
async fn the_openapi_document_describes_every_route() {
    let reply = send(&api(), Request::get("/api/v1/openapi.json").body(Body::empty()).unwrap()).await;
    let document = reply.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    let routes = [
        ("/api/v1/people", vec!["get"]),
        ("/api/v1/people/{key}", vec!["get"]),
        ("/api/v1/people/{key}/history", vec!["get"]),
        ("/api/v1/people/{key}/vacation", vec!["delete", "put"]),
        ("/api/v1/people/{key}/forwarding", vec!["delete", "put"]),
        ("/api/v1/people/{key}/quota", vec!["delete", "put"]),
        ("/api/v1/people/{key}/locks", vec!["post"]),
        ("/api/v1/people/{key}/locks/{name}", vec!["delete"]),
        ("/api/v1/people/{key}/close", vec!["post"]),
        ("/api/v1/people/{key}/restore", vec!["post"]),
        ("/api/v1/people/{key}/activation", vec!["post"]),
        ("/api/v1/people/{key}/addresses", vec!["get", "post"]),
        ("/api/v1/people/{key}/addresses/{address}", vec!["delete"]),
        ("/api/v1/people/{key}/password", vec!["post"]),
        ("/api/v1/imports", vec!["post"]),
        ("/api/v1/imports/{id}", vec!["get"]),
        ("/api/v1/imports/{id}/apply", vec!["post"]),
        ("/api/v1/plans", vec!["get"]),
        ("/api/v1/plans/{hash}", vec!["get"]),
        ("/api/v1/plans/{hash}/override", vec!["post"]),
        ("/api/v1/groups", vec!["get", "post"]),
        ("/api/v1/groups/{name}", vec!["delete", "get", "patch"]),
        ("/api/v1/groups/{name}/members", vec!["patch"]),
        ("/api/v1/jobs/{id}", vec!["get"]),
        ("/api/v1/messages", vec!["get"]),
        ("/api/v1/queue", vec!["get"]),
        ("/api/v1/sources", vec!["get"]),
        ("/api/v1/sources/{name}", vec!["delete", "get", "put"]),
        ("/api/v1/settings", vec!["get"]),
        ("/api/v1/settings/{name}", vec!["delete", "get", "put"]),
        ("/api/v1/status", vec!["get"]),
    ];
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), routes.len(), "{:?}", paths.keys().collect::<Vec<_>>());
    for (path, methods) in routes {
        let mut methods_described: Vec<_> = paths[path].as_object().unwrap().keys().collect();
        methods_described.sort();
        assert_eq!(methods_described, methods, "{path}");
        for method in methods {
            let responses = &document["paths"][path][method]["responses"];
            for failure in ["401", "403", "404", "422", "503"] {
                assert!(
                    responses[failure]["content"]["application/problem+json"].is_object(),
                    "{method} {path} lacks {failure}"
                );
            }
        }
    }
    for name in references(&document) {
        let schema = name.strip_prefix("#/components/schemas/").unwrap();
        assert!(document["components"]["schemas"][schema].is_object(), "no schema {name}");
    }
}

/// The values of all `$ref` in a document.
fn references(value: &serde_json::Value) -> Vec<String> {
    match value {
        serde_json::Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| match value.as_str() {
                Some(text) if key == "$ref" => vec![text.to_owned()],
                _ => references(value),
            })
            .collect(),
        serde_json::Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

fn health_of(view: provost_view::View, dead: &[&'static str]) -> provost_api::ProbedParts {
    let dead: Vec<String> = dead.iter().map(ToString::to_string).collect();
    provost_api::ProbedParts { view, store: support::store(), dead: std::sync::Arc::new(move || dead.clone()) }
}

fn no_metrics() -> provost_api::Scrape {
    std::sync::Arc::new(|| Box::pin(std::future::ready(String::new())))
}

/// The supervisor must restart a node whose part has died.
#[tokio::test]
async fn a_node_with_a_dead_part_is_neither_alive_nor_ready() {
    let health = health_of(support::fixed_view(), &["store shard 2"]);
    let health = provost_api::health_router(health, no_metrics());
    for (path, says) in [("/livez", "dead: store shard 2"), ("/readyz", "store shard 2 is dead")] {
        let reply = send(&health, Request::get(path).body(Body::empty()).unwrap()).await;
        assert!(reply.status == 503 && reply.text.contains(says), "{path}: {}", reply.text);
    }
}

#[tokio::test]
async fn health_is_reported_without_a_token() {
    let health = provost_api::health_router(health_of(support::fixed_view(), &[]), no_metrics());
    for (path, status) in [("/livez", 200), ("/readyz", 200), ("/metrics", 200)] {
        let reply = send(&health, Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, status, "{path}");
    }
    let ready = send(&health, Request::get("/readyz").body(Body::empty()).unwrap()).await.json();
    assert_eq!((&ready["ready"], &ready["current"]), (&true.into(), &true.into()));
}

#[tokio::test]
async fn a_view_that_was_never_complete_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let config = provost_view::ViewConfig {
        file: folder.path().join("view"),
        passwords: provost_view::PasswordSource::View,
        credential_ttl: std::time::Duration::from_secs(600),
        fallback: Default::default(),
    };
    let view = provost_view::View::start(config, support::no_directory());
    let health = provost_api::health_router(health_of(view, &[]), no_metrics());
    let reply = send(&health, Request::get("/readyz").body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.json()["ready"], false);
    assert!(!reply.json()["reasons"].as_array().unwrap().is_empty());
}
