//! LDAP: the server's decoders, the client's decoders, sync cookies, and sessions of the server.

use std::path::Path;
use std::sync::LazyLock;

use provost_client::fuzzing as client;
use provost_entry::{Dn, Entry, ldif};
use provost_server::ServerConfig;
use provost_server::fuzzing::{self as server, ReadOnly};
use tokio::runtime::Runtime;

const SUFFIX: &str = "dc=example,dc=edu";

pub(crate) fn ber(input: &[u8]) {
    server::ber(input);
    server::request(input);
}

pub(crate) fn answers(input: &[u8]) {
    client::answer(input);
}

/// Reads a sequence of cookies, separated by line feeds.
pub(crate) fn cookies(input: &[u8]) {
    let cookies: Vec<&[u8]> = input.split(|octet| *octet == b'\n').collect();
    client::cookies(&cookies);
    cookies.iter().for_each(|cookie| server::cookie(cookie));
}

/// On an anonymous connection and on one of the root identity, all output is complete BER.
pub(crate) fn session(input: &[u8]) {
    static DIRECTORY: LazyLock<(Runtime, ReadOnly)> = LazyLock::new(open);
    let (runtime, directory) = &*DIRECTORY;
    for is_root in [false, true] {
        let answers = runtime.block_on(directory.run_connection(input, is_root));
        server::ber(&answers);
        let mut rest = answers.as_slice();
        while !rest.is_empty() {
            rest = rest.get(message_octets(rest)..).expect("a whole answer");
        }
    }
}

/// The number of octets of the first message.
fn message_octets(octets: &[u8]) -> usize {
    assert_eq!(octets.first(), Some(&0x30), "an answer that is not a SEQUENCE");
    let length = usize::from(octets.get(1).copied().unwrap_or_default());
    if length < 0x80 {
        return 2 + length;
    }
    let count = length - 0x80;
    let digits = octets.get(2..2 + count).expect("a whole length");
    2 + count + digits.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet))
}

fn open() -> (Runtime, ReadOnly) {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let directory = runtime.block_on(async { ReadOnly::open(&config(folder.path()), &seed()).expect("a directory") });
    (runtime, directory)
}

fn config(folder: &Path) -> ServerConfig {
    ServerConfig {
        folder: folder.to_owned(),
        suffix: Dn::parse(SUFFIX).expect("a DN"),
        root_dn: Dn::parse("cn=root").expect("a DN"),
        root_password: "{CLEARTEXT}secret".to_owned(),
        listen: Vec::new(),
        tls: None,
        admission: None,
        server_id: 1,
    }
}

fn seed() -> Vec<Entry> {
    let mut text =
        format!("dn: {SUFFIX}\nobjectClass: organization\nobjectClass: dcObject\no: Example\ndc: example\n\n");
    for ou in provost_schema::ou::ALL {
        text.push_str(&format!("dn: ou={ou},{SUFFIX}\nobjectClass: organizationalUnit\nou: {ou}\n\n"));
    }
    text.push_str(&format!(
        "dn: provostPersonId=1,ou=people,{SUFFIX}\nobjectClass: inetOrgPerson\nobjectClass: eduPerson\n\
         objectClass: inetLocalMailRecipient\nobjectClass: mailRecipient\nobjectClass: provostAccount\n\
         provostPersonId: 1\ncn: Zoë\nsn: Tremblay\nuid: zoe\nmail: zoe@example.edu\n\
         mailLocalAddress: zoe@example.edu\nemployeeNumber: 1\nuserPassword: {{SSHA}}1G904nLkTkGWjKNnQuB/hpWXC/hzYWx0c2FsdA==\n"
    ));
    ldif::parse(&text).expect("LDIF")
}
