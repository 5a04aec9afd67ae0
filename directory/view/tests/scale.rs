//! The View during a bulk import, and loaded from its file afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helper functions of tests are test code")]

#[path = "../../client/tests/slapd/mod.rs"]
mod slapd;

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use provost_view::{Fallback, PasswordSource, View, ViewConfig};
use slapd::{Slapd, address, eventually, person};

/// People in the test: enough to notice quadratic work, few enough for a debug build.
const PEOPLE: u32 = 4000;

/// Returns the resident memory of this process, octets.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Returns the CPU time of this process, clock ticks of 10 ms.
fn ticks() -> u64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = text.rsplit(')').next().unwrap().split(' ').collect();
    fields[12].parse::<u64>().unwrap() + fields[13].parse::<u64>().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bulk_import_is_followed_while_it_runs_and_loaded_again() {
    let folder = tempfile::tempdir().unwrap();
    let slapd = Slapd::start();
    let config = ViewConfig {
        file: folder.path().join("view"),
        passwords: PasswordSource::View,
        credential_ttl: Duration::from_secs(600),
        fallback: Fallback::default(),
    };
    // The client that adds the entries and the View run in this one process, so the CPU time below counts both.
    let view = View::start(config.clone(), slapd.directory());
    eventually(Duration::from_secs(10), "current", || view.status().current).await;
    let directory = slapd.directory();
    let (memory, before) = (resident(), ticks());
    let adds = futures_util::stream::iter(1..=PEOPLE).map(|n| {
        let directory = directory.clone();
        async move {
            directory.add(person(n)).await.unwrap();
            directory.add(address(&format!("p{n}"), "primary", n)).await.unwrap();
        }
    });
    adds.buffer_unordered(64).for_each(|()| async {}).await;
    let lag = eventually(Duration::from_secs(5), "all people", || view.status().people == PEOPLE as usize).await;
    assert!(lag < Duration::from_secs(1), "{lag:?} behind");
    println!(
        "{PEOPLE} people and as many addresses: {lag:?} behind, {} ms CPU with the client, {} octets a person resident",
        (ticks() - before) * 10,
        resident().saturating_sub(memory) / PEOPLE as usize
    );
    view.save().await.unwrap();
    drop(view);
    println!("file: {} octets a person", std::fs::metadata(&config.file).unwrap().len() / u64::from(PEOPLE));

    let start = Instant::now();
    let view = View::start(config, slapd.directory());
    println!("loaded in {:?}", start.elapsed());
    assert_eq!(view.status().people, PEOPLE as usize);
    eventually(Duration::from_secs(10), "current", || view.status().current).await;
    println!("current after {:?}", start.elapsed());
}
