//! A whole site: the embedded directory, a few imported people, a View that follows.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use provost_client::{Control, Directory, Scope, Search};
use provost_credential::{Scheme, Secret, hash};
use provost_entry::{AttributeDescription, Dn, Filter, Modification};
use provost_provision::{
    Actual, Applier, Audit, CsvOptions, Desk, Journals, Passwords, Policies, ensure_tree, plan, read_source, wanted,
};
use provost_server::{Server, ServerConfig};
use provost_view::{Fallback, PasswordSource, View, ViewConfig};
use tempfile::TempDir;

use super::support::{SUFFIX, actor, directory_at, settings};

const ROOT: &str = "cn=root,dc=example,dc=edu";

pub(crate) const HEADER: &str =
    "person_id,given_name,family_name,birth_date,private_email,affiliation,program,start_date,end_date,password\n";

const PEOPLE: &str = "\
1001,Zoé,Tremblay,2001-02-03,,student,Biologie,2026-09-01,2027-06-30,correct horse zoe
1002,Helen,Desk,,,staff,IT,,,correct horse
1003,Rita,Registrar,,,staff,Registry,,,correct horse
1004,<b>Bob</b>,O'Neil,,,student,\"Arts & Crafts\",,,
";

pub(crate) struct Site {
    pub(crate) folder: TempDir,
    _server: Server,
    pub(crate) desk: Desk,
    pub(crate) view: View,
}

impl Site {
    /// Starts the directory, imports the people, gives Helen and Rita their roles, waits for the View.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = ServerConfig {
            folder: folder.path().join("directory"),
            suffix: Dn::parse(SUFFIX).unwrap(),
            root_dn: Dn::parse(ROOT).unwrap(),
            root_password: hash(&Secret::new("root"), Scheme::Ssha),
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            tls: None,
            client_address: None,
            server_id: 1,
        };
        let server = Server::start(config, Vec::new()).await.unwrap();
        let directory = directory_at(format!("ldap://{}", server.addresses[0]), ROOT, "root");
        ensure_tree(&directory, &settings()).await.unwrap();
        let audit = Audit::open(&folder.path().join("audit.jsonl")).unwrap();
        let desk = Desk { directory, settings: settings().into(), audit };
        import(&desk, folder.path(), &format!("{HEADER}{PEOPLE}")).await;
        give_role(&desk.directory, "helen.desk", "helpdesk").await;
        give_role(&desk.directory, "rita.registrar", "registrar").await;
        let mut fallback = Fallback::default();
        fallback.add("default-quota", "test", "1048576").unwrap();
        let config = ViewConfig {
            file: folder.path().join("view"),
            passwords: PasswordSource::View,
            credential_ttl: Duration::from_secs(600),
            fallback,
        };
        let view = View::start(config, desk.directory.clone());
        let site = Self { folder, _server: server, desk, view };
        site.wait_for(|view| {
            let helen = view.snapshot().by_login("helen.desk");
            view.status().complete && helen.is_some_and(|helen| !helen.roles.is_empty())
        })
        .await;
        site
    }

    /// Waits until the View says so; it must within seconds.
    pub(crate) async fn wait_for(&self, so: impl Fn(&View) -> bool) {
        for _ in 0..200 {
            if so(&self.view) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the View does not follow: {:?}", self.view.status());
    }
}

async fn import(desk: &Desk, folder: &Path, csv: &str) {
    let sources = vec![read_source("registrar", csv.as_bytes(), &CsvOptions::default()).unwrap()];
    let actual = Actual::read(&desk.directory).await.unwrap();
    let plan = plan(&wanted(&sources, &Policies::from(&settings()), Timestamp::now()), &actual).unwrap();
    assert!(plan.rejected().is_empty(), "{:?}", plan.rejected());
    let Desk { directory, audit, .. } = desk;
    let journals = Journals::new(folder.join("journal"));
    let applier = Applier { directory, scheme: settings().scheme, actor: &actor(), audit, journals: &journals };
    let outcomes = applier.apply(&Arc::new(plan), &Passwords::of(sources), &mut |_| {}).await;
    assert!(outcomes.unwrap().failed.is_empty());
}

/// As a directory admin does it.
pub(crate) async fn give_role(directory: &Directory, uid: &str, role: &str) {
    let search = Search {
        base: Dn::parse(SUFFIX).unwrap(),
        scope: Scope::Subtree,
        filter: Filter::equal("uid", uid),
        attributes: Vec::new(),
        limit: None,
    };
    let entry = directory.search_provider(search).await.unwrap().pop().unwrap();
    let values = if role.is_empty() { Vec::new() } else { vec![role.as_bytes().to_vec()] };
    let change = Modification::replace(AttributeDescription::of("provostRole"), values);
    directory.modify(&entry.dn, vec![change], Control::default()).await.unwrap();
}
