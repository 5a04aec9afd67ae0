//! Parses messages from files with this crate and with mail-parser, and reports where the results differ.
//!
//! `cargo run --release -p provost-message --example compare -- FILE-OR-FOLDER...`
//!
//! The corpora are too large to keep in the repository, or not freely licensed. `scripts/corpora` fetches one and runs
//! this example. A folder is read recursively. A file holds one message, with or without a leading mbox line.
#![allow(clippy::print_stdout, reason = "writing to standard output is the purpose of this example")]

#[path = "../tests/outline/mod.rs"]
mod outline;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use outline::{ours, theirs, with_crlf};

fn main() -> io::Result<()> {
    let mut files = Vec::new();
    for argument in std::env::args_os().skip(1) {
        collect(Path::new(&argument), &mut files)?;
    }
    files.sort();
    let mut differ: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut same, mut slowest) = (0_usize, Duration::ZERO);
    for file in &files {
        let message = with_crlf(without_mbox_line(&std::fs::read(file)?));
        let start = Instant::now();
        let read = ours(&message);
        slowest = slowest.max(start.elapsed());
        let differences = read.differences(&theirs(&message));
        same += usize::from(differences.is_empty());
        for (what, ours, theirs) in differences {
            *differ.entry(what).or_default() += 1;
            println!("{}: {what}\n  ours   {ours}\n  theirs {theirs}", file.display());
        }
    }
    println!("{} messages, {same} read alike; the slowest took {} ms", files.len(), slowest.as_millis());
    for (what, count) in differ {
        println!("{count} differ in {what}");
    }
    Ok(())
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        collect(&entry?.path(), files)?;
    }
    Ok(())
}

fn without_mbox_line(message: &[u8]) -> &[u8] {
    match message.strip_prefix(b"From ") {
        Some(rest) => rest.splitn(2, |octet| *octet == b'\n').nth(1).unwrap_or_default(),
        None => message,
    }
}
