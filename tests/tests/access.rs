//! What a person may do, changed while sessions are logged in, on the embedded directory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by a panic.

use provost_tests::access::RestrictedPerson;
use provost_tests::ldap::Ldap;
use provost_tests::{MailSink, Node, Options, SamplePerson};

#[test]
fn each_change_shows_within_a_second() {
    let sink = MailSink::start().unwrap();
    let options = Options { people: Some(2), relay: Some(sink.relay()), ..Options::default() };
    let node = Node::start_with(options).unwrap();
    let (sample, ldap) = (SamplePerson::of(1), Ldap::of(&node));
    let person = RestrictedPerson {
        address: &|port| node.address(port),
        ldap: &ldap,
        sink: &sink,
        login: &sample.uid(),
        password: &sample.password(),
        mail: &sample.mail(),
    };
    person.each_change_shows_in_time().unwrap();
}
