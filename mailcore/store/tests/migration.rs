//! Stores of format 1 (the fixture, made by commit 8c43545) and of format 2 are upgraded. Their readers see no change,
//! even when the process is killed during the upgrade.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "helper functions of tests are test code")]

mod engines;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use engines::*;
use provost_store::*;
use uuid::Uuid;

/// Environment variable that gives the child process of [`child_that_upgrades`] the store's folder.
const FOLDER: &str = "PROVOST_STORE_MIGRATION_FOLDER";
/// Number of accounts in the fixture.
const ACCOUNTS: u128 = 4;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/store-v1")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn old_store() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture(), folder.path());
    folder
}

/// Lists all mailboxes and messages in the form of `listing.txt`, which the fixture has.
async fn listing(store: &Arc<dyn Engine>) -> String {
    let mut listed = String::new();
    for number in 1..=ACCOUNTS {
        let one = OneAccount { store: Arc::clone(store), account: account(number) };
        for mailbox in one.snapshot().await.mailboxes {
            let MailboxInfo { id, uid_validity, uid_next, highest_modseq, messages, unseen, octets, name, .. } =
                mailbox;
            let (id, modseq) = (id.get(), highest_modseq.get());
            writeln!(listed, "{number} {id} {uid_validity} {uid_next} {modseq} {messages} {unseen} {octets} {name}")
                .unwrap();
            for message in one.changes(name.as_str(), 0).await.messages {
                let digest = blake3::hash(&one.body(&message).await).to_hex();
                let MessageMeta { uid, modseq, flags, internal_date, octets, .. } = message;
                let internal_date = internal_date.as_second();
                let flags = flag_words(&flags);
                writeln!(listed, "  {uid} {} {:?} {internal_date} {octets} {digest}", modseq.get(), flags.trim())
                    .unwrap();
            }
            let expunged = one.changes(name.as_str(), 1).await.expunged;
            writeln!(listed, "  gone {:?}", expunged.iter().map(|uid| uid.get()).collect::<Vec<_>>()).unwrap();
        }
    }
    listed
}

fn expected() -> String {
    std::fs::read_to_string(fixture().join("listing.txt")).unwrap()
}

fn backups(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("backup-")).collect()
}

#[tokio::test]
async fn an_upgraded_store_reads_the_same() {
    let folder = old_store();
    let store = local(folder.path());
    assert_eq!(listing(&store).await, expected());
    let one = OneAccount { store: Arc::clone(&store), account: account(1) };
    let snapshot = one.snapshot().await;
    assert!(snapshot.subscribed_only.is_empty() && one.mailbox("courses").await.subscribed);
    assert_eq!(snapshot.last_logins, [("imap".into(), at(1_700_000_001))]);
    drop((one, store));
    assert_eq!(listing(&local(folder.path())).await, expected(), "changed at the next start");
}

/// New UIDs, UIDVALIDITYs and lease epochs are above the old ones.
#[tokio::test]
async fn an_upgraded_store_remembers_batches_replies_and_numbers() {
    let folder = old_store();
    let store = local(folder.path());
    for number in 1..=ACCOUNTS {
        let one = OneAccount { store: Arc::clone(&store), account: account(number) };
        let before = one.mailbox("INBOX").await;
        let id = Some(BatchId::new(Uuid::from_u128(number * 1000 + 3)));
        let again = store.apply(Batch { id, ..batch(one.account, vec![append("INBOX", "sent again")]) }).await.unwrap();
        let first = OpEffect::Appended { mailbox: before.id, uid_validity: before.uid_validity, uid: uid(3) };
        assert_eq!(again.effects, [first], "the batch was applied again");
        let id = Some(BatchId::new(Uuid::from_u128(number * 1000 + 500)));
        store.apply(Batch { id, ..batch(one.account, vec![]) }).await.unwrap();
        let reply = Op::RememberReply {
            handle: "v".into(),
            correspondent: "a@x".into(),
            until: at(4_000_000_000),
            reply: None,
        };
        assert_eq!(one.done(reply).await, OpEffect::Remembered(false));
        one.done(append("INBOX", "new")).await;
        let after = one.mailbox("INBOX").await;
        assert_eq!((after.uid_next.get(), after.messages), (before.uid_next.get() + 1, before.messages + 1));
        // A copy shares its body with the original, and keeps it when the original is expunged.
        let shared = one.changes("courses/2026", 0).await.messages;
        let originals = one.changes("INBOX", 0).await.messages;
        assert_eq!((shared[1].body, originals[0].uid), (originals[0].body, uid(2)));
        one.done(Op::Expunge { mailbox: before.id, uids: Some(uids([2])), only_deleted: false }).await;
        assert_eq!(one.body(&shared[1]).await.len() as u64, shared[1].octets);
        let refused = one.refused(restore_mailbox("old", 1_000_000, 1)).await;
        assert!(matches!(refused, BatchError::Refused(_)), "a UIDVALIDITY that may have been in use was accepted");
    }
    let lease = store.lease("work", Duration::from_secs(60)).await.unwrap().unwrap();
    // The upper half counts starts, those of the old store included.
    assert!(lease.epoch >> 32 >= 2, "epoch {:x} does not count the starts of the old store", lease.epoch);
}

/// Packs of the old store are rewritten and removed like all others.
#[tokio::test]
async fn old_packs_are_rewritten() {
    let folder = old_store();
    let store = local(folder.path());
    for number in 1..=ACCOUNTS {
        let one = OneAccount { store: Arc::clone(&store), account: account(number) };
        let mailbox = one.id("INBOX").await;
        one.done(Op::Expunge { mailbox, uids: Some(uids(6..=11)), only_deleted: false }).await;
        one.apply(vec![delete("courses/2026"), delete("Trash"), append("INBOX", "new")]).await.unwrap();
    }
    let before = listing(&store).await;
    let has_old_pack = |shard: &str| folder.path().join(shard).join("pack-00000001").exists();
    let deadline = Instant::now() + Duration::from_secs(60);
    while has_old_pack("shard-00") || has_old_pack("shard-01") {
        assert!(Instant::now() < deadline, "an old pack is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(listing(&store).await, before);
    drop(store);
    assert_eq!(listing(&local(folder.path())).await, before);
}

/// Columns of old messages are derived when they are read.
#[tokio::test]
async fn columns_are_derived() {
    let folder = old_store();
    let store = local(folder.path());
    let one = OneAccount { store, account: account(2) };
    for row in one.read("INBOX", MessageSelection::all(), Columns::SENT | Columns::ENVELOPE).await.rows {
        let body = one.body(&row.meta).await;
        let all = provost_message::derive(&body);
        let derived = row.derived.unwrap();
        assert_eq!((derived.sent, &derived.envelope), (all.sent, &all.envelope));
        assert!(derived.sent.is_some());
    }
}

/// The backup is the unchanged store.
#[tokio::test]
async fn the_backup_can_be_moved_back_and_upgraded() {
    let folder = old_store();
    drop(local(folder.path()));
    let [backup] = backups(folder.path()).try_into().unwrap();
    let again = tempfile::tempdir().unwrap();
    copy(&backup, again.path());
    let format = std::fs::read_to_string(again.path().join("format")).unwrap();
    assert_eq!(format, "provost local store 1, shards 2\n");
    assert_eq!(listing(&local(again.path())).await, expected());
}

/// The instructions of docs/configuration.md leave the backup's empty folder behind.
#[tokio::test]
async fn a_store_that_was_moved_back_is_backed_up_again() {
    let folder = old_store();
    drop(local(folder.path()));
    let [backup] = backups(folder.path()).try_into().unwrap();
    for shard in ["shard-00", "shard-01"] {
        std::fs::remove_dir_all(folder.path().join(shard)).unwrap();
    }
    for entry in std::fs::read_dir(&backup).unwrap() {
        let entry = entry.unwrap();
        std::fs::rename(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    assert_eq!(listing(&local(folder.path())).await, expected());
    let complete = backups(folder.path()).into_iter().filter(|backup| backup.join("format").exists());
    assert_eq!(complete.count(), 1, "the second upgrade made no backup");
}

/// Turns a store of format 3 into one of format 2. Only the version numbers change: format 2 allows the same rows.
fn downgrade_to_format_2(folder: &Path) {
    for shard in ["shard-00", "shard-01"] {
        let database = rusqlite::Connection::open(folder.join(shard).join("meta.sqlite")).unwrap();
        database.pragma_update(None, "user_version", 2).unwrap();
    }
    std::fs::write(folder.join("format"), "provost local store 2, shards 2\n").unwrap();
}

#[tokio::test]
async fn format_2_becomes_3() {
    let folder = old_store();
    drop(local(folder.path()));
    let [first] = backups(folder.path()).try_into().unwrap();
    downgrade_to_format_2(folder.path());
    assert_eq!(listing(&local(folder.path())).await, expected());
    let format = |folder: &Path| std::fs::read_to_string(folder.join("format")).unwrap();
    assert_eq!(format(folder.path()), "provost local store 3, shards 2\n");
    let [second] =
        backups(folder.path()).into_iter().filter(|path| *path != first).collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(format(&second), "provost local store 2, shards 2\n", "the second upgrade made no backup of its own");
    let again = tempfile::tempdir().unwrap();
    copy(&second, again.path());
    assert_eq!(listing(&local(again.path())).await, expected());
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_refused_as_such() {
    let folder = old_store();
    std::fs::write(folder.path().join("format"), "provost local store 4, shards 2\n").unwrap();
    match LocalStore::open(&LocalConfig::new(folder.path())) {
        Err(StoreError::Unavailable(why)) => {
            assert!(why.contains("version 4, written by a newer Provost; this one knows versions up to 3:"), "{why}");
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a store of version 4 was opened"),
    }
    assert!(backups(folder.path()).is_empty(), "a store that is not upgraded was backed up");
}

#[tokio::test]
async fn a_shard_of_a_newer_version_is_refused_as_such() {
    let folder = tempfile::tempdir().unwrap();
    drop(LocalStore::open(&LocalConfig::new(folder.path())).unwrap());
    let shard = folder.path().join("shard-00").join("meta.sqlite");
    assert!(shard.exists());
    rusqlite::Connection::open(&shard).unwrap().pragma_update(None, "user_version", 4).unwrap();
    match LocalStore::open(&LocalConfig::new(folder.path())) {
        Err(StoreError::Unavailable(why)) => {
            assert!(why.contains("version 4, written by a newer Provost; this one knows versions up to 3:"), "{why}");
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a shard of version 4 was opened"),
    }
}

#[tokio::test]
async fn a_failed_upgrade_is_completed_by_the_next_open() {
    let folder = old_store();
    let shard = folder.path().join("shard-01/meta.sqlite");
    let original = std::fs::read(&shard).unwrap();
    std::fs::write(&shard, b"this is no database, but it is long enough to be looked at as one").unwrap();
    assert!(LocalStore::open(&LocalConfig::new(folder.path())).is_err());
    std::fs::write(&shard, original).unwrap();
    assert_eq!(listing(&local(folder.path())).await, expected());
}

/// The next test runs this one in a child process, which upgrades the store by opening it. Without [`FOLDER`] this test
/// does nothing.
#[test]
fn child_that_upgrades() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    drop(local(Path::new(&folder)));
}

#[tokio::test]
async fn a_kill_at_any_moment_of_the_upgrade_loses_nothing() {
    let mut killed = 0;
    for micros in (0..40).map(|step| step * 1_500) {
        let folder = old_store();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child_that_upgrades"]).env(FOLDER, folder.path());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while !folder.path().join("lock").exists() {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_micros(micros));
        child.kill().unwrap();
        killed += u32::from(!child.wait().unwrap().success());
        assert_eq!(listing(&local(folder.path())).await, expected(), "after {micros} microseconds");
        assert_eq!(backups(folder.path()).len(), 1);
    }
    assert!(killed > 0, "every child ended before it was killed");
}
