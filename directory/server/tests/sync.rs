//! RFC 4533: refresh, resume, persist, and cookies that stay valid over a restart.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helper functions of tests are test code")]

mod common;
#[path = "common/wire.rs"]
mod wire;

use std::collections::{BTreeMap, BTreeSet};

use common::{MAILCORE, PROVOST, SUFFIX, person_dn, person_ldif, start};
use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::*;
use provost_entry::{Entry, ldif};
use uuid::Uuid;
use wire::{Client, result_code};

fn people() -> LdapFilter {
    LdapFilter::Equality("objectClass".into(), "provostAccount".into())
}

fn person(id: &str, uid: &str) -> Entry {
    ldif::parse(&person_ldif(id, uid)).unwrap().remove(0)
}

fn sync(mode: SyncRequestMode, cookie: Option<&[u8]>) -> Vec<LdapControl> {
    vec![LdapControl::SyncRequest { criticality: true, mode, cookie: cookie.map(<[u8]>::to_vec), reload_hint: false }]
}

/// The messages of one refresh.
#[derive(Debug, Default, PartialEq)]
struct RefreshMessages {
    puts: BTreeMap<Uuid, String>,
    present: BTreeSet<Uuid>,
    removed: BTreeSet<Uuid>,
    /// Whether entries that were not named are still there.
    by_deletes: bool,
    cookie: Vec<u8>,
}

fn uid(entry: &LdapSearchResultEntry) -> String {
    let found = entry.attributes.iter().find(|attribute| attribute.atype == "uid");
    String::from_utf8(found.map(|attribute| attribute.vals[0].clone()).unwrap_or_default()).unwrap()
}

fn state(message: &LdapMsg) -> (SyncStateValue, Uuid, Option<Vec<u8>>) {
    match message.ctrl.as_slice() {
        [LdapControl::SyncState { state, entry_uuid, cookie }] => (state.clone(), *entry_uuid, cookie.clone()),
        other => panic!("{other:?}"),
    }
}

async fn refresh(client: &mut Client, cookie: Option<&[u8]>) -> RefreshMessages {
    client.search(SUFFIX, people(), sync(SyncRequestMode::RefreshOnly, cookie)).await;
    let mut round = RefreshMessages::default();
    loop {
        let message = client.receive().await;
        match &message.op {
            LdapOp::SearchResultEntry(entry) => _ = round.puts.insert(state(&message).1, uid(entry)),
            LdapOp::IntermediateResponse(LdapIntermediateResponse::SyncInfoIdSet {
                refresh_deletes,
                syncuuids,
                ..
            }) => {
                if *refresh_deletes { &mut round.removed } else { &mut round.present }.extend(syncuuids);
            }
            LdapOp::SearchResultDone(done) => {
                assert_eq!(done.code, LdapResultCode::Success, "{}", done.message);
                match message.ctrl.as_slice() {
                    [LdapControl::SyncDone { cookie: Some(new), refresh_deletes }] => {
                        round.by_deletes = *refresh_deletes;
                        round.cookie = new.clone();
                        return round;
                    }
                    other => panic!("{other:?}"),
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

fn uids(round: &RefreshMessages) -> Vec<&str> {
    let mut uids: Vec<&str> = round.puts.values().map(String::as_str).collect();
    uids.sort_unstable();
    uids
}

// RFC 4533 §3.3: a resumed refresh sends changed and deleted entries, also after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn cookies_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut writer = Client::bound(server.addresses[0], PROVOST).await;
    let mut reader = Client::bound(server.addresses[0], MAILCORE).await;
    assert_eq!(writer.add(&person("4", "max")).await, LdapResultCode::Success);
    let first = refresh(&mut reader, None).await;
    assert_eq!(uids(&first), ["luc", "max", "zoe"]);
    let max = *first.puts.iter().find(|(_, uid)| *uid == "max").unwrap().0;

    assert_eq!(writer.delete(&person_dn("4")).await, LdapResultCode::Success);
    assert_eq!(writer.replace(&person_dn("1"), "title", "Dr").await, LdapResultCode::Success);
    assert_eq!(writer.add(&person("3", "ana")).await, LdapResultCode::Success);
    let second = refresh(&mut reader, Some(&first.cookie)).await;
    assert_eq!(uids(&second), ["ana", "zoe"]);
    assert_eq!((&second.removed, &second.present), (&BTreeSet::from([max]), &BTreeSet::new()));
    assert!(second.by_deletes && !first.by_deletes);
    server.stop().await;

    let server = start(folder.path()).await;
    let mut reader = Client::bound(server.addresses[0], MAILCORE).await;
    assert_eq!(refresh(&mut reader, Some(&first.cookie)).await, second);
    let third = refresh(&mut reader, Some(&second.cookie)).await;
    assert_eq!((third.puts.len(), third.removed.len(), &third.cookie), (0, 0, &second.cookie));
    assert_eq!(uids(&refresh(&mut reader, None).await), ["ana", "luc", "zoe"]);
    server.stop().await;
}

// RFC 4533 §3.3.2: when the log of deletions does not reach back to the cookie, the unchanged entries are named.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_cookie_takes_the_present_phase() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut client = Client::bound(server.addresses[0], PROVOST).await;
    let first = refresh(&mut client, None).await;
    let luc = *first.puts.iter().find(|(_, uid)| *uid == "luc").unwrap().0;
    assert_eq!(client.delete(&person_dn("1")).await, LdapResultCode::Success);
    assert_eq!(client.add(&person("3", "ana")).await, LdapResultCode::Success);
    server.stop().await;
    // As if more deletions had followed than the log keeps.
    let file = rusqlite::Connection::open(folder.path().join("directory.sqlite")).unwrap();
    file.execute_batch(
        "DELETE FROM deletion; INSERT OR REPLACE INTO state SELECT 'floor', value FROM state WHERE key = 'context'",
    )
    .unwrap();
    drop(file);
    let server = start(folder.path()).await;
    let mut client = Client::bound(server.addresses[0], PROVOST).await;
    let second = refresh(&mut client, Some(&first.cookie)).await;
    assert_eq!((uids(&second), &second.present), (vec!["ana"], &BTreeSet::from([luc])));
    assert!(!second.by_deletes && second.removed.is_empty());
    server.stop().await;
}

// RFC 4533 §3.4: changes as they happen; an entry that leaves the content is a delete.
#[tokio::test(flavor = "multi_thread")]
async fn changes_arrive_as_they_happen() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut writer = Client::bound(server.addresses[0], PROVOST).await;
    let mut reader = Client::bound(server.addresses[0], MAILCORE).await;
    let titled = LdapFilter::Present("title".into());
    let id = reader.search(SUFFIX, titled, sync(SyncRequestMode::RefreshAndPersist, None)).await;
    let refreshed = reader.receive().await;
    assert!(matches!(
        refreshed.op,
        LdapOp::IntermediateResponse(LdapIntermediateResponse::SyncInfoRefreshPresent { done: true, .. })
    ));

    writer.replace(&person_dn("1"), "title", "Dr").await;
    writer.replace(&person_dn("2"), "sn", "Roy").await;
    writer.replace(&person_dn("1"), "title", "Prof").await;
    assert_eq!(writer.delete(&person_dn("1")).await, LdapResultCode::Success);
    let mut cookies = Vec::new();
    for expect in [SyncStateValue::Add, SyncStateValue::Modify, SyncStateValue::Delete] {
        let message = reader.receive().await;
        let (state, _, cookie) = state(&message);
        assert_eq!((state, message.msgid), (expect, id));
        cookies.push(cookie.unwrap());
    }
    assert!(cookies.is_sorted(), "{cookies:?}");

    // RFC 4511 §4.11: an abandoned search sends nothing more.
    reader.send(LdapOp::AbandonRequest(id), vec![]).await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    writer.replace(&person_dn("2"), "title", "Dr").await;
    let other = reader.search(SUFFIX, people(), vec![]).await;
    assert_eq!(reader.receive().await.msgid, other);
    server.stop().await;
}

// RFC 4533 §2.8.4 (e-syncRefreshRequired): a state that this content never had.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_cookies_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut reader = Client::bound(server.addresses[0], MAILCORE).await;
    for cookie in [&b"nonsense"[..], b"rid=000,csn=20991231235959.000000Z#000000#001#000000", b"rid=000,csn=\xff"] {
        reader.search(SUFFIX, people(), sync(SyncRequestMode::RefreshOnly, Some(cookie))).await;
        assert_eq!(result_code(&reader.receive().await.op), LdapResultCode::EsyncRefreshRequired, "{cookie:?}");
    }
    server.stop().await;
}
