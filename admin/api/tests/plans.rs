//! Plans that the guard stops, over REST: the answer to the apply, the list, the pages of a plan, and the override by a
//! second person.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by a panic.

#[path = "support/site.rs"]
mod site;
mod support;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use provost_api::{ApiState, FixedToken, MessageTraces, Tokens, router};
use provost_delivery::Delivery;
use provost_provision::Role;
use provost_queue::{Queue, QueueConfig};
use provost_store::MemoryStore;
use serde_json::{Value, json};
use site::{HEADER, Site};
use support::{HttpResponse, send};

/// Who makes the plans.
const MAKER: &str = "token-of-the-maker";
/// Who may override the guard.
const SECOND: &str = "token-of-a-second-person";
/// More people than the guard allows to be absent at once.
const PEOPLE: usize = 30;

struct Api(Router);

impl Api {
    fn new(site: &Site) -> Self {
        let (state, store) = (support::state(), support::store());
        let delivery = Delivery { view: site.view.clone(), store: store.clone(), hostname: "mx".into() };
        let config = QueueConfig { concurrency: 1, per_destination: 1 };
        let token = |name: &str, token: &str, role| FixedToken {
            name: name.into(),
            digest: blake3::hash(token.as_bytes()),
            role,
            expires: None,
        };
        let tokens = vec![token("maker", MAKER, Role::Admin), token("second", SECOND, Role::Admin)];
        Self(router(ApiState {
            desk: site.desk.clone(),
            store,
            view: site.view.clone(),
            queue: Queue::new(Arc::new(MemoryStore::default()), delivery, None, config),
            messages: MessageTraces::new(site.desk.clone(), "/nonexistent/trace".into()),
            tokens: Tokens::new(state.clone(), tokens),
            state,
            node: "node-a".into(),
        }))
    }

    async fn get(&self, path: &str) -> HttpResponse {
        let request = Request::get(format!("/api/v1{path}")).header("authorization", format!("Bearer {MAKER}"));
        send(&self.0, request.body(Body::empty()).unwrap()).await
    }

    async fn post(&self, token: &str, path: &str, body: Value) -> HttpResponse {
        let request = Request::post(format!("/api/v1{path}"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        send(&self.0, request.body(Body::from(body.to_string())).unwrap()).await
    }

    async fn upload(&self, query: &str, csv: String) -> HttpResponse {
        let request = Request::post(format!("/api/v1/imports{query}"))
            .header("authorization", format!("Bearer {MAKER}"))
            .header("content-type", "text/csv");
        send(&self.0, request.body(Body::from(csv)).unwrap()).await
    }

    /// Asks for the apply of a plan as its upload returned it.
    async fn apply(&self, plan: &Value) -> HttpResponse {
        let path = format!("/imports/{}/apply?wait=60", plan["id"].as_str().unwrap());
        self.post(MAKER, &path, json!({ "hash": plan["hash"] })).await
    }

    /// A site with [`PEOPLE`] more people, whose complete file of next year lacks most of them. `row` is the only row of
    /// that file. Returns the plan, and the answer to its apply.
    async fn stopped(&self, row: &str) -> (Value, HttpResponse) {
        let rows: String = (0..PEOPLE).map(|n| format!("5{n:03},Given,{},,,student,Arts,,,\n", name(n))).collect();
        let all = self.upload("?partial=true", format!("{HEADER}{rows}")).await;
        assert_eq!((all.status.as_u16(), all.json()["guard"]["limits"].clone()), (201, json!([])), "{}", all.text);
        let done = self.apply(&all.json()).await;
        assert_eq!(done.json()["state"], "done", "{}", done.text);
        let cut = self.upload("", format!("{HEADER}{row}")).await;
        assert_eq!(cut.status, 201, "{}", cut.text);
        let plan = cut.json();
        assert_eq!(plan["guard"]["limits"][0]["category"], "absence", "the upload must say what the guard will stop");
        let stopped = self.apply(&plan).await;
        (plan, stopped)
    }
}

fn name(n: usize) -> String {
    let letter = |n: usize| char::from(b'a' + u8::try_from(n % 26).unwrap());
    format!("Family{}{}", letter(n / 26), letter(n))
}

fn kind(reply: &HttpResponse) -> (u16, String) {
    let kind = reply.json()["type"].as_str().unwrap_or_default().trim_start_matches("/api/v1/problems/").to_owned();
    (reply.status.as_u16(), kind)
}

#[tokio::test]
async fn a_plan_that_the_guard_stops_is_named_shown_and_overridden_by_a_second_person() {
    let site = Site::start().await;
    let api = Api::new(&site);
    let (plan, stopped) = api.stopped("5000,Given,Familyother,,,student,Arts,,,\n").await;
    assert_eq!(kind(&stopped), (409, "guard-stopped".into()), "{}", stopped.text);
    assert_eq!(stopped.header("content-type"), "application/problem+json");
    let problem = stopped.json();
    assert_eq!(problem["hash"], plan["hash"]);
    let limit = problem["guard"]["limits"].as_array().unwrap().iter().find(|limit| limit["cohort"] == "student/Arts");
    let limit = limit.unwrap_or_else(|| panic!("{problem}"));
    assert_eq!((&limit["category"], &limit["count"], &limit["limit"]), (&json!("absence"), &json!(29), &json!(10)));
    assert!(
        limit["words"].as_str().unwrap().starts_with("absence: 29 of 30 in student/Arts; the limit is 10; first: ")
    );

    let hash = plan["hash"].as_str().unwrap();
    let listed = api.get("/plans").await.json();
    let [kept] = &listed["plans"].as_array().unwrap()[..] else { panic!("{listed}") };
    assert_eq!(
        (&kept["hash"], &kept["maker"], &kept["state"]),
        (&plan["hash"], &json!("token:maker"), &json!("stopped"))
    );
    assert_eq!((&kept["origin"], &kept["source"]), (&json!("import"), &json!("registrar")));
    assert_eq!(kept["summary"]["absent"], plan["summary"]["absent"]);
    a_plan_is_shown_in_parts(&api, hash).await;

    let path = format!("/plans/{}/override?wait=60", &hash[..12]);
    let reason = json!({ "reason": "the faculty has closed" });
    let alone = api.post(MAKER, &path, reason.clone()).await;
    assert_eq!(kind(&alone), (403, "second-person-needed".into()), "{}", alone.text);
    let silent = api.post(SECOND, &path, json!({ "reason": " " })).await;
    assert_eq!((kind(&silent), &silent.json()["errors"][0]["pointer"]), ((422, "invalid".into()), &json!("/reason")));
    assert_eq!(kind(&api.post(SECOND, "/plans/ffffffff/override", reason.clone()).await), (404, "not-found".into()));
    let done = api.post(SECOND, &path, reason.clone()).await;
    assert_eq!((done.status.as_u16(), &done.json()["state"]), (200, &json!("done")), "{}", done.text);
    let records = site.audit.newest(100).await.unwrap();
    let of = |action: &str| records.iter().find(|record| record.action == action).unwrap();
    assert_eq!((&*of("guard.stop").actor, &*of("guard.override").actor), ("token:maker", "token:second"));
    assert_eq!(of("guard.override").id, done.header("x-audit-id"));
    assert_eq!(api.get("/plans").await.json()["plans"], json!([]), "an applied plan is still kept");
    assert_eq!(kind(&api.post(SECOND, &path, reason).await), (404, "not-found".into()));
}

async fn a_plan_is_shown_in_parts(api: &Api, hash: &str) {
    let first = api.get(&format!("/plans/{hash}?limit=20")).await.json();
    assert_eq!((first["changes"].as_array().unwrap().len(), &first["next"]), (20, &json!(20)), "{first}");
    let rest = api.get(&format!("/plans/{hash}?from=20&limit=1000")).await.json();
    assert_eq!(rest["next"], Value::Null);
    let all: Vec<&Value> = [&first, &rest].iter().flat_map(|part| part["changes"].as_array().unwrap()).collect();
    let renamed = all.iter().find(|change| change["line"] == 2).unwrap();
    assert!(
        renamed["details"]
            .as_array()
            .unwrap()
            .iter()
            .any(|line| { line.as_str().unwrap().starts_with("family name: Familyaa -> Familyother") }),
        "{renamed}"
    );
    let french = api.get(&format!("/plans/{hash}?language=fr&limit=1000")).await;
    assert!(french.text.contains("nom de famille : Familyaa -> Familyother"), "{}", french.text);
    assert_eq!(api.get(&format!("/plans/{hash}?from=99999999")).await.json()["changes"], json!([]));
    for (query, pointer) in [("limit=0", "?limit"), ("limit=1001", "?limit"), ("language=de", "?language")] {
        let refused = api.get(&format!("/plans/{hash}?{query}")).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["errors"][0]["pointer"]), (422, &json!(pointer)));
    }
    assert_eq!(kind(&api.get("/plans/abc").await), (404, "not-found".into()));
    assert_eq!(kind(&api.get(&format!("/plans/{}", &hash[..4])).await), (409, "ambiguous".into()));
}

#[tokio::test]
async fn an_override_with_initial_passwords_needs_the_import_of_the_file() {
    let site = Site::start().await;
    let api = Api::new(&site);
    let (plan, stopped) = api.stopped("7000,Nina,New,,,student,Arts,,,a first password\n").await;
    assert_eq!(stopped.status, 409, "{}", stopped.text);
    let path = format!("/plans/{}/override?wait=60", plan["hash"].as_str().unwrap());
    let other = api.upload("?partial=true", format!("{HEADER}7001,Otto,Other,,,staff,,,,\n")).await.json();
    for import in [Value::Null, other["id"].clone()] {
        let refused = api.post(SECOND, &path, json!({ "reason": "right", "import": import })).await;
        let pointer = refused.json()["errors"][0]["pointer"].clone();
        assert_eq!((refused.status.as_u16(), pointer), (422, json!("/import")), "{}", refused.text);
    }
    let done = api.post(SECOND, &path, json!({ "reason": "right", "import": plan["id"] })).await;
    assert_eq!((done.status.as_u16(), &done.json()["state"]), (200, &json!("done")), "{}", done.text);
    let dn = site.desk.person(&support::admin(), "nina.new").await.unwrap().dn;
    site.directory.bind(&provost_entry::Dn::parse(&dn).unwrap(), "a first password").await.unwrap();
    let path = format!("/imports/{}", plan["id"].as_str().unwrap());
    assert_eq!(api.get(&path).await.status, 404, "the file with passwords is still there");
}

#[tokio::test]
async fn a_plan_whose_people_have_changed_since_is_not_applied() {
    let site = Site::start().await;
    let api = Api::new(&site);
    let (plan, _) = api.stopped("5000,Given,Familyaa,,,student,Arts,,,\n").await;
    site::give(&site.directory, "5001", "description", "changed by hand").await;
    let path = format!("/plans/{}/override?wait=60", plan["hash"].as_str().unwrap());
    let refused = api.post(SECOND, &path, json!({ "reason": "right" })).await;
    assert_eq!(kind(&refused), (409, "plan-changed".into()), "{}", refused.text);
}

#[tokio::test]
async fn an_old_file_is_refused_unless_it_is_forced() {
    let site = Site::start().await;
    let api = Api::new(&site);
    let file = |name: &str| format!("{HEADER}8000,Ola,{name},,,staff,,,,\n");
    for (name, extracted) in [("One", "2026-09-01T04:00:00Z"), ("Two", "2026-09-02T04:00:00Z")] {
        let plan = api.upload(&format!("?partial=true&extracted={extracted}"), file(name)).await.json();
        assert_eq!(api.apply(&plan).await.json()["state"], "done");
    }
    let again = api.upload("?partial=true", file("One")).await;
    assert_eq!(kind(&again), (409, "old-file".into()), "{}", again.text);
    assert!(again.json()["detail"].as_str().unwrap().contains("another one since") && !again.text.contains("--force"));
    let older = api.upload("?partial=true&extracted=2026-09-01T05:00:00Z", file("Three")).await;
    assert_eq!(kind(&older), (409, "old-file".into()), "{}", older.text);
    for (query, pointer) in [
        ("extracted=yesterday", "?extracted"),
        ("partial=true&coverage=partial", "?partial"),
        ("coverage=x", "?coverage"),
    ] {
        let refused = api.upload(&format!("?{query}"), file("One")).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["errors"][0]["pointer"]), (422, &json!(pointer)));
    }
    // The apply reads the file as its upload did.
    let forced = api.upload("?partial=true&force=true", file("One")).await;
    assert_eq!(forced.status, 201, "{}", forced.text);
    assert_eq!(api.apply(&forced.json()).await.json()["state"], "done");
}
