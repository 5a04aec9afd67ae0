//! The two LDAP servers of these tests, slapd and the embedded one, each with the help desk's operations on top.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use provost_client::{Directory, DirectoryConfig, ServerAddress, ServerRole};
use provost_credential::{Scheme, Secret};
use provost_entry::Dn;
use provost_provision::{
    Actor, Applier, Audit, BatchOptions, Desk, DeskError, Journals, PersonDetail, PersonSummary, Principal,
    ProvisionSettings, Role,
};
use provost_server::Server;
use tempfile::TempDir;

const SUFFIX: &str = "dc=example,dc=edu";
/// Longest start of slapd on a busy machine.
pub(super) const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A private slapd on a free port, stopped when the value is dropped.
pub(super) struct Slapd {
    folder: TempDir,
    port: u16,
    child: Child,
}

impl Slapd {
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        configure(folder.path());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = spawn(folder.path(), port);
        Self { folder, port, child }
    }

    pub(super) fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(super) fn start_again(&mut self) {
        self.child = spawn(self.folder.path(), self.port);
    }

    pub(super) fn desk(&self) -> Site {
        desk(self.port, self.folder.path())
    }
}

/// The embedded server on a free port, stopped when the value is dropped.
pub(super) struct Embedded {
    pub(super) folder: TempDir,
    pub(super) server: Server,
}

impl Embedded {
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = provost_server::ServerConfig {
            folder: folder.path().join("directory"),
            suffix: Dn::parse(SUFFIX).unwrap(),
            root_dn: Dn::parse(&format!("cn=admin,{SUFFIX}")).unwrap(),
            root_password: provost_credential::hash(&Secret::new("secret"), Scheme::Ssha),
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            tls: None,
            admission: None,
            server_id: 1,
        };
        let server = Server::start(config, Vec::new()).await.unwrap();
        Self { folder, server }
    }

    pub(super) fn desk(&self) -> Site {
        desk(self.server.addresses[0].port(), self.folder.path())
    }
}

pub(super) fn directory(port: u16) -> Directory {
    let url = format!("ldap://127.0.0.1:{port}");
    Directory::new(DirectoryConfig {
        servers: vec![ServerAddress { url, role: ServerRole::Provider, start_tls: false }],
        bind_dn: format!("cn=admin,{SUFFIX}"),
        bind_password: "secret".into(),
        suffix: Dn::parse(SUFFIX).unwrap(),
        ca_file: None,
        connect_timeout: Duration::from_secs(2),
        operation_timeout: Duration::from_secs(10),
    })
}

/// The help desk's operations, and what an [`Applier`] on the same directory needs.
pub(super) struct Site {
    pub(super) desk: Desk,
    pub(super) directory: Directory,
    pub(super) settings: ProvisionSettings,
    pub(super) audit: Audit,
    pub(super) journals: Journals,
}

impl std::ops::Deref for Site {
    type Target = Desk;

    fn deref(&self) -> &Desk {
        &self.desk
    }
}

impl Site {
    pub(super) fn applier<'a>(&'a self, actor: &'a Actor) -> Applier<'a> {
        let Self { directory, settings, audit, journals, .. } = self;
        Applier {
            directory,
            password_policy: &settings.passwords,
            actor,
            audit,
            journals,
            batch: BatchOptions::default(),
        }
    }

    /// A person as an admin sees them, without the audit id, which differs with each view.
    pub(super) async fn person(&self, key: &str) -> Result<PersonDetail, DeskError> {
        let person = self.desk.person(&admin(), key).await?;
        assert!(!person.audit_id.is_empty());
        Ok(PersonDetail { audit_id: String::new(), ..person })
    }

    pub(super) async fn search(&self, text: &str, limit: usize) -> Result<Vec<PersonSummary>, DeskError> {
        self.desk.search(&admin(), text, limit).await
    }
}

pub(super) fn desk(port: u16, folder: &Path) -> Site {
    let (directory, settings, audit) = (directory(port), settings(), Audit::in_memory());
    let journals = Journals::new(folder.join("journal"));
    let desk = Desk::new(directory.clone(), settings.clone(), audit.clone(), journals.clone());
    Site { desk, directory, settings, audit, journals }
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

pub(super) fn settings() -> ProvisionSettings {
    ProvisionSettings {
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
    }
}

pub(super) fn admin() -> Principal {
    Principal::command("test", Some(Role::Admin))
}

pub(super) fn actor() -> Actor {
    admin().actor().clone()
}
