//! The API on a whole site: embedded directory, imported people, memory store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by a panic.

#[path = "support/site.rs"]
mod site;
mod support;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use provost_api::{ApiState, FixedToken, MessageTraces, NewToken, Tokens, ValidToken, end_abandoned_jobs, router};
use provost_delivery::Delivery;
use provost_provision::{Grant, Permission, Principal, ROLES, Role};
use provost_queue::{Queue, QueueConfig};
use provost_store::{MemoryStore, StateStore};
use serde_json::{Value, json};
use site::{HEADER, Site};
use support::{HttpResponse, send};

const TOKEN: &str = "a-token-of-the-tests";

fn api(site: &Site) -> Router {
    api_on(site, support::state())
}

/// A node of the site, on a state that other nodes may share.
fn api_on(site: &Site, state: Arc<dyn StateStore>) -> Router {
    let store = support::store();
    let delivery = Delivery { view: site.view.clone(), store: store.clone(), hostname: "mx".into() };
    let config = QueueConfig { concurrency: 1, per_destination: 1 };
    let token =
        FixedToken { name: "tests".into(), digest: blake3::hash(TOKEN.as_bytes()), role: Role::Admin, expires: None };
    router(ApiState {
        desk: site.desk.clone(),
        store,
        view: site.view.clone(),
        queue: Queue::new(Arc::new(MemoryStore::default()), delivery, None, config),
        messages: MessageTraces::new(site.desk.clone(), "/nonexistent/trace".into()),
        tokens: Tokens::new(state.clone(), vec![token]),
        state,
        node: "node-a".into(),
    })
}

async fn call(api: &Router, method: Method, path: &str, if_match: &str, body: Value) -> HttpResponse {
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

async fn get(api: &Router, path: &str) -> HttpResponse {
    call(api, Method::GET, path, "", Value::Null).await
}

async fn upload(api: &Router, query: &str, csv: impl Into<Body>) -> HttpResponse {
    let request = Request::post(format!("/api/v1/imports{query}"))
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("content-type", "text/csv");
    send(api, request.body(csv.into()).unwrap()).await
}

#[tokio::test]
async fn people_are_found_and_shown() {
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
        assert!(!reply.text.contains("correct horse") && !reply.text.contains("SSHA"), "a secret is shown");
    }
    let dn = get(&api, "/api/v1/people/zoe.tremblay").await.json()["dn"].as_str().unwrap().to_owned();
    let views = site.audit.about(&dn, 10).await.unwrap();
    assert!(
        views
            .iter()
            .any(|r| (r.action.as_str(), r.actor.as_str(), r.via.as_str()) == ("person.view", "token:tests", "api"))
    );
    assert_eq!(get(&api, "/api/v1/people/nobody").await.status, 404);
}

#[tokio::test]
async fn the_history_shows_the_changes_of_a_person() {
    let site = Site::start().await;
    let api = api(&site);
    let path = "/api/v1/people/zoe.tremblay";
    let added = call(&api, Method::POST, &format!("{path}/addresses"), "", json!({"address": "z@example.edu"})).await;
    assert_eq!(added.status, 201, "{}", added.text);
    let reply = get(&api, &format!("{path}/history")).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert!(!reply.header("x-audit-id").is_empty());
    let history = reply.json();
    let [alias, created] = &history["changes"].as_array().unwrap()[..] else { panic!("{history}") };
    assert_eq!((&alias["action"], &alias["actor"]), (&json!("address.add"), &json!("token:tests")));
    assert_eq!(alias["values"][0]["after"], json!(["z@example.edu"]));
    assert_eq!(alias["id"], added.header("x-audit-id"));
    assert_eq!((&created["action"], &created["import"]["source"]), (&json!("person.create"), &json!("registrar")));
    let values = created["values"].as_array().unwrap();
    assert!(
        values.iter().any(|value| value["attribute"] == "sn" && value["after"] == json!(["Tremblay"])),
        "{values:?}"
    );
    assert_eq!(get(&api, &format!("{path}/history?limit=1")).await.json()["changes"].as_array().unwrap().len(), 1);
    assert_eq!(get(&api, &format!("{path}/history?limit=0")).await.status, 422);
    assert_eq!(get(&api, "/api/v1/people/nobody/history").await.status, 404);
}

#[tokio::test]
async fn a_vacation_is_set_in_the_version_that_was_read_and_cleared() {
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
    assert_eq!(call(&api, Method::PUT, path, &version, body).await.status, 412, "an outdated version was accepted");
    let wrong =
        call(&api, Method::PUT, path, "", json!({"start": "2026-12-20", "end": "2026-12-19", "text_fr": "x"})).await;
    assert_eq!(wrong.status, 422, "{}", wrong.text);
    assert!(wrong.json()["errors"][0]["pointer"].as_str().unwrap().starts_with('/'));
    assert_eq!(call(&api, Method::DELETE, path, "", Value::Null).await.status, 200);
    assert_eq!(get(&api, "/api/v1/people/zoe.tremblay").await.json()["vacation"], Value::Null);
    assert_eq!(call(&api, Method::DELETE, path, "", Value::Null).await.status, 200, "the second DELETE failed");
}

#[tokio::test]
async fn locks_forwarding_and_quota_are_shown_with_who_set_them() {
    let site = Site::start().await;
    let api = api(&site);
    let at = |path: &str| format!("/api/v1/people/zoe.tremblay{path}");
    for (lock, owner) in [("abuse", json!(null)), ("fees", json!("bursar"))] {
        let body = json!({"lock": lock, "owner": owner, "reason": "see ticket 8", "until": "2100-01-01T12:00:00Z"});
        assert_eq!(call(&api, Method::POST, &at("/locks"), "", body.clone()).await.status, 200);
        assert_eq!(call(&api, Method::POST, &at("/locks"), "", body).await.status, 422, "the same lock twice");
    }
    assert_eq!(call(&api, Method::DELETE, &at("/locks/abuse"), "", Value::Null).await.status, 200);
    assert_eq!(call(&api, Method::DELETE, &at("/locks/abuse"), "", Value::Null).await.status, 404);
    let forwarding = json!({"to": ["zoe@example.net"], "start": null, "end": "2100-01-31", "keep_copy": true});
    assert_eq!(call(&api, Method::PUT, &at("/forwarding"), "", forwarding.clone()).await.status, 200);
    let to_herself = json!({"to": ["zoe.tremblay@example.edu"]});
    assert_eq!(call(&api, Method::PUT, &at("/forwarding"), "", to_herself).await.status, 422);
    let quota = json!({"class": "research", "octets": null, "until": "2100-01-31"});
    assert_eq!(call(&api, Method::PUT, &at("/quota"), "", quota.clone()).await.status, 200);
    let person = get(&api, &at("")).await.json();
    assert_eq!((&person["forwarding"], &person["quota"]), (&forwarding, &quota));
    let locks = person["locks"].as_array().unwrap();
    let fees = &locks[0];
    assert_eq!((locks.len(), &fees["lock"], &fees["owner"]), (1, &json!("fees"), &json!("bursar")));
    assert_eq!(
        (&fees["reason"], &fees["until"], &fees["stands"]),
        (&json!("see ticket 8"), &json!("2100-01-01T12:00:00Z"), &json!(true))
    );
    let by_hand: Vec<&Value> =
        person["set_by_hand"].as_array().unwrap().iter().map(|origin| &origin["attribute"]).collect();
    assert_eq!(by_hand, ["mailForwardingAddress", "provostQuotaClass"]);
    let closed = call(&api, Method::POST, &at("/close"), "", json!({"reason": "a mistake"})).await;
    assert_eq!((closed.status.as_u16(), get(&api, &at("")).await.json()["state"].clone()), (200, json!("closed")));
    let restored = call(&api, Method::POST, &at("/restore"), "", json!({"reason": "a mistake"})).await;
    assert_eq!(restored.status, 200, "{}", restored.text);
    let state = get(&api, &at("")).await.json()["state"].clone();
    assert_eq!((&state, state == "closed"), (&restored.json()["state"], false));
    assert_eq!(call(&api, Method::POST, &at("/restore"), "", json!({"reason": "again"})).await.status, 422);
}

/// One setting as `GET /settings` shows it.
async fn setting(api: &Router, name: &str) -> Value {
    let reply = get(api, "/api/v1/settings").await.json();
    reply["settings"].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone()
}

#[tokio::test]
async fn a_file_is_read_by_the_profile_of_its_source() {
    let site = Site::start().await;
    let api = api(&site);
    let path = "/api/v1/sources/hr";
    assert_eq!(get(&api, path).await.json()["version"], Value::Null);
    let lines = json!({"profile": ["format jsonl", "column person_id matricule"]});
    assert_eq!(call(&api, Method::PUT, path, "", lines.clone()).await.status, 200);
    assert_eq!(call(&api, Method::PUT, path, "", lines).await.status, 200);
    let shown = get(&api, path).await.json();
    assert_eq!((&shown["version"], &shown["coverage"]), (&json!(2), &json!("complete")), "{shown}");
    assert_eq!(get(&api, "/api/v1/sources").await.json()["sources"].as_array().unwrap().len(), 1);
    let wrong = call(&api, Method::PUT, path, "", json!({"profile": ["format xlsx"]})).await;
    assert_eq!((wrong.status.as_u16(), &wrong.json()["errors"][0]["pointer"]), (422, &json!("/profile")));

    let file = "{\"matricule\":\"5\",\"given_name\":\"Ana\",\"family_name\":\"Nova\",\"affiliation\":\"staff\",\"colour\":\"red\"}\n";
    let reply = upload(&api, "?source=hr", file.to_owned()).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    let import = reply.json();
    assert_eq!(import["summary"]["create"], 1, "{import}");
    assert_eq!(import["warnings"][0]["rule"], "header.unknown-column", "{import}");
    assert_eq!(upload(&api, "?source=No%20Name", file.to_owned()).await.status, 422);
    assert_eq!(call(&api, Method::DELETE, path, "", Value::Null).await.status, 200);
    assert_eq!(call(&api, Method::DELETE, path, "", Value::Null).await.status, 404);
}

#[tokio::test]
async fn a_group_is_made_changed_and_deleted() {
    let site = Site::start().await;
    let api = api(&site);
    let new = json!({"name": "maths", "address": "maths@example.edu", "rules": {"owners": ["zoe.tremblay"]}});
    let reply = call(&api, Method::POST, "/api/v1/groups", "", new.clone()).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    assert_eq!(site.audit.newest(1).await.unwrap().remove(0).id, reply.header("x-audit-id"));
    assert_eq!(call(&api, Method::POST, "/api/v1/groups", "", new).await.status, 409);
    let path = "/api/v1/groups/maths";
    let members = json!({"add": ["registrar:1004", "guest@far.example"], "remove": []});
    let reply = call(&api, Method::PATCH, &format!("{path}/members"), "", members.clone()).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let again = call(&api, Method::PATCH, &format!("{path}/members"), "", members).await.json();
    assert_eq!(again["audit_id"], Value::Null);
    assert_eq!(call(&api, Method::PATCH, path, "", json!({"posters": ["site"]})).await.status, 200);
    let shown = get(&api, path).await.json();
    assert_eq!((&shown["addresses"], &shown["posters"]), (&json!(["maths@example.edu"]), &json!(["site"])), "{shown}");
    assert_eq!(shown["members"].as_array().unwrap().len(), 2, "{shown}");
    assert_eq!(shown["owners"][0]["key"], "zoe.tremblay", "{shown}");
    let wrong = call(&api, Method::PATCH, path, "", json!({"filter": "(userPassword=x)"})).await;
    assert_eq!(
        (wrong.status.as_u16(), &wrong.json()["errors"][0]["pointer"]),
        (422, &json!("/filter")),
        "{}",
        wrong.text
    );
    assert_eq!(call(&api, Method::PATCH, path, "", json!({"filter": "(uid=zoe.tremblay)"})).await.status, 200);
    assert_eq!(get(&api, path).await.json()["kind"], "filter");
    assert_eq!(call(&api, Method::DELETE, path, "", Value::Null).await.status, 200);
    assert_eq!(get(&api, path).await.status, 404);
    assert!(get(&api, "/api/v1/groups").await.json()["groups"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_setting_is_set_and_cleared() {
    let site = Site::start().await;
    let api = api(&site);
    let path = "/api/v1/settings/message-size";
    assert_eq!(setting(&api, "message-size").await["origin"], "default");
    for octets in ["2000000", "3000000"] {
        let reply = call(&api, Method::PUT, path, "", json!({"values": [octets]})).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        let record = site.audit.newest(1).await.unwrap().remove(0);
        assert_eq!((record.action.as_str(), record.id.as_str()), ("setting.set", reply.header("x-audit-id")));
        until(async || setting(&api, "message-size").await["values"] == json!([octets])).await;
    }
    let row = setting(&api, "message-size").await;
    assert_eq!(
        (&row["origin"], &row["source"]),
        (&"directory".into(), &"cn=message-size,ou=services,dc=example,dc=edu".into())
    );
    assert_eq!(call(&api, Method::DELETE, path, "", Value::Null).await.status, 200);
    until(async || setting(&api, "message-size").await["origin"] == "default").await;
    assert_eq!(
        call(&api, Method::DELETE, path, "", Value::Null).await.status,
        404,
        "a setting that is not stated was cleared"
    );
}

#[tokio::test]
async fn a_setting_is_changed_in_the_version_that_was_read() {
    let site = Site::start().await;
    let api = api(&site);
    let path = "/api/v1/settings/message-size";
    let put = async |octets: &str, version: &str| {
        call(&api, Method::PUT, path, version, json!({"values": [octets]})).await.status
    };
    let read = async || {
        let reply = get(&api, path).await;
        (reply.json()["values"].clone(), reply.header("etag").to_owned())
    };
    let (values, unstated) = read().await;
    assert_eq!((values, unstated.as_str()), (json!([]), "\"unstated\""));
    assert_eq!(put("2000000", "\"20260101000000Z\"").await, 412);
    assert_eq!(put("2000000", &unstated).await, 200);
    assert_eq!(put("3000000", &unstated).await, 412);
    let (values, first) = read().await;
    assert_eq!(values, json!(["2000000"]));
    assert_eq!(put("3000000", &first).await, 200);
    assert_eq!(call(&api, Method::DELETE, path, &first, Value::Null).await.status, 412);
    assert_eq!(put("4000000", "*").await, 200);
    let (_, last) = read().await;
    assert_eq!(call(&api, Method::DELETE, path, &last, Value::Null).await.status, 200);
    assert_eq!(read().await, (json!([]), unstated));
}

/// Waits until the condition holds, at most ten seconds.
async fn until(is_so: impl AsyncFn() -> bool) {
    for _ in 0..200 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the condition did not hold within ten seconds");
}

#[tokio::test]
async fn an_alias_is_given_and_taken_away() {
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
    let conflict =
        call(&api, Method::POST, "/api/v1/people/helen.desk/addresses", "", json!({"address": "zoe.t@example.edu"}))
            .await;
    assert_eq!(conflict.status, 409, "{}", conflict.text);
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
    assert_eq!(
        primary.status.as_u16() / 10,
        42,
        "the primary address was not refused: {} {}",
        primary.status,
        primary.text
    );
}

#[tokio::test]
async fn a_password_is_reset_and_only_a_generated_one_is_shown() {
    let site = Site::start().await;
    let api = api(&site);
    let path = "/api/v1/people/zoe.tremblay/password";
    let reply = call(&api, Method::POST, path, "", json!({"password": "a long enough one"})).await;
    assert_eq!((reply.status.as_u16(), reply.json().get("password")), (200, None), "a stated password is shown");
    let generated = call(&api, Method::POST, path, "", Value::Null).await;
    assert_eq!(generated.status, 200, "{}", generated.text);
    let password = generated.json()["password"].as_str().unwrap().to_owned();
    assert!(password.len() >= 10, "{password}");
    let dn = get(&api, "/api/v1/people/zoe.tremblay").await.json()["dn"].as_str().unwrap().to_owned();
    site.directory.bind(&dn.parse_dn(), &password).await.unwrap();
    let audit = format!("{:?}", site.audit.newest(1000).await.unwrap());
    assert!(!audit.contains(&password) && !audit.contains("a long enough one"), "a password is in the audit");
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
async fn a_file_is_planned_and_applied() {
    let site = Site::start().await;
    let api = api(&site);
    let csv = format!(
        "{HEADER}2001,Ana,Nova,,,student,,,,a first password\n2002,,,,,student,,,,\n2003,Ida,Berg,,,wizard,,,,\n"
    );
    let reply = upload(&api, "?coverage=partial", csv).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    let import = reply.json();
    assert_eq!(reply.header("location"), format!("/api/v1/imports/{}", import["id"].as_str().unwrap()));
    assert_eq!((&import["summary"]["create"], &import["summary"]["rejected"]), (&json!(1), &json!(2)), "{import}");
    assert_eq!(import["rejected"][0]["line"], 3);
    let problem = &import["rejected"][2];
    assert_eq!((&problem["rule"], &problem["severity"]), (&json!("affiliation.unknown"), &json!("error")), "{import}");
    assert_eq!(import["warnings"], json!([]));
    let change = &import["changes"][0];
    assert!(change["what"].as_str().unwrap().contains("ana.nova@example.edu"), "{import}");
    assert_eq!(change["reason"]["rule"], "person.unknown");
    let sn = json!({ "attribute": "sn", "before": [], "after": ["Nova"], "rule": "column.family_name" });
    assert!(change["attributes"].as_array().unwrap().contains(&sn), "{import}");
    assert!(!reply.text.contains("a first password"));
    assert_eq!(get(&api, "/api/v1/people/ana.nova").await.status, 404, "the plan created a person");

    let path = format!("/api/v1/imports/{}", import["id"].as_str().unwrap());
    assert_eq!(get(&api, &path).await.json()["hash"], import["hash"], "the plan made again has another hash");
    let apply = format!("{path}/apply");
    let other = call(&api, Method::POST, &apply, "", json!({"hash": "0".repeat(64)})).await;
    assert_eq!(
        (other.status.as_u16(), &other.json()["hash"]),
        (409, &import["hash"]),
        "the refusal lacks the present hash"
    );
    let job = call(&api, Method::POST, &format!("{apply}?wait=60"), "", json!({"hash": import["hash"]})).await;
    assert_eq!(job.status, 200, "{}", job.text);
    assert_eq!((&job.json()["state"], &job.json()["outcomes"]["applied"]), (&json!("done"), &json!(1)), "{}", job.text);
    assert_eq!(get(&api, job.header("location")).await.json(), job.json());
    assert_eq!(get(&api, "/api/v1/people/ana.nova").await.status, 200);
    assert_eq!(get(&api, &path).await.status, 404, "the file of an applied import is still there");
}

#[tokio::test]
async fn a_plan_that_has_changed_is_not_applied_and_a_job_reports_its_end() {
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
    until(async || get(&api, &job).await.json()["state"] != "running").await;
    assert_eq!(get(&api, &job).await.json()["state"], "done");
    let reply = call(&api, Method::POST, &path(&two), "", json!({"hash": two["hash"]})).await;
    assert_eq!(reply.status, 409, "{}", reply.text);
    let now = reply.json()["hash"].clone();
    let reply = call(&api, Method::POST, &format!("{}?wait=60", path(&two)), "", json!({"hash": now})).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(get(&api, "/api/v1/people/ana.nova").await.json()["affiliation"], "staff");
}

async fn call_as(api: &Router, token: &str, method: &str, path: &str, body: Value) -> HttpResponse {
    let mut request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
    if path.ends_with("/imports") {
        request = request.header("content-type", "text/csv");
        let row = format!("{HEADER}9001,Ana,Nova,,,student,,,,\n");
        return send(api, request.body(Body::from(row)).unwrap()).await;
    }
    request = request.header("content-type", "application/json");
    send(api, request.body(Body::from(body.to_string())).unwrap()).await
}

/// A token of the role, created as `provost token create` does.
async fn token_of(site: &Site, state: &Arc<dyn StateStore>, role: Role) -> String {
    let tokens = Tokens::new(state.clone(), Vec::new());
    let now = jiff::Timestamp::now();
    let new =
        NewToken { name: role.name().into(), role, expires: now + jiff::SignedDuration::from_hours(24), person: None };
    tokens.create(&site.desk, &support::admin(), &new, now).await.unwrap().0
}

/// Each route permits exactly those roles to which the table of roles grants the operation listed here for every entry.
#[tokio::test]
async fn every_route_permits_exactly_the_roles_of_the_table() {
    use Permission as Op;
    let site = Site::start().await;
    let state = support::state();
    let api = api_on(&site, state.clone());
    let nil = "00000000-0000-4000-8000-000000000000";
    let routes = [
        ("get", "/people", "?q=zoe", json!({}), Op::SearchPeople),
        ("get", "/people/{key}", "", json!({}), Op::ViewPerson),
        ("get", "/people/{key}/history", "", json!({}), Op::ViewPerson),
        ("put", "/people/{key}/vacation", "", json!({"text_fr": "Absente"}), Op::SetVacation),
        ("delete", "/people/{key}/vacation", "", json!({}), Op::SetVacation),
        ("put", "/people/{key}/forwarding", "", json!({"to": ["z@example.net"]}), Op::SetForwarding),
        ("delete", "/people/{key}/forwarding", "", json!({}), Op::SetForwarding),
        ("put", "/people/{key}/quota", "", json!({"class": "research"}), Op::SetQuota),
        ("delete", "/people/{key}/quota", "", json!({}), Op::SetQuota),
        ("post", "/people/{key}/locks", "", json!({"lock": "default-quota", "reason": "fees"}), Op::SuspendPerson),
        ("delete", "/people/{key}/locks/{name}", "", json!({}), Op::SuspendPerson),
        ("post", "/people/{key}/close", "", json!({"reason": "a mistake"}), Op::CloseAccount),
        ("post", "/people/{key}/restore", "", json!({"reason": "a mistake"}), Op::CloseAccount),
        ("get", "/people/{key}/addresses", "", json!({}), Op::ViewPerson),
        ("post", "/people/{key}/addresses", "", json!({"address": "z@example.edu"}), Op::ChangeAddresses),
        ("delete", "/people/{key}/addresses/{address}", "", json!({}), Op::ChangeAddresses),
        ("post", "/people/{key}/password", "", json!({}), Op::ResetPassword),
        ("post", "/people/{key}/activation", "", json!({}), Op::SendActivation),
        ("post", "/imports", "", json!({}), Op::PlanImport),
        ("get", "/imports/{id}", "", json!({}), Op::ViewImports),
        ("post", "/imports/{id}/apply", "", json!({"hash": "h"}), Op::ApplyImport),
        ("get", "/plans", "", json!({}), Op::ViewImports),
        ("get", "/plans/{hash}", "", json!({}), Op::ViewImports),
        ("post", "/plans/{hash}/override", "", json!({"reason": "right"}), Op::OverrideGuard),
        ("get", "/groups", "", json!({}), Op::ViewGroups),
        ("post", "/groups", "", json!({"name": "default-quota"}), Op::ChangeGroups),
        ("get", "/groups/{name}", "", json!({}), Op::ViewGroups),
        ("patch", "/groups/{name}", "", json!({"posters": ["site"]}), Op::ChangeGroups),
        ("delete", "/groups/{name}", "", json!({}), Op::ChangeGroups),
        ("patch", "/groups/{name}/members", "", json!({"add": ["zoe.tremblay"]}), Op::ChangeGroups),
        ("get", "/jobs/{id}", "", json!({}), Op::ViewImports),
        ("get", "/messages", "?recipient=zoe.tremblay", json!({}), Op::ViewMessages),
        ("get", "/queue", "", json!({}), Op::ViewQueue),
        ("get", "/sources", "", json!({}), Op::ViewImports),
        ("get", "/sources/{name}", "", json!({}), Op::ViewImports),
        ("put", "/sources/{name}", "", json!({"profile": ["format csv"]}), Op::ChangeSettings),
        ("delete", "/sources/{name}", "", json!({}), Op::ChangeSettings),
        ("get", "/settings", "", json!({}), Op::ViewSettings),
        ("get", "/settings/{name}", "", json!({}), Op::ViewSettings),
        ("put", "/settings/{name}", "", json!({"values": ["2000000"]}), Op::ChangeSettings),
        ("delete", "/settings/{name}", "", json!({}), Op::ChangeSettings),
        ("get", "/status", "", json!({}), Op::ViewNode),
    ];
    let document = send(&api, Request::get("/api/v1/openapi.json").body(Body::empty()).unwrap()).await.json();
    let documented = document["paths"].as_object().unwrap().iter();
    let documented: usize = documented.map(|(_, methods)| methods.as_object().unwrap().len()).sum();
    assert_eq!(documented, routes.len(), "a route is missing in this table");
    for role in ROLES.into_iter().filter(|role| *role != Role::Oneself) {
        let token = token_of(&site, &state, role).await;
        for (method, path, query, body, operation) in &routes {
            assert!(document["paths"][format!("/api/v1{path}")][method].is_object(), "{method} {path}");
            // Bob has no password, which a registrar's link must not replace.
            let key = if path.ends_with("/activation") { "registrar:1004" } else { "zoe.tremblay" };
            let path = path
                .replace("{key}", key)
                .replace("{address}", "z@example.edu")
                .replace("{id}", nil)
                .replace("{hash}", nil)
                .replace("{name}", "default-quota");
            let reply =
                call_as(&api, &token, &method.to_uppercase(), &format!("/api/v1{path}{query}"), body.clone()).await;
            let may = role.grant(*operation) == Grant::Any;
            assert_eq!(reply.status != 403, may, "{role} {method} {path}: {} {}", reply.status, reply.text);
            assert!(!may || reply.status.is_success() || reply.status == 404, "{role} {path}: {}", reply.text);
        }
    }
}

/// Tokens have no route; the command line manages them.
#[tokio::test]
async fn token_operations_permit_exactly_the_roles_of_the_table() {
    let site = Site::start().await;
    let tokens = Tokens::new(support::state(), Vec::new());
    let now = jiff::Timestamp::now();
    for role in ROLES.into_iter().filter(|role| *role != Role::Oneself) {
        let who = Principal::token("t", role);
        let expires = now + jiff::SignedDuration::from_hours(1);
        let new = NewToken { name: format!("of-{role}"), role: Role::Auditor, expires, person: None };
        let created = tokens.create(&site.desk, &who, &new, now).await.is_ok();
        let listed = tokens.list(&site.desk, &who, now).await.is_ok();
        // A token that another principal created.
        let other = NewToken { name: format!("other-{role}"), ..new };
        tokens.create(&site.desk, &support::admin(), &other, now).await.unwrap();
        let revoked = tokens.revoke(&site.desk, &who, &other.name, now).await.is_ok();
        let (may_change, may_view) = (role.grant(Permission::ChangeTokens), role.grant(Permission::ViewTokens));
        assert_eq!((created, revoked), (may_change == Grant::Any, may_change == Grant::Any), "{role}");
        assert_eq!(listed, may_view == Grant::Any, "{role}");
        let valid = tokens.list(&site.desk, &support::admin(), now).await.unwrap();
        assert_eq!(valid.iter().any(|token| token.name == other.name), !revoked, "{role}");
    }
}

#[tokio::test]
async fn a_help_desk_token_cannot_reset_the_password_of_an_administrator() {
    let site = Site::start().await;
    let state = support::state();
    let api = api_on(&site, state.clone());
    for role in [Role::HelpDesk1, Role::HelpDesk2] {
        let token = token_of(&site, &state, role).await;
        let reset =
            async |who: &str| call_as(&api, &token, "POST", &format!("/api/v1/people/{who}/password"), json!({})).await;
        let refused = reset("ada.admin").await;
        assert_eq!(
            (refused.status.as_u16(), refused.json()["type"].as_str().unwrap()),
            (403, "/api/v1/problems/forbidden")
        );
        assert_eq!(reset("zoe.tremblay").await.status, 200);
        let record = site.audit.newest(2).await.unwrap().pop().unwrap();
        assert_eq!((record.action.as_str(), record.actor), ("operation.refused", format!("token:{role}")));
    }
    site.directory.bind(&dn_of(&site, "ada.admin").await, "correct horse").await.unwrap();
}

async fn dn_of(site: &Site, login: &str) -> provost_entry::Dn {
    site.desk.person(&support::admin(), login).await.unwrap().dn.parse_dn()
}

/// The token of a person counts only while the person may log in and has its role, for REST and for commands.
#[tokio::test]
async fn the_token_of_a_person_ends_with_what_the_person_may_do() {
    let site = Site::start().await;
    let state = support::state();
    let api = api_on(&site, state.clone());
    let tokens = Tokens::new(state, Vec::new());
    let now = jiff::Timestamp::now();
    let new = |name: &str, role, person: &str| NewToken {
        name: name.into(),
        role,
        expires: now + jiff::SignedDuration::from_hours(1),
        person: Some(person.to_owned()),
    };
    let create = async |new| tokens.create(&site.desk, &support::admin(), &new, now).await;
    for (role, person) in [
        (Role::Admin, "helen.desk"),
        (Role::HelpDesk1, "rita.registrar"),
        (Role::Auditor, "zoe.tremblay"),
        (Role::Auditor, "nobody"),
    ] {
        assert!(create(new("other", role, person)).await.is_err(), "{person} got a token with the role {role}");
    }
    let (token, _) = create(new("ada", Role::Postmaster, "ada.admin")).await.unwrap();
    let listed = tokens.list(&site.desk, &support::admin(), now).await.unwrap();
    assert_eq!(listed[0].person.as_deref(), Some("ada.admin"));
    let status = async || call_as(&api, &token, "GET", "/api/v1/status", json!({})).await.status.as_u16();
    let Some(ValidToken::Person(of_ada)) = tokens.find(&token, now).await.unwrap() else { panic!("no person") };
    let by_command = async || site.desk.roles_of_token_owner(of_ada.entry_uuid(), now).await.unwrap();
    assert_eq!((status().await, by_command().await), (200, Some(vec!["admin".to_owned()])));
    for (attribute, value, roles) in [
        ("provostLock", "abuse 20260101000000Z - cli:helen spam", None),
        ("provostState", "closed", None),
        ("provostRestriction", "no-login", None),
        ("provostRole", "helpdesk", Some(vec!["helpdesk".to_owned()])),
    ] {
        site::give(&site.directory, "ada.admin", attribute, value).await;
        until(async || status().await == 401).await;
        let held = by_command().await;
        assert!(held.iter().all(|held| of_ada.principal(held.iter().map(String::as_str)).is_none()));
        assert_eq!(held, roles, "{attribute}");
        let before = if attribute == "provostRole" { "admin" } else { "" };
        site::give(&site.directory, "ada.admin", attribute, before).await;
        until(async || status().await == 200).await;
    }
}

#[tokio::test]
async fn a_token_is_refused_when_it_expires_and_at_once_when_revoked() {
    let site = Site::start().await;
    let state = support::state();
    let (one, two) = (api_on(&site, state.clone()), api_on(&site, state.clone()));
    let tokens = Tokens::new(state.clone(), Vec::new());
    let token = token_of(&site, &state, Role::Auditor).await;
    let status = async |api: &Router, token: &str| call_as(api, token, "GET", "/api/v1/status", json!({})).await.status;
    for api in [&one, &two] {
        assert_eq!(status(api, &token).await, 200);
        for wrong in [token.replace("auditor.", "admin."), format!("{token}0"), "auditor.".into(), "auditor".into()] {
            assert_eq!(status(api, &wrong).await, 401, "{wrong}");
        }
    }
    let now = jiff::Timestamp::now();
    let again = NewToken {
        name: "auditor".into(),
        role: Role::Admin,
        expires: now + jiff::SignedDuration::from_hours(1),
        person: None,
    };
    assert!(tokens.create(&site.desk, &support::admin(), &again, now).await.is_err(), "a second token got the name");
    let later = now + jiff::SignedDuration::from_hours(24);
    assert!(tokens.find(&token, now).await.unwrap().is_some());
    assert!(tokens.find(&token, later).await.unwrap().is_none(), "an expired token is valid");
    let valid = tokens.list(&site.desk, &support::admin(), now).await.unwrap();
    assert_eq!((valid.len(), valid[0].name.as_str(), valid[0].created_by.as_str()), (1, "auditor", "cli:test"));
    tokens.revoke(&site.desk, &support::admin(), "auditor", now).await.unwrap();
    for api in [&one, &two] {
        assert_eq!(status(api, &token).await, 401, "a revoked token is valid");
    }
    assert!(tokens.revoke(&site.desk, &support::admin(), "auditor", now).await.is_err());
    let secret = token.split('.').nth(1).unwrap();
    assert!(!format!("{:?}", site.audit.newest(100).await.unwrap()).contains(secret));
}

/// When two PUTs use the same ETag at the same time, one succeeds and the other is refused.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_concurrent_puts_with_one_etag_one_succeeds() {
    let site = Site::start().await;
    let api = api(&site);
    for round in 0..50 {
        let version = get(&api, "/api/v1/people/zoe.tremblay").await.header("etag").to_owned();
        let put = |text: String| {
            let (api, version) = (api.clone(), version.clone());
            let path = "/api/v1/people/zoe.tremblay/vacation";
            tokio::spawn(async move { call(&api, Method::PUT, path, &version, json!({"text_fr": text})).await.status })
        };
        let (one, two) = tokio::join!(put(format!("un {round}")), put(format!("deux {round}")));
        let mut statuses = [one.unwrap().as_u16(), two.unwrap().as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412], "round {round}");
    }
}

/// Both plans are made from the same directory. The apply that gets the second turn plans again, finds that its plan
/// has changed, and is refused.
#[tokio::test(flavor = "multi_thread")]
async fn an_apply_takes_its_turn_before_it_plans() {
    let site = Site::start().await;
    let state = support::state();
    let nodes = [api_on(&site, state.clone()), api_on(&site, state)];
    let mut plans = Vec::new();
    for (api, affiliation) in nodes.iter().zip(["student", "staff"]) {
        let plan = upload(api, "", format!("{HEADER}3001,Ana,Nova,,,{affiliation},,,,\n")).await.json();
        plans.push((api.clone(), plan));
    }
    let apply = |(api, plan): (Router, Value)| {
        tokio::spawn(async move {
            let path = format!("/api/v1/imports/{}/apply?wait=60", plan["id"].as_str().unwrap());
            let reply = call(&api, Method::POST, &path, "", json!({"hash": plan["hash"]})).await;
            (reply.status.as_u16(), reply.json())
        })
    };
    let tasks: Vec<_> = plans.into_iter().map(apply).collect();
    let mut replies = Vec::new();
    for task in tasks {
        replies.push(task.await.unwrap());
    }
    replies.sort_by_key(|(status, _)| *status);
    assert_eq!((replies[0].0, replies[1].0), (200, 409), "{replies:?}");
    assert_eq!(replies[0].1["outcomes"]["failed"], 0);
}

#[tokio::test]
async fn uploads_and_jobs_outlive_a_restart() {
    let site = Site::start().await;
    let state = support::state();
    let before = api_on(&site, state.clone());
    let plan = upload(&before, "", format!("{HEADER}3001,Ana,Nova,,,student,,,,\n")).await.json();
    drop(before);
    end_abandoned_jobs(&state, &"node-a".into(), jiff::Timestamp::now()).await.unwrap();
    let after = api_on(&site, state.clone());
    let path = format!("/api/v1/imports/{}", plan["id"].as_str().unwrap());
    assert_eq!(get(&after, &path).await.json()["hash"], plan["hash"]);
    let done = call(&after, Method::POST, &format!("{path}/apply?wait=60"), "", json!({"hash": plan["hash"]})).await;
    assert_eq!(done.status, 200, "{}", done.text);
    let job = done.header("location").to_owned();
    drop(after);
    end_abandoned_jobs(&state, &"node-a".into(), jiff::Timestamp::now()).await.unwrap();
    assert_eq!(get(&api_on(&site, state), &job).await.json(), done.json(), "a restart changed a finished job");
}
