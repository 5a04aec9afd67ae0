//! The pool against a real slapd 2.5.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helper functions of tests are test code")]

mod slapd;

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use provost_client::{
    Directory, DirectoryError, LdapSearch, Scope, ServerRole, SyncEvent, SyncStream, WriteConditions,
};
use provost_entry::{AttributeDescription, Dn, Filter, Modification};
use provost_schema::attr;
use slapd::{Slapd, below, config_of, person, person_dn};

fn people(filter: Filter, limit: Option<usize>) -> LdapSearch {
    let attributes = vec![attr::UID.to_owned(), attr::ENTRY_CSN.to_owned()];
    LdapSearch { base: below("people"), scope: Scope::One, filter, attributes, limit }
}

fn replace(name: &'static str, value: &str) -> Vec<Modification> {
    vec![Modification::replace(AttributeDescription::of(name), vec![value.into()])]
}

#[tokio::test]
async fn each_operation_and_its_refusals() {
    let slapd = Slapd::start();
    let directory = slapd.directory();
    let added = directory.add(person(1)).await.unwrap();
    assert!(added.csn.is_some() && added.entry_uuid.is_some(), "{added:?}");
    assert!(matches!(directory.add(person(1)).await, Err(DirectoryError::AlreadyExists(_))));

    let unchanged = WriteConditions { assert: Some(Filter::equal(attr::ENTRY_CSN, added.csn.clone().unwrap())) };
    let changed = directory.modify(&person_dn(1), replace(attr::SN, "Roy"), unchanged.clone()).await.unwrap();
    assert!(changed.csn > added.csn && changed.entry_uuid == added.entry_uuid);
    let refused = directory.modify(&person_dn(1), replace(attr::SN, "Late"), unchanged.clone()).await;
    assert_eq!(refused, Err(DirectoryError::AssertionFailed));
    assert_eq!(directory.delete(&person_dn(1), unchanged).await, Err(DirectoryError::AssertionFailed));

    let found = directory.read(&person_dn(1), &["*", "+"]).await.unwrap().unwrap();
    assert_eq!(found.first(attr::SN), Some("Roy"));
    assert_eq!(found.first(attr::ENTRY_CSN), changed.csn.as_deref());
    assert_eq!(directory.read(&person_dn(2), &[]).await, Ok(None));
    let by_uid = directory.search_provider(people(Filter::equal(attr::UID, "p1"), Some(2))).await.unwrap();
    assert_eq!(by_uid.len(), 1);

    assert_eq!(directory.bind(&person_dn(1), "password 1").await, Ok(()));
    for wrong in ["", "password 2"] {
        assert_eq!(directory.bind(&person_dn(1), wrong).await, Err(DirectoryError::InvalidCredentials));
    }
    // The binds above must not have changed the identity of the pool: Person 1 may not rename or delete.
    directory.rename(&person_dn(1), "provostPersonId=renamed", None).await.unwrap();
    directory.delete(&below("people").child("provostPersonId", "renamed"), WriteConditions::default()).await.unwrap();
    let gone = directory.delete(&person_dn(1), WriteConditions::default()).await;
    assert!(matches!(gone, Err(DirectoryError::NoSuchObject(_))));
    let bad = directory.add(provost_entry::Entry::new(person_dn(3)).with(attr::CN, "no class")).await;
    assert!(matches!(bad, Err(DirectoryError::Refused { .. })), "{bad:?}");

    let subschema = directory.subschema().await.unwrap();
    assert!(subschema.iter().any(|(name, text)| name.is("attributeTypes") && text.contains("provostPersonId")));
}

#[tokio::test]
async fn a_refused_or_anonymous_identity_of_the_pool_is_reported() {
    let slapd = Slapd::start();
    let mut config = config_of(&[(&slapd.url, ServerRole::Provider)]);
    config.bind_password = "wrong".to_owned();
    let directory = Directory::new(config.clone());
    assert_eq!(directory.read(&person_dn(1), &[]).await, Err(DirectoryError::InvalidCredentials));
    config.bind_dn = String::new();
    let anonymous = Directory::new(config).add(person(1)).await;
    assert!(matches!(anonymous, Err(DirectoryError::Refused { .. } | DirectoryError::InsufficientAccess(_))));
}

/// Up to 64 concurrent adds, as in an import; then two concurrent paged searches, and searches with a limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_operations_at_once() {
    const PEOPLE: u32 = 2500;
    let slapd = Slapd::start();
    let directory = slapd.directory();
    let start = Instant::now();
    let adds = futures_util::stream::iter(1..=PEOPLE).map(|n| {
        let directory = directory.clone();
        async move { directory.add(person(n)).await }
    });
    let receipts: Vec<_> = adds.buffer_unordered(64).collect().await;
    assert!(receipts.iter().all(|receipt| receipt.as_ref().is_ok_and(|r| r.csn.is_some())));
    println!("{:.0} adds/s", f64::from(PEOPLE) / start.elapsed().as_secs_f64());

    let all = || directory.search(people(Filter::present(attr::UID), None));
    let (first, second) = tokio::join!(all(), all());
    assert_eq!((first.unwrap().len(), second.unwrap().len()), (PEOPLE as usize, PEOPLE as usize));
    for limit in [1, 1000, 1001, 2400] {
        let found = directory.search(people(Filter::present(attr::UID), Some(limit))).await.unwrap();
        assert_eq!(found.len(), limit);
    }
}

#[tokio::test]
async fn a_server_that_restarts_is_found_again() {
    let mut slapd = Slapd::start();
    let directory = slapd.directory();
    directory.add(person(1)).await.unwrap();
    slapd.kill();
    let start = Instant::now();
    assert!(matches!(directory.read(&person_dn(1), &[]).await, Err(DirectoryError::Unavailable(_))));
    assert!(matches!(directory.add(person(2)).await, Err(DirectoryError::Unavailable(_))));
    assert!(start.elapsed() < Duration::from_secs(4), "refused connections took as long as two operation timeouts");
    slapd.run();
    assert!(directory.read(&person_dn(1), &[]).await.unwrap().is_some());
    directory.add(person(2)).await.unwrap();
}

/// Returns the events up to the first cookie after the refresh, and that cookie.
async fn until_cookie(stream: &mut SyncStream) -> (Vec<String>, provost_client::Cookie) {
    let mut events = Vec::new();
    let mut is_refreshed = false;
    loop {
        match stream.next().await.unwrap() {
            SyncEvent::Cookie(cookie) if is_refreshed => return (events, cookie),
            SyncEvent::RefreshDone => {
                is_refreshed = true;
                events.push("done".to_owned());
            }
            SyncEvent::Put(_, entry) => events.push(entry.dn.rdn().unwrap().to_string()),
            SyncEvent::Delete(uuids) => events.push(format!("delete {}", uuids.len())),
            other => events.push(format!("{other:?}")),
        }
    }
}

/// RFC 4533: a refresh, changes as they happen, and a resume without a full refresh from a cookie of the persist stage.
#[tokio::test]
async fn sync_and_resume() {
    let slapd = Slapd::start();
    let directory = slapd.directory();
    directory.add(person(1)).await.unwrap();
    let mut stream = directory.sync(None).await.unwrap();
    let (events, _) = until_cookie(&mut stream).await;
    assert_eq!(events.iter().filter(|t| t.starts_with("provostPersonId")).count(), 1);
    assert!(!stream.probe().await.unwrap().is_empty());

    directory.add(person(2)).await.unwrap();
    assert!(matches!(stream.next().await.unwrap(), SyncEvent::Put(..)));
    let SyncEvent::Cookie(cookie) = stream.next().await.unwrap() else { panic!("no cookie after a change") };
    drop(stream);

    directory.add(person(3)).await.unwrap();
    directory.delete(&person_dn(1), WriteConditions::default()).await.unwrap();
    let mut stream = directory.sync(Some(cookie)).await.unwrap();
    let (events, _) = until_cookie(&mut stream).await;
    assert!(events.contains(&"delete 1".to_owned()), "{events:?}");
    assert_eq!(events.iter().filter(|t| t.starts_with("provostPersonId")).count(), 1, "{events:?}");
    assert!(!events.contains(&"RefreshPresentDone".to_owned()), "{events:?}");
}

/// An entry that is not a database's suffix has no contextCSN.
#[tokio::test]
async fn a_suffix_without_context_csn_cannot_be_followed() {
    let slapd = Slapd::start();
    let mut config = config_of(&[(&slapd.url, ServerRole::Provider)]);
    config.suffix = Dn::parse("ou=people,dc=example,dc=edu").unwrap();
    let outcome = Directory::new(config).sync(None).await.map(|_| ());
    assert!(
        matches!(&outcome, Err(DirectoryError::Unavailable(reason)) if reason.contains("contextCSN")),
        "{outcome:?}"
    );
}
