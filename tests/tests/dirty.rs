//! Dirty files of a registrar, against a directory that holds people: nobody is lost, created twice or renamed by
//! mistake, each problem has its line and rule, and the clean rows go through.
//!
//! Each case is imported as an operator would, and then taken back, so that the next one begins from the same people.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by a panic.

#[path = "dirty/cases.rs"]
mod cases;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use provost_tests::command::provost;
use provost_tests::ldap::{Ldap, SUFFIX};
use provost_tests::{Node, Options, Ran};

use cases::{Case, base_file, cases};

/// Attributes that make a person to others.
const ATTRIBUTES: [&str; 11] = [
    "provostSourceId",
    "employeeNumber",
    "uid",
    "mail",
    "displayName",
    "eduPersonAffiliation",
    "provostProgram",
    "provostState",
    "provostEndDate",
    "schacDateOfBirth",
    "provostPrivateMail",
];

/// The lines of each person, by DN.
type People = BTreeMap<String, BTreeSet<String>>;

struct Registrar {
    node: Node,
    ldap: Ldap,
}

impl Registrar {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("base.csv");
        fs::write(&file, base_file()).unwrap();
        let node = Node::start_with(Options { import: Some(file), ..Options::default() }).unwrap();
        let ldap = Ldap::of(&node);
        Self { node, ldap }
    }

    fn people(&self) -> People {
        let base = format!("ou=people,{SUFFIX}");
        let mut arguments = vec!["-LLL", "-o", "ldif-wrap=no", "-b", &base, "(objectClass=provostAccount)"];
        arguments.extend(ATTRIBUTES);
        let found = self.ldap.run("ldapsearch", &arguments).unwrap().good().unwrap();
        let entry = |text: &str| {
            let mut lines = text.lines().map(str::to_owned);
            lines.next().map(|dn| (dn, lines.collect()))
        };
        found.split("\n\n").filter_map(entry).collect()
    }

    fn import(&self, name: &str, octets: &[u8], arguments: &[&str]) -> (Ran, Vec<u8>) {
        let file = self.node.folder().join(name);
        let rejects = self.node.folder().join(format!("{name}.rejects"));
        let _ = fs::remove_file(&rejects);
        fs::write(&file, octets).unwrap();
        let all = [&["import", file.to_str().unwrap(), "--rejects", rejects.to_str().unwrap()], arguments].concat();
        (provost(&self.node, &all).unwrap(), fs::read(&rejects).unwrap_or_default())
    }

    /// Takes the batch of an import back, if there is one.
    fn undo(&self, ran: &Ran) {
        let batch = ran.out.lines().find_map(|line| Some(line.strip_prefix("batch ")?.split_once(':')?.0.to_owned()));
        if let Some(batch) = batch {
            let undone = provost(&self.node, &["undo", &batch]).unwrap();
            assert_eq!(undone.code, Some(0), "{undone:?}");
        }
    }

    fn play(&self, case: &Case) {
        let before = self.people();
        let (ran, rejects) = self.import(case.name, &case.octets, case.arguments);
        assert_eq!(ran.code, Some(case.code), "{}: {ran:?}", case.name);
        let all = [ran.out.as_str(), ran.err.as_str()].concat();
        for text in case.says {
            assert!(all.contains(text), "{}: no '{text}' in\n{all}", case.name);
        }
        let after = self.people();
        compare(case, &before, &after);
        if !rejects.is_empty() {
            // The rejected rows alone, without a correction, bring nobody.
            let (again, _) = self.import("rejects.csv", &rejects, &["--dry-run"]);
            assert!(again.out.contains(" 0 to create,"), "{}: {again:?}", case.name);
        }
        self.undo(&ran);
        assert_eq!(self.people(), before, "{}: what an undo leaves", case.name);
    }
}

/// Nobody is lost; those who are new or have another address are those of the case.
fn compare(case: &Case, before: &People, after: &People) {
    let value = |lines: &BTreeSet<String>, name: &str| -> Vec<String> {
        let prefix = format!("{name}: ");
        lines.iter().filter_map(|line| line.strip_prefix(&prefix).map(str::to_owned)).collect()
    };
    let mut renamed = Vec::new();
    for (dn, lines) in before {
        let Some(now) = after.get(dn) else { panic!("{}: {dn} is lost: {lines:?}", case.name) };
        for id in value(lines, "provostSourceId") {
            assert!(value(now, "provostSourceId").contains(&id), "{}: {dn} lost {id}", case.name);
        }
        assert_eq!(value(lines, "uid"), value(now, "uid"), "{}: a login changed", case.name);
        assert_eq!(value(lines, "provostState"), value(now, "provostState"), "{}: {dn} changed its state", case.name);
        if value(lines, "mail") != value(now, "mail") {
            renamed.extend(value(now, "mail"));
        }
    }
    let new = after.iter().filter(|(dn, _)| !before.contains_key(*dn));
    let mut created: Vec<String> = new.flat_map(|(_, lines)| value(lines, "mail")).collect();
    created.sort();
    let mut expect: Vec<String> = case.creates.iter().map(|local| format!("{local}@example.edu")).collect();
    expect.sort();
    assert_eq!(created, expect, "{}: who is new", case.name);
    let expect: Vec<String> = case.renames.iter().map(|local| format!("{local}@example.edu")).collect();
    assert_eq!(renamed, expect, "{}: who has another address", case.name);
}

#[test]
fn dirty_files_lose_nobody_and_name_every_problem() {
    let registrar = Registrar::start();
    for case in cases() {
        registrar.play(&case);
    }
}

/// The rejected rows are corrected in their own file, which is then imported alone.
#[test]
fn rejected_rows_are_corrected_and_imported_alone() {
    let registrar = Registrar::start();
    let case = cases().into_iter().find(|case| case.name == "damaged-numbers.csv").unwrap();
    let (_, rejects) = registrar.import(case.name, &case.octets, &[]);
    let text = String::from_utf8(rejects).unwrap();
    let corrected = text.replace("1.24E+06", "0012480").replace("12 481", "0012481").replace("TRUE", "0012482");
    let (ran, _) = registrar.import("corrected.csv", corrected.as_bytes(), &[]);
    assert_eq!(ran.code, Some(4), "two of five are still wrong: {ran:?}");
    for text in ["create ann.expo@example.edu", "create bea.blank@example.edu", "create cy.truth@example.edu"] {
        assert!(ran.out.contains(text), "{ran:?}");
    }
}
