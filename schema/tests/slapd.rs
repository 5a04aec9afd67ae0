//! Loads the schema into Debian's slapd 2.5.

#![allow(clippy::panic)]

use std::path::Path;
use std::process::{Command, Output};

const SLAPADD: &str = "/usr/sbin/slapadd";
const SLAPTEST: &str = "/usr/sbin/slaptest";
const SHIPPED: &str = "/etc/ldap/schema";

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    output.unwrap_or_else(|error| panic!("{program}: {error}; this test needs Debian's slapd (apt-get install slapd)"))
}

fn expect_success(output: &Output, what: &str) {
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
}

fn shipped(name: &str) -> String {
    std::fs::read_to_string(Path::new(SHIPPED).join(name))
        .unwrap_or_else(|error| panic!("{name}: {error}; this test needs Debian's slapd (apt-get install slapd)"))
}

// The cn=config form, loaded by slapadd -n 0 after the files that Debian ships, and our entries checked against it.
#[test]
fn slapd_loads_the_ldif() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    let data = folder.path().join("data");
    std::fs::create_dir(&config).unwrap();
    std::fs::create_dir(&data).unwrap();
    let mut ldif = String::from(
        "dn: cn=config\nobjectClass: olcGlobal\ncn: config\n\n\
         dn: cn=module{0},cn=config\nobjectClass: olcModuleList\ncn: module{0}\nolcModulePath: /usr/lib/ldap\n\
         olcModuleLoad: back_mdb\n\ndn: cn=schema,cn=config\nobjectClass: olcSchemaConfig\ncn: schema\n\n",
    );
    for name in ["core.ldif", "cosine.ldif", "inetorgperson.ldif", "misc.ldif"] {
        ldif.push_str(&shipped(name));
        ldif.push('\n');
    }
    for (_, text) in provost_schema::LDIF_FILES {
        ldif.push_str(text);
        ldif.push('\n');
    }
    ldif.push_str(&format!(
        "dn: olcDatabase={{1}}mdb,cn=config\nobjectClass: olcMdbConfig\nolcDatabase: {{1}}mdb\n\
         olcSuffix: dc=example,dc=edu\nolcDbDirectory: {}\nolcDbIndex: provostOwner,provostAddress,mail eq\n",
        data.display()
    ));
    let file = folder.path().join("config.ldif");
    std::fs::write(&file, ldif).unwrap();
    let config = config.to_str().unwrap();
    expect_success(&run(SLAPADD, &["-F", config, "-n", "0", "-l", file.to_str().unwrap()]), "slapadd -n 0");
    expect_success(&run(SLAPTEST, &["-u", "-F", config]), "slaptest");

    let entries = folder.path().join("entries.ldif");
    std::fs::write(&entries, include_str!("entries.ldif")).unwrap();
    let added = run(SLAPADD, &["-F", config, "-n", "1", "-l", entries.to_str().unwrap()]);
    expect_success(&added, "slapadd of a person, an address, a domain and a service");

    std::fs::write(&entries, include_str!("entries.ldif").replace("provostAddressKind: primary\n", "")).unwrap();
    assert!(!run(SLAPADD, &["-u", "-F", config, "-n", "1", "-l", entries.to_str().unwrap()]).status.success());
}

// The slapd.conf form, included after the files that Debian ships.
#[test]
fn slapd_loads_the_conf_form() {
    let folder = tempfile::tempdir().unwrap();
    let schema = folder.path().join("provost.schema");
    std::fs::write(&schema, provost_schema::slapd_conf().unwrap()).unwrap();
    let includes: String = ["core", "cosine", "inetorgperson", "misc"]
        .iter()
        .map(|name| format!("include {SHIPPED}/{name}.schema\n"))
        .collect();
    let conf = folder.path().join("slapd.conf");
    std::fs::write(&conf, format!("{includes}include {}\n", schema.display())).unwrap();
    expect_success(&run(SLAPTEST, &["-u", "-f", conf.to_str().unwrap()]), "slaptest -f");
}
