//! Files of several senders, read by the profiles of their sources.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by a panic.

use std::fs;

use provost_tests::command::provost;
use provost_tests::people::HEADER;
use provost_tests::{Node, Options, Ran};

/// Exit code: rows were left out.
const REJECTED: Option<i32> = Some(4);

fn start() -> Node {
    Node::start_with(Options { people: Some(1), ..Options::default() }).unwrap()
}

fn write(node: &Node, name: &str, bytes: impl AsRef<[u8]>) -> String {
    let file = node.folder().join(name);
    fs::write(&file, bytes).unwrap();
    file.to_str().unwrap().to_owned()
}

fn run(node: &Node, arguments: &[&str]) -> Ran {
    provost(node, arguments).unwrap()
}

fn has(ran: &Ran, texts: &[&str]) {
    for text in texts {
        assert!(ran.out.contains(text), "no '{text}' in\n{}", ran.out);
    }
}

/// A profile is tried, written, and used by an import; its version rises with each change.
#[test]
fn a_profile_says_how_the_files_of_a_source_are_read() {
    let node = start();
    let profile = "encoding windows-1252\nseparator ;\ndate-format DD/MM/YYYY\ncolumn person_id Matricule\n\
                   column given_name Pr\u{e9}nom\ncolumn family_name Nom\ncolumn birth_date Naissance\n\
                   constant affiliation student\ntrailer FIN\nignore T\u{e9}l\n";
    let profile = write(&node, "scolarite.source", profile);
    let file = "Matricule;Pr\u{e9}nom;Nom;Naissance;T\u{e9}l;Cours\n0077;Zo\u{e9};Gagn\u{e9};29/02/2004;5;x\nFIN;1\n";
    let octets: Vec<u8> = file.chars().map(|c| u8::try_from(c).unwrap()).collect();
    let file = write(&node, "scolarite.csv", octets);
    let tried = run(&node, &["source", "test", &file, "--source", "scolarite", "--profile", &profile]);
    assert_eq!(tried.code, Some(0), "{tried:?}");
    has(
        &tried,
        &[
            "family_name=Gagn\u{e9}",
            "birth_date=2004-02-29",
            "1 warning",
            "[header.unknown-column]",
            "nothing was written",
        ],
    );

    has(&run(&node, &["source", "set", "scolarite", &profile]), &["version 1"]);
    has(&run(&node, &["source", "set", "scolarite", &profile]), &["version 2"]);
    let stale = write(&node, "stale.source", "version 2\n");
    let stale = run(&node, &["source", "set", "scolarite", &stale]);
    assert!(stale.code == Some(1) && stale.err.contains("not higher"), "{stale:?}");
    has(&run(&node, &["source", "list"]), &["scolarite", "windows-1252", "complete"]);
    has(&run(&node, &["source", "show", "scolarite"]), &["column person_id matricule", "trailer FIN", "version 2"]);
    has(&run(&node, &["source", "show", "registrar"]), &["built-in", "format csv"]);

    let done = run(&node, &["import", &file, "--source", "scolarite"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    has(&done, &["create zoe.gagne@example.edu", "unknown column"]);
    let shown = run(&node, &["person", "show", "scolarite:0077"]);
    has(&shown, &["zoe.gagne@example.edu"]);
    has(&run(&node, &["source", "remove", "scolarite"]), &["removed"]);
    let wrong = write(&node, "wrong.source", "encoding klingon\n");
    let wrong = run(&node, &["source", "set", "scolarite", &wrong]);
    assert!(wrong.code == Some(1) && wrong.err.contains("'encoding klingon'"), "{wrong:?}");
}

/// A wrong field of a column that is not needed is ignored, clears nothing, and its row is used. Rows that are left out
/// are written to a file, which is corrected and imported by itself.
#[test]
fn rejected_rows_are_corrected_and_imported_by_themselves() {
    let node = start();
    let good = "A1,Ann,Roy,2001-02-03,,student,Arts,,2030-04-30,\n";
    let file = write(&node, "first.csv", [HEADER, good].concat());
    assert_eq!(run(&node, &["import", &file]).code, Some(0));
    let dirty =
        [HEADER, "A1,Ann,Roy,2001-02-03,nobody,student,Arts,,30/04/2030,\n", "A2,Bo,#NAME?,,,staff,,,,\n"].concat();
    let dirty = write(&node, "dirty.csv", dirty);
    let rejects = node.folder().join("rejects.csv");
    let rejects = rejects.to_str().unwrap();
    let ran = run(&node, &["import", &dirty, "--rejects", rejects]);
    assert_eq!(ran.code, REJECTED, "{ran:?}");
    has(
        &ran,
        &[
            "line 2, column private_email: warning: not a mail address (local@domain) [mail.format]",
            "line 2, column end_date: warning: not a date (YYYY-MM-DD) [date.format]",
            "line 3, column family_name: an error value or a formula of a spreadsheet (like #NAME?) [name.spreadsheet]",
            "0 to create, 0 to update",
            "1 row written to",
        ],
    );
    let text = fs::read_to_string(rejects).unwrap();
    assert!(text.lines().next().unwrap().ends_with("password,reject_line,reject_rule,reject_words"), "{text}");
    assert!(text.contains("A2,Bo,#NAME?,,,staff,,,,,3,name.spreadsheet,"), "{text}");
    let again = run(&node, &["import", &dirty, "--rejects", rejects]);
    assert!(again.code == Some(1) && again.err.contains("exists"), "a file of rejects was overwritten: {again:?}");
    let corrected = write(&node, "corrected.csv", text.replace("#NAME?", "Li"));
    let done = run(&node, &["import", &corrected]);
    assert_eq!(done.code, Some(0), "{done:?}");
    has(&done, &["create bo.li@example.edu"]);
}

/// Somebody who comes under another number is held; the former number or a confirmation decides.
#[test]
fn a_second_number_of_a_person_is_held_until_somebody_decides() {
    let node = start();
    let header = "person_id,given_name,family_name,affiliation,birth_date,former_person_id\n";
    let import = |name: &str, row: &str, more: &[&str]| {
        let file = write(&node, name, format!("{header}{row}\n"));
        run(&node, &[&["import", &file, "--partial"], more].concat())
    };
    assert_eq!(import("one.csv", "N1,Ida,Roy,student,2001-02-03,", &[]).code, Some(0));
    let held = import("two.csv", "N2,Ida,Roy,student,2001-02-03,", &[]);
    assert_eq!(held.code, REJECTED, "{held:?}");
    has(&held, &["[person.duplicate]", "ida.roy@example.edu, known as registrar:N1", "0 writes"]);
    let moved = import("three.csv", "N2,Ida,Roy,student,2001-02-03,N1", &[]);
    assert_eq!(moved.code, Some(0), "{moved:?}");
    has(&moved, &["the number N1 became N2 [person.renumbered]"]);
    has(&run(&node, &["person", "show", "registrar:N2"]), &["ida.roy@example.edu"]);
    let other = import("four.csv", "N3,Ida,Roy,student,2001-02-03,", &["--new-person", "N3"]);
    assert_eq!(other.code, Some(0), "{other:?}");
    has(&other, &["create ida.roy2@example.edu"]);
}

/// JSON lines, LDIF and a OneRoster delta change only what they name.
#[test]
fn other_formats_change_only_what_they_name() {
    let node = start();
    for (source, format) in [("hr", "jsonl"), ("ldap", "ldif")] {
        let profile = write(&node, "profile", format!("format {format}\n"));
        assert_eq!(run(&node, &["source", "set", source, &profile]).code, Some(0));
    }
    let first = write(
        &node,
        "first.jsonl",
        "{\"person_id\":\"7\",\"given_name\":\"Max\",\"family_name\":\"Ek\",\"affiliation\":\"staff\",\"program\":\"Library\"}\n",
    );
    has(&run(&node, &["import", &first, "--source", "hr"]), &["create max.ek@example.edu"]);
    let change = write(&node, "change.jsonl", "{\"person_id\":\"7\",\"private_email\":\"m@x.example\"}\n");
    let changed = run(&node, &["import", &change, "--source", "hr", "--partial"]);
    has(&changed, &["0 to create, 1 to update", "private address: none -> m@x.example"]);
    let nothing = run(&node, &["import", &change, "--source", "hr", "--partial", "--dry-run"]);
    assert_eq!(nothing.code, Some(0), "{nothing:?}");
    let ldif = "dn: employeeNumber=5,ou=p,dc=x\nobjectClass: inetOrgPerson\nemployeeNumber: 5\ngivenName: Lea\nsn: Om\n\
                eduPersonAffiliation: student\n\ndn: employeeNumber=6,ou=p,dc=x\nchangetype: delete\n";
    let ldif = write(&node, "people.ldif", ldif);
    let ran = run(&node, &["import", &ldif, "--source", "ldap"]);
    assert_eq!(ran.code, REJECTED, "{ran:?}");
    has(&ran, &["create lea.om@example.edu", "[ldif.changetype]"]);
}
