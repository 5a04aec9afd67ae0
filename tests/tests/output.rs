//! Exit of a command whose standard output cannot be written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by a panic.

use std::fs::OpenOptions;
use std::process::{Command, Output, Stdio};

use provost_tests::binary;

fn roles_show_into(out: impl Into<Stdio>) -> Output {
    let mut command = Command::new(binary());
    command.args(["roles", "show"]).stdout(out).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap()
}

/// The reader of `provost roles show | head` closes early: the command still succeeds.
#[test]
fn a_reader_that_goes_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = roles_show_into(writer);
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), b"".as_slice()));
}

#[test]
fn a_full_disk_is_a_failure() {
    let ended = roles_show_into(OpenOptions::new().write(true).open("/dev/full").unwrap());
    assert_eq!(ended.status.code(), Some(1));
    let text = String::from_utf8(ended.stderr).unwrap();
    assert!(text.starts_with("provost: standard output: "), "{text}");
}
