//! A source that follows another LDAP directory: slapd, and the embedded server of another node.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by a panic.

#[path = "followed/slapd.rs"]
mod slapd;

use std::fs;
use std::time::Duration;

use provost_tests::command::provost;
use provost_tests::ldap::{Ldap, SUFFIX};
use provost_tests::{Node, Options, Port, Ran, deadline};

use slapd::{PASSWORD, ROOT, Slapd};

/// Longest time until a change is imported: the profiles are read every five seconds.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

fn start() -> Node {
    Node::start_with(Options { people: Some(1), ..Options::default() }).unwrap()
}

fn run(node: &Node, arguments: &[&str]) -> Ran {
    provost(node, arguments).unwrap()
}

fn has(ran: &Ran, texts: &[&str]) {
    for text in texts {
        assert!(ran.out.contains(text), "no '{text}' in\n{}\n{}", ran.out, ran.err);
    }
}

/// An entry of the other directory. `number` is the key.
fn entry(number: u32, given: &str, family: &str) -> String {
    format!(
        "dn: uid=u{number},ou=staff,{SUFFIX}\nobjectClass: inetOrgPerson\nuid: u{number}\nemployeeNumber: {number}\n\
         givenName: {given}\nsn: {family}\ncn: {given} {family}\ntitle: Dr\n\n"
    )
}

/// Entries with names that differ.
fn entries(numbers: std::ops::RangeInclusive<u32>) -> String {
    let name = |number: u32| entry(number, &letters(number), "Kern");
    let base = format!("dn: ou=staff,{SUFFIX}\nobjectClass: organizationalUnit\nou: staff\n\n");
    base + &numbers.map(name).collect::<String>()
}

fn letters(number: u32) -> String {
    let letter = |digit: u32| char::from_digit(10 + digit % 20, 30).unwrap_or('a');
    ['N', letter(number / 400), letter(number / 20), letter(number)].iter().collect::<String>() + "a"
}

fn set_profile(node: &Node, url: &str, identity: (&str, &str)) {
    let secrets = node.data().join("sources");
    fs::create_dir_all(&secrets).unwrap();
    fs::write(secrets.join("hr.password"), format!("{}\n", identity.1)).unwrap();
    let profile = format!(
        "format ldap\nserver {url}\nbase ou=staff,{SUFFIX}\nbind-dn {}\npassword-file hr.password\n\
         constant affiliation staff\nnumber characters digits\n",
        identity.0
    );
    let file = node.folder().join("hr.source");
    fs::write(&file, profile).unwrap();
    has(&run(node, &["source", "set", "hr", file.to_str().unwrap()]), &["version"]);
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    deadline::until(LIMIT, || Ok(is_so().then_some(()))).unwrap_or_else(|_| panic!("not in time: {what}"));
}

fn is_known(node: &Node, key: &str, text: &str) -> bool {
    let shown = run(node, &["person", "show", key]);
    shown.code == Some(0) && shown.out.contains(text)
}

fn followed(node: &Node, text: &str) -> bool {
    run(node, &["source", "show", "hr"]).out.lines().any(|line| line.starts_with("# followed:") && line.contains(text))
}

/// Adds, changes, renames and deletes at a directory, and compares what the node makes of it.
fn changes_come_in(node: &Node, other: &Ldap) {
    other.feed("ldapadd", &entry(77, "Ida", "Falk")).unwrap().good().unwrap();
    until("an added entry", || is_known(node, "hr:77", "ida.falk@example.edu"));
    let dn = format!("dn: uid=u77,ou=staff,{SUFFIX}\nchangetype: ");
    other.feed("ldapmodify", &format!("{dn}modify\nreplace: sn\nsn: Moor\n\n")).unwrap().good().unwrap();
    until("a changed name", || is_known(node, "hr:77", "ida.moor@example.edu"));
    let renamed = format!("{dn}modrdn\nnewrdn: uid=idamoor\ndeleteoldrdn: 1\n\n");
    other.feed("ldapmodify", &renamed).unwrap().good().unwrap();
    let gone = format!("dn: uid=u1,ou=staff,{SUFFIX}\nchangetype: delete\n\n");
    other.feed("ldapmodify", &gone).unwrap().good().unwrap();
    other.feed("ldapadd", &entry(78, "Ole", "Last")).unwrap().good().unwrap();
    until("the last change", || is_known(node, "hr:78", "ole.last@example.edu"));
    assert!(is_known(node, "hr:77", "ida.moor@example.edu"), "a renamed entry is the same person");
    let deleted = run(node, &["person", "show", "hr:1"]);
    has(&deleted, &["active"]);
    assert!(node.log().contains("entries are gone"), "{}", node.log());
}

/// The same on slapd 2.5, with restarts, a cookie that is too old, and a directory that loses its entries.
#[test]
fn a_slapd_is_followed() {
    let (mut node, mut hr) = (start(), Slapd::start());
    hr.fill(&entries(1..=40));
    set_profile(&node, &hr.url, (ROOT, PASSWORD));
    let tried = run(&node, &["source", "test", "--source", "hr"]);
    assert_eq!(tried.code, Some(0), "{tried:?}");
    has(&tried, &["40 people", "coverage complete", "family_name=Kern", "nothing was written"]);
    until("the first complete read", || followed(&node, "entries 40"));
    has(&run(&node, &["person", "show", "hr:40"]), &["kern", "staff"]);
    changes_come_in(&node, &hr.ldap());
    // By hand, once and whole, beside the node.
    let again = run(&node, &["import", "--source", "hr", "--dry-run"]);
    // Only the entry that is gone is pending: the whole counts its person as absent.
    assert_eq!(again.code, Some(2), "the node has imported everything: {again:?}");
    has(&again, &["1 of 2 files of hr", "41 rows", "0 to create, 0 to update"]);

    // While the node is down, changes wait for its cookie.
    node.stop().unwrap();
    hr.ldap().feed("ldapadd", &entry(79, "Una", "Dusk")).unwrap().good().unwrap();
    node.serve_again(&[Port::Http]).unwrap();
    until("a change of the time without the node", || is_known(&node, "hr:79", "una.dusk@example.edu"));
    assert!(
        node.log().contains("coverage=\"partial\"") && !node.log().contains("coverage=\"complete\""),
        "{}",
        node.log()
    );

    // slapd is down, and comes back.
    hr.stop();
    until("a failure that is shown", || followed(&node, "failure") && !followed(&node, "failure null"));
    let down = run(&node, &["import", "--source", "hr"]);
    assert!(down.code == Some(5) && down.err.contains("cannot be read"), "{down:?}");
    hr.run();
    hr.ldap().feed("ldapadd", &entry(80, "Kim", "Dawn")).unwrap().good().unwrap();
    until("a change after slapd is back", || is_known(&node, "hr:80", "kim.dawn@example.edu"));

    // Its database is filled anew: the cookie is of another time, and a part of the people is not back yet.
    hr.fill(&entries(2..=12));
    until("a half-filled directory is noticed", || followed(&node, "half-filled"));
    let half = run(&node, &["import", "--source", "hr"]);
    assert!(half.code == Some(5) && half.err.contains("has 11 entries"), "{half:?}");
    for number in [12, 13, 40, 77, 80] {
        has(&run(&node, &["person", "show", &format!("hr:{number}")]), &["active"]);
    }
    hr.fill(&(entries(2..=40) + &entry(81, "Lea", "Noon")));
    until("a directory that is whole again", || is_known(&node, "hr:81", "lea.noon@example.edu"));
    has(&run(&node, &["person", "show", "hr:77"]), &["active"]);
}

/// The embedded server of another node is a provider as well.
#[test]
fn an_embedded_server_is_followed() {
    let (node, other) = (start(), start());
    let ldap = Ldap::of(&other);
    ldap.feed("ldapadd", &entries(1..=12)).unwrap().good().unwrap();
    let url = format!("ldap://127.0.0.1:{}", other.port(Port::Ldap));
    set_profile(&node, &url, (&format!("cn=provost,{SUFFIX}"), &other.secret("directory-password")));
    until("the first complete read", || followed(&node, "entries 12"));
    changes_come_in(&node, &ldap);
}

/// A profile that cannot work is refused when it is written; a password that is missing or wrong is named.
#[test]
fn a_profile_that_cannot_work_is_refused() {
    let (node, hr) = (start(), Slapd::start());
    let set = |lines: &str| {
        let file = node.folder().join("bad.source");
        fs::write(&file, lines).unwrap();
        let ran = run(&node, &["source", "set", "hr", file.to_str().unwrap()]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        ran.err
    };
    assert!(set("format ldap\n").contains("needs a line 'server URL'"));
    let own = format!("format ldap\nserver ldap://127.0.0.1:{}\nbase {SUFFIX}\n", node.port(Port::Ldap));
    assert!(set(&own).contains("the site's own directory"));
    let far = "format ldap\nserver ldap://ldap.example.com\nbase dc=x\nbind-dn cn=r,dc=x\npassword-file hr\n";
    assert!(set(far).contains("in the clear"));
    set_profile(&node, &hr.url, (ROOT, "wrong"));
    let wrong = run(&node, &["source", "test", "--source", "hr"]);
    assert!(wrong.code != Some(0) && wrong.err.contains("credentials"), "{wrong:?}");
    fs::remove_file(node.data().join("sources/hr.password")).unwrap();
    let missing = run(&node, &["source", "test", "--source", "hr"]);
    assert!(missing.code == Some(1) && missing.err.contains("hr.password"), "{missing:?}");
}
