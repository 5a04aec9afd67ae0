//! Imports and help-desk operations against the real slapd 2.5 of Debian with the project's schema, and against the
//! embedded server: nothing here can tell which one it talks to.

// What goes wrong here is the test's failure; clippy knows test functions, not what they call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use provost_client::{Directory, DirectoryConfig, DirectoryError, Scope, Search, ServerConfig, ServerRole};
use provost_credential::{Scheme, Secret, Verdict};
use provost_entry::{Dn, Entry, Filter};
use provost_provision::{
    Actor, Actual, Audit, Desk, DeskError, Outcomes, Plan, RosterOptions, Settings, VacationChange, apply, apply_until,
    ensure_tree, plan, read_roster,
};
use provost_schema::attr;
use provost_server::Server;
use tempfile::TempDir;

const SUFFIX: &str = "dc=example,dc=edu";
const SAMPLE: &str = include_str!("../../../docs/sample/people.csv");
const HEADER: &str =
    "person_id,given_name,family_name,birth_date,private_email,affiliation,program,end_date,password\n";
/// How long slapd may take to start on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A slapd of our own on a free port; ended with the value.
struct Slapd {
    folder: TempDir,
    port: u16,
    child: Child,
}

impl Slapd {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        configure(folder.path());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = spawn(folder.path(), port);
        Self { folder, port, child }
    }

    fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn start_again(&mut self) {
        self.child = spawn(self.folder.path(), self.port);
    }

    fn desk(&self) -> Desk {
        desk(self.port, self.folder.path())
    }
}

/// The embedded server on a free port.
struct Embedded {
    folder: TempDir,
    server: Server,
}

impl Embedded {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = provost_server::ServerConfig {
            folder: folder.path().join("directory"),
            suffix: Dn::parse(SUFFIX).unwrap(),
            root_dn: Dn::parse(&format!("cn=admin,{SUFFIX}")).unwrap(),
            root_password: provost_credential::hash(&Secret::new("secret"), Scheme::Ssha),
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            tls: None,
            client_address: None,
            server_id: 1,
        };
        let server = Server::start(config, Vec::new()).await.unwrap();
        Self { folder, server }
    }

    fn desk(&self) -> Desk {
        desk(self.server.addresses[0].port(), self.folder.path())
    }
}

fn directory(port: u16) -> Directory {
    let url = format!("ldap://127.0.0.1:{port}");
    Directory::new(DirectoryConfig {
        servers: vec![ServerConfig { url, role: ServerRole::Provider, start_tls: false }],
        bind_dn: format!("cn=admin,{SUFFIX}"),
        bind_password: "secret".into(),
        suffix: Dn::parse(SUFFIX).unwrap(),
        ca_file: None,
        connect_timeout: Duration::from_secs(2),
        operation_timeout: Duration::from_secs(10),
    })
}

fn desk(port: u16, folder: &Path) -> Desk {
    let audit = Audit::open(&folder.join("audit.jsonl")).unwrap();
    Desk { directory: directory(port), settings: settings().into(), audit }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configure(folder: &Path) {
    let mut ldif = String::from(
        "dn: cn=config\nobjectClass: olcGlobal\ncn: config\n\n\
         dn: cn=module{0},cn=config\nobjectClass: olcModuleList\ncn: module{0}\nolcModulePath: /usr/lib/ldap\n\
         olcModuleLoad: back_mdb\n\ndn: cn=schema,cn=config\nobjectClass: olcSchemaConfig\ncn: schema\n\n",
    );
    for name in ["core.ldif", "cosine.ldif", "inetorgperson.ldif", "misc.ldif"] {
        ldif.push_str(
            &std::fs::read_to_string(Path::new("/etc/ldap/schema").join(name)).expect("apt-get install slapd"),
        );
        ldif.push('\n');
    }
    for (_, text) in provost_schema::LDIF_FILES {
        ldif.push_str(text);
        ldif.push('\n');
    }
    let data = folder.join("data");
    ldif.push_str(&format!(
        "dn: olcDatabase={{1}}mdb,cn=config\nobjectClass: olcMdbConfig\nolcDatabase: {{1}}mdb\nolcSuffix: {SUFFIX}\n\
         olcRootDN: cn=admin,{SUFFIX}\nolcRootPW: secret\nolcDbDirectory: {}\nolcDbNoSync: TRUE\n\
         olcDbMaxSize: 1073741824\n\
         olcDbIndex: objectClass,uid,mail,mailLocalAddress,employeeNumber,provostSourceId,provostOwner eq\n",
        data.display()
    ));
    for folder in [&data, &folder.join("config")] {
        std::fs::create_dir(folder).unwrap();
    }
    let file = folder.join("config.ldif");
    std::fs::write(&file, ldif).unwrap();
    let config = folder.join("config");
    let added =
        Command::new("/usr/sbin/slapadd").args(["-n", "0", "-F"]).arg(config).arg("-l").arg(file).output().unwrap();
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
}

fn spawn(folder: &Path, port: u16) -> Child {
    let child = Command::new("/usr/sbin/slapd")
        .args(["-d", "0", "-h", &format!("ldap://127.0.0.1:{port}"), "-F"])
        .arg(folder.join("config"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(started.elapsed() < START_TIMEOUT, "slapd does not answer");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

fn settings() -> Settings {
    Settings { domain: "example.edu".into(), source: "registrar".into(), scheme: Scheme::Ssha }
}

fn actor() -> Actor {
    Actor { name: "cli:test".into(), via: "cli" }
}

async fn plan_for(desk: &Desk, file: &str) -> Plan {
    let roster = read_roster(file.as_bytes(), &RosterOptions::default()).unwrap();
    let actual = Actual::read(&desk.directory, &desk.settings.get()).await.unwrap();
    plan(&roster, &actual, &desk.settings.get(), jiff::Timestamp::now()).unwrap()
}

async fn apply_to(desk: &Desk, plan: &Plan) -> Result<Outcomes, (Outcomes, DirectoryError)> {
    let mut steps = 0;
    let mut progress = |_| steps += 1;
    let result = apply(plan, &desk.directory, &desk.settings.get(), &actor(), &desk.audit, &mut progress).await;
    assert_eq!(steps, plan.changes.len().min(steps));
    result
}

async fn import(desk: &Desk, file: &str) -> Outcomes {
    let plan = plan_for(desk, file).await;
    let outcomes = apply_to(desk, &plan).await.unwrap();
    assert_eq!((outcomes.failed.as_slice(), outcomes.writes), (&[][..], plan.summary.writes));
    outcomes
}

async fn below(desk: &Desk, container: &str) -> Vec<Entry> {
    let base = desk.directory.suffix().child("ou", container);
    let filter = Filter::present(attr::OBJECT_CLASS);
    let search = Search { base, scope: Scope::One, filter, attributes: Vec::new(), limit: None };
    desk.directory.search_provider(search).await.unwrap()
}

/// A web handler spawns it: the future must be `Send`.
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

async fn import_the_sample(desk: &Desk) {
    assert_eq!(ensure_tree(&desk.directory, &desk.settings.get()).await.unwrap().len(), 10);
    assert!(ensure_tree(&desk.directory, &desk.settings.get()).await.unwrap().is_empty());

    let first = plan_for(desk, SAMPLE).await;
    let mut lines: Vec<u64> = first.rejected().iter().map(|problem| problem.line).collect();
    lines.dedup();
    assert_eq!((lines.len(), first.summary.rejected), (6, 6), "{:?}", first.rejected());
    assert!(first.summary.create >= 220 && first.summary.passwords == first.summary.create);
    let outcomes = is_send(apply_to(desk, &first)).await.unwrap();
    assert_eq!((outcomes.applied, outcomes.writes), (first.summary.create, 2 * first.summary.create));
    assert!(outcomes.failed.is_empty() && outcomes.hashing_seconds > 0.0);
    assert!(plan_for(desk, SAMPLE).await.is_empty());

    let people = below(desk, "people").await;
    assert_eq!(people.len(), first.summary.create);
    let password = SAMPLE.lines().nth(1).unwrap().rsplit(',').next().unwrap();
    let zoe = desk.person("zoe.tremblay").await.unwrap();
    desk.directory.bind(&Dn::parse(&zoe.dn).unwrap(), password).await.unwrap_or_else(|error| {
        // {SSHA} is slapd's own; a refusal means that the password of the row is not the person's.
        panic!("{error}")
    });
    let maries = desk.search("marie tremblay", 50).await.unwrap();
    let mut mails: Vec<&str> = maries.iter().map(|person| person.mail.as_str()).collect();
    mails.retain(|mail| mail.starts_with("marie.tremblay"));
    mails.sort_unstable();
    assert_eq!(mails, ["marie.tremblay2@example.edu", "marie.tremblay3@example.edu", "marie.tremblay@example.edu"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_cut_off_goes_on() {
    let mut slapd = Slapd::start();
    let desk = slapd.desk();
    ensure_tree(&desk.directory, &desk.settings.get()).await.unwrap();
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
    let cut = apply(&whole, &desk.directory, &desk.settings.get(), &actor(), &desk.audit, &mut progress).await;
    let (outcomes, error) = cut.unwrap_err();
    assert!(matches!(error, DirectoryError::Unavailable(_) | DirectoryError::Unknown(_)), "{error}");
    assert!(outcomes.applied < 600 && outcomes.applied >= 90, "{outcomes:?}");
    slapd.start_again();
    // Another process, as it would be: this one's client holds the server for down for a while.
    let desk = slapd.desk();
    let rest = plan_for(&desk, &rows).await;
    assert!(rest.summary.create <= 600 - outcomes.applied + 64, "{:?}", rest.summary);
    import(&desk, &rows).await;
    assert!(plan_for(&desk, &rows).await.is_empty());
    assert_eq!((below(&desk, "people").await.len(), below(&desk, "addresses").await.len()), (600, 600));
    let noted = desk.audit.about(&whole.digest, 10).await.unwrap();
    let actions: Vec<&str> = noted.iter().map(|record| record.action.as_str()).collect();
    assert_eq!(actions, ["import.apply", "import.begin", "import.apply", "import.begin"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_asked_to_stop_ends_between_people() {
    let embedded = Embedded::start().await;
    let desk = embedded.desk();
    ensure_tree(&desk.directory, &desk.settings.get()).await.unwrap();
    let row = |n: usize| format!("{n},Ann,Roy-{},,,staff,,,\n", "x".repeat(1 + n % 30));
    let rows = HEADER.to_owned() + &(0..600).map(row).collect::<String>();
    let whole = plan_for(&desk, &rows).await;
    let asked = tokio::sync::Notify::new();
    let mut progress = |at: provost_provision::Progress| {
        if at.done == 100 {
            asked.notify_one();
        }
    };
    let stop = asked.notified();
    let actor = actor();
    let settings = desk.settings.get();
    let cut = apply_until(stop, &whole, &desk.directory, &settings, &actor, &desk.audit, &mut progress);
    let outcomes = cut.await.unwrap();
    assert!(outcomes.interrupted && (100..600).contains(&outcomes.applied), "{outcomes:?}");
    assert_eq!((outcomes.writes, outcomes.failed.len()), (2 * outcomes.applied, 0));
    assert_eq!(below(&desk, "people").await.len(), outcomes.applied, "nobody is half there");
    // The registrar corrects the file in between: rows that are there change, others are made.
    let changed = rows.replace("\n1,Ann,", "\n1,Anne,").replace("\n599,Ann,", "\n599,Anna,");
    let rest = plan_for(&desk, &changed).await;
    assert_eq!((rest.summary.create, rest.summary.update), (600 - outcomes.applied, 1), "{:?}", rest.summary);
    import(&desk, &changed).await;
    assert!(plan_for(&desk, &changed).await.is_empty());
    assert_eq!((below(&desk, "people").await.len(), below(&desk, "addresses").await.len()), (600, 601));
    embedded.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_imports_at_once_never_share_an_address() {
    let slapd = Slapd::start();
    let desk = slapd.desk();
    ensure_tree(&desk.directory, &desk.settings.get()).await.unwrap();
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
    desk.add_alias(&actor(), "1", "a.roy@example.edu").await.unwrap();
    let stale = apply_to(&desk, &renamed).await.unwrap();
    assert_eq!(stale.failed[0].1, "the person was changed since the plan was made; import again");
    import(&desk, &one.replace("Roy", "Côté")).await;
    let person = desk.person("a.roy@example.edu").await.unwrap();
    let addresses: Vec<(&str, &str)> =
        person.addresses.iter().map(|info| (info.address.as_str(), info.kind.as_str())).collect();
    let expect =
        [("ann.cote@example.edu", "primary"), ("a.roy@example.edu", "alias"), ("ann.roy@example.edu", "alias")];
    assert_eq!((addresses.as_slice(), person.summary.uid.as_str()), (&expect[..], "ann.roy"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_help_desk_at_work() {
    let slapd = Slapd::start();
    work_at(&slapd.desk()).await;
    let embedded = Embedded::start().await;
    work_at(&embedded.desk()).await;
    embedded.server.stop().await;
}

async fn work_at(desk: &Desk) {
    ensure_tree(&desk.directory, &desk.settings.get()).await.unwrap();
    let rows = "12345,Zoé,L'Écuyer,2004-02-29,,student,B-INFO,2030-04-30,\n7,Bo,Li,,,staff,,,\n8,Bo,Li,,,staff,,,\n";
    import(desk, &format!("{HEADER}{rows}")).await;
    lookups(desk).await;
    accents(desk).await;
    vacations(desk).await;
    aliases(desk).await;
    passwords_and_roles(desk).await;
}

async fn lookups(desk: &Desk) {
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
    assert_eq!(desk.person("Bo Li").await, Err(DeskError::Ambiguous("Bo Li".into())));
    for nobody in ["*", "nobody", "a@b", "é@example.edu", "registrar:1"] {
        assert_eq!(desk.person(nobody).await, Err(DeskError::NotFound(nobody.into())));
    }
    assert!(matches!(desk.person("").await, Err(DeskError::Invalid { field: "person", .. })));
}

/// A word finds a name with marks or without, in whatever way either is written, and after a change of name too.
async fn accents(desk: &Desk) {
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

async fn vacations(desk: &Desk) {
    let rule = VacationChange {
        end: Some(jiff::civil::date(2027, 1, 4)),
        subject_fr: Some("Absence".into()),
        text_fr: Some("De retour\nle 5 janvier — à bientôt".into()),
        text_en: Some("Back on 5 January".into()),
        ..VacationChange::default()
    };
    let id = desk.set_vacation(&actor(), "zoe.lecuyer", rule.clone()).await.unwrap();
    let person = desk.person("zoe.lecuyer").await.unwrap();
    assert_eq!(person.vacation, Some(rule));
    assert_eq!(desk.audit.about(&person.dn, 1).await.unwrap()[0].id, id);
    let french = VacationChange { text_fr: Some("Non".into()), ..VacationChange::default() };
    desk.set_vacation(&actor(), "zoe.lecuyer", french.clone()).await.unwrap();
    assert_eq!(desk.person("zoe.lecuyer").await.unwrap().vacation, Some(french));
    for _ in 0..2 {
        desk.clear_vacation(&actor(), "zoe.lecuyer").await.unwrap();
        assert_eq!(desk.person("zoe.lecuyer").await.unwrap().vacation, None);
    }
    let empty = desk.set_vacation(&actor(), "zoe.lecuyer", VacationChange::default()).await;
    assert!(matches!(empty, Err(DeskError::Invalid { field: "text", .. })));
}

async fn aliases(desk: &Desk) {
    for _ in 0..2 {
        desk.add_alias(&actor(), "zoe.lecuyer", "Zoe@Example.edu").await.unwrap();
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
        assert_eq!(desk.add_alias(&actor(), "8", address).await, Err(expect));
    }
    assert!(matches!(desk.add_alias(&actor(), "8", "no address").await, Err(DeskError::Invalid { .. })));
    let primary = desk.remove_alias(&actor(), "zoe.lecuyer", "zoe.lecuyer@example.edu").await;
    assert!(matches!(primary, Err(DeskError::Invalid { field: "address", .. })));
    let not_hers = desk.remove_alias(&actor(), "zoe.lecuyer", "bo.li@example.edu").await;
    assert_eq!(not_hers, Err(DeskError::NotFound("bo.li@example.edu".into())));
    desk.remove_alias(&actor(), "zoe.lecuyer", "zoe@example.edu").await.unwrap();
    assert_eq!(of(desk.person("zoe.lecuyer").await.unwrap()), both[..1]);
    assert!(matches!(desk.person("zoe@example.edu").await, Err(DeskError::NotFound(_))));
}

async fn passwords_and_roles(desk: &Desk) {
    let (password, _) = desk.reset_password(&actor(), "zoe.lecuyer", None).await.unwrap();
    let zoe = desk.person("zoe.lecuyer").await.unwrap();
    assert!(zoe.has_password);
    desk.directory.bind(&Dn::parse(&zoe.dn).unwrap(), password.reveal()).await.unwrap();
    let chosen = Secret::new("correct horse battery");
    desk.reset_password(&actor(), "zoe.lecuyer", Some(chosen.clone())).await.unwrap();
    let entry = desk.directory.read(&Dn::parse(&zoe.dn).unwrap(), &[attr::USER_PASSWORD]).await.unwrap().unwrap();
    let stored = entry.values(attr::USER_PASSWORD);
    assert_eq!(stored.len(), 1);
    assert_eq!(provost_credential::verify(&chosen, &stored[0]), Verdict::Match);
    let short = desk.reset_password(&actor(), "zoe.lecuyer", Some(Secret::new("short"))).await;
    assert!(matches!(short, Err(DeskError::Invalid { field: "password", .. })));
    let noted = format!("{:?}", desk.audit.about(&zoe.dn, 100).await.unwrap());
    assert!(!noted.contains("correct horse") && !noted.contains(password.reveal()) && !noted.contains("{SSHA}"));

    desk.set_roles(&actor(), "zoe.lecuyer", &["helpdesk", "auditor"]).await.unwrap();
    assert_eq!(desk.person("zoe.lecuyer").await.unwrap().roles, ["auditor", "helpdesk"]);
    assert!(desk.set_roles(&actor(), "zoe.lecuyer", &["king"]).await.is_err());

    let operator = |uid: &'static str, role: &'static str| {
        let password = Secret::new("operator's own words");
        async move { desk.ensure_operator(&actor(), uid, "Dana Desk", role, password).await }
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
    assert!(matches!(
        Actual::read(&desk.directory, &desk.settings.get()).await.err(),
        Some(DirectoryError::Unavailable(_))
    ));
}
