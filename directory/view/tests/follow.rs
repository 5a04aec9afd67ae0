//! The View against a real slapd 2.5.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helper functions of tests are test code")]

#[path = "../../client/tests/slapd/mod.rs"]
mod slapd;

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use jiff::Timestamp;
use provost_client::{Directory, WriteConditions};
use provost_entry::{AttributeDescription, Entry, Modification};
use provost_schema::{attr, class};
use provost_view::{Address, Fallback, Login, LoginAttempt, PasswordSource, RecipientStatus, Secret, View, ViewConfig};
use slapd::{Slapd, address, config_of, eventually, person, person_dn};

/// Bound on the time until a change takes effect.
const CHANGE: Duration = Duration::from_secs(1);
/// Bound on noticing a dead or frozen server: idle time, probe, slack.
const NOTICE: Duration = Duration::from_secs(6);
/// Bound on a refresh after the start of the View or of slapd.
const REFRESH: Duration = Duration::from_secs(10);

fn view(folder: &Path, directory: Directory, passwords: PasswordSource) -> View {
    let config = ViewConfig {
        file: folder.join("view"),
        passwords,
        credential_ttl: Duration::from_secs(600),
        fallback: Fallback::default(),
    };
    View::start(config, directory)
}

fn resolved(view: &View, local: &str) -> String {
    match view.recipient(&Address::from_parts(local, "example.edu").unwrap()) {
        RecipientStatus::Person(person) => person.uid.to_string(),
        other => format!("{other:?}").to_lowercase(),
    }
}

async fn until_current(view: &View) {
    eventually(REFRESH, "current", || view.status().current).await;
}

fn replace(name: AttributeDescription, values: &[&str]) -> Vec<Modification> {
    vec![Modification::replace(name, values.iter().map(|value| value.as_bytes().to_vec()).collect())]
}

async fn filled() -> (Slapd, Directory) {
    let slapd = Slapd::start();
    let directory = slapd.directory();
    for n in 1..=3 {
        directory.add(person(n)).await.unwrap();
        directory.add(address(&format!("p{n}"), "primary", n)).await.unwrap();
    }
    (slapd, directory)
}

#[tokio::test]
async fn changes_are_seen_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let (_slapd, directory) = filled().await;
    let view = view(folder.path(), directory.clone(), PasswordSource::View);
    until_current(&view).await;
    assert_eq!((resolved(&view, "p1").as_str(), resolved(&view, "nobody").as_str()), ("p1", "unknown"));
    assert!(view.serves("example.edu") && !view.serves("elsewhere.org"));
    assert_eq!(view.status().people, 3);
    let mut feed = view.changes();

    directory.add(address("alias", "alias", 2)).await.unwrap();
    eventually(CHANGE, "an alias", || resolved(&view, "alias") == "p2").await;
    let owner = view.snapshot().by_login("p2").unwrap().entry_uuid;
    let changes = feed.next().await;
    assert!(changes.concerns_account(owner) && !changes.is_everything());

    directory.add(setting("time-zone", "Europe/Paris")).await.unwrap();
    let zone = || view.snapshot().settings().time_zone.iana_name().map(str::to_owned);
    eventually(CHANGE, "a setting", || zone().as_deref() == Some("Europe/Paris")).await;
    let changes = feed.next().await;
    assert!(changes.concerns_setting("time-zone") && !changes.concerns_account(owner));

    let local = AttributeDescription::of(attr::MAIL_LOCAL_ADDRESS);
    directory.modify(&person_dn(3), replace(local, &["short@example.edu"]), WriteConditions::default()).await.unwrap();
    eventually(CHANGE, "mailLocalAddress", || resolved(&view, "short") == "p3").await;

    let mut vacation = replace(AttributeDescription::of(attr::MAIL_AUTO_REPLY_MODE), &["reply"]);
    let french = AttributeDescription::with_option(attr::MAIL_AUTO_REPLY_TEXT, "lang-fr");
    vacation.extend(replace(french, &["Absente jusqu'à lundi"]));
    directory.modify(&person_dn(1), vacation, WriteConditions::default()).await.unwrap();
    let text = || view.snapshot().by_login("p1")?.vacation.as_ref()?.text_fr.clone();
    eventually(CHANGE, "a vacation", || text().as_deref() == Some("Absente jusqu'à lundi")).await;

    directory.delete(&address("alias", "alias", 2).dn, WriteConditions::default()).await.unwrap();
    eventually(CHANGE, "an alias going", || resolved(&view, "alias") == "unknown").await;

    let state = AttributeDescription::of(attr::PROVOST_STATE);
    directory.modify(&person_dn(1), replace(state, &["closed"]), WriteConditions::default()).await.unwrap();
    eventually(CHANGE, "an account closed", || resolved(&view, "p1") == "closed").await;
}

async fn login(view: &View, name: &str, password: &str) -> &'static str {
    let (password, source) = (Secret::new(password), [192, 0, 2, 1].into());
    let attempt = LoginAttempt { name, password: &password, source, service: "test" };
    match view.login(attempt, Timestamp::now()).await {
        Login::Accepted(_) => "accepted",
        Login::Refused => "refused",
        Login::Throttled => "throttled",
        Login::PasswordDue(_) => "password due",
        Login::Unavailable => "unavailable",
    }
}

#[tokio::test]
async fn logins_by_hash_and_by_bind() {
    let folder = tempfile::tempdir().unwrap();
    let (mut slapd, directory) = filled().await;
    let hash = provost_credential::hash(&Secret::new("hashed"), provost_credential::Scheme::Ssha);
    let password = AttributeDescription::of(attr::USER_PASSWORD);
    directory.modify(&person_dn(1), replace(password.clone(), &[&hash]), WriteConditions::default()).await.unwrap();
    // A scheme that slapd supports and we do not: base64 of the MD5 of "password 2" and "password 3".
    for (n, hash) in [(2, "{MD5}vBQOYQbgw7RGdy19kCgFAQ=="), (3, "{MD5}SMt+pOBqDygE9xBtZMHGnQ==")] {
        directory.modify(&person_dn(n), replace(password.clone(), &[hash]), WriteConditions::default()).await.unwrap();
    }
    for n in [4, 5] {
        directory.add(person(n)).await.unwrap();
    }
    let accents = provost_credential::hash(&Secret::new("café café"), provost_credential::Scheme::Ssha);
    directory.modify(&person_dn(4), replace(password.clone(), &[&accents]), WriteConditions::default()).await.unwrap();
    let as_typed = "as type\u{301}d";
    directory.modify(&person_dn(5), replace(password.clone(), &[as_typed]), WriteConditions::default()).await.unwrap();
    let by_hash = view(folder.path(), directory.clone(), PasswordSource::View);
    let other = tempfile::tempdir().unwrap();
    let by_bind = view(other.path(), directory.clone(), PasswordSource::Bind);
    until_current(&by_hash).await;
    until_current(&by_bind).await;
    for view in [&by_hash, &by_bind] {
        assert_eq!(login(view, "p1@example.edu", "hashed").await, "accepted");
        assert_eq!(login(view, "p1", "wrong").await, "refused");
        assert_eq!(login(view, "nobody", "wrong").await, "refused");
        // No hash of a supported scheme: the directory verifies by bind.
        assert_eq!(login(view, "p2", "password 2").await, "accepted");
        // RFC 8265 §4.2: a decomposed character and a no-break space are equal to the plain ones.
        for typed in ["café café", "cafe\u{301} café", "café\u{A0}café"] {
            assert_eq!(login(view, "p4", typed).await, "accepted", "{typed:?}");
        }
        assert_eq!(login(view, "p4", "cafe cafe").await, "refused");
        assert_eq!(login(view, "p5", as_typed).await, "accepted");
    }
    slapd.kill();
    eventually(NOTICE, "noticed", || !by_hash.status().current && !by_bind.status().current).await;
    assert_eq!(login(&by_hash, "p1", "hashed").await, "accepted");
    assert_eq!(login(&by_hash, "p1", "wrong again").await, "refused");
    assert_eq!(login(&by_bind, "p1", "hashed").await, "accepted", "remembered");
    assert_eq!(login(&by_bind, "p1", "wrong again").await, "unavailable");
    assert_eq!(login(&by_hash, "p3", "password 3").await, "unavailable");
    assert_eq!(login(&by_hash, "nobody", "wrong").await, "unavailable");
}

#[tokio::test]
async fn without_the_directory_the_view_still_answers_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (mut slapd, directory) = filled().await;
    let first = view(folder.path(), directory.clone(), PasswordSource::View);
    until_current(&first).await;
    slapd.kill();
    eventually(NOTICE, "noticed", || !first.status().current).await;
    assert_eq!((resolved(&first, "p1").as_str(), resolved(&first, "nobody").as_str()), ("p1", "unavailable"));
    first.save().await.unwrap();
    drop(first);

    let second = view(folder.path(), config_directory(&slapd), PasswordSource::View);
    assert_eq!((resolved(&second, "p1").as_str(), resolved(&second, "nobody").as_str()), ("p1", "unavailable"));
    let status = second.status();
    assert!(status.complete && !status.current && status.people == 3);

    slapd.run();
    until_current(&second).await;
    assert_eq!(resolved(&second, "nobody"), "unknown");
    config_directory(&slapd).add(address("late", "alias", 1)).await.unwrap();
    eventually(CHANGE, "a change after the restarts", || resolved(&second, "late") == "p1").await;
}

fn config_directory(slapd: &Slapd) -> Directory {
    Directory::new(config_of(&[(&slapd.url, provost_client::ServerRole::Provider)]))
}

#[tokio::test]
async fn without_a_usable_file_and_directory_answers_are_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::new(config_of(&[("ldap://127.0.0.1:1", provost_client::ServerRole::Provider)]));
    std::fs::write(folder.path().join("view"), "damaged").unwrap();
    let view = view(folder.path(), directory, PasswordSource::View);
    assert_eq!(resolved(&view, "p1"), "unavailable");
    assert_eq!(login(&view, "p1", "x").await, "unavailable");
    assert!(!view.status().complete);
}

/// An earlier program that finds a file of a later version reads the directory instead, and replaces the file.
#[tokio::test]
async fn a_file_of_a_later_version_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (_slapd, directory) = filled().await;
    let first = view(folder.path(), directory.clone(), PasswordSource::View);
    until_current(&first).await;
    first.save().await.unwrap();
    drop(first);

    let file = folder.path().join("view");
    let known = std::fs::read(&file).unwrap();
    let mut later = known.clone();
    later[..16].copy_from_slice(b"provost-view 99\n");
    let body = later.len() - blake3::OUT_LEN;
    let digest = blake3::hash(&later[..body]);
    later[body..].copy_from_slice(digest.as_bytes());
    std::fs::write(&file, later).unwrap();

    let second = view(folder.path(), directory, PasswordSource::View);
    assert_eq!((second.status().complete, resolved(&second, "p1").as_str()), (false, "unavailable"));
    until_current(&second).await;
    assert_eq!(resolved(&second, "p1"), "p1");
    second.save().await.unwrap();
    assert_eq!(std::fs::read(&file).unwrap()[..16], known[..16]);
}

#[tokio::test]
async fn a_frozen_server_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (slapd, directory) = filled().await;
    let view = view(folder.path(), directory, PasswordSource::View);
    until_current(&view).await;
    slapd.signal("STOP");
    eventually(NOTICE, "frozen", || !view.status().current).await;
    assert_eq!((resolved(&view, "p1").as_str(), resolved(&view, "nobody").as_str()), ("p1", "unavailable"));
    slapd.signal("CONT");
    eventually(Duration::from_secs(30), "thawed", || view.status().current).await;
}

/// Entries deleted while the View was away are removed; the refresh from an emptied directory is parked.
#[tokio::test]
async fn deletions_while_away_and_the_guard() {
    let folder = tempfile::tempdir().unwrap();
    let slapd = Slapd::start();
    let directory = slapd.directory();
    let adds = futures_util::stream::iter(1..=40).map(|n| {
        let directory = directory.clone();
        async move { directory.add(person(n)).await }
    });
    assert!(adds.buffer_unordered(16).all(|added| async move { added.is_ok() }).await);
    let first = view(folder.path(), directory.clone(), PasswordSource::View);
    until_current(&first).await;
    assert_eq!(first.status().people, 40);
    first.save().await.unwrap();
    drop(first);

    directory.delete(&person_dn(1), WriteConditions::default()).await.unwrap();
    let second = view(folder.path(), directory.clone(), PasswordSource::View);
    until_current(&second).await;
    assert_eq!(second.status().people, 39);
    second.save().await.unwrap();
    drop(second);

    for n in 2..=40 {
        directory.delete(&person_dn(n), WriteConditions::default()).await.unwrap();
    }
    let third = view(folder.path(), directory.clone(), PasswordSource::View);
    eventually(REFRESH, "parked", || third.status().parked.is_some()).await;
    assert_eq!((third.status().people, resolved(&third, "p7").as_str()), (39, "p7"));
    assert!(!third.status().current);

    // A changed `removal-guard` takes effect within a second, although the next retry is due only after 30 seconds.
    directory.add(setting("removal-guard", "50")).await.unwrap();
    let parked_by = |guard: &str| third.status().parked.is_some_and(|why| why.contains(guard));
    eventually(CHANGE, "parked by the new guard", || parked_by("the guard is 50 %")).await;
    assert_eq!(third.status().people, 39);
    let guard = setting("removal-guard", "100");
    let value = replace(AttributeDescription::of(attr::PROVOST_VALUE), &["100"]);
    directory.modify(&guard.dn, value, WriteConditions::default()).await.unwrap();
    eventually(CHANGE, "the refresh that the guard lets pass", || {
        third.status().people == 0 && third.status().parked.is_none()
    })
    .await;
}

/// Two subtrees are deleted while the View follows, and created again with new entryUUIDs.
#[tokio::test]
async fn subtrees_that_were_created_again_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (_slapd, directory) = filled().await;
    let mut added = vec![setting("time-zone", "Europe/Paris")];
    added.extend((1..=30).map(|n| address(&format!("a{n}"), "alias", 1)));
    for entry in &added {
        directory.add(entry.clone()).await.unwrap();
    }
    let container =
        |name| Entry::new(slapd::below(name)).with(attr::OBJECT_CLASS, "organizationalUnit").with(attr::OU, name);
    let mut lost = vec![container("policies"), container("addresses")];
    lost.extend((1..=3).map(|n| address(&format!("p{n}"), "primary", n)));
    lost.extend(added);
    let first = view(folder.path(), directory.clone(), PasswordSource::View);
    until_current(&first).await;

    for entry in lost.iter().rev() {
        directory.delete(&entry.dn, WriteConditions::default()).await.unwrap();
    }
    eventually(REFRESH, "parked", || first.status().parked.is_some()).await;
    for entry in lost {
        directory.add(entry).await.unwrap();
    }
    first.save().await.unwrap();
    drop(first);
    // A View that has just started refreshes at once, even if its predecessor was parked.
    let second = view(folder.path(), directory, PasswordSource::View);
    eventually(REFRESH, "current", || second.status().current || second.status().parked.is_some()).await;
    assert_eq!((second.status().current, second.status().parked), (true, None));
    assert_eq!((resolved(&second, "a7").as_str(), resolved(&second, "p2").as_str()), ("p1", "p2"));
}

fn setting(name: &str, value: &str) -> Entry {
    Entry::new(slapd::below("policies").child(attr::CN, name))
        .with(attr::OBJECT_CLASS, class::PROVOST_SETTING)
        .with(attr::CN, name)
        .with(attr::PROVOST_VALUE, value)
}
