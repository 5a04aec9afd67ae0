//! Imports and help-desk operations against the real slapd 2.5 of Debian with the project's schema, and against the
//! embedded server. A test that runs on both expects the same of both.

// A panic here is a failure of the test; clippy exempts test functions, but not the functions that they call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helper functions of tests are test code")]

#[path = "directories/servers.rs"]
mod servers;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use provost_client::{DirectoryError, LdapSearch, Scope, WriteConditions};
use provost_credential::{Secret, Verification};
use provost_entry::{AttributeDescription, Dn, Entry, Filter, Modification};
use provost_provision::{
    ApplyError, CsvOptions, DeskError, DirectoryContent, InitialPasswords, Journals, Outcomes, Plan, Policies,
    VacationChange, ensure_tree, plan, read_source, wanted,
};
use provost_schema::attr;

use self::servers::{Embedded, START_TIMEOUT, Site, Slapd, actor, admin, desk, settings};

const SAMPLE: &str = include_str!("../../../docs/sample/people.csv");
const HEADER: &str =
    "person_id,given_name,family_name,birth_date,private_email,affiliation,program,end_date,password\n";

/// A plan with the passwords of its file.
struct PlannedFile {
    plan: Arc<Plan>,
    passwords: InitialPasswords,
}

impl std::ops::Deref for PlannedFile {
    type Target = Plan;

    fn deref(&self) -> &Plan {
        &self.plan
    }
}

async fn plan_for(desk: &Site, file: &str) -> PlannedFile {
    let sources = vec![read_source("registrar", file.as_bytes(), &CsvOptions::default()).unwrap()];
    let actual = DirectoryContent::read(&desk.directory).await.unwrap();
    let policies = Policies::from(&desk.settings);
    let plan = plan(&wanted(&sources, &policies, jiff::Timestamp::now()), &actual).unwrap();
    PlannedFile { plan: Arc::new(plan), passwords: InitialPasswords::of(sources) }
}

async fn apply_to(site: &Site, planned: &PlannedFile) -> Result<Outcomes, (Outcomes, ApplyError)> {
    let mut steps = 0;
    let mut progress = |_| steps += 1;
    let result = site.applier(&actor()).apply(&planned.plan, &planned.passwords, &mut progress).await;
    assert!(steps <= planned.changes().len(), "progress was reported {steps} times");
    result
}

async fn import(desk: &Site, file: &str) -> Outcomes {
    let plan = plan_for(desk, file).await;
    let outcomes = apply_to(desk, &plan).await.unwrap();
    assert_eq!((outcomes.failed.as_slice(), outcomes.writes), (&[][..], plan.summary().writes));
    outcomes
}

async fn below(desk: &Site, container: &str) -> Vec<Entry> {
    let base = desk.directory.suffix().child("ou", container);
    let filter = Filter::present(attr::OBJECT_CLASS);
    let search = LdapSearch { base, scope: Scope::One, filter, attributes: Vec::new(), limit: None };
    desk.directory.search_provider(search).await.unwrap()
}

/// Compiles only for a `Send` future: a web handler spawns it.
fn is_send<T: Send>(value: T) -> T {
    value
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_file_becomes_people() {
    let slapd = Slapd::start();
    import_the_sample(&slapd.desk()).await;
    let embedded = Embedded::start().await;
    import_the_sample(&embedded.desk()).await;
    embedded.server.stop().await;
}

async fn import_the_sample(desk: &Site) {
    assert_eq!(ensure_tree(&desk.directory, &desk.settings).await.unwrap().len(), 15);
    assert!(ensure_tree(&desk.directory, &desk.settings).await.unwrap().is_empty());

    let first = plan_for(desk, SAMPLE).await;
    let mut lines: Vec<u64> = first.rejected().iter().map(|problem| problem.line).collect();
    lines.dedup();
    assert_eq!((lines.len(), first.summary().rejected), (5, 5), "{:?}", first.rejected());
    assert_eq!(first.warnings().len(), 1, "{:?}", first.warnings());
    assert!(first.summary().create >= 220 && first.summary().passwords == first.summary().create);
    let outcomes = is_send(apply_to(desk, &first)).await.unwrap();
    assert_eq!((outcomes.applied, outcomes.writes), (first.summary().create, 2 * first.summary().create));
    assert!(outcomes.failed.is_empty() && outcomes.hashing_seconds > 0.0);
    assert!(plan_for(desk, SAMPLE).await.is_empty());

    let people = below(desk, "people").await;
    assert_eq!(people.len(), first.summary().create);
    let password = SAMPLE.lines().nth(1).unwrap().rsplit(',').next().unwrap();
    let zoe = desk.person("zoe.tremblay").await.unwrap();
    let bound = desk.directory.bind(&Dn::parse(&zoe.dn).unwrap(), password).await;
    bound.expect("the password of the row is not that of the person");
    let maries = desk.search("marie tremblay", 50).await.unwrap();
    let mut mails: Vec<&str> = maries.iter().map(|person| person.mail.as_str()).collect();
    mails.retain(|mail| mail.starts_with("marie.tremblay"));
    mails.sort_unstable();
    assert_eq!(mails, ["marie.tremblay2@example.edu", "marie.tremblay3@example.edu", "marie.tremblay@example.edu"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_cut_off_by_a_stopped_server_is_completed_by_the_next() {
    let mut slapd = Slapd::start();
    let desk = slapd.desk();
    ensure_tree(&desk.directory, &desk.settings).await.unwrap();
    let mut rows = HEADER.to_owned();
    (0..600).for_each(|n| rows.push_str(&format!("{n},Ann,Roy-{},,,staff,,,\n", "x".repeat(1 + n % 30))));
    let whole = plan_for(&desk, &rows).await;
    let mut done = 0;
    let mut progress = |_| {
        done += 1;
        if done == 100 {
            slapd.stop();
        }
    };
    let cut = desk.applier(&actor()).apply(&whole.plan, &whole.passwords, &mut progress).await;
    let (outcomes, error) = cut.unwrap_err();
    let is_down = |error: &DirectoryError| matches!(error, DirectoryError::Unavailable(_) | DirectoryError::Unknown(_));
    assert!(matches!(&error, ApplyError::Directory(error) if is_down(error)), "{error}");
    assert!(outcomes.applied < 600 && outcomes.applied >= 90, "{outcomes:?}");
    slapd.start_again();
    // A new site acts as another process: the LDAP client of the old one treats the server as down for a while.
    let desk = slapd.desk();
    let rest = plan_for(&desk, &rows).await;
    assert!(rest.summary().create <= 600 - outcomes.applied + 64, "{:?}", rest.summary());
    import(&desk, &rows).await;
    assert!(plan_for(&desk, &rows).await.is_empty());
    assert_eq!((below(&desk, "people").await.len(), below(&desk, "addresses").await.len()), (600, 603));
    let records = desk.audit.about(&whole.digest(), 10).await.unwrap();
    let actions: Vec<&str> = records.iter().map(|record| record.action.as_str()).collect();
    assert_eq!(
        actions,
        ["import.apply", "import.begin"],
        "the audit does not have exactly the two records of the second process"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_asked_to_stop_ends_between_people() {
    let embedded = Embedded::start().await;
    let desk = embedded.desk();
    ensure_tree(&desk.directory, &desk.settings).await.unwrap();
    let row = |n: usize| format!("{n},Ann,Roy-{},,,staff,,,\n", "x".repeat(1 + n % 30));
    let rows = HEADER.to_owned() + &(0..600).map(row).collect::<String>();
    let whole = plan_for(&desk, &rows).await;
    let stop_request = tokio::sync::Notify::new();
    let mut progress = |at: provost_provision::ApplyProgress| {
        if at.done == 100 {
            stop_request.notify_one();
        }
    };
    let stop = stop_request.notified();
    let actor = actor();
    let applier = desk.applier(&actor);
    let outcomes = applier.apply_until(stop, &whole.plan, &whole.passwords, &mut progress).await.unwrap();
    assert!(outcomes.interrupted && (100..600).contains(&outcomes.applied), "{outcomes:?}");
    assert_eq!((outcomes.writes, outcomes.failed.len()), (2 * outcomes.applied, 0));
    assert_eq!(
        below(&desk, "people").await.len(),
        outcomes.applied,
        "a person was written who does not count as applied"
    );
    // The registrar corrects the file in between: existing rows change, others are new.
    let changed = rows.replace("\n1,Ann,", "\n1,Anne,").replace("\n599,Ann,", "\n599,Anna,");
    let rest = plan_for(&desk, &changed).await;
    assert_eq!((rest.summary().create, rest.summary().update), (600 - outcomes.applied, 1), "{:?}", rest.summary());
    import(&desk, &changed).await;
    assert!(plan_for(&desk, &changed).await.is_empty());
    assert_eq!((below(&desk, "people").await.len(), below(&desk, "addresses").await.len()), (600, 604));
    embedded.server.stop().await;
}

/// People and addresses without the values that differ between runs: batch, times and password hashes. The server's own
/// attributes are not read.
async fn content(site: &Site) -> Vec<String> {
    let differs = [
        attr::PROVOST_LAST_BATCH,
        attr::PROVOST_SINCE,
        attr::USER_PASSWORD,
        attr::PROVOST_SCRAM,
        attr::PROVOST_PASSWORD_SINCE,
    ];
    let mut content = Vec::new();
    for container in ["people", "addresses"] {
        for entry in below(site, container).await {
            let kept = entry.attributes().filter(|(name, _)| !differs.iter().any(|differs| name.is(differs)));
            let kept = kept.map(|(name, values)| {
                let mut values: Vec<_> = values.iter().map(|value| String::from_utf8_lossy(value)).collect();
                values.sort();
                format!("{name} {values:?}")
            });
            content.push(format!("{} {:?}", entry.dn, kept.collect::<Vec<_>>()));
        }
    }
    content.sort();
    content
}

/// A file of 300 people, every third with a password, and a second file, which lacks the first 50 people, has 100 new
/// ones, and changes the names or programs of some of the others.
fn two_files() -> (String, String) {
    let row = |n: usize, family: &str, program: &str| {
        let password = if n.is_multiple_of(3) { "long enough" } else { "" };
        format!("{n},Ann,{family}-{},,,staff,{program},,{password}\n", "x".repeat(1 + n % 30))
    };
    let first: String = (0..300).map(|n| row(n, "Roy", "A")).collect();
    let family = |n: usize| if n.is_multiple_of(4) { "Lee" } else { "Roy" };
    let second: String = (50..400).map(|n| row(n, family(n), if n.is_multiple_of(5) { "B" } else { "A" })).collect();
    (format!("{HEADER}{first}"), format!("{HEADER}{second}"))
}

/// Begins to apply and stops in the middle like a killed process: outstanding answers are lost.
async fn killed_at(people: usize, site: &Site, planned: &PlannedFile) {
    let reached = tokio::sync::Notify::new();
    let mut progress = |at: provost_provision::ApplyProgress| {
        if at.done >= people {
            reached.notify_one();
        }
    };
    let actor = actor();
    let applier = site.applier(&actor);
    tokio::select! {
        outcome = applier.apply(&planned.plan, &planned.passwords, &mut progress) => panic!("ended early: {outcome:?}"),
        () = reached.notified() => {}
    }
}

// An apply resumes from its journal and the directory, and ends in the same state as an uninterrupted one.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_apply_is_resumed_by_its_plan() {
    let (first, second) = two_files();
    let whole = Embedded::start().await;
    ensure_tree(&whole.desk().directory, &settings()).await.unwrap();
    import(&whole.desk(), &first).await;
    import(&whole.desk(), &second).await;
    let expect = content(&whole.desk()).await;
    whole.server.stop().await;

    let embedded = Embedded::start().await;
    let site = embedded.desk();
    ensure_tree(&site.directory, &site.settings).await.unwrap();
    import(&site, &first).await;
    let plan = plan_for(&site, &second).await;
    let mut batches = Vec::new();
    for people in [10, 60, 30] {
        killed_at(people, &site, &plan).await;
        // The last receipts may be lost too, and one of them torn.
        let (batch, has_ended) = site.journals.batches().unwrap().pop().unwrap();
        assert!(!has_ended);
        tear(&embedded.folder.path().join(format!("journal/{batch}.open.jsonl")), 1000);
        batches.push(batch);
    }
    let outcomes = apply_to(&site, &plan).await.unwrap();
    assert!(outcomes.resumed && outcomes.failed.is_empty(), "{outcomes:?}");
    assert!(
        batches.iter().all(|batch| *batch == outcomes.batch),
        "more than one batch: {batches:?} {}",
        outcomes.batch
    );
    assert_eq!(outcomes.applied, plan.changes().len());
    assert_eq!(content(&site).await, expect);
    assert!(plan_for(&site, &second).await.is_empty());
    check_journal(&site, &outcomes.batch).await;
    embedded.server.stop().await;
}

/// Octets that hold at least the first two lines of a journal.
const HEAD_OCTETS: u64 = 600;

/// Cuts octets off the end of a journal, once its writer has closed it.
fn tear(path: &Path, octets: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.lock().unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(octets).max(HEAD_OCTETS)).unwrap();
}

/// Checks that every write of a finished batch has a receipt with what undo needs: values before, and version after.
async fn check_journal(site: &Site, batch: &str) {
    let kept = site.journals.read(batch).unwrap();
    let plan = site.journals.plan(batch).unwrap();
    assert_eq!((kept.plan_hash.as_str(), kept.end.unwrap().failed), (plan.hash(), 0));
    let known: std::collections::HashMap<(u32, u32), _> =
        kept.receipts.iter().map(|receipt| ((receipt.change, receipt.write), receipt)).collect();
    let now: std::collections::HashMap<String, String> = versions(site).await;
    for (place, change) in (0u32..).zip(plan.changes()) {
        for (number, write) in (0u32..).zip(&change.writes) {
            let receipt = known.get(&(place, number)).unwrap_or_else(|| panic!("no receipt: {write}"));
            assert!(receipt.outcome.is_done(), "{receipt:?}");
            assert_eq!(receipt.csn.as_ref(), now.get(&receipt.dn), "{receipt:?}");
            let is_new = write.attributes.iter().all(|change| change.before.is_empty());
            assert!(receipt.attributes == write.attributes || (is_new && receipt.attributes.is_empty()), "{receipt:?}");
        }
    }
}

/// entryCSN of every person and address.
async fn versions(site: &Site) -> std::collections::HashMap<String, String> {
    let mut versions = std::collections::HashMap::new();
    for container in ["people", "addresses"] {
        let base = site.directory.suffix().child("ou", container);
        let filter = Filter::present(attr::OBJECT_CLASS);
        let attributes = vec![attr::ENTRY_CSN.to_owned()];
        let search = LdapSearch { base, scope: Scope::One, filter, attributes, limit: None };
        for entry in site.directory.search_provider(search).await.unwrap() {
            versions.insert(entry.dn.as_str().to_owned(), entry.first(attr::ENTRY_CSN).unwrap().to_owned());
        }
    }
    versions
}

// An interrupted batch that is not resumed is looked up by the next import, so that its journal becomes complete.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_apply_is_settled_by_another_plan() {
    let slapd = Slapd::start();
    let site = slapd.desk();
    ensure_tree(&site.directory, &site.settings).await.unwrap();
    let (first, second) = two_files();
    let plan = plan_for(&site, &first).await;
    killed_at(100, &site, &plan).await;
    let (killed, _) = site.journals.batches().unwrap().pop().unwrap();
    // The server may still perform writes of the killed run after the next plan was made. Applying that plan then fails
    // for the changed people, and the plan after it sees the new state.
    let deadline = Instant::now() + START_TIMEOUT;
    let (mut is_settled, mut is_whole) = (false, false);
    while !(is_settled && is_whole) {
        assert!(Instant::now() < deadline, "settled: {is_settled}, whole: {is_whole}");
        let outcomes = apply_to(&site, &plan_for(&site, &second).await).await.unwrap();
        assert!(!outcomes.resumed, "{outcomes:?}");
        let is_late = |(_, reason): &(u64, String)| reason.contains("import again");
        assert!(outcomes.failed.iter().all(is_late), "{outcomes:?}");
        is_whole = outcomes.failed.is_empty();
        is_settled = site.journals.batches().unwrap().contains(&(killed.clone(), true));
    }
    let kept = site.journals.read(&killed).unwrap();
    let writes: usize = plan.changes().iter().map(|change| change.writes.len()).sum();
    assert_eq!(kept.receipts.len(), writes, "not exactly one receipt for each write");
    let end = kept.end.unwrap();
    assert!((100..300).contains(&end.applied) && end.applied + end.failed == 300, "{end:?}");
    let looked_up = |begin: &provost_provision::BeginLine| begin.via == "look-up";
    assert!(kept.begins.iter().any(looked_up), "{:?}", kept.begins);
    assert!(plan_for(&site, &second).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_refused_with_other_passwords_or_without_a_journal() {
    let embedded = Embedded::start().await;
    let site = embedded.desk();
    ensure_tree(&site.directory, &site.settings).await.unwrap();
    let file = format!("{HEADER}1,Ann,Roy,,,staff,,,long enough\n");
    let PlannedFile { plan, .. } = plan_for(&site, &file).await;
    let other = plan_for(&site, &file.replace("long enough", "another one")).await;
    for (passwords, expect) in
        [(other.passwords, "was not made from the files"), (InitialPasswords::default(), "was not made from the files")]
    {
        let refused = site.applier(&actor()).apply(&plan, &passwords, &mut |_| {}).await.unwrap_err().1;
        assert!(matches!(&refused, ApplyError::Refused(why) if why.contains(expect)), "{refused}");
    }
    let moved = String::from_utf8(plan.to_bytes()).unwrap().replace("dc=example,dc=edu", "dc=example,dc=org");
    assert!(Plan::from_bytes(moved.as_bytes()).is_err(), "a plan that does not match its hash was read");
    assert!(below(&site, "people").await.is_empty() && site.journals.batches().unwrap().is_empty());
    // The journal cannot be written, so nothing goes into the directory.
    let blocked = Site {
        journals: Journals::new("/proc/journal".into()),
        ..desk(embedded.server.addresses[0].port(), embedded.folder.path())
    };
    let planned = plan_for(&site, &file).await;
    let refused = apply_to(&blocked, &planned).await.unwrap_err().1;
    assert!(matches!(refused, ApplyError::Unavailable(_)), "{refused}");
    assert!(below(&site, "people").await.is_empty());
    embedded.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_imports_at_once_never_share_an_address() {
    let slapd = Slapd::start();
    let desk = slapd.desk();
    ensure_tree(&desk.directory, &desk.settings).await.unwrap();
    let (one, two) = (format!("{HEADER}1,Ann,Roy,,,staff,,,\n"), format!("{HEADER}2,Ann,Roy,,,staff,,,\n"));
    let (first, second) = (plan_for(&desk, &one).await, plan_for(&desk, &two).await);
    apply_to(&desk, &first).await.unwrap();
    let late = apply_to(&desk, &second).await.unwrap();
    let reason = "ann.roy@example.edu was taken meanwhile; import again".to_owned();
    assert_eq!((late.applied, late.failed), (0, vec![(2, reason)]));
    import(&desk, &two).await;
    assert_eq!(desk.person("registrar:2").await.unwrap().summary.mail, "ann.roy2@example.edu");
    // A plan that compared an older version changes nothing.
    let renamed = plan_for(&desk, &one.replace("Roy", "Côté")).await;
    desk.add_alias(&admin(), "1", "a.roy@example.edu").await.unwrap();
    let stale = apply_to(&desk, &renamed).await.unwrap();
    assert_eq!(stale.failed[0].1, "the entry was changed since the plan was made; import again");
    let of_refused = "provostAddress=ann.cote@example.edu,";
    let addresses = below(&desk, "addresses").await;
    assert!(!addresses.iter().any(|entry| entry.dn.as_str().starts_with(of_refused)), "the refused address is left");
    import(&desk, &one.replace("Roy", "Côté")).await;
    let person = desk.person("a.roy@example.edu").await.unwrap();
    let addresses: Vec<(&str, &str)> =
        person.addresses.iter().map(|info| (info.address.as_str(), info.kind.as_str())).collect();
    let expect =
        [("ann.cote@example.edu", "primary"), ("a.roy@example.edu", "alias"), ("ann.roy@example.edu", "alias")];
    assert_eq!((addresses.as_slice(), person.summary.uid.as_str()), (&expect[..], "ann.roy"));
}

#[tokio::test(flavor = "multi_thread")]
async fn desk_operations_have_the_same_results_on_both_servers() {
    let slapd = Slapd::start();
    check_operations(&slapd.desk()).await;
    let embedded = Embedded::start().await;
    check_operations(&embedded.desk()).await;
    embedded.server.stop().await;
}

async fn check_operations(desk: &Site) {
    ensure_tree(&desk.directory, &desk.settings).await.unwrap();
    let rows = "12345,Zoé,L'Écuyer,2004-02-29,,student,B-INFO,2030-04-30,\n7,Bo,Li,,,staff,,,\n8,Bo,Li,,,staff,,,\n";
    import(desk, &format!("{HEADER}{rows}")).await;
    lookups(desk).await;
    odd_numbers(desk).await;
    accents(desk).await;
    vacations(desk).await;
    aliases(desk).await;
    passwords_and_roles(desk).await;
}

async fn lookups(desk: &Site) {
    let zoe = desk.person("12345").await.unwrap();
    for key in [zoe.summary.id.as_str(), "zoe.lecuyer", "ZOE.lecuyer@Example.edu", "registrar:12345", "Zoé L'Écuyer"]
    {
        assert_eq!(desk.person(key).await.unwrap(), zoe, "{key}");
    }
    assert_eq!((zoe.end_date.as_deref(), zoe.program.as_deref()), (Some("2030-04-30"), Some("B-INFO")));
    assert!(!zoe.has_password && zoe.created.is_some());
    for text in
        ["zoe", "Zoé", "ZOÉ", "écuyer", "lecuyer zoe", "12345", "zoe.lec", "zoe.lecuyer@example.edu", "E\u{301}cuyer"]
    {
        assert_eq!(desk.search(text, 10).await.unwrap(), std::slice::from_ref(&zoe.summary), "{text}");
    }
    assert_eq!(desk.search("bo", 10).await.unwrap().len(), 2);
    assert_eq!(desk.search("bo", 1).await.unwrap().len(), 1);
    for nobody in ["", "  ", "*", "zoe tremblay", "(uid=*)", "exam"] {
        assert!(desk.search(nobody, 10).await.unwrap().is_empty(), "{nobody}");
    }
    let Err(DeskError::Ambiguous { keys, .. }) = desk.person("Bo Li").await else { panic!() };
    assert_eq!(keys.len(), 2);
    for key in keys {
        assert_eq!(desk.person(&key).await.unwrap().summary.display_name, "Bo Li");
    }
    for nobody in ["*", "nobody", "a@b", "é@example.edu", "registrar:1"] {
        assert_eq!(desk.person(nobody).await, Err(DeskError::NotFound(nobody.into())));
    }
    assert!(matches!(desk.person("").await, Err(DeskError::Invalid { field: "person", .. })));
}

/// A registrar's number is found in any form.
async fn odd_numbers(desk: &Site) {
    let numbers = [
        "6f9619ff-8b86-d011-b42d-00c04fc964ff",
        "12345678901234567890123456789012",
        "{6f9619ff-8b86-d011-b42d-00c04fc964fe}",
        "urn:uuid:6f9619ff-8b86-d011-b42d-00c04fc964fd",
        "a/b",
        "x@y.example",
        "x@example",
        "registrar:777",
        "bo.li2",
    ];
    let row = |(place, number): (usize, &&str)| format!("{number},Odd,{},,,student,,,\n", "x".repeat(place + 1));
    let rows: String = numbers.iter().enumerate().map(row).collect();
    import(desk, &format!("{HEADER}{rows}")).await;
    for number in numbers {
        let source = format!("registrar:{number}");
        assert_eq!(desk.person(&source).await.unwrap().sources, [source.as_str()]);
        // The number is also another person's login: the error names a key for each of the two.
        if number == "bo.li2" {
            let keys = vec!["bo.li2@example.edu".to_owned(), source];
            assert_eq!(desk.person(number).await, Err(DeskError::Ambiguous { key: number.into(), keys }));
        } else {
            assert_eq!(desk.person(number).await.unwrap().sources, [source.as_str()]);
        }
    }
}

/// A word finds a name with or without marks, in composed or decomposed form, also after a change of name.
async fn accents(desk: &Site) {
    let rows = |family: &str| format!("{HEADER}21,Ann,{family},,,staff,,,\n22,Bea,Cote,,,staff,,,\n");
    import(desk, &rows("Roy")).await;
    import(desk, &rows("Côté")).await;
    for text in ["cote", "COTE", "cot"] {
        let mails: Vec<String> = desk.search(text, 9).await.unwrap().into_iter().map(|found| found.mail).collect();
        assert_eq!(mails, ["ann.cote@example.edu", "bea.cote@example.edu"], "{text}");
    }
    for text in ["Côté", "CÔTÉ", "Co\u{302}te\u{301}", "ann cote", "ann.cote", "ann.roy"] {
        let found = desk.search(text, 9).await.unwrap();
        assert!(found.iter().any(|person| person.uid == "ann.roy"), "{text}: {found:?}");
    }
}

async fn vacations(desk: &Site) {
    let rule = VacationChange {
        end: Some(jiff::civil::date(2027, 1, 4)),
        subject_fr: Some("Absence".into()),
        text_fr: Some("De retour\nle 5 janvier — à bientôt".into()),
        text_en: Some("Back on 5 January".into()),
        ..VacationChange::default()
    };
    let id = desk.set_vacation(&admin(), "zoe.lecuyer", rule.clone()).await.unwrap();
    let person = desk.person("zoe.lecuyer").await.unwrap();
    assert_eq!(person.vacation, Some(rule));
    assert_eq!(desk.history(&admin(), &person, 1).await.unwrap()[0].id, id);
    let french = VacationChange { text_fr: Some("Non".into()), ..VacationChange::default() };
    desk.set_vacation(&admin(), "zoe.lecuyer", french.clone()).await.unwrap();
    assert_eq!(desk.person("zoe.lecuyer").await.unwrap().vacation, Some(french));
    for _ in 0..2 {
        desk.clear_vacation(&admin(), "zoe.lecuyer").await.unwrap();
        assert_eq!(desk.person("zoe.lecuyer").await.unwrap().vacation, None);
    }
    let empty = desk.set_vacation(&admin(), "zoe.lecuyer", VacationChange::default()).await;
    assert!(matches!(empty, Err(DeskError::Invalid { field: "text", .. })));
}

async fn aliases(desk: &Site) {
    for _ in 0..2 {
        desk.add_alias(&admin(), "zoe.lecuyer", "Zoe@Example.edu").await.unwrap();
    }
    let of = |person: provost_provision::PersonDetail| {
        person.addresses.into_iter().map(|info| (info.address, info.kind)).collect::<Vec<_>>()
    };
    let both = [("zoe.lecuyer@example.edu", "primary"), ("zoe@example.edu", "alias")];
    let both = both.map(|(address, kind)| (address.to_owned(), kind.to_owned()));
    assert_eq!(of(desk.person("zoe@example.edu").await.unwrap()), both);
    for (address, expect) in [
        ("zoe@example.edu", DeskError::InUse("zoe@example.edu".into())),
        ("bo.li@example.edu", DeskError::InUse("bo.li@example.edu".into())),
        (
            "zoe@elsewhere.example",
            DeskError::Invalid { field: "address", rule: "its domain is not served here".into() },
        ),
    ] {
        assert_eq!(desk.add_alias(&admin(), "8", address).await, Err(expect));
    }
    assert!(matches!(desk.add_alias(&admin(), "8", "no address").await, Err(DeskError::Invalid { .. })));
    let primary = desk.remove_alias(&admin(), "zoe.lecuyer", "zoe.lecuyer@example.edu").await;
    assert!(matches!(primary, Err(DeskError::Invalid { field: "address", .. })));
    let not_hers = desk.remove_alias(&admin(), "zoe.lecuyer", "bo.li@example.edu").await;
    assert_eq!(not_hers, Err(DeskError::NotFound("bo.li@example.edu".into())));
    desk.remove_alias(&admin(), "zoe.lecuyer", "zoe@example.edu").await.unwrap();
    let quarantined = ("zoe@example.edu".to_owned(), "quarantined".to_owned());
    assert_eq!(of(desk.person("zoe.lecuyer").await.unwrap()), [both[0].clone(), quarantined]);
    assert!(matches!(desk.person("zoe@example.edu").await, Err(DeskError::NotFound(_))));
    quarantine(desk).await;
}

/// A removed address can return to its former owner at once, and go to another person after its quarantine.
async fn quarantine(desk: &Site) {
    let twice = desk.remove_alias(&admin(), "zoe.lecuyer", "zoe@example.edu").await;
    assert_eq!(twice, Err(DeskError::NotFound("zoe@example.edu".into())));
    let refused = desk.add_alias(&admin(), "8", "zoe@example.edu").await;
    let Err(DeskError::Quarantined { address, until: Some(until) }) = refused else { panic!("{refused:?}") };
    assert_eq!(address, "zoe@example.edu");
    let left = until.parse::<jiff::Timestamp>().unwrap().duration_since(jiff::Timestamp::now());
    assert!((179..=180).contains(&(left.as_hours() / 24)), "{until}");

    let dn = desk.directory.suffix().child("ou", "addresses").child("provostAddress", "zoe@example.edu");
    let set = async |name, value: &str| {
        let change = vec![Modification::replace(AttributeDescription::of(name), vec![value.into()])];
        desk.directory.modify(&dn, change, WriteConditions::default()).await.unwrap();
    };
    // RFC 7293 §5.1: who gets an address back has had it from the beginning, because nobody else had it in between.
    set(attr::PROVOST_SINCE, "20190501120000Z").await;
    for _ in 0..2 {
        desk.add_alias(&admin(), "zoe.lecuyer", "zoe@example.edu").await.unwrap();
        let zoe = desk.person("zoe@example.edu").await.unwrap();
        let [_, alias] = &zoe.addresses[..] else { panic!("{:?}", zoe.addresses) };
        assert_eq!((alias.kind.as_str(), &alias.until), ("alias", &None));
        assert_eq!(alias.since.as_deref(), Some("2019-05-01T12:00:00Z"));
        desk.remove_alias(&admin(), "zoe.lecuyer", "zoe@example.edu").await.unwrap();
    }

    set(attr::PROVOST_UNTIL, "20200101000000Z").await;
    desk.add_alias(&admin(), "8", "zoe@example.edu").await.unwrap();
    let since = desk
        .person("8")
        .await
        .unwrap()
        .addresses
        .into_iter()
        .find_map(|info| info.since.filter(|_| info.address == "zoe@example.edu")?.parse::<jiff::Timestamp>().ok());
    let passed = jiff::Timestamp::now().duration_since(since.unwrap());
    assert!(passed.as_hours() < 1, "another person has had the address since {since:?}");
    assert_eq!(desk.person("zoe@example.edu").await.unwrap().summary.uid, desk.person("8").await.unwrap().summary.uid);
    desk.remove_alias(&admin(), "8", "zoe@example.edu").await.unwrap();
}

async fn passwords_and_roles(desk: &Site) {
    let password = desk.reset_password(&admin(), "zoe.lecuyer", None).await.unwrap().password;
    let zoe = desk.person("zoe.lecuyer").await.unwrap();
    assert!(zoe.has_password);
    desk.directory.bind(&Dn::parse(&zoe.dn).unwrap(), password.reveal()).await.unwrap();
    let chosen = Secret::new("correct horse battery");
    desk.reset_password(&admin(), "zoe.lecuyer", Some(chosen.clone())).await.unwrap();
    let entry = desk.directory.read(&Dn::parse(&zoe.dn).unwrap(), &[attr::USER_PASSWORD]).await.unwrap().unwrap();
    let stored = entry.values(attr::USER_PASSWORD);
    assert_eq!(stored.len(), 1);
    assert_eq!(provost_credential::verify(&chosen, &stored[0]), Verification::Match);
    let short = desk.reset_password(&admin(), "zoe.lecuyer", Some(Secret::new("short"))).await;
    assert!(matches!(short, Err(DeskError::Invalid { field: "password", .. })));
    let records = format!("{:?}", desk.audit.about(&zoe.dn, 100).await.unwrap());
    assert!(!records.contains("correct horse") && !records.contains(password.reveal()) && !records.contains("{SSHA}"));

    desk.set_roles(&admin(), "zoe.lecuyer", &["helpdesk", "auditor"]).await.unwrap();
    assert_eq!(desk.person("zoe.lecuyer").await.unwrap().roles, ["auditor", "helpdesk"]);
    assert!(desk.set_roles(&admin(), "zoe.lecuyer", &["king"]).await.is_err());

    let operator = |uid: &'static str, role: &'static str| {
        let password = Secret::new("operator's own words");
        async move { desk.ensure_operator(&admin(), uid, "Dana Desk", role, password).await }
    };
    assert_eq!(operator("dana", "helpdesk").await, Ok(true));
    assert_eq!(operator("dana", "helpdesk").await, Ok(false));
    assert_eq!(operator("dana", "admin").await, Ok(false));
    assert_eq!(desk.person("dana@example.edu").await.unwrap().roles, ["admin", "helpdesk"]);
    assert_eq!(operator("bo.li", "helpdesk").await, Err(DeskError::InUse("bo.li@example.edu".into())));
    assert!(matches!(operator("da na", "helpdesk").await, Err(DeskError::Invalid { field: "uid", .. })));
}

#[tokio::test]
async fn a_directory_that_is_down_is_unavailable() {
    let mut slapd = Slapd::start();
    let desk = slapd.desk();
    slapd.stop();
    assert!(matches!(desk.person("zoe").await, Err(DeskError::Unavailable(_))));
    assert!(matches!(DirectoryContent::read(&desk.directory).await.err(), Some(DirectoryError::Unavailable(_))));
}
