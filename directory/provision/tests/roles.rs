//! Tries each cell of the table of roles and operations with a `Desk` on the embedded directory, and checks that of two
//! concurrent changes to one version of an entry only one applies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helper functions of tests are test code")]

use std::time::Duration;

use provost_client::{Directory, DirectoryConfig, ServerAddress, ServerRole, WriteConditions};
use provost_credential::{Scheme, Secret, hash};
use provost_entry::{AttributeDescription, Dn, Modification};
use provost_provision::{
    ActivationSelection, Audit, ChangeTarget, CsvOptions, Desk, DeskError, ExpectedVersion, ForwardingChange, Grant,
    GroupRules, ImportError, Journals, LockRequest, Permission, Principal, ProvisionSettings, QuotaChange, ROLES, Role,
    TABLE, VacationChange, ensure_tree,
};
use provost_schema::attr;
use provost_server::Server;
use provost_settings::Fallback;
use tempfile::TempDir;
use uuid::Uuid;

const SUFFIX: &str = "dc=example,dc=edu";
const FILE: &str =
    "person_id,given_name,family_name,affiliation\n1,Zoé,Roy,student\n2,Ida,Admin,staff\n3,Hal,Desk,staff\n";

struct Site {
    _folder: TempDir,
    _server: Server,
    directory: Directory,
    desk: Desk,
    audit: Audit,
}

fn admin() -> Principal {
    Principal::command("test", Some(Role::Admin))
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
        let directory = Directory::new(DirectoryConfig {
            servers: vec![ServerAddress {
                url: format!("ldap://{}", server.addresses[0]),
                role: ServerRole::Provider,
                start_tls: false,
            }],
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
        let audit = Audit::in_memory();
        let desk = Desk::new(directory.clone(), settings, audit.clone(), Journals::new(folder.path().join("journal")));
        let plan = desk.plan_import(&admin(), FILE, CsvOptions::default()).await.unwrap();
        assert!(plan.plan.rejected().is_empty(), "{:?}", plan.plan.rejected());
        desk.apply_import(std::future::pending(), &admin(), &plan, &mut |_| {}).await.unwrap().unwrap();
        desk.set_roles(&admin(), "ida.admin", &["admin"]).await.unwrap();
        desk.set_roles(&admin(), "hal.desk", &["helpdesk"]).await.unwrap();
        Self { _folder: folder, _server: server, directory, desk, audit }
    }
}

fn rule() -> VacationChange {
    VacationChange { text_en: Some("Away.".into()), ..VacationChange::default() }
}

fn desk_error(error: ImportError) -> DeskError {
    match error {
        ImportError::Desk(error) => error,
        other => panic!("{other}"),
    }
}

/// Performs an operation on the person `zoe` as an interface does.
async fn ask(desk: &Desk, who: &Principal, operation: Permission) -> Result<(), DeskError> {
    let zoe = "zoe.roy";
    let plan = async |who: &Principal| desk.plan_import(who, FILE, CsvOptions::default()).await.map_err(desk_error);
    match operation {
        Permission::SearchPeople => desk.search(who, "zoe", 5).await.map(drop),
        Permission::ListPeople => {
            let every = |_| std::ops::ControlFlow::Continue(());
            desk.list_people(who, &provost_provision::PeopleFilter::default(), every).await
        }
        Permission::ViewPerson => desk.person(who, zoe).await.map(drop),
        Permission::SetVacation => {
            desk.set_vacation(who, zoe, rule()).await?;
            desk.clear_vacation(who, zoe).await.map(drop)
        }
        Permission::SetForwarding => {
            let change = ForwardingChange { to: vec!["zoe@example.net".into()], ..ForwardingChange::default() };
            desk.set_forwarding(who, zoe, change, jiff::Timestamp::now()).await?;
            desk.clear_forwarding(who, zoe, jiff::Timestamp::now()).await.map(drop)
        }
        Permission::SetQuota => {
            let change = QuotaChange { class: Some("research".into()), ..QuotaChange::default() };
            desk.set_quota(who, zoe, change, jiff::Timestamp::now()).await?;
            desk.clear_quota(who, zoe, jiff::Timestamp::now()).await.map(drop)
        }
        Permission::SuspendPerson => {
            let lock = LockRequest { name: "fees".into(), reason: "unpaid".into(), ..LockRequest::default() };
            desk.suspend(who, zoe, lock, jiff::Timestamp::now()).await?;
            desk.release_lock(who, zoe, "fees", jiff::Timestamp::now()).await.map(drop)
        }
        Permission::CloseAccount => {
            desk.close_account(who, zoe, "a mistake", jiff::Timestamp::now()).await?;
            desk.restore_account(who, zoe, "a mistake", jiff::Timestamp::now()).await.map(drop)
        }
        Permission::ChangeAddresses => {
            desk.add_alias(who, zoe, "z@example.edu").await?;
            desk.remove_alias(who, zoe, "z@example.edu").await.map(drop)
        }
        Permission::ResetPassword => desk.reset_password(who, zoe, None).await.map(drop),
        // Zoé may have a password by now, which a registrar's link must not replace; so only the people are looked up.
        Permission::SendActivation => {
            desk.activation_candidates(who, &ActivationSelection::WithoutPassword).await.map(drop)
        }
        Permission::SetRoles => desk.set_roles(who, zoe, &[]).await.map(drop),
        Permission::PlanImport => plan(who).await.map(drop),
        Permission::ViewImports => {
            desk.review_import(who, FILE, CsvOptions::default()).await.map(drop).map_err(desk_error)
        }
        Permission::ApplyImport => {
            let plan = plan(&admin()).await?;
            desk.apply_import(std::future::pending(), who, &plan, &mut |_| {}).await.map(drop)
        }
        Permission::RunLifecycle => {
            let plan = desk.plan_lifecycle(who, jiff::Timestamp::UNIX_EPOCH).await?;
            desk.apply_import(std::future::pending(), who, &plan, &mut |_| {}).await.map(drop)
        }
        // Zoé's enrolment has no end, so there is nothing to prolong; the refusal comes after that of the role.
        Permission::ExtendAccount => {
            let (now, until) = (jiff::Timestamp::now(), jiff::Timestamp::MAX);
            match desk.extend(who, zoe, (until, "thesis"), now).await {
                Err(DeskError::Invalid { field: "until", .. }) => Ok(()),
                ended => ended.map(drop),
            }
        }
        // Zoé's account is not closed; the refusal comes after that of the role.
        Permission::PurgeAccount => match desk.purge(who, zoe, "left", jiff::Timestamp::now()).await {
            Err(DeskError::Invalid { field: "person", .. }) => Ok(()),
            ended => ended.map(drop),
        },
        Permission::ViewAudit => desk.audit_records(who, None, 5).await.map(drop),
        Permission::InitDirectory => desk.ensure_tree(who).await.map(drop),
        Permission::ViewGroups => desk.groups(who).await.map(drop),
        Permission::ChangeGroups => {
            desk.create_group(who, "of-roles", Some("of-roles@example.edu"), &GroupRules::default()).await?;
            desk.delete_group(who, "of-roles").await.map(drop)
        }
        Permission::ViewSettings => desk.shared_settings(who, &Fallback::default()).await.map(drop),
        Permission::ChangeSettings => {
            desk.set_setting(who, "default-quota", &["5000000".to_owned()]).await?;
            desk.clear_setting(who, "default-quota").await.map(drop)
        }
        Permission::ViewMessages => desk.correspondent(who, zoe).await.map(drop),
        Permission::OverrideGuard | Permission::ViewQueue | Permission::ViewNode | Permission::ViewTokens => {
            desk.permit(who, operation).await
        }
        Permission::ChangeTokens => {
            desk.permit_change(who, operation, "subject", serde_json::json!({})).await.map(drop)
        }
    }
}

/// The table as `docs/roles.md` has it, independent of the code: role, operation, cell.
fn documented() -> Vec<(String, String, String)> {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/roles.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut lines = page.split("```\n").nth(1).unwrap().lines();
    let roles: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    let rows = lines.filter(|line| line.split(' ').next().is_some_and(|name| name.contains('.')));
    let cells = rows.flat_map(|line| {
        let mut words = line.split_whitespace();
        let operation = words.next().unwrap();
        let words: Vec<&str> = words.collect();
        assert_eq!(words.len(), roles.len(), "{line}");
        roles.iter().zip(words).map(move |(role, cell)| ((*role).to_owned(), operation.to_owned(), cell.to_owned()))
    });
    cells.collect()
}

#[test]
fn the_table_equals_that_of_docs_roles() {
    let documented = documented();
    assert_eq!(documented.len(), TABLE.len() * ROLES.len());
    for (role, operation, cell) in documented {
        let known = ROLES.into_iter().find(|known| known.name() == role).unwrap();
        let (permission, _) = TABLE.iter().find(|(permission, _)| permission.name() == operation).expect(&operation);
        let word = match known.grant(*permission) {
            Grant::Any => "yes",
            Grant::Own => "own",
            Grant::No => "-",
        };
        assert_eq!(word, cell, "{role} {operation}");
    }
}

/// The expectation comes from the page, not from the table that the operations use.
#[tokio::test(flavor = "multi_thread")]
async fn every_cell_of_the_table_holds() {
    let site = Site::start().await;
    let zoe = site.desk.person(&admin(), "zoe.roy").await.unwrap().entry_uuid;
    for (role, operation, cell) in documented() {
        let (operation, _) = *TABLE.iter().find(|(known, _)| known.name() == operation).expect(&operation);
        // Test the role both as a token's and as that of a signed-in person.
        let others = match Role::parse(&role) {
            Some(known) => vec![Principal::token("t", known), Principal::person("pat", Uuid::from_u128(8), [&*role])],
            None => vec![Principal::person("hal.desk", Uuid::from_u128(7), [])],
        };
        for other in others {
            check(&site, &other, operation, cell == "yes").await;
        }
        if role == "self" {
            check(&site, &Principal::person("zoe.roy", zoe, []), operation, cell != "-").await;
        }
    }
}

async fn check(site: &Site, who: &Principal, operation: Permission, may: bool) {
    let outcome = ask(&site.desk, who, operation).await;
    if may {
        assert_eq!(outcome, Ok(()), "{who:?} {operation}");
        return;
    }
    assert!(matches!(outcome, Err(DeskError::NotAllowed(_))), "{who:?} {operation}: {outcome:?}");
    let last = site.audit.newest(1).await.unwrap().remove(0);
    assert_eq!((last.action.as_str(), last.actor.as_str()), ("operation.refused", who.actor().name.as_str()));
    assert!(last.detail["operation"].is_string(), "{last:?}");
}

/// A principal that may see only itself cannot find out which other people exist.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_does_not_say_who_exists() {
    let site = Site::start().await;
    let zoe = site.desk.person(&admin(), "zoe.roy").await.unwrap();
    let (zoe, nobody) = (Principal::person("zoe.roy", zoe.entry_uuid, []), Principal::command("mallory", None));
    for key in ["hal.desk", "nobody.at.all", "Hal Desk", "registrar:3", "registrar:99"] {
        for who in [&zoe, &nobody] {
            let outcome = site.desk.person(who, key).await.map(drop);
            assert_eq!(outcome, Err(DeskError::NotAllowed(Permission::ViewPerson)), "{key}");
        }
    }
    site.desk.person(&zoe, "zoe.roy").await.unwrap();
}

/// Locks, their reasons and the history are written by others, who may not want the person to read them.
#[tokio::test(flavor = "multi_thread")]
async fn people_without_a_role_do_not_see_what_others_wrote_about_them() {
    let site = Site::start().await;
    let (desk, now) = (&site.desk, jiff::Timestamp::now());
    let lock = LockRequest { name: "fees".into(), reason: "unpaid".into(), ..LockRequest::default() };
    desk.suspend(&admin(), "zoe.roy", lock, now).await.unwrap();
    let away = ForwardingChange { to: vec!["zoe@example.net".into()], ..ForwardingChange::default() };
    desk.set_forwarding(&admin(), "zoe.roy", away.clone(), now).await.unwrap();
    let whole = desk.person(&admin(), "zoe.roy").await.unwrap();
    assert!(!whole.locks.is_empty() && !whole.set_by_hand.is_empty() && whole.sources == ["registrar:1"]);
    let zoe = Principal::person("zoe.roy", whole.entry_uuid, ["of a later version"]);
    let own = desk.person(&zoe, "zoe.roy").await.unwrap();
    assert_eq!(
        (&own.summary, &own.addresses, own.forwarding.as_ref()),
        (&whole.summary, &whole.addresses, Some(&away))
    );
    assert!(own.locks.is_empty() && own.set_by_hand.is_empty() && own.sources.is_empty(), "{own:?}");
    assert!(own.created.is_none() && own.modified.is_none() && own.start_date.is_none(), "{own:?}");
    let refused = Err(DeskError::NotAllowed(Permission::ViewPerson));
    assert_eq!(desk.history(&zoe, &own, 10).await.map(drop), refused);
    assert_eq!(desk.explain(&zoe, "zoe.roy", None).await.map(drop), refused);
    assert!(desk.history(&admin(), &own, 10).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_help_desk_changes_no_credentials_above_its_own() {
    let site = Site::start().await;
    let desk = &site.desk;
    let (one, two) = (Principal::token("one", Role::HelpDesk1), Principal::token("two", Role::HelpDesk2));
    for (who, key, may) in [
        (&one, "zoe.roy", true),
        (&one, "hal.desk", false),
        (&one, "ida.admin", false),
        (&two, "hal.desk", true),
        (&two, "ida.admin", false),
        (&two, "registrar:2", false),
        (&two, "ida.admin@example.edu", false),
    ] {
        let reset = desk.reset_password(who, key, None).await.map(drop);
        assert_eq!(reset.is_ok(), may, "{key}: {reset:?}");
        assert!(may || reset == Err(DeskError::NotAllowed(Permission::ResetPassword)));
    }
    for (who, key, may) in [(&one, "ida.admin", false), (&two, "hal.desk", true), (&one, "hal.desk", false)] {
        let letter = desk.activation_letter(who, key).await.map(drop);
        assert!(may == letter.is_ok(), "{key}: {letter:?}");
        assert!(may || letter == Err(DeskError::NotAllowed(Permission::SendActivation)));
    }
    assert!(!desk.person(&admin(), "ida.admin").await.unwrap().has_password);
    let hal = desk.person(&admin(), "hal.desk").await.unwrap();
    let person = Principal::person("hal.desk", hal.entry_uuid, ["helpdesk"]);
    assert_eq!(desk.set_roles(&person, "hal.desk", &["admin"]).await, Err(DeskError::NotAllowed(Permission::SetRoles)));
    let made = desk.ensure_operator(&two, "eve", "Eve", "admin", Secret::new("long enough")).await;
    assert_eq!(made, Err(DeskError::NotAllowed(Permission::SetRoles)));
    assert!(
        desk.reset_password(&person, "hal.desk", None).await.is_ok(),
        "a person was refused a reset of their own password"
    );
}

/// A person with a role gets no initial password from a registrar's file, even if they have no password yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_sets_no_password_of_a_person_with_a_role() {
    let site = Site::start().await;
    let registrar = Principal::token("registrar", Role::Registrar);
    let file = "person_id,given_name,family_name,affiliation,password\n\
        1,Zoé,Roy,student,chosen by them\n2,Ida,Admin,staff,chosen by them\n3,Hal,Desk,staff,chosen by them\n";
    let plan = site.desk.plan_import(&registrar, file, CsvOptions::default()).await.unwrap();
    assert_eq!(plan.plan.summary().passwords, 1, "not exactly one person gets a password: {:?}", plan.plan.changes());
    site.desk.apply_import(std::future::pending(), &registrar, &plan, &mut |_| {}).await.unwrap().unwrap();
    let has_one = async |uid: &str| site.desk.person(&admin(), uid).await.unwrap().has_password;
    assert_eq!((has_one("zoe.roy").await, has_one("ida.admin").await, has_one("hal.desk").await), (true, false, false));
}

/// When two writers read the same version and write at the same time, one succeeds and the other gets an error.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_of_one_version_one_is_made() {
    let site = Site::start().await;
    for round in 0..100 {
        let version = site.desk.person(&admin(), "zoe.roy").await.unwrap().version;
        let write = |text: String| {
            let (desk, version) = (site.desk.clone(), version.clone());
            tokio::spawn(async move {
                let target = ChangeTarget::new("zoe.roy", ExpectedVersion::OneOf(vec![version]));
                desk.set_vacation(&admin(), target, VacationChange { text_en: Some(text), ..rule() }).await
            })
        };
        let (one, two) = tokio::join!(write(format!("one {round}")), write(format!("two {round}")));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!(usize::from(one.is_ok()) + usize::from(two.is_ok()), 1, "{one:?} {two:?}");
        let lost = if one.is_ok() { two } else { one };
        assert!(matches!(lost, Err(DeskError::VersionMismatch(_))), "{lost:?}");
    }
}

/// When two calls each add an alias to the same version of a person, one succeeds. The alias of the other call is free
/// afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn an_alias_that_lost_its_race_is_free_again() {
    let site = Site::start().await;
    for round in 0..20 {
        let before = site.desk.person(&admin(), "zoe.roy").await.unwrap();
        let give = |name: &str| {
            let (desk, version) = (site.desk.clone(), before.version.clone());
            let address = format!("{name}{round}@example.edu");
            tokio::spawn(async move {
                let target = ChangeTarget::new("zoe.roy", ExpectedVersion::OneOf(vec![version]));
                desk.add_alias(&admin(), target, &address).await
            })
        };
        let (one, two) = tokio::join!(give("one"), give("two"));
        let (one, two) = (one.unwrap(), two.unwrap());
        let lost = match (&one, &two) {
            (Ok(_), Err(DeskError::VersionMismatch(_))) => format!("two{round}@example.edu"),
            (Err(DeskError::VersionMismatch(_)), Ok(_)) => format!("one{round}@example.edu"),
            other => panic!("{other:?}"),
        };
        let after = site.desk.person(&admin(), "zoe.roy").await.unwrap();
        assert!(after.addresses.iter().all(|info| info.address != lost), "{lost}: {:?}", after.addresses);
        site.desk.add_alias(&admin(), "hal.desk", &lost).await.unwrap();
    }
}

/// The person's entry no longer lists the address, but the address entry still names the person as its owner. When two
/// calls remove the address, each succeeds or gets `NotFound`, and neither gets `VersionMismatch`.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_two_calls_remove_is_removed() {
    let site = Site::start().await;
    let zoe = Dn::parse(&site.desk.person(&admin(), "zoe.roy").await.unwrap().dn).unwrap();
    for round in 0..20 {
        let address = format!("old{round}@example.edu");
        site.desk.add_alias(&admin(), "zoe.roy", &address).await.unwrap();
        let name = AttributeDescription::of(attr::MAIL_LOCAL_ADDRESS);
        let change = Modification::delete(name, vec![address.clone().into_bytes()]);
        site.directory.modify(&zoe, vec![change], WriteConditions::default()).await.unwrap();
        let remove = || {
            let (desk, address) = (site.desk.clone(), address.clone());
            tokio::spawn(async move { desk.remove_alias(&admin(), "zoe.roy", &address).await })
        };
        let (one, two) = tokio::join!(remove(), remove());
        for removed in [one.unwrap(), two.unwrap()] {
            assert!(matches!(removed, Ok(_) | Err(DeskError::NotFound(_))), "{removed:?}");
        }
        let after = site.desk.person(&admin(), "zoe.roy").await.unwrap();
        assert!(after.addresses.iter().all(|info| info.address != address || info.kind == "quarantined"));
    }
}

/// When two calls create the same person with different roles, the person has both.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_whom_two_calls_create_has_both_roles() {
    let site = Site::start().await;
    for round in 0..20 {
        let uid = format!("dana{round}");
        let create = |role: &'static str| {
            let (desk, uid) = (site.desk.clone(), uid.clone());
            let password = Secret::new("long enough");
            tokio::spawn(async move { desk.ensure_operator(&admin(), &uid, "Dana Desk", role, password).await })
        };
        let (one, two) = tokio::join!(create("auditor"), create("helpdesk1"));
        assert_eq!(
            usize::from(one.unwrap().unwrap()) + usize::from(two.unwrap().unwrap()),
            1,
            "not exactly one call created the person"
        );
        assert_eq!(site.desk.person(&admin(), &uid).await.unwrap().roles, ["auditor", "helpdesk1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_returns_1001_audit_records_at_most() {
    let site = Site::start().await;
    for _ in 0..1002 {
        site.desk.sign_in_refused(&admin(), "cn=x").await;
    }
    for subject in [None, Some("cn=x")] {
        assert_eq!(site.desk.audit_records(&admin(), subject, usize::MAX).await.unwrap().len(), 1001);
    }
}

/// All files below a folder.
fn collect_files(folder: &std::path::Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_files(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// Only `Desk` holds directory and audit. This test ensures that the interfaces have no other access: the API and the
/// pages do not depend on the LDAP client, and no command writes by itself.
#[test]
fn interfaces_reach_directory_and_audit_only_through_the_desk() {
    let admin = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../admin");
    for interface in ["api", "web"] {
        let manifest = std::fs::read_to_string(admin.join(interface).join("Cargo.toml")).unwrap();
        let used = manifest.split("[dev-dependencies]").next().unwrap();
        for room in ["provost-client", "provost-server", "provost-entry"] {
            assert!(!used.contains(room), "admin/{interface} uses {room}");
        }
    }
    let mut files = Vec::new();
    for folder in ["api/src/handlers", "web/src", "provost/src/commands"] {
        collect_files(&admin.join(folder), &mut files);
    }
    for path in &files {
        let text = std::fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for bypass in ["Applier", "AuditLog", ".modify(", ".delete(", "directory.add(", "MemoryState"] {
            assert!(!code.contains(bypass), "{}: {bypass}", path.display());
        }
    }
    assert!(files.len() > 30, "{} files", files.len());
}
