//! A real slapd as an ordinary process in its own folder, on a free loopback port.
#![allow(dead_code, unreachable_pub, missing_docs)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use provost_client::{Directory, DirectoryConfig, ServerAddress, ServerRole};
use provost_entry::{Dn, Entry};
use provost_schema::{attr, class};

pub const SUFFIX: &str = "dc=example,dc=edu";
pub const ROOT: &str = "cn=root,dc=example,dc=edu";
pub const PASSWORD: &str = "secret";

/// A running slapd, killed on drop.
pub struct Slapd {
    folder: tempfile::TempDir,
    pub url: String,
    child: Option<Child>,
}

impl Slapd {
    /// Starts a slapd with the project's schema, syncprov and the containers; its database is not synced to disk.
    pub fn start() -> Self {
        Self::start_with("olcDbNoSync: TRUE\n")
    }

    /// As [`Slapd::start`], with other `options` of the database, in LDIF.
    pub fn start_with(options: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("config")).unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut slapd = Self { url: format!("ldap://127.0.0.1:{port}"), folder, child: None };
        slapd.load("0", &config(slapd.folder.path(), options));
        slapd.load("1", &containers());
        slapd.run();
        slapd
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn load(&self, database: &str, ldif: &str) {
        let file = self.path("load.ldif");
        std::fs::write(&file, ldif).unwrap();
        let mut command = Command::new("/usr/sbin/slapadd");
        command.args(["-q", "-w", "-n", database, "-F"]).arg(self.path("config")).arg("-l").arg(&file);
        let output = command.output().expect("this test needs Debian's slapd (apt-get install slapd)");
        assert!(output.status.success(), "slapadd: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts slapd, for the first time or after [`Slapd::kill`], and waits until it listens.
    pub fn run(&mut self) {
        let child = Command::new("/usr/sbin/slapd")
            .args(["-d", "0", "-h", &self.url, "-F"])
            .arg(self.path("config"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let address = self.url.trim_start_matches("ldap://").to_owned();
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < deadline, "slapd does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Sends slapd a signal, given by its name without `SIG`, for example `STOP`.
    pub fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    pub fn directory(&self) -> Directory {
        Directory::new(config_of(&[(&self.url, ServerRole::Provider)]))
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Returns a client configuration for these servers.
pub fn config_of(servers: &[(&str, ServerRole)]) -> DirectoryConfig {
    let server =
        |(url, role): &(&str, ServerRole)| ServerAddress { url: (*url).to_owned(), role: *role, start_tls: false };
    DirectoryConfig {
        servers: servers.iter().map(server).collect(),
        bind_dn: ROOT.to_owned(),
        bind_password: PASSWORD.to_owned(),
        suffix: Dn::parse(SUFFIX).unwrap(),
        ca_file: None,
        connect_timeout: Duration::from_secs(1),
        operation_timeout: Duration::from_secs(2),
    }
}

fn config(folder: &Path, options: &str) -> String {
    let mut ldif = String::from(
        "dn: cn=config\nobjectClass: olcGlobal\ncn: config\nolcSizeLimit: unlimited\nolcThreads: 8\n\n\
         dn: cn=module{0},cn=config\nobjectClass: olcModuleList\ncn: module{0}\nolcModulePath: /usr/lib/ldap\n\
         olcModuleLoad: back_mdb\nolcModuleLoad: syncprov\n\n\
         dn: cn=schema,cn=config\nobjectClass: olcSchemaConfig\ncn: schema\n\n",
    );
    for name in ["core.ldif", "cosine.ldif", "inetorgperson.ldif", "misc.ldif"] {
        ldif.push_str(&std::fs::read_to_string(Path::new("/etc/ldap/schema").join(name)).unwrap());
        ldif.push('\n');
    }
    for (_, text) in provost_schema::LDIF_FILES {
        ldif.push_str(text);
        ldif.push('\n');
    }
    ldif.push_str(&format!(
        "dn: olcDatabase={{1}}mdb,cn=config\nobjectClass: olcDatabaseConfig\nobjectClass: olcMdbConfig\n\
         olcDatabase: {{1}}mdb\nolcSuffix: {SUFFIX}\nolcRootDN: {ROOT}\nolcRootPW: {PASSWORD}\n\
         olcDbDirectory: {}\nolcDbMaxSize: 1073741824\nolcDbIndex: entryUUID,entryCSN eq\nolcDbIndex: objectClass eq\n{options}\n\
         dn: olcOverlay=syncprov,olcDatabase={{1}}mdb,cn=config\nobjectClass: olcSyncProvConfig\n\
         olcOverlay: syncprov\nolcSpCheckpoint: 100 5\nolcSpSessionlog: 10000\n",
        folder.join("data").display()
    ));
    ldif
}

fn containers() -> String {
    let mut ldif =
        format!("dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example\n\n");
    for ou in provost_schema::ou::ALL {
        ldif.push_str(&format!("dn: ou={ou},{SUFFIX}\nobjectClass: organizationalUnit\nou: {ou}\n\n"));
    }
    ldif.push_str(&format!(
        "dn: provostDomain=example.edu,ou=domains,{SUFFIX}\nobjectClass: {}\nprovostDomain: example.edu\n",
        class::PROVOST_DOMAIN_ENTRY
    ));
    ldif
}

/// Returns the DN of a container below the suffix.
pub fn below(container: &str) -> Dn {
    Dn::parse(SUFFIX).unwrap().child("ou", container)
}

pub fn person_dn(n: u32) -> Dn {
    below("people").child(attr::PROVOST_PERSON_ID, &format!("00000000-0000-4000-8000-{n:012}"))
}

/// Returns person number `n`, with login `p<n>`.
pub fn person(n: u32) -> Entry {
    Entry::new(person_dn(n))
        .with(attr::OBJECT_CLASS, class::INET_ORG_PERSON)
        .with(attr::OBJECT_CLASS, class::EDU_PERSON)
        .with(attr::OBJECT_CLASS, class::INET_LOCAL_MAIL_RECIPIENT)
        .with(attr::OBJECT_CLASS, class::MAIL_RECIPIENT)
        .with(attr::OBJECT_CLASS, class::PROVOST_ACCOUNT)
        .with(attr::PROVOST_PERSON_ID, format!("00000000-0000-4000-8000-{n:012}"))
        .with(attr::CN, format!("Person {n}"))
        .with(attr::SN, format!("{n}"))
        .with(attr::UID, format!("p{n}"))
        .with(attr::MAIL, format!("p{n}@example.edu"))
        .with(attr::USER_PASSWORD, format!("password {n}"))
}

/// Returns the address entry of `local@example.edu`, owned by person `n`.
pub fn address(local: &str, kind: &str, n: u32) -> Entry {
    let text = format!("{local}@example.edu");
    Entry::new(below("addresses").child(attr::PROVOST_ADDRESS, &text))
        .with(attr::OBJECT_CLASS, class::PROVOST_ADDRESS_ENTRY)
        .with(attr::PROVOST_ADDRESS, text)
        .with(attr::PROVOST_ADDRESS_KIND, kind)
        .with(attr::PROVOST_OWNER, person_dn(n).as_str())
}

/// Waits until `condition` holds, for at most `limit`; returns how long it took.
pub async fn eventually(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}
