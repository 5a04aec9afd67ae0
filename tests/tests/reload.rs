//! Certificate and key change while the node runs: no restart, and no session ends.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by a panic.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use provost_tests::{Line, Node, Options, Port, deadline};

/// The files are looked at every two seconds, and a change must be at rest for one look.
const CHANGE_LIMIT: Duration = Duration::from_secs(15);

struct Pair {
    certificate: Vec<u8>,
    chain: String,
    key: String,
}

fn pair() -> Pair {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    Pair { certificate: made.cert.der().to_vec(), chain: made.cert.pem(), key: made.signing_key.serialize_pem() }
}

fn node() -> Node {
    let mut node = Node::start_with(Options { people: Some(1), ..Options::default() }).unwrap();
    node.stop().unwrap();
    node.serve_again(&[Port::Imap, Port::Imaps]).unwrap();
    node
}

fn files(node: &Node) -> (PathBuf, PathBuf) {
    (node.data().join("tls/cert.pem"), node.data().join("tls/key.pem"))
}

/// A new session with the listener under TLS, and the certificate that it began with.
fn session(node: &Node) -> (Line, Vec<u8>) {
    let mut line = Line::open(node.address(Port::Imaps)).unwrap();
    line.start_tls().unwrap();
    line.until(&["* OK"]).unwrap();
    let certificate = line.certificate().unwrap().to_vec();
    (line, certificate)
}

fn wait_for(node: &Node, certificate: &[u8]) {
    deadline::until(CHANGE_LIMIT, || Ok((session(node).1 == certificate).then_some(()))).unwrap();
}

fn wait_for_log(node: &Node, words: &str, times: usize) {
    deadline::until(CHANGE_LIMIT, || Ok((node.log().matches(words).count() >= times).then_some(()))).unwrap();
}

const RELOADED: &str = "certificate and key reloaded";
const KEPT: &str = "the old one stays in force";

#[test]
fn changed_files_come_into_force_by_themselves() {
    let node = node();
    let (chain, key) = files(&node);
    let (mut open, first) = session(&node);
    let second = pair();
    fs::write(&chain, &second.chain).unwrap();
    fs::write(&key, &second.key).unwrap();
    wait_for(&node, &second.certificate);
    open.ask("a NOOP", &["a OK"]).unwrap();

    // Half a file is reported, and the pair before stays in force.
    fs::write(&chain, &second.chain[..second.chain.len() / 2]).unwrap();
    wait_for_log(&node, KEPT, 1);
    assert_eq!(session(&node).1, second.certificate);
    assert_ne!(first, second.certificate);

    // Moved into place, as ACME clients do; STARTTLS follows as well.
    let third = pair();
    for (file, text) in [(&key, &third.key), (&chain, &third.chain)] {
        let beside = file.with_extension("new");
        fs::write(&beside, text).unwrap();
        fs::rename(&beside, file).unwrap();
    }
    wait_for(&node, &third.certificate);
    let mut line = Line::open(node.address(Port::Imap)).unwrap();
    line.until(&["* OK"]).unwrap();
    line.ask("a STARTTLS", &["a OK"]).unwrap();
    line.start_tls().unwrap();
    line.ask("b NOOP", &["b OK"]).unwrap();
    assert_eq!(line.certificate().unwrap().to_vec(), third.certificate);
    open.ask("b NOOP", &["b OK"]).unwrap();
}

#[test]
fn hup_reloads_at_once_and_ends_nothing() {
    let node = node();
    let (chain, key) = files(&node);
    let (mut open, _) = session(&node);
    node.signal("HUP").unwrap();
    wait_for_log(&node, RELOADED, 1);
    let others_key = pair().key;
    let own_key = fs::read_to_string(&key).unwrap();
    fs::write(&key, others_key).unwrap();
    node.signal("HUP").unwrap();
    wait_for_log(&node, KEPT, 1);
    fs::write(&key, own_key).unwrap();
    node.signal("HUP").unwrap();
    wait_for_log(&node, RELOADED, 2);
    let log = node.log();
    assert!(log.contains(&chain.display().to_string()), "{log}");
    open.ask("a NOOP", &["a OK"]).unwrap();
}

// Without a terminal the quickstart is a service as any: HUP does not end it.
#[test]
fn hup_reloads_in_the_quickstart_too() {
    let node = Node::start_with(Options { people: Some(1), ..Options::default() }).unwrap();
    let (chain, key) = files(&node);
    let (mut open, _) = session(&node);
    let second = pair();
    fs::write(&chain, &second.chain).unwrap();
    fs::write(&key, &second.key).unwrap();
    node.signal("HUP").unwrap();
    wait_for(&node, &second.certificate);
    wait_for_log(&node, RELOADED, 1);
    open.ask("a NOOP", &["a OK"]).unwrap();
}
