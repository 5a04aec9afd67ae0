//! The doctor's findings on a running node, and that its connections count as no failure of a client.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by a panic.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use provost_tests::ldap::{Ldap, SUFFIX};
use provost_tests::{Node, Options, Port, Ran, binary, http, run};

fn doctor(node: &Node) -> Ran {
    run(Command::new(binary()).arg("--config").arg(node.config()).arg("doctor")).unwrap()
}

/// All metric series with their values.
fn scrape(node: &Node) -> BTreeMap<String, f64> {
    let text = http::get(node.address(Port::Health), "/metrics").unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// Prefixes of the series that may change during a visit of the doctor: connections, requests and accepted binds, and
/// three gauges that change by themselves.
const MAY_CHANGE: &[&str] = &[
    "provost_net_accepted_total",
    "provost_net_connections",
    "provost_web_requests_total",
    "provost_api_request",
    "provost_ldap_binds_total{outcome=\"accepted\"}",
    "provost_data_free_bytes",
    "provost_view_last_contact_timestamp_seconds",
    "provost_directory_server_last_contact_timestamp_seconds",
];

#[test]
fn the_doctor_visits_every_listener_and_raises_no_failure() {
    let node = Node::start_with(Options { people: Some(1), ..Options::default() }).unwrap();
    let before = scrape(&node);
    let log = node.log();
    let found = doctor(&node);
    assert_eq!(found.code, Some(0), "{found:?}");
    for name in ["http", "mx", "submission", "submissions", "lmtp", "imap", "imaps", "pop3", "pop3s", "health", "ldap"]
    {
        assert!(found.out.contains(&format!("good listener {name} 127.0.0.1:")), "{name}: {}", found.out);
    }
    assert!(found.out.contains("good certificate and key, until 20"), "{}", found.out);
    assert!(found.out.contains("certificate is for mail.example.edu"), "{}", found.out);
    let after = scrape(&node);
    for (series, value) in &after {
        let may_change = MAY_CHANGE.iter().any(|prefix| series.starts_with(prefix));
        let was = before.get(series).copied().unwrap_or_default();
        assert!(may_change || *value == was, "{series}: {was} became {value}");
    }
    for listener in ["mx", "submissions", "imaps", "pop3s", "lmtp"] {
        let series = format!("provost_net_accepted_total{{listener=\"{listener}\"}}");
        assert_eq!(after[&series] - before[&series], 1.0, "{listener}");
    }
    assert_eq!(node.log(), log, "the doctor's visits must not be logged");
}

/// The certificate file has been replaced, and the node has not read it again.
#[test]
fn the_doctor_finds_listeners_with_another_certificate_than_the_files() {
    let node = Node::start_with(Options { people: Some(1), ..Options::default() }).unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["mail.elsewhere.org".to_owned()]).unwrap();
    let (chain, key) = (node.folder().join("new.pem"), node.folder().join("new.key"));
    fs::write(&chain, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let old = node.data().join("tls");
    node.configure(|text| {
        text.replace(&old.join("cert.pem").display().to_string(), &chain.display().to_string())
            .replace(&old.join("key.pem").display().to_string(), &key.display().to_string())
    })
    .unwrap();
    let found = doctor(&node);
    assert_eq!(found.code, Some(1), "{found:?}");
    for name in ["mx", "submission", "submissions", "lmtp", "imap", "imaps", "pop3", "pop3s", "ldap"] {
        let line = format!("BAD  listener {name} 127.0.0.1:");
        let line = found.out.lines().find(|found| found.starts_with(&line)).unwrap_or_default();
        assert!(line.contains("presents a certificate that differs from the file: SHA-256 "), "{name}: {}", found.out);
    }
    let names = "certificate is for mail.elsewhere.org, not for node.hostname mail.example.edu";
    assert!(found.out.contains(names), "{}", found.out);
    node.signal("HUP").unwrap();
    let is_mended = || Ok((doctor(&node).code == Some(0)).then_some(()));
    provost_tests::deadline::until(std::time::Duration::from_secs(30), is_mended).unwrap();
}

#[test]
fn the_doctor_visits_a_web_listener_with_tls() {
    let mut node = Node::start_with(Options { people: Some(1), ..Options::default() }).unwrap();
    node.stop().unwrap();
    let address = node.address(Port::Http);
    node.configure(|text| {
        let line = text.lines().find(|line| line.starts_with("http")).unwrap().to_owned();
        text.replace(&line, &format!("http = {{ address = \"{address}\", tls = true }}"))
    })
    .unwrap();
    node.serve_again(&[Port::Http]).unwrap();
    let found = doctor(&node);
    assert!(found.out.contains("good listener http"), "{found:?}");
    let after = scrape(&node);
    let mut failed = after.iter().filter(|(series, _)| series.starts_with("provost_net_tls_failures_total"));
    // The port check of serve_again may count as one failed handshake.
    assert!(failed.all(|(series, value)| *value == 0.0 || series.contains("\"http\"") && *value <= 1.0), "{after:?}");
    let ends = "provost_certificate_not_after_timestamp_seconds{listener=\"http\"}";
    assert!(after.contains_key(ends), "{after:?}");
}

/// A client in a balancer's network must send a PROXY header; the doctor and the commands that ask the node, on this
/// machine, do.
#[test]
fn the_doctor_and_commands_reach_listeners_that_require_a_proxy_header() {
    let mut node = Node::start_with(Options { people: Some(1), ..Options::default() }).unwrap();
    node.stop().unwrap();
    for (name, address) in [("imaps", node.address(Port::Imaps)), ("http", node.address(Port::Http))] {
        let table = format!("{name} = {{ address = \"{address}\", proxy_networks = [\"127.0.0.0/8\"] }}");
        node.configure(|text| {
            let line = text.lines().find(|line| line.starts_with(&format!("{name} ="))).unwrap().to_owned();
            text.replace(&line, &table)
        })
        .unwrap();
    }
    node.serve_again(&[Port::Health]).unwrap();
    let found = doctor(&node);
    let listed = run(Command::new(binary()).arg("--config").arg(node.config()).args(["queue", "list"])).unwrap();
    assert_eq!(listed.code, Some(0), "{listed:?}");
    for name in ["imaps", "http"] {
        assert!(found.out.contains(&format!("good listener {name}")), "{found:?}");
        let refused = format!("provost_net_proxy_refused_total{{listener=\"{name}\"}}");
        assert_eq!(scrape(&node)[&refused], 0.0, "{name}");
    }
}

/// Each served domain needs a postmaster (RFC 5321 §4.5.1), and so does one that was added to the directory.
#[test]
fn the_doctor_looks_for_the_postmaster_of_each_domain() {
    let node = Node::start_with(Options { people: Some(1), ..Options::default() }).unwrap();
    let domain = "arts.example.edu";
    let entry = format!(
        "dn: provostDomain={domain},ou=domains,{SUFFIX}\nobjectClass: provostDomainEntry\nprovostDomain: {domain}\n"
    );
    Ldap::of(&node).feed("ldapadd", &entry).unwrap().good().unwrap();
    let found = doctor(&node);
    assert_eq!(found.code, Some(1), "{found:?}");
    assert!(found.out.contains("good postmaster@example.edu"), "{found:?}");
    assert!(found.out.contains("BAD  postmaster@arts.example.edu: no person has it"), "{found:?}");

    // While the addresses are lost, the doctor does not advise to make them anew.
    Ldap::of(&node).run("ldapdelete", &["-r", &format!("ou=addresses,{SUFFIX}")]).unwrap().good().unwrap();
    let found = doctor(&node);
    assert!(found.out.contains("node follows") && found.out.contains("parked"), "{found:?}");
    assert!(!found.out.contains("postmaster"), "{found:?}");
}
