//! A followed directory whose connection breaks: whatever is cut off, a part is never taken for the whole.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helper functions of tests are test code")]
#![allow(dead_code, reason = "the fixture also serves other tests")]

#[path = "directories/servers.rs"]
mod servers;

use std::net::SocketAddr;
use std::time::Duration;

use provost_client::Directory;
use provost_credential::Secret;
use provost_entry::{Dn, Entry};
use provost_provision::{
    FollowError, FollowedAccess, FollowedDirectory, FollowedStep, ReadOptions, SourceProfile, read_file,
};
use provost_schema::attr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use self::servers::{Embedded, Slapd};

/// People of the followed directory.
const PEOPLE: usize = 60;
/// Longest wait for a change.
const LIMIT: Duration = Duration::from_secs(20);

fn profile(port: u16) -> SourceProfile {
    let lines = [
        "format ldap".to_owned(),
        format!("server ldap://127.0.0.1:{port}"),
        "base ou=staff,dc=example,dc=edu".to_owned(),
        "bind-dn cn=admin,dc=example,dc=edu".to_owned(),
        "password-file hr".to_owned(),
        "constant affiliation staff".to_owned(),
    ];
    SourceProfile::parse("hr", &lines).unwrap()
}

fn followed(port: u16) -> FollowedDirectory {
    let access = FollowedAccess { password: Some(Secret::new("secret")), ca_file: None };
    FollowedDirectory::new(&profile(port), access).unwrap()
}

fn staff() -> Dn {
    Dn::parse("ou=staff,dc=example,dc=edu").unwrap()
}

fn person(number: usize) -> Entry {
    let name = format!("u{number}");
    Entry::new(staff().child(attr::UID, &name))
        .with(attr::OBJECT_CLASS, "inetOrgPerson")
        .with(attr::UID, name.as_str())
        .with(attr::EMPLOYEE_NUMBER, number.to_string())
        .with(attr::GIVEN_NAME, "Ann")
        .with(attr::SN, "Roy")
        .with(attr::CN, "Ann Roy")
}

async fn fill(directory: &Directory) {
    let suffix = Entry::new(Dn::parse("dc=example,dc=edu").unwrap())
        .with(attr::OBJECT_CLASS, "dcObject")
        .with(attr::OBJECT_CLASS, "organization")
        .with("o", "Example")
        .with("dc", "example");
    let _ = directory.add(suffix).await;
    let base = Entry::new(staff()).with(attr::OBJECT_CLASS, "organizationalUnit").with(attr::OU, "staff");
    directory.add(base).await.unwrap();
    for number in 1..=PEOPLE {
        directory.add(person(number)).await.unwrap();
    }
}

/// Forwards connections to `to`, of each only so many octets of what the server sends.
async fn cut_after(octets: usize, to: SocketAddr) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(server) = TcpStream::connect(to).await else { return };
            let ((mut from_client, mut to_client), (from_server, mut to_server)) =
                (client.into_split(), server.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            tokio::spawn(async move {
                let mut part = from_server.take(octets as u64);
                let _ = tokio::io::copy(&mut part, &mut to_client).await;
                let _ = to_client.shutdown().await;
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_breaks_off_is_unavailable_and_never_a_part() {
    let embedded = Embedded::start().await;
    let address = embedded.server.addresses[0];
    fill(&servers::directory(address.port())).await;
    let (whole, url) = followed(address.port()).read().await.unwrap();
    assert_eq!(whole.len(), PEOPLE);
    let source = read_file(&profile(address.port()), &whole.into_ldif(&url), &ReadOptions::default()).unwrap();
    assert_eq!((source.records.len(), source.rejected.len()), (PEOPLE, 0));

    let (mut broken, mut complete) = (0, 0);
    for octets in (0..30_000).step_by(997) {
        match followed(cut_after(octets, address).await).read().await {
            Ok((file, _)) => {
                assert_eq!(file.len(), PEOPLE, "cut after {octets} octets");
                complete += 1;
            }
            Err(error @ FollowError::Directory(_)) => {
                assert!(error.is_unavailable(), "{octets}: {error}");
                broken += 1;
            }
            Err(error) => panic!("{octets}: {error}"),
        }
    }
    assert!(broken > 5 && complete > 0, "{broken} broken, {complete} complete");
}

/// A session resumes from its cookie with what has changed, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_resumes_from_its_cookie() {
    let embedded = Embedded::start().await;
    let port = embedded.server.addresses[0].port();
    let directory = servers::directory(port);
    fill(&directory).await;
    let mut stream = followed(port).follow(None).await.unwrap();
    let mut is_whole = false;
    let cookie = loop {
        match tokio::time::timeout(LIMIT, stream.next()).await.unwrap().unwrap() {
            FollowedStep::Whole => is_whole = true,
            FollowedStep::Saveable(cookie) if is_whole => break cookie,
            _ => {}
        }
    };
    let taken = stream.take();
    assert_eq!((taken.file.len(), taken.is_whole), (PEOPLE, true));
    drop(stream);
    directory.add(person(PEOPLE + 1)).await.unwrap();
    directory.delete(&person(1).dn, Default::default()).await.unwrap();
    let mut stream = followed(port).follow(Some(cookie)).await.unwrap();
    while !matches!(tokio::time::timeout(LIMIT, stream.next()).await.unwrap().unwrap(), FollowedStep::Whole) {}
    let taken = stream.take();
    assert_eq!((taken.file.len(), taken.is_whole), (1, false), "{} gone", taken.gone);
}

/// A slapd without syncprov has no contextCSN: what it answers may be a part.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_without_a_context_csn_is_unavailable() {
    let slapd = Slapd::start();
    let directory = slapd.desk().directory;
    fill(&directory).await;
    let port = directory.config().servers[0].url.rsplit(':').next().unwrap().parse().unwrap();
    let error = followed(port).read().await.unwrap_err();
    assert!(error.is_unavailable() && error.to_string().contains("contextCSN"), "{error}");
}
