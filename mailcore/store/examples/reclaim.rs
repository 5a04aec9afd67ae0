//! How fast the local engine gives space back: a store is filled, 90 % of its messages are expunged, and mail goes on coming in.
//!
//! `cargo run --release -p provost-store --example reclaim FOLDER [MEGABYTES]`
#![allow(clippy::print_stdout, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use provost_store::{
    AccountId, Batch, Flags, LocalConfig, LocalStore, MailboxName, MessageStore, Op, StoreError, Uid, UidSet,
};
use uuid::Uuid;

const ACCOUNTS: u64 = 300;
const BODY_OCTETS: u64 = 10_240;
const CALLERS: u64 = 4;
const LONGEST: Duration = Duration::from_secs(120);

fn batch(account: u64, ops: Vec<Op>) -> Batch {
    let account = AccountId(Uuid::from_u128(u128::from(account) << 64));
    Batch { id: None, account, now: 1_000_000, require: Vec::new(), ops }
}

fn append(number: u64) -> Op {
    let text = format!("Subject: message {number}\r\nDate: Thu, 26 Nov 2026 10:00:00 +0100\r\n\r\n");
    let mut body = text.into_bytes();
    body.resize(BODY_OCTETS as usize, b'0' + (number % 10) as u8);
    let (mailbox, flags) = (MailboxName::inbox(), Flags::none());
    Op::Append { mailbox, create: false, body: Bytes::from(body), flags, internal_date: 0 }
}

/// Octets of all files below a folder, as the disk counts them.
fn used(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let octets = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => used(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    };
    entries.map(octets).sum()
}

async fn fill(store: &LocalStore, each: u64) {
    for account in 0..ACCOUNTS {
        for first in (0..each).step_by(100) {
            let ops = (first..(first + 100).min(each)).map(append).collect();
            store.apply(batch(account, ops)).await.expect("an append");
        }
    }
}

async fn expunge(store: &LocalStore, each: u64) -> Result<(), StoreError> {
    for account in 0..ACCOUNTS {
        let id = store.snapshot(batch(account, vec![]).account, None).await?.mailboxes.first().map(|inbox| inbox.id);
        let gone = (1..=each).filter(|number| number % 10 > 0).filter_map(|number| Uid::new(number as u32));
        let uids = Some(UidSet::from_uids(gone));
        let mailbox = id.ok_or(StoreError::Gone)?;
        store
            .apply(batch(account, vec![Op::Expunge { mailbox, uids, only_deleted: false }]))
            .await
            .expect("an expunge");
    }
    Ok(())
}

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().unwrap_or_else(|| "reclaim-store".into()));
    let megabytes: u64 = args.next().and_then(|text| text.parse().ok()).unwrap_or(2_000);
    let each = megabytes * 1_000_000 / BODY_OCTETS / ACCOUNTS;
    let store = Arc::new(LocalStore::open(&LocalConfig::new(&folder)).expect("a store"));
    fill(&store, each).await;
    println!("{:>6.1} MB after {} messages", used(&folder) as f64 / 1e6, each * ACCOUNTS);
    let start = Instant::now();
    expunge(&store, each).await.expect("mailboxes");
    println!("{:>6.1} s: 90 % expunged", start.elapsed().as_secs_f64());
    let delivered = Arc::new(AtomicU64::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let (store, delivered) = (Arc::clone(&store), Arc::clone(&delivered));
        tasks.spawn(async move {
            loop {
                store.apply(batch(caller, vec![append(0)])).await.expect("an append");
                delivered.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(4)).await;
            }
        });
    }
    let mut before = 0;
    while start.elapsed() < LONGEST {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (now, new) = (delivered.load(Ordering::Relaxed), used(&folder));
        let at = start.elapsed().as_secs_f64();
        println!("{at:>6.1} s: {:>6.1} MB, {} deliveries/s", new as f64 / 1e6, (now - before) / 2);
        if new < megabytes * 1_000_000 / 5 + now * BODY_OCTETS {
            break;
        }
        before = now;
    }
    tasks.abort_all();
}
