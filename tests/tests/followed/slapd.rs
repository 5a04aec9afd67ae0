//! A slapd with the schema that every installation has, and with syncprov: a directory of another department.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use provost_tests::ldap::{Ldap, SUFFIX};
use provost_tests::{deadline, run};
use tempfile::TempDir;

use super::LIMIT;

pub(crate) const ROOT: &str = "cn=root,dc=example,dc=edu";
pub(crate) const PASSWORD: &str = "secret of hr";

/// Killed on drop.
pub(crate) struct Slapd {
    folder: TempDir,
    pub(crate) url: String,
    child: Option<Child>,
}

impl Slapd {
    pub(crate) fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("provost-hr").tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut slapd = Self { folder, url: format!("ldap://127.0.0.1:{port}"), child: None };
        // slapadd checks that the folder of the database exists.
        ["config", "data"].iter().for_each(|name| fs::create_dir(slapd.folder.path().join(name)).unwrap());
        slapd.load(0, &config(slapd.folder.path()));
        slapd.fill("");
        slapd
    }

    /// Starts with an empty database that holds the suffix and `entries`.
    pub(crate) fn fill(&mut self, entries: &str) {
        self.stop();
        let data = self.folder.path().join("data");
        let _ = fs::remove_dir_all(&data);
        fs::create_dir(&data).unwrap();
        let base =
            format!("dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example\n\n");
        self.load(1, &[&base, entries].concat());
        self.run();
    }

    fn load(&self, database: u8, ldif: &str) {
        let file = self.folder.path().join("load.ldif");
        fs::write(&file, ldif).unwrap();
        let mut command = Command::new("/usr/sbin/slapadd");
        // -w writes the contextCSN.
        command.args(["-q", "-w", "-n", &database.to_string(), "-F"]);
        command.arg(self.folder.path().join("config")).arg("-l").arg(&file);
        run(&mut command).unwrap().good().unwrap();
    }

    pub(crate) fn run(&mut self) {
        let child = Command::new("/usr/sbin/slapd")
            .args(["-d", "0", "-h", &self.url, "-F"])
            .arg(self.folder.path().join("config"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap());
        let address = self.url.trim_start_matches("ldap://").to_owned();
        deadline::until(LIMIT, || Ok(TcpStream::connect(&address).ok())).unwrap();
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn ldap(&self) -> Ldap {
        Ldap::bound(self.url.clone(), ROOT, PASSWORD)
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.stop();
    }
}

fn config(folder: &Path) -> String {
    let mut ldif = String::from(
        "dn: cn=config\nobjectClass: olcGlobal\ncn: config\nolcSizeLimit: unlimited\n\n\
         dn: cn=module{0},cn=config\nobjectClass: olcModuleList\ncn: module{0}\nolcModulePath: /usr/lib/ldap\n\
         olcModuleLoad: back_mdb\nolcModuleLoad: syncprov\n\n\
         dn: cn=schema,cn=config\nobjectClass: olcSchemaConfig\ncn: schema\n\n",
    );
    for name in ["core.ldif", "cosine.ldif", "inetorgperson.ldif"] {
        ldif.push_str(&fs::read_to_string(Path::new("/etc/ldap/schema").join(name)).unwrap());
        ldif.push('\n');
    }
    // With the reload hint, slapd answers a cookie that it does not know with e-syncRefreshRequired.
    ldif.push_str(&format!(
        "dn: olcDatabase={{1}}mdb,cn=config\nobjectClass: olcDatabaseConfig\nobjectClass: olcMdbConfig\n\
         olcDatabase: {{1}}mdb\nolcSuffix: {SUFFIX}\nolcRootDN: {ROOT}\nolcRootPW: {PASSWORD}\n\
         olcDbDirectory: {}\nolcDbMaxSize: 1073741824\nolcDbNoSync: TRUE\nolcDbIndex: entryUUID,entryCSN,objectClass eq\n\n\
         dn: olcOverlay=syncprov,olcDatabase={{1}}mdb,cn=config\nobjectClass: olcSyncProvConfig\n\
         olcOverlay: syncprov\nolcSpCheckpoint: 1 1\nolcSpSessionlog: 100\nolcSpReloadHint: TRUE\n",
        folder.join("data").display()
    ));
    ldif
}
