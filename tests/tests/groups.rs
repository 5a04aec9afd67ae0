//! Groups and mailing lists on the embedded directory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by a panic.

use provost_tests::command::provost;
use provost_tests::ldap::Ldap;
use provost_tests::lists::ListSite;
use provost_tests::{MailSink, Node, Options};

#[test]
fn lists_work_and_changes_show_within_a_second() {
    let sink = MailSink::start().unwrap();
    let options = Options { people: Some(3), relay: Some(sink.relay()), ..Options::default() };
    let node = Node::start_with(options).unwrap();
    let ldap = Ldap::of(&node);
    let site = ListSite {
        address: &|port| node.address(port),
        provost: &|arguments| provost(&node, arguments),
        ldap: &ldap,
        sink: &sink,
        folder: node.folder(),
    };
    site.lists_work().unwrap_or_else(|error| panic!("{error:#}\n{}", node.log()));
}
