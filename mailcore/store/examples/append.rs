//! Measures durable appends per second of the local engine: 10 KB bodies over 3,000 accounts, by number of callers.
//!
//! `cargo run --release -p provost-store --example append [FOLDER [CALLERS...]]`
#![allow(clippy::print_stdout, clippy::expect_used, reason = "an example prints, and may end with a panic")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use provost_store::{AccountId, Batch, BatchId, Flags, LocalConfig, LocalStore, MailboxName, MessageStore, Op};
use uuid::Uuid;

const ACCOUNTS: u64 = 3_000;
const BODY_OCTETS: usize = 10_240;
const RUN: Duration = Duration::from_secs(5);

/// Returns a typical message, with the fields that are kept beside it.
fn message(number: u64) -> Bytes {
    let mut message = format!(
        "Received: from client.example.edu by mx.example.edu with ESMTPS id {number}; Thu, 26 Nov 2026 10:00:00 +0100\r\n\
         From: Ana Tremblay <ana@example.edu>\r\nTo: Zoe <zoe@example.edu>, Bob <bob@example.edu>\r\n\
         Subject: Re: message number {number}\r\nDate: Thu, 26 Nov 2026 10:00:00 +0100\r\n\
         Message-ID: <{number}@example.edu>\r\nIn-Reply-To: <1@example.edu>\r\nReferences: <1@example.edu>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    );
    while message.len() < BODY_OCTETS {
        message.push_str("a line of the text of this message, as people write them\r\n");
    }
    message.into()
}

fn delivery(number: u64) -> Batch {
    // Each message has its own buffer, as deliveries do.
    let body = message(number);
    let mailbox = MailboxName::inbox();
    let append =
        Op::Append { mailbox, create: false, body, flags: Flags::none(), internal_date: Timestamp::constant(0, 0) };
    let account = AccountId::new(Uuid::from_u128(u128::from(number % ACCOUNTS) << 64));
    let id = Some(BatchId::new(Uuid::new_v4()));
    Batch { id, account, now: Timestamp::constant(1_000_000, 0), require: Vec::new(), ops: vec![append] }
}

async fn run(store: &Arc<LocalStore>, callers: usize, next: &Arc<AtomicU64>) -> (f64, Duration) {
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let (store, next) = (Arc::clone(store), Arc::clone(next));
        tasks.spawn(async move {
            let (mut done, mut slowest) = (0_u64, Duration::ZERO);
            while start.elapsed() < RUN {
                let called_at = Instant::now();
                store.apply(delivery(next.fetch_add(7, Ordering::Relaxed))).await.expect("an append");
                slowest = slowest.max(called_at.elapsed());
                done += 1;
            }
            (done, slowest)
        });
    }
    let results = tasks.join_all().await;
    let done: u64 = results.iter().map(|(done, _)| done).sum();
    let slowest = results.iter().map(|(_, slowest)| *slowest).max().unwrap_or_default();
    (done as f64 / start.elapsed().as_secs_f64(), slowest)
}

#[tokio::main]
async fn main() {
    let folder = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("append-store"), PathBuf::from);
    let store = Arc::new(LocalStore::open(&LocalConfig::new(&folder)).expect("a store"));
    let next = Arc::new(AtomicU64::new(0));
    let chosen: Vec<usize> = std::env::args().skip(2).filter_map(|callers| callers.parse().ok()).collect();
    let table = if chosen.is_empty() { vec![1, 4, 16, 64] } else { chosen };
    for callers in table {
        let (rate, slowest) = run(&store, callers, &next).await;
        println!("{callers:>3} callers: {rate:>8.0} appends/s, slowest {:.1} ms", slowest.as_secs_f64() * 1000.0);
    }
    drop(store);
    if let Ok(account) = std::fs::read_to_string("/proc/self/status") {
        account.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
    }
}
