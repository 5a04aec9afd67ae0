//! Every acknowledged write survives `kill -9`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helper functions of tests are test code")]

mod common;
#[path = "common/wire.rs"]
mod wire;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{PROVOST, SUFFIX, person_ldif, start};
use futures_util::{SinkExt as _, StreamExt as _};
use ldap3_proto::proto::*;
use provost_entry::ldif;
use wire::{Client, add_request, result_code};

const FOLDER: &str = "PROVOST_TEST_FOLDER";
const ROUNDS: usize = 3;

/// Not a test of its own: the process that serves until it is killed.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let server = start(folder.as_ref()).await;
    println!("\nlistening {}", server.addresses[0]);
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<usize> = Vec::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| line.ok()?.strip_prefix("listening ").map(str::to_owned)).unwrap();
        let client = Client::bound(address.parse().unwrap(), PROVOST).await;
        let (mut sink, mut stream) = client.framed.split();
        let first = round * 100_000;
        let writing = tokio::spawn(async move {
            for number in 100 + first.. {
                let entry = ldif::parse(&person_ldif(&number.to_string(), &format!("p{number}"))).unwrap().remove(0);
                let message = LdapMsg { msgid: number as i32, op: add_request(&entry), ctrl: vec![] };
                if sink.send(message).await.is_err() {
                    return;
                }
            }
        });
        let killed_at = acknowledged.len() + 150 + round * 77;
        while let Some(Ok(message)) = stream.next().await {
            assert_eq!(result_code(&message.op), LdapResultCode::Success);
            acknowledged.push(message.msgid as usize);
            if acknowledged.len() == killed_at {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        writing.abort();
    }
    let server = tokio::time::timeout(Duration::from_secs(10), start(folder.path())).await.expect("recovers in 10 s");
    let mut client = Client::bound(server.addresses[0], PROVOST).await;
    client.search(SUFFIX, LdapFilter::Present("employeeNumber".into()), vec![]).await;
    let mut found = std::collections::HashMap::<String, usize>::new();
    while let LdapOp::SearchResultEntry(entry) = client.receive().await.op {
        *found.entry(entry.dn).or_default() += 1;
    }
    assert!(acknowledged.len() >= ROUNDS * 150, "too few writes for a meaningful test");
    for number in acknowledged {
        assert_eq!(
            found.get(&common::person_dn(&number.to_string())),
            Some(&1),
            "{number} was acknowledged, but is not found exactly once"
        );
    }
    server.stop().await;
}
