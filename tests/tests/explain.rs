//! `provost explain` against ten people whose histories this test makes: files of two sources, policies, an undo, manual
//! changes. Each explanation must name exactly the rows, rules and policies that were used.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by a panic.

use std::fs;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use provost_tests::command::provost;
use provost_tests::{Node, Options};
use serde_json::Value;

const HEADER: &str = "person_id,given_name,family_name,private_email,affiliation,program,start_date,end_date\n";
const EARLY: &str =
    "kind lifecycle\npopulation student\npromise start\nphase 1 grace days=180\nphase 2 alumni forever\n";
const LATE: &str = "kind lifecycle\npopulation student\nsince 2026-01-01\npromise start\nphase 1 grace days=90\n\
    phase 2 closed days=365\n";

/// A running node, and the batches of what was done so far.
struct Story {
    node: Node,
    today: jiff::civil::Date,
}

impl Story {
    fn run(&self, arguments: &[&str]) -> String {
        provost(&self.node, arguments).unwrap().good().unwrap()
    }

    /// Imports rows of a source; returns the batch.
    fn import(&self, source: &str, rows: &str) -> String {
        let path = self.node.folder().join("rows.csv");
        fs::write(&path, format!("{HEADER}{rows}")).unwrap();
        self.batch(&["import", "--partial", "--source", source, path.to_str().unwrap()])
    }

    /// Runs a command that ends with a batch; returns it.
    fn batch(&self, arguments: &[&str]) -> String {
        let out = self.run(arguments);
        let (_, rest) = out.rsplit_once("provost undo ").unwrap_or_else(|| panic!("{out}"));
        rest.trim().to_owned()
    }

    fn explain(&self, key: &str, at: Option<Timestamp>) -> Explained {
        let at = at.map(|at| at.to_string());
        let mut arguments = vec!["--json", "explain", key];
        arguments.extend(at.iter().flat_map(|at| ["--at", at.as_str()]));
        Explained(serde_json::from_str(&self.run(&arguments)).unwrap())
    }

    fn day(&self, days: i32) -> String {
        (self.today + Span::new().days(days)).to_string()
    }
}

struct Explained(Value);

/// Where a value comes from: row, rule and batch of an import, or the action of an operation.
type Origin<'a> = (Option<u64>, Option<&'a str>, Option<&'a str>, &'a str);

impl Explained {
    fn origin_of<'a>(&self, origin: &'a Value) -> Origin<'a> {
        (
            origin["file"]["row"].as_u64(),
            origin["rule"].as_str(),
            origin["batch"].as_str(),
            origin["action"].as_str().unwrap_or_default(),
        )
    }

    /// The value of an attribute; its origin must be an import of this row, rule and batch.
    #[track_caller]
    fn comes_from(&self, attribute: &str, value: &str, (row, rule, batch): (u64, &str, &str)) {
        let values = self.0["values"].as_array().unwrap();
        let found = values.iter().find(|found| found["attribute"] == attribute && found["value"] == value);
        let found = found.unwrap_or_else(|| panic!("{attribute} is not {value}: {:#}", self.0["values"]));
        let (found_row, found_rule, found_batch, _) = self.origin_of(&found["origin"]);
        assert_eq!((found_row, found_rule, found_batch), (Some(row), Some(rule), Some(batch)), "{found:#}");
    }

    #[track_caller]
    fn has_state(&self, state: &str, policy: Option<&str>, next: Option<&str>) {
        let found = &self.0["state"];
        let found = (found["state"].as_str(), found["policy"].as_str(), found["next"].as_str());
        assert_eq!(found, (Some(state), policy, next), "{:#}", self.0["state"]);
    }

    fn state_origin(&self) -> Origin<'_> {
        self.origin_of(&self.0["state"]["origin"])
    }

    fn addresses(&self) -> Vec<(&str, &str, Origin<'_>)> {
        let addresses = self.0["addresses"].as_array().unwrap().iter();
        let shown = |found| -> (&str, &str, Origin<'_>) {
            let found: &Value = found;
            let text = |name: &str| found[name].as_str().unwrap_or_default();
            (text("address"), text("address_kind"), self.origin_of(&found["origin"]))
        };
        addresses.map(shown).collect()
    }
}

#[test]
fn ten_tangled_histories_are_explained() {
    let node = Node::start_with(Options { people: Some(1), ..Options::default() }).unwrap();
    let story = Story { node, today: TimeZone::UTC.to_datetime(Timestamp::now()).date() };
    for (name, text) in [("students-1", EARLY), ("students-2026", LATE)] {
        let path = story.node.folder().join(name);
        fs::write(&path, text).unwrap();
        story.run(&["policy", "set", name, path.to_str().unwrap()]);
    }
    let end = story.day(200);
    let (past, ended) = (story.day(-30), story.day(-20));
    let first = story.import(
        "registrar",
        &format!(
            "H1,Ada,Haut,,student,Music,2025-09-01,{end}\nH2,Bea,Haut,bea@example.net,student,Arts,2025-09-01,{end}\n\
             H3,Cleo,Haut,,student,Law,2025-09-01,{end}\nH4,Dan,Haut,,student,Arts,2025-09-01,{past}\n\
             H5,Eve,Haut,,student,Arts,2026-09-01,{ended}\nH6,Fay,Haut,,student,Arts,2025-09-01,{end}\n\
             H7,Gus,Haut,,student,Arts,2025-09-01,{end}\nH8,Ada,Haut,,student,Arts,2025-09-01,{end}\n\
             H9,Ivy,Haut,,student,Arts,2025-09-01,{past}\n"
        ),
    );
    let after_first = Timestamp::now();
    // Another source knows two of them, and one who is new.
    let hr = story
        .import("hr", &format!("E1,Kim,Long,,staff,Library,2020-01-01,\nE2,Lou,Long,,staff,IT,2020-01-01,{end}\n"));
    let second = story.import(
        "registrar",
        &format!(
            "H2,Bea,Haut,bea2@example.net,student,Law,2025-09-01,{end}\nH3,Cleo,Bas,,student,Law,2025-09-01,{end}\n\
             H6,Fay,Haut,,student,Wrong,2025-09-01,{end}\nH9,Ivy,Haut,,student,Arts,2025-09-01,{end}\n"
        ),
    );
    let undo_of = story.import("registrar", &format!("H6,Fay,Haut,,student,Worse,2025-09-01,{end}\n"));
    let undone = story.run(&["undo", &undo_of]);
    let undo = undone.rsplit_once("batch ").and_then(|(_, rest)| rest.split_once(':')).unwrap().0.to_owned();
    story.run(&["address", "add", "gus.haut", "g.h@example.edu"]);
    story.run(&["lifecycle", "run"]);

    one_file_explains_all(&story, &first);
    a_later_file_explains_what_it_changed(&story, &first, &second, after_first);
    a_rename_keeps_the_old_address(&story, &first, &second);
    each_promise_is_kept(&story, &first);
    an_undo_explains_the_value_it_brought_back(&story, &undo);
    a_manual_address_is_by_hand(&story, &first);
    namesakes_and_sources_are_told_apart(&story, &first, &hr);
    a_return_is_explained_by_the_later_row(&story, &second, after_first);
}

fn one_file_explains_all(story: &Story, first: &str) {
    let ada = story.explain("registrar:H1", None);
    ada.comes_from("sn", "Haut", (2, "column.family_name", first));
    ada.comes_from("provostProgram", "Music", (2, "column.program", first));
    ada.comes_from("employeeNumber", "H1", (2, "column.person_id", first));
    ada.comes_from("uid", "ada.haut", (2, "naming.login", first));
    ada.has_state("active", Some("students-1"), Some("grace"));
}

fn a_later_file_explains_what_it_changed(story: &Story, first: &str, second: &str, between: Timestamp) {
    let bea = story.explain("registrar:H2", None);
    bea.comes_from("provostProgram", "Law", (2, "column.program", second));
    bea.comes_from("provostPrivateMail", "bea2@example.net", (2, "column.private_email", second));
    bea.comes_from("givenName", "Bea", (3, "column.given_name", first));
    let then = story.explain("registrar:H2", Some(between));
    then.comes_from("provostProgram", "Arts", (3, "column.program", first));
    then.comes_from("provostPrivateMail", "bea@example.net", (3, "column.private_email", first));
}

fn a_rename_keeps_the_old_address(story: &Story, first: &str, second: &str) {
    let cleo = story.explain("registrar:H3", None);
    cleo.comes_from("sn", "Bas", (3, "column.family_name", second));
    cleo.comes_from("uid", "cleo.haut", (4, "naming.login", first));
    let addresses = cleo.addresses();
    let primary = addresses.iter().find(|(address, ..)| *address == "cleo.bas@example.edu").unwrap();
    assert_eq!((primary.1, primary.2.0, primary.2.2), ("primary", Some(3), Some(second)), "{addresses:?}");
    assert!(addresses.iter().any(|(address, kind, _)| *address == "cleo.haut@example.edu" && *kind != "primary"));
}

/// Dan came under the early policy, Eve under the late one.
fn each_promise_is_kept(story: &Story, first: &str) {
    let dan = story.explain("registrar:H4", None);
    dan.has_state("grace", Some("students-1"), Some("alumni"));
    assert_eq!(dan.state_origin().2, Some(first), "{:#}", dan.0["state"]);
    dan.comes_from("provostEndDate", dan_end(story), (5, "column.end_date", first));
    let eve = story.explain("registrar:H5", None);
    eve.has_state("grace", Some("students-2026"), Some("closed"));
}

/// The value of provostEndDate as explain shows it: checked by its day.
fn dan_end(story: &Story) -> &'static str {
    let explained = story.explain("registrar:H4", None);
    let values = explained.0["values"].as_array().unwrap().clone();
    let end = values.iter().find(|value| value["attribute"] == "provostEndDate").unwrap();
    Box::leak(end["value"].as_str().unwrap().to_owned().into_boxed_str())
}

fn an_undo_explains_the_value_it_brought_back(story: &Story, undo: &str) {
    let fay = story.explain("registrar:H6", None);
    let values = fay.0["values"].as_array().unwrap();
    let program = values.iter().find(|value| value["attribute"] == "provostProgram").unwrap();
    assert_eq!(program["value"], "Wrong");
    let origin = &program["origin"];
    let found = (&origin["batch"], &origin["rule"], &origin["file"]);
    assert_eq!(found, (&undo.into(), &"undo.batch".into(), &Value::Null), "{program:#}");
}

fn a_manual_address_is_by_hand(story: &Story, first: &str) {
    let gus = story.explain("registrar:H7", None);
    let addresses = gus.addresses();
    let by_hand = addresses.iter().find(|(address, ..)| *address == "g.h@example.edu").unwrap();
    assert_eq!((by_hand.2.0, by_hand.2.3), (None, "address.add"), "{addresses:?}");
    let primary = addresses.iter().find(|(address, ..)| *address == "gus.haut@example.edu").unwrap();
    assert_eq!((primary.2.0, primary.2.1, primary.2.2), (Some(8), Some("address.primary"), Some(first)));
    let address = story.explain("g.h@example.edu", None);
    assert_eq!(address.0["kind"], "address", "{:#}", address.0);
}

fn namesakes_and_sources_are_told_apart(story: &Story, first: &str, hr: &str) {
    let other = story.explain("registrar:H8", None);
    other.comes_from("employeeNumber", "H8", (9, "column.person_id", first));
    assert_eq!(other.addresses()[0].0, "ada.haut2@example.edu");
    let kim = story.explain("hr:E1", None);
    kim.comes_from("sn", "Long", (2, "column.family_name", hr));
    kim.has_state("active", kim.0["state"]["policy"].as_str(), None);
    let lou = story.explain("hr:E2", None);
    lou.comes_from("provostProgram", "IT", (3, "column.program", hr));
    assert_eq!(lou.0["state"]["next"], "grace");
}

fn a_return_is_explained_by_the_later_row(story: &Story, second: &str, between: Timestamp) {
    let ivy = story.explain("registrar:H9", None);
    ivy.has_state("active", Some("students-1"), Some("grace"));
    assert_eq!((ivy.state_origin().0, ivy.state_origin().2), (Some(5), Some(second)), "{:#}", ivy.0["state"]);
    story.explain("registrar:H9", Some(between)).has_state("grace", Some("students-1"), Some("alumni"));
}
