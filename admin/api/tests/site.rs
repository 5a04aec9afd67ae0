//! The API on a whole site: embedded directory, imported people, memory store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by a panic.

#[path = "support/site.rs"]
mod site;
mod support;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use provost_api::{ApiState, Token, router};
use provost_delivery::Delivery;
use provost_provision::Journals;
use provost_queue::{Queue, QueueConfig};
use provost_store::MemoryStore;
use serde_json::{Value, json};
use site::{HEADER, Site};
use support::{Reply, send};

const TOKEN: &str = "a-token-of-the-tests";

fn api(site: &Site) -> Router {
    let store = support::store();
    let delivery = Delivery { view: site.view.clone(), store: store.clone(), hostname: "mx".into() };
    let config = QueueConfig { concurrency: 1 };
    router(ApiState {
        desk: site.desk.clone(),
        store,
        view: site.view.clone(),
        queue: Queue::new(Arc::new(MemoryStore::default()), delivery, None, config),
        tokens: Arc::new(vec![Token {
            name: "tests".into(),
            digest: blake3::hash(TOKEN.as_bytes()).to_hex().to_string(),
        }]),
        plans: site.folder.path().join("plans"),
        journals: Journals::new(site.folder.path().join("journal")),
    })
}

async fn call(api: &Router, method: Method, path: &str, if_match: &str, body: Value) -> Reply {
    let mut request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {TOKEN}"));
    if !if_match.is_empty() {
        request = request.header("if-match", if_match);
    }
    let body = if body.is_null() {
        Body::empty()
    } else {
        request = request.header("content-type", "application/json");
        Body::from(body.to_string())
    };
    send(api, request.body(body).unwrap()).await
}

async fn get(api: &Router, path: &str) -> Reply {
    call(api, Method::GET, path, "", Value::Null).await
}

async fn upload(api: &Router, query: &str, csv: impl Into<Body>) -> Reply {
    let request = Request::post(format!("/api/v1/imports{query}"))
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("content-type", "text/csv");
    send(api, request.body(csv.into()).unwrap()).await
}

#[tokio::test]
async fn finds_and_shows_people() {
    let site = Site::start().await;
    let api = api(&site);
    let found = get(&api, "/api/v1/people?q=zoe%20trem").await.json();
    assert_eq!(found["people"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found["people"][0]["mail"], "zoe.tremblay@example.edu");
    let all = get(&api, "/api/v1/people?q=example&limit=1").await;
    assert_eq!(all.status, 200, "{}", all.text);
    let id = found["people"][0]["id"].as_str().unwrap();
    for key in [id, "zoe.tremblay", "zoe.tremblay@example.edu", "registrar:1001"] {
        let reply = get(&api, &format!("/api/v1/people/{key}")).await;
        assert_eq!(reply.status, 200, "{key}: {}", reply.text);
        let person = reply.json();
        assert_eq!(person["id"], id);
        assert_eq!(reply.header("etag"), format!("\"{}\"", person["version"].as_str().unwrap()));
        assert_eq!(reply.header("x-audit-id"), person["audit_id"].as_str().unwrap());
        assert_eq!(person["mailbox"]["octets_used"], 0);
        assert!(!reply.text.contains("correct horse") && !reply.text.contains("SSHA"), "no secret is shown");
    }
    let dn = get(&api, "/api/v1/people/zoe.tremblay").await.json()["dn"].as_str().unwrap().to_owned();
    let looks = site.desk.audit.about(&dn, 10).await.unwrap();
    assert!(
        looks
            .iter()
            .any(|r| (r.action.as_str(), r.actor.as_str(), r.via.as_str()) == ("person.view", "token:tests", "api"))
    );
    assert_eq!(get(&api, "/api/v1/people/nobody").await.status, 404);
}

#[tokio::test]
async fn sets_and_clears_a_vacation_under_its_version() {
    let site = Site::start().await;
    let api = api(&site);
    let path = "/api/v1/people/zoe.tremblay/vacation";
    let body = json!({"start": "2026-12-20", "end": "2027-01-05", "text_fr": "Je suis absente.", "subject_fr": "Absence", "interval_days": 3});
    let version = get(&api, "/api/v1/people/zoe.tremblay").await.header("etag").to_owned();
    let reply = call(&api, Method::PUT, path, "\"stale\"", body.clone()).await;
    assert_eq!(reply.status, 412, "{}", reply.text);
    let reply = call(&api, Method::PUT, path, &version, body.clone()).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.header("x-audit-id"), reply.json()["audit_id"].as_str().unwrap());
    let person = get(&api, "/api/v1/people/zoe.tremblay").await.json();
    for (field, value) in body.as_object().unwrap() {
        assert_eq!(&person["vacation"][field], value, "{field}");
    }
    assert_eq!(call(&api, Method::PUT, path, &version, body).await.status, 412, "the version has moved on");
    let wrong =
        call(&api, Method::PUT, path, "", json!({"start": "2026-12-20", "end": "2026-12-19", "text_fr": "x"})).await;
    assert_eq!(wrong.status, 422, "{}", wrong.text);
    assert!(wrong.json()["errors"][0]["pointer"].as_str().unwrap().starts_with('/'));
    assert_eq!(call(&api, Method::DELETE, path, "", Value::Null).await.status, 200);
    assert_eq!(get(&api, "/api/v1/people/zoe.tremblay").await.json()["vacation"], Value::Null);
    assert_eq!(call(&api, Method::DELETE, path, "", Value::Null).await.status, 200, "clearing none is no error");
}

#[tokio::test]
async fn gives_and_takes_an_alias() {
    let site = Site::start().await;
    let api = api(&site);
    let path = "/api/v1/people/zoe.tremblay/addresses";
    let reply = call(&api, Method::POST, path, "", json!({"address": "Zoe.T@example.edu"})).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    assert!(!reply.header("x-audit-id").is_empty());
    let location = reply.header("location").to_owned();
    let listed = get(&api, path).await.json();
    let kinds: Vec<_> = listed["addresses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (a["address"].as_str().unwrap(), a["kind"].as_str().unwrap()))
        .collect();
    assert_eq!(kinds, [("zoe.tremblay@example.edu", "primary"), ("zoe.t@example.edu", "alias")]);
    let taken =
        call(&api, Method::POST, "/api/v1/people/helen.desk/addresses", "", json!({"address": "zoe.t@example.edu"}))
            .await;
    assert_eq!(taken.status, 409, "{}", taken.text);
    let wrong = call(&api, Method::POST, path, "", json!({"address": "no address"})).await;
    assert_eq!(
        (wrong.status.as_u16(), wrong.json()["errors"][0]["pointer"].clone()),
        (422, "/address".into()),
        "{}",
        wrong.text
    );
    assert_eq!(call(&api, Method::DELETE, &location, "", Value::Null).await.status, 200);
    assert_eq!(call(&api, Method::DELETE, &location, "", Value::Null).await.status, 404);
    let primary = call(&api, Method::DELETE, &format!("{path}/zoe.tremblay@example.edu"), "", Value::Null).await;
    assert_eq!(primary.status.as_u16() / 10, 42, "the primary one is refused: {} {}", primary.status, primary.text);
}

#[tokio::test]
async fn resets_a_password() {
    let site = Site::start().await;
    let api = api(&site);
    let path = "/api/v1/people/zoe.tremblay/password";
    let stated = call(&api, Method::POST, path, "", json!({"password": "a long enough one"})).await;
    assert_eq!((stated.status.as_u16(), stated.json().get("password")), (200, None), "a stated one is not said again");
    let generated = call(&api, Method::POST, path, "", Value::Null).await;
    assert_eq!(generated.status, 200, "{}", generated.text);
    let password = generated.json()["password"].as_str().unwrap().to_owned();
    assert!(password.len() >= 10, "{password}");
    let dn = get(&api, "/api/v1/people/zoe.tremblay").await.json()["dn"].as_str().unwrap().to_owned();
    site.desk.directory.bind(&dn.parse_dn(), &password).await.unwrap();
    let audit = std::fs::read_to_string(site.folder.path().join("audit.jsonl")).unwrap();
    assert!(!audit.contains(&password) && !audit.contains("a long enough one"), "no secret in the audit");
}

trait ParseDn {
    fn parse_dn(&self) -> provost_entry::Dn;
}

impl ParseDn for String {
    fn parse_dn(&self) -> provost_entry::Dn {
        provost_entry::Dn::parse(self).unwrap()
    }
}

#[tokio::test]
async fn plans_and_applies_a_file() {
    let site = Site::start().await;
    let api = api(&site);
    let csv = format!(
        "{HEADER}2001,Ana,Nova,,,student,,,,a first password\n2002,,,,,student,,,,\n2003,Ida,Berg,,,wizard,,,,\n"
    );
    let reply = upload(&api, "", csv).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    let import = reply.json();
    assert_eq!(reply.header("location"), format!("/api/v1/imports/{}", import["id"].as_str().unwrap()));
    assert_eq!((&import["summary"]["create"], &import["summary"]["rejected"]), (&json!(1), &json!(2)), "{import}");
    assert_eq!(import["rejected"][0]["line"], 3);
    let change = &import["changes"][0];
    assert!(change["what"].as_str().unwrap().contains("ana.nova@example.edu"), "{import}");
    assert_eq!(change["reason"]["rule"], "person.unknown");
    let sn = json!({ "attribute": "sn", "before": [], "after": ["Nova"], "rule": "column.family_name" });
    assert!(change["attributes"].as_array().unwrap().contains(&sn), "{import}");
    assert!(!reply.text.contains("a first password"));
    assert_eq!(get(&api, "/api/v1/people/ana.nova").await.status, 404, "nothing is changed by a plan");

    let path = format!("/api/v1/imports/{}", import["id"].as_str().unwrap());
    assert_eq!(get(&api, &path).await.json()["hash"], import["hash"], "the same plan, made again");
    let apply = format!("{path}/apply");
    let other = call(&api, Method::POST, &apply, "", json!({"hash": "0".repeat(64)})).await;
    assert_eq!((other.status.as_u16(), &other.json()["hash"]), (409, &import["hash"]), "the hash of now is told");
    let done = call(&api, Method::POST, &format!("{apply}?wait=60"), "", json!({"hash": import["hash"]})).await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert_eq!(
        (&done.json()["state"], &done.json()["outcomes"]["applied"]),
        (&json!("done"), &json!(1)),
        "{}",
        done.text
    );
    assert_eq!(get(&api, done.header("location")).await.json(), done.json());
    assert_eq!(get(&api, "/api/v1/people/ana.nova").await.status, 200);
    assert_eq!(get(&api, &path).await.status, 404, "the file of an applied import is gone");
    assert_eq!(std::fs::read_dir(site.folder.path().join("plans")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_plan_that_has_changed_is_not_applied_and_a_job_tells_its_end() {
    let site = Site::start().await;
    let api = api(&site);
    let (first, second) =
        (format!("{HEADER}3001,Ana,Nova,,,student,,,,\n"), format!("{HEADER}3001,Ana,Nova,,,staff,,,,\n"));
    let plan = async |csv: &str| upload(&api, "?separator=comma&encoding=utf-8", csv.to_owned()).await.json();
    let (one, two) = (plan(&first).await, plan(&second).await);
    let path = |import: &Value| format!("/api/v1/imports/{}/apply", import["id"].as_str().unwrap());
    let reply = call(&api, Method::POST, &path(&one), "", json!({"hash": one["hash"]})).await;
    assert!(matches!(reply.status.as_u16(), 200 | 202), "{}", reply.text);
    let job = reply.header("location").to_owned();
    for _ in 0..100 {
        if get(&api, &job).await.json()["state"] != "running" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(get(&api, &job).await.json()["state"], "done");
    let reply = call(&api, Method::POST, &path(&two), "", json!({"hash": two["hash"]})).await;
    assert_eq!(reply.status, 409, "{}", reply.text);
    let now = reply.json()["hash"].clone();
    let reply = call(&api, Method::POST, &format!("{}?wait=60", path(&two)), "", json!({"hash": now})).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(get(&api, "/api/v1/people/ana.nova").await.json()["affiliation"], "staff");
}
