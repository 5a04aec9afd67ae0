//! One command finds what became of a message, by recipient, sender or Message-ID. A person's history shows the import
//! that renamed them.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by a panic.

use std::time::Duration;

use provost_tests::command::provost;
use provost_tests::mail::{rcpt_reply, send};
use provost_tests::people::HEADER;
use provost_tests::{MailSink, Node, Options, Port, SamplePerson, deadline};
use serde_json::Value;

/// Longest time for each wait.
const LIMIT: Duration = Duration::from_secs(60);

/// The output of `provost --json trace`.
fn trace(node: &Node, arguments: &[&str]) -> anyhow::Result<Value> {
    let out = provost(node, &[&["--json", "trace"], arguments].concat())?.good()?;
    Ok(serde_json::from_str(&out)?)
}

/// The events of the newest message found, as `event to: text`. Waits until `event` is among them: events are written
/// some hundredths of a second late.
fn events(node: &Node, arguments: &[&str], event: &str) -> Vec<String> {
    let read = || {
        let found = trace(node, arguments)?;
        let Some(events) = found["messages"][0]["events"].as_array() else { return Ok(None) };
        let text = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let line = |one: &Value| format!("{} {}: {}", text(one, "event"), text(one, "to"), text(one, "text"));
        let lines: Vec<String> = events.iter().map(line).collect();
        Ok(lines.iter().any(|line| line.starts_with(event)).then_some(lines))
    };
    let found = deadline::until(LIMIT, read);
    found.unwrap_or_else(|error| panic!("{arguments:?}: {error}: {:?}", trace(node, arguments))).0
}

fn message(id: &str) -> String {
    format!("From: ann@example.org\r\nTo: x\r\nMessage-ID: <{id}>\r\nSubject: secret subject\r\n\r\nsecret text\r\n")
}

#[test]
fn a_message_is_found_whatever_became_of_it() {
    let sink = MailSink::start().unwrap();
    let node = Node::start_with(Options { people: Some(3), relay: Some(sink.relay()), ..Options::default() }).unwrap();
    let (zoe, ida) = (SamplePerson::of(1), SamplePerson::of(2));
    let (mx, lmtp) = (node.address(Port::Mx), node.address(Port::Lmtp));

    // Mail from outside, and through LMTP to two people.
    send(mx, None, "ann@example.org", &[&zoe.mail()], &message("one@example.org")).unwrap();
    let one = [format!("delivered {}: in INBOX", zoe.mail())];
    assert_eq!(events(&node, &["--recipient", &zoe.mail()], "delivered"), one);
    assert_eq!(events(&node, &["--message-id", "<one@example.org>"], "delivered"), one);
    assert_eq!(events(&node, &["--message-id", "one@example.org"], "delivered"), one);
    assert_eq!(events(&node, &["--sender", "ANN@example.org"], "delivered"), one);
    assert_eq!(events(&node, &["one@example.org"], "delivered"), one);
    send(lmtp, None, "bob@example.org", &[&zoe.mail(), &ida.mail()], &message("two@example.org")).unwrap();
    assert_eq!(events(&node, &["--sender", "bob@example.org", "--recipient", &ida.uid()], "delivered").len(), 2);

    // A search by a person's login also finds mail to an alias that the person no longer has.
    provost(&node, &["address", "add", &zoe.uid(), "zoe@example.edu"]).unwrap().good().unwrap();
    deadline::until(LIMIT, || Ok(rcpt_reply(mx, "zoe@example.edu")?.starts_with("250").then_some(()))).unwrap();
    send(mx, None, "ann@example.org", &["Zoe@Example.edu"], &message("three@example.org")).unwrap();
    assert_eq!(events(&node, &["three@example.org"], "delivered"), ["delivered zoe@example.edu: in INBOX"]);
    provost(&node, &["address", "remove", &zoe.uid(), "zoe@example.edu"]).unwrap().good().unwrap();
    let all = trace(&node, &["--recipient", &zoe.uid()]).unwrap();
    assert_eq!(all["messages"].as_array().unwrap().len(), 4, "three here, and one from the quickstart: {all}");
    let by_alias = events(&node, &["--recipient", "zoe@example.edu"], "delivered");
    assert_eq!(by_alias, ["delivered zoe@example.edu: in INBOX"]);

    // Refused in the session: no message was received, so there is no Message-ID.
    assert!(rcpt_reply(mx, "nobody@example.edu").unwrap().starts_with("550"));
    assert!(rcpt_reply(mx, "zoe@elsewhere.example").unwrap().starts_with("550"));
    let refused = events(&node, &["--recipient", "nobody@example.edu"], "refused");
    assert_eq!(refused, ["refused nobody@example.edu: 550 5.1.1 No such user here"]);
    let refused = trace(&node, &["--sender", "asker@example.net"]).unwrap().to_string();
    assert!(refused.contains("550 5.7.1 Relaying denied") && refused.contains("zoe@elsewhere.example"), "{refused}");

    // Mail to outside: accepted by the relay, refused, deferred.
    let login = (zoe.mail(), zoe.password());
    let submit = |to: &str, id: &str| {
        let login = Some((login.0.as_str(), login.1.as_str()));
        send(node.address(Port::Submission), login, &zoe.mail(), &[to], &message(id)).unwrap();
    };
    submit("out@example.net", "four@example.edu");
    let sent = events(&node, &["four@example.edu"], "sent");
    assert!(
        matches!(&sent[..], [queued, sent] if queued == "queued out@example.net: to be sent on"
        && sent.starts_with("sent out@example.net: 250")),
        "{sent:?}"
    );
    sink.set_rcpt_reply("gone@example.net", Some("550 5.1.1 gone\u{1b}[31m"));
    submit("gone@example.net", "five@example.edu");
    let failed = events(&node, &["--recipient", "gone@example.net"], "failed");
    assert!(
        failed[1].starts_with("failed gone@example.net: 550 5.1.1 gone") && !failed[1].contains('\u{1b}'),
        "{failed:?}"
    );
    sink.set_rcpt_reply("later@example.net", Some("451 4.2.0 later"));
    submit("later@example.net", "six@example.edu");
    let deferred = events(&node, &["six@example.edu"], "deferred");
    assert_eq!(deferred[1], "deferred later@example.net: 451 4.2.0 later");

    // The events are in the text output and in the log. The trace files have neither subject nor body, and the audit
    // records searches for a person.
    let output = provost(&node, &["trace", "four@example.edu"]).unwrap().good().unwrap();
    for text in ["<four@example.edu> from <test.p01@example.edu>", "received by submission from 127.0.0.1 as test.p01"]
    {
        assert!(output.contains(text), "{text}: {output}");
    }
    let log = node.log();
    for text in
        ["delivered id=", "message_id=\"three@example.org\"", "to=\"nobody@example.edu\"", "550 5.1.1 No such user"]
    {
        assert!(log.contains(text), "{text}");
    }
    assert!(!log.contains("secret subject") && !log.contains("secret text"), "{log}");
    let files = std::fs::read_dir(node.data().join("trace")).unwrap();
    let files: String = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    assert!(files.contains("three@example.org") && !files.contains("secret"), "{files}");
    let audit = provost(&node, &["audit", "list", "--limit", "100"]).unwrap().good().unwrap();
    assert!(audit.contains("message.view provostPersonId="), "{audit}");
}

#[test]
fn a_person_who_was_renamed_is_found_by_the_old_name_and_the_new_one() {
    let mut node = Node::start_with(Options { people: Some(2), ..Options::default() }).unwrap();
    let zoe = SamplePerson::of(1);
    send(node.address(Port::Mx), None, "ann@example.org", &[&zoe.mail()], &message("old@example.org")).unwrap();
    let file = node.folder().join("renamed.csv");
    let row = "T0001,Test,Côté,2001-02-03,p1@example.net,student,Arts,2026-09-01,,\n";
    std::fs::write(&file, format!("{HEADER}{row}")).unwrap();
    provost(&node, &["import", file.to_str().unwrap()]).unwrap().good().unwrap();
    for key in [zoe.mail().as_str(), "test.cote@example.edu", "registrar:T0001"] {
        let history = provost(&node, &["person", "history", key]).unwrap().good().unwrap();
        for text in [
            "person.rename",
            "because the name Test P01 became Test Côté",
            "line 2 of registrar, batch ",
            "family name: P01 -> Côté",
            "primary address: test.p01@example.edu -> test.cote@example.edu",
            "(cli)",
            "person.create",
        ] {
            assert!(history.contains(text), "{key}: {text}: {history}");
        }
    }
    // A search by either name finds the mail to both, and works while the node is down.
    node.stop().unwrap();
    node.serve_again(&[Port::Mx]).unwrap();
    let mx = node.address(Port::Mx);
    deadline::until(LIMIT, || Ok(rcpt_reply(mx, "test.cote@example.edu")?.starts_with("250").then_some(()))).unwrap();
    send(mx, None, "ann@example.org", &["test.cote@example.edu"], &message("new@example.org")).unwrap();
    events(&node, &["new@example.org"], "delivered");
    for key in [zoe.mail().as_str(), "test.cote@example.edu"] {
        let found = trace(&node, &["--recipient", key, "--sender", "ann@example.org"]).unwrap();
        assert_eq!(found["messages"].as_array().unwrap().len(), 2, "{key}: {found}");
    }
    node.stop().unwrap();
    let found = trace(&node, &["--recipient", "test.cote@example.edu"]).unwrap();
    assert_eq!(found["messages"][0]["events"][0]["message_id"], "new@example.org", "while the node is down: {found}");
}
