//! Exit codes of commands whose standard output or standard error cannot be written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by a panic.

use std::fs::OpenOptions;
use std::process::{Command, Output, Stdio};

use provost_tests::{Node, Options, binary, command};

fn roles_show_into(out: impl Into<Stdio>) -> Output {
    let mut command = Command::new(binary());
    command.args(["roles", "show"]).stdout(out).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap()
}

/// The reader of `provost roles show | head` closes early: the command still succeeds.
#[test]
fn a_closed_standard_output_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = roles_show_into(writer);
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), b"".as_slice()));
}

#[test]
fn output_to_a_full_disk_is_a_failure() {
    let ended = roles_show_into(OpenOptions::new().write(true).open("/dev/full").unwrap());
    assert_eq!(ended.status.code(), Some(1));
    let text = String::from_utf8(ended.stderr).unwrap();
    assert!(text.starts_with("provost: standard output: "), "{text}");
}

/// The reader of `provost import FILE 2>&1 | head -1` closes early: the import goes on to its end.
#[test]
fn a_closed_standard_error_does_not_end_an_import() {
    let node = Node::start_with(Options { people: Some(1), ..Options::default() }).unwrap();
    let file = node.folder().join("more.csv");
    let mut text = "person_id,given_name,family_name,affiliation\n".to_owned();
    (0..20).for_each(|n| text.push_str(&format!("M{n},More{n},People,student\n")));
    text.push_str("wrong,,,\n");
    std::fs::write(&file, text).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut import = Command::new(binary());
    import.arg("--config").arg(node.config()).arg("import").arg(&file).stdout(Stdio::null()).stderr(writer);
    assert_eq!(import.status().unwrap().code(), Some(4), "exit code 4 reports the wrong row");
    let found = command::provost(&node, &["person", "search", "more", "--limit", "50"]).unwrap().good().unwrap();
    assert!(found.contains("\n20 people found"), "{found}");

    // A refusal that cannot be printed keeps its exit code.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut unknown = Command::new(binary());
    unknown.arg("--config").arg(node.config()).args(["person", "show", "nobody-at-all"]).stderr(writer);
    assert_eq!(unknown.status().unwrap().code(), Some(1));
}
