//! The guard on a running node: a half file is stopped, a second person overrides it by command or over REST, undo brings
//! everything back, and small files do not pass through the window.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by a panic.

use std::fs;

use provost_tests::command::provost;
use provost_tests::http::{HttpRequest, HttpResponse, send};
use provost_tests::ldap::Ldap;
use provost_tests::{Node, Options, Port, Ran};

/// Exit code: the guard stopped the plan.
const STOPPED: Option<i32> = Some(3);
const HEADER: &str = "person_id,given_name,family_name,affiliation,program\n";

fn import(node: &Node, name: &str, people: impl Iterator<Item = usize>, options: &[&str]) -> Ran {
    let file = node.folder().join(name);
    fs::write(&file, students(people)).unwrap();
    provost(node, &[&["import", file.to_str().unwrap()], options].concat()).unwrap()
}

/// A registrar's file with these people.
fn students(people: impl Iterator<Item = usize>) -> String {
    let rows: String = people
        .map(|n| {
            let letters =
                |n: usize| -> String { [n / 26, n % 26].map(|n| char::from(b'a' + (n % 26) as u8)).iter().collect() };
            format!("G{n:05},Given{},Family{},student,Arts\n", letters(n / 676), letters(n % 676))
        })
        .collect();
    format!("{HEADER}{rows}")
}

/// A new token with the role admin.
fn admin_token(node: &Node, name: &str) -> String {
    let token = provost(node, &["token", "create", name, "--role", "admin", "--expires", "1d"]).unwrap();
    token.good().unwrap().trim().to_owned()
}

fn content(node: &Node) -> String {
    Ldap::of(node).search("(objectClass=*)", &[]).unwrap().good().unwrap()
}

/// The hash of the plan that a command reports as stopped.
fn stopped(ran: &Ran) -> String {
    assert_eq!(ran.code, STOPPED, "{ran:?}");
    ran.out.split("provost plan show ").nth(1).unwrap().split('\'').next().unwrap().to_owned()
}

#[test]
fn a_half_file_is_stopped_overridden_by_a_second_person_and_undone() {
    let node = Node::start_with(Options { people: Some(1), ..Options::default() }).unwrap();
    import(&node, "all.csv", 0..600, &["--partial"]).good().unwrap();
    let before = content(&node);
    // Half of these people, and the one of the node itself, whom no file names.
    let half = import(&node, "half.csv", 0..300, &[]);
    let hash = stopped(&half);
    assert!(half.out.contains("absence: 301 of 601 in student/Arts; the limit is 30"), "{}", half.out);
    assert_eq!(content(&node), before, "a stopped plan wrote something");

    let shown = provost(&node, &["plan", "show", &hash[..12]]).unwrap().good().unwrap();
    assert!(shown.contains("absence: 301 of 601 in student/Arts") && shown.contains("absent given"), "{shown}");
    let page = node.folder().join("plan.html");
    provost(&node, &["plan", "show", &hash, "--page", page.to_str().unwrap()]).unwrap().good().unwrap();
    assert!(fs::read_to_string(&page).unwrap().contains("absence: 301 of 601 in student/Arts"));
    assert!(provost(&node, &["plan", "list"]).unwrap().good().unwrap().contains("stopped by the guard"));

    // It takes a second person.
    let by_hand = provost(&node, &["apply", &hash]).unwrap();
    assert_eq!(by_hand.code, STOPPED, "{by_hand:?}");
    let over = ["apply", &hash, "--override", "--reason", "the other half has left"];
    let alone = provost(&node, &over).unwrap();
    assert!(alone.code == Some(1) && alone.err.contains("a second person must override"), "{alone:?}");
    assert_eq!(content(&node), before);
    let token_file = node.folder().join("second-token");
    fs::write(&token_file, admin_token(&node, "second")).unwrap();
    let second = ["--token-file", token_file.to_str().unwrap()];
    let applied = provost(&node, &[&second[..], &over].concat()).unwrap().good().unwrap();
    assert!(applied.contains("applied: 301 of 301 people"), "{applied}");
    let audit = provost(&node, &["audit", "list", "--limit", "1000"]).unwrap().good().unwrap();
    assert!(audit.contains("guard.override") && audit.contains("guard.stop"), "{audit}");

    let batch = applied.split("provost undo ").nth(1).unwrap().trim().to_owned();
    provost(&node, &["undo", &batch]).unwrap().good().unwrap();
    assert_eq!(content(&node), before, "undo did not bring back the former content");
}

#[test]
fn files_that_each_drop_four_percent_trip_the_window_by_the_third() {
    let node = Node::start_with(Options { people: Some(1), ..Options::default() }).unwrap();
    import(&node, "all.csv", 0..300, &["--partial"]).good().unwrap();
    for drop in 1..=2 {
        import(&node, &format!("drop-{drop}.csv"), 0..300 - 12 * drop, &[]).good().unwrap();
    }
    let third = import(&node, "drop-3.csv", 0..300 - 36, &[]);
    stopped(&third);
    assert!(third.out.contains("within 7 days"), "{}", third.out);
    // The first file that lacks somebody only counts; the second one ends the affiliation, and nobody is deleted.
    let state = |id: &str| provost(&node, &["person", "show", id]).unwrap().good().unwrap();
    assert!(state("registrar:G00299").contains("grace") && state("registrar:G00280").contains("active"));
    // An old file is refused.
    let old = import(&node, "drop-1.csv", 0..288, &[]);
    assert!(old.code == Some(1) && old.err.contains("another one since"), "{old:?}");
    // Who is named again is restored.
    import(&node, "back.csv", 290..300, &["--partial"]).good().unwrap();
    assert!(state("registrar:G00299").contains("active"));
}

/// A program that speaks REST with a token.
struct RestClient<'a> {
    node: &'a Node,
    token: String,
}

impl RestClient<'_> {
    fn send(&self, method: &str, path: &str, media_type: &str, body: &str) -> HttpResponse {
        let headers = [&*format!("Authorization: Bearer {}", self.token), &*format!("Content-Type: {media_type}")];
        let path = format!("/api/v1{path}");
        send(self.node.address(Port::Http), HttpRequest { method, path: &path, headers: &headers, body }).unwrap()
    }

    fn upload(&self, query: &str, people: impl Iterator<Item = usize>) -> HttpResponse {
        let plan = self.send("POST", &format!("/imports{query}"), "text/csv", &students(people));
        assert_eq!(plan.status, 201, "{plan:?}");
        plan
    }

    /// Applies an import as its upload returned it.
    fn apply(&self, plan: &HttpResponse) -> HttpResponse {
        let (id, hash) = (plan.between("\"id\":\"", "\""), plan.between("\"hash\":\"", "\""));
        self.post(&format!("/imports/{id}/apply?wait=60"), &format!(r#"{{"hash":"{hash}"}}"#))
    }

    fn post(&self, path: &str, body: &str) -> HttpResponse {
        self.send("POST", path, "application/json", body)
    }
}

#[test]
fn over_rest_a_half_file_is_stopped_and_overridden_by_the_token_of_a_second_person() {
    let node = Node::start_with(Options { people: Some(1), ..Options::default() }).unwrap();
    let [maker, second] = ["maker", "second"].map(|name| RestClient { node: &node, token: admin_token(&node, name) });
    let all = maker.upload("?partial=true", 0..60);
    assert!(maker.apply(&all).body.contains("\"state\":\"done\""));
    let half = maker.upload("", 0..30);
    let stopped = maker.apply(&half);
    let hash = stopped.between("\"hash\":\"", "\"");
    assert_eq!((stopped.status, hash), (409, half.between("\"hash\":\"", "\"")), "{stopped:?}");
    assert_eq!(stopped.header("content-type"), "application/problem+json");
    assert!(stopped.body.contains("/api/v1/problems/guard-stopped"), "{stopped:?}");
    assert!(stopped.body.contains("absence: 31 of 61 in student/Arts; the limit is 10"), "{stopped:?}");

    assert!(second.send("GET", "/plans", "", "").body.contains(hash));
    let shown = second.send("GET", &format!("/plans/{hash}?limit=1"), "", "");
    assert!(
        shown.body.contains("\"next\":1") && shown.body.contains("absence: none -> missing from files of registrar"),
        "{shown:?}"
    );
    let (over, reason) = (format!("/plans/{hash}/override?wait=60"), r#"{"reason":"the other half has left"}"#);
    let alone = maker.post(&over, reason);
    assert_eq!(alone.status, 403, "{alone:?}");
    assert!(alone.body.contains("/api/v1/problems/second-person-needed"), "{alone:?}");
    // Commands and REST share the kept plans.
    assert!(provost(&node, &["plan", "list"]).unwrap().good().unwrap().contains(&hash[..16]));
    let done = second.post(&over, reason);
    assert!(done.status == 200 && done.body.contains("\"applied\":31"), "{done:?}");
    assert!(provost(&node, &["plan", "list"]).unwrap().good().unwrap().contains("no plan is kept"));
    let audit = provost(&node, &["audit", "list", "--limit", "1000"]).unwrap().good().unwrap();
    assert!(audit.contains("token:second (api) guard.override") && audit.contains("token:maker (api) guard.stop"));
}

#[test]
fn an_older_extract_is_refused_unless_it_is_forced() {
    let node = Node::start_with(Options { people: Some(1), ..Options::default() }).unwrap();
    let extracted = |name, people, time, more: &[&str]| {
        import(&node, name, people, &[&["--partial", "--extracted", time], more].concat())
    };
    extracted("new.csv", 0..5, "2026-09-02T04:00:00Z", &[]).good().unwrap();
    let before = content(&node);
    let old = extracted("old.csv", 0..6, "2026-09-01T04:00:00Z", &[]);
    assert!(old.code == Some(1) && old.err.contains("this file is of 2026-09-01T04:00:00Z"), "{old:?}");
    let unclear = extracted("old.csv", 0..6, "yesterday", &[]);
    assert!(unclear.code == Some(1) && unclear.err.contains("write it as 2026-09-01T04:00:00Z"), "{unclear:?}");
    assert_eq!(content(&node), before, "a refused file wrote something");
    extracted("old.csv", 0..6, "2026-09-01T04:00:00Z", &["--force"]).good().unwrap();
    // The forced file is the last one now.
    extracted("next.csv", 0..7, "2026-09-01T05:00:00Z", &[]).good().unwrap();
}
