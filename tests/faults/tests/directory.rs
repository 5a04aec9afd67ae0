//! The embedded directory and the View's file after power cuts and on failing disks.
//!
//! `store.rs` describes the environment variables. The plans of faults are those of `shim.c`.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by a panic.

use std::path::Path;

use provost_faults::directory::DirectoryJudge;
use provost_faults::run::{RecordedRun, RunSubject};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Approximate number of crash states checked per run.
const STATES_OF_A_RUN: usize = 30;

/// The number in an environment variable, or the default.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Records runs until `states` crash states have been checked; `PROVOST_FAULT_HISTORIES` sets another number.
fn check_crash_states(states: u64, plans: impl Fn(&mut StdRng) -> Vec<String>) {
    let (states, first) = (number("PROVOST_FAULT_HISTORIES", states) as usize, number("PROVOST_FAULT_SEED", 1));
    let (mut checked, mut seed) = (0, first);
    while checked < states {
        let plans = plans(&mut StdRng::seed_from_u64(seed));
        let history = Path::new(env!("CARGO_BIN_EXE_history"));
        let run = RecordedRun::record(history, RunSubject::Directory, seed, &plans)
            .unwrap_or_else(|error| panic!("seed {seed} {plans:?}: {error:#}"));
        let judge = DirectoryJudge::new(seed);
        checked += run
            .crash_states(STATES_OF_A_RUN, seed, |root, marks| judge.judge(root, marks))
            .unwrap_or_else(|error| panic!("seed {seed} {plans:?}: {error:#}"));
        seed += 1;
    }
    println!("{checked} crash states of {} runs", seed - first);
}

#[test]
fn a_power_cut_at_any_call() {
    check_crash_states(90, |_| vec![String::new()]);
}

/// The second process must not send a consumer changes that the first one had not synced.
#[test]
fn a_power_cut_after_a_kill() {
    check_crash_states(60, |rng| vec![format!("s:{}:1:die", rng.random_range(8..30)), String::new()]);
}

#[test]
fn a_sync_that_fails() {
    check_crash_states(60, |rng| {
        vec![format!("s:{}:{}:eio", rng.random_range(3..30), rng.random_range(1..3)), String::new()]
    });
}

#[test]
fn writes_while_the_disk_is_full() {
    check_crash_states(60, |rng| {
        vec![format!("w:{}:{}:enospc", rng.random_range(20..120), rng.random_range(1..12)), String::new()]
    });
}
