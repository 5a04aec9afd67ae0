//! Many writers at once on the embedded directory: nothing is lost, and no address has two owners.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by a panic.

use provost_tests::command::provost;
use provost_tests::concurrent::ConcurrentSite;
use provost_tests::ldap::Ldap;
use provost_tests::{Node, Options};

fn with_site(check: impl Fn(&ConcurrentSite<'_>) -> anyhow::Result<()>) {
    let node = Node::start_with(Options { people: Some(1), ..Options::default() }).unwrap();
    let ldap = Ldap::of(&node);
    let run = |arguments: &[&str]| provost(&node, arguments);
    let site = ConcurrentSite { provost: &run, ldap: &ldap, folder: node.folder() };
    check(&site).unwrap_or_else(|error| panic!("{error:#}\n{}", node.log()));
}

#[test]
fn imports_changes_and_runs_at_once_lose_nothing() {
    with_site(|site| site.partial_files_of_two_sources());
}

#[test]
fn complete_files_classes_and_changes_at_once_lose_nothing() {
    with_site(|site| site.complete_files_and_classes());
}
