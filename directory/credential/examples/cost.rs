//! Measures what storing one password costs one core, by scheme and by cost of the SCRAM verifier:
//! `cargo run --release -p provost-credential --example cost`.

use std::time::Instant;

use provost_credential::{PasswordPolicy, Scheme, Secret};

/// Passwords that each measurement stores.
const COUNT: u32 = 20;

fn main() {
    let password = Secret::new("correct horse battery");
    for scheme in [Scheme::Argon2, Scheme::Pbkdf2Sha256, Scheme::Ssha] {
        for scram_iterations in [None, Some(4096), Some(10_000), Some(50_000)] {
            let policy = PasswordPolicy { scheme, scram_iterations, ..PasswordPolicy::default() };
            let started = Instant::now();
            for _ in 0..COUNT {
                std::hint::black_box(policy.hash(&password));
            }
            let milliseconds = started.elapsed().as_secs_f64() * 1000.0 / f64::from(COUNT);
            println!("{scheme:?}, SCRAM {scram_iterations:?}: {milliseconds:.2} ms");
        }
    }
}
