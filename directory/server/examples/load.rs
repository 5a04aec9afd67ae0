//! Measures how fast the directory is filled, restarted and read, and how much memory it takes, with 35,500 people (or
//! PEOPLE) and their addresses.
//!
//! `cargo run --release -p provost-server --example load [PEOPLE]`

#![allow(clippy::expect_used, reason = "an example may end with a panic")]

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/common/wire.rs"]
mod wire;

use std::time::Instant;

use common::{PROVOST, SUFFIX, person_dn, start};
use futures_util::{SinkExt as _, StreamExt as _};
use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::{LdapFilter, LdapMsg, LdapOp, LdapResultCode, SyncRequestMode};
use provost_entry::{Dn, Entry};
use wire::{Client, add_request, result_code};

/// Maximum number of adds without a response.
const AHEAD: usize = 512;

#[tokio::main]
async fn main() {
    let people = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(35_500);
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path()).await;
    let empty = resident_mib();
    let client = Client::bound(server.addresses[0], PROVOST).await;
    let begun = Instant::now();
    fill(client, people).await;
    let seconds = begun.elapsed().as_secs_f64();
    println!("{} adds in {seconds:.1} s: {:.0}/s", people * 2, people as f64 * 2.0 / seconds);
    println!("resident: {empty:.0} MiB empty, {:.0} MiB filled", resident_mib());
    server.stop().await;

    let begun = Instant::now();
    let server = start(folder.path()).await;
    println!("start on the filled folder: {:.2} s", begun.elapsed().as_secs_f64());
    let mut client = Client::bound(server.addresses[0], PROVOST).await;
    read(&mut client, people).await;
    server.stop().await;
}

async fn fill(client: Client, people: usize) {
    let (mut sink, mut stream) = client.framed.split();
    let (window, done) = tokio::sync::mpsc::channel::<()>(AHEAD);
    let mut done = done;
    let sending = tokio::spawn(async move {
        for number in 0..people * 2 {
            let entry = if number % 2 == 0 { person(number / 2) } else { address(number / 2) };
            let message = LdapMsg { msgid: number as i32 + 10, op: add_request(&entry), ctrl: vec![] };
            window.send(()).await.expect("the reader lives");
            sink.feed(message).await.expect("sends");
            if number % 64 == 63 {
                sink.flush().await.expect("sends");
            }
        }
        sink.flush().await.expect("sends");
    });
    for _ in 0..people * 2 {
        let message = stream.next().await.expect("open").expect("readable");
        assert_eq!(result_code(&message.op), LdapResultCode::Success);
        done.recv().await;
    }
    sending.await.expect("sent");
}

async fn read(client: &mut Client, people: usize) {
    let begun = Instant::now();
    let filter = LdapFilter::Present("objectClass".into());
    let mode = SyncRequestMode::RefreshOnly;
    let control = LdapControl::SyncRequest { criticality: true, mode, cookie: None, reload_hint: false };
    client.search(SUFFIX, filter, vec![control]).await;
    let mut entries = 0;
    while let LdapOp::SearchResultEntry(_) = client.receive().await.op {
        entries += 1;
    }
    println!("full refresh, {entries} entries: {:.2} s", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let look_ups = 5_000;
    for i in 0..look_ups {
        let address = format!("given{0}.family{0}@example.edu", i * 7 % people);
        client.search(SUFFIX, LdapFilter::Equality("mail".into(), address), vec![]).await;
        assert!(matches!(client.receive().await.op, LdapOp::SearchResultEntry(_)));
        client.receive().await;
    }
    println!("look-ups by mail: {:.0}/s", look_ups as f64 / begun.elapsed().as_secs_f64());
    println!("resident at the end: {:.0} MiB", resident_mib());
}

fn id(number: usize) -> String {
    format!("1b4e28ba-2fa1-41d2-883f-{number:012x}")
}

fn person(number: usize) -> Entry {
    let mail = format!("given{number}.family{number}@example.edu");
    let mut entry = Entry::new(Dn::parse(&person_dn(&id(number))).expect("DN"))
        .with("provostPersonId", id(number))
        .with("provostSourceId", format!("registrar:{number}"))
        .with("provostState", "active")
        .with("provostPrivateMail", format!("someone{number}@example.net"))
        .with("provostProgram", "Biology")
        .with("provostStartDate", "20260901000000Z")
        .with("provostLastBatch", "2026-09-01")
        .with("cn", format!("Given{number} Family{number}"))
        .with("sn", format!("Family{number}"))
        .with("givenName", format!("Given{number}"))
        .with("displayName", format!("Given{number} Family{number}"))
        .with("uid", format!("given{number}.family{number}"))
        .with("mail", mail.clone())
        .with("mailLocalAddress", mail)
        .with("employeeNumber", number.to_string())
        .with("preferredLanguage", "fr")
        .with("eduPersonAffiliation", "student")
        .with("eduPersonPrimaryAffiliation", "student")
        .with("schacDateOfBirth", "20010203");
    let classes =
        "top person organizationalPerson inetOrgPerson eduPerson inetLocalMailRecipient mailRecipient provostAccount";
    for class in classes.split(' ') {
        entry = entry.with("objectClass", class);
    }
    entry
}

fn address(number: usize) -> Entry {
    let mail = format!("given{number}.family{number}@example.edu");
    let addresses = Dn::parse(SUFFIX).expect("DN").child("ou", "addresses");
    Entry::new(addresses.child("provostAddress", &mail))
        .with("objectClass", "top")
        .with("objectClass", "provostAddressEntry")
        .with("provostAddress", mail)
        .with("provostAddressKind", "primary")
        .with("provostOwner", person_dn(&id(number)))
        .with("provostSince", "20260901000000Z")
}

/// Returns the resident memory of this process, MiB, from /proc.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or_default();
    kib / 1024.0
}
