//! Data folders of earlier versions: each opens with its content unchanged, and its queue continues.

use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use provost_tests::node::checkout;
use provost_tests::{MailSink, Node, Port, deadline};

/// One folder for each format that the branch main has had, written by `tests/fixtures/make`.
const FIXTURES: [&str; 4] = ["v1", "v2", "v3", "v4"];
/// Limit for the queued message to arrive: its next attempt was at most one minute away when the folder was made.
const QUEUE_LIMIT: Duration = Duration::from_secs(90);

#[test]
fn every_earlier_data_folder_opens_with_all_that_was_in_it() {
    for fixture in FIXTURES {
        let sink = MailSink::start().unwrap();
        let mut node = Node::from_fixture(fixture, &sink.relay()).unwrap();
        compare(&node, fixture).unwrap();
        deadline::until(QUEUE_LIMIT, || Ok((!sink.accepted().is_empty()).then_some(()))).unwrap();
        node.stop().unwrap();
        // A second start finds the new format, and sends no message twice.
        node.serve_again(&[Port::Imap, Port::Mx]).unwrap();
        compare(&node, fixture).unwrap();
        node.stop().unwrap();
        let accepted = sink.accepted();
        assert_eq!(accepted.len(), 1, "{fixture}: {accepted:?}");
        assert_eq!(accepted[0].recipients, ["friend@elsewhere.example"], "{fixture}");
    }
}

fn compare(node: &Node, fixture: &str) -> anyhow::Result<()> {
    // The first port of a node is that of LDAP.
    let port_base = node.port(Port::Ldap).to_string();
    let script = checkout().join("tests/fixtures/make");
    let ran = Command::new("python3").arg(script).args(["--compare", fixture, &port_base]).output()?;
    let output = [ran.stdout, ran.stderr].concat();
    ensure!(ran.status.success(), "{fixture}: {}", String::from_utf8_lossy(&output));
    Ok(())
}
