//! What a person may do, changed while sessions are logged in, on the embedded directory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by a panic.

use provost_tests::access::RestrictedPerson;
use provost_tests::command::provost;
use provost_tests::ldap::Ldap;
use provost_tests::mail::{logs_in_by_imap, rcpt_reply, send};
use provost_tests::{MailSink, Node, Options, Port, SamplePerson, deadline};

/// Longest wait for a change to show.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(30);

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
        make_token: &|| {
            let of =
                ["token", "create", "of-a-person", "--role", "admin", "--expires", "1d", "--person", &sample.uid()];
            Ok(provost(&node, &of)?.good()?.trim().to_owned())
        },
    };
    person.each_change_shows_in_time().unwrap();
}

fn ok(node: &Node, arguments: &[&str]) -> String {
    provost(node, arguments).unwrap().good().unwrap_or_else(|error| panic!("{arguments:?}: {error:#}"))
}

/// Waits until the mail core answers RCPT with `code`.
fn wait_rcpt(node: &Node, mail: &str, code: &str) {
    let answered = || Ok(rcpt_reply(node.address(Port::Mx), mail)?.starts_with(code).then_some(()));
    deadline::until(LIMIT, answered).unwrap();
}

fn wait_login(node: &Node, sample: &SamplePerson, may: bool) {
    let logs_in = || logs_in_by_imap(node.address(Port::Imap), &sample.uid(), &sample.password());
    deadline::until(LIMIT, || Ok((logs_in()? == may).then_some(()))).unwrap();
}

#[test]
fn an_operator_suspends_closes_and_restores_a_person() {
    let node = Node::start_with(Options { people: Some(2), ..Options::default() }).unwrap();
    let sample = SamplePerson::of(1);
    let (uid, mail) = (sample.uid(), sample.mail());
    ok(&node, &["person", "suspend", &uid, "--lock", "abuse", "--reason", "spam"]);
    ok(
        &node,
        &[
            "person",
            "suspend",
            &uid,
            "--lock",
            "fees",
            "--owner",
            "bursar",
            "--reason",
            "unpaid",
            "--until",
            "2100-01-31",
        ],
    );
    let twice = provost(&node, &["person", "suspend", &uid, "--lock", "fees", "--reason", "unpaid"]).unwrap();
    assert!(twice.good().unwrap_err().to_string().contains("has a lock 'fees' already"));
    wait_login(&node, &sample, false);
    wait_rcpt(&node, &mail, "250");
    let shown = ok(&node, &["person", "show", &uid]);
    assert!(shown.contains("lock       fees") && shown.contains("by bursar: unpaid"), "{shown}");
    ok(&node, &["person", "release", &uid, "--lock", "abuse"]);
    assert!(!ok(&node, &["person", "show", &uid]).contains("abuse"));
    wait_login(&node, &sample, false);
    ok(&node, &["person", "release", &uid, "--lock", "fees"]);
    wait_login(&node, &sample, true);
    let absent = provost(&node, &["person", "release", &uid, "--lock", "fees"]).unwrap();
    assert!(absent.good().unwrap_err().to_string().contains("no lock 'fees'"));
    ok(&node, &["person", "close", &uid, "--reason", "created by mistake"]);
    wait_rcpt(&node, &mail, "550");
    ok(&node, &["lifecycle", "run"]);
    assert!(ok(&node, &["person", "show", &uid]).contains("closed"), "a run of the lifecycle opens what a hand closed");
    assert!(ok(&node, &["person", "restore", &uid, "--reason", "no mistake"]).contains("restored: active"));
    wait_rcpt(&node, &mail, "250");
    wait_login(&node, &sample, true);
}

#[test]
fn an_operator_forwards_mail_and_gives_a_quota_until_a_day() {
    let sink = MailSink::start().unwrap();
    let options = Options { people: Some(2), relay: Some(sink.relay()), ..Options::default() };
    let node = Node::start_with(options).unwrap();
    let sample = SamplePerson::of(1);
    let (uid, mail) = (sample.uid(), sample.mail());
    ok(&node, &["person", "forward", &uid, "--to", "away@example.net", "--end", "2100-01-31", "--no-copy"]);
    let circle = provost(&node, &["person", "forward", &uid, "--to", &mail]).unwrap();
    assert!(circle.good().unwrap_err().to_string().contains("is an address of this person"));
    let forwarded = || {
        let text = "From: a@example.net\r\nSubject: on\r\n\r\nx\r\n";
        send(node.address(Port::Mx), None, "a@example.net", &[&mail], text)?;
        Ok(sink.wait_for("away@example.net", std::time::Duration::from_secs(2)).ok())
    };
    deadline::until(LIMIT, forwarded).unwrap();
    ok(&node, &["settings", "set", "quota-classes", "research 5000000"]);
    ok(&node, &["person", "quota", &uid, "--class", "research", "--until", "2100-01-31"]);
    let shown = ok(&node, &["person", "show", &uid]);
    for line in [
        "forward    away@example.net until 2100-01-31, without a copy",
        "quota      class research until 2100-01-31",
        "by hand    mailForwardingAddress",
        "by hand    provostQuotaClass",
    ] {
        assert!(shown.contains(line), "{line} is not in\n{shown}");
    }
    ok(&node, &["person", "follow", &uid, "forwarding"]);
    ok(&node, &["person", "quota", &uid, "--clear"]);
    ok(&node, &["person", "forward", &uid, "--clear"]);
    let shown = ok(&node, &["person", "show", &uid]);
    assert!(!shown.contains("away@example.net") && !shown.contains("provostQuotaClass"), "{shown}");
}
