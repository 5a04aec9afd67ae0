//! The guard and the failure limit on an embedded directory: many small files, people with a role, addresses of roles,
//! and an apply that stops because too many people fail.

// A panic here is a failure of the test; clippy exempts test functions, but not the functions that they call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helper functions of tests are test code")]
#![allow(dead_code, reason = "the servers are shared with tests/directories.rs")]

#[path = "directories/servers.rs"]
mod servers;

use provost_client::{LdapSearch, Scope, WriteConditions};
use provost_entry::{AttributeDescription, Dn, Filter, Modification};
use provost_provision::{ApplyError, Coverage, ImportOptions, Outcomes, PlannedImport, ReadOptions, ensure_tree};
use provost_schema::attr;

use self::servers::{Embedded, Site, admin};

const HEADER: &str = "person_id,given_name,family_name,affiliation,program\n";

/// The family name of a person by number: three letters.
fn family(n: usize) -> String {
    [n / 676, n / 26, n].iter().map(|n| char::from(b'a' + u8::try_from(n % 26).unwrap())).collect()
}

/// Plans a file of `source` with these people.
async fn plan(site: &Site, source: &str, coverage: Coverage, people: impl Iterator<Item = usize>) -> PlannedImport {
    let rows: String = people.map(|n| format!("{source}{n},Ann,Fam{},student,Arts\n", family(n))).collect();
    let read = ReadOptions { coverage: Some(coverage), ..ReadOptions::default() };
    let options = ImportOptions { source: Some(source.to_owned()), read, ..ImportOptions::default() };
    let planned = site.plan_import(&admin(), format!("{HEADER}{rows}").into_bytes(), options).await.unwrap();
    assert_eq!(planned.plan.rejected(), []);
    planned
}

async fn apply(site: &Site, planned: &PlannedImport) -> Result<Outcomes, (Outcomes, ApplyError)> {
    site.apply_import(std::future::pending(), &admin(), planned, &mut |_| {}).await.unwrap()
}

/// The entries below a container, without the server's own attributes.
async fn content(site: &Site, container: &str) -> Vec<String> {
    let base = site.directory.suffix().child("ou", container);
    let filter = Filter::present(attr::OBJECT_CLASS);
    let search = LdapSearch { base, scope: Scope::One, filter, attributes: Vec::new(), limit: None };
    let entries = site.directory.search_provider(search).await.unwrap();
    let mut lines: Vec<String> = entries.iter().map(|entry| format!("{entry:?}")).collect();
    lines.sort();
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_files_that_each_drop_four_percent_are_stopped_from_the_third_on() {
    let embedded = Embedded::start().await;
    let site = embedded.desk();
    ensure_tree(&site.directory, &site.settings).await.unwrap();
    apply(&site, &plan(&site, "sis", Coverage::Partial, 0..500).await).await.unwrap();
    for drop in 1..=2 {
        apply(&site, &plan(&site, "sis", Coverage::Complete, 0..500 - 20 * drop).await).await.unwrap();
    }
    let before = content(&site, "people").await;
    for drop in 3..=10 {
        let stopped = apply(&site, &plan(&site, "sis", Coverage::Complete, 0..500 - 20 * drop).await).await;
        let Err((outcomes, ApplyError::Guard(stop))) = stopped else { panic!("file {drop}: {stopped:?}") };
        assert!(outcomes.writes == 0 && stop.report.trips.iter().any(|trip| trip.count.cohort == "student/Arts"));
    }
    assert_eq!(content(&site, "people").await, before, "a stopped plan wrote something");
    embedded.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_takes_away_people_with_a_role_or_the_addresses_of_roles() {
    let embedded = Embedded::start().await;
    let site = embedded.desk();
    ensure_tree(&site.directory, &site.settings).await.unwrap();
    apply(&site, &plan(&site, "sis", Coverage::Partial, 0..4).await).await.unwrap();
    let roles = site.role_addresses(&admin()).await.unwrap();
    assert_eq!(roles.len(), 3);
    let operator = site.person("ann.famaaa").await.unwrap();
    let role = Modification::replace(AttributeDescription::of(attr::PROVOST_ROLE), vec![b"postmaster".to_vec()]);
    let dn = Dn::parse(&operator.dn).unwrap();
    site.directory.modify(&dn, vec![role], WriteConditions::default()).await.unwrap();
    let before = site.person("ann.famaaa").await.unwrap();
    // The operator and another person are missing in two files, after which the other one leaves.
    for (file, people) in [(1, 2..4), (2, 2..3)] {
        let planned = plan(&site, "sis", Coverage::Complete, people).await;
        let touched = planned.plan.changes().iter().filter(|change| change.what.contains("ann.famaaa"));
        assert_eq!(touched.count(), 0, "file {file} changes a person with a role");
        assert!(planned.plan.summary().absent >= 1);
        apply(&site, &planned).await.unwrap();
    }
    assert_eq!(site.person("ann.famaaa").await.unwrap(), before);
    assert_eq!(site.person("ann.famaab").await.unwrap().summary.state, "grace");
    assert_eq!(site.role_addresses(&admin()).await.unwrap(), roles);
    // A person who is named like a role gets another address.
    let read = ReadOptions { coverage: Some(Coverage::Partial), ..ReadOptions::default() };
    let options = ImportOptions { read, ..ImportOptions::default() };
    let abuse = format!("{HEADER}7,Abuse,Abuse,staff,IT\n").into_bytes();
    site.set_policy(&admin(), "everybody-1", "kind naming\nlogin {family}\nprimary {family}\n").await.unwrap();
    apply(&site, &site.plan_import(&admin(), abuse, options).await.unwrap()).await.unwrap();
    let person = site.person("registrar:7").await.unwrap();
    assert_ne!(person.summary.mail, "abuse@example.edu");
    assert_eq!(site.role_addresses(&admin()).await.unwrap(), roles);
    embedded.server.stop().await;
}

/// People of a plan.
const PLANNED: usize = 400;
/// People among them whose address is taken after the plan was made.
const TAKEN: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn an_apply_stops_when_too_many_people_fail_and_is_continued_by_the_same_plan() {
    let embedded = Embedded::start().await;
    let site = embedded.desk();
    ensure_tree(&site.directory, &site.settings).await.unwrap();
    site.set_policy(&admin(), "all-1", "kind guard\nfailures floor=10 share=20%\n").await.unwrap();
    let planned = plan(&site, "sis", Coverage::Partial, 0..PLANNED).await;
    let taken = apply(&site, &plan(&site, "hr", Coverage::Partial, 0..TAKEN).await).await.unwrap();

    let stopped = apply(&site, &planned).await;
    let Err((outcomes, ApplyError::TooManyFailures { failed, done })) = stopped else { panic!("{stopped:?}") };
    assert!(failed > 10 && failed * 100 > done * 20, "stopped too early: {failed} of {done}");
    assert!(outcomes.failed.len() <= TAKEN && outcomes.failed.iter().all(|(line, _)| *line <= TAKEN as u64 + 1));
    let tried = outcomes.applied + outcomes.failed.len();
    assert!(tried < PLANNED, "everybody was tried: {tried}");
    let records = site.audit.newest(1000).await.unwrap();
    let end = records.iter().find(|record| record.action == "import.apply").unwrap();
    assert!(end.detail["stopped"].as_str().unwrap().contains("people failed"), "{:?}", end.detail);

    // An administrator takes the cause away. Another plan in between would end the batch, and the file be planned again.
    remove_what_wrote(&site, &taken.batch).await;
    let continued = apply(&site, &planned).await.unwrap();
    assert!(continued.resumed && continued.failed.is_empty(), "{:?}", continued.failed);
    assert_eq!((continued.applied, &continued.batch), (PLANNED, &outcomes.batch));
    embedded.server.stop().await;
}

/// Deletes the entries that a batch made.
async fn remove_what_wrote(site: &Site, batch: &str) {
    for container in ["people", "addresses"] {
        let base = site.directory.suffix().child("ou", container);
        let filter = Filter::equal(attr::PROVOST_LAST_BATCH, batch);
        let search = LdapSearch { base, scope: Scope::One, filter, attributes: Vec::new(), limit: None };
        for entry in site.directory.search_provider(search).await.unwrap() {
            site.directory.delete(&entry.dn, WriteConditions::default()).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn few_failures_do_not_stop_an_apply() {
    let embedded = Embedded::start().await;
    let site = embedded.desk();
    ensure_tree(&site.directory, &site.settings).await.unwrap();
    let planned = plan(&site, "sis", Coverage::Partial, 0..PLANNED).await;
    apply(&site, &plan(&site, "hr", Coverage::Partial, 0..TAKEN).await).await.unwrap();
    // The built-in floor is 200 people.
    let outcomes = apply(&site, &planned).await.unwrap();
    assert_eq!((outcomes.failed.len(), outcomes.applied), (TAKEN, PLANNED - TAKEN));
    embedded.server.stop().await;
}
