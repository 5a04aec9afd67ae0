//! RFC 4533: refresh, resume, persist, and cookies that stay valid over a restart.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helper functions of tests are test code")]

mod common;
#[path = "common/wire.rs"]
mod wire;

use std::collections::{BTreeMap, BTreeSet};

use common::{MAILCORE, PROVOST, SUFFIX, config, person_dn, person_ldif, seed, start};
use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::*;
use provost_entry::{Entry, ldif};
use provost_server::{SERVER_ID_MAX, Server, ServerConfig, StartError};
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

/// What one refresh sent.
#[derive(Debug, Default, PartialEq)]
struct RefreshMessages {
    /// The uid of each entry.
    entries: BTreeMap<Uuid, String>,
    present: BTreeSet<Uuid>,
    deleted: BTreeSet<Uuid>,
    /// refreshDeletes of the Sync Done control: `true` if only the `deleted` entries are gone, `false` if all entries
    /// are gone that are neither in `entries` nor in `present`.
    refresh_deletes: bool,
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
    let mut sent = RefreshMessages::default();
    loop {
        let message = client.receive().await;
        match &message.op {
            LdapOp::SearchResultEntry(entry) => _ = sent.entries.insert(state(&message).1, uid(entry)),
            LdapOp::IntermediateResponse(LdapIntermediateResponse::SyncInfoIdSet {
                refresh_deletes,
                syncuuids,
                ..
            }) => {
                if *refresh_deletes { &mut sent.deleted } else { &mut sent.present }.extend(syncuuids);
            }
            LdapOp::SearchResultDone(done) => {
                assert_eq!(done.code, LdapResultCode::Success, "{}", done.message);
                match message.ctrl.as_slice() {
                    [LdapControl::SyncDone { cookie: Some(new), refresh_deletes }] => {
                        sent.refresh_deletes = *refresh_deletes;
                        sent.cookie = new.clone();
                        return sent;
                    }
                    other => panic!("{other:?}"),
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

fn uids(refresh: &RefreshMessages) -> Vec<&str> {
    let mut uids: Vec<&str> = refresh.entries.values().map(String::as_str).collect();
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
    let max = *first.entries.iter().find(|(_, uid)| *uid == "max").unwrap().0;

    assert_eq!(writer.delete(&person_dn("4")).await, LdapResultCode::Success);
    assert_eq!(writer.replace(&person_dn("1"), "title", "Dr").await, LdapResultCode::Success);
    assert_eq!(writer.add(&person("3", "ana")).await, LdapResultCode::Success);
    let second = refresh(&mut reader, Some(&first.cookie)).await;
    assert_eq!(uids(&second), ["ana", "zoe"]);
    assert_eq!((&second.deleted, &second.present), (&BTreeSet::from([max]), &BTreeSet::new()));
    assert!(second.refresh_deletes && !first.refresh_deletes);
    server.stop().await;

    let server = start(folder.path()).await;
    let mut reader = Client::bound(server.addresses[0], MAILCORE).await;
    assert_eq!(refresh(&mut reader, Some(&first.cookie)).await, second);
    let third = refresh(&mut reader, Some(&second.cookie)).await;
    assert_eq!((third.entries.len(), third.deleted.len(), &third.cookie), (0, 0, &second.cookie));
    assert_eq!(uids(&refresh(&mut reader, None).await), ["ana", "luc", "zoe"]);
    server.stop().await;
}

// RFC 4533 §3.3.2: when the log of deletions does not reach back to the cookie, the unchanged entries are reported.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_cookie_takes_the_present_phase() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut client = Client::bound(server.addresses[0], PROVOST).await;
    let first = refresh(&mut client, None).await;
    let luc = *first.entries.iter().find(|(_, uid)| *uid == "luc").unwrap().0;
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
    assert!(!second.refresh_deletes && second.deleted.is_empty());
    server.stop().await;
}

// RFC 4533 §3.4: changes are sent as they happen; an entry that leaves the content is reported as deleted.
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
    let compare = LdapCompareRequest { dn: SUFFIX.into(), atype: "dc".into(), val: "example".into() };
    let compared = reader.send(LdapOp::CompareRequest(compare), vec![]).await;
    assert_eq!(reader.receive().await.msgid, compared);
    writer.replace(&person_dn("2"), "title", "Dr").await;
    let other = reader.search(SUFFIX, people(), vec![]).await;
    assert_eq!(reader.receive().await.msgid, other);
    server.stop().await;
}

// RFC 4533 §2.6: a cookie in another format, or of a state that the server never had, gets e-syncRefreshRequired.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_cookies_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut reader = Client::bound(server.addresses[0], MAILCORE).await;
    for cookie in [&b"nonsense"[..], b"rid=000,csn=20991231235959.000000Z#000000#001#000000", b"rid=000,csn=\xff"] {
        reader.search(SUFFIX, people(), sync(SyncRequestMode::RefreshOnly, Some(cookie))).await;
        assert_eq!(result_code(&reader.receive().await.op), LdapResultCode::EsyncRefreshRequired, "{cookie:?}");
    }
    server.stop().await;
}

// A CSN has three hexadecimal digits for the server id.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_id_beyond_three_digits_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let settings = ServerConfig { server_id: SERVER_ID_MAX + 1, ..config(folder.path()) };
    assert!(matches!(Server::start(settings, seed()).await, Err(StartError::ServerId(0x1000))));
    let settings = ServerConfig { server_id: SERVER_ID_MAX, ..config(folder.path()) };
    let server = Server::start(settings, seed()).await.unwrap();
    let mut client = Client::bound(server.addresses[0], MAILCORE).await;
    let cookie = refresh(&mut client, None).await.cookie;
    assert!(String::from_utf8(cookie).unwrap().contains("#fff#"));
    server.stop().await;
}
