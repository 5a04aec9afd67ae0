//! Undo of imports against the real slapd 2.5 of Debian with the project's schema, and against the embedded server.

// A panic here is a failure of the test; clippy exempts test functions, but not the functions that they call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helper functions of tests are test code")]
#![allow(dead_code, reason = "the servers are shared with other tests")]

#[path = "directories/servers.rs"]
mod servers;

use provost_client::{LdapSearch, Scope, WriteConditions};
use provost_entry::{AttributeDescription, Dn, Filter, Modification};
use provost_provision::{
    Coverage, ImportError, ImportOptions, Outcomes, PlannedImport, ReadOptions, UndoError, ensure_tree,
};
use provost_schema::attr;

use self::servers::{Embedded, START_TIMEOUT, Site, Slapd, actor, admin};

const HEADER: &str = "person_id,given_name,family_name,birth_date,affiliation,program,end_date,password\n";

async fn apply(site: &Site, planned: &PlannedImport) -> Outcomes {
    let applied = site.apply_import(std::future::pending(), &admin(), planned, &mut |_| {}).await.unwrap();
    let outcomes = applied.unwrap();
    assert_eq!((outcomes.failed.as_slice(), outcomes.writes), (&[][..], planned.plan.summary().writes));
    outcomes
}

async fn import(site: &Site, rows: &str) -> String {
    let file = format!("{HEADER}{rows}").into_bytes();
    // Files that name only some people, one after the other.
    let read = ReadOptions { coverage: Some(Coverage::Partial), ..ReadOptions::default() };
    let options = ImportOptions { read, ..ImportOptions::default() };
    let planned = site.plan_import(&admin(), file, options).await;
    let planned = planned.unwrap_or_else(|error: ImportError| panic!("{error}"));
    assert_eq!(planned.plan.rejected(), []);
    apply(site, &planned).await.batch
}

/// Undoes a batch; returns, for each value that stays, its attribute and the reason.
async fn undo(site: &Site, batch: &str) -> Vec<(String, String)> {
    let planned = site.plan_undo(&admin(), batch).await.unwrap();
    assert_eq!(planned.plan.undone_batch(), Some(batch));
    if !planned.plan.is_empty() {
        apply(site, &planned).await;
    }
    planned.plan.rejected().iter().map(|left| (left.column.clone(), left.words.clone())).collect()
}

/// People and addresses as text, with every attribute that is not the server's own.
async fn content(site: &Site) -> Vec<String> {
    let mut lines = Vec::new();
    for container in ["people", "addresses"] {
        let base = site.directory.suffix().child("ou", container);
        let filter = Filter::present(attr::OBJECT_CLASS);
        let search = LdapSearch { base, scope: Scope::One, filter, attributes: Vec::new(), limit: None };
        for entry in site.directory.search_provider(search).await.unwrap() {
            for (name, values) in entry.attributes() {
                let values = values.iter().map(|value| String::from_utf8_lossy(value));
                lines.extend(values.map(|value| format!("{}: {name}: {value}", entry.dn)));
            }
        }
    }
    lines.sort();
    lines
}

/// Changes one attribute of a person as an administrator does with an LDAP client.
async fn edit(site: &Site, login: &str, attribute: &'static str, value: &str) {
    let dn = Dn::parse(&site.person(login).await.unwrap().dn).unwrap();
    let change = Modification::replace(AttributeDescription::of(attribute), vec![value.as_bytes().to_vec()]);
    site.directory.modify(&dn, vec![change], WriteConditions::default()).await.unwrap();
}

const FIRST: &str = "1,Zoé,Tremblay,2001-02-03,student,Music,2027-05-01,long enough\n\
                     2,Ida,Roy,,staff,,,\n\
                     3,Bo,Li,1999-01-01,student,Law,,\n";
/// Zoé is renamed and loses a date, Ida gets a password and a birth date, Bo changes programme, Ann is new.
const SECOND: &str = "1,Zoé,Côté,2001-02-03,student,Music,,long enough\n\
                      2,Ida,Roy,1970-01-01,staff,,,long enough\n\
                      3,Bo,Li,1999-01-01,student,Arts,,\n\
                      4,Ann,Lee,,faculty,,,long enough\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_brings_back_the_former_content() {
    let slapd = Slapd::start();
    bring_back(&slapd.desk()).await;
    let embedded = Embedded::start().await;
    bring_back(&embedded.desk()).await;
    embedded.server.stop().await;
}

async fn bring_back(site: &Site) {
    ensure_tree(&site.directory, &site.settings).await.unwrap();
    let empty = content(site).await;
    let first = import(site, FIRST).await;
    let before = content(site).await;
    let second = import(site, SECOND).await;
    assert_eq!(undo(site, &second).await, []);
    assert_eq!(content(site).await, before);
    assert!(site.plan_undo(&admin(), &second).await.unwrap().plan.is_empty(), "it is undone twice");
    // The same file is a change again.
    let again = import(site, SECOND).await;
    assert_eq!(undo(site, &again).await, []);
    assert_eq!(content(site).await, before);
    assert_eq!(undo(site, &first).await, []);
    assert_eq!(content(site).await, empty);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_since_stays_and_is_listed() {
    let embedded = Embedded::start().await;
    let site = embedded.desk();
    ensure_tree(&site.directory, &site.settings).await.unwrap();
    import(&site, FIRST).await;
    let second = import(&site, SECOND).await;
    edit(&site, "bo.li", attr::PROVOST_PROGRAM, "Dance").await;
    edit(&site, "ida.roy", attr::USER_PASSWORD, "{SSHA}bm90IHRoZSBvbmUgb2YgdGhlIGZpbGU=").await;
    edit(&site, "ann.lee", attr::DISPLAY_NAME, "Ann L.").await;
    let mut left = undo(&site, &second).await;
    left.sort();
    let names: Vec<&str> = left.iter().map(|(name, _)| name.as_str()).collect();
    // Ann's entry was changed; Bo has a third programme; Ida has another password.
    assert_eq!(names, ["person", attr::PROVOST_PROGRAM, attr::USER_PASSWORD], "{left:?}");
    assert!(left[1].1.contains("now Dance"), "{left:?}");
    let zoe = site.person("zoe.tremblay").await.unwrap();
    assert_eq!((zoe.family_name.as_str(), zoe.summary.mail.as_str()), ("Tremblay", "zoe.tremblay@example.edu"));
    assert_eq!(zoe.addresses.len(), 1);
    assert_eq!(site.person("ann.lee").await.unwrap().summary.display_name, "Ann L.");
    assert!(site.person("ida.roy").await.unwrap().has_password);
    embedded.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_were_changed_since_stay_together() {
    let embedded = Embedded::start().await;
    let site = embedded.desk();
    ensure_tree(&site.directory, &site.settings).await.unwrap();
    import(&site, FIRST).await;
    let second = import(&site, SECOND).await;
    // A third import renames Zoé again: her addresses follow from that one.
    let third = import(&site, "1,Zoé,Gagnon,2001-02-03,student,Music,,\n").await;
    let left = undo(&site, &second).await;
    assert!(left.iter().all(|(_, why)| why.contains(&format!("undo batch {third} first"))), "{left:?}");
    let zoe = site.person("zoe.gagnon@example.edu").await.unwrap();
    assert_eq!((zoe.addresses.len(), zoe.family_name.as_str()), (3, "Gagnon"));
    assert_eq!(zoe.end_date.as_deref().map(|date| &date[..10]), Some("2027-05-01"), "only her addresses stay");
    // In the right order everything goes back.
    assert_eq!(undo(&site, &third).await, []);
    embedded.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_that_was_killed_is_completed_by_the_same_command() {
    let embedded = Embedded::start().await;
    let site = embedded.desk();
    ensure_tree(&site.directory, &site.settings).await.unwrap();
    site.set_policy(&admin(), "renames", "kind guard\nlimit address none\n").await.unwrap();
    let row = |n: usize, family: &str| format!("{n},Ann,{family}-{},,staff,,,\n", "x".repeat(1 + n % 30));
    import(&site, &(0..200).map(|n| row(n, "Roy")).collect::<String>()).await;
    let before = content(&site).await;
    let second = import(&site, &(100..300).map(|n| row(n, "Lee")).collect::<String>()).await;
    for people in [20, 40] {
        let planned = site.plan_undo(&admin(), &second).await.unwrap();
        let reached = tokio::sync::Notify::new();
        let mut progress = |at: provost_provision::ApplyProgress| {
            if at.done >= people {
                reached.notify_one();
            }
        };
        let admin = admin();
        tokio::select! {
            ended = site.apply_import(std::future::pending(), &admin, &planned, &mut progress) => panic!("{ended:?}"),
            () = reached.notified() => {}
        }
    }
    let rest = wait_for_undo(&site, &second).await;
    assert!(rest.plan.changes().len() <= 140, "{:?}", rest.plan.summary());
    apply(&site, &rest).await;
    assert_eq!(content(&site).await, before);
    // Every batch has its end.
    assert!(site.batches(&admin(), 10).await.unwrap().iter().all(|batch| batch.end.is_some()));
    embedded.server.stop().await;
}

/// Plans an undo once the thread of a killed one has unlocked its journal.
async fn wait_for_undo(site: &Site, batch: &str) -> PlannedImport {
    let deadline = std::time::Instant::now() + START_TIMEOUT;
    loop {
        let planned = site.plan_undo(&admin(), batch).await.unwrap();
        if site.journals.batches().unwrap().iter().all(|(_, has_ended)| *has_ended) {
            return planned;
        }
        assert!(std::time::Instant::now() < deadline, "an interrupted undo stays open");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_batches_of_imports_are_undone_and_each_person_is_in_the_audit() {
    let embedded = Embedded::start().await;
    let site = embedded.desk();
    ensure_tree(&site.directory, &site.settings).await.unwrap();
    import(&site, FIRST).await;
    let second = import(&site, SECOND).await;
    let planned = site.plan_undo(&admin(), &second).await.unwrap();
    let undo_batch = apply(&site, &planned).await.batch;
    for (batch, is_undo) in [(undo_batch.as_str(), true), ("00000000-0000-4000-8000-000000000000", false), ("x", false)]
    {
        let refused = site.plan_undo(&admin(), batch).await.err().unwrap();
        assert_eq!(matches!(refused, UndoError::IsUndo(_)), is_undo, "{refused}");
    }
    let zoe = site.person("zoe.tremblay").await.unwrap();
    let records = site.audit.history(&zoe.dn, 10).await.unwrap();
    assert_eq!(records[0].action, "person.restore");
    assert_eq!(records[0].actor, actor().name);
    let text = records[0].detail.to_string();
    assert!(text.contains("Tremblay") && text.contains("Côté") && !text.contains("SSHA"), "{text}");
    embedded.server.stop().await;
}
