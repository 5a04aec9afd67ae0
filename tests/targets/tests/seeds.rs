//! Runs every target over its seeds, and over the seeds with random changes: the same changes in every run.
//!
//! A single test runs the inputs in sequence, because allocations are counted for the whole process.

#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by a panic.

use std::alloc::System;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cap::Cap;
use provost_targets::{FuzzTarget, TARGETS};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, OCTETS_MAX);

/// More than any target needs at one time; beyond it an allocation fails, which ends the test.
const OCTETS_MAX: usize = 512 * 1024 * 1024;
/// Octets that a run may allocate for each octet of the input: in a session one octet may be half a command.
const ALLOCATED_PER_OCTET: usize = 16 * 1024;
/// Changed inputs for each target.
const CHANGED: usize = 300;
/// Octets with a meaning in one of the formats.
const SPECIAL: &[u8] = b"\r\n\0 \"\\(){}[]<>:;=,.@*%+-/09\xff\x80\xc3";
/// Longest run of one input, in a debug build on a busy machine.
const RUN_MAX: Duration = Duration::from_secs(10);

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus")
}

/// Names and octets of the seeds, sorted by name.
fn seeds(target: &FuzzTarget) -> Vec<(String, Vec<u8>)> {
    let folder = corpus().join(target.name);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut seeds: Vec<_> = files
        .map(|file| file.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap()))
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
    seeds
}

/// Runs an input, and checks the bounds of memory and time.
fn run_within_bounds(target: &FuzzTarget, seed: &str, octets: &[u8]) {
    let (before, begun) = (ALLOCATOR.total_allocated(), Instant::now());
    provost_targets::run(target.name, octets);
    let (allocated, took) = (ALLOCATOR.total_allocated() - before, begun.elapsed());
    let limit = target.allocated_max + ALLOCATED_PER_OCTET * octets.len();
    assert!(allocated <= limit, "{} {seed}: {allocated} octets allocated for {}", target.name, octets.len());
    assert!(took <= RUN_MAX, "{} {seed}: {took:?} for {} octets", target.name, octets.len());
}

/// A random generator (xorshift) that gives the same numbers in every run.
struct Chance(u64);

impl Chance {
    fn number_below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

/// A copy of `seed` with one to four changes: octets are inserted, removed, repeated, flipped, or replaced by octets of
/// `other`.
fn changed(chance: &mut Chance, seed: &[u8], other: &[u8]) -> Vec<u8> {
    let mut octets = seed.to_vec();
    for _ in 0..1 + chance.number_below(4) {
        let at = chance.number_below(octets.len() + 1);
        let length = 1 + chance.number_below(8).min(octets.len().saturating_sub(at));
        let end = (at + length).min(octets.len());
        match chance.number_below(6) {
            0 => octets.insert(at, chance.number_below(256) as u8),
            1 => octets.insert(at, SPECIAL[chance.number_below(SPECIAL.len())]),
            2 => drop(octets.drain(at..end)),
            3 => {
                let copy = octets[at..end].repeat(1 + chance.number_below(20));
                octets.splice(at..at, copy);
            }
            4 => {
                let from = chance.number_below(other.len() + 1);
                octets.splice(at..end, other[from..].iter().copied().take(64));
            }
            _ => octets[at..end].iter_mut().for_each(|octet| *octet ^= 1 << chance.number_below(8)),
        }
    }
    octets
}

#[test]
fn every_target_holds_over_its_seeds() {
    let default = std::panic::take_hook();
    // A panic ends the test also in a thread that is never joined.
    std::panic::set_hook(Box::new(move |panic| {
        default(panic);
        std::process::abort();
    }));
    let slowest = TARGETS.iter().map(|target| (run_all(target), target.name)).collect::<Vec<_>>();
    slowest.iter().for_each(|(took, name)| println!("{name}: {took:.1?}"));
}

/// Runs a target over its seeds and their changed copies; returns the time that this took.
fn run_all(target: &FuzzTarget) -> Duration {
    let begun = Instant::now();
    let seeds = seeds(target);
    for (name, octets) in &seeds {
        println!("{} {name}", target.name);
        run_within_bounds(target, name, octets);
    }
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    for n in 0..CHANGED {
        let (name, seed) = &seeds[chance.number_below(seeds.len())];
        let (_, other) = &seeds[chance.number_below(seeds.len())];
        let octets = changed(&mut chance, seed, other);
        let octets = octets.get(..target.octets_max).unwrap_or(&octets);
        println!("{} {name}, change {n}: {}", target.name, octets.escape_ascii());
        run_within_bounds(target, name, octets);
    }
    begun.elapsed()
}

/// `scripts/fuzz` runs the targets in the manifest of `tests/fuzz`.
#[test]
fn every_target_is_fuzzed() {
    let manifest = fs::read_to_string(corpus().join("../Cargo.toml")).unwrap();
    for FuzzTarget { name, .. } in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is no [[bin]]");
        let main = fs::read_to_string(corpus().join(format!("../fuzz_targets/{name}.rs"))).unwrap();
        assert!(main.contains(&format!("run(\"{name}\"")), "{name}.rs runs another target");
    }
}

#[test]
fn every_seed_has_a_target() {
    for folder in fs::read_dir(corpus()).unwrap() {
        let name = folder.unwrap().file_name().to_string_lossy().into_owned();
        assert!(TARGETS.iter().any(|target| target.name == name), "{name} is no target");
    }
}
