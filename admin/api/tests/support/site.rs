//! A whole site: the embedded directory, a few imported people, and a View that follows the directory.
#![allow(dead_code)] // Each test file uses only a part of this module.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use provost_client::{Directory, LdapSearch, Scope, WriteConditions};
use provost_credential::{Scheme, Secret, hash};
use provost_entry::{AttributeDescription, Dn, Filter, Modification};
use provost_provision::{Audit, CsvOptions, Desk, Journals, MailOutbox, OutgoingMail};
use provost_server::{Server, ServerConfig};
use provost_view::{Fallback, PasswordSource, View, ViewConfig};
use tempfile::TempDir;

use super::support::{SUFFIX, admin, directory_at, settings};

const ROOT: &str = "cn=root,dc=example,dc=edu";

pub(crate) const HEADER: &str =
    "person_id,given_name,family_name,birth_date,private_email,affiliation,program,start_date,end_date,password\n";

const PEOPLE: &str = "\
1001,Zoé,Tremblay,2001-02-03,,student,Biologie,2026-09-01,2027-06-30,correct horse zoe
1002,Helen,Desk,,,staff,IT,,,correct horse
1003,Rita,Registrar,,,staff,Registry,,,correct horse
1005,Ada,Admin,,,staff,IT,,,correct horse
1004,Bob,O'Neil,,,student,\"Arts & Crafts\",,,
";

/// Accepts mails and drops them.
struct ForgetfulOutbox;

type Done<'a> = Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>>;

impl MailOutbox for ForgetfulOutbox {
    fn put(&self, _: OutgoingMail) -> Done<'_> {
        Box::pin(async { Ok(()) })
    }

    fn remove(&self, _: uuid::Uuid) -> Done<'_> {
        Box::pin(async { Ok(()) })
    }
}

pub(crate) struct Site {
    _folder: TempDir,
    _server: Server,
    pub(crate) desk: Desk,
    pub(crate) directory: Directory,
    pub(crate) audit: Audit,
    pub(crate) view: View,
}

impl Site {
    /// Starts the directory, imports the people, gives Helen, Rita and Ada their roles, and waits until the View has
    /// both people and roles.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = ServerConfig {
            folder: folder.path().join("directory"),
            suffix: Dn::parse(SUFFIX).unwrap(),
            root_dn: Dn::parse(ROOT).unwrap(),
            root_password: hash(&Secret::new("root"), Scheme::Ssha),
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            tls: None,
            admission: None,
            server_id: 1,
        };
        let server = Server::start(config, Vec::new()).await.unwrap();
        let directory = directory_at(format!("ldap://{}", server.addresses[0]), ROOT, "root");
        let audit = Audit::in_memory();
        let desk =
            Desk::new(directory.clone(), settings(), audit.clone(), Journals::new(folder.path().join("journal")));
        let desk = desk.with_outbox(Arc::new(ForgetfulOutbox));
        desk.ensure_tree(&admin()).await.unwrap();
        import(&desk, &format!("{HEADER}{PEOPLE}")).await;
        give_role(&directory, "helen.desk", "helpdesk").await;
        give_role(&directory, "rita.registrar", "registrar").await;
        give_role(&directory, "ada.admin", "admin").await;
        give(&directory, "1004", "provostPrivateMail", "bob@example.net").await;
        // A file cannot bring such a name, but another program can.
        give(&directory, "1004", "displayName", "<b>Bob</b> O'Neil").await;
        let mut fallback = Fallback::default();
        fallback.add("default-quota", "test", "1048576").unwrap();
        let config = ViewConfig {
            file: folder.path().join("view"),
            passwords: PasswordSource::View,
            credential_ttl: Duration::from_secs(600),
            fallback,
        };
        let view = View::start(config, directory.clone());
        let site = Self { _folder: folder, _server: server, desk, directory, audit, view };
        site.wait_for(|view| {
            let has_role = |login| view.snapshot().by_login(login).is_some_and(|person| !person.roles.is_empty());
            view.status().complete && has_role("helen.desk") && has_role("ada.admin")
        })
        .await;
        site
    }

    /// Waits until the View satisfies the condition; fails after ten seconds.
    pub(crate) async fn wait_for(&self, condition: impl Fn(&View) -> bool) {
        for _ in 0..200 {
            if condition(&self.view) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the View does not satisfy the condition: {:?}", self.view.status());
    }
}

async fn import(desk: &Desk, csv: &str) {
    let plan = desk.plan_import(&admin(), csv.to_owned(), CsvOptions::default()).await.unwrap();
    assert!(plan.plan.rejected().is_empty(), "{:?}", plan.plan.rejected());
    let outcomes = desk.apply_import(std::future::pending(), &admin(), &plan, &mut |_| {}).await.unwrap();
    assert!(outcomes.unwrap().failed.is_empty());
}

/// Replaces all roles of a person by `role`, in a direct write as a directory admin would do it. An empty `role`
/// removes the roles.
pub(crate) async fn give_role(directory: &Directory, uid: &str, role: &str) {
    give(directory, uid, "provostRole", role).await;
}

/// Replaces the values of an attribute by one; an empty value removes them. `uid` may also be the person's number.
pub(crate) async fn give(directory: &Directory, uid: &str, name: &'static str, value: &str) {
    let search = LdapSearch {
        base: Dn::parse(SUFFIX).unwrap(),
        scope: Scope::Subtree,
        filter: Filter::Or(vec![Filter::equal("uid", uid), Filter::equal("employeeNumber", uid)]),
        attributes: Vec::new(),
        limit: None,
    };
    let entry = directory.search_provider(search).await.unwrap().pop().unwrap();
    let values = if value.is_empty() { Vec::new() } else { vec![value.as_bytes().to_vec()] };
    let change = Modification::replace(AttributeDescription::of(name), values);
    directory.modify(&entry.dn, vec![change], WriteConditions::default()).await.unwrap();
}
