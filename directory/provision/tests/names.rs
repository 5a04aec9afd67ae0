//! Naming policies, the end of addresses and aliases with an end, against the real slapd 2.5 of Debian and the embedded
//! server.

// A panic here is a failure of the test; clippy exempts test functions, but not the functions that they call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helper functions of tests are test code")]
#![allow(dead_code, reason = "the servers are shared with tests/directories.rs")]

#[path = "directories/servers.rs"]
mod servers;

use std::sync::Arc;

use jiff::{Timestamp, ToSpan};
use provost_entry::{Dn, Entry};
use provost_provision::{
    Coverage, CsvOptions, DeskError, DirectoryContent, InitialPasswords, Outcomes, PlannedImport, Policies,
    ensure_tree, plan, read_policies, read_source, wanted,
};
use provost_schema::attr;

use self::servers::{Embedded, Site, Slapd, actor, admin};

const HEADER: &str = "person_id,given_name,family_name,birth_date,affiliation\n";
const NAMING: &str = "kind naming\nlogin {g}{family}\nprimary {given}.{family}\nrename keep=30\nquarantine days=90\n";

#[tokio::test(flavor = "multi_thread")]
async fn names_on_slapd() {
    let slapd = Slapd::start();
    check(&slapd.desk()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_on_the_embedded_server() {
    let embedded = Embedded::start().await;
    check(&embedded.desk()).await;
    embedded.server.stop().await;
}

async fn check(site: &Site) {
    ensure_tree(&site.directory, &site.settings).await.unwrap();
    let elsewhere = format!("{NAMING}domain other.example\n");
    let refused = site.desk.set_policy(&admin(), "all-1", &elsewhere).await;
    let rule = "the domain other.example is not served here".to_owned();
    assert_eq!(refused, Err(DeskError::Invalid { field: "policy", rule }));
    site.desk.set_policy(&admin(), "all-1", NAMING).await.unwrap();
    an_old_address_ends_and_goes_through_quarantine(site).await;
    an_alias_ends_on_its_day(site).await;
    alumni_get_an_address_in_their_domain(site).await;
    roles_have_addresses_that_nobody_takes(site).await;
}

fn days_from_now(days: i64) -> Timestamp {
    Timestamp::now() + (days * 24).hours()
}

async fn apply(site: &Site, planned: &PlannedImport) -> Outcomes {
    let applied = site.apply_import(std::future::pending(), &admin(), planned, &mut |_| {}).await.unwrap();
    let outcomes = applied.unwrap();
    assert_eq!((outcomes.failed.as_slice(), outcomes.writes), (&[][..], planned.plan.summary().writes));
    outcomes
}

/// Imports rows as a file of `now`.
async fn import(site: &Site, rows: &str, now: Timestamp) {
    let mut source = read_source("registrar", format!("{HEADER}{rows}").as_bytes(), &CsvOptions::default()).unwrap();
    // The rows name only some people.
    source.coverage = Coverage::Partial;
    let sources = vec![source];
    let actual = DirectoryContent::read(&site.directory).await.unwrap();
    let policies = Policies::from(&site.settings).with_lifecycle(read_policies(&site.directory).await.unwrap());
    let plan = plan(&wanted(&sources, &policies, now), &actual).unwrap();
    assert_eq!(plan.rejected(), []);
    let (plan, passwords) = (Arc::new(plan), InitialPasswords::of(sources));
    let outcomes = site.applier(&actor()).apply(&plan, &passwords, &mut |_| {}).await.unwrap();
    assert_eq!((outcomes.failed.as_slice(), outcomes.writes), (&[][..], plan.summary().writes));
}

/// Runs the lifecycle as of a moment; returns what it changed, and its batch.
async fn run(site: &Site, now: Timestamp) -> (Vec<String>, String) {
    let planned = site.plan_lifecycle(&admin(), now).await.unwrap();
    let what = planned.plan.changes().iter().map(|change| change.what.clone()).collect();
    if planned.plan.is_empty() {
        return (what, String::new());
    }
    (what, apply(site, &planned).await.batch)
}

async fn address(site: &Site, address: &str) -> Option<Entry> {
    let dn = Dn::parse(&format!("provostAddress={address},ou=addresses,{}", site.directory.suffix())).unwrap();
    site.directory.read(&dn, &["*"]).await.unwrap()
}

async fn kind(site: &Site, name: &str) -> Option<String> {
    address(site, name).await.map(|entry| entry.first(attr::PROVOST_ADDRESS_KIND).unwrap().to_owned())
}

async fn mail(site: &Site, key: &str) -> String {
    site.person(key).await.unwrap().summary.mail
}

async fn local_addresses(site: &Site, key: &str) -> usize {
    let dn = Dn::parse(&site.person(key).await.unwrap().dn).unwrap();
    let entry = site.directory.read(&dn, &["*"]).await.unwrap().unwrap();
    entry.values(attr::MAIL_LOCAL_ADDRESS).len()
}

async fn an_old_address_ends_and_goes_through_quarantine(site: &Site) {
    let (roy, abe) = ("1,Ann,Roy,2001-01-01,staff\n", "1,Ann,Abe,2001-01-01,staff\n");
    let other = "2,Ann,Roy,2002-02-02,staff\n";
    import(site, roy, days_from_now(0)).await;
    run(site, days_from_now(0)).await;
    import(site, abe, days_from_now(0)).await;
    assert_eq!(site.person("aroy").await.unwrap().summary.mail, "ann.abe@example.edu");
    let old = address(site, "ann.roy@example.edu").await.unwrap();
    assert_eq!(old.first(attr::PROVOST_ADDRESS_KIND), Some("retained"));
    assert!(old.first(attr::DESCRIPTION).unwrap().starts_with("policy all-1, {given}.{family}"));
    assert!(run(site, days_from_now(29)).await.0.is_empty());
    let (what, batch) = run(site, days_from_now(31)).await;
    assert_eq!(what, ["ann.abe@example.edu: ann.roy@example.edu ends"]);
    assert_eq!(
        (kind(site, "ann.roy@example.edu").await.as_deref(), local_addresses(site, "aroy").await),
        (Some("quarantined"), 1)
    );
    // The run can be taken back, and comes to the same end again.
    let undone = site.plan_undo(&admin(), &batch).await.unwrap();
    assert_eq!(undone.plan.rejected(), []);
    apply(site, &undone).await;
    assert_eq!(
        (kind(site, "ann.roy@example.edu").await.as_deref(), local_addresses(site, "aroy").await),
        (Some("retained"), 2)
    );
    run(site, days_from_now(31)).await;
    // Nobody else gets the address while it is in quarantine.
    import(site, &format!("{abe}{other}"), days_from_now(60)).await;
    assert_eq!(mail(site, "aroy2").await, "ann.roy2@example.edu");
    run(site, days_from_now(60)).await;
    let (what, batch) = run(site, days_from_now(31 + 92)).await;
    assert_eq!(what, ["ann.roy@example.edu is free"]);
    assert_eq!(kind(site, "ann.roy@example.edu").await, None);
    let undone = site.plan_undo(&admin(), &batch).await.unwrap();
    assert_eq!((undone.plan.is_empty(), undone.plan.rejected()[0].rule.to_string()), (true, "undo.freed".to_owned()));
    import(site, &format!("{abe}{other}3,Ann,Roy,2003-03-03,staff\n"), days_from_now(130)).await;
    assert_eq!(mail(site, "aroy3").await, "ann.roy@example.edu");
}

async fn an_alias_ends_on_its_day(site: &Site) {
    let until = days_from_now(5);
    let past = site.add_alias_until(&admin(), "aroy", "dean@example.edu", days_from_now(-1)).await;
    let rule = "the end of an alias is in the future".to_owned();
    assert_eq!(past, Err(DeskError::Invalid { field: "until", rule }));
    site.add_alias_until(&admin(), "aroy", "dean@example.edu", until).await.unwrap();
    // The same again moves the end.
    let later = days_from_now(10);
    site.add_alias_until(&admin(), "aroy", "dean@example.edu", later).await.unwrap();
    assert!(!run(site, days_from_now(6)).await.0.contains(&"ann.abe@example.edu: dean@example.edu ends".to_owned()));
    let (what, _) = run(site, days_from_now(11)).await;
    assert_eq!(what, ["ann.abe@example.edu: dean@example.edu ends"]);
    assert_eq!(kind(site, "dean@example.edu").await.as_deref(), Some("quarantined"));
    let refused = site.desk.add_alias(&admin(), "aroy2", "dean@example.edu").await;
    assert!(matches!(refused, Err(DeskError::Quarantined { .. })), "{refused:?}");
}

async fn alumni_get_an_address_in_their_domain(site: &Site) {
    let dn = Dn::parse(&format!("provostDomain=alumni.example.edu,ou=domains,{}", site.directory.suffix())).unwrap();
    let domain =
        Entry::new(dn).with(attr::OBJECT_CLASS, "provostDomainEntry").with(attr::PROVOST_DOMAIN, "alumni.example.edu");
    site.directory.add(domain).await.unwrap();
    let policy = "kind naming\npopulation student\nalumni {given}.{family}@alumni.example.edu from=alumni primary=yes\n\
        rename keep=365\n";
    site.desk.set_policy(&admin(), "students-1", policy).await.unwrap();
    let file = "person_id,given_name,family_name,affiliation,end_date\n\
        11,Eva,Stone,student,2020-06-30\n12,Eva,Stone,student,2020-06-30\n13,Max,Stone,student,2099-06-30\n";
    let planned = site.plan_import(&admin(), file.as_bytes(), CsvOptions::default()).await.unwrap();
    assert_eq!(planned.plan.rejected(), []);
    apply(site, &planned).await;
    let (what, batch) = run(site, days_from_now(0)).await;
    // Whoever has the name without a number keeps it without one.
    let expect = [
        "eva.stone@example.edu: alumni address eva.stone@alumni.example.edu",
        "eva.stone2@example.edu: alumni address eva.stone2@alumni.example.edu",
    ];
    assert_eq!(what, expect);
    let both = [mail(site, "eva.stone").await, mail(site, "eva.stone2").await];
    assert!(both.iter().all(|mail| mail.ends_with("@alumni.example.edu")) && both[0] != both[1], "{both:?}");
    assert_eq!(kind(site, "eva.stone@example.edu").await.as_deref(), Some("retained"));
    assert_eq!(mail(site, "max.stone").await, "max.stone@example.edu");
    assert!(run(site, days_from_now(0)).await.0.is_empty(), "a second run finds nothing to do");
    let undone = site.plan_undo(&admin(), &batch).await.unwrap();
    assert_eq!(undone.plan.rejected(), []);
    apply(site, &undone).await;
    assert_eq!(mail(site, "eva.stone").await, "eva.stone@example.edu");
    assert_eq!(kind(site, "eva.stone@example.edu").await.as_deref(), Some("primary"));
}

async fn roles_have_addresses_that_nobody_takes(site: &Site) {
    let made = ensure_tree(&site.directory, &site.settings).await.unwrap();
    assert_eq!(made.len(), 3, "the new domain has its roles: {made:?}");
    assert!(ensure_tree(&site.directory, &site.settings).await.unwrap().is_empty());
    for address in ["postmaster@example.edu", "abuse@alumni.example.edu"] {
        let taken = site.desk.add_alias(&admin(), "aroy", address).await;
        assert_eq!(taken, Err(DeskError::InUse(address.to_owned())));
        let removed = site.desk.remove_alias(&admin(), "aroy", address).await;
        assert_eq!(removed, Err(DeskError::NotFound(address.to_owned())));
    }
    let targets = |address: &str| vec![address.to_owned()];
    let nobody = site.set_role_targets(&admin(), "abuse@example.edu", &targets("nobody@example.edu")).await;
    let rule = "nobody@example.edu is the address of no person".to_owned();
    assert_eq!(nobody, Err(DeskError::Invalid { field: "target", rule }));
    let not_a_role = site.set_role_targets(&admin(), "ann.abe@example.edu", &targets("max.stone@example.edu")).await;
    assert_eq!(not_a_role, Err(DeskError::InUse("ann.abe@example.edu".to_owned())));
    site.set_role_targets(&admin(), "abuse@example.edu", &targets("max.stone@example.edu")).await.unwrap();
    let roles = site.role_addresses(&admin()).await.unwrap();
    let abuse = roles.iter().find(|role| role.address == "abuse@example.edu").unwrap();
    assert_eq!((roles.len(), abuse.targets.as_slice()), (6, &["max.stone@example.edu".to_owned()][..]));
}
