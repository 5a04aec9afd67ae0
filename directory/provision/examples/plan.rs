//! Measures planning a file against a running directory, one step after the other: seconds of wall clock and of
//! processor, and resident memory after each step. Writes nothing. `provost import` takes the first three steps at once.
//!
//! `cargo run --release -p provost-provision --example plan FILE URL SUFFIX BIND_DN PASSWORD_FILE`

#![allow(clippy::expect_used, clippy::panic, reason = "an example may end with a panic")]

use std::time::{Duration, Instant};

use provost_client::{Directory, DirectoryConfig, ServerAddress, ServerRole};
use provost_entry::Dn;
use provost_provision::{CsvOptions, DirectoryContent, Policies, plan, read_source, wanted};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, url, suffix, bind_dn, password_file] = arguments.as_slice() else {
        panic!("FILE URL SUFFIX BIND_DN PASSWORD_FILE");
    };
    let password = std::fs::read_to_string(password_file).expect("the password file");
    let directory = Directory::new(DirectoryConfig {
        servers: vec![ServerAddress { url: url.clone(), role: ServerRole::Provider, start_tls: false }],
        bind_dn: bind_dn.clone(),
        bind_password: password.trim().to_owned(),
        suffix: Dn::parse(suffix).expect("a DN"),
        ca_file: None,
        connect_timeout: Duration::from_secs(5),
        operation_timeout: Duration::from_secs(30),
    });
    let mut steps = Steps { since: Instant::now(), cpu: cpu_seconds() };
    steps.end("start");
    let octets = std::fs::read(file).expect("the file");
    steps.end("read the file");
    let sources = vec![read_source("registrar", &octets, &CsvOptions::default()).expect("a good file")];
    drop(octets);
    steps.end("make records");
    let actual = DirectoryContent::read(&directory).await.expect("the directory");
    steps.end("read the directory");
    let policies = Policies::built_in("example.edu");
    let state = wanted(&sources, &policies, jiff::Timestamp::now());
    steps.end("check the records");
    let plan = plan(&state, &actual).expect("a plan");
    steps.end("plan");
    println!("{:?}", plan.summary());
    println!("plan {}", plan.hash());
    drop(actual);
    steps.end("drop the directory");
}

/// Prints what each step took.
struct Steps {
    since: Instant,
    cpu: f64,
}

impl Steps {
    fn end(&mut self, name: &str) {
        let (now, cpu) = (Instant::now(), cpu_seconds());
        let (wall, cpu_used) = (now.duration_since(self.since).as_secs_f64(), cpu - self.cpu);
        let (resident, peak) = (status_mib("VmRSS:"), status_mib("VmHWM:"));
        println!("{name:22} {wall:6.2} s wall {cpu_used:6.2} s CPU  resident {resident:5.0} MiB, peak {peak:5.0} MiB");
        *self = Self { since: now, cpu };
    }
}

/// Processor time of this process, user and system, in seconds; a clock tick is 10 ms (proc(5)).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// A line of /proc/self/status in MiB.
fn status_mib(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib: f64 = line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or_default();
    kib / 1024.0
}
