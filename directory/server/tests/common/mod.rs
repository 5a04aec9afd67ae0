//! A server on a loopback port with a small tree, and OpenLDAP's tools as its clients.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "helper functions of tests are test code"
)]

use std::path::Path;
use std::process::{Command, Output};

use provost_credential::{Scheme, Secret, hash};
use provost_entry::{Dn, Entry, ldif};
use provost_server::{Server, ServerConfig};

pub const SUFFIX: &str = "dc=example,dc=edu";
pub const ROOT: &str = "cn=root";
pub const PROVOST: &str = "cn=provost,ou=services,dc=example,dc=edu";
pub const MAILCORE: &str = "cn=mailcore,ou=services,dc=example,dc=edu";
pub const AUDITOR: &str = "cn=auditor,ou=services,dc=example,dc=edu";
pub const PASSWORD: &str = "correct horse";

pub fn person_dn(id: &str) -> String {
    format!("provostPersonId={id},ou=people,{SUFFIX}")
}

pub fn person_ldif(id: &str, uid: &str) -> String {
    format!(
        "dn: {dn}\nobjectClass: inetOrgPerson\nobjectClass: eduPerson\nobjectClass: inetLocalMailRecipient\n\
         objectClass: mailRecipient\nobjectClass: provostAccount\nprovostPersonId: {id}\ncn: {uid}\nsn: Tremblay\n\
         uid: {uid}\nmail: {uid}@example.edu\nmailLocalAddress: {uid}@example.edu\nemployeeNumber: {id}\n",
        dn = person_dn(id)
    )
}

/// A hash that is cheap to verify, so that tests do not wait for argon2.
pub fn password_value() -> String {
    hash(&Secret::new(PASSWORD), Scheme::Ssha)
}

pub fn seed() -> Vec<Entry> {
    let value = password_value();
    let mut text =
        format!("dn: {SUFFIX}\nobjectClass: organization\nobjectClass: dcObject\no: Example\ndc: example\n\n");
    for ou in provost_schema::ou::ALL {
        text.push_str(&format!("dn: ou={ou},{SUFFIX}\nobjectClass: organizationalUnit\nou: {ou}\n\n"));
    }
    for (name, role) in [("provost", "provisioner"), ("mailcore", "mailcore"), ("auditor", "auditor")] {
        text.push_str(&format!(
            "dn: cn={name},ou=services,{SUFFIX}\nobjectClass: applicationProcess\nobjectClass: provostService\n\
             cn: {name}\nprovostRole: {role}\nuserPassword: {value}\n\n"
        ));
    }
    text.push_str(&person_ldif("1", "zoe"));
    text.push_str(&format!("userPassword: {value}\n\n"));
    text.push_str(&person_ldif("2", "luc"));
    ldif::parse(&text).expect("the seed is LDIF")
}

pub fn config(folder: &Path) -> ServerConfig {
    ServerConfig {
        folder: folder.to_owned(),
        suffix: Dn::parse(SUFFIX).expect("DN"),
        root_dn: Dn::parse(ROOT).expect("DN"),
        root_password: password_value(),
        listen: vec![([127, 0, 0, 1], 0).into()],
        tls: None,
        admission: None,
        server_id: 1,
    }
}

pub async fn start(folder: &Path) -> Server {
    Server::start(config(folder), seed()).await.expect("the server starts")
}

pub fn url(server: &Server) -> String {
    format!("ldap://{}", server.addresses[0])
}

/// Runs one of OpenLDAP's tools.
pub fn tool(program: &str, url: &str, arguments: &[&str], input: &str) -> Output {
    use std::io::Write as _;
    let mut child = Command::new(program)
        .args(["-H", url])
        .args(arguments)
        .env("LDAPNOINIT", "1")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; this test needs Debian's ldap-utils"));
    child.stdin.take().expect("stdin").write_all(input.as_bytes()).expect("the tool reads");
    child.wait_with_output().expect("the tool ends")
}

/// Runs a tool off the async threads, bound as `who` with [`PASSWORD`], or anonymously if `who` is empty. Returns the
/// exit code, and the standard output followed by the standard error.
pub async fn run(program: &'static str, url: &str, who: &str, arguments: &[&str], input: &str) -> (i32, String) {
    let mut all: Vec<String> = Vec::new();
    if !who.is_empty() {
        all.extend(["-D".into(), who.into(), "-w".into(), PASSWORD.into()]);
    }
    all.push("-x".into());
    all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    let (url, input) = (url.to_owned(), input.to_owned());
    tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = all.iter().map(String::as_str).collect();
        let output = tool(program, &url, &arguments, &input);
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap_or(-1), text)
    })
    .await
    .expect("the tool runs")
}
