//! The lifecycle on a running node: states, notices by mail, an objection, a look ahead with files to come.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by a panic.

use std::fs;
use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use provost_tests::command::provost;
use provost_tests::http::{HttpRequest, HttpResponse, send};
use provost_tests::{MailSink, Node, Options, Port};

/// Longest time for each wait.
const LIMIT: Duration = Duration::from_secs(60);
/// Address of the pages, as mails name it.
const WEB: &str = "https://accounts.example.edu";
const HEADER: &str = "person_id,given_name,family_name,private_email,affiliation,end_date\n";
const POLICY: &str = "kind lifecycle\nphase 1 grace days=30\nphase 2 closing days=60\nphase 3 closed days=365\n";

fn run(node: &Node, arguments: &[&str]) -> String {
    provost(node, arguments).unwrap().good().unwrap()
}

fn write(node: &Node, name: &str, text: &str) -> String {
    let path = node.folder().join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn get(node: &Node, path: &str) -> HttpResponse {
    let headers = ["Accept-Language: en"];
    send(node.address(Port::Http), HttpRequest { method: "GET", path, headers: &headers, body: "" }).unwrap()
}

fn post(node: &Node, path: &str, body: &str) -> HttpResponse {
    let origin = format!("Origin: http://{}", node.address(Port::Http));
    let headers = ["Accept-Language: fr", "Content-Type: application/x-www-form-urlencoded", &origin];
    send(node.address(Port::Http), HttpRequest { method: "POST", path, headers: &headers, body }).unwrap()
}

/// One node for all checks, as a node takes longer to start than all of them.
#[test]
fn a_person_leaves_is_told_and_objects() {
    let sink = MailSink::start().unwrap();
    let options = Options { people: Some(2), relay: Some(sink.relay()), ..Options::default() };
    let node = Node::start_with(options).unwrap();
    run(&node, &["settings", "set", "web-url", WEB]);
    run(&node, &["policy", "set", "everybody-2", &write(&node, "policy", POLICY)]);
    // Thirty days of grace end in five days: the notice of seven days is due.
    let left = TimeZone::UTC.to_datetime(Timestamp::now()).date() - jiff::Span::new().days(25);
    let rows = format!("{HEADER}L1,Lise,Côté,lise@example.net,staff,{left}\nL2,Bo,Li,,staff,2099-06-30\n");
    run(&node, &["import", "--partial", &write(&node, "leaving.csv", &rows)]);
    assert!(run(&node, &["person", "show", "lise.cote"]).contains("(staff, grace)"));

    let ahead = provost(&node, &["lifecycle", "run", "--dry-run"]).unwrap();
    assert!(ahead.code == Some(2) && ahead.out.contains("1 notice is due"), "{ahead:?}");
    let done = run(&node, &["lifecycle", "run"]);
    assert!(done.contains("notices to 1 person, 2 mails"), "{done}");
    let again = run(&node, &["lifecycle", "run"]);
    assert!(again.contains("notices to 0 people, 0 mails"), "{again}");
    a_notice_leads_to_an_objection(&node, &sink);
    a_file_to_come_is_simulated(&node);
}

fn a_notice_leads_to_an_objection(node: &Node, sink: &MailSink) {
    let message = sink.wait_for("lise@example.net", LIMIT).unwrap();
    let text = String::from_utf8(message.text).unwrap().replace("=\r\n", "");
    assert!(
        text.contains("Your_mail_account_changes_on") && text.contains("Votre_compte_de_courriel_change"),
        "{text}"
    );
    let (_, link) = text.split_once(&format!("{WEB}/notice/")).unwrap();
    let path = format!("/notice/{}", link.split_whitespace().next().unwrap());
    let page = get(node, &path);
    assert_eq!(page.status, 200, "{}", page.body);
    for part in ["lise.cote@example.edu", "no longer be able to send mail", "<textarea"] {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    let long = format!("reason={}", "x".repeat(501));
    for (body, status, part) in [
        ("reason=++", 422, "Écrivez de 1 à 500 caractères"),
        (&long, 422, "Écrivez de 1 à 500 caractères"),
        ("reason=j%27enseigne+encore+%3Cb%3E", 200, "Le guichet informatique a votre réponse"),
    ] {
        let reply = post(node, &path, body);
        assert_eq!(reply.status, status, "{body}: {}", reply.body);
        assert!(reply.body.contains(part) && !reply.body.contains("<b>"), "{body}: {}", reply.body);
    }
    assert_eq!(get(node, &format!("{}zzzz", &path[..path.len() - 4])).status, 404);
    let shown = run(node, &["--json", "person", "show", "lise.cote"]);
    assert!(shown.contains("j'enseigne encore"), "{shown}");
}

fn a_file_to_come_is_simulated(node: &Node) {
    let file = write(node, "intake.csv", &format!("{HEADER}N1,Nora,Neuf,,staff,2027-06-30\nN2,,,,staff,\n"));
    let ahead = run(node, &["lifecycle", "simulate", "--until", "2099-01-01", "--feed", &format!("2027-01-15={file}")]);
    assert!(ahead.contains("2027-01-15  file: 1 created, 0 changed, 0 unchanged, 1 left out"), "{ahead}");
    for expect in ["2027-01-15  nora.neuf@example.edu                    created", "lise.cote", "closed"] {
        assert!(ahead.contains(expect), "{expect}: {ahead}");
    }
    assert_eq!(provost(node, &["person", "show", "nora.neuf"]).unwrap().code, Some(1), "a simulation has written");
    let outside = provost(node, &["lifecycle", "simulate", "--until", "2027-01-01", "--feed", "2028-01-15=x"]).unwrap();
    assert!(outside.code != Some(0) && outside.err.contains("outside of the simulation"), "{outside:?}");
}
