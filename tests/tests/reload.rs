//! A node takes a changed certificate, key or configuration into use while it runs: it is not restarted, and no session
//! ends.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by a panic.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use provost_tests::{Node, Options, Port, TextClient, deadline, http};

/// Longest wait for a change to take effect, several times what a certificate needs: the node looks at its files every
/// two seconds, and reads a changed file once a second look finds no further change.
const CHANGE_LIMIT: Duration = Duration::from_secs(15);

/// A self-signed certificate with its key.
struct KeyPair {
    /// DER.
    certificate: Vec<u8>,
    /// The same certificate in PEM.
    chain: String,
    /// PEM.
    key: String,
}

fn key_pair() -> KeyPair {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    KeyPair { certificate: made.cert.der().to_vec(), chain: made.cert.pem(), key: made.signing_key.serialize_pem() }
}

/// A node that runs by `provost serve` with its configuration file, not by the quickstart.
fn node() -> Node {
    let mut node = Node::start_with(Options { people: Some(1), ..Options::default() }).unwrap();
    node.stop().unwrap();
    node.serve_again(&[Port::Imap, Port::Imaps]).unwrap();
    node
}

/// The files of certificate and key.
fn tls_files(node: &Node) -> (PathBuf, PathBuf) {
    (node.data().join("tls/cert.pem"), node.data().join("tls/key.pem"))
}

/// A new IMAP session in TLS, and the certificate that the node presented.
fn session(node: &Node) -> (TextClient, Vec<u8>) {
    let mut client = TextClient::open(node.address(Port::Imaps)).unwrap();
    client.start_tls().unwrap();
    client.until(&["* OK"]).unwrap();
    let certificate = client.certificate().unwrap().to_vec();
    (client, certificate)
}

fn wait_for_certificate(node: &Node, certificate: &[u8]) {
    deadline::until(CHANGE_LIMIT, || Ok((session(node).1 == certificate).then_some(()))).unwrap();
}

fn wait_for_log(node: &Node, text: &str, times: usize) {
    deadline::until(CHANGE_LIMIT, || Ok((node.log().matches(text).count() >= times).then_some(()))).unwrap();
}

const RELOADED: &str = "certificate and key reloaded";
const KEPT: &str = "the old one stays in force";

#[test]
fn changed_tls_files_come_into_force_without_a_signal() {
    let node = node();
    let (chain, key) = tls_files(&node);
    let (mut open, first) = session(&node);
    let second = key_pair();
    fs::write(&chain, &second.chain).unwrap();
    fs::write(&key, &second.key).unwrap();
    wait_for_certificate(&node, &second.certificate);
    open.ask("a NOOP", &["a OK"]).unwrap();

    // Half a file is reported, and the previous pair stays in force.
    fs::write(&chain, &second.chain[..second.chain.len() / 2]).unwrap();
    wait_for_log(&node, KEPT, 1);
    assert_eq!(session(&node).1, second.certificate);
    assert_ne!(first, second.certificate);

    // A file moved into place, as ACME clients do; STARTTLS uses the new pair as well.
    let third = key_pair();
    for (file, text) in [(&key, &third.key), (&chain, &third.chain)] {
        let beside = file.with_extension("new");
        fs::write(&beside, text).unwrap();
        fs::rename(&beside, file).unwrap();
    }
    wait_for_certificate(&node, &third.certificate);
    let mut client = TextClient::open(node.address(Port::Imap)).unwrap();
    client.until(&["* OK"]).unwrap();
    client.ask("a STARTTLS", &["a OK"]).unwrap();
    client.start_tls().unwrap();
    client.ask("b NOOP", &["b OK"]).unwrap();
    assert_eq!(client.certificate().unwrap().to_vec(), third.certificate);
    open.ask("b NOOP", &["b OK"]).unwrap();
}

#[test]
fn hup_reloads_the_tls_files_and_ends_no_session() {
    let node = node();
    let (chain, key) = tls_files(&node);
    let (mut open, _) = session(&node);
    node.signal("HUP").unwrap();
    wait_for_log(&node, RELOADED, 1);
    let foreign_key = key_pair().key;
    let own_key = fs::read_to_string(&key).unwrap();
    fs::write(&key, foreign_key).unwrap();
    node.signal("HUP").unwrap();
    wait_for_log(&node, KEPT, 1);
    fs::write(&key, own_key).unwrap();
    node.signal("HUP").unwrap();
    wait_for_log(&node, RELOADED, 2);
    let log = node.log();
    assert!(log.contains(&chain.display().to_string()), "{log}");
    open.ask("a NOOP", &["a OK"]).unwrap();
}

/// Without a terminal the quickstart runs like a service: SIGHUP does not end it.
#[test]
fn hup_reloads_in_the_quickstart_too() {
    let node = Node::start_with(Options { people: Some(1), ..Options::default() }).unwrap();
    let (chain, key) = tls_files(&node);
    let (mut open, _) = session(&node);
    let second = key_pair();
    fs::write(&chain, &second.chain).unwrap();
    fs::write(&key, &second.key).unwrap();
    node.signal("HUP").unwrap();
    wait_for_certificate(&node, &second.certificate);
    wait_for_log(&node, RELOADED, 1);
    open.ask("a NOOP", &["a OK"]).unwrap();
}

fn status_with_token(node: &Node) -> u16 {
    let bearer = format!("Authorization: Bearer {}", node.secret("api-token"));
    let request = http::HttpRequest { method: "GET", path: "/api/v1/status", headers: &[&bearer], body: "" };
    http::send(node.address(Port::Http), request).unwrap().status
}

/// Values that need a restart are named at each SIGHUP.
#[test]
fn hup_applies_what_can_change_and_names_what_needs_a_restart() {
    let node = node();
    let (mut open, first) = session(&node);
    assert_eq!(status_with_token(&node), 200);
    let second = key_pair();
    let (chain, key) = (node.folder().join("second.pem"), node.folder().join("second.key"));
    fs::write(&chain, &second.chain).unwrap();
    fs::write(&key, &second.key).unwrap();
    // A token that is removed from the file is revoked.
    let tokens = node.data().join("secrets/api-tokens");
    fs::write(&tokens, "").unwrap();
    let (old_chain, old_key) = tls_files(&node);
    let (port, moved) = (node.port(Port::Pop3), node.port(Port::Pop3) + 2);
    node.configure(|text| {
        let text = text.replace(&old_chain.display().to_string(), &chain.display().to_string());
        let text = text.replace(&old_key.display().to_string(), &key.display().to_string());
        text.replace(&format!("127.0.0.1:{port}\""), &format!("127.0.0.1:{moved}\""))
            .replace("[node]", "[node]\nlog = \"info\"")
    })
    .unwrap();
    node.signal("HUP").unwrap();
    wait_for_log(&node, "configuration read again", 1);
    let log = node.log();
    for line in [
        "in force: node.log",
        "in force: tls.certificate",
        "in force: tls.key",
        "needs a restart: listeners.pop3",
        "configuration read again changed=4",
    ] {
        assert!(log.contains(line), "no '{line}' in\n{log}");
    }
    assert_ne!(first, second.certificate);
    assert_eq!(session(&node).1, second.certificate);
    assert_eq!(status_with_token(&node), 401);
    open.ask("a NOOP", &["a OK"]).unwrap();

    // The node now watches the files that the new configuration names.
    let third = key_pair();
    fs::write(&chain, &third.chain).unwrap();
    fs::write(&key, &third.key).unwrap();
    wait_for_certificate(&node, &third.certificate);
    node.signal("HUP").unwrap();
    wait_for_log(&node, "configuration read again changed=1", 1);
    assert_eq!(node.log().matches("needs a restart: listeners.pop3").count(), 2);
    open.ask("b NOOP", &["b OK"]).unwrap();
}

#[test]
fn a_bad_configuration_changes_nothing_and_its_fault_is_named() {
    let node = node();
    let (_, first) = session(&node);
    let second = key_pair();
    let (chain, key) = tls_files(&node);
    let text = fs::read_to_string(node.config()).unwrap();
    let lines = text.lines().count();
    let missing = node.folder().join("missing.pem").display().to_string();
    for (times, (bad, expect)) in [
        (format!("{text}\n[store]\nshards = \"many\"\n"), format!("line {}, shards: invalid type", lines + 3)),
        (format!("{text}\n[colour]\n"), format!("line {}, [colour]: unknown field `colour`", lines + 2)),
        (text.replace("[node]", "[node]\nlog = \"provost=loud\""), "node.log: ".to_owned()),
        (text.replace(&chain.display().to_string(), &missing), missing.clone()),
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(node.config(), bad).unwrap();
        node.signal("HUP").unwrap();
        wait_for_log(&node, "the configuration cannot be used: nothing was changed", times + 1);
        let log = node.log();
        let line = log.lines().rfind(|line| line.contains("nothing was changed")).unwrap();
        assert!(line.contains(&expect), "no '{expect}' in {line}");
    }
    assert_eq!((session(&node).1, status_with_token(&node)), (first, 200));
    let metrics = http::get(node.address(Port::Health), "/metrics").unwrap();
    assert!(metrics.contains("provost_config_reloads_total{outcome=\"bad\"} 4"), "{metrics}");
    // The node still watches the old files.
    fs::write(&chain, &second.chain).unwrap();
    fs::write(&key, &second.key).unwrap();
    wait_for_certificate(&node, &second.certificate);
}
