//! Two imports at once, with manual changes and runs of the lifecycle during both: nothing is lost, and no address has two
//! owners.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by a panic.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use provost_tests::command::provost;
use provost_tests::ldap::Ldap;
use provost_tests::{Node, Options, Ran};

const PEOPLE: usize = 120;
const HEADER: &str = "person_id,given_name,family_name,affiliation,program,start_date,end_date\n";
/// Few names, so that both files want the same addresses.
const GIVEN: [&str; 4] = ["Ann", "Bo", "Zoé", "Ida"];
const FAMILY: [&str; 3] = ["Roy", "Côté", "Li"];
/// Manual changes that are made while the imports run.
const CHANGES: usize = 30;

/// A file of one source; `program` changes from file to file.
fn file(node: &Node, source: &str, program: &str) -> String {
    let mut text = HEADER.to_owned();
    for number in 0..PEOPLE {
        let (given, family) = (GIVEN[number % GIVEN.len()], FAMILY[number / GIVEN.len() % FAMILY.len()]);
        // Every tenth person has left, so that runs of the lifecycle have something to do.
        let end = if number % 10 == 0 { "2026-01-31" } else { "" };
        writeln!(text, "{source}{number},{given},{family},staff,{program},2020-01-01,{end}").unwrap();
    }
    let path = node.folder().join(format!("{source}-{program}.csv"));
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Runs an import until it finds nothing to do. A person whom another writer changed meanwhile is left to the next one.
fn import_until_settled(node: &Node, source: &str, path: &str) -> usize {
    for round in 1..20 {
        let ran = provost(node, &["import", "--partial", "--source", source, path]).unwrap();
        assert!(matches!(ran.code, Some(0 | 4)), "{ran:?}");
        if ran.code == Some(0) && (ran.out.contains("nothing to do") || !ran.out.contains("import again")) {
            return round;
        }
    }
    panic!("the import of {path} does not settle");
}

fn good(ran: &Ran) -> bool {
    // Exit code 1: another writer was faster; the clerk tries again.
    assert!(ran.code == Some(0) || ran.err.contains("changed meanwhile"), "{ran:?}");
    ran.code == Some(0)
}

#[test]
fn imports_changes_and_runs_at_once_lose_nothing() {
    let node = Node::start_with(Options { people: Some(1), ..Options::default() }).unwrap();
    let first = ["a", "b"].map(|source| file(&node, source, "Arts"));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let imports = ["a", "b"].into_iter().zip(&first);
        let imports: Vec<_> =
            imports.map(|(source, path)| scope.spawn(|| import_until_settled(&node, source, path))).collect();
        imports.into_iter().for_each(|import| println!("settled after {} rounds", import.join().unwrap()));
    });
    assert_each_address_has_one_owner(&node, 2 * PEOPLE);

    let second = ["a", "b"].map(|source| file(&node, source, "Law"));
    let aliases = std::thread::scope(|scope| {
        let changes = scope.spawn(|| change_people(&node));
        let runs = scope.spawn(|| {
            while !is_over.load(Ordering::Acquire) {
                let ran = provost(&node, &["lifecycle", "run"]).unwrap();
                assert!(matches!(ran.code, Some(0 | 4)), "{ran:?}");
            }
        });
        let imports = ["a", "b"].into_iter().zip(&second);
        let imports: Vec<_> =
            imports.map(|(source, path)| scope.spawn(|| import_until_settled(&node, source, path))).collect();
        imports.into_iter().for_each(|import| println!("settled after {} rounds", import.join().unwrap()));
        let aliases = changes.join().unwrap();
        is_over.store(true, Ordering::Release);
        runs.join().unwrap();
        aliases
    });
    // What one writer left to another is done now.
    for (source, path) in ["a", "b"].into_iter().zip(&second) {
        import_until_settled(&node, source, path);
    }
    let ran = provost(&node, &["lifecycle", "run"]).unwrap();
    assert_eq!(ran.code, Some(0), "{ran:?}");

    assert_each_address_has_one_owner(&node, 2 * PEOPLE);
    for (key, alias) in &aliases {
        let shown = provost(&node, &["person", "show", key]).unwrap().good().unwrap();
        assert!(shown.contains(alias) && shown.contains("Absent until Monday"), "{key} lost a change: {shown}");
    }
    let found = Ldap::of(&node).search("(provostProgram=Law)", &["1.1"]).unwrap().good().unwrap();
    assert_eq!(found.matches("dn: ").count(), 2 * PEOPLE, "an import lost a change");
}

/// Gives people an alias and a vacation rule, as the help desk does. Returns who got which alias.
fn change_people(node: &Node) -> Vec<(String, String)> {
    let change = |number: usize| {
        let (key, alias) = (format!("a:a{number}"), format!("desk.{number}@example.edu"));
        while !good(&provost(node, &["address", "add", &key, &alias]).unwrap()) {}
        while !good(&provost(node, &["vacation", "set", &key, "--text-en", "Absent until Monday"]).unwrap()) {}
        (key, alias)
    };
    (0..CHANGES).map(change).collect()
}

/// Every address of every person has an entry whose owner is this person, and no two people share one.
fn assert_each_address_has_one_owner(node: &Node, people: usize) {
    let ldap = Ldap::of(node);
    let entries = ldap.search("(objectClass=provostAddressEntry)", &["provostAddress", "provostOwner"]).unwrap();
    let mut owners: HashMap<String, String> = HashMap::new();
    for entry in entries.good().unwrap().split("\n\n") {
        let value = |name: &str| entry.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        if let (Some(address), Some(owner)) = (value("provostAddress: "), value("provostOwner: ")) {
            assert_eq!(owners.insert(address.clone(), owner), None, "{address} has two entries");
        }
    }
    let found = ldap.search("(employeeNumber=*)", &["mail", "mailLocalAddress", "uid"]).unwrap().good().unwrap();
    let (mut logins, mut counted) = (HashSet::new(), 0);
    for entry in found.split("\n\n").filter(|entry| entry.contains("\nuid: a") || entry.contains("\nuid: ")) {
        let Some(dn) = entry.lines().find_map(|line| line.strip_prefix("dn: ")) else { continue };
        counted += 1;
        for line in entry.lines() {
            if let Some(login) = line.strip_prefix("uid: ") {
                assert!(logins.insert(login.to_owned()), "two people have the login {login}");
            }
            if let Some(address) = line.strip_prefix("mail: ").or_else(|| line.strip_prefix("mailLocalAddress: ")) {
                assert_eq!(owners.get(address).map(String::as_str), Some(dn), "{address}");
            }
        }
    }
    assert!(counted >= people, "{counted} people of {people}");
}
