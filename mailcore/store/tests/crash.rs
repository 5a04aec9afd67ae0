//! The local engine after kill -9 at any moment: every acknowledged message is there exactly once and whole. Other
//! tests open a store twice, open it again with another configuration, and damage a body.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "helper functions of tests are test code")]

mod engines;

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engines::*;
use provost_store::*;
use rand::Rng;
use uuid::Uuid;

/// Environment variable of the child that appends: the store's folder.
const FOLDER: &str = "PROVOST_STORE_CRASH_FOLDER";
/// Environment variable of both children: the number of the first message.
const FIRST: &str = "PROVOST_STORE_CRASH_FIRST";
const CALLERS: u64 = 16;
const ACCOUNTS: u64 = 5;
const ROUNDS: u64 = 8;

/// Returns a body that begins with its number; the octets after it depend on the number and their position.
fn body(number: u64) -> Bytes {
    let octets = 200 + (number * 7919 % 20_000) as usize;
    let mut body = format!("number {number}\r\n").into_bytes();
    body.extend((0..octets).map(|at| (at as u64 * 31 + number) as u8 | 1));
    body.into()
}

fn delivery(number: u64) -> Batch {
    let append = Op::Append {
        mailbox: name("INBOX"),
        create: false,
        body: body(number),
        flags: Flags::none(),
        internal_date: at(0),
    };
    let id = Some(BatchId::new(Uuid::from_u128(u128::from(number) + 1)));
    Batch { id, ..batch(account(u128::from(number % ACCOUNTS)), vec![append]) }
}

/// Not a test of its own, but the child: appends for ever, and prints the number of each acknowledged message.
#[test]
fn child_that_appends() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let store = local(Path::new(&folder));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..CALLERS {
            let store = Arc::clone(&store);
            callers.spawn(async move {
                for number in (first + caller..).step_by(CALLERS as usize) {
                    store.apply(delivery(number)).await.unwrap();
                    writeln!(std::io::stderr().lock(), "stored {number}").unwrap();
                }
            });
        }
        callers.join_all().await;
    });
}

fn start_child(folder: &Path, first: u64) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child_that_appends", "--nocapture"]);
    command.env(FOLDER, folder).env(FIRST, first.to_string());
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Kills the child when `run` has passed since its first acknowledgement; returns all acknowledged numbers.
fn acknowledged(mut child: Child, run: Duration) -> Vec<u64> {
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let number = |line: std::io::Result<String>| line.ok()?.strip_prefix("stored ")?.parse::<u64>().ok();
    let first = lines.by_ref().find_map(number).unwrap();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(run);
        child.kill().unwrap();
        child.wait().unwrap();
    });
    let mut numbers = vec![first];
    numbers.extend(lines.filter_map(number));
    killer.join().unwrap();
    numbers
}

/// Reads and compares each message, and counts the messages by number.
async fn stored(store: &Arc<dyn Engine>) -> HashMap<u64, u32> {
    let mut found = HashMap::new();
    for number in 0..ACCOUNTS {
        let one = OneAccount { store: Arc::clone(store), account: account(u128::from(number)) };
        let changes = one.changes("INBOX", 0).await;
        assert_counters_agree(&changes);
        for message in &changes.messages {
            let stored = one.body(message).await;
            let first_line = stored.split(|octet| *octet == b'\r').next().unwrap();
            let number = std::str::from_utf8(first_line).unwrap().strip_prefix("number ").unwrap().parse().unwrap();
            assert_eq!(stored, body(number), "message {number} is not whole");
            *found.entry(number).or_default() += 1;
        }
    }
    found
}

#[tokio::test]
async fn acknowledged_messages_are_there_once_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let (mut all, mut next) = (Vec::new(), 0);
    for _ in 0..ROUNDS {
        let run = Duration::from_millis(rand::rng().random_range(0..150));
        let numbers = acknowledged(start_child(folder.path(), next), run);
        next = numbers.iter().max().unwrap() + 100;
        all.extend(numbers);

        let store = local(folder.path());
        let found = stored(&store).await;
        assert!(all.iter().all(|number| found.contains_key(number)), "an acknowledged message is lost");
        // Apply the same batches again under the same ids, as a delivery does when its outcome is unknown.
        for number in all.iter().rev().take(40) {
            store.apply(delivery(*number)).await.unwrap();
        }
        assert!(stored(&store).await.values().all(|times| *times == 1), "a message is there twice");
    }
    assert!(all.len() > ROUNDS as usize, "no kill came while messages were stored");
}

/// Number of tasks in the child that appends and expunges; each has its own account.
const FILLERS: u64 = 4;
/// One message of this many is not expunged.
const STAYS: u64 = 10;
/// Environment variable of the child that appends and expunges: the store's folder.
const FILL_FOLDER: &str = "PROVOST_STORE_CRASH_FILL";

/// Not a test of its own, but the child: appends and expunges for ever, so that packs are rewritten all the time.
#[test]
fn child_that_appends_and_expunges() {
    let Ok(folder) = std::env::var(FILL_FOLDER) else { return };
    let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let store = local_sharded(Path::new(&folder), 1);
    let report = |event: String| writeln!(std::io::stderr().lock(), "{event}").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..FILLERS {
            let store = Arc::clone(&store);
            callers.spawn(async move {
                for number in (first + caller..).step_by(FILLERS as usize) {
                    let who = account(u128::from(caller));
                    let stored = store.apply(Batch { account: who, ..delivery(number) }).await.unwrap();
                    let [OpEffect::Appended { mailbox, uid, .. }] = stored.effects[..] else { panic!() };
                    report(format!("stored {number}"));
                    if !(number / FILLERS).is_multiple_of(STAYS) {
                        report(format!("expunging {number}"));
                        let uids = Some(uids([uid.get()]));
                        let expunge = Op::Expunge { mailbox, uids, only_deleted: false };
                        store.apply(batch(who, vec![expunge])).await.unwrap();
                    }
                }
            });
        }
        callers.join_all().await;
    });
}

/// The numbers that the child printed.
struct Printed {
    /// Messages that were stored, and were not about to be expunged.
    kept: HashSet<u64>,
    /// Highest number that was stored, or the first to use when none was.
    last: u64,
    /// Octets of all bodies that were stored.
    octets: u64,
}

/// Kills the child when `run` has passed since its start.
fn append_and_expunge(folder: &Path, first: u64, run: Duration) -> Printed {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child_that_appends_and_expunges", "--nocapture"]);
    command.env(FILL_FOLDER, folder).env(FIRST, first.to_string());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(run);
        child.kill().unwrap();
        child.wait().unwrap();
    });
    let mut printed = Printed { kept: HashSet::new(), last: first, octets: 0 };
    for line in lines.map_while(Result::ok) {
        if let Some(number) = line.strip_prefix("stored ").and_then(|number| number.parse().ok()) {
            printed.kept.insert(number);
            printed.last = printed.last.max(number);
            printed.octets += body(number).len() as u64;
        } else if let Some(number) = line.strip_prefix("expunging ").and_then(|number| number.parse().ok()) {
            printed.kept.remove(&number);
        }
    }
    killer.join().unwrap();
    printed
}

#[tokio::test]
async fn no_message_is_lost_by_a_kill_while_packs_are_rewritten() {
    let folder = tempfile::tempdir().unwrap();
    let (mut kept, mut next, mut written) = (HashSet::new(), 0, 0);
    for round in 0..ROUNDS {
        let run = Duration::from_millis(rand::rng().random_range(200..900));
        let printed = append_and_expunge(folder.path(), next, run);
        next = (printed.last / FILLERS + 100) * FILLERS;
        written += printed.octets;
        kept.extend(printed.kept);
        let store = local_sharded(folder.path(), 1);
        let found = stored(&store).await;
        let missing: Vec<_> = kept.iter().filter(|number| !found.contains_key(number)).collect();
        assert!(missing.is_empty(), "round {round}: lost {missing:?}");
        assert!(found.values().all(|times| *times == 1), "round {round}: a message is there twice");
    }
    // Wait until the upkeep has reduced the packs to three times the octets of the remaining messages, plus 1 MB.
    let store = local_sharded(folder.path(), 1);
    let live: u64 = stored(&store).await.keys().map(|number| body(*number).len() as u64).sum();
    let deadline = Instant::now() + Duration::from_secs(60);
    while octets(&folder.path().join("shard-00")) > live * 3 + 1_000_000 {
        assert!(Instant::now() < deadline, "packs larger than three times the {live} octets of live bodies");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(written > 2 * live, "only {written} octets were written for {live}: packs need no rewriting");
}

/// Returns the octets of the packs in a shard's folder.
fn octets(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let packs = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("pack-"));
    packs.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

#[tokio::test]
async fn a_store_cannot_be_opened_twice() {
    let folder = tempfile::tempdir().unwrap();
    let first = local(folder.path());
    let second = LocalStore::open(&LocalConfig::new(folder.path()));
    assert!(matches!(second, Err(StoreError::Unavailable(_))));
    drop(first);
    LocalStore::open(&LocalConfig::new(folder.path())).unwrap();
}

#[tokio::test]
async fn the_format_file_gives_the_number_of_shards() {
    let folder = tempfile::tempdir().unwrap();
    let one = OneAccount::new(local(folder.path()));
    one.done(append("INBOX", "kept")).await;
    drop(one);
    let config = LocalConfig { shards: 7, ..LocalConfig::new(folder.path()) };
    let one = OneAccount::new(Arc::new(LocalStore::open(&config).unwrap()));
    assert_eq!(one.listing("INBOX").await, ["1 kept"]);
    drop(one);
    std::fs::write(folder.path().join("format"), "something else\n").unwrap();
    assert!(matches!(LocalStore::open(&config), Err(StoreError::Damaged(_))));
}

#[tokio::test]
async fn logins_and_lease_epochs_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let one = OneAccount::new(local(folder.path()));
    one.done(append("INBOX", "a")).await;
    one.store.note_login(one.account, "imap", at(50));
    let epoch = one.store.lease("work", Duration::from_secs(3600)).await.unwrap().unwrap().epoch;
    drop(one);
    let one = OneAccount::new(local(folder.path()));
    assert_eq!(one.snapshot().await.last_logins, [("imap".into(), at(50))]);
    let lease = one.store.lease("work", Duration::from_secs(3600)).await.unwrap().unwrap();
    assert!(lease.epoch > epoch, "the epoch did not grow");
}

#[tokio::test]
async fn a_damaged_body_is_reported_and_the_rest_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let one = OneAccount::new(local(folder.path()));
    // The large body makes the group too large to be stored inline, so all three bodies go to a pack.
    let large = "x".repeat(70_000);
    one.apply(vec![append("INBOX", "first body"), append("INBOX", "second body"), append("INBOX", &large)])
        .await
        .unwrap();
    let mut damaged = 0;
    let messages = one.changes("INBOX", 0).await.messages;
    for shard in 0..3 {
        let pack = folder.path().join(format!("shard-{shard:02}/pack-00000001"));
        let Ok(mut content) = std::fs::read(&pack) else { continue };
        let Some(at) = content.windows(5).position(|window| window == b"first") else { continue };
        content[at] ^= 1;
        std::fs::write(&pack, content).unwrap();
        damaged += 1;
    }
    assert_eq!(damaged, 1, "the body must be in exactly one pack");
    let read = |message: &MessageMeta| one.store.body(one.account, message.body, None);
    assert!(matches!(read(&messages[0]).await, Err(StoreError::Damaged(_))));
    assert_eq!(read(&messages[1]).await.unwrap(), "second body");
}
