//! Every change is in the audit, whatever fails afterwards: the record is durable before the first write is sent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helper functions of tests are test code")]

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use provost_client::{Directory, DirectoryConfig, LdapSearch, Scope, ServerAddress, ServerRole};
use provost_credential::{Scheme, Secret, hash};
use provost_entry::{Dn, Entry, Filter};
use provost_provision::{
    Audit, AuditLog, AuditRecord, Coverage, Desk, DeskError, HistoryEntry, ImportOptions, Journals, PlannedImport,
    Principal, ProvisionSettings, ReadOptions, Role, ensure_tree,
};
use provost_schema::attr;
use provost_server::Server;
use tempfile::TempDir;

const SUFFIX: &str = "dc=example,dc=edu";
const HEADER: &str = "person_id,given_name,family_name,affiliation\n";

/// A log whose disk is full after `records_left` further records.
#[derive(Default)]
struct FullDiskLog {
    records: Mutex<Vec<AuditRecord>>,
    /// Number of further records that the disk takes.
    records_left: AtomicUsize,
}

impl AuditLog for FullDiskLog {
    fn append(&self, record: &AuditRecord) -> BoxFuture<'_, io::Result<()>> {
        let taken = self.records_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        let result = taken.map(|_| self.records.lock().unwrap().push(record.clone()));
        std::future::ready(result.map_err(|_| io::Error::other("the disk is full"))).boxed()
    }

    fn newest(
        &self,
        subject: Option<&str>,
        before: Option<u64>,
        limit: usize,
    ) -> BoxFuture<'_, io::Result<Vec<(u64, AuditRecord)>>> {
        let records = self.records.lock().unwrap();
        let numbered = (0u64..).zip(records.iter().cloned()).take_while(|(at, _)| before.is_none_or(|end| *at < end));
        let mut found: Vec<_> = numbered.filter(|(_, record)| subject.is_none_or(|s| record.subject == s)).collect();
        found.reverse();
        found.truncate(limit);
        std::future::ready(Ok(found)).boxed()
    }

    fn oldest(&self, _: Option<&str>, _: u64, _: usize) -> BoxFuture<'_, io::Result<Vec<(u64, AuditRecord)>>> {
        std::future::ready(Ok(Vec::new())).boxed()
    }

    fn subjects_of(&self, _: &str, _: usize) -> BoxFuture<'_, io::Result<Vec<String>>> {
        std::future::ready(Ok(Vec::new())).boxed()
    }
}

struct Site {
    _folder: TempDir,
    _server: Server,
    directory: Directory,
    log: Arc<FullDiskLog>,
    audit: Audit,
    desk: Desk,
}

fn admin() -> Principal {
    Principal::command("helen", Some(Role::Admin))
}

impl Site {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = provost_server::ServerConfig {
            folder: folder.path().join("directory"),
            suffix: Dn::parse(SUFFIX).unwrap(),
            root_dn: Dn::parse(&format!("cn=admin,{SUFFIX}")).unwrap(),
            root_password: hash(&Secret::new("secret"), Scheme::Ssha),
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            tls: None,
            admission: None,
            server_id: 1,
        };
        let server = Server::start(config, Vec::new()).await.unwrap();
        let url = format!("ldap://{}", server.addresses[0]);
        let directory = Directory::new(DirectoryConfig {
            servers: vec![ServerAddress { url, role: ServerRole::Provider, start_tls: false }],
            bind_dn: format!("cn=admin,{SUFFIX}"),
            bind_password: "secret".into(),
            suffix: Dn::parse(SUFFIX).unwrap(),
            ca_file: None,
            connect_timeout: Duration::from_secs(2),
            operation_timeout: Duration::from_secs(10),
        });
        let settings = ProvisionSettings {
            domain: "example.edu".into(),
            source: "registrar".into(),
            passwords: provost_credential::PasswordPolicy {
                scheme: Scheme::Ssha,
                ..provost_credential::PasswordPolicy::default()
            },
            web_url: Some("https://accounts.example.edu".into()),
            client_servers: Vec::new(),
            address_quarantine: 180,
            time_zone: jiff::tz::TimeZone::UTC,
        };
        ensure_tree(&directory, &settings).await.unwrap();
        let log = Arc::new(FullDiskLog { records_left: AtomicUsize::new(usize::MAX), ..FullDiskLog::default() });
        let audit = Audit::new(log.clone());
        let journals = Journals::new(folder.path().join("journal"));
        let desk = Desk::new(directory.clone(), settings, audit.clone(), journals);
        Self { _folder: folder, _server: server, directory, log, audit, desk }
    }

    /// Lets the log take this many further records.
    fn allow_records(&self, records: usize) {
        self.log.records_left.store(records, Ordering::SeqCst);
    }

    async fn plan(&self, file: &str) -> PlannedImport {
        // Files that name only some people, one after the other.
        let read = ReadOptions { coverage: Some(Coverage::Partial), ..ReadOptions::default() };
        let options = ImportOptions { read, ..ImportOptions::default() };
        let plan = self.desk.plan_import(&admin(), file.to_owned(), options).await.unwrap();
        assert!(plan.plan.rejected().is_empty(), "{:?}", plan.plan.rejected());
        plan
    }

    async fn import(&self, file: &str) {
        let plan = self.plan(file).await;
        self.desk.apply_import(std::future::pending(), &admin(), &plan, &mut |_| {}).await.unwrap().unwrap();
    }

    async fn below(&self, container: &str) -> Vec<Entry> {
        let base = self.directory.suffix().child("ou", container);
        let filter = Filter::present(attr::OBJECT_CLASS);
        let search = LdapSearch { base, scope: Scope::One, filter, attributes: Vec::new(), limit: None };
        self.directory.search_provider(search).await.unwrap()
    }

    /// Adds the entry of an address of the first person, as written by `batch`.
    async fn add_address(&self, address: &str, batch: &str) {
        let like =
            self.below("addresses").await.into_iter().find(|entry| !entry.values(attr::PROVOST_OWNER).is_empty());
        let mut entry =
            Entry::new(self.directory.suffix().child("ou", "addresses").child(attr::PROVOST_ADDRESS, address));
        for (name, values) in like.unwrap().attributes() {
            let values = match name.as_str() {
                attr::PROVOST_ADDRESS => vec![address.as_bytes().to_vec()],
                attr::PROVOST_LAST_BATCH => vec![batch.as_bytes().to_vec()],
                _ => values.to_vec(),
            };
            entry.set(name.clone(), values);
        }
        self.directory.add(entry).await.unwrap();
    }

    async fn history(&self, key: &str) -> Vec<HistoryEntry> {
        let person = self.desk.person(&admin(), key).await.unwrap();
        self.desk.history(&admin(), &person, 100).await.unwrap()
    }

    /// The actions and outcomes that imports recorded, oldest first, by DN of the person.
    fn import_records(&self) -> BTreeMap<String, Vec<String>> {
        let mut records: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for record in self.log.records.lock().unwrap().iter() {
            if record.action.starts_with("person.") && record.action != "person.view" {
                records.entry(record.subject.clone()).or_default().push(record.action.clone());
            } else if record.action == "change.outcome" {
                let outcome = record.detail["outcome"].as_str().unwrap().to_owned();
                records.entry(record.subject.clone()).or_default().push(outcome);
            }
        }
        records
    }
}

fn rows(range: std::ops::Range<usize>) -> String {
    let row = |n: usize| format!("{n},Ann,Roy-{},staff\n", "x".repeat(1 + n));
    HEADER.to_owned() + &range.map(row).collect::<String>()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_renames_shows_old_and_new_name() {
    let site = Site::start().await;
    site.import(&format!("{HEADER}1,Zoé,Tremblay,student\n2,Ida,Roy,staff\n")).await;
    site.import(&format!("{HEADER}2,Ida,Roy,staff\n1,Zoé,Côté,student\n")).await;
    let history = site.history("zoe.tremblay@example.edu").await;
    let actions: Vec<&str> = history.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["person.rename", "person.create"]);
    let renamed = &history[0];
    assert_eq!((renamed.actor.as_str(), renamed.via.as_str(), &renamed.outcome), ("cli:helen", "cli", &None));
    let import = renamed.import.as_ref().unwrap();
    assert_eq!((import.source.as_str(), import.row), ("registrar", 3));
    assert_eq!(import.reason, "the name Zoé Tremblay became Zoé Côté");
    for (attribute, before, after) in
        [("sn", "Tremblay", "Côté"), ("mail", "zoe.tremblay@example.edu", "zoe.cote@example.edu")]
    {
        let change = renamed.changes.iter().find(|change| change.attribute == attribute).unwrap();
        assert_eq!((change.before.as_slice(), change.after.as_slice()), (&[before.into()][..], &[after.into()][..]));
    }
    let created = &history[1];
    let sn = created.changes.iter().find(|change| change.attribute == "sn").unwrap();
    assert!(sn.before.is_empty() && sn.after == ["Tremblay"], "{sn:?}");
    assert_eq!(site.history("ida.roy").await.len(), 1, "the unchanged person has a record of the second import");
    assert!(!format!("{:?}", site.audit.newest(100).await.unwrap()).contains("SSHA"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_that_is_not_in_the_audit() {
    let site = Site::start().await;
    let plan = site.plan(&rows(0..150)).await;
    // The begin record and forty people.
    site.allow_records(41);
    let applied = site.desk.apply_import(std::future::pending(), &admin(), &plan, &mut |_| {}).await.unwrap();
    let (outcomes, error) = applied.unwrap_err();
    assert!(error.to_string().contains("audit") && outcomes.applied <= 40, "{error} {outcomes:?}");
    let records = site.import_records();
    let people = site.below("people").await;
    assert!(people.len() <= 40 && people.iter().all(|person| records.contains_key(person.dn.as_str())));

    // The same plan resumes, and no person is recorded twice.
    site.allow_records(usize::MAX);
    let applied = site.desk.apply_import(std::future::pending(), &admin(), &plan, &mut |_| {}).await.unwrap();
    assert!(applied.unwrap().resumed);
    let records = site.import_records();
    assert_eq!((records.len(), site.below("people").await.len()), (150, 150));
    assert!(records.values().all(|actions| actions.as_slice() == ["person.create"]), "{records:?}");
}

/// Whether an apply was refused because another one still holds the journal.
fn is_held(error: &impl std::fmt::Display) -> bool {
    let words = error.to_string();
    words.contains("is being applied") || words.contains("is working on batch")
}

#[tokio::test(flavor = "multi_thread")]
async fn people_of_an_import_that_was_killed_are_recorded_once_and_settled() {
    let site = Site::start().await;
    let plan = site.plan(&rows(0..150)).await;
    for people in [20, 40] {
        let reached = tokio::sync::Notify::new();
        let mut progress = |at: provost_provision::ApplyProgress| {
            if at.done >= people {
                reached.notify_one();
            }
        };
        let who = admin();
        loop {
            let applying = site.desk.apply_import(std::future::pending(), &who, &plan, &mut progress);
            tokio::select! {
                // The killed run before this one may still hold its journal for a moment.
                ended = applying => match ended {
                    Ok(Err((_, error))) if is_held(&error) => {}
                    ended => panic!("{ended:?}"),
                },
                () = reached.notified() => break,
            }
            tokio::task::yield_now().await;
        }
        let records = site.import_records();
        assert!(records.values().all(|actions| actions.as_slice() == ["person.create"]), "{records:?}");
        assert!(site.below("people").await.iter().all(|person| records.contains_key(person.dn.as_str())));
    }
    // Another file replaces the plan. The server may still do writes that it took from the killed run, so import until
    // nothing is left to apply.
    loop {
        let plan = site.plan(&rows(0..10)).await;
        match site.desk.apply_import(std::future::pending(), &admin(), &plan, &mut |_| {}).await.unwrap() {
            Ok(outcomes) if outcomes.applied == 0 => break,
            Ok(_) => {}
            // The killed run may still hold its journal for a moment.
            Err((_, error)) if is_held(&error) => {}
            Err(error) => panic!("{error:?}"),
        }
        tokio::task::yield_now().await;
    }
    let people: Vec<String> = site.below("people").await.iter().map(|person| person.dn.to_string()).collect();
    for (subject, actions) in site.import_records() {
        let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
        match people.contains(&subject) {
            true => assert!(!actions.ends_with(&["not_done"]), "{subject} {actions:?}"),
            false => assert!(matches!(actions[..], ["person.create", "not_done" | "partly"]), "{subject} {actions:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_was_changed_meanwhile_is_recorded_as_not_changed() {
    let site = Site::start().await;
    site.import(&format!("{HEADER}1,Zoé,Tremblay,student\n")).await;
    let plan = site.plan(&format!("{HEADER}1,Zoé,Côté,student\n")).await;
    site.desk.set_roles(&admin(), "zoe.tremblay", &["auditor"]).await.unwrap();
    let applied = site.desk.apply_import(std::future::pending(), &admin(), &plan, &mut |_| {}).await.unwrap().unwrap();
    assert_eq!((applied.failed.len(), applied.writes), (1, 0), "{applied:?}");
    let history = site.history("zoe.tremblay").await;
    assert_eq!((history[0].action.as_str(), history[0].outcome.as_deref()), ("person.rename", Some("not_done")));
    assert!(history[0].outcome_reason.as_ref().unwrap().contains("import again"), "{:?}", history[0]);
    let roles = &history[1].changes[0];
    assert_eq!((roles.before.len(), roles.after.as_slice()), (0, &["auditor".to_owned()][..]));
}

/// The first write of a renamed person was done by a run that was interrupted, the second is refused in the next run.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_whom_an_earlier_run_began_and_the_next_one_refused_is_recorded_as_not_changed() {
    let site = Site::start().await;
    site.import(&format!("{HEADER}1,Zoé,Tremblay,student\n")).await;
    let plan = site.plan(&format!("{HEADER}1,Zoé,Côté,student\n")).await;
    // Only the begin of the batch is recorded, so nothing is written.
    site.allow_records(1);
    let applied = site.desk.apply_import(std::future::pending(), &admin(), &plan, &mut |_| {}).await.unwrap();
    let (interrupted, _) = applied.unwrap_err();
    site.allow_records(usize::MAX);
    site.add_address("zoe.cote@example.edu", &interrupted.batch).await;
    site.desk.set_roles(&admin(), "zoe.tremblay", &["auditor"]).await.unwrap();
    let applied = site.desk.apply_import(std::future::pending(), &admin(), &plan, &mut |_| {}).await.unwrap().unwrap();
    assert!(applied.resumed && applied.failed.len() == 1 && applied.writes == 0, "{applied:?}");
    let history = site.history("zoe.tremblay").await;
    assert_eq!((history[0].action.as_str(), history[0].outcome.as_deref()), ("person.rename", Some("not_done")));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_operation_writes_before_it_is_audited() {
    let site = Site::start().await;
    site.import(&format!("{HEADER}1,Zoé,Roy,student\n2,Ida,Roy,staff\n")).await;
    site.allow_records(0);
    let refused = site.desk.add_alias(&admin(), "zoe.roy", "z@example.edu").await;
    assert!(
        matches!(&refused, Err(DeskError::AuditUnavailable(why)) if why.contains("nothing was changed")),
        "{refused:?}"
    );
    let has =
        async |address: &str| site.below("addresses").await.iter().any(|entry| entry.dn.as_str().contains(address));
    assert!(!has("z@example.edu").await);
    site.allow_records(1);
    site.desk.add_alias(&admin(), "zoe.roy", "z@example.edu").await.unwrap();
    site.allow_records(0);
    for refused in [
        site.desk.remove_alias(&admin(), "zoe.roy", "z@example.edu").await.map(drop),
        site.desk.set_roles(&admin(), "zoe.roy", &["auditor"]).await.map(drop),
        site.desk.reset_password(&admin(), "zoe.roy", None).await.map(drop),
        site.desk.set_setting(&admin(), "message-size", &["65536".to_owned()]).await.map(drop),
    ] {
        assert!(matches!(refused, Err(DeskError::AuditUnavailable(_))), "{refused:?}");
    }
    let operator =
        site.desk.ensure_operator(&admin(), "dana", "Dana Desk", "auditor", Secret::new("long enough")).await;
    assert!(matches!(operator, Err(DeskError::AuditUnavailable(_))), "{operator:?}");
    assert!(has("z@example.edu").await && !has("dana").await);
    site.allow_records(usize::MAX);
    let zoe = site.desk.person(&admin(), "zoe.roy").await.unwrap();
    assert!(zoe.roles.is_empty() && !zoe.has_password && zoe.addresses.len() == 2, "{zoe:?}");
    let taken = site.desk.add_alias(&admin(), "ida.roy", "z@example.edu").await;
    assert!(matches!(taken, Err(DeskError::InUse(_))), "{taken:?}");
}
