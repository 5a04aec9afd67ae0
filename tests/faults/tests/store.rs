//! The store and its queue after power cuts and on failing disks.
//!
//! `PROVOST_FAULT_HISTORIES` sets the number of crash states checked per test, `PROVOST_FAULT_SEED` the first seed: see
//! `scripts/faults`. `shim.c` explains the syntax of the fault plans.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by a panic.

use std::path::Path;

use provost_faults::run::{RecordedRun, RunSubject};
use provost_faults::store::StoreJudge;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Approximate number of crash states checked per run.
const STATES_OF_A_RUN: usize = 40;

/// The number in an environment variable, or the default.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Records runs until `states` crash states have been checked.
fn check_crash_states(states: u64, plans: impl Fn(&mut StdRng) -> Vec<String>) {
    let (states, first) = (number("PROVOST_FAULT_HISTORIES", states) as usize, number("PROVOST_FAULT_SEED", 1));
    let (mut checked, mut seed) = (0, first);
    while checked < states {
        let plans = plans(&mut StdRng::seed_from_u64(seed));
        let history = Path::new(env!("CARGO_BIN_EXE_history"));
        let run = RecordedRun::record(history, RunSubject::Store, seed, &plans)
            .unwrap_or_else(|error| panic!("seed {seed} {plans:?}: {error:#}"));
        let mut judge = StoreJudge::new(seed);
        checked += run
            .crash_states(STATES_OF_A_RUN, seed, |root, marks| judge.judge(root, marks))
            .unwrap_or_else(|error| panic!("seed {seed} {plans:?}: {error:#}"));
        seed += 1;
    }
    println!("{checked} crash states of {} runs", seed - first);
}

#[test]
fn a_power_cut_at_any_call() {
    check_crash_states(120, |_| vec![String::new()]);
}

/// The first process dies before a sync, or at any call. The second process reads the files from the kernel's cache,
/// although a part of them is not on disk. Then the power is cut.
#[test]
fn a_power_cut_after_a_kill() {
    check_crash_states(120, |rng| {
        // Right before a sync, when the kernel's cache has the commit and the disk does not; or at any call.
        let (kind, at) =
            if rng.random_bool(0.7) { ("s", rng.random_range(15..90)) } else { ("a", rng.random_range(20..300)) };
        vec![format!("{kind}:{at}:1:die"), String::new()]
    });
}

#[test]
fn a_sync_that_fails() {
    check_crash_states(120, |rng| {
        // On a thinly provisioned volume a sync may fail with ENOSPC.
        let action = if rng.random_bool(0.5) { "eio" } else { "enospc" };
        vec![format!("s:{}:{}:{action}", rng.random_range(5..60), rng.random_range(1..4)), String::new()]
    });
}

#[test]
fn writes_while_the_disk_is_full() {
    check_crash_states(80, |rng| {
        vec![format!("w:{}:{}:enospc", rng.random_range(20..200), rng.random_range(1..20)), String::new()]
    });
}

#[test]
fn writes_that_fail_and_writes_that_are_short() {
    check_crash_states(80, |rng| {
        let (short, failed) = (rng.random_range(20..200), rng.random_range(20..200));
        vec![format!("w:{short}:3:short;w:{failed}:2:eio"), String::new()]
    });
}

#[test]
fn changes_of_names_that_fail() {
    check_crash_states(60, |rng| vec![format!("m:{}:2:enospc", rng.random_range(8..40)), String::new()]);
}
