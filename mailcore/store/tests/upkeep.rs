//! Upkeep of the local engine: inline bodies move to packs, packs of mostly dead bodies are rewritten, and space is
//! returned to the disk; callers notice nothing.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "helper functions of tests are test code")]

mod engines;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engines::*;
use provost_store::*;
use rusqlite::Connection;

const LONG: Duration = Duration::from_secs(60);

/// Opens a store of one shard with the upkeep of [`config`].
fn store(folder: &Path) -> OneAccount {
    OneAccount::new(local_sharded(folder, 1))
}

fn body(number: u32, octets: usize) -> Bytes {
    let mut body = format!("number {number}\r\n").into_bytes();
    body.extend((body.len()..octets).map(|at| (at as u32 ^ number) as u8));
    body.into()
}

/// Appends [`body`]; the internal date is the number.
fn append_number(number: u32, octets: usize) -> Op {
    Op::Append {
        mailbox: name("INBOX"),
        create: false,
        body: body(number, octets),
        flags: Flags::none(),
        internal_date: at(i64::from(number)),
    }
}

fn packs(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("shard-00")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("pack-")).collect()
}

fn octets(paths: &[PathBuf]) -> u64 {
    // A pack may be removed meanwhile.
    paths.iter().filter_map(|path| path.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// Returns a number that a statement selects in the shard's database.
fn select_number(folder: &Path, sql: &str) -> i64 {
    let connection = Connection::open(folder.join("shard-00/meta.sqlite")).unwrap();
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Checks that each message is whole, and has the body of its internal date's number. Returns how many there are.
async fn assert_whole(one: &OneAccount, octets: usize) -> usize {
    let messages = one.changes("INBOX", 0).await.messages;
    for message in &messages {
        assert_eq!(one.body(message).await, body(message.internal_date.as_second() as u32, octets), "{message:?}");
        let part = one.store.body(one.account, message.body, Some(5..9)).await.unwrap();
        assert_eq!(part, body(message.internal_date.as_second() as u32, octets).slice(5..9));
    }
    messages.len()
}

#[tokio::test]
async fn small_groups_are_inline_until_the_upkeep_moves_them() {
    let folder = tempfile::tempdir().unwrap();
    let upkeep = UpkeepConfig { every: LONG, ..UpkeepConfig::default() };
    let quiet = LocalConfig { upkeep, ..config(folder.path(), 1) };
    let one = OneAccount::new(Arc::new(LocalStore::open(&quiet).unwrap()));
    for number in 1..=5 {
        one.done(append_number(number, 5_000)).await;
    }
    assert_eq!((select_number(folder.path(), "SELECT count(*) FROM inline"), packs(folder.path()).len()), (5, 0));
    one.apply((6..=45).map(|number| append_number(number, 5_000)).collect()).await.unwrap();
    assert_eq!(
        (select_number(folder.path(), "SELECT count(*) FROM inline"), packs(folder.path()).len()),
        (5, 1),
        "a large group is not in a pack"
    );
    assert_eq!(assert_whole(&one, 5_000).await, 45);
    drop(one);
    let one = store(folder.path());
    wait_until("inline bodies moved", || select_number(folder.path(), "SELECT count(*) FROM inline") == 0).await;
    assert_eq!(select_number(folder.path(), "SELECT count(*) FROM body WHERE pack IS NULL"), 0);
    assert_eq!(assert_whole(&one, 5_000).await, 45);
    drop(one);
    assert_eq!(assert_whole(&store(folder.path()), 5_000).await, 45);
}

#[tokio::test]
async fn starts_do_not_each_leave_a_small_pack() {
    let folder = tempfile::tempdir().unwrap();
    for number in 1..=6 {
        let one = store(folder.path());
        one.done(append_number(number, 5_000)).await;
        wait_until("inline bodies moved", || select_number(folder.path(), "SELECT count(*) FROM inline") == 0).await;
        assert_eq!(assert_whole(&one, 5_000).await, number as usize);
    }
    assert!(packs(folder.path()).len() <= 2, "more than one pack for each writer: {:?}", packs(folder.path()));
}

#[tokio::test]
async fn expunged_space_is_freed_while_messages_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let one = store(folder.path());
    for hundred in 0..20 {
        one.apply((0..100).map(|n| append_number(hundred * 100 + n, 8_000)).collect()).await.unwrap();
    }
    let before = octets(&packs(folder.path()));
    assert!(before > 15_000_000, "{before}");
    let mailbox = one.id("INBOX").await;
    let gone = (1..=2_000).filter(|number| number % 10 != 0);
    one.done(Op::Expunge { mailbox, uids: Some(uids(gone)), only_deleted: false }).await;
    let mut number = 10_000;
    let deadline = Instant::now() + LONG;
    while octets(&packs(folder.path())) > before / 4 {
        assert!(Instant::now() < deadline, "{} of {before} octets are left", octets(&packs(folder.path())));
        one.done(append_number(number, 8_000)).await;
        assert_whole(&one, 8_000).await;
        number += 1;
    }
    assert_eq!(assert_whole(&one, 8_000).await, 200 + (number - 10_000) as usize);
    drop(one);
    assert_eq!(assert_whole(&store(folder.path()), 8_000).await, 200 + (number - 10_000) as usize);
}

#[tokio::test]
async fn a_deleted_account_leaves_nothing_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let one = store(folder.path());
    one.apply((0..300).map(|number| append_number(number, 6_000)).collect()).await.unwrap();
    one.apply((300..330).map(|number| append_number(number, 100)).collect()).await.unwrap();
    // The 30 small bodies move to a pack of their own, which the deletion leaves without a live body.
    wait_until("inline bodies moved", || select_number(folder.path(), "SELECT count(*) FROM inline") == 0).await;
    let grown = select_number(folder.path(), "PRAGMA page_count");
    one.done(Op::DeleteAccount).await;
    wait_until("bodies removed", || select_number(folder.path(), "SELECT count(*) FROM body") == 0).await;
    assert_eq!(
        select_number(folder.path(), "SELECT count(*) FROM derived")
            + select_number(folder.path(), "SELECT count(*) FROM inline"),
        0
    );
    wait_until("packs removed", || octets(&packs(folder.path())) == 0).await;
    // Half of the pages, and 30 for the empty tables.
    wait_until("pages given back", || select_number(folder.path(), "PRAGMA page_count") < grown.max(60) / 2 + 30).await;
    assert_eq!(one.snapshot().await.octets, 0);
}

/// A pack that the database does not know may be all that is left of another database.
#[tokio::test]
async fn an_unknown_pack_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(store(folder.path()));
    let unknown = folder.path().join("shard-00/pack-00000007");
    std::fs::write(&unknown, b"other messages").unwrap();
    let one = store(folder.path());
    one.apply((0..100).map(|number| append_number(number, 6_000)).collect()).await.unwrap();
    one.done(Op::DeleteAccount).await;
    wait_until("packs removed", || octets(&packs(folder.path())) == 14).await;
    assert_eq!(std::fs::read(&unknown).unwrap(), b"other messages");
}

/// The other live bodies move to another pack and stay readable.
#[tokio::test]
async fn a_damaged_body_keeps_its_pack() {
    let folder = tempfile::tempdir().unwrap();
    let upkeep = UpkeepConfig { every: LONG, ..UpkeepConfig::default() };
    let quiet = LocalConfig { upkeep, ..config(folder.path(), 1) };
    let one = OneAccount::new(Arc::new(LocalStore::open(&quiet).unwrap()));
    one.apply((0..60).map(|number| append_number(number, 6_000)).collect()).await.unwrap();
    let mailbox = one.id("INBOX").await;
    one.done(Op::Expunge { mailbox, uids: Some(uids(11..=60)), only_deleted: false }).await;
    drop(one);
    let pack = packs(folder.path()).remove(0);
    let mut content = std::fs::read(&pack).unwrap();
    // Within the fourth body: each record has 20 octets before its body.
    content[6_020 * 3 + 3_000] ^= 1;
    std::fs::write(&pack, content).unwrap();
    let one = store(folder.path());
    let left = "SELECT count(*) FROM body WHERE pack = (SELECT min(pack) FROM body)";
    wait_until("undamaged bodies moved", || {
        select_number(folder.path(), left) == 1 && select_number(folder.path(), "SELECT count(*) FROM body") == 10
    })
    .await;
    for message in one.changes("INBOX", 0).await.messages {
        let read = one.store.body(one.account, message.body, None).await;
        match message.uid.get() {
            4 => assert!(matches!(read, Err(StoreError::Damaged(_)))),
            _ => assert_eq!(read.unwrap(), body(message.internal_date.as_second() as u32, 6_000)),
        }
    }
    assert!(pack.exists());
}

/// Missing columns, and those of another version, are derived again.
#[tokio::test]
async fn columns_are_derived_in_the_background() {
    let folder = tempfile::tempdir().unwrap();
    let one = store(folder.path());
    let message = "Date: Thu, 26 Nov 2026 10:00:00 +0100\r\n\r\ntext\r\n";
    one.apply((0..120).map(|_| append("INBOX", message)).collect()).await.unwrap();
    let derived = format!("SELECT count(*) FROM derived WHERE version = {}", provost_message::DERIVED_VERSION);
    assert_eq!(select_number(folder.path(), &derived), 120, "not derived by the append");
    drop(one);
    let connection = Connection::open(folder.path().join("shard-00/meta.sqlite")).unwrap();
    let old = "DELETE FROM derived WHERE body % 2 = 0; UPDATE derived SET version = 0, sent = 5;
        UPDATE counter SET value = 0 WHERE name = 'derived';";
    connection.execute_batch(old).unwrap();
    drop(connection);
    let one = store(folder.path());
    for row in one.read("INBOX", MessageSelection::all(), Columns::SENT).await.rows {
        assert_eq!(row.derived.unwrap().sent, Some(at(1_795_683_600)), "a column of an old version was returned");
    }
    wait_until("derived", || select_number(folder.path(), &derived) == 120).await;
    assert_eq!(
        one.read("INBOX", MessageSelection::Last(1), Columns::SENT).await.rows[0].derived.clone().unwrap().sent,
        Some(at(1_795_683_600))
    );
}
